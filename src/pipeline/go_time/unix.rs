//! Timestamps that are a count since the epoch: the formats `Unix`, `UnixMs`, `UnixUs`, `UnixNs`.
//! In: digits.  Out: nanoseconds since the epoch.  Owns: nothing.

use super::TimeError;
use super::calendar::unix_nanos;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

impl Unit {
    /// The unit a format of this name counts.
    pub(super) fn named(format: &str) -> Option<Unit> {
        match format {
            "Unix" => Some(Unit::Seconds),
            "UnixMs" => Some(Unit::Milliseconds),
            "UnixUs" => Some(Unit::Microseconds),
            "UnixNs" => Some(Unit::Nanoseconds),
            _ => None,
        }
    }

    /// Reads a count of this unit. Only seconds may have a fraction.
    pub(super) fn read(self, text: &str) -> Result<i64, TimeError> {
        let nanos_in_unit = match self {
            Unit::Seconds => return seconds(text),
            Unit::Milliseconds => 1_000_000,
            Unit::Microseconds => 1_000,
            Unit::Nanoseconds => 1,
        };
        integer(text)?.checked_mul(nanos_in_unit).ok_or(TimeError::BeyondNanoseconds)
    }
}

/// The fraction counts upwards also after a negative number, as in Promtail: `-1.25` is three quarters before
/// the epoch.
fn seconds(text: &str) -> Result<i64, TimeError> {
    let (whole, nanos) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, nanos(fraction)?),
        None => (text, 0),
    };
    unix_nanos(integer(whole)?, nanos).ok_or(TimeError::BeyondNanoseconds)
}

fn nanos(fraction: &str) -> Result<i64, TimeError> {
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(TimeError::NotANumber);
    }
    let value = integer(fraction)?;
    let count = fraction.len();
    Ok(if count <= 9 { (count..9).fold(value, |v, _| v * 10) } else { (9..count).fold(value, |v, _| v / 10) })
}

fn integer(text: &str) -> Result<i64, TimeError> {
    text.parse().map_err(|_| TimeError::NotANumber)
}
