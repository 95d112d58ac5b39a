//! The time Docker puts before each log message: RFC 3339, nanoseconds, always 30 bytes in UTC.
//! In: bytes.  Out: the time and where the message begins.  Owns: nothing.

use jiff::Timestamp;

use crate::record::UnixNanos;

/// Bytes of `2026-11-23T14:00:01.000000001Z`.
pub(super) const LENGTH: usize = 30;

/// The time in a text such as Docker's API and log stream write.
pub(crate) fn parse(text: &str) -> Option<UnixNanos> {
    let time: Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok().map(UnixNanos)
}

/// Splits `<time> <message>`.
pub(super) fn split(bytes: &[u8]) -> Option<(UnixNanos, &[u8])> {
    // Other daemons (Podman) may write shorter or zoned times: up to the first space, within reason.
    let space = memchr::memchr(b' ', bytes.get(..bytes.len().min(40))?)?;
    let text = &bytes[..space];
    let time = fixed(text).or_else(|| parse(std::str::from_utf8(text).ok()?))?;
    Some((time, &bytes[space + 1..]))
}

/// True where the time before a message has whole seconds only, as Podman's up to 5.7.
pub(super) fn is_coarse(bytes: &[u8]) -> bool {
    // Of `2026-11-23T14:00:01+01:00`.
    bytes.get(10) == Some(&b'T') && matches!(bytes.get(19), Some(b'Z' | b'+' | b'-'))
}

/// The fixed form dockerd writes, read by hand: this runs once a message.
pub(super) fn fixed(text: &[u8]) -> Option<UnixNanos> {
    let text: &[u8; LENGTH] = text.try_into().ok()?;
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (29, b'Z')];
    if separators.iter().any(|(at, byte)| text[*at] != *byte) {
        return None;
    }
    let number = |from: usize, to: usize| {
        text[from..to]
            .iter()
            .try_fold(0i64, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second, nanos) = (number(11, 13)?, number(14, 16)?, number(17, 19)?, number(20, 29)?);
    if !(1970..2262).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(UnixNanos(seconds * 1_000_000_000 + nanos))
}

/// As Go writes it into files: without the zeros that the nanoseconds end in.
pub(super) fn trimmed(text: &[u8]) -> Option<UnixNanos> {
    if text.len() == LENGTH {
        return fixed(text);
    }
    let mut whole = *b"0000-00-00T00:00:00.000000000Z";
    let digits = text.strip_suffix(b"Z").filter(|digits| (19..LENGTH - 1).contains(&digits.len()))?;
    whole[..digits.len()].copy_from_slice(digits);
    fixed(&whole)
}

/// Days of the proleptic Gregorian calendar, counted in eras of 400 years that begin on 1 March.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dockers_times_are_split_from_their_messages() {
        assert_eq!(
            split(b"2025-11-18T10:30:00.123456789Z hello\n"),
            Some((UnixNanos(1_763_461_800_123_456_789), &b"hello\n"[..]))
        );
        assert_eq!(
            split(b"2025-11-18T11:30:00.1+01:00 x"),
            Some((UnixNanos(1_763_461_800_100_000_000), &b"x"[..]))
        );
        for bad in
            [&b""[..], b"hello world", b"2025-11-18T10:30:00.123456789Z", b"2025-13-18T10:30:00.123456789Z x"]
        {
            assert_eq!(split(bad), None);
        }
    }

    proptest! {
        #[test]
        fn the_fixed_reader_agrees_with_the_library(seconds in 0i64..9_000_000_000, nanos in 0i64..1_000_000_000) {
            let nanos = UnixNanos(seconds * 1_000_000_000 + nanos);
            let text = format!("{:.9}", Timestamp::from_nanosecond(i128::from(nanos.0)).unwrap());
            prop_assert_eq!(fixed(text.as_bytes()), Some(nanos), "{}", text);
            let short = Timestamp::from_nanosecond(i128::from(nanos.0)).unwrap().to_string();
            prop_assert_eq!(trimmed(short.as_bytes()), Some(nanos), "{}", short);
        }
    }
}
