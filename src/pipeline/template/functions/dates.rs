//! Sprig's dates.
//! In: moments, layouts, zone names.  Out: moments and texts.  Owns: nothing; the clock is read where Sprig reads it.

mod duration;
mod layout;

use std::rc::Rc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ZonedDateTime};

use super::super::call::{Call, Outcome, Row, row};
use super::super::error::Problem;
use super::super::value::{Integer, Value};
use crate::pipeline::go_time;

pub(super) const ROWS: &[Row] = &[
    row("ago", "a", ago),
    row("date", "sa", date),
    row("dateInZone", "sas", date_in_zone),
    row("date_in_zone", "sas", date_in_zone),
    row("dateModify", "st", date_modify),
    row("date_modify", "st", date_modify),
    row("duration", "a", duration),
    row("durationRound", "a", duration_round),
    row("htmlDate", "a", html_date),
    row("htmlDateInZone", "as", html_date_in_zone),
    row("mustDateModify", "st", must_date_modify),
    row("must_date_modify", "st", must_date_modify),
    row("mustToDate", "ss", must_to_date),
    row("now", "", now),
    row("toDate", "ss", to_date),
    row("unixEpoch", "t", unix_epoch),
];

const HTML_DATE: &str = "2006-01-02";

/// What Go prints for a time.
const SHOWN: &str = "2006-01-02 15:04:05.999999999 -0700 MST";

/// `%v` of a time.
pub(in super::super) fn shown(time: &ZonedDateTime) -> String {
    layout::format(SHOWN, time)
}

/// A time in JSON.
pub(super) fn rfc3339(time: &ZonedDateTime) -> String {
    layout::format("2006-01-02T15:04:05.999999999Z07:00", time)
}

/// What Go's integers with names print: months and weekdays.
pub(in super::super) fn word(number: i64, value: &Value<'_>) -> &'static str {
    let name = |names: &[&'static str], at: i64| {
        usize::try_from(at).ok().and_then(|at| names.get(at)).copied().unwrap_or("")
    };
    match value {
        Value::Int(_, Integer::Month) => name(&layout::MONTHS, number - 1),
        _ => name(&layout::WEEKDAYS, number),
    }
}

/// The methods of `time.Time` that make sense in a template.
pub(in super::super) fn method<'a>(time: &ZonedDateTime, name: &str, arguments: &[Value<'_>]) -> Outcome<'a> {
    let int = |number: i64| Ok(Value::int(number));
    match (name, arguments) {
        ("Format", [Value::Text(layout)]) => Ok(Value::text(layout::format(layout, time))),
        ("Unix", []) => Ok(Value::int64(time.timestamp().as_second())),
        ("UnixMilli", []) => Ok(Value::int64(time.timestamp().as_millisecond())),
        ("UnixMicro", []) => Ok(Value::int64(time.timestamp().as_microsecond())),
        ("UnixNano", []) => Ok(Value::int64(i64::try_from(time.timestamp().as_nanosecond()).unwrap_or(0))),
        ("Year", []) => int(time.year().into()),
        ("Month", []) => Ok(Value::Int(time.month().into(), Integer::Month)),
        ("Weekday", []) => Ok(Value::Int(time.weekday().to_sunday_zero_offset().into(), Integer::Weekday)),
        ("Day", []) => int(time.day().into()),
        ("YearDay", []) => int(time.day_of_year().into()),
        ("Hour", []) => int(time.hour().into()),
        ("Minute", []) => int(time.minute().into()),
        ("Second", []) => int(time.second().into()),
        ("Nanosecond", []) => int(time.subsec_nanosecond().into()),
        ("UTC", []) => Ok(moment(time.with_time_zone(TimeZone::UTC))),
        ("Local", []) => Ok(moment(time.with_time_zone(TimeZone::system()))),
        ("String", []) => Ok(Value::text(shown(time))),
        _ => Err(Problem::NoField { field: name.into(), found: "time.Time" }),
    }
}

fn moment<'a>(time: ZonedDateTime) -> Value<'a> {
    Value::Time(Rc::new(time))
}

fn now<'a>(_: &mut Call<'_, 'a>) -> Outcome<'a> {
    Ok(moment(ZonedDateTime::now()))
}

/// A time, or seconds since the epoch; anything else is now, as in Sprig.
fn instant(value: &Value<'_>) -> Timestamp {
    match value {
        Value::Time(time) => time.timestamp(),
        Value::Int(seconds, Integer::Int | Integer::Int64) => {
            Timestamp::from_second(*seconds).unwrap_or(Timestamp::UNIX_EPOCH)
        }
        _ => Timestamp::now(),
    }
}

/// An unknown zone is UTC, as in Sprig.
fn write<'a>(format: &str, value: &Value<'_>, zone: &str) -> Outcome<'a> {
    let zone = go_time::location(zone).unwrap_or(TimeZone::UTC);
    Ok(Value::text(layout::format(format, &instant(value).to_zoned_datetime(zone))))
}

fn date<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    write(call.text(0), call.value(1), "Local")
}

fn date_in_zone<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    write(call.text(0), call.value(1), call.text(2))
}

fn html_date<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    write(HTML_DATE, call.value(0), "Local")
}

fn html_date_in_zone<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    write(HTML_DATE, call.value(0), call.text(1))
}

fn modified(time: &Value<'_>, written: &str) -> Option<ZonedDateTime> {
    let Value::Time(time) = time else { return None };
    time.checked_add(SignedDuration::from_nanos(duration::parse(written)?)).ok()
}

fn date_modify<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    Ok(modified(call.value(1), call.text(0)).map_or_else(|| call.value(1).clone(), moment))
}

fn must_date_modify<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    match modified(call.value(1), call.text(0)) {
        Some(time) => Ok(moment(time)),
        None => call.fail(format!("invalid duration {:?}", call.text(0))),
    }
}

fn ago<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let since = Timestamp::now().duration_since(instant(call.value(0))).as_secs_f64().round();
    Ok(Value::text(duration::format((since as i64).saturating_mul(1_000_000_000))))
}

fn duration<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let seconds: i64 = match call.value(0) {
        Value::Text(text) => text.parse().unwrap_or(0),
        Value::Int(seconds, Integer::Int64) => *seconds,
        _ => 0,
    };
    Ok(Value::text(duration::format(seconds.wrapping_mul(1_000_000_000))))
}

fn duration_round<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let nanos = match call.value(0) {
        Value::Text(text) => duration::parse(text).unwrap_or(0),
        Value::Int(nanos, Integer::Int64) => *nanos,
        Value::Time(time) => {
            let since = Timestamp::now().duration_since(time.timestamp()).as_nanos();
            i64::try_from(since).unwrap_or(i64::MAX)
        }
        _ => 0,
    };
    Ok(Value::text(duration::rounded(nanos)))
}

/// Reads by the rules of the `timestamp` stage, so a layout without a year means this year.
fn read<'a>(call: &Call<'_, 'a>) -> Option<Value<'a>> {
    let zone = TimeZone::system();
    let now = i64::try_from(Timestamp::now().as_nanosecond()).ok()?;
    let nanos =
        go_time::TimeFormat::compile(call.text(0), Some(zone.clone())).parse(call.text(1), now).ok()?;
    let timestamp = Timestamp::from_nanosecond(i128::from(nanos)).ok()?;
    Some(moment(timestamp.to_zoned_datetime(zone)))
}

fn to_date<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    match read(call) {
        Some(time) => Ok(time),
        None => Ok(moment(jiff::civil::date(1, 1, 1).to_zoned_datetime(TimeZone::UTC).unwrap_or_default())),
    }
}

fn must_to_date<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    match read(call) {
        Some(time) => Ok(time),
        None => call.fail(format!("{:?} does not match the layout {:?}", call.text(1), call.text(0))),
    }
}

fn unix_epoch<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let Value::Time(time) = call.value(0) else { return Ok(Value::Nil) };
    Ok(Value::text(time.timestamp().as_second().to_string()))
}
