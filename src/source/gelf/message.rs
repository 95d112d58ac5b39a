//! One GELF message.
//! In: its JSON.  Out: its line, time and what is known of it.  Owns: nothing.
//!
//! The line is JSON again, with the known fields first and the others by name, as Promtail writes them: texts as Go escapes
//! them, numbers as they were sent.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::pipeline::go_json_text;
use crate::record::UnixNanos;
use crate::source::syslog::severity;

/// The fields that come first, in this order.
const FIRST: [&str; 7] =
    ["version", "host", "short_message", "full_message", "timestamp", "level", "facility"];

/// What a message says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) line: String,
    pub(super) timestamp: Option<UnixNanos>,
    pub(super) level: Option<&'static str>,
    pub(super) host: Option<String>,
    pub(super) version: Option<String>,
    pub(super) facility: Option<String>,
}

/// The text is no message. Nothing of it is repeated: the agent's own log is no place for it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Malformed {
    #[error("it is no JSON: {0}")]
    Syntax(serde_json::Error),
    #[error("it is JSON, but no object")]
    NoObject,
}

impl From<serde_json::Error> for Malformed {
    fn from(error: serde_json::Error) -> Malformed {
        if error.is_data() { Malformed::NoObject } else { Malformed::Syntax(error) }
    }
}

/// Reads a message. Bytes that are no UTF-8 become U+FFFD, as in Go.
pub(super) fn parse(json: &[u8]) -> Result<Message, Malformed> {
    let text = String::from_utf8_lossy(json);
    // Senders end it as they do over TCP.
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text.trim_end_matches('\0'))?;
    let text_of =
        |name: &str| fields.get(name).and_then(|value| plain(value)).filter(|text| !text.is_empty());
    Ok(Message {
        line: line(&fields),
        timestamp: text_of("timestamp").and_then(|seconds| nanos(&seconds)),
        level: text_of("level").and_then(|level| severity(level.parse().ok()?)),
        host: text_of("host"),
        version: text_of("version"),
        facility: text_of("facility"),
    })
}

/// A text, or a number as it is written.
fn plain(value: &RawValue) -> Option<String> {
    match value.get().as_bytes().first()? {
        b'"' => serde_json::from_str(value.get()).ok(),
        b'0'..=b'9' | b'-' => Some(value.get().to_owned()),
        _ => None,
    }
}

fn line(fields: &BTreeMap<String, &RawValue>) -> String {
    let mut line = String::from("{");
    let first = FIRST.iter().filter_map(|name| fields.get_key_value(*name));
    let others = fields.iter().filter(|(name, _)| !FIRST.contains(&name.as_str()));
    for (name, value) in first.chain(others) {
        if line.len() > 1 {
            line.push(',');
        }
        go_json_text(name, &mut line);
        line.push(':');
        match serde_json::from_str::<String>(value.get()) {
            Ok(text) => go_json_text(&text, &mut line),
            Err(_) => line.push_str(value.get()),
        }
    }
    line.push('}');
    line
}

/// The time of so many seconds since 1970, to the nanosecond where they are written without an exponent.
fn nanos(seconds: &str) -> Option<UnixNanos> {
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let is_plain = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_plain(whole) || !is_plain(fraction) {
        let nanos = seconds.parse::<f64>().ok()? * 1e9;
        // From 2^63 on it is no time that Loki could have.
        return (nanos.abs() < 9.2e18).then_some(UnixNanos(nanos as i64));
    }
    let fraction: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let whole = whole.parse::<i64>().ok()?.checked_mul(1_000_000_000)?;
    whole.checked_add(fraction.parse().ok()?).map(UnixNanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_known_fields_first_and_the_others_by_name() {
        let message = parse(
            br#"{"_b": 12345678901234567890, "_a": "x\u0026y<", "level": 3, "short_message": "hi\/", "host": "h", "version": "1.1",
                "timestamp": 1385053862.3072, "facility": "f", "full_message": "long", "_c": 1.50, "file": null, "_d": [1, {"e": 2}]}"#,
        );
        let message = message.unwrap();
        assert_eq!(
            message.line,
            r#"{"version":"1.1","host":"h","short_message":"hi/","full_message":"long","timestamp":1385053862.3072,"level":3,"facility":"f","_a":"x\u0026y\u003c","_b":12345678901234567890,"_c":1.50,"_d":[1, {"e": 2}],"file":null}"#
        );
        assert_eq!(message.timestamp, Some(UnixNanos(1_385_053_862_307_200_000)));
        assert_eq!(message.level, Some("error"));
        let known = [message.host, message.version, message.facility];
        assert_eq!(known.map(Option::unwrap), ["h", "1.1", "f"]);
    }

    #[test]
    fn what_a_message_leaves_out_is_absent() {
        assert_eq!(parse(b"{}\0").unwrap(), Message { line: "{}".to_owned(), ..Message::default() });
        let message =
            parse(br#"{"host": "", "level": 8, "timestamp": "soon", "version": null, "facility": {}}"#)
                .unwrap();
        assert_eq!(message, Message { line: message.line.clone(), ..Message::default() });
        assert_eq!(parse(br#"{"level": "6"}"#).unwrap().level, Some("informational"));
        assert_eq!(parse(b"{\"_x\": \"\xff\"}").unwrap().line, "{\"_x\":\"\u{fffd}\"}");
        for wrong in ["", "[]", "1", "{", "{} {}", "text"] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn seconds_are_exact_as_far_as_they_are_written() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1.000000001", Some(1_000_000_001)),
            ("1385053862.30725", Some(1_385_053_862_307_250_000)),
            ("1.0000000019", Some(1_000_000_001)),
            ("1.5e9", Some(1_500_000_000_000_000_000)),
            ("-1.5", Some(-1_500_000_000)),
            ("9223372036.854775807", Some(i64::MAX)),
            ("9223372036.854775808", None),
            ("99999999999", None),
            ("1e300", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nanos(text), expected.map(UnixNanos), "{text}");
        }
    }
}
