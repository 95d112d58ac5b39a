//! Go's durations.
//! In: `1h30m` or nanoseconds.  Out: the other one.  Owns: nothing.

const MICROSECOND: i64 = 1_000;
const MILLISECOND: i64 = 1_000_000;
const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A unit may not stand before one it begins: `ms` before `m`.
const UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", MICROSECOND),
    ("µs", MICROSECOND),
    ("μs", MICROSECOND),
    ("ms", MILLISECOND),
    ("s", SECOND),
    ("m", MINUTE),
    ("h", HOUR),
];

/// `time.ParseDuration`, in nanoseconds.
pub(super) fn parse(written: &str) -> Option<i64> {
    let (negative, mut rest) = match written.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, written.strip_prefix('+').unwrap_or(written)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let (piece, after) = piece(rest)?;
        total += piece;
        if total > i128::from(i64::MAX) {
            return None;
        }
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// A number and its unit, and what follows.
fn piece(text: &str) -> Option<(i128, &str)> {
    let whole_length = text.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = text.split_at(whole_length);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(after) => after.split_at(after.bytes().take_while(u8::is_ascii_digit).count()),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let (unit, after) = UNITS.iter().find_map(|(name, unit)| Some((*unit, rest.strip_prefix(name)?)))?;
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanos = i128::from(whole) * i128::from(unit);
    let mut scale = i128::from(unit);
    let mut partial = 0;
    for digit in fraction.bytes().take(18) {
        partial = partial * 10 + i128::from(digit - b'0');
        scale *= 10;
    }
    if partial > 0 {
        nanos += partial * i128::from(unit) * i128::from(unit) / scale;
    }
    Some((nanos, after))
}

/// `Duration.String`: `1h30m0s`, `1.5s`, `300ms`.
pub(super) fn format(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let magnitude = nanos.unsigned_abs();
    let text = match magnitude {
        0 => return "0s".to_owned(),
        1..1_000 => format!("{magnitude}ns"),
        1_000..1_000_000 => format!("{}µs", fraction(magnitude, 1_000)),
        1_000_000..1_000_000_000 => format!("{}ms", fraction(magnitude, 1_000_000)),
        _ => {
            let minutes = magnitude / MINUTE.unsigned_abs();
            let seconds = fraction(magnitude % MINUTE.unsigned_abs(), SECOND.unsigned_abs());
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    };
    format!("{sign}{text}")
}

/// `amount / unit` in decimal, without trailing zeros.
fn fraction(amount: u64, unit: u64) -> String {
    let digits = unit.ilog10() as usize;
    let text = format!("{}.{:0digits$}", amount / unit, amount % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Sprig's `durationRound`: the greatest unit only.
pub(super) fn rounded(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let magnitude = nanos.unsigned_abs();
    let units = [(365 * DAY, "y"), (30 * DAY, "mo"), (DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (SECOND, "s")];
    let unit = units.iter().find(|(unit, _)| magnitude > unit.unsigned_abs());
    match unit {
        Some((unit, name)) => format!("{sign}{}{name}", magnitude / unit.unsigned_abs()),
        None => "0s".to_owned(),
    }
}
