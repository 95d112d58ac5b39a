//! Messages as RFC 5424 has them: `<165>1 2003-10-11T22:14:15.003Z host app 42 ID47 [id name="value"] text`.
//! In: one message.  Out: its parts, or what is wrong with it and where.  Owns: nothing.
//!
//! Strict in the header, as Promtail is, so that a message in another format is not taken for one with odd fields. More
//! is allowed where nothing can be misread: nine digits of a second instead of six, any escape in structured data. The
//! text is any bytes; a byte order mark before it stays, as in Promtail.

use std::borrow::Cow;

use jiff::Timestamp;

use crate::record::UnixNanos;
use crate::source::syslog::message::{MOST_PRIORITY, Message};

/// The message is no such thing from this byte on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} at byte {at}")]
pub(super) struct Malformed {
    pub(super) expected: &'static str,
    pub(super) at: usize,
}

/// What is left of a message.
#[derive(Clone, Copy)]
pub(super) struct Rest<'a> {
    pub(super) bytes: &'a [u8],
    at: usize,
}

/// Parses one message.
pub(super) fn parse(bytes: &[u8]) -> Result<Message<'_>, Malformed> {
    let mut rest = Rest { bytes, at: 0 };
    let mut message =
        Message { priority: Some(priority(&mut rest)?), is_rfc5424: true, ..Message::default() };
    version(&mut rest)?;
    rest.space()?;
    message.timestamp = timestamp(&mut rest)?;
    rest.space()?;
    message.hostname = rest.field(255, "a host name")?;
    rest.space()?;
    message.app_name = rest.field(48, "an application name")?;
    rest.space()?;
    message.proc_id = rest.field(128, "a process id")?;
    rest.space()?;
    message.msg_id = rest.field(32, "a message id")?;
    rest.space()?;
    message.structured_data = structured_data(&mut rest)?;
    if !rest.bytes.is_empty() {
        rest.space()?;
        message.text = rest.bytes;
    }
    Ok(message)
}

/// `<` and up to three digits without leading zeros and `>`.
fn priority(rest: &mut Rest<'_>) -> Result<u8, Malformed> {
    let whole = *rest;
    let malformed = whole.malformed("a priority such as <165>");
    rest.take_byte(b'<').ok_or(malformed)?;
    let digits = rest.digits(3);
    rest.take_byte(b'>').ok_or(malformed)?;
    let has_zeros = digits.len() > 1 && digits[0] == b'0';
    let number = number(digits).filter(|number| *number <= u32::from(MOST_PRIORITY) && !has_zeros);
    number.and_then(|number| u8::try_from(number).ok()).ok_or(malformed)
}

fn version(rest: &mut Rest<'_>) -> Result<(), Malformed> {
    let malformed = rest.malformed("a version such as 1");
    let digits = rest.digits(3);
    if digits.first().is_none_or(|first| *first == b'0') { Err(malformed) } else { Ok(()) }
}

fn timestamp(rest: &mut Rest<'_>) -> Result<Option<UnixNanos>, Malformed> {
    let malformed = rest.malformed("a time such as 2003-10-11T22:14:15.003Z");
    let text = rest.word();
    if text == b"-" {
        return Ok(None);
    }
    let time = rfc3339(text).ok_or(malformed)?;
    // Times that Loki cannot have are no reason to lose the message.
    Ok(i64::try_from(time.as_nanosecond()).ok().map(UnixNanos))
}

/// A time in the one form the RFC allows.
pub(super) fn rfc3339(text: &[u8]) -> Option<Timestamp> {
    let (wall, mut zone) = text.split_at_checked("2003-10-11T22:14:15".len())?;
    let shape = b"dddd-dd-ddTdd:dd:dd";
    let fits = |(byte, shape): (&u8, &u8)| if *shape == b'd' { byte.is_ascii_digit() } else { byte == shape };
    if !wall.iter().zip(shape).all(fits) {
        return None;
    }
    if let [b'.', digits @ ..] = zone {
        let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=9).contains(&count) {
            return None;
        }
        zone = &digits[count..];
    }
    let is_zone = match zone {
        [b'Z'] => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => [h1, h2, m1, m2].into_iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_zone.then_some(())?;
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `-`, or elements one behind the other.
fn structured_data<'a>(rest: &mut Rest<'a>) -> Result<&'a [u8], Malformed> {
    if rest.take_byte(b'-').is_some() {
        return Ok(b"");
    }
    let start = *rest;
    if rest.bytes.first() != Some(&b'[') {
        return Err(rest.malformed("structured data or -"));
    }
    while rest.bytes.first() == Some(&b'[') {
        element(rest, &mut |_, _, _| {})?;
    }
    Ok(&start.bytes[..start.bytes.len() - rest.bytes.len()])
}

/// Calls `each` with element id, name and value of all parameters of [checked](structured_data) structured data.
pub(super) fn parameters<'a>(checked: &'a [u8], mut each: impl FnMut(&'a str, &'a str, Cow<'a, [u8]>)) {
    let mut rest = Rest { bytes: checked, at: 0 };
    while !rest.bytes.is_empty() && element(&mut rest, &mut each).is_ok() {}
}

/// `[id name="value" …]`.
fn element<'a>(
    rest: &mut Rest<'a>,
    each: &mut impl FnMut(&'a str, &'a str, Cow<'a, [u8]>),
) -> Result<(), Malformed> {
    rest.expect(b'[', "an element of structured data")?;
    let id = rest.name("the id of an element of structured data")?;
    while rest.take_byte(b' ').is_some() {
        let name = rest.name("the name of a parameter of structured data")?;
        rest.expect(b'=', "= after the name of a parameter")?;
        rest.expect(b'"', "\" before the value of a parameter")?;
        each(id, name, rest.value()?);
    }
    rest.expect(b']', "] at the end of structured data")
}

impl<'a> Rest<'a> {
    /// From a message of which `before` bytes are parsed.
    pub(super) fn malformed(&self, expected: &'static str) -> Malformed {
        Malformed { expected, at: self.at }
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, left) = self.bytes.split_at(count);
        (self.bytes, self.at) = (left, self.at + count);
        taken
    }

    fn take_byte(&mut self, wanted: u8) -> Option<()> {
        let found = self.bytes.first() == Some(&wanted);
        found.then(|| {
            self.take(1);
        })
    }

    fn expect(&mut self, wanted: u8, expected: &'static str) -> Result<(), Malformed> {
        let malformed = self.malformed(expected);
        self.take_byte(wanted).ok_or(malformed)
    }

    fn space(&mut self) -> Result<(), Malformed> {
        self.expect(b' ', "a space")
    }

    fn count(&self, belongs: impl Fn(&u8) -> bool) -> usize {
        self.bytes.iter().take_while(|byte| belongs(byte)).count()
    }

    /// Up to `most` digits.
    fn digits(&mut self, most: usize) -> &'a [u8] {
        self.take(self.count(u8::is_ascii_digit).min(most))
    }

    /// Up to the next space.
    fn word(&mut self) -> &'a [u8] {
        self.take(memchr::memchr(b' ', self.bytes).unwrap_or(self.bytes.len()))
    }

    /// A field of the header; `-` says that there is none.
    fn field(&mut self, most: usize, expected: &'static str) -> Result<Option<&'a str>, Malformed> {
        let malformed = self.malformed(expected);
        let word = self.word();
        if word.is_empty() || word.len() > most || !word.iter().all(u8::is_ascii_graphic) {
            return Err(malformed);
        }
        let word = std::str::from_utf8(word).map_err(|_| malformed)?;
        Ok((word != "-").then_some(word))
    }

    /// An id or a name of structured data.
    fn name(&mut self, expected: &'static str) -> Result<&'a str, Malformed> {
        let malformed = self.malformed(expected);
        let name = self.take(self.count(|byte| byte.is_ascii_graphic() && !b"=]\"".contains(byte)));
        if !(1..=32).contains(&name.len()) {
            return Err(malformed);
        }
        std::str::from_utf8(name).map_err(|_| malformed)
    }

    /// The value of a parameter and the quote behind it, without its escapes.
    fn value(&mut self) -> Result<Cow<'a, [u8]>, Malformed> {
        let start = *self;
        let mut plain: Option<Vec<u8>> = None;
        loop {
            let length = self.count(|byte| !b"\\\"]".contains(byte));
            let part = self.take(length);
            if let Some(plain) = &mut plain {
                plain.extend_from_slice(part);
            }
            match *self.bytes {
                [b'"', ..] => {
                    let raw = &start.bytes[..start.bytes.len() - self.bytes.len()];
                    self.take(1);
                    return Ok(plain.map_or(Cow::Borrowed(raw), Cow::Owned));
                }
                [b'\\', next, ..] => {
                    let before = &start.bytes[..start.bytes.len() - self.bytes.len()];
                    let plain = plain.get_or_insert_with(|| before.to_vec());
                    // Before anything else a backslash is itself.
                    if !b"\\\"]".contains(&next) {
                        plain.push(b'\\');
                    }
                    plain.push(next);
                    self.take(2);
                }
                _ => return Err(self.malformed("\" after the value of a parameter")),
            }
        }
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
