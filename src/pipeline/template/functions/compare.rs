//! Go's comparisons and logic: `eq ne lt le gt ge and or not`.
//! In: values.  Out: truth.  Owns: nothing.

use std::cmp::Ordering;

use super::super::call::{Call, Outcome, Row, row};
use super::super::error::Problem;
use super::super::value::Value;

pub(super) const ROWS: &[Row] = &[
    // Evaluated by the renderer, which alone can leave operands alone; the rows hold names and counts.
    row("and", "a*a", never),
    row("or", "a*a", never),
    row("not", "a", |call| Ok(Value::Bool(!call.value(0).truth()))),
    row("eq", "a*a", eq),
    row("ne", "aa", |call| Ok(Value::Bool(!equal(call.value(0), call.value(1))?))),
    row("lt", "aa", |call| Ok(Value::Bool(less(call)?))),
    row("le", "aa", |call| Ok(Value::Bool(less_or_equal(call)?))),
    row("gt", "aa", |call| Ok(Value::Bool(!less_or_equal(call)?))),
    row("ge", "aa", |call| Ok(Value::Bool(!less(call)?))),
];

fn never<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    call.fail("takes its operands from the renderer")
}

/// The first equals any of the others.
fn eq<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    if call.count() < 2 {
        return call.fail("missing argument for comparison");
    }
    for at in 1..call.count() {
        if equal(call.value(0), call.value(at))? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

/// Equality of basic kinds; nothing equals nothing only, and different kinds are a mistake.
fn equal(one: &Value<'_>, other: &Value<'_>) -> Result<bool, Problem> {
    match (one, other) {
        (Value::Nil, Value::Nil) => Ok(true),
        (Value::Nil, _) | (_, Value::Nil) => Ok(false),
        (Value::Bool(one), Value::Bool(other)) => Ok(one == other),
        (Value::Int(one, _), Value::Int(other, _)) => Ok(one == other),
        (Value::Float(one), Value::Float(other)) => Ok(one == other),
        (Value::Text(one), Value::Text(other)) => Ok(**one == **other),
        (Value::Time(one), Value::Time(other)) => Ok(one == other),
        (Value::Version(one), Value::Version(other)) => Ok(std::rc::Rc::ptr_eq(one, other)),
        _ if is_basic(one) != is_basic(other) || is_basic(one) => Err(incompatible()),
        _ => Err(Problem::said(format!("values of type {} cannot be compared", one.type_name()))),
    }
}

fn incompatible() -> Problem {
    Problem::said("incompatible types for comparison")
}

fn is_basic(value: &Value<'_>) -> bool {
    matches!(value, Value::Bool(_) | Value::Int(..) | Value::Float(_) | Value::Text(_))
}

fn order(call: &Call<'_, '_>) -> Result<Option<Ordering>, Problem> {
    let invalid = || Problem::said("invalid type for comparison");
    match (call.value(0), call.value(1)) {
        (Value::Int(one, _), Value::Int(other, _)) => Ok(Some(one.cmp(other))),
        (Value::Float(one), Value::Float(other)) => Ok(one.partial_cmp(other)),
        (Value::Text(one), Value::Text(other)) => Ok(Some((**one).cmp(other))),
        (Value::Bool(_), Value::Bool(_)) => Err(invalid()),
        (one, other) if is_basic(one) && is_basic(other) => Err(incompatible()),
        _ => Err(invalid()),
    }
}

fn less(call: &Call<'_, '_>) -> Result<bool, Problem> {
    Ok(order(call)? == Some(Ordering::Less))
}

fn less_or_equal(call: &Call<'_, '_>) -> Result<bool, Problem> {
    Ok(matches!(order(call)?, Some(Ordering::Less | Ordering::Equal)))
}
