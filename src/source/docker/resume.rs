//! Finds the place in a log stream where reading stopped, and keeps count from there.
//! In: the time of each message.  Out: whether it is new; the cursor after it.  Owns: the count.
//!
//! dockerd starts a stream at the first message whose time is not before `since`, and shows everything after it,
//! whatever its time. Times are not monotonic: stdout and stderr are stamped before they are ordered. So the cursor
//! is the largest time seen, with the number of messages from the first one that carried it; no message before that
//! one can be as late, and the count is exact.

use crate::custody::Cursor;
use crate::record::UnixNanos;

/// A place in a container's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The largest time so far.
    since: UnixNanos,
    /// Messages from the first one at `since` on.
    frames: u64,
}

/// Counts messages of one stream that was opened at a place.
#[derive(Debug)]
pub(super) struct Resume {
    place: Place,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// The daemon may have started earlier than asked: what is before `since` was read before.
    Before(UnixNanos),
    /// At `since`: so many messages were read before.
    Skipping(UnixNanos, u64),
    New,
}

impl Place {
    /// Before the first message.
    pub(super) const START: Place = Place { since: UnixNanos(0), frames: 0 };

    /// From what was stored.
    pub(super) fn from_cursor(cursor: Cursor) -> Option<Place> {
        match cursor {
            Cursor::Docker { since, frames } => Some(Place { since, frames }),
            Cursor::File { .. } => None,
        }
    }

    /// To store.
    pub(super) fn cursor(self) -> Cursor {
        Cursor::Docker { since: self.since, frames: self.frames }
    }

    /// The `since` parameter: seconds and nanoseconds.
    pub(super) fn since(self) -> String {
        format!("{}.{:09}", self.since.seconds(), self.since.subsec_nanos())
    }
}

impl Resume {
    /// For a stream opened at `place`.
    pub(super) fn at(place: Place) -> Resume {
        let phase = if place == Place::START { Phase::New } else { Phase::Before(place.since) };
        Resume { place, phase }
    }

    /// Takes note of a message. False when it was read before.
    pub(super) fn is_new(&mut self, time: UnixNanos) -> bool {
        if let Phase::Before(since) = self.phase {
            if time < since {
                return false;
            }
            self.phase = Phase::Skipping(since, self.place.frames);
        }
        if let Phase::Skipping(since, left) = self.phase {
            // Everything read before has a time up to `since`: a later one is new, even when fewer came than expected
            // (the log was rotated).
            if left > 0 && time <= since {
                self.phase = Phase::Skipping(since, left - 1);
                return false;
            }
            self.phase = Phase::New;
        }
        if time > self.place.since {
            self.place = Place { since: time, frames: 1 };
        } else {
            self.place.frames += 1;
        }
        true
    }

    /// The place after the last message.
    pub(super) fn place(&self) -> Place {
        self.place
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What dockerd sends for `since`: from the first message not before it, then everything.
    fn served(log: &[i64], place: Place, whole_seconds: bool) -> Vec<usize> {
        let since = place.since.0;
        let since = if whole_seconds { since.div_euclid(10) * 10 } else { since };
        let first = log.iter().position(|time| *time >= since).unwrap_or(log.len());
        (first..log.len()).collect()
    }

    proptest! {
        /// Wherever a stream breaks, and also when times go backwards or the daemon rounds `since` down, each message
        /// is new exactly once.
        #[test]
        fn a_stream_broken_anywhere_goes_on_without_loss_or_repetition(
            log in proptest::collection::vec(0i64..60, 1..60),
            breaks in proptest::collection::vec(1usize..20, 0..20),
            whole_seconds: bool,
        ) {
            // Times wander: mostly up, sometimes back, often equal.
            let mut now = 1000;
            let log: Vec<i64> = log.iter().map(|step| { now += step / 10 - i64::from(*step % 7 == 0); now }).collect();
            let (mut place, mut read) = (Place::START, Vec::new());
            for length in breaks.into_iter().chain([usize::MAX]) {
                let mut resume = Resume::at(place);
                let mut fresh = 0;
                for index in served(&log, place, whole_seconds) {
                    if resume.is_new(UnixNanos(log[index])) {
                        read.push(index);
                        fresh += 1;
                    }
                    if fresh == length { break; }
                }
                place = resume.place();
            }
            prop_assert_eq!(read, (0..log.len()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_rotated_log_hides_nothing_new() {
        let place = Place { since: UnixNanos(100), frames: 5 };
        let mut resume = Resume::at(place);
        assert!(!resume.is_new(UnixNanos(100)), "one of the five is still there");
        assert!(resume.is_new(UnixNanos(101)), "the other four are gone, this one is new");
    }

    #[test]
    fn since_is_written_with_nanoseconds() {
        assert_eq!(
            Place { since: UnixNanos(1_795_442_401_000_000_002), frames: 1 }.since(),
            "1795442401.000000002"
        );
    }
}
