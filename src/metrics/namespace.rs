//! What names of the agent's metrics begin with.
//! In: families under their own names, a namespace.  Out: families as they are asked for.  Owns: nothing.

use std::collections::{BTreeMap, HashSet};

use crate::metrics::promtail::{self, Destination};
use crate::metrics::{Shown, TargetReading};

/// What all of them begin with unless it is configured.
const OURS: &str = "tailwater_";

/// How the agent's metrics are called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Namespace {
    #[default]
    Tailwater,
    /// Those that Promtail has are called as Promtail calls them.
    Promtail,
    /// All begin with this in place of `tailwater`.
    Other(String),
}

impl Namespace {
    /// The namespace of this name, where a metric's name may begin with it.
    pub(crate) fn of(name: &str) -> Option<Namespace> {
        let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        let valid = begins && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        match name {
            "tailwater" => Some(Namespace::Tailwater),
            "promtail" => Some(Namespace::Promtail),
            name => valid.then(|| Namespace::Other(name.to_owned())),
        }
    }

    /// The same families under the names of the namespace. A name that a metric derived from lines has already stays its own.
    pub(crate) fn name(
        &self,
        families: Vec<Shown>,
        targets: &[TargetReading],
        clients: &BTreeMap<String, Destination>,
    ) -> Vec<Shown> {
        match self {
            Namespace::Tailwater => families,
            Namespace::Promtail => promtail::with_promtails_names(families, targets, clients),
            Namespace::Other(namespace) => {
                let taken: HashSet<String> = families.iter().map(|family| family.name.clone()).collect();
                let rename = |mut family: Shown| {
                    if let Some(rest) = family.name.strip_prefix(OURS) {
                        let name = format!("{namespace}_{rest}");
                        if !taken.contains(&name) {
                            family.name = name;
                        }
                    }
                    family
                };
                families.into_iter().map(rename).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Kind, Registry};
    use crate::record::UnixNanos;

    #[test]
    fn another_namespace_takes_the_place_of_ours_but_no_name_that_is_taken() {
        let registry = Registry::default();
        for name in ["tailwater_a", "tailwater_b", "logs_b", "process_threads"] {
            registry.family(name, "", Kind::Gauge, None).unwrap().single();
        }
        let namespace = Namespace::of("logs").unwrap();
        let named = namespace.name(registry.shown(UnixNanos(0)), &[], &BTreeMap::new());
        let names: Vec<_> = named.iter().map(|family| family.name.as_str()).collect();
        assert_eq!(names, ["logs_b", "process_threads", "logs_a", "tailwater_b"]);
    }

    #[test]
    fn a_namespace_is_what_a_name_may_begin_with() {
        for (name, expected) in [
            ("tailwater", Some(Namespace::Tailwater)),
            ("promtail", Some(Namespace::Promtail)),
            ("_x9", Some(Namespace::Other("_x9".to_owned()))),
            ("9x", None),
            ("", None),
            ("a-b", None),
            ("a:b", None),
            ("é", None),
        ] {
            assert_eq!(Namespace::of(name), expected, "{name}");
        }
    }
}
