//! Golden cases of offsets, abbreviations and locations.
//! In: rows, as in `tests`.  Out: the rows that come out otherwise.  Owns: the rows.

use super::{NEW_YORK, UTC, check, location, mismatch};

#[test]
fn zone_offsets_have_ten_spellings() {
    let colon = mismatch("-07:00", 8);
    let short = mismatch("-0700", 8);
    let z = mismatch("-0700", 8);
    check(&[
        ("2006 15-0700", UTC, "2020 01+0230", "2019-12-31T22:30:00Z"),
        ("2006 15-07:00", UTC, "2020 01-02:30", "2020-01-01T03:30:00Z"),
        ("2006 15-07", UTC, "2020 01-02", "2020-01-01T03:00:00Z"),
        ("2006 15-070000", UTC, "2020 01-023015", "2020-01-01T03:30:15Z"),
        ("2006 15-07:00:00", UTC, "2020 01-02:30:15", "2020-01-01T03:30:15Z"),
        ("2006 15Z0700", UTC, "2020 01+0230", "2019-12-31T22:30:00Z"),
        ("2006 15Z07:00", UTC, "2020 01-02:30", "2020-01-01T03:30:00Z"),
        ("2006 15Z07", UTC, "2020 01-02", "2020-01-01T03:00:00Z"),
        ("2006 15Z070000", UTC, "2020 01-023015", "2020-01-01T03:30:15Z"),
        ("2006 15Z07:00:00", UTC, "2020 01-02:30:15", "2020-01-01T03:30:15Z"),
        ("2006 15Z0700", UTC, "2020 01Z", "2020-01-01T01:00:00Z"),
        ("2006 15Z07:00", NEW_YORK, "2020 01Z", "2020-01-01T01:00:00Z"),
        ("2006 15  -0700", UTC, "2020 01 Z", &z),
        ("2006 15 -0700", NEW_YORK, "2020 01 +0000", "2020-01-01T01:00:00Z"),
        ("2006 15 -07:00", UTC, "2020 01 +0230", &colon),
        ("2006 15 -0700", UTC, "2020 01 02300", &short),
        ("2006 15 -0700", UTC, "2020 01 +2400", "2019-12-31T01:00:00Z"),
        ("2006 15 -0700", UTC, "2020 01 +2500", "time zone offset hour out of range"),
        ("2006 15 -0700", UTC, "2020 01 +0060", "2020-01-01T00:00:00Z"),
        ("2006 15 -0700", UTC, "2020 01 +0061", "time zone offset minute out of range"),
        ("2006 15 -070000", UTC, "2020 01 +000061", "time zone offset second out of range"),
        ("2006 15 -070000", NEW_YORK, "2020 01 -000001", "2020-01-01T06:00:00Z"),
    ]);
}

#[test]
fn zone_abbreviations_have_three_to_five_letters_or_are_hours() {
    let zone = mismatch("MST", 8);
    let one = "2020-01-01T01:00:00Z";
    check(&[
        ("2006 15 MST", UTC, "2020 01 UTC", one),
        ("2006 15 MST", UTC, "2020 01 UTCx", "extra text at byte 11"),
        ("2006 15 MST", UTC, "2020 01 GMT", one),
        ("2006 15 MST", UTC, "2020 01 GMT+3", one),
        ("2006 15 MST", UTC, "2020 01 GMT-08", one),
        ("2006 15 MST", UTC, "2020 01 GMT+24", "extra text at byte 11"),
        ("2006 15 MST", UTC, "2020 01 GMT+", "extra text at byte 11"),
        ("2006 15 MST", UTC, "2020 01 PST", one),
        ("2006 15 MST", UTC, "2020 01 CEST", one),
        ("2006 15 MST", UTC, "2020 01 WITA", one),
        ("2006 15 MST", UTC, "2020 01 CESX", &zone),
        ("2006 15 MST", UTC, "2020 01 ChST", one),
        ("2006 15 MST", UTC, "2020 01 MeST", one),
        ("2006 15 MST", UTC, "2020 01 CeST", &zone),
        ("2006 15 MST", UTC, "2020 01 AAAAT", one),
        ("2006 15 MST", UTC, "2020 01 AAAAX", &zone),
        ("2006 15 MST", UTC, "2020 01 AAAAAT", &zone),
        ("2006 15 MST", UTC, "2020 01 pst", &zone),
        ("2006 15 MST", UTC, "2020 01 PS", &zone),
        ("2006 15 MST", UTC, "2020 01 +00", one),
        ("2006 15 MST", UTC, "2020 01 -03", one),
        ("2006 15 MST", UTC, "2020 01 +0003", one),
        ("2006 15 MST", UTC, "2020 01 +24", &zone),
        ("2006 15 MST", UTC, "2020 01 +99999999999999999999999", &zone),
        ("2006 15 MST", UTC, "2020 01 +3", &zone),
    ]);
}

#[test]
fn an_abbreviation_known_in_the_location_means_its_offset_there() {
    let layout = "2006-01-02 15:04 MST";
    check(&[
        (layout, NEW_YORK, "2022-07-04 10:00 EDT", "2022-07-04T14:00:00Z"),
        (layout, NEW_YORK, "2022-07-04 10:00 EST", "2022-07-04T15:00:00Z"),
        (layout, NEW_YORK, "2022-07-04 10:00 CET", "2022-07-04T10:00:00Z"),
        (layout, NEW_YORK, "2022-07-04 10:00 UTC", "2022-07-04T10:00:00Z"),
        (layout, NEW_YORK, "2022-07-04 10:00 GMT-8", "2022-07-04T10:00:00Z"),
        (layout, "Europe/Moscow", "2012-07-04 10:00 MSK", "2012-07-04T06:00:00Z"),
        (layout, "Europe/Moscow", "2020-07-04 10:00 MSK", "2020-07-04T07:00:00Z"),
        (layout, "Europe/Istanbul", "2020-07-04 10:00 +03", "2020-07-04T07:00:00Z"),
        (layout, "Europe/Istanbul", "2020-07-04 10:00 +04", "2020-07-04T06:00:00Z"),
        (layout, "Europe/Istanbul", "2020-07-04 10:00 +05", "2020-07-04T10:00:00Z"),
        ("Jan _2 15:04 MST", NEW_YORK, "Jul  4 10:00 EDT", "2026-07-04T14:00:00Z"),
    ]);
}

#[test]
fn utc_beats_an_offset_and_an_offset_beats_an_abbreviation() {
    check(&[
        ("2006 15 MST -0700", NEW_YORK, "2020 01 UTC -0300", "2020-01-01T01:00:00Z"),
        ("2006 15 -0700 MST", NEW_YORK, "2020 01 -0300 EST", "2020-01-01T04:00:00Z"),
    ]);
}

#[test]
fn readings_the_clock_skips_or_repeats_are_what_go_makes_of_them() {
    let layout = "2006-01-02 15:04";
    check(&[
        (layout, NEW_YORK, "2022-03-13 01:59", "2022-03-13T06:59:00Z"),
        (layout, NEW_YORK, "2022-03-13 02:30", "2022-03-13T06:30:00Z"),
        (layout, NEW_YORK, "2022-03-13 03:00", "2022-03-13T07:00:00Z"),
        (layout, NEW_YORK, "2022-11-06 01:30", "2022-11-06T05:30:00Z"),
        (layout, "Europe/London", "2022-03-27 01:30", "2022-03-27T01:30:00Z"),
        (layout, "Europe/London", "2022-10-30 01:30", "2022-10-30T01:30:00Z"),
        (layout, "Europe/Berlin", "2022-10-30 02:30", "2022-10-30T01:30:00Z"),
        (layout, "Asia/Kathmandu", "2022-10-30 02:30", "2022-10-29T20:45:00Z"),
    ]);
}

#[test]
fn named_formats_ignore_the_location() {
    check(&[
        ("ANSIC", NEW_YORK, "Mon Jan  2 15:04:05 2006", "2006-01-02T15:04:05Z"),
        ("UnixDate", NEW_YORK, "Mon Jan  2 15:04:05 EST 2006", "2006-01-02T15:04:05Z"),
        ("Mon Jan _2 15:04:05 2006", NEW_YORK, "Mon Jan  2 15:04:05 2006", "2006-01-02T20:04:05Z"),
    ]);
}

#[test]
fn locations_are_iana_names_or_local_or_nothing() {
    for name in ["Europe/Vienna", "UTC", "Etc/GMT+3", "Local", ""] {
        assert!(location(name).is_ok(), "{name}");
    }
    for name in ["Mars/Base", "CEST-ish", "../etc/passwd", " "] {
        assert!(location(name).is_err(), "{name}");
    }
}
