//! Sprig's functions on texts: cut, trim, search, quote, indent.
//! In: texts, the subject last.  Out: texts.  Owns: nothing.

use super::super::call::{Call, Outcome, Row, row};
use super::super::error::Problem;
use super::super::limits::{Sink, build, text_length};
use super::super::print::{show, shown};
use super::super::quote::push_quoted;
use super::super::text::Text;
use super::super::value::Value;

pub(super) const ROWS: &[Row] = &[
    row("cat", "*a", |call| call.built(|sink, values, _| cat(sink, values))),
    row("contains", "ss", |call| Ok(Value::Bool(call.text(1).contains(call.text(0))))),
    row("hasPrefix", "ss", |call| Ok(Value::Bool(call.text(1).starts_with(call.text(0))))),
    row("hasSuffix", "ss", |call| Ok(Value::Bool(call.text(1).ends_with(call.text(0))))),
    row("hello", "", |_| Ok(Value::text("Hello!"))),
    row("indent", "is", |call| indented(call, "")),
    row("initials", "s", initials),
    row("lower", "s", lower),
    row("nindent", "is", |call| indented(call, "\n")),
    row("nospace", "s", |call| {
        Ok(Value::text(call.text(0).chars().filter(|next| !is_space(*next)).collect::<String>()))
    }),
    row("plural", "ssi", |call| Ok(call.take(usize::from(call.int(2) != 1)))),
    row("quote", "*a", |call| call.built(|sink, values, _| quote(sink, values))),
    row("repeat", "is", repeat),
    row("replace", "sss", |call| replace(call.text(2), call.text(0), call.text(1), -1)),
    row("squote", "*a", |call| call.built(|sink, values, _| squote(sink, values))),
    row("substr", "iis", substr),
    row("toString", "a", |call| match call.take(0) {
        Value::Text(text) => Ok(Value::Text(text)),
        value => Ok(Value::text(shown(&value)?)),
    }),
    row("trim", "s", trim),
    row("trimAll", "ss", |call| Ok(Value::Text(trim_set(&call.take_text(1), call.text(0))))),
    row("trimall", "ss", |call| Ok(Value::Text(trim_set(&call.take_text(1), call.text(0))))),
    row("trimPrefix", "ss", |call| {
        let text = call.take_text(1);
        Ok(Value::Text(text.part(|text| text.strip_prefix(call.text(0)).unwrap_or(text))))
    }),
    row("trimSuffix", "ss", |call| {
        let text = call.take_text(1);
        Ok(Value::Text(text.part(|text| text.strip_suffix(call.text(0)).unwrap_or(text))))
    }),
    row("trunc", "is", trunc),
    row("upper", "s", upper),
];

/// `unicode.IsSpace`; the standard library's `is_whitespace` is the same set.
pub(super) fn is_space(character: char) -> bool {
    character.is_whitespace()
}

/// Bytes from `start` to `end`, both within the text. A character cut in two leaves U+FFFD.
pub(super) fn cut<'a>(text: &Text<'a>, start: usize, end: usize) -> Text<'a> {
    if text.is_char_boundary(start) && text.is_char_boundary(end) {
        return text.part(|text| text.get(start..end).unwrap_or(""));
    }
    let bytes = text.as_bytes().get(start..end).unwrap_or(&[]);
    Text::from(String::from_utf8_lossy(bytes).into_owned())
}

/// Go lowers each character on its own, so no final sigma; `İ` alone lowers to one character.
pub(super) fn lowered(character: char) -> char {
    let mut lower = character.to_lowercase();
    lower.next().filter(|_| lower.next().is_none() || character == '\u{130}').unwrap_or(character)
}

/// Go has no special casing: `ß` stays.
pub(super) fn uppered(character: char) -> char {
    let mut upper = character.to_uppercase();
    upper.next().filter(|_| upper.next().is_none()).unwrap_or(character)
}

pub(super) fn lower<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let text = call.take_text(0);
    if !text.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii()) {
        return Ok(Value::Text(text));
    }
    if text.is_ascii() {
        return Ok(Value::text(text.to_ascii_lowercase()));
    }
    Ok(Value::text(text.chars().map(lowered).collect::<String>()))
}

pub(super) fn upper<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let text = call.take_text(0);
    if !text.bytes().any(|byte| byte.is_ascii_lowercase() || !byte.is_ascii()) {
        return Ok(Value::Text(text));
    }
    if text.is_ascii() {
        return Ok(Value::text(text.to_ascii_uppercase()));
    }
    Ok(Value::text(text.chars().map(uppered).collect::<String>()))
}

pub(super) fn trim<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    Ok(Value::Text(call.take_text(0).part(|text| text.trim_matches(is_space))))
}

/// A set of characters to trim. A long one is searched by halves, or two long texts would take their product in time.
fn any_of(set: &str) -> impl FnMut(char) -> bool + '_ {
    let mut sorted: Vec<char> = if set.len() > 32 { set.chars().collect() } else { Vec::new() };
    sorted.sort_unstable();
    move |next| if sorted.is_empty() { set.contains(next) } else { sorted.binary_search(&next).is_ok() }
}

pub(super) fn trim_set<'a>(text: &Text<'a>, set: &str) -> Text<'a> {
    trim_set_end(&trim_set_start(text, set), set)
}

pub(super) fn trim_set_start<'a>(text: &Text<'a>, set: &str) -> Text<'a> {
    text.part(|text| text.trim_start_matches(any_of(set)))
}

pub(super) fn trim_set_end<'a>(text: &Text<'a>, set: &str) -> Text<'a> {
    text.part(|text| text.trim_end_matches(any_of(set)))
}

/// `strings.Replace`; a negative count is all. An empty `old` matches before each character and at the end.
pub(super) fn replace<'a>(text: &str, old: &str, new: &str, count: i64) -> Outcome<'a> {
    let most = usize::try_from(count).unwrap_or(usize::MAX);
    let replaced = build(|sink| {
        let mut end = 0;
        for (start, found) in text.match_indices(old).take(most) {
            sink.push_str(text.get(end..start).unwrap_or(""))?;
            sink.push_str(new)?;
            end = start + found.len();
        }
        sink.push_str(text.get(end..).unwrap_or(""))
    })?;
    Ok(Value::text(replaced))
}

fn repeat<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let Ok(count) = usize::try_from(call.int(0)) else { return call.fail("negative repeat count") };
    text_length(call.text(1).len().checked_mul(count))?;
    Ok(Value::text(call.text(1).repeat(count)))
}

/// Bytes; a negative start reads as none, an end below zero or beyond the text as the end.
fn substr<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let text = call.take_text(2);
    let (start, end) = (call.int(0), call.int(1));
    let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
    let (start, end) = match (start, end) {
        (..0, end) => (0, end),
        (start, end) if end < 0 || end > length => (start, length),
        bounds => bounds,
    };
    match (usize::try_from(start), usize::try_from(end)) {
        (Ok(start), Ok(end)) if start <= end && end <= text.len() => Ok(Value::Text(cut(&text, start, end))),
        _ => call.fail(format!("slice bounds out of range [{start}:{end}]")),
    }
}

/// The first so many bytes, or with a negative count the last.
fn trunc<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let text = call.take_text(1);
    let length = text.len();
    let count = usize::try_from(call.int(0).unsigned_abs()).unwrap_or(usize::MAX);
    if count >= length {
        return Ok(Value::Text(text));
    }
    let (start, end) = if call.int(0) < 0 { (length - count, length) } else { (0, count) };
    Ok(Value::Text(cut(&text, start, end)))
}

/// The first byte of each word, as a character; goutils looks at bytes.
fn initials<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let mut after_gap = true;
    let mut text = String::new();
    for character in call.text(0).bytes().map(char::from) {
        let is_gap = is_space(character);
        if after_gap && !is_gap {
            text.push(character);
        }
        after_gap = is_gap;
    }
    Ok(Value::text(text))
}

/// Spaces before each line. Go would also refuse a negative number.
fn indented<'a>(call: &mut Call<'_, 'a>, before: &str) -> Outcome<'a> {
    let Ok(spaces) = usize::try_from(call.int(0)) else { return call.fail("negative number of spaces") };
    text_length(Some(spaces))?;
    let pad = " ".repeat(spaces);
    let text = build(|sink| {
        sink.push_str(before)?;
        for (at, line) in call.text(1).split('\n').enumerate() {
            if at > 0 {
                sink.push('\n')?;
            }
            sink.push_str(&pad)?;
            sink.push_str(line)?;
        }
        Ok(())
    })?;
    Ok(Value::text(text))
}

fn present<'v, 'a>(values: &'v [Value<'a>]) -> impl Iterator<Item = (usize, &'v Value<'a>)> {
    values.iter().filter(|value| !matches!(value, Value::Nil)).enumerate()
}

fn cat(sink: &mut Sink<'_>, values: &[Value<'_>]) -> Result<(), Problem> {
    present(values).try_for_each(|(at, value)| {
        sink.push_str(if at > 0 { " " } else { "" })?;
        show(sink, value)
    })
}

fn quote(sink: &mut Sink<'_>, values: &[Value<'_>]) -> Result<(), Problem> {
    present(values).try_for_each(|(at, value)| {
        sink.push_str(if at > 0 { " " } else { "" })?;
        match value {
            Value::Text(text) => push_quoted(sink, text, false),
            value => push_quoted(sink, &shown(value)?, false),
        }
    })
}

fn squote(sink: &mut Sink<'_>, values: &[Value<'_>]) -> Result<(), Problem> {
    present(values).try_for_each(|(at, value)| {
        sink.push_str(if at > 0 { " '" } else { "'" })?;
        show(sink, value)?;
        sink.push('\'')
    })
}
