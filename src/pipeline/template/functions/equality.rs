//! Whole values: comparing and copying them, and what Go's reflection says of them.
//! In: values.  Out: verdicts, copies, names.  Owns: nothing.

use super::super::call::{Outcome, Row, new_dict, new_list, row};
use super::super::error::Problem;
use super::super::limits::{Budget, VALUE_DEPTH_LIMIT};
use super::super::value::{Entries, Value};

pub(super) const ROWS: &[Row] = &[
    row("deepEqual", "aa", |call| {
        let (one, other) = (call.take(0), call.take(1));
        Ok(Value::Bool(deep_equal(call.budget, &one, &other, 0)?))
    }),
    row("deepCopy", "a", |call| {
        let value = call.take(0);
        deep_copy(call.budget, &value, 0)
    }),
    row("mustDeepCopy", "a", |call| {
        let value = call.take(0);
        deep_copy(call.budget, &value, 0)
    }),
    row("kindIs", "sa", |call| Ok(Value::Bool(call.value(1).kind_name() == call.text(0)))),
    row("kindOf", "a", |call| Ok(Value::text(call.value(0).kind_name()))),
    row("typeIs", "sa", |call| Ok(Value::Bool(call.value(1).type_name() == call.text(0)))),
    row("typeIsLike", "sa", |call| {
        let name = call.value(1).type_name();
        Ok(Value::Bool(name == call.text(0) || name.strip_prefix('*') == Some(call.text(0))))
    }),
    row("typeOf", "a", |call| Ok(Value::text(call.value(0).type_name()))),
];

fn too_deep() -> Problem {
    Problem::Limit { what: "values in each other", limit: VALUE_DEPTH_LIMIT }
}

/// `reflect.DeepEqual`: types count too.
pub(super) fn deep_equal<'a>(
    budget: &mut Budget<'a>,
    one: &Value<'a>,
    other: &Value<'a>,
    depth: usize,
) -> Result<bool, Problem> {
    budget.step(1)?;
    if depth > VALUE_DEPTH_LIMIT {
        return Err(too_deep());
    }
    Ok(match (one, other) {
        (Value::Nil, Value::Nil) => true,
        (Value::Bool(one), Value::Bool(other)) => one == other,
        (Value::Int(one, kind), Value::Int(other, other_kind)) => one == other && kind == other_kind,
        (Value::Float(one), Value::Float(other)) => one == other,
        (Value::Text(one), Value::Text(other)) => {
            budget.read(one.len())?;
            **one == **other
        }
        (Value::Time(one), Value::Time(other)) => one == other,
        (Value::Version(one), Value::Version(other)) => one == other,
        (Value::List(one), Value::List(other)) => {
            if one.element != other.element || one.items.len() != other.items.len() {
                return Ok(false);
            }
            for (one, other) in one.items.iter().zip(&other.items) {
                if !deep_equal(budget, one, other, depth + 1)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Dict(one), Value::Dict(other)) => {
            let (entries, others) = (one.entries.borrow(), other.entries.borrow());
            if one.element != other.element || entries.len() != others.len() {
                return Ok(false);
            }
            for ((key, one), (other_key, other)) in entries.iter().zip(others.iter()) {
                if key != other_key || !deep_equal(budget, one, other, depth + 1)? {
                    return Ok(false);
                }
            }
            true
        }
        _ => false,
    })
}

/// Dicts are shared and can change; the copy shares none of them.
fn deep_copy<'a>(budget: &mut Budget<'a>, value: &Value<'a>, depth: usize) -> Outcome<'a> {
    budget.step(1)?;
    if depth > VALUE_DEPTH_LIMIT {
        return Err(too_deep());
    }
    match value {
        Value::List(list) => {
            let mut items = Vec::new();
            for item in &list.items {
                items.push(deep_copy(budget, item, depth + 1)?);
            }
            new_list(budget, list.element, items)
        }
        Value::Dict(dict) => {
            let mut copied = Entries::new();
            for (key, item) in dict.entries.borrow().iter() {
                copied.insert(key.clone(), deep_copy(budget, item, depth + 1)?);
            }
            new_dict(budget, dict.element, copied)
        }
        other => Ok(other.clone()),
    }
}
