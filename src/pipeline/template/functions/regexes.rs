//! Sprig's regular expressions, besides those Promtail puts its own in place of.
//! In: an expression, a text.  Out: matches.  Owns: nothing.

use regex::bytes::Regex;

use super::super::call::{Call, Outcome, Row, row};
use super::super::text::Text;
use super::super::value::Value;
use super::promtail::{regex_replace_all, regex_replace_all_literal};

pub(super) const ROWS: &[Row] = &[
    row("mustRegexReplaceAll", "sss", regex_replace_all).regex_first(),
    row("mustRegexReplaceAllLiteral", "sss", regex_replace_all_literal).regex_first(),
    row("mustRegexMatch", "ss", |call| {
        let regex = call.regex()?;
        Ok(Value::Bool(regex.is_match(call.text(1).as_bytes())))
    })
    .regex_first(),
    row("regexFind", "ss", find).regex_first(),
    row("mustRegexFind", "ss", find).regex_first(),
    row("regexFindAll", "ssi", find_all).regex_first(),
    row("mustRegexFindAll", "ssi", find_all).regex_first(),
    // Sprig drops the error of this one alone.
    row("regexMatch", "ss", |call| {
        Ok(Value::Bool(match call.regex() {
            Ok(regex) => regex.is_match(call.text(1).as_bytes()),
            Err(_) => false,
        }))
    })
    .regex_first(),
    row("regexQuoteMeta", "s", quote_meta),
    row("regexSplit", "ssi", split).regex_first(),
    row("mustRegexSplit", "ssi", split).regex_first(),
];

/// Matches as Go finds them: none inside a character. At most so many; a negative number is all.
fn matches(regex: &Regex, text: &str, count: i64) -> Vec<(usize, usize)> {
    let most = usize::try_from(count).unwrap_or(usize::MAX);
    let found = regex.find_iter(text.as_bytes()).map(|found| (found.start(), found.end()));
    found.filter(|(start, end)| text.get(*start..*end).is_some()).take(most).collect()
}

fn part<'a>(text: &Text<'a>, start: usize, end: usize) -> Text<'a> {
    text.part(|text| text.get(start..end).unwrap_or(""))
}

fn find<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let regex = call.regex()?;
    let text = call.take_text(1);
    let found = matches(&regex, &text, 1);
    Ok(found.first().map_or(Value::text(""), |(start, end)| Value::Text(part(&text, *start, *end))))
}

fn find_all<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let regex = call.regex()?;
    let text = call.take_text(1);
    let found = matches(&regex, &text, call.int(2));
    call.texts(found.into_iter().map(|(start, end)| part(&text, start, end)))
}

/// `Regexp.Split`; an empty match at the very beginning splits nothing off.
fn split<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let regex = call.regex()?;
    let text = call.take_text(1);
    let count = call.int(2);
    if count == 0 {
        return call.texts(Vec::<Text<'a>>::new());
    }
    if text.is_empty() && !regex.as_str().is_empty() {
        return call.texts([""]);
    }
    let mut pieces = Vec::new();
    let (mut start, mut last_match) = (0, 0);
    for (from, to) in matches(&regex, &text, count) {
        if usize::try_from(count).is_ok_and(|most| pieces.len() + 1 == most) {
            break;
        }
        last_match = from;
        if to != 0 {
            pieces.push(part(&text, start, from));
        }
        start = to;
    }
    if last_match != text.len() {
        pieces.push(part(&text, start, text.len()));
    }
    call.texts(pieces)
}

fn quote_meta<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let mut quoted = String::new();
    for character in call.text(0).chars() {
        if r"\.+*?()|[]{}^$".contains(character) {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    Ok(Value::text(quoted))
}
