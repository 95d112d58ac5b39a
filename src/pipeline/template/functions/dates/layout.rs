//! Writes a moment by a Go reference layout. (`go_time` reads them.)
//! In: a layout and a moment.  Out: text.  Owns: the names of months and days.

use std::fmt::Write;

use jiff::ZonedDateTime;

pub(super) const MONTHS: [&str; 12] = [
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

pub(super) const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

type Writer = fn(&ZonedDateTime, &mut String) -> std::fmt::Result;

/// The pieces of the reference moment; one that begins another stands behind it.
const PIECES: [(&str, Writer); 33] = [
    ("January", |time, out| out.write_str(month(time))),
    ("Jan", |time, out| out.write_str(&month(time)[..3])),
    ("Monday", |time, out| out.write_str(weekday(time))),
    ("Mon", |time, out| out.write_str(&weekday(time)[..3])),
    ("MST", |time, out| zone_name(time, out)),
    ("002", |time, out| write!(out, "{:03}", time.day_of_year())),
    ("01", |time, out| write!(out, "{:02}", time.month())),
    ("02", |time, out| write!(out, "{:02}", time.day())),
    ("03", |time, out| write!(out, "{:02}", twelve(time))),
    ("04", |time, out| write!(out, "{:02}", time.minute())),
    ("05", |time, out| write!(out, "{:02}", time.second())),
    ("06", |time, out| write!(out, "{:02}", time.year().rem_euclid(100))),
    ("15", |time, out| write!(out, "{:02}", time.hour())),
    ("1", |time, out| write!(out, "{}", time.month())),
    ("2006", |time, out| write!(out, "{:04}", time.year())),
    ("2", |time, out| write!(out, "{}", time.day())),
    ("__2", |time, out| write!(out, "{:3}", time.day_of_year())),
    ("_2", |time, out| write!(out, "{:2}", time.day())),
    ("3", |time, out| write!(out, "{}", twelve(time))),
    ("4", |time, out| write!(out, "{}", time.minute())),
    ("5", |time, out| write!(out, "{}", time.second())),
    ("PM", |time, out| out.write_str(if time.hour() < 12 { "AM" } else { "PM" })),
    ("pm", |time, out| out.write_str(if time.hour() < 12 { "am" } else { "pm" })),
    ("-070000", |time, out| offset(time, out, "", true, true)),
    ("-07:00:00", |time, out| offset(time, out, ":", true, true)),
    ("-0700", |time, out| offset(time, out, "", true, false)),
    ("-07:00", |time, out| offset(time, out, ":", true, false)),
    ("-07", |time, out| offset(time, out, "", false, false)),
    ("Z070000", |time, out| z_or(time, out, |time, out| offset(time, out, "", true, true))),
    ("Z07:00:00", |time, out| z_or(time, out, |time, out| offset(time, out, ":", true, true))),
    ("Z0700", |time, out| z_or(time, out, |time, out| offset(time, out, "", true, false))),
    ("Z07:00", |time, out| z_or(time, out, |time, out| offset(time, out, ":", true, false))),
    ("Z07", |time, out| z_or(time, out, |time, out| offset(time, out, "", false, false))),
];

/// `time.Format`.
pub(super) fn format(layout: &str, time: &ZonedDateTime) -> String {
    let mut out = String::with_capacity(layout.len() + 8);
    let mut rest = layout;
    while let Some(first) = rest.chars().next() {
        if let Some(after) = fraction(rest, time, &mut out) {
            rest = after;
        } else if let Some((after, write)) =
            PIECES.iter().find_map(|(piece, write)| Some((starts(rest, piece)?, write)))
        {
            // Writing to a String cannot fail.
            if write(time, &mut out).is_err() {
                return out;
            }
            rest = after;
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

/// What follows the piece; `Janet` is a word, and `_2006` is a year behind a `_`.
fn starts<'l>(layout: &'l str, piece: &str) -> Option<&'l str> {
    let after = layout.strip_prefix(piece)?;
    let is_word = matches!(piece, "Jan" | "Mon") && after.starts_with(|next: char| next.is_ascii_lowercase());
    let is_year = piece == "_2" && after.starts_with("006");
    (!is_word && !is_year).then_some(after)
}

/// `.000` or `,999`, with no digit after it.
fn fraction<'l>(layout: &'l str, time: &ZonedDateTime, out: &mut String) -> Option<&'l str> {
    let separator = layout.chars().next().filter(|first| matches!(first, '.' | ','))?;
    let digit = *layout.as_bytes().get(1).filter(|digit| matches!(digit, b'0' | b'9'))?;
    let count = layout.bytes().skip(1).take_while(|&next| next == digit).count();
    let after = &layout[1 + count..];
    if after.starts_with(|next: char| next.is_ascii_digit()) {
        return None;
    }
    let nanos = format!("{:09}", time.subsec_nanosecond());
    let shown: String = nanos.chars().chain(std::iter::repeat('0')).take(count).collect();
    let shown = if digit == b'9' { nanos[..count.min(9)].trim_end_matches('0') } else { &shown };
    if !shown.is_empty() {
        out.push(separator);
        out.push_str(shown);
    }
    Some(after)
}

fn month(time: &ZonedDateTime) -> &'static str {
    let at = usize::try_from(time.month() - 1).unwrap_or(0);
    MONTHS.get(at).copied().unwrap_or("January")
}

fn weekday(time: &ZonedDateTime) -> &'static str {
    let at = usize::try_from(time.weekday().to_sunday_zero_offset()).unwrap_or(0);
    WEEKDAYS.get(at).copied().unwrap_or("Sunday")
}

fn twelve(time: &ZonedDateTime) -> i8 {
    match time.hour() % 12 {
        0 => 12,
        hour => hour,
    }
}

fn zone_name(time: &ZonedDateTime, out: &mut String) -> std::fmt::Result {
    match time.time_zone().to_fixed_offset() {
        Ok(fixed) if !fixed.is_zero() => offset(time, out, "", true, false),
        _ => out.write_str(time.time_zone().to_offset_info(time.timestamp()).abbreviation()),
    }
}

fn offset(
    time: &ZonedDateTime,
    out: &mut String,
    between: &str,
    minutes: bool,
    seconds: bool,
) -> std::fmt::Result {
    let total = time.offset().seconds();
    let magnitude = total.unsigned_abs();
    write!(out, "{}{:02}", if total < 0 { '-' } else { '+' }, magnitude / 3600)?;
    if minutes {
        write!(out, "{between}{:02}", magnitude / 60 % 60)?;
    }
    if seconds {
        write!(out, "{between}{:02}", magnitude % 60)?;
    }
    Ok(())
}

fn z_or(time: &ZonedDateTime, out: &mut String, write: Writer) -> std::fmt::Result {
    if time.offset().is_zero() { out.write_char('Z') } else { write(time, out) }
}
