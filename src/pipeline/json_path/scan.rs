//! Reads top-level keys of the JSON objects that logs mostly are, faster than serde_json does.
//! In: a JSON text, the keys asked for.  Out: their values, or nothing where the text is of another kind.  Owns: nothing.
//!
//! Whatever is not plain gives nothing, and serde_json has the last word: `\u` escapes, objects and arrays that are asked for,
//! numbers with a fraction, everything malformed. A test and a fuzz target hold that both find the same.

use crate::pipeline::entry::{Span, Symbol, Value};
use crate::pipeline::json_path::{Extraction, PathTree};

/// Objects and arrays within each other that are passed over here.
const DEPTH: u32 = 32;

/// Digits of an integer that is a double exactly.
const EXACT: usize = 15;

/// Reads the keys of a tree that asks for nothing below them. `found` has garbage in it after `None`.
pub(super) fn scan(text: &str, tree: &PathTree, found: &mut Extraction) -> Option<()> {
    let text = text.as_bytes();
    let mut at = space(text, 0);
    if *text.get(at)? != b'{' {
        return None;
    }
    at = space(text, at + 1);
    if *text.get(at)? == b'}' {
        return ends(text, at + 1);
    }
    loop {
        let (key, value) = key(text, at)?;
        at = match tree.keys.iter().find(|(name, _)| name.as_bytes() == key) {
            Some((_, below)) => take_value(text, value, &below.names, found)?,
            None => skip_value(text, value, 0)?,
        };
        at = space(text, at);
        match text.get(at)? {
            b',' => at = space(text, at + 1),
            b'}' => return ends(text, at + 1),
            _ => return None,
        }
    }
}

fn ends(text: &[u8], at: usize) -> Option<()> {
    (space(text, at) == text.len()).then_some(())
}

fn space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// A key without escapes, and where its value begins.
fn key(text: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let begin = open(text, at)?;
    let end = plain(text, begin);
    if *text.get(end)? != b'"' {
        return None;
    }
    Some((&text[begin..end], colon(text, end + 1)?))
}

fn open(text: &[u8], at: usize) -> Option<usize> {
    (*text.get(at)? == b'"').then_some(at + 1)
}

fn colon(text: &[u8], at: usize) -> Option<usize> {
    let at = space(text, at);
    (*text.get(at)? == b':').then(|| space(text, at + 1))
}

/// Takes the value that begins here; where it ends.
fn take_value(text: &[u8], at: usize, names: &[Symbol], found: &mut Extraction) -> Option<usize> {
    let (value, end) = match text.get(at)? {
        b'"' => {
            let start = found.text.len() as u32;
            let end = unescape(text, at + 1, &mut found.text)?;
            (Value::Text(Span { start, end: found.text.len() as u32 }), end)
        }
        b'0'..=b'9' | b'-' => {
            let end = skip_number(text, at)?;
            (Value::Number(integer(&text[at..end])?), end)
        }
        b'n' => (Value::Null, literal(text, at, b"null")?),
        b't' => (Value::Bool(true), literal(text, at, b"true")?),
        b'f' => (Value::Bool(false), literal(text, at, b"false")?),
        _ => return None,
    };
    found.push(names, value);
    Some(end)
}

fn integer(text: &[u8]) -> Option<f64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    // A negative zero is not that of an integer.
    if digits.len() > EXACT
        || !digits.iter().all(u8::is_ascii_digit)
        || (digits.len() < text.len() && digits == b"0")
    {
        return None;
    }
    let value = digits.iter().fold(0, |value: i64, digit| value * 10 + i64::from(digit - b'0'));
    Some(if digits.len() < text.len() { -value } else { value } as f64)
}

fn literal(text: &[u8], at: usize, wanted: &[u8]) -> Option<usize> {
    text[at..].starts_with(wanted).then_some(at + wanted.len())
}

/// Where the value ends that begins here.
fn skip_value(text: &[u8], at: usize, depth: u32) -> Option<usize> {
    match text.get(at)? {
        b'"' => skip_string(text, at + 1),
        b'{' if depth < DEPTH => skip_items(text, at, b'}', |at| {
            let value = colon(text, skip_string(text, open(text, at)?)?)?;
            skip_value(text, value, depth + 1)
        }),
        b'[' if depth < DEPTH => skip_items(text, at, b']', |at| skip_value(text, at, depth + 1)),
        b'n' => literal(text, at, b"null"),
        b't' => literal(text, at, b"true"),
        b'f' => literal(text, at, b"false"),
        b'0'..=b'9' | b'-' => skip_number(text, at),
        _ => None,
    }
}

fn skip_items(
    text: &[u8],
    at: usize,
    close: u8,
    mut skip: impl FnMut(usize) -> Option<usize>,
) -> Option<usize> {
    let mut at = space(text, at + 1);
    if *text.get(at)? == close {
        return Some(at + 1);
    }
    loop {
        at = space(text, skip(at)?);
        match *text.get(at)? {
            b',' => at = space(text, at + 1),
            end if end == close => return Some(at + 1),
            _ => return None,
        }
    }
}

fn skip_number(text: &[u8], at: usize) -> Option<usize> {
    let digits = |from: usize| {
        let count = text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        (count > 0).then_some(from + count)
    };
    let begin = at + usize::from(text.get(at) == Some(&b'-'));
    let mut end = digits(begin)?;
    if text[begin] == b'0' && end > begin + 1 {
        return None;
    }
    if text.get(end) == Some(&b'.') {
        end = digits(end + 1)?;
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        end = digits(end + 1 + sign)?;
    }
    Some(end)
}

/// Where a string ends whose quote is before `at`.
fn skip_string(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at = plain(text, at);
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => escaped(*text.get(at + 1)?)?,
            _ => return None,
        };
        at += 2;
    }
}

/// The same, with what is in it.
fn unescape(text: &[u8], mut at: usize, out: &mut Vec<u8>) -> Option<usize> {
    loop {
        // Eight bytes at a time, of which some may be too many: that is cheaper than to copy some.
        while let Some(eight) = text.get(at..)?.first_chunk::<8>() {
            let length = out.len();
            out.extend_from_slice(eight);
            let plain = plain_in(*eight);
            at += plain;
            if plain < 8 {
                out.truncate(length + plain);
                break;
            }
        }
        let end = plain(text, at);
        out.extend_from_slice(&text[at..end]);
        at = end;
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => out.push(escaped(*text.get(at + 1)?)?),
            _ => return None,
        }
        at += 2;
    }
}

fn escaped(letter: u8) -> Option<u8> {
    match letter {
        b'"' | b'\\' | b'/' => Some(letter),
        b'n' => Some(b'\n'),
        b't' => Some(b'\t'),
        b'r' => Some(b'\r'),
        b'b' => Some(8),
        b'f' => Some(12),
        _ => None,
    }
}

/// The first quote, backslash or control character from `at` on, or the end.
fn plain(text: &[u8], mut at: usize) -> usize {
    while let Some(eight) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let plain = plain_in(*eight);
        at += plain;
        if plain < 8 {
            return at;
        }
    }
    while text.get(at).is_some_and(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)) {
        at += 1;
    }
    at
}

/// How many of eight bytes come before the first quote, backslash or control character.
fn plain_in(eight: [u8; 8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_le_bytes(eight);
    // The highest bit of each byte that is zero, or less than 0x20: the first one that is set is right, those behind it may not be.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let special = zero(word ^ (ONES * 0x22)) | zero(word ^ (ONES * 0x5c)) | control;
    (special & (ONES << 7)).trailing_zeros() as usize / 8
}

/// What is found in a text is what serde_json finds in it; whether it was found here.
///
/// # Panics
///
/// Where it is something else.
#[cfg(any(fuzzing, test))]
pub(crate) fn compare(text: &str) -> bool {
    let mut tree = PathTree::default();
    for (index, key) in ["log", "stream", "time", "a", "é"].into_iter().enumerate() {
        tree.insert(&[super::Step::Key(key.to_owned())], Symbol(index as u16));
    }
    let (mut fast, mut slow) = (Extraction::default(), Extraction::default());
    let scanned = scan(text, &tree, &mut fast);
    if scanned.is_some() {
        assert!(tree.read_with_serde(text, &mut slow).is_ok(), "serde_json refuses {text:?}");
        assert_eq!((fast.values, fast.text), (slow.values, slow.text), "{text:?}");
    }
    scanned.is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// JSON as it is, and as it is not.
    fn json() -> impl Strategy<Value = String> {
        let string = prop_oneof![
            "[a-z \u{e9}\u{10ffff}\u{7f}]{0,20}",
            "(\\\\[\"\\\\/bfnrtu0x]|[a-z]{0,9}|\\\\u00e9|\u{1}){0,6}",
        ];
        let string = string.prop_map(|text| format!("\"{text}\""));
        let number =
            prop_oneof!["-?[0-9]{1,18}", "-?[0-9]{1,3}\\.[0-9]{0,3}", "-?[0-9]{1,2}[eE][+-]?[0-9]{0,2}"];
        let word = prop_oneof![Just("null"), Just("true"), Just("false"), Just("nul"), Just("-"), Just("+1")];
        let leaf = prop_oneof![3 => string, 2 => number, 1 => word.prop_map(str::to_owned)];
        let space = || prop_oneof![4 => Just(""), 1 => Just(" "), 1 => Just("\t\r\n")];
        let key = prop_oneof![
            Just("log"),
            Just("stream"),
            Just("time"),
            Just("a"),
            Just("é"),
            Just("b"),
            Just("\\u0061")
        ];
        let value = leaf.prop_recursive(3, 16, 4, move |inner| {
            let item = (space(), inner, space()).prop_map(|(before, inner, after)| format!("{before}{inner}{after}"));
            let field = (key.clone(), space(), item.clone()).prop_map(|(key, space, item)| format!("\"{key}\"{space}:{item}"));
            prop_oneof![
                1 => proptest::collection::vec(item, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
                3 => proptest::collection::vec(field, 0..5).prop_map(|fields| format!("{{{}}}", fields.join(","))),
            ]
        });
        (space(), value, prop_oneof![6 => Just(""), 1 => Just(" "), 1 => Just("x"), 1 => Just(",")])
            .prop_map(|(before, value, after)| format!("{before}{value}{after}"))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

        #[test]
        fn what_is_found_is_what_serde_finds(text in json(), cut in any::<prop::sample::Index>(), letter in "[\"\\\\{}\\[\\],:0-9a-z\u{0}]") {
            compare(&text);
            let cuts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            if !cuts.is_empty() {
                let at = cuts[cut.index(cuts.len())];
                compare(&text[..at]);
                compare(&format!("{}{letter}{}", &text[..at], &text[at..]));
            }
        }
    }

    #[test]
    fn lines_of_docker_and_of_applications_are_read_here_and_odd_ones_are_left() {
        for plain in [
            r#"{"log":"{\"level\":\"INFO\",\"message\":\"a\\nb\"}\n","stream":"stdout","time":"2026-11-24T07:00:00.000000000Z"}"#,
            r#"{"a":-12,"b":{"c":[1.5,"x\"",null,{}]},"log":true,"time":false,"stream":null}"#,
            " {} ",
            "{\"a\" : 123456789012345 ,\n\"é\":\"\"}\r\n",
        ] {
            assert!(compare(plain), "{plain}");
        }
        for odd in [
            "",
            "null",
            "[]",
            "{",
            "{}}",
            "{\"a\":1.5}",
            "{\"a\":[]}",
            "{\"a\":-0}",
            "{\"a\":1234567890123456}",
            "{\"b\":01}",
            r#"{"a":"\u0041"}"#,
            r#"{"b":"\u0041"}"#,
            r#"{"b":"\x"}"#,
            "{\"b\":\"\n\"}",
            "{\"b\":1,}",
            "{\"a\" 1}",
            r#"{"\u0061":1}"#,
        ] {
            assert!(!compare(odd), "{odd}");
        }
    }

    #[test]
    fn eight_bytes_at_once_are_told_apart_as_one_by_one() {
        for special in (0..=255_u8).filter(|byte| byte.is_ascii()) {
            for at in 0..8 {
                let mut eight = [b'x'; 8];
                eight[at] = special;
                let expected = if matches!(special, b'"' | b'\\' | 0..0x20) { at } else { 8 };
                assert_eq!(plain_in(eight), expected, "{special} at {at}");
            }
        }
        assert_eq!(plain_in([0xff, 0x80, 0xa2, 0xdc, 0x9f, 0x7f, 0x20, 0x21]), 8);
    }
}
