//! Finds the place in a log stream where reading stopped, and keeps count from there.
//! In: output and time of each message.  Out: whether it is new; the place after it.  Owns: the counts.
//!
//! A log cannot be read from an offset, only from a time, and times are not monotonic: stdout and stderr are stamped
//! before they are ordered. So a point is the largest time seen, with the number of messages from the first one that
//! carried it; no message before that one can be as late, and the count is exact.
//!
//! Newer daemons start at the first message that is not before `since` and then show everything; older ones (20.10)
//! leave out each message before `since`, also those that come late. So the stream is asked for from a little earlier,
//! and what was read before is left out here.
//!
//! An unfinished line of one output must not hold back the other, which may go on for long: the point before it is kept
//! beside the point after all that was read. A stream opened again starts at the earlier of the two, and gives its
//! output's messages from there, the other's only from the later.

use std::time::Duration;

use crate::custody::{Cursor, DockerPoint, LogPlace};
use crate::record::{Output, UnixNanos};

/// How much later than it was stamped a message may be written, and so stand behind one with a later time. Only a clock
/// set back by more than this, at an older daemon, hides lines from a stream that is opened again.
const LATE_BY: Duration = Duration::from_secs(10);

/// A place in a container's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// After all messages read.
    all: DockerPoint,
    /// Before the unfinished line of stdout, of stderr.
    held: [Option<DockerPoint>; 2],
}

/// Counts messages of one stream that was opened at a place.
#[derive(Debug)]
pub(super) struct Resume {
    all: Counter,
    /// Counts from the unfinished line that an output had when the stream was opened.
    from_line: [Option<Counter>; 2],
    held: [Option<Mark>; 2],
}

/// A point, and where the first message stands that carried its time. That is known where a file is read, and 0 at the
/// place where reading began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    point: DockerPoint,
    at: u64,
}

#[derive(Debug)]
struct Counter {
    mark: Mark,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// The stream may have started earlier than this: what comes before `since` was read before.
    Before,
    /// At `since`: so many messages were read before.
    Skipping(u64),
    New,
}

impl Place {
    /// Before the first message.
    pub(super) const START: Place =
        Place { all: DockerPoint { since: UnixNanos(0), frames: 0 }, held: [None; 2] };

    /// From what was stored.
    pub(super) fn from_cursor(cursor: Cursor) -> Option<Place> {
        match cursor {
            Cursor::Docker { all, stdout, stderr, .. } => Some(Place { all, held: [stdout, stderr] }),
            _ => None,
        }
    }

    /// To store; `file` is where in the log's file a reader may begin.
    pub(super) fn cursor(self, file: Option<LogPlace>) -> Cursor {
        let [stdout, stderr] = self.held;
        Cursor::Docker { all: self.all, stdout, stderr, file }
    }

    /// The time of the latest message read.
    pub(super) fn time(self) -> UnixNanos {
        self.all.since
    }

    /// That time as a `since` parameter.
    pub(super) fn time_read(self) -> String {
        parameter(self.all.since)
    }

    /// The `since` parameter: seconds and nanoseconds.
    pub(super) fn since(self) -> String {
        let first =
            self.held.into_iter().flatten().map(|point| point.since).fold(self.all.since, UnixNanos::min);
        parameter(first.minus(LATE_BY).max(UnixNanos(0)))
    }
}

impl Resume {
    /// For a stream opened at `place`.
    pub(super) fn at(place: Place) -> Resume {
        let from_line = place.held.map(|held| held.map(Counter::resumed));
        let held = place.held.map(|held| held.map(|point| Mark { point, at: 0 }));
        Resume { all: Counter::resumed(place.all), from_line, held }
    }

    /// Takes note of a message, which stands at `at`. False when it was read before.
    pub(super) fn is_new(&mut self, output: Output, time: UnixNanos, at: u64) -> bool {
        let new_of_all = self.all.is_new(time, at);
        // Each counts every message, whatever its output.
        let new_from_line =
            self.from_line.each_mut().map(|line| line.as_mut().map(|line| line.is_new(time, at)));
        new_from_line[index(output)].unwrap_or(new_of_all)
    }

    /// How many messages before the last one, which is of `output`, have its time or a later one: the same however often the
    /// stream is opened again.
    pub(super) fn ordinal(&self, output: Output) -> u64 {
        self.before(output).point.frames.saturating_sub(1)
    }

    /// The point before the next message of `output`.
    pub(super) fn before(&self, output: Output) -> Mark {
        self.from_line[index(output)].as_ref().unwrap_or(&self.all).mark
    }

    /// A line of `output` has begun at `point`, or (`None`) no line of it is unfinished.
    pub(super) fn hold(&mut self, output: Output, mark: Option<Mark>) {
        self.held[index(output)] = mark;
    }

    /// The place after the last message.
    pub(super) fn place(&self) -> Place {
        Place { all: self.all.mark.point, held: self.held.map(|held| held.map(|mark| mark.point)) }
    }

    /// Where the first message stands that a reader who begins again at that place has to see.
    pub(super) fn earliest(&self) -> u64 {
        self.held.iter().flatten().map(|mark| mark.at).fold(self.all.mark.at, u64::min)
    }
}

impl Counter {
    fn resumed(point: DockerPoint) -> Counter {
        Counter { mark: Mark { point, at: 0 }, phase: Phase::Before }
    }

    fn is_new(&mut self, time: UnixNanos, at: u64) -> bool {
        let since = self.mark.point.since;
        if let Phase::Before = self.phase {
            if time < since {
                return false;
            }
            self.phase = Phase::Skipping(self.mark.point.frames);
            self.mark.at = at;
        }
        if let Phase::Skipping(left) = self.phase {
            // Everything read before has a time up to `since`: a later one is new, even when fewer came than expected
            // (the log was rotated).
            if left > 0 && time <= since {
                self.phase = Phase::Skipping(left - 1);
                return false;
            }
            self.phase = Phase::New;
        }
        if time > since {
            self.mark = Mark { point: DockerPoint { since: time, frames: 1 }, at };
        } else {
            self.mark.point.frames += 1;
        }
        true
    }
}

fn parameter(since: UnixNanos) -> String {
    format!("{}.{:09}", since.seconds(), since.subsec_nanos())
}

fn index(output: Output) -> usize {
    usize::from(output == Output::Stderr)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(since: i64, frames: u64) -> Place {
        Place { all: DockerPoint { since: UnixNanos(since), frames }, held: [None; 2] }
    }

    #[test]
    fn a_rotated_log_hides_nothing_new() {
        let mut resume = Resume::at(at(100, 5));
        assert!(!resume.is_new(Output::Stdout, UnixNanos(100), 0), "one of the five is still there");
        assert!(resume.is_new(Output::Stdout, UnixNanos(101), 0), "the other four are gone, this one is new");
    }

    #[test]
    fn a_stream_is_asked_for_from_a_little_before_the_first_message_it_must_show() {
        let mut place = at(1_795_442_411_000_000_002, 1);
        assert_eq!(place.since(), "1795442401.000000002");
        place.held[1] = Some(DockerPoint { since: UnixNanos(1_795_442_410_000_000_001), frames: 0 });
        assert_eq!(place.since(), "1795442400.000000001", "back to an unfinished line");
        assert_eq!(Place::START.since(), "0.000000000");
    }
}
