//! Go's other builtins: `index slice len call print printf println html js urlquery`.
//! In: values.  Out: values and texts.  Owns: nothing.

use super::super::call::{Call, Outcome, Row, row};
use super::super::error::Problem;
use super::super::limits::Sink;
use super::super::print::{show, shown};
use super::super::printf::printf;
use super::super::quote::is_printable;
use super::super::value::{Integer, Value};
use super::lists;

pub(super) const ROWS: &[Row] = &[
    row("index", "a*a", index).takes_root(),
    row("slice", "a*a", slice),
    row("len", "a", len),
    row("call", "a*a", |call| call.fail("the value is not a function")),
    row("print", "*a", |call| call.built(|sink, values, _| print(sink, values))),
    row("println", "*a", |call| call.built(|sink, values, _| print_line(sink, values))),
    row("printf", "s*a", |call| {
        call.built(|sink, values, _| match values {
            [Value::Text(format), values @ ..] => printf(sink, format, values),
            _ => Ok(()),
        })
    }),
    row("html", "*a", |call| escape(call, html)),
    row("js", "*a", |call| escape(call, js)),
    row("urlquery", "*a", |call| escape(call, url_query)),
];

fn index<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let mut item = call.take(0);
    if matches!(item, Value::Nil) {
        return call.fail("index of untyped nil");
    }
    for at in 1..call.count() {
        item = element(call, &item, call.value(at))?;
    }
    Ok(item)
}

fn element<'a>(call: &Call<'_, 'a>, item: &Value<'a>, key: &Value<'a>) -> Outcome<'a> {
    match (item, key) {
        (Value::Root(root), Value::Text(key)) => Ok(root.0.get(key).map_or(Value::Nil, Value::text)),
        (Value::Dict(dict), Value::Text(key)) => Ok(dict.get(key).unwrap_or_else(|| dict.zero())),
        (Value::Root(_) | Value::Dict(_), key) => {
            call.fail(format!("value has type {}; should be string", key.type_name()))
        }
        (Value::List(list), Value::Int(at, _)) => {
            let found = usize::try_from(*at).ok().and_then(|at| list.items.get(at));
            found.cloned().ok_or_else(|| out_of_range(*at))
        }
        (Value::Text(text), Value::Int(at, _)) => {
            let found = usize::try_from(*at).ok().and_then(|at| text.as_bytes().get(at));
            found.map(|byte| Value::Int((*byte).into(), Integer::Uint8)).ok_or_else(|| out_of_range(*at))
        }
        (Value::List(_) | Value::Text(_), key) => {
            call.fail(format!("cannot index with a value of type {}", key.type_name()))
        }
        (Value::Nil, _) => call.fail("index of nil"),
        (item, _) => call.fail(format!("cannot index an item of type {}", item.type_name())),
    }
}

fn out_of_range(at: i64) -> Problem {
    Problem::said(format!("index out of range: {at}"))
}

/// Sprig's `slice` hides Go's and takes lists only; on texts, where Sprig's fails, this is Go's.
fn slice<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let Value::Text(text) = call.value(0).clone() else { return lists::slice(call) };
    let mut bounds = [0, text.len()];
    if call.count() > 3 {
        return call.fail("cannot 3-index slice a string");
    }
    for at in 1..call.count() {
        let Value::Int(bound, _) = call.value(at) else {
            return call.fail(format!("cannot slice with a value of type {}", call.value(at).type_name()));
        };
        let fits = usize::try_from(*bound).ok().filter(|&bound| bound <= text.len());
        bounds[at - 1] = fits.ok_or_else(|| out_of_range(*bound))?;
    }
    if bounds[0] > bounds[1] {
        return call.fail(format!("invalid slice index: {} > {}", bounds[0], bounds[1]));
    }
    Ok(Value::Text(super::strings::cut(&text, bounds[0], bounds[1])))
}

fn len<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    match call.value(0) {
        Value::Text(text) => Ok(Value::count(text.len())),
        Value::List(list) => Ok(Value::count(list.items.len())),
        Value::Dict(dict) => Ok(Value::count(dict.entries.borrow().len())),
        Value::Nil => call.fail("len of untyped nil"),
        other => call.fail(format!("len of type {}", other.type_name())),
    }
}

/// `fmt.Sprint`: a blank between two values neither of which is a text.
fn print(sink: &mut Sink<'_>, values: &[Value<'_>]) -> Result<(), Problem> {
    let is_text = |value: &Value<'_>| matches!(value, Value::Text(_));
    for (at, value) in values.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| values.get(before));
        if before.is_some_and(|before| !is_text(before) && !is_text(value)) {
            sink.push(' ')?;
        }
        show(sink, value)?;
    }
    Ok(())
}

fn print_line(sink: &mut Sink<'_>, values: &[Value<'_>]) -> Result<(), Problem> {
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            sink.push(' ')?;
        }
        show(sink, value)?;
    }
    sink.push('\n')
}

fn escape<'a>(call: &mut Call<'_, 'a>, write: fn(&mut Sink<'_>, &str) -> Result<(), Problem>) -> Outcome<'a> {
    for value in &mut call.arguments {
        if matches!(value, Value::Nil) {
            *value = Value::text("<no value>");
        }
    }
    call.built(|sink, values, _| match values {
        [value] => write(sink, &shown(value)?),
        values => write(sink, &super::super::limits::build(|sink| print(sink, values))?),
    })
}

fn html(sink: &mut Sink<'_>, text: &str) -> Result<(), Problem> {
    text.chars().try_for_each(|character| match character {
        '"' => sink.push_str("&#34;"),
        '\'' => sink.push_str("&#39;"),
        '&' => sink.push_str("&amp;"),
        '<' => sink.push_str("&lt;"),
        '>' => sink.push_str("&gt;"),
        '\0' => sink.push('\u{fffd}'),
        _ => sink.push(character),
    })
}

fn js(sink: &mut Sink<'_>, text: &str) -> Result<(), Problem> {
    text.chars().try_for_each(|character| match character {
        '\\' | '\'' | '"' => {
            sink.push('\\')?;
            sink.push(character)
        }
        '<' | '>' | '&' | '=' => sink.write(format_args!("\\u{:04X}", u32::from(character))),
        _ if character < ' ' => sink.write(format_args!("\\u{:04X}", u32::from(character))),
        _ if character.is_ascii() || is_printable(character) => sink.push(character),
        _ => sink.write(format_args!("\\u{:04X}", u32::from(character))),
    })
}

/// `url.QueryEscape`.
pub(super) fn url_query(sink: &mut Sink<'_>, text: &str) -> Result<(), Problem> {
    text.bytes().try_for_each(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => sink.push(char::from(byte)),
        b' ' => sink.push('+'),
        _ => sink.write(format_args!("%{byte:02X}")),
    })
}
