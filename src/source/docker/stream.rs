//! Turns the bytes of a log stream into lines.
//! In: bytes of the response body, cut anywhere.  Out: lines into a chunk, the place after them.  Owns: the frame
//! being read, capped.
//!
//! Without a TTY the stream is frames: one byte output, three zeros, four bytes length (big endian), then
//! `<time> <message>`. With a TTY it is `<time> <message>` lines and nothing else; which of the two is known from
//! inspect, never guessed from the bytes.

use crate::clock;
use crate::record::{Chunk, Output, UnixNanos};
use crate::source::LONGEST_LINE;
use crate::source::docker::messages::{Counts, Messages};
use crate::source::docker::resume::Place;
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

/// Decodes one opened log stream.
#[derive(Debug)]
pub(super) struct Decoder {
    framing: Framing,
    messages: Messages,
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
        Decoder { framing, messages: Messages::from(place, tty) }
    }

    /// Where a stream has to be opened again: after all lines handed on, before those that are unfinished.
    pub(super) fn place(&self) -> Place {
        self.messages.place()
    }

    /// Counts since this was last asked.
    pub(super) fn take_counts(&mut self) -> Counts {
        self.messages.take_counts()
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
        self.messages.finish(chunk);
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
                        self.messages.append(output, part);
                        if left == 0 {
                            self.messages.end(output, part.last().copied(), chunk);
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
        let begun = self.messages.begin_stamped(output, text, chunk);
        if left > 0 {
            let skip = begun.is_none();
            self.framing = Framing::Multiplexed(Frame::Message { output, left, skip });
        }
        if let Some(part) = begun {
            self.messages.append(output, part);
            if left == 0 {
                self.messages.end(output, part.last().copied(), chunk);
            }
        }
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
            let (time, text) = self.messages.stamp(raw);
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
        self.messages.tty_line(time, stamp, pieces(text, stamp), discarded, chunk);
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
