//! The fast path for the format nearly every program writes: `2006-01-02T15:04:05.999999999Z07:00`.
//! In: text.  Out: nanoseconds since the epoch, or nothing.  Owns: nothing.
//!
//! Accepts only what it is sure of. Everything else, right or wrong, goes to the general engine, so the two
//! cannot disagree about what is an error.

use super::calendar::{Wall, days_in_month, unix_nanos};

const WITHOUT_ZONE: usize = 19;

const SHAPE: &[u8; WITHOUT_ZONE] = b"0000-00-00T00:00:00";

/// The moment, if the text is plainly RFC 3339.
pub(super) fn read(text: &str) -> Option<i64> {
    let (start, rest) = text.as_bytes().split_first_chunk::<WITHOUT_ZONE>()?;
    let wall = wall(start)?;
    let (nanos, zone) = fraction(rest)?;
    unix_nanos(wall.seconds() - offset(zone)?, nanos)
}

fn wall(text: &[u8; WITHOUT_ZONE]) -> Option<Wall> {
    // Digits become their values, separators 0. Without a branch for each byte this takes a few instructions in all.
    let (mut values, mut is_odd) = ([0; WITHOUT_ZONE], false);
    for (value, (byte, shape)) in values.iter_mut().zip(text.iter().zip(SHAPE)) {
        *value = byte ^ shape;
        is_odd |= *value > if *shape == b'0' { 9 } else { 0 };
    }
    if is_odd {
        return None;
    }
    let two = |at: usize| u32::from(values[at] * 10 + values[at + 1]);
    let year = (two(0) * 100 + two(2)).cast_signed();
    let (month, day) = (two(5), two(8));
    let (hour, minute, second) = (two(11), two(14), two(17));
    let is_date = (1..=12).contains(&month) && day >= 1 && day <= days_in_month(year, month);
    let is_clock = hour < 24 && minute < 60 && second < 60;
    (is_date && is_clock).then_some(Wall { year, month, day, hour, minute, second })
}

/// Nanoseconds, and the text after them. Digits beyond nanoseconds count for nothing.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let [b'.' | b',', rest @ ..] = text else { return Some((0, text)) };
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = rest.split_at(length);
    let mut nine = [0; 9];
    for (value, digit) in nine.iter_mut().zip(digits) {
        *value = i64::from(digit - b'0');
    }
    let three = |at: usize| nine[at] * 100 + nine[at + 1] * 10 + nine[at + 2];
    (length > 0).then(|| (three(0) * 1_000_000 + three(3) * 1000 + three(6), rest))
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
