//! Sources: what reads a target's lines.
//! In: targets from discovery.  Out: chunks into the target's intake.  Owns: open files and log streams.

mod arrivals;
mod connections;
mod datagrams;
pub(crate) mod docker;
pub(crate) mod file;
pub(crate) mod gelf;
pub(crate) mod journal;
pub(crate) mod listen;
mod names;
pub(crate) mod push;
pub(crate) mod reception;
pub(crate) mod stdin;
pub(crate) mod syslog;

use crate::clock;
use crate::record::{LONGEST_LINE, UnixNanos};

/// The time of a line that is read now, behind one of that time: of two lines of equal text and time Loki keeps one.
fn fresh(last: UnixNanos) -> UnixNanos {
    clock::now().max(after(last))
}

fn after(time: UnixNanos) -> UnixNanos {
    UnixNanos(time.0.saturating_add(1))
}

/// Ends a line that was cut.
pub(crate) const CUT_MARK: &[u8] = b" [cut by tailwater]";

/// Cuts a line to [`LONGEST_LINE`], marking it. True when there was something to cut.
fn cut(line: &mut Vec<u8>) -> bool {
    let is_longer = line.len() > LONGEST_LINE;
    if is_longer {
        cut_to(LONGEST_LINE, line);
    }
    is_longer
}

/// Marks a line that is longer than `limit`, or was, as cut. One too short for the mark goes without.
fn cut_to(limit: usize, line: &mut Vec<u8>) {
    let Some(most) = limit.checked_sub(CUT_MARK.len()) else { return line.truncate(limit) };
    let mut end = most.min(line.len());
    // Not in the middle of a UTF-8 character, where it is UTF-8.
    while end > most.saturating_sub(3) && line.get(end).is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000)
    {
        end -= 1;
    }
    line.truncate(end);
    line.extend_from_slice(CUT_MARK);
}

/// What a task takes that runs this on something of its own. Most of it is the longest chain of calls that wait for each other, also
/// while nothing happens.
#[cfg(test)]
fn task_size<T: 'static, F>(_: impl FnOnce(&'static mut T) -> F) -> usize {
    size_of::<T>() + size_of::<F>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_over_the_limit_is_cut_at_a_character_and_marked() {
        let mut line = "é".repeat(LONGEST_LINE).into_bytes();
        assert!(cut(&mut line));
        assert!(line.len() <= LONGEST_LINE);
        assert!(String::from_utf8(line).unwrap().ends_with("é [cut by tailwater]"));
        assert!(!cut(&mut b"short".to_vec()));
    }
}
