//! What is known, as it is kept from one run to the next.
//! In: what is known, or was.  Out: the other.  Owns: nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use crate::pipeline::guard::known::Known;

/// Hashes of streams and label values. It says the same as long as nothing new is known.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedGuard {
    pub(in crate::pipeline::guard) seed: u64,
    /// Of a text that is always the same.
    pub(in crate::pipeline::guard) check: u64,
    /// By label.
    values: BTreeMap<String, Vec<u64>>,
    /// Each with the second it was met last, by the calendar, and its values by their number in `values`.
    streams: Vec<(u64, i64, Vec<u32>)>,
}

impl Known {
    /// `start` is second 0 by the calendar.
    pub(in crate::pipeline::guard) fn save(&self, seed: u64, check: u64, start: i64) -> Option<SavedGuard> {
        if self.streams.is_empty() {
            return None;
        }
        let mut values: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for (hash, value) in &self.values {
            values.entry(value.name.to_string()).or_default().push(*hash);
        }
        let numbers: HashMap<u64, u32> = values.values().flatten().copied().zip(0..).collect();
        let streams = self.streams.iter().map(|(id, stream)| {
            let met = stream.seen.0.load(Ordering::SeqCst);
            let values = stream.values.iter().filter_map(|value| numbers.get(value).copied());
            (*id, start.saturating_add_unsigned(met), values.collect())
        });
        Some(SavedGuard { seed, check, streams: streams.collect(), values })
    }

    /// Times that are still to come count as those of the start.
    pub(in crate::pipeline::guard) fn restore(&mut self, saved: &SavedGuard, start: i64, max_streams: usize) {
        let named = |(name, hashes)| std::iter::repeat(name).zip(hashes);
        let values: Vec<(&String, &u64)> = saved.values.iter().flat_map(named).collect();
        for (id, met, numbers) in saved.streams.iter().take(max_streams.saturating_mul(2)) {
            let met = met.saturating_sub(start).min(super::IDLE as i64);
            if met <= 0 || self.streams.contains_key(id) {
                continue;
            }
            let labels = numbers.iter().filter_map(|number| values.get(*number as usize));
            self.keep(*id, met.unsigned_abs(), labels.map(|(name, hash)| (name.as_str(), **hash, None)));
        }
    }
}
