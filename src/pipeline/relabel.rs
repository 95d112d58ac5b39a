//! Relabelling: Prometheus' eleven actions on a label set.
//! In: labels, rules.  Out: labels, or nothing where a rule drops the target.  Owns: compiled rules.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{Invalid, Kind, Node, Table, row};
use crate::pipeline::{Replacement, compile_anchored_dotall};
use crate::record::Labels;

/// Label sets while rules run: names need not be valid for Loki yet, an empty value is no label.
pub(crate) type LabelMap = BTreeMap<String, String>;

/// One rule, compiled.
#[derive(Debug)]
pub(crate) struct Rule {
    source_labels: Vec<String>,
    separator: String,
    regex: regex::bytes::Regex,
    /// The default regex matches everything, and then nothing needs to be matched.
    matches_all: bool,
    modulus: u64,
    target_label: String,
    target: Replacement,
    replacement: Replacement,
    replacement_text: String,
    action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Replace,
    Keep,
    Drop,
    KeepEqual,
    DropEqual,
    HashMod,
    LabelMap,
    LabelDrop,
    LabelKeep,
    Lowercase,
    Uppercase,
}

const ACTIONS: [(&str, Action); 11] = [
    ("replace", Action::Replace),
    ("keep", Action::Keep),
    ("drop", Action::Drop),
    ("keepequal", Action::KeepEqual),
    ("dropequal", Action::DropEqual),
    ("hashmod", Action::HashMod),
    ("labelmap", Action::LabelMap),
    ("labeldrop", Action::LabelDrop),
    ("labelkeep", Action::LabelKeep),
    ("lowercase", Action::Lowercase),
    ("uppercase", Action::Uppercase),
];

const DEFAULT_REGEX: &str = "(.*)";
const DEFAULT_REPLACEMENT: &str = "$1";
const DEFAULT_SEPARATOR: &str = ";";

/// The keys of a rule.
pub(crate) static RULE: Table = Table(&[
    row("source_labels", Kind::Texts, "[]", "Labels whose values are joined"),
    row("separator", Kind::Text, DEFAULT_SEPARATOR, "What they are joined with"),
    row("regex", Kind::Text, DEFAULT_REGEX, "RE2 expression that the joined value must match as a whole"),
    row("modulus", Kind::Count, "0", "Of `hashmod`"),
    row("target_label", Kind::Text, "", "Label that is written"),
    row("replacement", Kind::Text, DEFAULT_REPLACEMENT, "What is written; `$1` stands for a group"),
    row(
        "action",
        Kind::Text,
        "replace",
        "`replace`, `keep`, `drop`, `keepequal`, `dropequal`, `hashmod`, `labelmap`, `labeldrop`, `labelkeep`, `lowercase` or `uppercase`",
    ),
]);

impl Rule {
    /// Reads one entry of `relabel_configs`.
    pub(crate) fn decode(node: &Node) -> Result<Rule, Invalid> {
        let block = node.block(&RULE)?;
        let source_labels =
            block.optional("source_labels", |list| list.list_of(|name| Ok(name.text()?.to_owned())))?;
        let separator = block.raw("separator").map_or(Ok(DEFAULT_SEPARATOR), Node::text)?.to_owned();
        // Null and "" are an empty expression here, which matches only the empty text.
        let pattern = match block.raw("regex") {
            Some(node) => (node, node.text()?),
            None => (node, DEFAULT_REGEX),
        };
        let regex = compile_anchored_dotall(pattern.1)
            .map_err(|error| pattern.0.invalid(format!("not a regular expression: {error}")))?;
        let modulus = block.optional("modulus", Node::count)?.unwrap_or(0);
        let target_label = block.optional("target_label", Node::text)?.unwrap_or_default().to_owned();
        let replacement_text = match block.raw("replacement") {
            Some(node) => node.text()?,
            None => DEFAULT_REPLACEMENT,
        };
        let action = block.raw("action").map_or(Ok(Action::Replace), action)?;
        let rule = Rule {
            source_labels: source_labels.unwrap_or_default(),
            separator,
            matches_all: pattern.1 == DEFAULT_REGEX,
            regex,
            modulus,
            target: Replacement::parse(&target_label),
            target_label,
            replacement: Replacement::parse(replacement_text),
            replacement_text: replacement_text.to_owned(),
            action,
        };
        rule.check().map_err(|message| node.invalid(message))?;
        Ok(rule)
    }

    fn check(&self) -> Result<(), &'static str> {
        use Action::{
            DropEqual, HashMod, KeepEqual, LabelDrop, LabelKeep, LabelMap, Lowercase, Replace, Uppercase,
        };
        let needs_target =
            matches!(self.action, Replace | HashMod | Lowercase | Uppercase | KeepEqual | DropEqual);
        let default_replacement = self.replacement_text == DEFAULT_REPLACEMENT;
        let default_separator = self.separator == DEFAULT_SEPARATOR;
        if needs_target && self.target_label.is_empty() {
            return Err("this action needs a `target_label`");
        }
        match self.action {
            HashMod if self.modulus == 0 => Err("`hashmod` needs a `modulus`"),
            Lowercase | Uppercase if !default_replacement => Err("this action takes no `replacement`"),
            LabelDrop | LabelKeep
                if !self.source_labels.is_empty()
                    || !self.target_label.is_empty()
                    || self.modulus != 0
                    || !default_separator
                    || !default_replacement =>
            {
                Err("this action takes only `regex`")
            }
            KeepEqual | DropEqual
                if !self.matches_all || self.modulus != 0 || !default_separator || !default_replacement =>
            {
                Err("this action takes only `source_labels` and `target_label`")
            }
            LabelMap | Replace | HashMod | Lowercase | Uppercase | LabelDrop | LabelKeep | KeepEqual
            | DropEqual => Ok(()),
            Action::Keep | Action::Drop => Ok(()),
        }
    }

    /// True where the rule can see the value of a label whose name is `wanted`. Of a `labelmap` that speaks of containers'
    /// labels only, as most do, it is known what it cannot see.
    pub(crate) fn may_read(&self, wanted: impl Fn(&str) -> bool) -> bool {
        let pattern = self.regex.as_str();
        match self.action {
            Action::LabelMap => {
                !pattern.contains("__meta_docker_container_") || pattern.contains("__meta_docker_network_")
            }
            Action::KeepEqual | Action::DropEqual if wanted(&self.target_label) => true,
            _ => self.source_labels.iter().any(|name| wanted(name)),
        }
    }

    /// Applies the rule; false drops the target.
    fn apply(&self, labels: &mut LabelMap) -> bool {
        let values = self.source_labels.iter().map(|name| labels.get(name).map_or("", String::as_str));
        let value = values.collect::<Vec<_>>().join(&self.separator);
        let target_value = || labels.get(&self.target_label).map_or("", String::as_str);
        match self.action {
            Action::Keep => return self.is_match(&value),
            Action::Drop => return !self.is_match(&value),
            Action::KeepEqual => return target_value() == value,
            Action::DropEqual => return target_value() != value,
            Action::Replace => self.replace(&value, labels),
            Action::HashMod => {
                let hash = (md5_tail(value.as_bytes()) % self.modulus).to_string();
                labels.insert(self.target_label.clone(), hash);
            }
            Action::LabelMap => self.map_names(labels),
            Action::LabelDrop => labels.retain(|name, _| !self.is_match(name)),
            Action::LabelKeep => labels.retain(|name, _| self.is_match(name)),
            Action::Lowercase => set(labels, &self.target_label, value.to_lowercase()),
            Action::Uppercase => set(labels, &self.target_label, value.to_uppercase()),
        }
        true
    }

    /// True where the rule can see the value of this label.
    pub(crate) fn reads_label(&self, name: &str) -> bool {
        let by_name = match self.action {
            Action::LabelMap => self.is_match(name),
            Action::KeepEqual | Action::DropEqual => self.target_label == name,
            _ => false,
        };
        by_name || self.source_labels.iter().any(|source| source == name)
    }

    fn is_match(&self, text: &str) -> bool {
        self.matches_all || self.regex.is_match(text.as_bytes())
    }

    fn replace(&self, value: &str, labels: &mut LabelMap) {
        let Some(captures) = self.regex.captures(value.as_bytes()) else { return };
        let expand = |template: &Replacement| {
            let mut text = Vec::new();
            template.expand(&captures, &mut text);
            // The parts are cut from valid UTF-8 at characters.
            String::from_utf8_lossy(&text).into_owned()
        };
        let target = expand(&self.target);
        if !target.is_empty() {
            set(labels, &target, expand(&self.replacement));
        }
    }

    fn map_names(&self, labels: &mut LabelMap) {
        let mut mapped = Vec::new();
        for (name, value) in labels.iter() {
            if let Some(captures) = self.regex.captures(name.as_bytes()) {
                let mut to = Vec::new();
                self.replacement.expand(&captures, &mut to);
                mapped.push((String::from_utf8_lossy(&to).into_owned(), value.clone()));
            }
        }
        for (name, value) in mapped {
            set(labels, &name, value);
        }
    }
}

fn action(node: &Node) -> Result<Action, Invalid> {
    let text = node.text()?.to_ascii_lowercase();
    let found = ACTIONS.iter().find(|(name, _)| *name == text).map(|(_, action)| *action);
    let known = || ACTIONS.map(|(name, _)| name).join(", ");
    found
        .ok_or_else(|| node.invalid(format!("unknown action `{text}`")).help(format!("actions: {}", known())))
}

fn set(labels: &mut LabelMap, name: &str, value: String) {
    if value.is_empty() {
        labels.remove(name);
    } else if !name.is_empty() {
        labels.insert(name.to_owned(), value);
    }
}

/// The last 8 bytes of the MD5 sum, big endian: what Prometheus takes modulo.
fn md5_tail(text: &[u8]) -> u64 {
    use md5::{Digest as _, Md5};
    let sum: [u8; 16] = Md5::digest(text).into();
    sum[8..].iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Applies rules in order. `None`: a rule drops the target.
pub(crate) fn apply(rules: &[Rule], mut labels: LabelMap) -> Option<LabelMap> {
    labels.retain(|_, value| !value.is_empty());
    rules.iter().all(|rule| rule.apply(&mut labels)).then_some(labels)
}

/// Which labels rules, and what becomes of them, depend on.
#[derive(Clone, Debug)]
pub(crate) enum Reads {
    All,
    /// These, and all whose name does not begin with `__`.
    Named(BTreeSet<String>),
}

impl Reads {
    pub(crate) fn of(rules: &[Rule]) -> Reads {
        let mut names = BTreeSet::new();
        for rule in rules {
            match rule.action {
                Action::LabelMap => return Reads::All,
                Action::KeepEqual | Action::DropEqual => names.insert(rule.target_label.clone()),
                _ => false,
            };
            names.extend(rule.source_labels.iter().cloned());
        }
        Reads::Named(names)
    }

    pub(crate) fn contain(&self, name: &str) -> bool {
        match self {
            Reads::All => true,
            Reads::Named(names) => !name.starts_with("__") || names.contains(name),
        }
    }
}

/// The labels that stay: those whose name does not begin with `__`.
pub(crate) fn visible(labels: LabelMap) -> Labels {
    labels.into_iter().filter(|(name, _)| !name.starts_with("__")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_yaml;

    fn relabel(rules: &str, labels: &[(&str, &str)]) -> Option<String> {
        let node = parse_yaml(rules).unwrap();
        let rules = node.list_of(Rule::decode).unwrap();
        let labels = labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let labels = apply(&rules, labels)?;
        Some(labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" "))
    }

    fn shown(rules: &str, labels: &[(&str, &str)]) -> String {
        relabel(rules, labels).unwrap_or_else(|| "dropped".to_owned())
    }

    #[test]
    fn each_action_does_what_prometheus_does() {
        let ab = &[("a", "foo"), ("b", "Bar")];
        let table = [
            ("[{source_labels: [a], target_label: c}]", "a=foo b=Bar c=foo"),
            (
                "[{source_labels: [a, b], target_label: c, regex: '(f.*);(.*)', replacement: '$2-${1}'}]",
                "a=foo b=Bar c=Bar-foo",
            ),
            ("[{source_labels: [a], target_label: c, regex: 'fo'}]", "a=foo b=Bar"),
            ("[{target_label: c, replacement: fixed}]", "a=foo b=Bar c=fixed"),
            ("[{source_labels: [a], target_label: a, replacement: ''}]", "b=Bar"),
            ("[{source_labels: [none], target_label: a}]", "b=Bar"),
            ("[{source_labels: [a, b], separator: , target_label: c}]", "a=foo b=Bar c=fooBar"),
            ("[{source_labels: [a], target_label: c, regex: , replacement: x}]", "a=foo b=Bar"),
            ("[{source_labels: [a], target_label: c, replacement: $1_x}]", "a=foo b=Bar"),
            ("[{source_labels: [a], target_label: c, replacement: $1-x}]", "a=foo b=Bar c=foo-x"),
            (
                "[{source_labels: [a], target_label: '${1}_x', regex: '(.*)', replacement: y}]",
                "a=foo b=Bar foo_x=y",
            ),
            ("[{source_labels: [a], regex: foo, action: keep}]", "a=foo b=Bar"),
            ("[{source_labels: [a], regex: fo, action: KEEP}]", "dropped"),
            ("[{source_labels: [a], regex: 'f.o', action: drop}]", "dropped"),
            ("[{source_labels: [none], regex: '', action: drop}]", "dropped"),
            ("[{source_labels: [a], regex: '', action: drop}]", "a=foo b=Bar"),
            ("[{source_labels: [a], target_label: b, action: keepequal}]", "dropped"),
            ("[{source_labels: [a], target_label: b, action: dropequal}]", "a=foo b=Bar"),
            ("[{source_labels: [a], target_label: c, modulus: 1000, action: hashmod}]", "a=foo b=Bar c=696"),
            (
                "[{regex: '(.)', replacement: 'meta_$1', action: labelmap}]",
                "a=foo b=Bar meta_a=foo meta_b=Bar",
            ),
            ("[{regex: 'a', action: labeldrop}]", "b=Bar"),
            ("[{regex: 'a', action: labelkeep}]", "a=foo"),
            ("[{source_labels: [b], target_label: b, action: lowercase}]", "a=foo b=bar"),
            ("[{source_labels: [b], target_label: c, action: uppercase}]", "a=foo b=Bar c=BAR"),
        ];
        for (rules, expected) in table {
            assert_eq!(shown(rules, ab), expected, "{rules}");
        }
    }

    #[test]
    fn rules_that_cannot_mean_anything_are_refused() {
        for rules in [
            "{action: replace}",
            "{action: hashmod, target_label: a}",
            "{action: labeldrop, source_labels: [a]}",
            "{action: keepequal, source_labels: [a], target_label: b, regex: x}",
            "{action: lowercase, target_label: a, replacement: x}",
            "{action: explode}",
            "{target_label: a, action: }",
            "{regex: '(', target_label: a}",
            "{source_label: [a], target_label: b}",
        ] {
            assert!(Rule::decode(&parse_yaml(rules).unwrap()).is_err(), "{rules}");
        }
    }

    #[test]
    fn a_rule_may_read_its_sources_and_what_it_maps() {
        let table = [
            ("{source_labels: [__meta_docker_network_name], target_label: a}", false),
            ("{source_labels: [x, __meta_docker_network_label_y], target_label: a}", true),
            ("{source_labels: [x], target_label: __meta_docker_network_label_a, action: keepequal}", true),
            ("{source_labels: [x], target_label: __meta_docker_network_label_a}", false),
            ("{action: labelmap, regex: __meta_docker_container_label_(.+)}", false),
            ("{action: labelmap, regex: __meta_docker_network_label_(.+)}", true),
            ("{action: labelmap, regex: __meta_docker_(.+)}", true),
            ("{action: labeldrop, regex: a}", false),
        ];
        for (text, expected) in table {
            let rule = Rule::decode(&parse_yaml(text).unwrap()).unwrap();
            let of_networks = |name: &str| name.starts_with("__meta_docker_network_label_");
            assert_eq!(rule.may_read(of_networks), expected, "{text}");
        }
    }

    #[test]
    fn the_hash_is_the_one_prometheus_takes() {
        // MD5("foo") = acbd18db4cc2f85cedef654fccc4a4d8
        assert_eq!(md5_tail(b"foo"), 0xedef_654f_ccc4_a4d8);
    }
}
