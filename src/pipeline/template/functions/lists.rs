//! Sprig's lists. The `must` forms differ in Sprig by how they fail; here all fail the rendering.
//! In: lists.  Out: new lists and elements.  Owns: nothing.

use std::rc::Rc;

use super::super::call::{Call, Outcome, Row, row};
use super::super::error::Problem;
use super::super::value::{Element, List, Value};
use super::equality::deep_equal;
use super::numbers::to_int;

pub(super) const ROWS: &[Row] = &[
    row("append", "aa", append),
    row("mustAppend", "aa", append),
    row("push", "aa", append),
    row("mustPush", "aa", append),
    row("chunk", "ia", chunk),
    row("mustChunk", "ia", chunk),
    row("compact", "a", compact),
    row("mustCompact", "a", compact),
    row("concat", "*a", concat),
    row("first", "a", |call| Ok(list_at(call, 0)?.items.first().cloned().unwrap_or(Value::Nil))),
    row("mustFirst", "a", |call| Ok(list_at(call, 0)?.items.first().cloned().unwrap_or(Value::Nil))),
    row("has", "aa", has),
    row("mustHas", "aa", has),
    row("initial", "a", initial),
    row("mustInitial", "a", initial),
    row("last", "a", |call| Ok(list_at(call, 0)?.items.last().cloned().unwrap_or(Value::Nil))),
    row("mustLast", "a", |call| Ok(list_at(call, 0)?.items.last().cloned().unwrap_or(Value::Nil))),
    row("list", "*a", list),
    row("tuple", "*a", list),
    row("mustSlice", "a*a", slice),
    row("prepend", "aa", prepend),
    row("mustPrepend", "aa", prepend),
    row("rest", "a", rest),
    row("mustRest", "a", rest),
    row("reverse", "a", reverse),
    row("mustReverse", "a", reverse),
    row("uniq", "a", uniq),
    row("mustUniq", "a", uniq),
    row("without", "a*a", without),
    row("mustWithout", "a*a", without),
];

/// The list in this parameter.
pub(super) fn list_at<'a>(call: &Call<'_, 'a>, at: usize) -> Result<Rc<List<'a>>, Problem> {
    match call.value(at) {
        Value::List(list) => Ok(Rc::clone(list)),
        other => call.fail(format!("wants a list, got a value of type {}", other.type_name())),
    }
}

fn list<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let items = std::mem::take(&mut call.arguments);
    call.list(items)
}

fn append<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let mut items = list_at(call, 0)?.items.clone();
    items.push(call.take(1));
    call.list(items)
}

fn prepend<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let mut items = vec![call.value(1).clone()];
    items.extend(list_at(call, 0)?.items.iter().cloned());
    call.list(items)
}

fn chunk<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let list = list_at(call, 1)?;
    let Some(size) = usize::try_from(call.int(0)).ok().filter(|&size| size > 0) else {
        return call.fail("the size of a chunk must be positive");
    };
    let mut chunks = Vec::new();
    for items in list.items.chunks(size) {
        chunks.push(call.list(items.to_vec())?);
    }
    call.list_of(Element::Lists, chunks)
}

fn compact<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let list = list_at(call, 0)?;
    call.list(list.items.iter().filter(|item| item.truth()).cloned().collect())
}

fn concat<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let mut items = Vec::new();
    for at in 0..call.count() {
        items.extend(list_at(call, at)?.items.iter().cloned());
        call.budget.step(items.len() / 8)?;
    }
    call.list(items)
}

fn has<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    if matches!(call.value(1), Value::Nil) {
        return Ok(Value::Bool(false));
    }
    let list = list_at(call, 1)?;
    let needle = call.take(0);
    Ok(Value::Bool(contains(call, &list.items, &needle)?))
}

fn contains<'a>(call: &mut Call<'_, 'a>, items: &[Value<'a>], needle: &Value<'a>) -> Result<bool, Problem> {
    for item in items {
        if deep_equal(call.budget, needle, item, 0)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn initial<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let list = list_at(call, 0)?;
    call.list(list.items.split_last().map_or(Vec::new(), |(_, before)| before.to_vec()))
}

fn rest<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let list = list_at(call, 0)?;
    call.list(list.items.split_first().map_or(Vec::new(), |(_, after)| after.to_vec()))
}

fn reverse<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let list = list_at(call, 0)?;
    call.list(list.items.iter().rev().cloned().collect())
}

fn uniq<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let list = list_at(call, 0)?;
    let mut kept = Vec::new();
    for item in &list.items {
        if !contains(call, &kept, item)? {
            kept.push(item.clone());
        }
    }
    call.list(kept)
}

fn without<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let list = list_at(call, 0)?;
    let omitted = call.arguments.split_off(1);
    let mut kept = Vec::new();
    for item in &list.items {
        if !contains(call, &omitted, item)? {
            kept.push(item.clone());
        }
    }
    call.list(kept)
}

/// From an index to another, by default the end. An empty list gives nothing, whatever the indices.
pub(super) fn slice<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let list = list_at(call, 0)?;
    if list.items.is_empty() {
        return Ok(Value::Nil);
    }
    let bound = |at: usize, default: usize| match call.arguments.get(at) {
        Some(value) => usize::try_from(to_int(value)).ok(),
        None => Some(default),
    };
    let items = match (bound(1, 0), bound(2, list.items.len())) {
        (Some(start), Some(end)) => list.items.get(start..end).map(<[_]>::to_vec),
        _ => None,
    };
    match items {
        Some(items) => call.list_of(list.element, items),
        None => call.fail("slice bounds out of range"),
    }
}
