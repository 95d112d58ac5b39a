//! Choosing between values: `default`, `coalesce`, `ternary` and their relatives; and `fail`.
//! In: values.  Out: one of them, or a verdict.  Owns: nothing.

use super::super::call::{Call, Outcome, Row, row};
use super::super::error::Problem;
use super::super::value::Value;

pub(super) const ROWS: &[Row] = &[
    row("all", "*a", |call| Ok(Value::Bool(call.arguments.iter().all(Value::truth)))),
    row("any", "*a", |call| Ok(Value::Bool(call.arguments.iter().any(Value::truth)))),
    row("coalesce", "*a", coalesce),
    row("default", "a*a", |call| {
        let given = usize::from(call.value(1).truth());
        Ok(call.take(given))
    }),
    row("empty", "a", |call| Ok(Value::Bool(!call.value(0).truth()))),
    row("fail", "s", |call| Err(Problem::said(call.text(0).to_owned()))),
    row("ternary", "aab", |call| {
        let chosen = usize::from(!call.bool(2));
        Ok(call.take(chosen))
    }),
];

/// The first that is not empty.
fn coalesce<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let first = call.arguments.iter().position(Value::truth);
    Ok(first.map_or(Value::Nil, |first| call.take(first)))
}
