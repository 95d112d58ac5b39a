//! Joins the pieces Docker cuts long lines into.
//! In: messages of one output, in order.  Out: whole lines.  Owns: at most one unfinished line, capped.

use crate::record::{LONGEST_LINE, UnixNanos};
use crate::source::cut;

/// The unfinished line of one output of a container.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    line: Vec<u8>,
    /// Time of the pieces in `line`; `None` when no line has begun.
    time: Option<UnixNanos>,
    /// Nanoseconds that the line is later than that.
    later_by: i64,
}

/// A whole line.
#[derive(Debug, PartialEq)]
pub(super) struct Whole {
    pub(super) line: Vec<u8>,
    pub(super) time: UnixNanos,
    /// It was longer than the limit.
    pub(super) cut: bool,
}

impl Joiner {
    /// Begins a message stamped `time`. Pieces of one line carry the same time: a line begun with another ends here,
    /// without its newline (its container stopped in the middle of it).
    pub(super) fn begin(&mut self, time: UnixNanos) -> Option<Whole> {
        let ended = if self.time.is_some_and(|begun| begun != time) { self.flush() } else { None };
        self.time = Some(time);
        ended
    }

    /// The line begun is later than its time says, by as much.
    pub(super) fn delay(&mut self, by: u64) {
        self.later_by = i64::try_from(by).unwrap_or(0);
    }

    /// Adds bytes of the message.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        // A few bytes more than fit, so that what is cut is seen to be cut, line end or not.
        let room = (LONGEST_LINE + 3).saturating_sub(self.line.len()).min(bytes.len());
        self.line.extend_from_slice(&bytes[..room]);
    }

    /// Ends a message; `last_byte` is its last one. A newline ends the line.
    pub(super) fn end(&mut self, last_byte: Option<u8>) -> Option<Whole> {
        if last_byte == Some(b'\n') { self.flush() } else { None }
    }

    /// The line as it stands, if one has begun.
    pub(super) fn flush(&mut self) -> Option<Whole> {
        let time = self.time.take()?;
        let time = UnixNanos(time.0.saturating_add(std::mem::take(&mut self.later_by)));
        while self.line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            self.line.pop();
        }
        let cut = cut(&mut self.line);
        Some(Whole { line: std::mem::take(&mut self.line), time, cut })
    }

    /// True when a line has begun and not ended.
    pub(super) fn is_open(&self) -> bool {
        self.time.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(joiner: &mut Joiner, time: i64, bytes: &[u8]) -> Vec<String> {
        let begun = joiner.begin(UnixNanos(time));
        joiner.append(bytes);
        let ended = joiner.end(bytes.last().copied());
        begun.into_iter().chain(ended).map(|whole| String::from_utf8(whole.line).unwrap()).collect()
    }

    #[test]
    fn a_line_cut_over_three_messages_comes_out_whole() {
        let mut joiner = Joiner::default();
        assert!(feed(&mut joiner, 1, b"abc").is_empty());
        assert!(feed(&mut joiner, 1, b"def").is_empty());
        assert_eq!(feed(&mut joiner, 1, b"ghi\r\n"), ["abcdefghi"]);
        assert!(!joiner.is_open());
    }

    #[test]
    fn a_line_without_its_end_is_not_glued_to_the_next() {
        let mut joiner = Joiner::default();
        assert!(feed(&mut joiner, 1, b"panic: at the dis").is_empty());
        assert_eq!(feed(&mut joiner, 2, b"started\n"), ["panic: at the dis", "started"]);
        assert!(feed(&mut joiner, 3, b"bye").is_empty());
        assert_eq!(joiner.flush().map(|whole| whole.line), Some(b"bye".to_vec()));
    }

    #[test]
    fn an_empty_line_is_a_line() {
        assert_eq!(feed(&mut Joiner::default(), 1, b"\n"), [""]);
    }

    #[test]
    fn an_endless_line_is_capped() {
        let mut joiner = Joiner::default();
        for _ in 0..100 {
            assert!(feed(&mut joiner, 1, &[b'x'; 16384]).is_empty());
        }
        let whole = joiner.end(Some(b'\n')).unwrap();
        assert!(whole.cut);
        assert_eq!(whole.line.len(), LONGEST_LINE);
    }
}
