//! Sprig's dicts; `set`, `unset` and `merge` change the first one in place.
//! In: dicts and keys.  Out: values, lists, dicts.  Owns: nothing.

use std::rc::Rc;

use super::super::call::{Call, Outcome, Row, row};
use super::super::error::Problem;
use super::super::limits::{Budget, VALUE_DEPTH_LIMIT};
use super::super::print::shown;
use super::super::value::{Dict, Element, Entries, Value};

pub(super) const ROWS: &[Row] = &[
    row("dict", "*a", dict),
    row("dig", "*a", dig),
    row("get", "ds", get).takes_root(),
    row("hasKey", "ds", has_key).takes_root(),
    row("keys", "*d", keys),
    row("merge", "d*d", |call| merge_all(call, false)),
    row("mustMerge", "d*d", |call| merge_all(call, false)),
    row("mergeOverwrite", "d*d", |call| merge_all(call, true)),
    row("mustMergeOverwrite", "d*d", |call| merge_all(call, true)),
    row("omit", "d*s", |call| selected(call, false)),
    row("pick", "d*s", |call| selected(call, true)),
    row("pluck", "s*d", pluck),
    row("set", "dsa", set),
    row("unset", "ds", unset),
    row("values", "d", values),
];

/// Keys and values in turn; a key without a value gets the empty text.
fn dict<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let mut entries = Entries::new();
    let mut arguments = std::mem::take(&mut call.arguments).into_iter();
    while let Some(key) = arguments.next() {
        entries.insert(shown(&key)?, arguments.next().unwrap_or(Value::text("")));
    }
    call.new_dict(Element::Any, entries)
}

/// The value behind a path of keys, or the default that stands before the dict.
fn dig<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let mut path = std::mem::take(&mut call.arguments);
    let (Some(mut value), Some(default), false) = (path.pop(), path.pop(), path.is_empty()) else {
        return call.fail("wants at least a key, a default and a dict");
    };
    for key in &path {
        let (Value::Dict(dict), Value::Text(key)) = (&value, key) else {
            return call.fail(format!("wants texts and dicts, got a value of type {}", value.type_name()));
        };
        let Some(found) = dict.get(key) else { return Ok(default) };
        value = found;
    }
    Ok(value)
}

fn get<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let missing = || Value::text("");
    Ok(match call.value(0) {
        Value::Root(root) => root.0.get(call.text(1)).map_or_else(missing, Value::text),
        Value::Dict(dict) => dict.get(call.text(1)).unwrap_or_else(missing),
        _ => missing(),
    })
}

fn has_key<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    Ok(Value::Bool(match call.value(0) {
        Value::Root(root) => root.0.get(call.text(1)).is_some(),
        Value::Dict(dict) => dict.entries.borrow().contains_key(call.text(1)),
        _ => false,
    }))
}

fn keys<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let mut names = Vec::new();
    for at in 0..call.count() {
        if let Some(dict) = call.dict(at) {
            names.extend(dict.entries.borrow().keys().cloned());
            call.budget.step(names.len() / 8)?;
        }
    }
    call.texts(names)
}

fn values<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let items = call.dict(0).map_or_else(Vec::new, |dict| dict.entries.borrow().values().cloned().collect());
    call.list(items)
}

fn pluck<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let dicts = (1..call.count()).filter_map(|at| call.dict(at));
    let items = dicts.filter_map(|dict| dict.get(call.text(0))).collect();
    call.list(items)
}

/// The entries with these keys, or those with others.
fn selected<'a>(call: &mut Call<'_, 'a>, kept: bool) -> Outcome<'a> {
    let mut entries = Entries::new();
    let Some(dict) = call.dict(0) else { return call.new_dict(Element::Any, entries) };
    for (key, value) in dict.entries.borrow().iter() {
        call.budget.step(1 + call.count() / 8)?;
        if (1..call.count()).any(|at| call.text(at) == key) == kept {
            entries.insert(key.clone(), value.clone());
        }
    }
    call.new_dict(Element::Any, entries)
}

fn set<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let Some(dict) = call.dict(0) else { return call.fail("cannot set a key of nil") };
    let key = call.text(1).to_owned();
    call.budget.made(64 + key.len())?;
    dict.entries.borrow_mut().insert(key, call.take(2));
    Ok(Value::Dict(dict))
}

fn unset<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    if let Some(dict) = call.dict(0) {
        dict.entries.borrow_mut().remove(call.text(1));
    }
    Ok(call.take(0))
}

fn merge_all<'a>(call: &mut Call<'_, 'a>, overwrites: bool) -> Outcome<'a> {
    let Some(target) = call.dict(0) else { return call.fail("cannot merge into nil") };
    for at in 1..call.count() {
        if let Some(source) = call.dict(at) {
            merge(call.budget, &target, &source, overwrites, 0)?;
        }
    }
    Ok(Value::Dict(target))
}

/// Fills what is missing or empty in the target, or overwrites; dicts on both sides are merged in turn.
fn merge<'a>(
    budget: &mut Budget<'a>,
    target: &Rc<Dict<'a>>,
    source: &Rc<Dict<'a>>,
    overwrites: bool,
    depth: usize,
) -> Result<(), Problem> {
    if depth > VALUE_DEPTH_LIMIT {
        return Err(Problem::Limit { what: "values in each other", limit: VALUE_DEPTH_LIMIT });
    }
    if Rc::ptr_eq(target, source) {
        return Ok(());
    }
    let entries = source.entries.borrow().clone();
    budget.step(1 + entries.len())?;
    for (key, value) in entries {
        budget.made(64 + key.len())?;
        let known = target.get(&key);
        match (&known, &value) {
            (Some(Value::Dict(inner)), Value::Dict(other)) => {
                merge(budget, inner, other, overwrites, depth + 1)?
            }
            (Some(known), _) if known.truth() && !overwrites => {}
            _ => {
                target.entries.borrow_mut().insert(key, value);
            }
        }
    }
    Ok(())
}
