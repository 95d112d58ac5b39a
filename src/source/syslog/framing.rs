//! Finds messages in what a sender writes: separated by line ends, or each with its length before it (RFC 6587).
//! In: bytes, in pieces of any size.  Out: whole messages without their line ends.  Owns: the one that is not complete.
//!
//! Which of the two a sender means is told by its first byte, as in Promtail. A line end is LF, or the NUL that RFC 6587
//! mentions and Python sends. What follows one and does not begin with `<` and a digit is the next line of the same
//! message, as in Promtail; so a message whose line has ended is complete only when that is known, or when nothing
//! follows for a moment ([`is_waiting`](Framer::is_waiting), [`release`](Framer::release)).

use crate::source::cut_to;

/// What cannot be read on, as nobody knows where the next message begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a connection begins with < or with the length of the first message, not with byte {0:#04x}")]
    NoFraming(u8),
    #[error("byte {0:#04x} in the length of a message")]
    NoLength(u8),
    #[error("a message of {length} bytes is longer than max_message_length ({limit})")]
    TooLong { length: usize, limit: usize },
    #[error("the connection ended {missing} bytes before its last message")]
    Incomplete { missing: usize },
}

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) bytes: &'a [u8],
    /// It was longer.
    pub(crate) is_cut: bool,
}

/// The messages of one sender.
#[derive(Debug)]
pub(crate) struct Framer {
    state: State,
    /// The message so far, at most `limit` bytes of it.
    message: Vec<u8>,
    /// Bytes of it were left out.
    is_over: bool,
    limit: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was read yet.
    Start,
    /// Within a line.
    Line,
    /// Behind a line end: the next bytes say whether the message goes on.
    LineEnd,
    /// Behind a line end and `<`.
    LineEndAndLess,
    /// Between two messages with lengths, or within the length.
    Length(Option<usize>),
    /// Within a message with a length; so many bytes are missing.
    Body(usize),
}

impl Framer {
    /// For messages of at most `limit` bytes: longer lines are cut, longer lengths are an error.
    pub(crate) fn new(limit: usize) -> Framer {
        Framer { state: State::Start, message: Vec::new(), is_over: false, limit }
    }

    /// Takes the next bytes. After an error there is nothing more to be had.
    pub(crate) fn push(
        &mut self,
        mut bytes: &[u8],
        each: &mut dyn FnMut(Frame<'_>),
    ) -> Result<(), FrameError> {
        while let Some(&first) = bytes.first() {
            let used = match self.state {
                State::Start => {
                    self.state = match first {
                        b'<' => State::Line,
                        b'0'..=b'9' => State::Length(None),
                        other => return Err(FrameError::NoFraming(other)),
                    };
                    0
                }
                State::Line => self.line(bytes),
                State::LineEnd | State::LineEndAndLess => self.after_line(first, each),
                State::Length(length) => self.length(length, first)?,
                State::Body(missing) => self.body(missing, bytes, each),
            };
            bytes = &bytes[used..];
        }
        Ok(())
    }

    /// True when there is a message whose line has ended, and which may go on in another line.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.state, State::LineEnd | State::LineEndAndLess) && !self.message.is_empty()
    }

    /// Lets go of that message. What would have continued it is a message of its own.
    pub(crate) fn release(&mut self, each: &mut dyn FnMut(Frame<'_>)) {
        if self.is_waiting() {
            self.emit(each);
        }
    }

    /// The sender has nothing more to say.
    pub(crate) fn finish(mut self, each: &mut dyn FnMut(Frame<'_>)) -> Result<(), FrameError> {
        match self.state {
            State::Body(missing) => return Err(FrameError::Incomplete { missing }),
            State::Start | State::Length(_) => {}
            State::LineEndAndLess => {
                self.emit(each);
                self.append(b"<");
                self.emit(each);
            }
            State::Line | State::LineEnd => self.emit(each),
        }
        Ok(())
    }

    /// Takes bytes up to a line end.
    fn line(&mut self, bytes: &[u8]) -> usize {
        match memchr::memchr2(b'\n', 0, bytes) {
            Some(end) => {
                self.append(&bytes[..=end]);
                self.state = State::LineEnd;
                end + 1
            }
            None => {
                self.append(bytes);
                bytes.len()
            }
        }
    }

    /// Decides what the byte after a line end, or after a line end and `<`, is part of.
    fn after_line(&mut self, next: u8, each: &mut dyn FnMut(Frame<'_>)) -> usize {
        match (self.state, next) {
            (State::LineEnd, b'<') => {
                self.state = State::LineEndAndLess;
                return 1;
            }
            (State::LineEndAndLess, b'0'..=b'9') => {
                self.emit(each);
                self.append(b"<");
            }
            (State::LineEndAndLess, _) => self.append(b"<"),
            _ => {}
        }
        self.state = State::Line;
        0
    }

    fn length(&mut self, length: Option<usize>, next: u8) -> Result<usize, FrameError> {
        self.state = match (length, next) {
            // Line ends between messages are no part of the format, and some senders write them.
            (None, b'\n' | b'\r' | 0) => State::Length(None),
            (None, b'1'..=b'9') => State::Length(Some(usize::from(next - b'0'))),
            (Some(length), b'0'..=b'9') => {
                // The limit is far below where this could overflow.
                let length = length * 10 + usize::from(next - b'0');
                if length > self.limit {
                    return Err(FrameError::TooLong { length, limit: self.limit });
                }
                State::Length(Some(length))
            }
            (Some(length), b' ') => State::Body(length),
            (_, other) => return Err(FrameError::NoLength(other)),
        };
        Ok(1)
    }

    fn body(&mut self, missing: usize, bytes: &[u8], each: &mut dyn FnMut(Frame<'_>)) -> usize {
        let used = missing.min(bytes.len());
        self.append(&bytes[..used]);
        if used == missing {
            self.emit(each);
            self.state = State::Length(None);
        } else {
            self.state = State::Body(missing - used);
        }
        used
    }

    fn append(&mut self, bytes: &[u8]) {
        let (fits, over) = bytes.split_at(bytes.len().min(self.limit - self.message.len()));
        self.message.extend_from_slice(fits);
        self.is_over |= over.iter().any(|byte| !is_line_end(byte));
    }

    fn emit(&mut self, each: &mut dyn FnMut(Frame<'_>)) {
        let is_cut = std::mem::take(&mut self.is_over);
        if is_cut {
            cut_to(self.limit, &mut self.message);
        }
        let bytes = without_line_ends(&self.message);
        if !bytes.is_empty() {
            each(Frame { bytes, is_cut });
        }
        self.message.clear();
        // One long message does not keep its memory for as long as the connection lasts.
        self.message.shrink_to(8 * 1024);
    }
}

/// Finds the messages in one datagram, which ends all that is in it. What is neither a line that begins a message nor has
/// its true length before it is a message too, for the parser to judge.
pub(crate) fn datagram(bytes: &[u8], limit: usize, each: &mut dyn FnMut(Frame<'_>)) {
    let mut framer = Framer { state: State::Line, ..Framer::new(limit) };
    let mut rest = bytes;
    while let Some((message, left)) = counted(rest) {
        framer.append(message);
        framer.emit(each);
        rest = left;
    }
    while let Some(&first) = rest.first() {
        let used =
            if framer.state == State::Line { framer.line(rest) } else { framer.after_line(first, each) };
        rest = &rest[used..];
    }
    framer.emit(each);
}

/// A message with its length before it, and what is behind it.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let length = std::str::from_utf8(&bytes[..digits]).ok()?.parse::<usize>().ok()?;
    let message = bytes[digits..].strip_prefix(b" ")?;
    message.split_at_checked(length).filter(|(message, _)| message.first() == Some(&b'<'))
}

/// Senders end messages with CR LF, LF or NUL also where a length or the datagram says where the end is.
fn without_line_ends(message: &[u8]) -> &[u8] {
    let end = message.iter().rposition(|byte| !is_line_end(byte)).map_or(0, |last| last + 1);
    &message[..end]
}

fn is_line_end(byte: &u8) -> bool {
    matches!(byte, b'\n' | b'\r' | 0)
}

#[cfg(test)]
mod tests;
