//! Makes lines of a container's log messages, whether a log stream or a log file brings them.
//! In: messages of both outputs, in order.  Out: whole lines into a chunk, the place after them.  Owns: both outputs'
//! unfinished lines, capped, and the count of messages.

use crate::clock;
use crate::record::{Chunk, LONGEST_LINE, Output, UnixNanos};
use crate::source::docker::lines::{Joiner, Whole};
use crate::source::docker::resume::{Place, Resume};
use crate::source::docker::stamp;

/// Counts for metrics.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Lines cut at the limit.
    pub(super) cut: u64,
    /// Messages without a readable time, and records of a file that are none.
    pub(super) malformed: u64,
}

/// Messages from one place on.
#[derive(Debug)]
pub(super) struct Messages {
    resume: Resume,
    joiners: [Joiner; 2],
    /// Of the message before, at first of the place reading began at.
    last_time: UnixNanos,
    counts: Counts,
    tty: bool,
    /// Of a TTY's line whose record before did not end it, and whether it was read before.
    unended: Option<(UnixNanos, bool)>,
}

impl Messages {
    pub(super) fn from(place: Place, tty: bool) -> Messages {
        Messages {
            resume: Resume::at(place),
            joiners: [Joiner::default(), Joiner::default()],
            last_time: place.time(),
            counts: Counts::default(),
            tty,
            unended: None,
        }
    }

    /// Where reading has to begin again: after all lines handed on, before those that are unfinished.
    pub(super) fn place(&self) -> Place {
        self.resume.place()
    }

    /// Where the first message stood that a reader who begins again has to see.
    pub(super) fn earliest(&self) -> u64 {
        self.resume.earliest()
    }

    /// Counts since this was last asked.
    pub(super) fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    pub(super) fn count_malformed(&mut self) {
        self.counts.malformed += 1;
    }

    /// The container has ended: unfinished lines are all there is.
    pub(super) fn finish(&mut self, chunk: &mut Chunk) {
        for output in [Output::Stdout, Output::Stderr] {
            let whole = self.joiner(output).flush();
            self.push(whole, output, chunk);
            self.resume.hold(output, None);
        }
    }

    /// A whole message out of a file, where it stands at `at`.
    pub(super) fn record(
        &mut self,
        output: Output,
        time: UnixNanos,
        text: &[u8],
        at: u64,
        chunk: &mut Chunk,
    ) {
        let ends = text.last() == Some(&b'\n');
        if self.tty {
            // A TTY's stream has a line's pieces in one: the same count for both.
            let before = self.unended.filter(|(begun, _)| *begun == time);
            if let Some((_, skipped)) = before {
                self.unended = before.filter(|_| !ends);
                if !skipped {
                    self.joiner(output).append(text);
                    self.end(output, text.last().copied(), chunk);
                }
                return;
            }
        }
        if ends && !self.joiner(output).is_open() && text.len() <= LONGEST_LINE {
            self.unended = None;
            if self.resume.is_new(output, time, at) {
                self.resume.hold(output, None);
                let length =
                    text.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
                chunk.push(&text[..length], time, output);
            }
            return;
        }
        let new = self.begin(output, time, at, chunk).is_some();
        self.unended = (!ends).then_some((time, !new));
        if new {
            self.joiner(output).append(text);
            self.end(output, text.last().copied(), chunk);
        }
    }

    /// The beginning of a message whose text begins with its time; the rest of the text. `None` when it was read before.
    pub(super) fn begin_stamped<'b>(
        &mut self,
        output: Output,
        text: &'b [u8],
        chunk: &mut Chunk,
    ) -> Option<&'b [u8]> {
        let (time, part) = self.stamp(text);
        if self.begin(output, time, 0, chunk)? {
            self.tell_apart(output, text);
        }
        Some(part)
    }

    /// Adds bytes of a message that has begun.
    pub(super) fn append(&mut self, output: Output, part: &[u8]) {
        self.joiner(output).append(part);
    }

    /// Ends a message; `last_byte` is its last one.
    pub(super) fn end(&mut self, output: Output, last_byte: Option<u8>, chunk: &mut Chunk) {
        let whole = self.joiner(output).end(last_byte);
        if whole.is_some() {
            self.resume.hold(output, None);
        }
        self.push(whole, output, chunk);
    }

    /// A whole line of a TTY's stream, in pieces; it counts as one message.
    pub(super) fn tty_line<'t>(
        &mut self,
        time: UnixNanos,
        stamp: &[u8],
        pieces: impl Iterator<Item = &'t [u8]>,
        discarded: bool,
        chunk: &mut Chunk,
    ) {
        if !self.resume.is_new(Output::Stdout, time, 0) {
            return;
        }
        // Where a file was read before, this may be the line it was left in.
        self.resume.hold(Output::Stdout, None);
        self.joiner(Output::Stdout).begin(time);
        self.tell_apart(Output::Stdout, stamp);
        let joiner = self.joiner(Output::Stdout);
        pieces.for_each(|piece| joiner.append(piece));
        let mut whole = joiner.flush();
        if let Some(whole) = &mut whole {
            whole.cut |= discarded;
        }
        self.push(whole, Output::Stdout, chunk);
    }

    /// A message's time and text. Without a readable time it gets the time of the one before: better than dropping it.
    pub(super) fn stamp<'b>(&mut self, text: &'b [u8]) -> (UnixNanos, &'b [u8]) {
        match stamp::split(text) {
            Some((time, part)) => {
                self.last_time = time;
                (time, part)
            }
            None => {
                self.counts.malformed += 1;
                (self.last_time, text)
            }
        }
    }

    /// Begins a message. `None` when it was read before; true when a line begins with it.
    fn begin(&mut self, output: Output, time: UnixNanos, at: u64, chunk: &mut Chunk) -> Option<bool> {
        let before = self.resume.before(output);
        if !self.resume.is_new(output, time, at) {
            return None;
        }
        let goes_on = self.joiner(output).is_open();
        let ended = self.joiner(output).begin(time);
        let begins = ended.is_some() || !goes_on;
        if begins {
            self.resume.hold(output, Some(before));
        }
        self.push(ended, output, chunk);
        Some(begins)
    }

    /// Lines of the same whole second would be one to Loki where they are the same to the byte: each is a nanosecond later
    /// than the one before. `text` begins with the time of the message.
    fn tell_apart(&mut self, output: Output, text: &[u8]) {
        if stamp::is_coarse(text) {
            let ordinal = self.resume.ordinal(output);
            self.joiner(output).delay(ordinal);
        }
    }

    fn push(&mut self, whole: Option<Whole>, output: Output, chunk: &mut Chunk) {
        if let Some(Whole { line, time, cut }) = whole {
            self.counts.cut += u64::from(cut);
            // A log that begins without a readable time: the entry is as old as its reading.
            let time = if time == Place::START.time() { clock::now() } else { time };
            chunk.push(&line, time, output);
        }
    }

    fn joiner(&mut self, output: Output) -> &mut Joiner {
        &mut self.joiners[usize::from(output == Output::Stderr)]
    }
}
