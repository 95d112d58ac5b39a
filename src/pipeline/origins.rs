//! The starting label sets of a target whose lines come with labels of their own.
//! In: a line's labels.  Out: the lane of those that relabelling leaves.  Owns: what relabelling came to, by labels.

use std::collections::HashMap;
use std::sync::Arc;

use crate::pipeline::compile::Pipeline;
use crate::pipeline::lane::Lane;
use crate::pipeline::relabel::{self, LabelMap, Reads, Rule};
use crate::record::{Labels, Origin};

/// What relabelling drops; no lane is there.
pub(super) const DROPPED: Origin = Origin(0);

/// Lanes at a time; where there are more, all of them start over, which costs time but loses nothing.
const MOST_LANES: usize = 1000;

/// Label sets before relabelling whose outcome is remembered.
const MOST_REMEMBERED: usize = 10_000;

/// Bytes of these together: labels come from outside, and one may be long.
const MOST_BYTES: usize = 4 << 20;

/// The numbers of lanes, by label set.
#[derive(Debug)]
pub(super) struct Origins {
    pipeline: Arc<Pipeline>,
    rules: Arc<Vec<Rule>>,
    reads: Reads,
    /// By the labels that matter, as they came.
    known: HashMap<Box<[u8]>, Origin, foldhash::fast::RandomState>,
    known_bytes: usize,
    /// By what relabelling leaves.
    lanes: HashMap<Labels, Origin>,
    /// The lane of lines without labels.
    unlabelled: Option<Origin>,
    key: Vec<u8>,
}

impl Origins {
    pub(super) fn new(pipeline: Arc<Pipeline>, rules: Arc<Vec<Rule>>) -> Origins {
        let (reads, known, lanes) = (Reads::of(&rules), HashMap::default(), HashMap::new());
        Origins { pipeline, rules, reads, known, known_bytes: 0, lanes, unlabelled: None, key: Vec::new() }
    }

    /// The lane for lines with these labels, which may be a new one.
    pub(super) fn find<N: AsRef<str>, V: AsRef<str>>(
        &mut self,
        labels: impl Iterator<Item = (N, V)> + Clone,
        lanes: &mut Vec<Option<Lane>>,
    ) -> Origin {
        self.key.clear();
        for (name, value) in labels.clone() {
            if self.reads.contain(name.as_ref()) {
                for text in [name.as_ref(), value.as_ref()] {
                    self.key.extend_from_slice(&(text.len() as u32).to_le_bytes());
                    self.key.extend_from_slice(text.as_bytes());
                }
            }
        }
        if let Some(known) = self.known.get(self.key.as_slice()) {
            return *known;
        }
        let labels: LabelMap =
            labels.map(|(name, value)| (name.as_ref().to_owned(), value.as_ref().to_owned())).collect();
        let labels = relabel::apply(&self.rules, labels).map(relabel::visible);
        let origin = labels.map_or(DROPPED, |labels| self.lane(labels, lanes));
        if self.known.len() >= MOST_REMEMBERED || self.known_bytes + self.key.len() > MOST_BYTES {
            self.forget();
        }
        if self.key.len() <= MOST_BYTES {
            self.known_bytes += self.key.len();
            self.known.insert(self.key.as_slice().into(), origin);
        }
        origin
    }

    /// The lane for lines that start with exactly these labels.
    pub(super) fn lane(&mut self, labels: Labels, lanes: &mut Vec<Option<Lane>>) -> Origin {
        let is_empty = labels.iter().next().is_none();
        let origin = *self.lanes.entry(labels).or_insert_with_key(|labels| {
            lanes.push(Some(Lane::of_lines(self.pipeline.clone(), labels)));
            Origin(lanes.len() as u32 - 1)
        });
        if is_empty {
            self.unlabelled = Some(origin);
        }
        origin
    }

    /// Whether lines of this origin start with no labels at all.
    pub(super) fn is_unlabelled(&self, origin: Origin) -> bool {
        self.unlabelled == Some(origin)
    }

    pub(super) fn are_too_many(&self) -> bool {
        self.lanes.len() > MOST_LANES
    }

    /// Forgets all lanes.
    pub(super) fn clear(&mut self) {
        self.forget();
        self.lanes.clear();
        self.unlabelled = None;
    }

    fn forget(&mut self) {
        self.known.clear();
        self.known_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_yaml;
    use crate::metrics::{Own, Registry};
    use crate::pipeline::limits::Limits;

    fn origins(rules: &str) -> Origins {
        let registry = Registry::default();
        let pipeline = Pipeline::compile(None, &Limits::default(), &registry, &Own::register(&registry));
        let rules = parse_yaml(rules).unwrap().list_of(Rule::decode).unwrap();
        Origins::new(Arc::new(pipeline.unwrap()), Arc::new(rules))
    }

    #[test]
    fn labels_that_no_rule_reads_and_nobody_sees_share_a_lane() {
        let mut origins = origins("[{source_labels: [__a], regex: drop, action: drop}]");
        let mut lanes = vec![None];
        let mut find = |labels: &[(&str, &str)]| origins.find(labels.iter().copied(), &mut lanes);
        let first = find(&[("job", "x"), ("__a", "1"), ("__b", "1")]);
        assert_ne!(first, DROPPED);
        assert_eq!(find(&[("job", "x"), ("__a", "1"), ("__b", "2")]), first);
        assert_eq!(find(&[("job", "x"), ("__a", "2")]), first, "the rule reads it, and nothing comes of it");
        assert_ne!(find(&[("job", "y"), ("__a", "1")]), first);
        assert_eq!(find(&[("job", "x"), ("__a", "drop")]), DROPPED);
    }

    #[test]
    fn what_is_remembered_of_long_labels_is_bounded_in_bytes() {
        let mut origins = origins("[]");
        let mut lanes = vec![None];
        for number in 0..100 {
            let value = format!("{number} {}", "x".repeat(100_000));
            let origin = origins.find([("a", value.as_str())].into_iter(), &mut lanes);
            assert_eq!(origins.find([("a", value.as_str())].into_iter(), &mut lanes), origin);
            let bytes: usize = origins.known.keys().map(|key| key.len()).sum();
            assert!(bytes == origins.known_bytes && bytes <= MOST_BYTES);
        }
        let endless = "x".repeat(MOST_BYTES + 1);
        origins.find([("a", endless.as_str())].into_iter(), &mut lanes);
        assert!(origins.known_bytes <= MOST_BYTES);
    }
}
