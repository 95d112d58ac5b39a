//! Values of derived metrics that outlive the process.
//! In: what lines changed, once they are settled.  Out: values to save with the positions.  Owns: nothing.
//!
//! What `/metrics` shows counts each line as it is read. What is saved counts it once the position is past it: after a
//! kill the lines behind the position are read and counted again, on top of what was saved.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::metrics::registry::{Family, Kind, Pairs, Registry, Series};

/// What lines did to a series.
#[derive(Clone, Debug, Default)]
pub(super) struct Change {
    /// It was set to this first.
    set: Option<f64>,
    add: f64,
    /// A histogram's observations, by bucket.
    buckets: Vec<u64>,
}

/// What a number of lines did to all series.
#[derive(Debug, Default)]
pub(crate) struct Changes(HashMap<usize, (Arc<Series>, Change), foldhash::fast::RandomState>);

/// A series as it is saved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    name: String,
    labels: Pairs,
    value: f64,
    /// A histogram's counts, not cumulative, and the bounds that they are for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    buckets: Vec<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    bounds: Vec<f64>,
}

impl Changes {
    /// `amount` was added.
    pub(crate) fn add(&mut self, series: &Arc<Series>, amount: f64) {
        self.of(series).add += amount;
    }

    /// It was set to `value`.
    pub(crate) fn set(&mut self, series: &Arc<Series>, value: f64) {
        *self.of(series) = Change { set: Some(value), ..Change::default() };
    }

    /// A histogram with these bounds was given `amount`.
    pub(crate) fn observe(&mut self, series: &Arc<Series>, amount: f64, bounds: &[f64]) {
        let change = self.of(series);
        change.add += amount;
        change.buckets.resize(bounds.len() + 1, 0);
        change.buckets[super::registry::bucket(amount, bounds)] += 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lines are settled.
    pub(crate) fn settle(&self) {
        self.0.values().for_each(|(series, change)| series.settle(change));
    }

    fn of(&mut self, series: &Arc<Series>) -> &mut Change {
        // The series is kept alive beside its address.
        let address = Arc::as_ptr(series) as usize;
        &mut self.0.entry(address).or_insert_with(|| (series.clone(), Change::default())).1
    }
}

/// What of a series is settled.
#[derive(Clone, Debug, Default)]
pub(super) struct Settled {
    pub(super) value: f64,
    pub(super) buckets: Vec<u64>,
}

impl Settled {
    pub(super) fn take(&mut self, change: &Change) {
        self.value = change.set.unwrap_or(self.value) + change.add;
        self.buckets.resize(self.buckets.len().max(change.buckets.len()), 0);
        self.buckets.iter_mut().zip(&change.buckets).for_each(|(count, more)| *count += more);
    }
}

impl Registry {
    /// All derived series as far as they are settled.
    pub(crate) fn kept(&self) -> Vec<Kept> {
        let derived = self.families().into_iter().filter(|family| family.is_derived());
        derived.flat_map(|family| kept(&family)).collect()
    }

    /// Puts back what was saved, as far as there are metrics for it; says how many series there are none for.
    pub(crate) fn restore(&self, kept: Vec<Kept>) -> usize {
        let families = self.families();
        let mut left = 0;
        for Kept { name, labels, value, buckets, bounds } in kept {
            let fits = |family: &&Arc<Family>| {
                let same_bounds = match &family.kind {
                    Kind::Histogram(own) => *own == bounds && buckets.len() == bounds.len() + 1,
                    Kind::Counter | Kind::Gauge => bounds.is_empty() && buckets.is_empty(),
                };
                family.name == name && family.is_derived() && same_bounds
            };
            match families.iter().find(fits) {
                Some(family) => family.series(labels).begin_at(Settled { value, buckets }),
                None => left += 1,
            }
        }
        left
    }
}

fn kept(family: &Family) -> Vec<Kept> {
    let bounds = if let Kind::Histogram(bounds) = &family.kind { bounds.clone() } else { Vec::new() };
    let series = family.all().into_iter().filter_map(|(labels, series)| {
        let Settled { value, mut buckets } = series.settled();
        if !bounds.is_empty() {
            buckets.resize(bounds.len() + 1, 0);
        }
        // A counter at 0 says nothing; it is there again when it is declared or counts.
        let says_nothing =
            family.kind != Kind::Gauge && value == 0.0 && buckets.iter().all(|count| *count == 0);
        (!says_nothing).then(|| Kept {
            name: family.name.clone(),
            labels: Arc::unwrap_or_clone(labels),
            value,
            buckets,
            bounds: bounds.clone(),
        })
    });
    series.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn families(registry: &Registry) -> [Arc<Family>; 3] {
        [("lines_total", Kind::Counter), ("depth", Kind::Gauge), ("seconds", Kind::Histogram(vec![0.1, 1.0]))]
            .map(|(name, kind)| registry.derived(name, "", kind, None).unwrap())
    }

    fn pairs(service: &str) -> Pairs {
        vec![("service".to_owned(), service.to_owned())]
    }

    #[test]
    fn what_is_settled_is_saved_and_found_again() {
        let registry = Registry::default();
        let [lines, depth, seconds] = families(&registry).map(|family| family.series(pairs("api")));
        let mut changes = Changes::default();
        changes.add(&lines, 1.0);
        changes.add(&lines, 2.0);
        changes.add(&depth, 7.0);
        changes.set(&depth, 3.0);
        changes.add(&depth, -1.0);
        changes.observe(&seconds, 0.05, &[0.1, 1.0]);
        changes.observe(&seconds, 5.0, &[0.1, 1.0]);
        assert_eq!(registry.kept().len(), 1, "nothing is settled, and a gauge is 0");
        changes.settle();
        let saved = serde_json::to_string(&registry.kept()).unwrap();

        let again = Registry::default();
        let fresh = families(&again);
        assert_eq!(again.restore(serde_json::from_str(&saved).unwrap()), 0);
        let [lines, depth, seconds] = fresh.map(|family| family.series(pairs("api")));
        assert_eq!([lines.value(), depth.value(), seconds.value()], [3.0, 2.0, 5.05]);
        assert_eq!(seconds.cumulative(), [1, 1, 2]);
        assert_eq!(serde_json::to_string(&again.kept()).unwrap(), saved, "and is saved again");
    }

    #[test]
    fn what_there_is_no_metric_for_any_more_is_left_out() {
        let registry = Registry::default();
        registry.derived("lines_total", "", Kind::Gauge, None).unwrap();
        registry.derived("seconds", "", Kind::Histogram(vec![0.5]), None).unwrap();
        registry.family("own_total", "", Kind::Counter, None).unwrap();
        let kept = |name: &str, bounds: &[f64]| Kept {
            name: name.to_owned(),
            labels: pairs("api"),
            value: 1.0,
            buckets: vec![0; if bounds.is_empty() { 0 } else { bounds.len() + 1 }],
            bounds: bounds.to_vec(),
        };
        let all = vec![
            kept("gone", &[]),
            kept("seconds", &[0.1]),
            kept("own_total", &[]),
            kept("lines_total", &[]),
        ];
        assert_eq!(registry.restore(all), 3);
    }
}
