//! Sprig's arithmetic. Whatever is no number counts as zero.
//! In: values of any type.  Out: int64 or float64.  Owns: nothing.

mod decimal;

use super::super::call::{Call, Outcome, Row, row};
use super::super::error::Problem;
use super::super::literal::whole;
use super::super::print::shown;
use super::super::value::{Element, Value};
use decimal::Decimal;

pub(super) const ROWS: &[Row] = &[
    row("add", "*a", |call| Ok(Value::int64(ints(call).fold(0, i64::wrapping_add)))),
    row("add1", "a", |call| Ok(Value::int64(to_int(call.value(0)).wrapping_add(1)))),
    row("add1f", "a", |call| {
        call.arguments.push(Value::int(1));
        decimals(call, Decimal::plus)
    }),
    row("addf", "*a", |call| {
        call.arguments.insert(0, Value::int(0));
        decimals(call, Decimal::plus)
    }),
    row("atoi", "s", |call| Ok(Value::int(decimal_digits(call.text(0)).unwrap_or(0)))),
    row("biggest", "a*a", |call| Ok(Value::int64(ints(call).max().unwrap_or(0)))),
    row("ceil", "a", |call| Ok(Value::Float(to_float(call.value(0)).ceil()))),
    row("div", "aa", |call| divided(call, i64::wrapping_div)),
    row("divf", "a*a", |call| decimals(call, Decimal::divided)),
    row("float64", "a", |call| Ok(Value::Float(to_float(call.value(0))))),
    row("floor", "a", |call| Ok(Value::Float(to_float(call.value(0)).floor()))),
    row("int", "a", |call| Ok(Value::int(to_int(call.value(0))))),
    row("int64", "a", |call| Ok(Value::int64(to_int(call.value(0))))),
    row("max", "a*a", |call| Ok(Value::int64(ints(call).max().unwrap_or(0)))),
    row("maxf", "a*a", |call| Ok(Value::Float(extreme(call, |one, other| other > one)))),
    row("min", "a*a", |call| Ok(Value::int64(ints(call).min().unwrap_or(0)))),
    row("minf", "a*a", |call| Ok(Value::Float(extreme(call, |one, other| other < one)))),
    row("mod", "aa", |call| divided(call, i64::wrapping_rem)),
    row("mul", "a*a", |call| Ok(Value::int64(ints(call).fold(1, i64::wrapping_mul)))),
    row("mulf", "a*a", |call| decimals(call, Decimal::times)),
    row("round", "ai*f", round),
    row("seq", "*i", seq),
    row("sub", "aa", |call| Ok(Value::int64(to_int(call.value(0)).wrapping_sub(to_int(call.value(1)))))),
    row("subf", "a*a", |call| decimals(call, Decimal::minus)),
    row("toDecimal", "a", |call| {
        let digits = shown(call.value(0))?;
        Ok(Value::int64(i64::from_str_radix(&digits, 8).unwrap_or(0)))
    }),
    row("until", "i", |call| {
        let stop = call.int(0);
        steps(call, 0, stop, if stop < 0 { -1 } else { 1 })
    }),
    row("untilStep", "iii", |call| steps(call, call.int(0), call.int(1), call.int(2))),
];

/// An integer out of anything, as `spf13/cast` has it: texts by Go's literal syntax, so `010` is eight.
pub(super) fn to_int(value: &Value<'_>) -> i64 {
    match value {
        Value::Bool(truth) => i64::from(*truth),
        Value::Int(number, _) => *number,
        Value::Float(number) => *number as i64,
        Value::Text(text) => whole(without_zero_fraction(text)).unwrap_or(0),
        _ => 0,
    }
}

/// `12.00` is a whole number, `12.01` is none.
fn without_zero_fraction(text: &str) -> &str {
    match text.rsplit_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|byte| byte == b'0') => whole,
        _ => text,
    }
}

/// A float out of anything.
pub(super) fn to_float(value: &Value<'_>) -> f64 {
    match value {
        Value::Bool(truth) => f64::from(u8::from(*truth)),
        Value::Int(number, _) => *number as f64,
        Value::Float(number) => *number,
        Value::Text(text) => text.parse().unwrap_or(0.0),
        _ => 0.0,
    }
}

/// `strconv.Atoi`: decimal digits and a sign, nothing else.
fn decimal_digits(text: &str) -> Option<i64> {
    text.parse().ok()
}

fn ints(call: &Call<'_, '_>) -> impl Iterator<Item = i64> {
    call.arguments.iter().map(to_int)
}

fn divided<'a>(call: &Call<'_, 'a>, divide: fn(i64, i64) -> i64) -> Outcome<'a> {
    match (to_int(call.value(0)), to_int(call.value(1))) {
        (_, 0) => call.fail("division by zero"),
        (one, other) => Ok(Value::int64(divide(one, other))),
    }
}

fn extreme(call: &Call<'_, '_>, wins: fn(f64, f64) -> bool) -> f64 {
    let mut numbers = call.arguments.iter().map(to_float);
    let first = numbers.next().unwrap_or(0.0);
    numbers.fold(
        first,
        |one, other| if one.is_nan() || !(other.is_nan() || wins(one, other)) { one } else { other },
    )
}

fn decimals<'a>(call: &Call<'_, 'a>, apply: fn(Decimal, Decimal) -> Option<Decimal>) -> Outcome<'a> {
    let mut numbers = call.arguments.iter().map(|value| Decimal::of(to_float(value)));
    let mut result = numbers.next().flatten();
    for number in numbers {
        result = match (result, number) {
            (Some(one), Some(other)) => apply(one, other),
            _ => None,
        };
    }
    match result {
        Some(number) => Ok(Value::Float(number.to_float())),
        None => call.fail("the result is no number"),
    }
}

/// Half goes up, or from another fraction on when a third argument says so.
fn round<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let threshold = if call.count() > 2 { call.float(2) } else { 0.5 };
    let power = 10f64.powi(i32::try_from(call.int(1)).unwrap_or(i32::MAX));
    let scaled = power * to_float(call.value(0));
    let rounded = if scaled.fract() >= threshold { scaled.ceil() } else { scaled.floor() };
    Ok(Value::Float(rounded / power))
}

/// From `start` to before `stop`.
fn steps<'a>(call: &mut Call<'_, 'a>, start: i64, stop: i64, step: i64) -> Outcome<'a> {
    let numbers = counted(call, start, stop, step)?;
    call.list_of(Element::Int, numbers.into_iter().map(Value::int).collect())
}

fn counted(call: &mut Call<'_, '_>, start: i64, stop: i64, step: i64) -> Result<Vec<i64>, Problem> {
    let mut numbers = Vec::new();
    let mut next = start;
    while (step > 0 && next < stop) || (step < 0 && next > stop) {
        call.budget.step(1)?;
        numbers.push(next);
        let Some(after) = next.checked_add(step) else { break };
        next = after;
    }
    Ok(numbers)
}

/// The numbers of Unix's `seq` between blanks, the end included.
fn seq<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let (start, step, end) = match call.count() {
        1 => (1, None, call.int(0)),
        2 => (call.int(0), None, call.int(1)),
        3 => (call.int(0), Some(call.int(1)), call.int(2)),
        _ => return Ok(Value::text("")),
    };
    let direction = if end < start { -1 } else { 1 };
    if direction < 0 && step.is_some_and(|step| step > 0) {
        return Ok(Value::text(""));
    }
    let stop = end.saturating_add(direction);
    let numbers = counted(call, start, stop, step.unwrap_or(direction))?;
    Ok(Value::text(numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(" ")))
}
