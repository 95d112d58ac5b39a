//! Texts to lists and back: `split`, `join` and their relatives.
//! In: texts and lists.  Out: lists, dicts and texts.  Owns: nothing.

use super::super::call::{Call, Outcome, Row, row};
use super::super::error::Problem;
use super::super::limits::{Sink, build};
use super::super::print::{show, shown};
use super::super::text::Text;
use super::super::value::{Element, Entries, Value};

pub(super) const ROWS: &[Row] = &[
    row("join", "sa", |call| {
        let text = build(|sink| joined(sink, call.text(0), call.value(1)))?;
        Ok(Value::text(text))
    }),
    row("sortAlpha", "a", sort_alpha),
    row("split", "ss", |call| numbered(call, -1, 1)),
    row("splitList", "ss", |call| {
        let pieces = pieces(&call.take_text(1), call.text(0), -1);
        call.texts(pieces)
    }),
    row("splitn", "sis", |call| numbered(call, call.int(1), 2)),
    row("toStrings", "a", |call| {
        let texts = texts(call.value(0))?;
        call.texts(texts)
    }),
];

/// `strings.SplitN`; an empty separator splits into characters.
fn pieces<'a>(text: &Text<'a>, separator: &str, count: i64) -> Vec<Text<'a>> {
    let most = if count < 0 { usize::MAX } else { usize::try_from(count).unwrap_or(usize::MAX) };
    if most == 0 {
        return Vec::new();
    }
    let mut bounds = Vec::new();
    let mut start = 0;
    // An empty separator is found before the first character and behind the last; neither splits anything.
    let found =
        text.match_indices(separator).filter(|(at, found)| !found.is_empty() || (1..text.len()).contains(at));
    for (at, found) in found.take(most - 1) {
        bounds.push((start, at));
        start = at + found.len();
    }
    if !(text.is_empty() && separator.is_empty()) {
        bounds.push((start, text.len()));
    }
    bounds.into_iter().map(|(start, end)| text.part(|text| text.get(start..end).unwrap_or(""))).collect()
}

/// A dict of `_0`, `_1` and so on.
fn numbered<'a>(call: &mut Call<'_, 'a>, count: i64, subject: usize) -> Outcome<'a> {
    let pieces = pieces(&call.take_text(subject), call.text(0), count);
    call.budget.step(pieces.len())?;
    let named = |(at, piece)| (format!("_{at}"), Value::Text(piece));
    let entries: Entries<'a> = pieces.into_iter().enumerate().map(named).collect();
    call.new_dict(Element::Text, entries)
}

/// A list of texts: the elements that are something, or the value itself.
fn texts<'a>(value: &Value<'a>) -> Result<Vec<Text<'a>>, Problem> {
    let text = |value: &Value<'a>| match value {
        Value::Text(text) => Ok(text.clone()),
        other => shown(other).map(Text::from),
    };
    match value {
        Value::List(list) => list.items.iter().filter(|item| !matches!(item, Value::Nil)).map(text).collect(),
        Value::Nil => Ok(Vec::new()),
        other => Ok(vec![text(other)?]),
    }
}

fn joined(sink: &mut Sink<'_>, separator: &str, value: &Value<'_>) -> Result<(), Problem> {
    let Value::List(list) = value else {
        return if matches!(value, Value::Nil) { Ok(()) } else { show(sink, value) };
    };
    let present = list.items.iter().filter(|item| !matches!(item, Value::Nil));
    for (at, item) in present.enumerate() {
        sink.push_str(if at > 0 { separator } else { "" })?;
        show(sink, item)?;
    }
    Ok(())
}

fn sort_alpha<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let mut texts = match call.value(0) {
        Value::Nil => vec![Text::Borrowed("<nil>")],
        value => texts(value)?,
    };
    texts.sort_by(|one, other| str::cmp(one, other));
    call.texts(texts)
}
