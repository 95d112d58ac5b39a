//! Golden cases of the timestamp formats, as data.
//! In: rows of format, place, text, outcome.  Out: the rows that come out otherwise.  Owns: the rows.
//!
//! An outcome is the moment in RFC 3339 as jiff writes it, or the message of the error.

mod fields;
mod zones;

use jiff::Timestamp;

use super::{NAMED, TimeFormat, location};

const NOW: &str = "2026-06-15T12:00:00Z";
const UTC: &str = "";
const NEW_YORK: &str = "America/New_York";

type Row<'a> = (&'a str, &'a str, &'a str, &'a str);

fn nanos(moment: &str) -> i64 {
    i64::try_from(moment.parse::<Timestamp>().unwrap().as_nanosecond()).unwrap()
}

fn outcome(format: &str, place: &str, text: &str, now: &str) -> String {
    let place = (!place.is_empty()).then(|| location(place).unwrap());
    match TimeFormat::compile(format, place).parse(text, nanos(now)) {
        Ok(nanos) => Timestamp::from_nanosecond(i128::from(nanos)).unwrap().to_string(),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn check(rows: &[Row<'_>]) {
    let mut differences = String::new();
    for (format, place, text, expected) in rows {
        let found = outcome(format, place, text, NOW);
        if found != *expected {
            differences +=
                &format!("\n{format:?} {place:?} {text:?}\n  expected {expected}\n  found    {found}");
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

fn mismatch(expected: &str, at: usize) -> String {
    format!("does not match layout at byte {at}: expected `{expected}`")
}

#[test]
fn every_named_layout_reads_the_reference_moment() {
    check(&[
        ("ANSIC", UTC, "Mon Jan  2 15:04:05 2006", "2006-01-02T15:04:05Z"),
        ("UnixDate", UTC, "Mon Jan  2 15:04:05 MST 2006", "2006-01-02T15:04:05Z"),
        ("RubyDate", UTC, "Mon Jan 02 15:04:05 -0700 2006", "2006-01-02T22:04:05Z"),
        ("RFC822", UTC, "02 Jan 06 15:04 MST", "2006-01-02T15:04:00Z"),
        ("RFC822Z", UTC, "02 Jan 06 15:04 -0700", "2006-01-02T22:04:00Z"),
        ("RFC850", UTC, "Monday, 02-Jan-06 15:04:05 MST", "2006-01-02T15:04:05Z"),
        ("RFC1123", UTC, "Mon, 02 Jan 2006 15:04:05 MST", "2006-01-02T15:04:05Z"),
        ("RFC1123Z", UTC, "Mon, 02 Jan 2006 15:04:05 -0700", "2006-01-02T22:04:05Z"),
        ("RFC3339", UTC, "2006-01-02T15:04:05-07:00", "2006-01-02T22:04:05Z"),
        ("RFC3339Nano", UTC, "2006-01-02T15:04:05.999999999-07:00", "2006-01-02T22:04:05.999999999Z"),
    ]);
}

#[test]
fn every_named_layout_is_listed_once() {
    let mut names: Vec<&str> = NAMED.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), NAMED.len());
}

#[test]
fn what_promtail_was_seen_to_do_with_its_conformance_cases() {
    let mut rows: Vec<Row<'_>> = vec![
        ("RFC3339", UTC, "2099-12-31T23:59:58-04:00", "2100-01-01T03:59:58Z"),
        ("UnixMs", UTC, "1600000001414", "2020-09-13T12:26:41.414Z"),
        ("UnixUs", UTC, "1600000001414123", "2020-09-13T12:26:41.414123Z"),
        ("2006-01-02 15:04:05", NEW_YORK, "2022-08-09 10:11:12", "2022-08-09T14:11:12Z"),
        ("UnixMs", UTC, "2013-05-06T07:08:09-03:30", "not a number"),
        ("RFC3339", UTC, "2013-05-06T07:08:09-03:30", "2013-05-06T10:38:09Z"),
        ("RFC3339Nano", UTC, "2023-03-04T05:06:07.4Z", "2023-03-04T05:06:07.4Z"),
        ("06 Jan 02 15:04:05", UTC, "21 Feb 03 04:05:06", "2021-02-03T04:05:06Z"),
        ("RFC1123", UTC, "Mon, 02 Jan 2006 15:04:05 PST", "2006-01-02T15:04:05Z"),
    ];
    let bad = mismatch("2006", 0);
    rows.push(("RFC3339Nano", UTC, "bad", &bad));
    check(&rows);
    assert_eq!(location("Mars/Base").unwrap_err().to_string(), "unknown time zone `Mars/Base`");
}

#[test]
fn what_promtail_was_seen_to_do_with_layouts() {
    check(&[
        ("Jan _2 15:04:05", NEW_YORK, "Jul  4 10:00:00.25", "2026-07-04T14:00:00.25Z"),
        ("2006-01-02 15:04:05 MST", NEW_YORK, "2022-01-04 10:00:00 PST", "2022-01-04T10:00:00Z"),
        ("2006-01-02 15:04:05 MST", NEW_YORK, "2022-01-04 10:00:00 EST", "2022-01-04T15:00:00Z"),
        ("Jan _2 15:04:05", NEW_YORK, "feb 30 10:00:00", "day out of range"),
    ]);
}

#[test]
fn a_layout_without_a_year_takes_the_one_nearest() {
    let rows = [
        ("2026-01-05T00:00:00Z", "Dec 31 23:59:59", "2025-12-31T23:59:59Z"),
        ("2025-12-31T23:59:59Z", "Jan  1 00:00:01", "2026-01-01T00:00:01Z"),
        ("2026-01-05T00:00:00Z", "Nov 30 10:00:00", "2026-11-30T10:00:00Z"),
        ("2026-12-05T00:00:00Z", "Feb  2 10:00:00", "2026-02-02T10:00:00Z"),
        ("2026-06-05T00:00:00Z", "Dec 31 10:00:00", "2026-12-31T10:00:00Z"),
        ("2028-06-05T00:00:00Z", "Feb 29 10:00:00", "2028-02-29T10:00:00Z"),
        ("2026-06-05T00:00:00Z", "Feb 29 10:00:00", "2026-03-01T10:00:00Z"),
        ("2028-06-05T00:00:00Z", "Feb 30 10:00:00", "day out of range"),
    ];
    for (now, text, expected) in rows {
        assert_eq!(outcome("Jan _2 15:04:05", UTC, text, now), expected, "{text} read at {now}");
    }
}

#[test]
fn a_literal_06_counts_as_a_year() {
    check(&[
        ("Jan _2 15:04:05", UTC, "Jul  4 10:00:00", "2026-07-04T10:00:00Z"),
        ("Jan _2 15:04:05 006", UTC, "Jul  4 10:00:00 021", "2021-07-04T10:00:00Z"),
        ("15:04:05 Z07:00 -0", UTC, "10:00:00 Z -0", "2026-01-01T10:00:00Z"),
    ]);
}

#[test]
fn counts_since_the_epoch_are_integers_and_seconds_may_have_a_fraction() {
    check(&[
        ("Unix", UTC, "1700000000", "2023-11-14T22:13:20Z"),
        ("Unix", UTC, "1700000000.5", "2023-11-14T22:13:20.5Z"),
        ("Unix", UTC, "1700000000.000000001", "2023-11-14T22:13:20.000000001Z"),
        ("Unix", UTC, "1700000000.1234567899", "2023-11-14T22:13:20.123456789Z"),
        ("Unix", UTC, "1700000000.1234567890123456789", "2023-11-14T22:13:20.123456789Z"),
        ("Unix", UTC, "-1", "1969-12-31T23:59:59Z"),
        ("Unix", UTC, "-1.25", "1969-12-31T23:59:59.25Z"),
        ("Unix", UTC, "1700000000.", "not a number"),
        ("Unix", UTC, ".5", "not a number"),
        ("Unix", UTC, "1.2.3", "not a number"),
        ("Unix", UTC, "1.-5", "not a number"),
        ("Unix", UTC, " 1", "not a number"),
        ("Unix", UTC, "", "not a number"),
        ("Unix", UTC, "1e9", "not a number"),
        ("Unix", UTC, "99999999999", "outside the years 1677 to 2262"),
        ("UnixMs", UTC, "1700000000123", "2023-11-14T22:13:20.123Z"),
        ("UnixMs", UTC, "1700000000123.5", "not a number"),
        ("UnixMs", UTC, "9223372036854775807", "outside the years 1677 to 2262"),
        ("UnixUs", UTC, "1700000000123456", "2023-11-14T22:13:20.123456Z"),
        ("UnixNs", UTC, "1700000000123456789", "2023-11-14T22:13:20.123456789Z"),
        ("UnixNs", UTC, "9223372036854775808", "not a number"),
    ]);
}

#[test]
fn moments_an_i64_of_nanoseconds_cannot_hold_are_errors() {
    let beyond = "outside the years 1677 to 2262";
    check(&[
        ("RFC3339Nano", UTC, "2262-04-11T23:47:16.854775807Z", "2262-04-11T23:47:16.854775807Z"),
        ("RFC3339Nano", UTC, "2262-04-11T23:47:16.854775808Z", beyond),
        ("RFC3339Nano", UTC, "1677-09-21T00:12:43.145224192Z", "1677-09-21T00:12:43.145224192Z"),
        ("RFC3339Nano", UTC, "1677-09-21T00:12:43.145224191Z", beyond),
        ("RFC3339", UTC, "0000-01-01T00:00:00Z", beyond),
        ("RFC3339", UTC, "9999-12-31T23:59:59-24:00", beyond),
        ("2006-01-02", NEW_YORK, "9999-12-31", beyond),
        ("2006-01-02", NEW_YORK, "0000-01-01", beyond),
        ("2006-01-02 MST", NEW_YORK, "9999-12-31 EST", beyond),
    ]);
}

#[test]
fn rfc3339_takes_what_go_takes_beyond_the_standard() {
    check(&[
        ("RFC3339", UTC, "2020-01-02T3:04:05Z", "2020-01-02T03:04:05Z"),
        ("RFC3339", UTC, "2020-01-02T03:04:05,5Z", "2020-01-02T03:04:05.5Z"),
        ("RFC3339", UTC, "2020-01-02T03:04:05.5+24:60", "2020-01-01T02:04:05.5Z"),
        ("RFC3339", UTC, "2020-01-02t03:04:05Z", "does not match layout at byte 10: expected `literal text`"),
        ("RFC3339", UTC, "2020-01-02 03:04:05Z", "does not match layout at byte 10: expected `literal text`"),
        ("RFC3339", UTC, "2020-01-02T03:04:05z", "does not match layout at byte 19: expected `Z07:00`"),
        ("RFC3339", UTC, "2020-01-02T03:04:05", "does not match layout at byte 19: expected `Z07:00`"),
        ("RFC3339", UTC, "2020-01-02T03:04:60Z", "second out of range"),
        ("RFC3339", UTC, "2020-01-02T03:04:05Z ", "extra text at byte 20"),
        ("RFC3339", UTC, "", "does not match layout at byte 0: expected `2006`"),
    ]);
}
