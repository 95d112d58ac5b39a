//! Counts things for as long as they exist.
//! In: how many came, how many moved on.  Out: a gauge that is right at every moment.  Owns: its share of the gauge.

use std::sync::Arc;

use crate::metrics::Series;

/// So many things under way, in a gauge until they are dropped: what is lost without a word does not stay counted.
#[derive(Debug)]
pub(crate) struct Tally {
    /// `None` for what is counted elsewhere.
    gauge: Option<Arc<Series>>,
    count: u64,
}

impl Tally {
    /// Counts `count` things.
    pub(crate) fn new(gauge: &Arc<Series>, count: u64) -> Tally {
        gauge.add(count as f64);
        Tally { gauge: Some(gauge.clone()), count }
    }

    /// `count` things that somebody else counts.
    pub(crate) fn elsewhere(count: u64) -> Tally {
        Tally { gauge: None, count }
    }

    /// Leaves the counting to somebody else from here on.
    pub(crate) fn give_up(&mut self) {
        if let Some(gauge) = self.gauge.take() {
            gauge.add(-(self.count as f64));
        }
    }

    /// Leaves the counting to another gauge from here on.
    pub(crate) fn move_to(&mut self, gauge: &Arc<Series>) {
        self.give_up();
        gauge.add(self.count as f64);
        self.gauge = Some(gauge.clone());
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Takes some of them into an account of their own, all at most.
    pub(crate) fn split(&mut self, count: u64) -> Tally {
        let count = count.min(self.count);
        self.count -= count;
        Tally { gauge: self.gauge.clone(), count }
    }

    /// Takes over what another of the same gauge counts.
    pub(crate) fn absorb(&mut self, mut other: Tally) {
        debug_assert_eq!(self.gauge.is_some(), other.gauge.is_some(), "two accounts of different things");
        self.count += std::mem::take(&mut other.count);
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if self.count > 0 {
            self.give_up();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Kind, Registry};

    #[test]
    fn things_are_counted_once_however_they_are_divided() {
        let family = Registry::default().family("g", "", Kind::Gauge, None).unwrap();
        let gauge = family.single();
        let mut all = Tally::new(&gauge, 10);
        let some = all.split(3);
        assert_eq!((all.count(), some.count(), gauge.value()), (7, 3, 10.0));
        drop(some);
        let more = Tally::new(&gauge, 5);
        all.absorb(more);
        assert_eq!((all.count(), gauge.value()), (12, 12.0));
        let mut one = all.split(1);
        one.give_up();
        assert_eq!((one.count(), gauge.value()), (1, 11.0));
        one.move_to(&gauge);
        assert_eq!((one.count(), gauge.value()), (1, 12.0));
        drop((all, one));
        assert_eq!(gauge.value(), 0.0);
    }
}
