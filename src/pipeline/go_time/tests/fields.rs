//! Golden cases of dates, clocks, fractions and the text between them.
//! In: rows, as in `tests`.  Out: the rows that come out otherwise.  Owns: the rows.

use super::{UTC, check, mismatch};

#[test]
fn years_have_four_digits_or_two() {
    let text = mismatch("2006", 0);
    let short = mismatch("06", 0);
    check(&[
        ("2006", UTC, "1999", "1999-01-01T00:00:00Z"),
        ("2006", UTC, "199", &text),
        ("2006", UTC, "+199", &text),
        ("2006", UTC, "19995", "extra text at byte 4"),
        ("06", UTC, "69", "1969-01-01T00:00:00Z"),
        ("06", UTC, "99", "1999-01-01T00:00:00Z"),
        ("06", UTC, "00", "2000-01-01T00:00:00Z"),
        ("06", UTC, "68", "2068-01-01T00:00:00Z"),
        ("06", UTC, "+5", "2005-01-01T00:00:00Z"),
        ("06", UTC, "5", &short),
        ("06", UTC, "5x", &short),
    ]);
}

#[test]
fn months_are_numbers_or_names_in_any_case() {
    let fixed = mismatch("01", 5);
    let name = mismatch("Jan", 5);
    let long = mismatch("January", 5);
    check(&[
        ("2006 01", UTC, "2020 09", "2020-09-01T00:00:00Z"),
        ("2006 01", UTC, "2020 9", &fixed),
        ("2006 01", UTC, "2020 13", "month out of range"),
        ("2006 01", UTC, "2020 00", "month out of range"),
        ("2006 1", UTC, "2020 9", "2020-09-01T00:00:00Z"),
        ("2006 1", UTC, "2020 12", "2020-12-01T00:00:00Z"),
        ("2006 1", UTC, "2020 012", "extra text at byte 7"),
        ("2006 Jan", UTC, "2020 sEP", "2020-09-01T00:00:00Z"),
        ("2006 Jan", UTC, "2020 September", "extra text at byte 8"),
        ("2006 Jan", UTC, "2020 Foo", &name),
        ("2006 January", UTC, "2020 SEPTEMBER", "2020-09-01T00:00:00Z"),
        ("2006 January", UTC, "2020 May", "2020-05-01T00:00:00Z"),
        ("2006 January", UTC, "2020 Sep", &long),
    ]);
}

#[test]
fn a_word_that_begins_like_a_name_is_a_word() {
    check(&[
        ("2006 Janet", UTC, "2020 Janet", "2020-01-01T00:00:00Z"),
        ("Janet, January: Jan _2 2006", UTC, "Janet, February: Feb  4 2010", "2010-02-04T00:00:00Z"),
        ("2006 Month", UTC, "2020 Month", "2020-01-01T00:00:00Z"),
        ("2006 JanT", UTC, "2020 FebT", "2020-02-01T00:00:00Z"),
        ("2006 Januaryx", UTC, "2020 Marchx", "2020-03-01T00:00:00Z"),
    ]);
}

#[test]
fn days_may_be_padded_with_a_space() {
    let fixed = mismatch("02", 8);
    let free = mismatch("2", 8);
    let padded = mismatch("_2", 7);
    check(&[
        ("2006-01-02", UTC, "2020-02-03", "2020-02-03T00:00:00Z"),
        ("2006-01-02", UTC, "2020-02-3", &fixed),
        ("2006-01-2", UTC, "2020-02-3", "2020-02-03T00:00:00Z"),
        ("2006-01-2", UTC, "2020-02-03", "2020-02-03T00:00:00Z"),
        ("2006-01-2", UTC, "2020-02- 3", &free),
        ("2006-01_2", UTC, "2020-02 3", "2020-02-03T00:00:00Z"),
        ("2006-01_2", UTC, "2020-0203", "2020-02-03T00:00:00Z"),
        ("2006-01_2", UTC, "2020-02 13", "2020-02-13T00:00:00Z"),
        ("2006-01_2", UTC, "2020-02  3", &padded),
        ("_2006 2", UTC, "_2020 3", "2020-01-03T00:00:00Z"),
    ]);
}

#[test]
fn days_must_exist_in_their_month() {
    check(&[
        ("2006-01-02", UTC, "2020-02-29", "2020-02-29T00:00:00Z"),
        ("2006-01-02", UTC, "2021-02-29", "day out of range"),
        ("2006-01-02", UTC, "2000-02-29", "2000-02-29T00:00:00Z"),
        ("2006-01-02", UTC, "1900-02-29", "day out of range"),
        ("2006-01-02", UTC, "2021-04-31", "day out of range"),
        ("2006-01-02", UTC, "2021-01-00", "day out of range"),
        ("2006-01-02", UTC, "2021-12-31", "2021-12-31T00:00:00Z"),
        ("2006-01-02", UTC, "2021-12-32", "day out of range"),
    ]);
}

#[test]
fn a_day_of_the_year_is_a_date() {
    let fixed = mismatch("002", 5);
    check(&[
        ("2006-002", UTC, "2021-060", "2021-03-01T00:00:00Z"),
        ("2006-002", UTC, "2020-060", "2020-02-29T00:00:00Z"),
        ("2006-002", UTC, "2020-366", "2020-12-31T00:00:00Z"),
        ("2006-002", UTC, "2021-366", "day of year out of range"),
        ("2006-002", UTC, "2021-000", "day of year out of range"),
        ("2006-002", UTC, "2021-60", &fixed),
        ("2006-__2", UTC, "2021-  6", "2021-01-06T00:00:00Z"),
        ("2006-__2", UTC, "2021- 60", "2021-03-01T00:00:00Z"),
        ("2006-__2", UTC, "2021-365", "2021-12-31T00:00:00Z"),
        ("2006-002 01", UTC, "2021-060 03", "2021-03-01T00:00:00Z"),
        ("2006-002 01", UTC, "2021-060 02", "day of year does not match month"),
        ("2006-002 _2", UTC, "2021-060  2", "day of year does not match day"),
    ]);
}

#[test]
fn a_weekday_must_be_one_but_not_the_right_one() {
    let short = mismatch("Mon", 0);
    let long = mismatch("Monday", 0);
    check(&[
        ("Mon 2006", UTC, "fri 2020", "2020-01-01T00:00:00Z"),
        ("Mon 2006", UTC, "Fry 2020", &short),
        ("Monday 2006", UTC, "SUNDAY 2020", "2020-01-01T00:00:00Z"),
        ("Monday 2006", UTC, "Sun 2020", &long),
    ]);
}

#[test]
fn clocks_have_twenty_four_hours_or_twelve() {
    let hour = mismatch("15", 5);
    let twelve = mismatch("03", 5);
    let half = mismatch("PM", 7);
    let lower = mismatch("pm", 7);
    check(&[
        ("2006 15:04:05", UTC, "2020 23:59:59", "2020-01-01T23:59:59Z"),
        ("2006 15:04:05", UTC, "2020 3:04:05", "2020-01-01T03:04:05Z"),
        ("2006 15:04:05", UTC, "2020 24:00:00", "hour out of range"),
        ("2006 15:04:05", UTC, "2020 23:60:00", "minute out of range"),
        ("2006 15:04:05", UTC, "2020 23:59:60", "second out of range"),
        ("2006 15:04:05", UTC, "2020 x3:04:05", &hour),
        ("2006 15:4:5", UTC, "2020 3:4:5", "2020-01-01T03:04:05Z"),
        ("2006 15:4:5", UTC, "2020 03:04:05", "2020-01-01T03:04:05Z"),
        ("2006 03PM", UTC, "2020 12AM", "2020-01-01T00:00:00Z"),
        ("2006 03PM", UTC, "2020 12PM", "2020-01-01T12:00:00Z"),
        ("2006 03PM", UTC, "2020 11PM", "2020-01-01T23:00:00Z"),
        ("2006 03PM", UTC, "2020 00PM", "2020-01-01T12:00:00Z"),
        ("2006 03PM", UTC, "2020 13PM", "hour out of range"),
        ("2006 03PM", UTC, "2020 1PM", &twelve),
        ("2006 03PM", UTC, "2020 11pm", &half),
        ("2006 3pm", UTC, "2020 1pm", "2020-01-01T13:00:00Z"),
        ("2006 3pm", UTC, "2020 11am", "2020-01-01T11:00:00Z"),
        ("2006 3pm", UTC, "2020 11PM", &lower),
        ("2006 15PM", UTC, "2020 13AM", "2020-01-01T13:00:00Z"),
        ("2006 3", UTC, "2020 12", "2020-01-01T12:00:00Z"),
    ]);
}

#[test]
fn a_fraction_may_follow_the_seconds_unasked() {
    check(&[
        ("2006 15:04:05", UTC, "2020 01:02:03.5", "2020-01-01T01:02:03.5Z"),
        ("2006 15:04:05", UTC, "2020 01:02:03,25", "2020-01-01T01:02:03.25Z"),
        ("2006 15:04:05", UTC, "2020 01:02:03.1234567899999", "2020-01-01T01:02:03.123456789Z"),
        ("2006 15:04:05", UTC, "2020 01:02:03.", "extra text at byte 13"),
        ("2006 15:04:05 Z07:00", UTC, "2020 01:02:03.5 Z", "2020-01-01T01:02:03.5Z"),
        ("2006 15:04:5", UTC, "2020 01:02:3.5", "2020-01-01T01:02:03.5Z"),
        ("2006 15:04", UTC, "2020 01:02.5", "extra text at byte 10"),
    ]);
}

#[test]
fn a_fraction_of_zeros_has_exactly_their_number_of_digits() {
    let expected = mismatch("fraction of a second", 13);
    let literal = mismatch("literal text", 13);
    check(&[
        ("2006 15:04:05.000", UTC, "2020 01:02:03.123", "2020-01-01T01:02:03.123Z"),
        ("2006 15:04:05,000", UTC, "2020 01:02:03,123", "2020-01-01T01:02:03.123Z"),
        ("2006 15:04:05,000", UTC, "2020 01:02:03.123", "2020-01-01T01:02:03.123Z"),
        ("2006 15:04:05.000", UTC, "2020 01:02:03.12", &expected),
        ("2006 15:04:05.000", UTC, "2020 01:02:03.1234", "extra text at byte 17"),
        ("2006 15:04:05.000", UTC, "2020 01:02:03", &expected),
        ("2006 15:04:05.000", UTC, "2020 01:02:03:123", &expected),
        ("2006 15:04:05.000", UTC, "2020 01:02:03.+12", "2020-01-01T01:02:03.012Z"),
        ("2006 15:04:05.000", UTC, "2020 01:02:03.-12", "fractional second out of range"),
        ("2006 15:04:05.0000000000", UTC, "2020 01:02:03.123456789x", "2020-01-01T01:02:03.123456789Z"),
        ("2006 15:04:05 .000", UTC, "2020 01:02:03 .123", "2020-01-01T01:02:03.123Z"),
        ("2006 15:04:05 .000", UTC, "2020 01:02:03.123", &literal),
    ]);
}

#[test]
fn a_fraction_of_nines_may_have_any_number_of_digits_or_be_missing() {
    check(&[
        ("2006 15:04:05.999", UTC, "2020 01:02:03.123456", "2020-01-01T01:02:03.123456Z"),
        ("2006 15:04:05.999", UTC, "2020 01:02:03", "2020-01-01T01:02:03Z"),
        ("2006 15:04:05,999", UTC, "2020 01:02:03.5", "2020-01-01T01:02:03.5Z"),
        ("2006 15:04:05.999Z", UTC, "2020 01:02:03Z", "2020-01-01T01:02:03Z"),
        ("2006 15:04:05.999", UTC, "2020 01:02:03.", "extra text at byte 13"),
        ("2006.01.02.15.04.05.00", UTC, "2010.02.04.21.00.57.01", "2010-02-04T21:00:57.01Z"),
        ("02.01.2006 15.04.05", UTC, "03.02.2020 01.02.03", "2020-02-03T01:02:03Z"),
    ]);
}

#[test]
fn a_run_of_spaces_matches_any_run_and_the_end() {
    let year = mismatch("2006", 0);
    let literal = mismatch("literal text", 4);
    check(&[
        ("2006 01", UTC, "2020    03", "2020-03-01T00:00:00Z"),
        ("2006    01", UTC, "2020 03", "2020-03-01T00:00:00Z"),
        ("2006 ", UTC, "2020", "2020-01-01T00:00:00Z"),
        ("2006", UTC, "2020 ", "extra text at byte 4"),
        ("2006", UTC, " 2020", &year),
        (" 2006", UTC, "2020", "does not match layout at byte 0: expected `literal text`"),
        ("2006 x", UTC, "2020 x", "2020-01-01T00:00:00Z"),
        ("2006 x", UTC, "2020x", &literal),
        ("2006\t01", UTC, "2020 03", &literal),
        ("Jan  2 2006", UTC, "Feb 13 2020", "2020-02-13T00:00:00Z"),
    ]);
}

#[test]
fn literal_text_need_not_be_ascii() {
    let literal = mismatch("literal text", 4);
    check(&[
        ("2006年1月", UTC, "2020年3月", "2020-03-01T00:00:00Z"),
        ("2006年", UTC, "2020月", &literal),
        ("2006MST", UTC, "2020é", "does not match layout at byte 4: expected `MST`"),
    ]);
}
