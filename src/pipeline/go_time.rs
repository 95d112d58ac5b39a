//! Reads timestamps by the formats of the `timestamp` stage: Go layouts, named layouts, Unix counts.
//! In: a format, once; then texts.  Out: nanoseconds since the epoch.  Owns: the compiled format and its zone.
//!
//! A reimplementation of what Go's `time.Parse` and `time.ParseInLocation` are known to accept, because that
//! is what configurations were written against. One intended difference: a layout without a year takes the
//! year from the present before the zone is looked up, so that `EST` means what it means this year and not in
//! the year zero.

mod abbreviation;
mod calendar;
mod cursor;
mod layout;
mod parse;
mod place;
mod resolve;
mod rfc3339;
mod unix;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::fmt;

use jiff::tz::TimeZone;

use layout::{Layout, Token};
use place::Place;

const RFC3339: &str = "2006-01-02T15:04:05Z07:00";
const RFC3339_NANO: &str = "2006-01-02T15:04:05.999999999Z07:00";

/// Layouts that have a name.
const NAMED: [(&str, &str); 10] = [
    ("ANSIC", "Mon Jan _2 15:04:05 2006"),
    ("UnixDate", "Mon Jan _2 15:04:05 MST 2006"),
    ("RubyDate", "Mon Jan 02 15:04:05 -0700 2006"),
    ("RFC822", "02 Jan 06 15:04 MST"),
    ("RFC822Z", "02 Jan 06 15:04 -0700"),
    ("RFC850", "Monday, 02-Jan-06 15:04:05 MST"),
    ("RFC1123", "Mon, 02 Jan 2006 15:04:05 MST"),
    ("RFC1123Z", "Mon, 02 Jan 2006 15:04:05 -0700"),
    ("RFC3339", RFC3339),
    ("RFC3339Nano", RFC3339_NANO),
];

/// A timestamp format as the `timestamp` stage names it, compiled once.
#[derive(Debug)]
pub(crate) struct TimeFormat {
    form: Form,
}

#[derive(Debug)]
enum Form {
    Count(unix::Unit),
    Rfc3339(Layout),
    Written {
        layout: Layout,
        /// Where readings without a zone were taken; nowhere means UTC.
        place: Option<Place>,
        has_year: bool,
    },
}

impl TimeFormat {
    /// `format` is the name of a format or a Go reference layout; any text is a layout, if a useless one.
    /// `location` applies to layouts only, as in Promtail: the named formats are read as UTC where they say
    /// no offset.
    pub(crate) fn compile(format: &str, location: Option<TimeZone>) -> TimeFormat {
        let form = match (unix::Unit::named(format), named(format)) {
            (Some(unit), _) => Form::Count(unit),
            (None, Some(layout)) => Form::of_layout(layout, None),
            (None, None) => Form::of_layout(format, location),
        };
        TimeFormat { form }
    }

    /// Nanoseconds since the Unix epoch.
    ///
    /// `now_unix_nanos`, in the same unit, gives the year where the layout has none: December read in January
    /// is last year's, January read in December next year's, anything else this year's.
    pub(crate) fn parse(&self, text: &str, now_unix_nanos: i64) -> Result<i64, TimeError> {
        match &self.form {
            Form::Count(unit) => unit.read(text),
            Form::Rfc3339(layout) => match rfc3339::read(text) {
                Some(nanos) => Ok(nanos),
                None => resolve::moment(&parse::read(layout, text)?, None, None),
            },
            Form::Written { layout, place, has_year } => {
                let present = (!has_year).then_some(now_unix_nanos);
                resolve::moment(&parse::read(layout, text)?, place.as_ref(), present)
            }
        }
    }
}

impl Form {
    fn of_layout(written: &str, location: Option<TimeZone>) -> Form {
        let layout = Layout::cut(written);
        if written == RFC3339 || written == RFC3339_NANO {
            return Form::Rfc3339(layout);
        }
        let names_zones = layout.steps.iter().any(|step| step.token == Token::ZoneName);
        let place = location.map(|zone| Place::new(zone, names_zones));
        // Promtail looks at the text, not at the tokens: a literal `06` anywhere counts as a year.
        Form::Written { layout, place, has_year: written.contains("06") }
    }
}

fn named(format: &str) -> Option<&'static str> {
    NAMED.iter().find(|(name, _)| *name == format).map(|(_, layout)| *layout)
}

/// The time zone with this IANA name, such as `Europe/Vienna`. `Local` is the zone of this host, nothing at
/// all is UTC.
pub(crate) fn location(name: &str) -> Result<TimeZone, TimeError> {
    match name {
        "" => Ok(TimeZone::UTC),
        "Local" => Ok(TimeZone::system()),
        _ => TimeZone::get(name).map_err(|_| TimeError::UnknownLocation(name.into())),
    }
}

/// Why a text is not a timestamp of the format. Cheap to make: a bad line costs one per line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TimeError {
    /// The text leaves the layout at this byte.
    Mismatch {
        /// The part of the layout that belongs there.
        expected: &'static str,
        /// Bytes from the start of the text.
        at: usize,
    },
    /// The layout ends at this byte, the text does not.
    Extra {
        /// Bytes from the start of the text.
        at: usize,
    },
    /// A field holds a value no clock or calendar shows.
    OutOfRange(&'static str),
    /// The day of the year falls on another date than the text says.
    DayOfYearContradicts(&'static str),
    /// A count since the epoch that is no number.
    NotANumber,
    /// A moment before 1677 or after 2262, which Loki's nanoseconds cannot say.
    BeyondNanoseconds,
    /// No time zone has this name.
    UnknownLocation(Box<str>),
}

impl fmt::Display for TimeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TimeError::Mismatch { expected, at } => {
                write!(out, "does not match layout at byte {at}: expected `{expected}`")
            }
            TimeError::Extra { at } => write!(out, "extra text at byte {at}"),
            TimeError::OutOfRange(field) => write!(out, "{field} out of range"),
            TimeError::DayOfYearContradicts(field) => write!(out, "day of year does not match {field}"),
            TimeError::NotANumber => out.write_str("not a number"),
            TimeError::BeyondNanoseconds => out.write_str("outside the years 1677 to 2262"),
            TimeError::UnknownLocation(name) => write!(out, "unknown time zone `{name}`"),
        }
    }
}

impl std::error::Error for TimeError {}
