//! The times of old syslog messages: `Oct 11 22:14:15`, with or without a year, a fraction, a zone; or ISO 8601.
//! In: the text from the time on.  Out: the time and the rest.  Owns: nothing.
//!
//! A year that is left out is the one that brings the time nearest to now: a message of 31 December that comes on
//! 1 January is of the year before, and a clock may be ahead. A zone that is left out is the agent's.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use super::Here;
use crate::record::UnixNanos;

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// A time was there.
pub(super) struct Found<'a> {
    /// Absent where it is the 30th of February.
    pub(super) time: Option<UnixNanos>,
    /// As Cisco ends it.
    pub(super) has_colon: bool,
    pub(super) rest: &'a [u8],
}

/// A time as it is written.
#[derive(Default)]
struct Written {
    year: Option<i16>,
    month: i8,
    day: i8,
    hour: i8,
    minute: i8,
    second: i8,
    nanos: i32,
    /// `None`: the agent's.
    zone: Option<TimeZone>,
}

/// Reads the time a text begins with.
pub(super) fn read<'a>(text: &'a [u8], here: &Here) -> Option<Found<'a>> {
    let mut rest = text;
    let written = bsd(&mut rest).or_else(|| {
        rest = text;
        iso(&mut rest)
    })?;
    let has_colon = take(&mut rest, b":").is_some();
    (rest.is_empty() || rest[0] == b' ').then_some(Found { time: written.time(here), has_colon, rest })
}

/// `Oct 11 22:14:15`, `Oct  1 2024 22:14:15.003`, `Oct 11 22:14:15 2024`, `Oct 11 22:14:15.003 CET: %`.
fn bsd(rest: &mut &[u8]) -> Option<Written> {
    let month = MONTHS.iter().position(|name| rest.starts_with(*name))?;
    *rest = &rest[3..];
    let mut written = Written { month: i8::try_from(month + 1).ok()?, ..Written::default() };
    spaces(rest)?;
    written.day = digits(rest, 1, 2)?;
    spaces(rest)?;
    written.year = take_year(rest, |after| after.first() == Some(&b' '));
    if written.year.is_some() {
        spaces(rest)?;
    }
    clock(rest, &mut written)?;
    let mut after = *rest;
    if written.year.is_none() && spaces(&mut after).is_some() {
        written.year = take_year(&mut after, |after| matches!(after.first(), None | Some(b' ' | b':')));
        if written.year.is_some() {
            *rest = after;
        }
    }
    zone_of_cisco(rest, &mut written);
    Some(written)
}

/// `2024-10-11T22:14:15.003+02:00`, also with a space before the clock and without a zone.
fn iso(rest: &mut &[u8]) -> Option<Written> {
    let year = digits::<i16>(rest, 4, 4)?;
    take(rest, b"-")?;
    let month = digits(rest, 2, 2)?;
    take(rest, b"-")?;
    let day = digits(rest, 2, 2)?;
    take(rest, b"T").or_else(|| take(rest, b" "))?;
    let mut written = Written { year: Some(year), month, day, ..Written::default() };
    clock(rest, &mut written)?;
    written.zone = if take(rest, b"Z").is_some() { Some(TimeZone::UTC) } else { offset(rest) };
    Some(written)
}

/// The word before `: %`; anywhere else it is the host's name, or the tag.
fn zone_of_cisco(rest: &mut &[u8], written: &mut Written) {
    let Some(after) = rest.strip_prefix(b" ") else { return };
    let name = after.iter().take(5).take_while(|byte| byte.is_ascii_uppercase()).count();
    let (name, mut after) = after.split_at(name);
    let zone = if name.is_empty() { offset(&mut after) } else { None };
    if after.starts_with(b": %") && (zone.is_some() || !name.is_empty()) {
        written.zone = if [&b"UTC"[..], b"GMT", b"Z"].contains(&name) { Some(TimeZone::UTC) } else { zone };
        *rest = after;
    }
}

/// `22:14:15` and a fraction.
fn clock(rest: &mut &[u8], written: &mut Written) -> Option<()> {
    written.hour = digits(rest, 1, 2)?;
    take(rest, b":")?;
    written.minute = digits(rest, 2, 2)?;
    take(rest, b":")?;
    written.second = digits(rest, 2, 2)?;
    let mut after = *rest;
    if take(&mut after, b".").or_else(|| take(&mut after, b",")).is_some() {
        let mut worth = 100_000_000;
        let mut nanos = 0;
        while let [digit @ b'0'..=b'9', left @ ..] = after {
            nanos += i32::from(digit - b'0') * worth;
            worth /= 10;
            after = left;
            *rest = after;
        }
        written.nanos = nanos;
    }
    Some(())
}

/// `+02:00` or `+0200`.
fn offset(rest: &mut &[u8]) -> Option<TimeZone> {
    let mut after = *rest;
    let sign = if take(&mut after, b"-").is_some() { -1 } else { take(&mut after, b"+").map(|()| 1)? };
    let hours = digits::<i32>(&mut after, 2, 2)?;
    take(&mut after, b":");
    let minutes = digits::<i32>(&mut after, 2, 2)?;
    let offset = Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()?;
    *rest = after;
    Some(TimeZone::fixed(offset))
}

fn take_year(rest: &mut &[u8], ends: impl Fn(&[u8]) -> bool) -> Option<i16> {
    let mut after = *rest;
    let year = digits::<i16>(&mut after, 4, 4).filter(|year| (1970..=2261).contains(year))?;
    ends(after).then(|| *rest = after)?;
    Some(year)
}

fn take(rest: &mut &[u8], prefix: &[u8]) -> Option<()> {
    *rest = rest.strip_prefix(prefix)?;
    Some(())
}

fn spaces(rest: &mut &[u8]) -> Option<()> {
    let count = rest.iter().take_while(|byte| **byte == b' ').count();
    *rest = &rest[count..];
    (count > 0).then_some(())
}

fn digits<N: std::str::FromStr>(rest: &mut &[u8], least: usize, most: usize) -> Option<N> {
    let count = rest.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, after) = rest.split_at(count);
    *rest = after;
    std::str::from_utf8(digits).ok().filter(|_| count >= least)?.parse().ok()
}

impl Written {
    fn time(&self, here: &Here) -> Option<UnixNanos> {
        let zone = self.zone.as_ref().unwrap_or(&here.zone);
        let time = match self.year {
            Some(year) => self.moment(year, zone)?,
            None => {
                let this = zone.to_datetime(here.now).year();
                let years = [this, this.saturating_sub(1), this.saturating_add(1)];
                let times = years.into_iter().filter_map(|year| self.moment(year, zone));
                times.min_by_key(|time| time.duration_since(here.now).unsigned_abs())?
            }
        };
        i64::try_from(time.as_nanosecond()).ok().map(UnixNanos)
    }

    fn moment(&self, year: i16, zone: &TimeZone) -> Option<Timestamp> {
        // A second that leaps, as far as there is one.
        let second = self.second.min(59);
        let date =
            DateTime::new(year, self.month, self.day, self.hour, self.minute, second, self.nanos).ok()?;
        zone.to_ambiguous_timestamp(date).compatible().ok()
    }
}
