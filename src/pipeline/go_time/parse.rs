//! The general engine: walks a layout and a text side by side.
//! In: a layout, a text.  Out: the fields the text names.  Owns: nothing.
//!
//! Accepts what Go's `time.Parse` accepts, also where that is generous: `2` may be written `02`, a fraction
//! may follow the seconds unasked, a weekday need not belong to its date.

use super::TimeError;
use super::abbreviation;
use super::cursor::{Cursor, Fault, Read, signed};
use super::layout::{Layout, OffsetShape, Token, Width};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const SHORT_MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const SHORT_WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// What the text says; nothing is filled in yet.
#[derive(Debug, Default)]
pub(super) struct Fields<'t> {
    /// Zero when the layout has none. In Go that is a year like any other, and a leap year.
    pub(super) year: i32,
    /// 1 to 12.
    pub(super) month: Option<u32>,
    pub(super) day: Option<u32>,
    pub(super) day_of_year: Option<u32>,
    pub(super) hour: u32,
    pub(super) minute: u32,
    pub(super) second: u32,
    pub(super) nanos: u32,
    pub(super) am: bool,
    pub(super) pm: bool,
    /// The text says UTC in so many words; this beats an offset, which beats an abbreviation.
    pub(super) utc: bool,
    /// Seconds east of UTC.
    pub(super) offset: Option<i64>,
    pub(super) abbreviation: Option<&'t str>,
}

/// Reads the whole text by the layout.
pub(super) fn read<'t>(layout: &Layout, text: &'t str) -> Result<Fields<'t>, TimeError> {
    let mut input = Cursor::new(text);
    let mut fields = Fields::default();
    for step in &layout.steps {
        let at = input.position();
        input.literal(&step.literal).map_err(|fault| error(fault, "literal text", at))?;
        let at = input.position();
        token(step.token, &mut input, &mut fields).map_err(|fault| error(fault, step.written, at))?;
    }
    let at = input.position();
    input.literal(&layout.tail).map_err(|fault| error(fault, "literal text", at))?;
    if input.rest().is_empty() { Ok(fields) } else { Err(TimeError::Extra { at: input.position() }) }
}

fn error(fault: Fault, expected: &'static str, at: usize) -> TimeError {
    match fault {
        Fault::Mismatch => TimeError::Mismatch { expected, at },
        Fault::OutOfRange(field) => TimeError::OutOfRange(field),
    }
}

fn token<'t>(token: Token, input: &mut Cursor<'t>, fields: &mut Fields<'t>) -> Read<()> {
    match token {
        Token::LongYear => fields.year = input.number(Width::Fixed, 4)?.cast_signed(),
        Token::ShortYear => fields.year = in_century(signed(input.take(2)?)?),
        Token::LongMonth => fields.month = Some(input.name(&MONTHS)? + 1),
        Token::ShortMonth => fields.month = Some(input.name(&SHORT_MONTHS)? + 1),
        Token::Month(width) => fields.month = Some(in_range(input.number(width, 2)?, 1, 12, "month")?),
        Token::LongWeekday => {
            input.name(&WEEKDAYS)?;
        }
        Token::ShortWeekday => {
            input.name(&SHORT_WEEKDAYS)?;
        }
        Token::Day(width) => fields.day = Some(input.number(width, 2)?),
        Token::YearDay(width) => fields.day_of_year = Some(input.number(width, 3)?),
        Token::Hour24 => fields.hour = in_range(input.number(Width::Free, 2)?, 0, 23, "hour")?,
        Token::Hour12(width) => fields.hour = in_range(input.number(width, 2)?, 0, 12, "hour")?,
        Token::Minute(width) => fields.minute = in_range(input.number(width, 2)?, 0, 59, "minute")?,
        Token::Second { width, fraction_follows } => {
            fields.second = in_range(input.number(width, 2)?, 0, 59, "second")?;
            if !fraction_follows && input.at_fraction() {
                fields.nanos = input.fraction()?;
            }
        }
        Token::Fraction { digits } => fields.nanos = input.fraction_of(digits)?,
        Token::OptionalFraction if input.at_fraction() => fields.nanos = input.fraction()?,
        Token::OptionalFraction => {}
        Token::UpperHalf => half(input.take(2)?, b"AM", b"PM", fields)?,
        Token::LowerHalf => half(input.take(2)?, b"am", b"pm", fields)?,
        Token::Offset { z_is_utc: true, .. } if input.take_if(b'Z') => fields.utc = true,
        Token::Offset { shape, .. } => fields.offset = offset(shape, input)?,
        Token::ZoneName => zone_name(input, fields)?,
    }
    Ok(())
}

/// Two digits are a year from 1969 to 2068: the epoch began in 1969 in some zones.
fn in_century(year: i32) -> i32 {
    if year >= 69 { 1900 + year } else { 2000 + year }
}

fn in_range(value: u32, least: u32, most: u32, field: &'static str) -> Read<u32> {
    if (least..=most).contains(&value) { Ok(value) } else { Err(Fault::OutOfRange(field)) }
}

fn half(text: &[u8], am: &[u8], pm: &[u8], fields: &mut Fields<'_>) -> Read<()> {
    fields.am |= text == am;
    fields.pm |= text == pm;
    if text == am || text == pm { Ok(()) } else { Err(Fault::Mismatch) }
}

/// One second west of UTC reads as no offset at all: Go marks a missing offset with that value.
fn offset(shape: OffsetShape, input: &mut Cursor<'_>) -> Read<Option<i64>> {
    let east = match input.take(1)? {
        b"+" => 1,
        b"-" => -1,
        _ => return Err(Fault::Mismatch),
    };
    let (minutes, seconds, colons) = match shape {
        OffsetShape::Hour => (false, false, false),
        OffsetShape::Minute => (true, false, false),
        OffsetShape::ColonMinute => (true, false, true),
        OffsetShape::Second => (true, true, false),
        OffsetShape::ColonSecond => (true, true, true),
    };
    // Inclusive limits, as in Go: some programs write an offset of 24 hours, or of 60 minutes.
    let hours = in_range(input.number(Width::Fixed, 2)?, 0, 24, "time zone offset hour")?;
    let minutes = offset_part(minutes, colons, input, "time zone offset minute")?;
    let seconds = offset_part(seconds, colons, input, "time zone offset second")?;
    let offset = east * i64::from((hours * 60 + minutes) * 60 + seconds);
    Ok((offset != -1).then_some(offset))
}

fn offset_part(written: bool, colon: bool, input: &mut Cursor<'_>, field: &'static str) -> Read<u32> {
    if !written {
        return Ok(0);
    }
    if colon && !input.take_if(b':') {
        return Err(Fault::Mismatch);
    }
    in_range(input.number(Width::Fixed, 2)?, 0, 60, field)
}

fn zone_name<'t>(input: &mut Cursor<'t>, fields: &mut Fields<'t>) -> Read<()> {
    if input.rest().starts_with(b"UTC") {
        input.take(3)?;
        fields.utc = true;
        return Ok(());
    }
    let length = abbreviation::length(input.rest()).ok_or(Fault::Mismatch)?;
    // An abbreviation is ASCII, so this cannot fail.
    let name = std::str::from_utf8(input.take(length)?).map_err(|_| Fault::Mismatch)?;
    fields.abbreviation = Some(name);
    Ok(())
}
