//! The calendar arithmetic the parser needs, in plain integers.
//! In: years, months, days.  Out: seconds since the epoch, month lengths.  Owns: nothing.
//!
//! By hand and not by `jiff::civil`: Go takes what jiff refuses, Feb 29 of a common year for its Mar 1.

/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;
const DAYS_IN_ERA: i64 = 146_097;
const SECONDS_IN_DAY: i64 = 86_400;
const NANOS_IN_SECOND: i128 = 1_000_000_000;

/// A clock reading somewhere: it becomes a moment once an offset is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wall {
    pub(super) year: i32,
    /// 1 to 12.
    pub(super) month: u32,
    /// From 1; a day past the end of its month is in the next one.
    pub(super) day: u32,
    pub(super) hour: u32,
    pub(super) minute: u32,
    pub(super) second: u32,
}

impl Wall {
    /// Seconds since the epoch of the same reading in UTC.
    pub(super) fn seconds(self) -> i64 {
        let clock = i64::from(self.hour * 3600 + self.minute * 60 + self.second);
        days_since_epoch(self.year, self.month, self.day) * SECONDS_IN_DAY + clock
    }
}

/// The proleptic Gregorian day count, by the method of
/// <https://howardhinnant.github.io/date_algorithms.html>.
fn days_since_epoch(year: i32, month: u32, day: u32) -> i64 {
    // Years start in March here, so that the leap day is the last.
    let year = i64::from(year) - i64::from(month <= 2);
    let months_since_march = i64::from((month + 9) % 12);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * months_since_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_IN_ERA + day_of_era - EPOCH_DAYS
}

/// How many days this month (1 to 12) has.
pub(super) fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Month and day of a day of the year counted from 1.
pub(super) fn month_and_day(year: i32, day_of_year: u32) -> Option<(u32, u32)> {
    let mut day = day_of_year;
    for month in 1..=12 {
        let length = days_in_month(year, month);
        if day <= length {
            return (day > 0).then_some((month, day));
        }
        day -= length;
    }
    None
}

/// Nanoseconds since the epoch, where an `i64` can hold them: years 1677 to 2262.
pub(super) fn unix_nanos(seconds: i64, nanos: i64) -> Option<i64> {
    // Wider than the result, because the first second that fits does not fit without its nanoseconds.
    i64::try_from(i128::from(seconds) * NANOS_IN_SECOND + i128::from(nanos)).ok()
}
