//! The functions Promtail adds to Sprig's or puts in their place.
//! In: texts, the subject first.  Out: texts.  Owns: nothing.

use std::fmt::Write;

use regex::bytes::Regex;
use sha2::Digest;

use super::super::call::{Call, Outcome, Row, row};
use super::super::error::Problem;
use super::super::limits::Sink;
use super::super::value::Value;
use super::strings::{replace, trim_set, trim_set_end, trim_set_start};
use crate::pipeline::re2::Replacement;

pub(super) const ROWS: &[Row] = &[
    row("ToLower", "s", super::strings::lower),
    row("ToUpper", "s", super::strings::upper),
    row("Replace", "sssi", |call| replace(call.text(0), call.text(1), call.text(2), call.int(3))),
    row("Trim", "ss", |call| Ok(Value::Text(trim_set(&call.take_text(0), call.text(1))))),
    row("TrimLeft", "ss", |call| Ok(Value::Text(trim_set_start(&call.take_text(0), call.text(1))))),
    row("TrimRight", "ss", |call| Ok(Value::Text(trim_set_end(&call.take_text(0), call.text(1))))),
    row("TrimPrefix", "ss", |call| {
        let text = call.take_text(0);
        Ok(Value::Text(text.part(|text| text.strip_prefix(call.text(1)).unwrap_or(text))))
    }),
    row("TrimSuffix", "ss", |call| {
        let text = call.take_text(0);
        Ok(Value::Text(text.part(|text| text.strip_suffix(call.text(1)).unwrap_or(text))))
    }),
    row("TrimSpace", "s", super::strings::trim),
    row("Hash", "ss", |call| Ok(salted::<sha3::Sha3_256>(call))),
    row("Sha2Hash", "ss", |call| Ok(salted::<sha2::Sha256>(call))),
    row("regexReplaceAll", "sss", regex_replace_all).regex_first(),
    row("regexReplaceAllLiteral", "sss", regex_replace_all_literal).regex_first(),
];

/// How many matches, and how many pieces of a replacement, are as much work as one step.
const MATCHES_PER_STEP: usize = 16;
const PIECES_PER_STEP: usize = 64;

/// Bytes in hex, as all hashes are written.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a String cannot fail.
        if write!(text, "{byte:02x}").is_err() {
            break;
        }
    }
    text
}

/// The hash of both texts in a row.
fn salted<'a, D: Digest>(call: &Call<'_, 'a>) -> Value<'a> {
    let mut digest = D::new();
    digest.update(call.text(0));
    digest.update(call.text(1));
    Value::text(hex(&digest.finalize()))
}

pub(super) fn regex_replace_all<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let regex = call.regex()?;
    let replacement = Replacement::parse(call.text(2));
    replace_matches(call, &regex, replacement.pieces(), |captures, _, sink| {
        let mut pieces = replacement.expansion(captures);
        pieces.try_for_each(|piece| sink.push_str(&String::from_utf8_lossy(piece)))
    })
}

pub(super) fn regex_replace_all_literal<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let regex = call.regex()?;
    replace_matches(call, &regex, 1, |_, literal, sink| sink.push_str(literal))
}

/// Copies the text with every match replaced; `write` is given the match and the replacement as it stands in the call.
fn replace_matches<'a>(
    call: &mut Call<'_, 'a>,
    regex: &Regex,
    pieces: usize,
    write: impl Fn(&regex::bytes::Captures<'_>, &str, &mut Sink<'_>) -> Result<(), Problem>,
) -> Outcome<'a> {
    call.built(|sink, arguments, budget| {
        let [_, Value::Text(text), Value::Text(with)] = arguments else { return Ok(()) };
        let mut end = 0;
        for (count, captures) in regex.captures_iter(text.as_bytes()).enumerate() {
            // Even where nothing is written, there is work for each match and each piece.
            budget.step(usize::from(count % MATCHES_PER_STEP == 0) + pieces / PIECES_PER_STEP)?;
            let Some(found) = captures.get(0) else { continue };
            // An empty match inside a character is none in Go.
            let Some(between) = text.get(end..found.start()) else { continue };
            if !text.is_char_boundary(found.end()) {
                continue;
            }
            sink.push_str(between)?;
            write(&captures, with, sink)?;
            end = found.end();
        }
        sink.push_str(text.get(end..).unwrap_or(""))
    })
}
