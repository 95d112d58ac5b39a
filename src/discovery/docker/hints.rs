//! What a container may say about its log through labels of its own.
//! In: the labels.  Out: whether a job reads it.  Owns: the labels' names.

use std::collections::BTreeMap;

/// `true` or `false`.
const ENABLE: &str = "tailwater.enable";

/// The name of the one job that reads it.
const JOB: &str = "tailwater.job";

/// How much a job listens to that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Hints {
    #[default]
    Ignored,
    /// Read unless it says no.
    OptOut,
    /// Read only if it says yes.
    OptIn,
}

impl Hints {
    /// True where `job` may read a container with these labels.
    pub(super) fn allow(self, labels: &BTreeMap<String, String>, job: &str) -> bool {
        let says =
            |value: &str| labels.get(ENABLE).is_some_and(|label| label.trim().eq_ignore_ascii_case(value));
        let enabled = match self {
            Hints::Ignored => return true,
            Hints::OptOut => !says("false"),
            Hints::OptIn => says("true"),
        };
        enabled && labels.get(JOB).is_none_or(|wanted| wanted == job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_read_by_the_jobs_it_says_where_they_listen() {
        use Hints::{Ignored, OptIn, OptOut};
        let table = [
            (vec![], [true, true, false]),
            (vec![(ENABLE, "true")], [true, true, true]),
            (vec![(ENABLE, "False")], [true, false, false]),
            (vec![(ENABLE, "maybe")], [true, true, false]),
            (vec![(JOB, "other")], [true, false, false]),
            (vec![(ENABLE, "true"), (JOB, "this")], [true, true, true]),
        ];
        for (labels, expected) in table {
            let labels =
                labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let allowed = [Ignored, OptOut, OptIn].map(|hints| hints.allow(&labels, "this"));
            assert_eq!(allowed, expected, "{labels:?}");
        }
    }
}
