//! Messages as RFC 3164 describes them: `<34>Oct 11 22:14:15 host su[42]: text`, and what devices make of that.
//! In: one message.  Out: as many of its parts as can be told apart.  Owns: nothing.
//!
//! The RFC records habits, and nothing in it is sure to be there. So no message is refused: what cannot be told stays in
//! the text. A message of RFC 5424 is read as what it is. Cisco's counters and origin before the time, and the colon
//! behind it, are known.

mod timestamp;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::source::syslog::message::{MOST_PRIORITY, Message};
use crate::source::syslog::rfc5424;

/// When and where a message is read, for what its time leaves out.
#[derive(Clone, Debug)]
pub(super) struct Here {
    pub(super) now: Timestamp,
    pub(super) zone: TimeZone,
}

/// Cisco's message counter, its sequence number and its origin; one more for good measure.
const MOST_BEFORE_TIME: usize = 4;

/// Bounds of the RFC that came after this one; what is longer is no such thing.
const LONGEST_HOSTNAME: usize = 255;
const LONGEST_TAG: usize = 128;

/// Takes a message apart.
pub(super) fn parse<'a>(bytes: &'a [u8], here: &Here) -> Message<'a> {
    if let Ok(message) = rfc5424::parse(bytes) {
        return message;
    }
    let (priority, rest) = priority(bytes);
    let rest = rest.trim_ascii_start();
    let mut message = Message { priority, text: rest, ..Message::default() };
    if let Some(head) = head(rest, here) {
        message.timestamp = head.timestamp;
        message.hostname = head.origin;
        message.text = head.rest.trim_ascii_start();
        if !head.is_ciscos {
            take_hostname(&mut message);
        }
    }
    take_tag(&mut message);
    message
}

/// A priority, where there is a valid one.
fn priority(bytes: &[u8]) -> (Option<u8>, &[u8]) {
    let found = || {
        let rest = bytes.strip_prefix(b"<")?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = std::str::from_utf8(&rest[..digits]).ok()?.parse::<u8>().ok()?;
        let rest = rest[digits..].strip_prefix(b">")?;
        (digits <= 3 && number <= MOST_PRIORITY).then_some((number, rest))
    };
    found().map_or((None, bytes), |(number, rest)| (Some(number), rest))
}

/// All up to the time, and the time.
struct Head<'a> {
    timestamp: Option<crate::record::UnixNanos>,
    origin: Option<&'a str>,
    is_ciscos: bool,
    rest: &'a [u8],
}

fn head<'a>(bytes: &'a [u8], here: &Here) -> Option<Head<'a>> {
    let mut rest = bytes;
    let mut origin = None;
    for _ in 0..MOST_BEFORE_TIME {
        // Cisco's marks for a clock that is not, or was not, set by NTP.
        let time = rest.strip_prefix(b"*").or_else(|| rest.strip_prefix(b".")).unwrap_or(rest);
        if let Some(found) = timestamp::read(time, here) {
            let is_ciscos = found.has_colon || rest.len() < bytes.len();
            return Some(Head { timestamp: found.time, origin, is_ciscos, rest: found.rest });
        }
        let colon =
            rest.iter().take(LONGEST_HOSTNAME).position(|byte| !byte.is_ascii_graphic() || *byte == b':')?;
        let word = &rest[..colon];
        if !word.iter().all(u8::is_ascii_digit) {
            origin = std::str::from_utf8(word).ok();
        }
        rest = rest[colon..].strip_prefix(b": ")?.trim_ascii_start();
    }
    None
}

/// Takes the first word for the host's name, unless it is the tag or all there is.
fn take_hostname(message: &mut Message<'_>) {
    if tag(message.text).is_some() {
        return;
    }
    let Some(space) = message.text.iter().position(|byte| *byte == b' ') else { return };
    let (word, rest) = message.text.split_at(space);
    if word.len() > LONGEST_HOSTNAME || !word.iter().all(u8::is_ascii_graphic) {
        return;
    }
    message.hostname = std::str::from_utf8(word).ok();
    let rest = rest.trim_ascii_start();
    // Cisco's firewalls: `host : %ASA-…`.
    message.text = rest.strip_prefix(b": ").map_or(rest, <[u8]>::trim_ascii_start);
}

fn take_tag(message: &mut Message<'_>) {
    if let Some((name, proc_id, rest)) = tag(message.text) {
        (message.app_name, message.proc_id, message.text) = (Some(name), proc_id, rest);
    }
}

/// `name: ` or `name[id]: `, and what follows.
fn tag(text: &[u8]) -> Option<(&str, Option<&str>, &[u8])> {
    let end = text
        .iter()
        .take(LONGEST_TAG + 1)
        .position(|byte| !byte.is_ascii_graphic() || b":[".contains(byte))?;
    let (name, mut rest) = text.split_at(end);
    let mut proc_id = None;
    if let Some(inside) = rest.strip_prefix(b"[") {
        let end =
            inside.iter().take(LONGEST_TAG + 1).position(|byte| !byte.is_ascii_graphic() || *byte == b']')?;
        proc_id = Some(std::str::from_utf8(&inside[..end]).ok()?).filter(|id| !id.is_empty());
        rest = inside[end..].strip_prefix(b"]")?;
    }
    let rest = rest.strip_prefix(b":")?;
    // Without the space it could be anything, such as the beginning of a URL.
    let rest = if rest.is_empty() { rest } else { rest.strip_prefix(b" ")? };
    // A number alone is a counter.
    let name =
        std::str::from_utf8(name).ok().filter(|name| !name.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some((name, proc_id, rest))
}

#[cfg(test)]
mod tests;
