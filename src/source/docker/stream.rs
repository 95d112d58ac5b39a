//! Turns the bytes of a log stream into lines.
//! In: bytes of the response body, cut anywhere.  Out: lines into a chunk, the place after them.  Owns: both outputs'
//! unfinished lines and the frame being read; all capped.
//!
//! Without a TTY the stream is frames: one byte output, three zeros, four bytes length (big endian), then
//! `<time> <message>`. With a TTY it is `<time> <message>` lines and nothing else; which of the two is known from
//! inspect, never guessed from the bytes.

use crate::clock;
use crate::record::{Chunk, Output, UnixNanos};
use crate::source::LONGEST_LINE;
use crate::source::docker::lines::{Joiner, Whole};
use crate::source::docker::resume::{Place, Resume};
use crate::source::docker::stamp;

const HEADER_LENGTH: usize = 8;

/// Docker cuts lines into pieces of this many bytes; with a TTY, each piece repeats the time in front.
const PIECE_LENGTH: usize = 16 * 1024;

/// A daemon's error message inside the stream is kept up to this length.
const LONGEST_ERROR: usize = 1024;

/// Room for a time and its space before a message, whatever the daemon's notation.
const STAMP_ROOM: usize = 64;

/// The stream cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamError {
    #[error("the daemon reports: {0}")]
    Daemon(String),
    #[error("frame of unknown kind {0}")]
    UnknownOutput(u8),
}

/// Counts for metrics.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Lines cut at the limit.
    pub(super) cut: u64,
    /// Messages without a readable time.
    pub(super) malformed: u64,
}

/// Decodes one opened log stream.
#[derive(Debug)]
pub(super) struct Decoder {
    framing: Framing,
    resume: Resume,
    joiners: [Joiner; 2],
    /// Of the message before, at first of the place the stream was opened at.
    last_time: UnixNanos,
    counts: Counts,
}

#[derive(Debug)]
enum Framing {
    Tty { raw: Vec<u8>, discarded: bool },
    Multiplexed(Frame),
}

#[derive(Debug)]
enum Frame {
    Header {
        bytes: [u8; HEADER_LENGTH],
        filled: usize,
    },
    /// Collecting enough of the payload to see its time.
    Stamp {
        output: Output,
        left: u64,
        text: Vec<u8>,
    },
    /// The rest of the payload; `skip` when the message was read before.
    Message {
        output: Output,
        left: u64,
        skip: bool,
    },
    Error {
        left: u64,
        text: Vec<u8>,
    },
}

impl Frame {
    const START: Frame = Frame::Header { bytes: [0; HEADER_LENGTH], filled: 0 };
}

impl Decoder {
    /// For a stream opened at `place`.
    pub(super) fn new(tty: bool, place: Place) -> Decoder {
        let framing = if tty {
            Framing::Tty { raw: Vec::new(), discarded: false }
        } else {
            Framing::Multiplexed(Frame::START)
        };
        Decoder {
            framing,
            resume: Resume::at(place),
            joiners: [Joiner::default(), Joiner::default()],
            last_time: place.time(),
            counts: Counts::default(),
        }
    }

    /// Where a stream has to be opened again: after all lines handed on, before those that are unfinished.
    pub(super) fn place(&self) -> Place {
        self.resume.place()
    }

    /// Counts since this was last asked.
    pub(super) fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// Reads bytes; whole lines go into `chunk`.
    pub(super) fn feed(&mut self, bytes: &[u8], chunk: &mut Chunk) -> Result<(), StreamError> {
        match self.framing {
            Framing::Tty { .. } => {
                self.feed_tty(bytes, chunk);
                Ok(())
            }
            Framing::Multiplexed(_) => self.feed_frames(bytes, chunk),
        }
    }

    /// The stream ended because the container did: unfinished lines are all there is.
    pub(super) fn finish(&mut self, chunk: &mut Chunk) {
        if let Framing::Tty { raw, discarded } = &mut self.framing
            && !raw.is_empty()
        {
            let line = std::mem::take(raw);
            let cut = std::mem::take(discarded);
            self.tty_line(&line, cut, chunk);
        }
        for output in [Output::Stdout, Output::Stderr] {
            let whole = self.joiner(output).flush();
            self.push(whole, output, chunk);
            self.resume.hold(output, None);
        }
    }

    fn feed_frames(&mut self, mut bytes: &[u8], chunk: &mut Chunk) -> Result<(), StreamError> {
        while !bytes.is_empty() {
            let Framing::Multiplexed(frame) = &mut self.framing else { return Ok(()) };
            match std::mem::replace(frame, Frame::START) {
                Frame::Header { bytes: mut header, filled } => {
                    let count = (HEADER_LENGTH - filled).min(bytes.len());
                    header[filled..filled + count].copy_from_slice(&bytes[..count]);
                    bytes = &bytes[count..];
                    *frame = match filled + count {
                        HEADER_LENGTH => frame_of(header)?,
                        filled => Frame::Header { bytes: header, filled },
                    };
                    // A frame of length zero has no payload to wait for.
                    if let Frame::Stamp { output, left: 0, .. } = *frame {
                        *frame = Frame::START;
                        self.message(output, &[], 0, chunk);
                    }
                }
                Frame::Stamp { output, left, mut text } => {
                    let count = usize::try_from(left)
                        .unwrap_or(usize::MAX)
                        .min(bytes.len())
                        .min(STAMP_ROOM - text.len());
                    text.extend_from_slice(&bytes[..count]);
                    bytes = &bytes[count..];
                    let left = left - count as u64;
                    if left > 0 && text.len() < STAMP_ROOM {
                        *frame = Frame::Stamp { output, left, text };
                    } else {
                        self.message(output, &text, left, chunk);
                    }
                }
                Frame::Message { output, left, skip } => {
                    let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    let (part, rest) = bytes.split_at(count);
                    bytes = rest;
                    let left = left - count as u64;
                    *frame = if left > 0 { Frame::Message { output, left, skip } } else { Frame::START };
                    if !skip {
                        self.joiner(output).append(part);
                        if left == 0 {
                            self.end_message(output, part.last().copied(), chunk);
                        }
                    }
                }
                Frame::Error { left, mut text } => {
                    let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    let kept = count.min(LONGEST_ERROR.saturating_sub(text.len()));
                    text.extend_from_slice(&bytes[..kept]);
                    bytes = &bytes[count..];
                    if left == count as u64 {
                        return Err(StreamError::Daemon(
                            String::from_utf8_lossy(&text).trim_end().to_owned(),
                        ));
                    }
                    *frame = Frame::Error { left: left - count as u64, text };
                }
            }
        }
        Ok(())
    }

    /// The beginning of a message, `left` bytes of it still to come.
    fn message(&mut self, output: Output, text: &[u8], left: u64, chunk: &mut Chunk) {
        let (time, part) = self.stamp(text);
        let before = self.resume.before(output);
        let skip = !self.resume.is_new(output, time);
        if left > 0 {
            self.framing = Framing::Multiplexed(Frame::Message { output, left, skip });
        }
        if skip {
            return;
        }
        let goes_on = self.joiner(output).is_open();
        let ended = self.joiner(output).begin(time);
        if ended.is_some() || !goes_on {
            self.resume.hold(output, Some(before));
            self.tell_apart(output, text);
        }
        self.push(ended, output, chunk);
        self.joiner(output).append(part);
        if left == 0 {
            self.end_message(output, part.last().copied(), chunk);
        }
    }

    /// A message's time and text. Without a readable time it gets the time of the one before: better than dropping it.
    fn stamp<'b>(&mut self, text: &'b [u8]) -> (UnixNanos, &'b [u8]) {
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

    /// Lines of the same whole second would be one to Loki where they are the same to the byte: each is a nanosecond later
    /// than the one before. `text` begins with the time of the message.
    fn tell_apart(&mut self, output: Output, text: &[u8]) {
        if stamp::is_coarse(text) {
            let ordinal = self.resume.ordinal(output);
            self.joiner(output).delay(ordinal);
        }
    }

    fn end_message(&mut self, output: Output, last_byte: Option<u8>, chunk: &mut Chunk) {
        let whole = self.joiner(output).end(last_byte);
        if whole.is_some() {
            self.resume.hold(output, None);
        }
        self.push(whole, output, chunk);
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

    fn feed_tty(&mut self, mut bytes: &[u8], chunk: &mut Chunk) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            self.append_tty(&bytes[..end]);
            bytes = &bytes[end + 1..];
            if let Framing::Tty { raw, discarded } = &mut self.framing {
                let (line, cut) = (std::mem::take(raw), std::mem::take(discarded));
                self.tty_line(&line, cut, chunk);
            }
        }
        self.append_tty(bytes);
    }

    fn append_tty(&mut self, bytes: &[u8]) {
        // A line's text and a time for each of its pieces.
        const ROOM: usize = LONGEST_LINE + (LONGEST_LINE / PIECE_LENGTH + 2) * (stamp::LENGTH + 1);
        if let Framing::Tty { raw, discarded } = &mut self.framing {
            let room = ROOM.saturating_sub(raw.len()).min(bytes.len());
            raw.extend_from_slice(&bytes[..room]);
            *discarded |= room < bytes.len();
        }
    }

    fn tty_line(&mut self, raw: &[u8], discarded: bool, chunk: &mut Chunk) {
        // A container that stops in the middle of a line (at a prompt) leaves it without its end, and the first line of
        // its next start follows on the same text line, with a time of its own.
        let mut rest = Some(raw);
        while let Some(raw) = rest {
            let (time, text) = self.stamp(raw);
            let stamp = &raw[..raw.len() - text.len()];
            let next = later_message(text, time);
            rest = next.map(|next| &text[next..]);
            self.tty_message(
                time,
                stamp,
                &text[..next.unwrap_or(text.len())],
                discarded && rest.is_none(),
                chunk,
            );
        }
    }

    fn tty_message(
        &mut self,
        time: UnixNanos,
        stamp: &[u8],
        text: &[u8],
        discarded: bool,
        chunk: &mut Chunk,
    ) {
        if !self.resume.is_new(Output::Stdout, time) {
            return;
        }
        self.joiner(Output::Stdout).begin(time);
        self.tell_apart(Output::Stdout, stamp);
        let joiner = self.joiner(Output::Stdout);
        for piece in pieces(text, stamp) {
            joiner.append(piece);
        }
        let mut whole = joiner.flush();
        if let Some(whole) = &mut whole {
            whole.cut |= discarded;
        }
        self.push(whole, Output::Stdout, chunk);
    }
}

/// Where in a TTY line's text another message begins: at a time as Docker writes it, later than `time` and not in the
/// future. A time that the application printed itself is earlier than Docker's.
fn later_message(text: &[u8], time: UnixNanos) -> Option<usize> {
    let ends = memchr::memmem::find_iter(text, b"Z ").map(|at| at + 1);
    let starts = ends.filter_map(|end| end.checked_sub(stamp::LENGTH).filter(|start| *start > 0));
    let now = clock::now();
    starts.into_iter().find(|start| {
        stamp::fixed(&text[*start..*start + stamp::LENGTH]).is_some_and(|found| found > time && found <= now)
    })
}

/// A TTY line's text without the times that stand between its pieces.
fn pieces<'t>(text: &'t [u8], stamp: &'t [u8]) -> impl Iterator<Item = &'t [u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        match text.get(PIECE_LENGTH..) {
            Some(after) if !stamp.is_empty() && after.starts_with(stamp) => {
                rest = Some(&after[stamp.len()..]);
                Some(&text[..PIECE_LENGTH])
            }
            _ => Some(text),
        }
    })
}

fn frame_of(header: [u8; HEADER_LENGTH]) -> Result<Frame, StreamError> {
    let [kind, _, _, _, length @ ..] = header;
    let left = u64::from(u32::from_be_bytes(length));
    match kind {
        0 | 1 => Ok(Frame::Stamp { output: Output::Stdout, left, text: Vec::new() }),
        2 => Ok(Frame::Stamp { output: Output::Stderr, left, text: Vec::new() }),
        3 if left == 0 => Err(StreamError::Daemon(String::new())),
        3 => Ok(Frame::Error { left, text: Vec::new() }),
        other => Err(StreamError::UnknownOutput(other)),
    }
}

#[cfg(test)]
#[path = "stream/tests.rs"]
mod tests;
