//! The fast path for the format nearly every program writes: `2006-01-02T15:04:05.999999999Z07:00`.
//! In: text.  Out: nanoseconds since the epoch, or nothing.  Owns: nothing.
//!
//! Accepts only what it is sure of. Everything else, right or wrong, goes to the general engine, so the two
//! cannot disagree about what is an error.

use super::calendar::{Wall, days_in_month, unix_nanos};

/// `2006-01-02T15:04:05`
const WITHOUT_ZONE: usize = 19;

/// The moment, if the text is plainly RFC 3339.
pub(super) fn read(text: &str) -> Option<i64> {
    let (start, rest) = text.as_bytes().split_first_chunk::<WITHOUT_ZONE>()?;
    let wall = wall(start)?;
    let (nanos, zone) = fraction(rest)?;
    unix_nanos(wall.seconds() - offset(zone)?, nanos)
}

fn wall(text: &[u8; WITHOUT_ZONE]) -> Option<Wall> {
    let &[c1, c2, y1, y2, b'-', mo1, mo2, b'-', d1, d2, b'T', h1, h2, b':', m1, m2, b':', s1, s2] = text
    else {
        return None;
    };
    let year = (two(c1, c2)? * 100 + two(y1, y2)?).cast_signed();
    let (month, day) = (two(mo1, mo2)?, two(d1, d2)?);
    let (hour, minute, second) = (two(h1, h2)?, two(m1, m2)?, two(s1, s2)?);
    let is_date = (1..=12).contains(&month) && day >= 1 && day <= days_in_month(year, month);
    let is_clock = hour < 24 && minute < 60 && second < 60;
    (is_date && is_clock).then_some(Wall { year, month, day, hour, minute, second })
}

/// Nanoseconds, and the text after them. Digits beyond nanoseconds count for nothing.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let [b'.' | b',', digits @ ..] = text else { return Some((0, text)) };
    let mut nanos = 0;
    let mut worth = 100_000_000;
    let mut rest = digits;
    while let [digit @ b'0'..=b'9', after @ ..] = rest {
        nanos += i64::from(digit - b'0') * worth;
        worth /= 10;
        rest = after;
    }
    (rest.len() < digits.len()).then_some((nanos, rest))
}

/// Seconds east of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    let &[sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] = zone else {
        return (zone == b"Z").then_some(0);
    };
    let (hours, minutes) = (two(h1, h2)?, two(m1, m2)?);
    // Inclusive, as in Go: some programs write an offset of 24 hours, or of 60 minutes.
    if hours > 24 || minutes > 60 {
        return None;
    }
    let seconds = i64::from(hours * 3600 + minutes * 60);
    Some(if sign == b'-' { -seconds } else { seconds })
}

fn two(tens: u8, ones: u8) -> Option<u32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then_some(u32::from(tens) * 10 + u32::from(ones))
}
