//! What becomes of an object at an age.
//! In: tiers, the time of its latest entry, what a rule says.  Out: whether it stays, moves or goes.  Owns: nothing.

use std::time::Duration;

use crate::record::UnixNanos;
use crate::retention::lifecycle::Shelf;
use crate::retention::tiers::shown;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Stay,
    /// To the shelf of this number.
    Move(usize),
    Expire,
}

/// What becomes of objects on one shelf now.
#[derive(Debug)]
pub(super) struct Plan {
    until: Vec<Duration>,
    shelf: usize,
    now: UnixNanos,
}

impl Plan {
    pub(super) fn new(shelves: &[Shelf], shelf: usize, now: UnixNanos) -> Plan {
        Plan { until: shelves.iter().map(|shelf| shelf.until).collect(), shelf, now }
    }

    /// Of an object whose latest entry has this time. An earlier time never makes it stay longer.
    pub(super) fn fate(&self, latest: UnixNanos, kept_for: Option<Duration>) -> Fate {
        let age = i128::from(self.now.0) - i128::from(latest.0);
        let is_over = |until: Duration| age >= until.as_nanos().try_into().unwrap_or(i128::MAX);
        let Some(last) = self.until.len().checked_sub(1) else { return Fate::Stay };
        if is_over(kept_for.unwrap_or(self.until[last])) {
            return Fate::Expire;
        }
        let right = (self.shelf..last).find(|shelf| !is_over(self.until[*shelf])).unwrap_or(last);
        if right > self.shelf { Fate::Move(right) } else { Fate::Stay }
    }

    /// Why an object expires, in words.
    pub(super) fn reason(&self, latest: UnixNanos, kept_for: Option<Duration>) -> String {
        let days = |nanos: i128| nanos / (24 * 3600 * 1_000_000_000);
        let age = days(i128::from(self.now.0) - i128::from(latest.0));
        let by = if kept_for.is_some() { "by a rule" } else { "by the last tier" };
        let until = kept_for.or(self.until.last().copied()).unwrap_or_default();
        format!("its latest entry is {age} days old, kept {} {by}", shown(until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_on_the_shelf_of_its_age_and_goes_at_its_end() {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        let plan =
            |shelf| Plan { until: vec![days(60), days(90)], shelf, now: UnixNanos(100 * 86_400_000_000_000) };
        let at = |day: i64| UnixNanos(day * 86_400_000_000_000);
        let cases = [
            (0, 99, None, Fate::Stay),
            (0, 41, None, Fate::Stay),
            (0, 40, None, Fate::Move(1)),
            (0, 10, None, Fate::Expire),
            (1, 40, None, Fate::Stay),
            (1, 99, None, Fate::Stay),
            (1, 10, None, Fate::Expire),
            (0, 93, Some(7), Fate::Expire),
            (0, 94, Some(7), Fate::Stay),
            // Longer than the last tier: it stays in that.
            (1, 0, Some(365), Fate::Stay),
            (0, 0, Some(365), Fate::Move(1)),
            // From the future.
            (0, 200, None, Fate::Stay),
        ];
        for (shelf, day, kept_for, wanted) in cases {
            assert_eq!(plan(shelf).fate(at(day), kept_for.map(days)), wanted, "{shelf} {day} {kept_for:?}");
        }
        assert_eq!(plan(0).fate(UnixNanos(i64::MIN), None), Fate::Expire);
        let reason = plan(0).reason(at(10), None);
        assert_eq!(reason, "its latest entry is 90 days old, kept 90d by the last tier");
    }
}
