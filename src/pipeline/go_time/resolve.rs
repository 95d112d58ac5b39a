//! Turns the fields of a timestamp into a moment: the 12-hour clock, missing parts, the year, the zone.
//! In: fields, the place, the present for the year.  Out: nanoseconds since the epoch.  Owns: nothing.

use jiff::Timestamp;
use jiff::tz::Offset;

use super::TimeError;
use super::calendar::{Wall, days_in_month, month_and_day, unix_nanos};
use super::parse::Fields;
use super::place::Place;

/// `place` is where clock readings without a zone were taken; nowhere means UTC. `present` (nanoseconds since
/// the epoch) is given when the layout has no year.
pub(super) fn moment(
    fields: &Fields<'_>,
    place: Option<&Place>,
    present: Option<i64>,
) -> Result<i64, TimeError> {
    let (month, day) = date(fields)?;
    let year = match present {
        Some(present) => year_near(present, month)?,
        None => fields.year,
    };
    let wall = Wall { year, month, day, hour: hour(fields), minute: fields.minute, second: fields.second };
    let seconds = in_zone(wall.seconds(), fields, place)?;
    unix_nanos(seconds, i64::from(fields.nanos)).ok_or(TimeError::BeyondNanoseconds)
}

fn hour(fields: &Fields<'_>) -> u32 {
    match fields.hour {
        before_noon @ 0..12 if fields.pm => before_noon + 12,
        12 if fields.am => 0,
        hour => hour,
    }
}

/// Month and day, checked against the year that was written.
fn date(fields: &Fields<'_>) -> Result<(u32, u32), TimeError> {
    let (month, day) = match fields.day_of_year {
        None => (fields.month.unwrap_or(1), fields.day.unwrap_or(1)),
        Some(day_of_year) => {
            let date = month_and_day(fields.year, day_of_year);
            let (month, day) = date.ok_or(TimeError::OutOfRange("day of year"))?;
            if fields.month.is_some_and(|written| written != month) {
                return Err(TimeError::DayOfYearContradicts("month"));
            }
            if fields.day.is_some_and(|written| written != day) {
                return Err(TimeError::DayOfYearContradicts("day"));
            }
            (month, day)
        }
    };
    if (1..=days_in_month(fields.year, month)).contains(&day) {
        Ok((month, day))
    } else {
        Err(TimeError::OutOfRange("day"))
    }
}

/// The year that puts this month nearest to the present, as far as the turn of the year can mislead. The
/// present is read in UTC.
fn year_near(present: i64, month: u32) -> Result<i32, TimeError> {
    let present =
        Timestamp::from_nanosecond(i128::from(present)).map_err(|_| TimeError::BeyondNanoseconds)?;
    let present = Offset::UTC.to_datetime(present);
    let year = i32::from(present.year());
    Ok(match (present.month(), month) {
        (1, 12) => year - 1,
        (12, 1) => year + 1,
        _ => year,
    })
}

/// An abbreviation the place does not know means offset zero. `GMT+3` too: in Go it names the zone and moves
/// nothing.
fn in_zone(wall: i64, fields: &Fields<'_>, place: Option<&Place>) -> Result<i64, TimeError> {
    if fields.utc {
        return Ok(wall);
    }
    if let Some(offset) = fields.offset {
        return Ok(wall - offset);
    }
    let Some(place) = place else { return Ok(wall) };
    match fields.abbreviation {
        Some(abbreviation) => Ok(wall - place.offset_of(abbreviation, wall)?.unwrap_or(0)),
        None => place.moment(wall),
    }
}
