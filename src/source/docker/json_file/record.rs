//! One record of a json-file log: `{"log":"a line\n","stream":"stdout","time":"2026-11-23T14:00:01.1Z"}`.
//! In: bytes up to a newline.  Out: output, time and text of a message.  Owns: nothing; the caller lends a buffer.

use std::borrow::Cow;

use serde::Deserialize;

use crate::record::{Output, UnixNanos};
use crate::source::docker::stamp;

/// What every record begins with. Inside of a record's text its quotes are escaped.
const BEGINNING: &[u8] = b"{\"log\":\"";

/// One message.
#[derive(Debug, PartialEq)]
pub(super) struct Record<'r> {
    pub(super) output: Output,
    pub(super) time: UnixNanos,
    pub(super) text: &'r [u8],
    /// Something stood before it that is no record.
    pub(super) torn: bool,
}

/// A record as any JSON writer might put it.
#[derive(Deserialize)]
struct Plain<'r> {
    #[serde(borrow, default)]
    log: Cow<'r, str>,
    #[serde(borrow, default)]
    stream: Cow<'r, str>,
    #[serde(borrow)]
    time: Cow<'r, str>,
}

/// Reads a line of the file without its end; `text` is used for what has to be unescaped. A record that was begun when the
/// power went has the next one behind it on the same line.
pub(super) fn parse<'r>(line: &'r [u8], text: &'r mut Vec<u8>) -> Option<Record<'r>> {
    let (found, torn) = match read(line, text) {
        Some(found) => (found, false),
        None => {
            let last = memchr::memmem::rfind(line, BEGINNING).filter(|at| *at > 0)?;
            (read(&line[last..], text)?, true)
        }
    };
    let (output, time) = found;
    Some(Record { output, time, text, torn })
}

/// Output and time; the text is put into `text`.
fn read(line: &[u8], text: &mut Vec<u8>) -> Option<(Output, UnixNanos)> {
    text.clear();
    usual(line, text).or_else(|| {
        text.clear();
        whatever(line, text)
    })
}

/// As dockerd writes it, without attributes.
fn usual(line: &[u8], text: &mut Vec<u8>) -> Option<(Output, UnixNanos)> {
    let rest = unescape(line.strip_prefix(BEGINNING)?, text)?;
    let (output, rest) = match rest.strip_prefix(b",\"stream\":\"stdout\",\"time\":\"") {
        Some(rest) => (Output::Stdout, rest),
        None => (Output::Stderr, rest.strip_prefix(b",\"stream\":\"stderr\",\"time\":\"")?),
    };
    Some((output, stamp::trimmed(rest.strip_suffix(b"\"}")?)?))
}

fn whatever(line: &[u8], text: &mut Vec<u8>) -> Option<(Output, UnixNanos)> {
    let plain: Plain<'_> = serde_json::from_slice(line).ok()?;
    let time = stamp::trimmed(plain.time.as_bytes()).or_else(|| stamp::parse(&plain.time))?;
    text.extend_from_slice(plain.log.as_bytes());
    let output = if plain.stream == "stderr" { Output::Stderr } else { Output::Stdout };
    Some((output, time))
}

/// A JSON string's bytes go into `text`; what stands behind its closing quote.
fn unescape<'b>(mut bytes: &'b [u8], text: &mut Vec<u8>) -> Option<&'b [u8]> {
    loop {
        let at = memchr::memchr2(b'"', b'\\', bytes)?;
        text.extend_from_slice(&bytes[..at]);
        let rest = &bytes[at + 1..];
        if bytes[at] == b'"' {
            return Some(rest);
        }
        let (kind, after) = rest.split_first()?;
        let byte = match kind {
            b'n' => b'\n',
            b'"' | b'\\' | b'/' => *kind,
            b'r' => b'\r',
            b't' => b'\t',
            b'b' => 8,
            b'f' => 12,
            b'u' => {
                bytes = unescape_code(after, text)?;
                continue;
            }
            _ => return None,
        };
        text.push(byte);
        bytes = after;
    }
}

/// Behind `\u`: four digits, or a pair of surrogates.
fn unescape_code<'b>(bytes: &'b [u8], text: &mut Vec<u8>) -> Option<&'b [u8]> {
    let (mut code, mut rest) = four_digits(bytes)?;
    if (0xd800..0xdc00).contains(&code) {
        let (low, after) = four_digits(rest.strip_prefix(b"\\u")?)?;
        let low = low.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
        code = 0x10000 + ((code - 0xd800) << 10) + low;
        rest = after;
    }
    let mut encoded = [0; 4];
    text.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut encoded).as_bytes());
    Some(rest)
}

fn four_digits(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = bytes.split_at_checked(4)?;
    let code = digits.iter().try_fold(0, |code, digit| Some(code * 16 + char::from(*digit).to_digit(16)?))?;
    Some((code, rest))
}

/// What serde_json reads is read the same way, and nothing panics.
#[cfg(any(fuzzing, test))]
#[allow(clippy::panic, reason = "a fuzz target says what is wrong by panicking")]
pub(crate) fn fuzz(line: &[u8]) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    if let (Some(found), Some(expected)) = (usual(line, &mut ours), whatever(line, &mut theirs)) {
        assert_eq!((found, &ours), (expected, &theirs));
    }
    let mut text = Vec::new();
    if let Some(record) = parse(line, &mut text) {
        assert!(record.text.len() <= line.len());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_text(line: &[u8]) -> Option<(Output, i64, String, bool)> {
        let mut text = Vec::new();
        let Record { output, time, text, torn } = parse(line, &mut text)?;
        Some((output, time.0, String::from_utf8_lossy(text).into_owned(), torn))
    }

    #[test]
    fn records_are_read_as_dockerd_and_others_write_them() {
        let read = |line: &str| read_text(line.as_bytes()).unwrap();
        let first = r#"{"log":"{\"a\":\"\u003cé\u0001\ud83d\ude00\\\"}\n","stream":"stderr","time":"2025-11-18T10:30:00.12Z"}"#;
        let text = "{\"a\":\"<é\u{1}😀\\\"}\n".to_owned();
        assert_eq!(read(first), (Output::Stderr, 1_763_461_800_120_000_000, text, false));
        let attributes =
            r#"{"log":"x","stream":"stdout","attrs":{"tag":"}\""},"time":"2025-11-18T10:30:00Z"}"#;
        assert_eq!(read(attributes), (Output::Stdout, 1_763_461_800_000_000_000, "x".to_owned(), false));
        let other = r#" {"time":"2025-11-18T11:30:00.5+01:00", "log":"x"}"#;
        assert_eq!(read(other), (Output::Stdout, 1_763_461_800_500_000_000, "x".to_owned(), false));
    }

    #[test]
    fn a_record_behind_a_torn_one_or_zeros_is_found() {
        let whole = r#"{"log":"whole\n","stream":"stdout","time":"2025-11-18T10:30:00Z"}"#;
        for before in ["{\"log\":\"tor", "\0\0\0", "}", "{\"log\":\"x\",\"stream\":\"std"] {
            let (_, _, text, torn) = read_text(format!("{before}{whole}").as_bytes()).unwrap();
            assert_eq!((text.as_str(), torn), ("whole\n", true), "{before:?}");
        }
        for bad in [
            "",
            "\0",
            "{}",
            "{\"log\":\"x",
            "hello",
            r#"{"log":"\x","stream":"stdout","time":"2025-11-18T10:30:00Z"}"#,
        ] {
            assert_eq!(read_text(bad.as_bytes()), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_serde_writes_is_read(text in ".{0,80}", nanos in 0i64..2_000_000_000_000_000_000, stderr in any::<bool>()) {
            let time = jiff::Timestamp::from_nanosecond(i128::from(nanos)).unwrap().to_string();
            let log = serde_json::to_string(&text).unwrap();
            let stream = if stderr { "stderr" } else { "stdout" };
            let line = format!(r#"{{"log":{log},"stream":"{stream}","time":"{time}"}}"#);
            fuzz(line.as_bytes());
            let mut buffer = Vec::new();
            let (output, found) = usual(line.as_bytes(), &mut buffer).unwrap();
            prop_assert_eq!((output == Output::Stderr, found.0, buffer), (stderr, nanos, text.into_bytes()));
        }

        #[test]
        fn no_bytes_can_panic_the_parser(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..100) {
            fuzz(&bytes);
            let whole = br#"{"log":"a\u0041\n","stream":"stdout","time":"2025-11-18T10:30:00.1Z"}"#;
            fuzz(&whole[..cut.min(whole.len())]);
            fuzz(&[&whole[..cut.min(whole.len())], &bytes[..], &whole[..]].concat());
        }
    }
}
