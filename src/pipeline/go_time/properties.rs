//! Properties of the timestamp formats over generated layouts and texts.
//! In: proptest's inventions.  Out: counterexamples.  Owns: nothing.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ZonedDateTime};
use proptest::prelude::*;

use super::layout::Layout;
use super::{RFC3339, RFC3339_NANO, TimeError, TimeFormat, location, parse, resolve, rfc3339};

const PIECES: [&str; 52] = [
    "January",
    "Jan",
    "Monday",
    "Mon",
    "MST",
    "002",
    "01",
    "02",
    "03",
    "04",
    "05",
    "06",
    "15",
    "1",
    "2006",
    "2",
    "__2",
    "_2",
    "3",
    "4",
    "5",
    "PM",
    "pm",
    "-070000",
    "-07:00:00",
    "-0700",
    "-07:00",
    "-07",
    "Z070000",
    "Z07:00:00",
    "Z0700",
    "Z07:00",
    "Z07",
    ".000",
    ",000",
    ".999",
    ",999",
    ".0000000000",
    " ",
    "  ",
    "T",
    "-",
    ":",
    "/",
    ".",
    ",",
    "_",
    "é",
    "UTC",
    "GMT+3",
    "EST",
    "Dec",
];
const PLACES: [&str; 5] =
    ["UTC", "America/New_York", "Europe/London", "Australia/Lord_Howe", "Asia/Kathmandu"];

fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => prop::sample::select(&PIECES[..]).prop_map(str::to_owned),
        2 => (0u32..3000).prop_map(|number| number.to_string()),
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn place() -> impl Strategy<Value = TimeZone> {
    prop::sample::select(&PLACES[..]).prop_map(|name| location(name).unwrap())
}

/// Moments from 1700 to 2200: a day away from both ends of the range.
fn moment() -> impl Strategy<Value = i64> {
    -8_520_000_000_000_000_000i64..7_258_000_000_000_000_000
}

fn rfc3339_text() -> impl Strategy<Value = String> {
    let date = (0u32..10_000, 0u32..14, 0u32..33);
    let clock = (0u32..25, 0u32..61, 0u32..61);
    let fraction = prop_oneof![Just(String::new()), fraction()];
    let zone = prop_oneof![
        Just("Z".to_owned()),
        (prop::bool::ANY, 0u32..26, 0u32..62)
            .prop_map(|(east, h, m)| { format!("{}{h:02}:{m:02}", if east { '+' } else { '-' }) })
    ];
    (date, clock, fraction, zone).prop_map(|((y, mo, d), (h, mi, s), fraction, zone)| {
        format!("{y:04}-{mo:02}-{d:02}T{h:02}:{mi:02}:{s:02}{fraction}{zone}")
    })
}

fn fraction() -> impl Strategy<Value = String> {
    (prop::sample::select(&['.', ','][..]), prop::collection::vec(0u32..10, 0..12)).prop_map(
        |(separator, digits)| {
            let digits: String = digits.iter().map(u32::to_string).collect();
            format!("{separator}{digits}")
        },
    )
}

/// How to spoil a text: where, and what happens there.
fn damage() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, char)>> {
    let character = prop_oneof![
        prop::sample::select(&['0', '9', ':', '-', '+', '.', ',', 'T', 'Z', 't', 'z', ' ', '\u{663}'][..]),
        any::<char>()
    ];
    prop::collection::vec((any::<prop::sample::Index>(), 0u8..3, character), 0..3)
}

fn spoiled(text: &str, damage: &[(prop::sample::Index, u8, char)]) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for (index, kind, character) in damage {
        if characters.is_empty() {
            break;
        }
        let at = index.index(characters.len());
        match kind {
            0 => characters.insert(at, *character),
            1 => characters[at] = *character,
            _ => drop(characters.remove(at)),
        }
    }
    characters.into_iter().collect()
}

fn by_the_general_engine(layout: &str, text: &str) -> Result<i64, TimeError> {
    resolve::moment(&parse::read(&Layout::cut(layout), text)?, None, None)
}

fn at(nanos: i64, zone: TimeZone) -> ZonedDateTime {
    Timestamp::from_nanosecond(i128::from(nanos)).unwrap().to_zoned_datetime(zone)
}

/// Counterexamples become golden rows; no file of seeds beside the sources.
fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_layout_and_no_text_panics(
        layout in pieces(), text in pieces(), zone in place(), now in any::<i64>(),
    ) {
        let format = TimeFormat::compile(&layout, Some(zone));
        let _ = format.parse(&text, now);
        // The layout itself is the text most likely to get far.
        let _ = format.parse(&layout, now);
    }

    #[test]
    fn no_text_panics_in_a_named_format(text in any::<String>(), now in any::<i64>()) {
        for format in ["ANSIC", "RFC850", "RFC3339Nano", "Unix", "UnixMs", "UnixUs", "UnixNs"] {
            let _ = TimeFormat::compile(format, None).parse(&text, now);
        }
    }

    #[test]
    fn the_fast_path_and_the_general_engine_agree(text in rfc3339_text(), damage in damage()) {
        let text = spoiled(&text, &damage);
        for (name, layout) in [("RFC3339", RFC3339), ("RFC3339Nano", RFC3339_NANO)] {
            let general = by_the_general_engine(layout, &text);
            if let Some(fast) = rfc3339::read(&text) {
                prop_assert_eq!(Ok(fast), general.clone(), "{}", text);
            }
            prop_assert_eq!(TimeFormat::compile(name, None).parse(&text, 0), general, "{}", text);
        }
    }

    #[test]
    fn what_jiff_writes_takes_the_fast_path_and_comes_back(nanos in moment()) {
        let text = Timestamp::from_nanosecond(i128::from(nanos)).unwrap().to_string();
        prop_assert_eq!(rfc3339::read(&text), Some(nanos));
        prop_assert_eq!(by_the_general_engine(RFC3339, &text), Ok(nanos));
    }

    #[test]
    fn what_is_written_with_an_offset_comes_back(nanos in moment(), zone in place()) {
        let written = at(nanos, zone);
        let pairs = [
            ("2006-01-02 15:04:05.000000000 -070000", "%Y-%m-%d %H:%M:%S.%9f %::z"),
            ("Monday, _2 January 2006 03:04:05 PM -07:00:00", "%A, %e %B %Y %I:%M:%S%.9f %p %::z"),
            ("2006/002 15h04m05 Z07:00:00", "%Y/%j %Hh%Mm%S%.9f %::z"),
        ];
        for (layout, jiff_format) in pairs {
            let text = written.strftime(jiff_format).to_string();
            let text = if layout.ends_with("-070000") { without_zone_colons(&text) } else { text };
            let read = TimeFormat::compile(layout, None).parse(&text, 0);
            prop_assert_eq!(read, Ok(nanos), "{}", text);
        }
    }

    #[test]
    fn what_clocks_in_a_place_show_comes_back(nanos in moment(), zone in place()) {
        let written = at(nanos, zone.clone());
        let text = written.strftime("%Y-%m-%d %H:%M:%S%.9f").to_string();
        let read = TimeFormat::compile("2006-01-02 15:04:05", Some(zone.clone())).parse(&text, 0);
        prop_assert!(shown_at(written.datetime(), &zone).contains(&read.clone().unwrap()), "{}", text);
    }

    #[test]
    fn a_skipped_reading_is_off_by_no_more_than_the_skip(minute in 0i64..60 * 24 * 365, zone in place()) {
        let reading = DateTime::constant(2022, 1, 1, 0, 0, 0, 0) + jiff::SignedDuration::from_mins(minute);
        let text = reading.strftime("%Y-%m-%d %H:%M").to_string();
        let read = TimeFormat::compile("2006-01-02 15:04", Some(zone.clone())).parse(&text, 0);
        let either = shown_at(reading, &zone);
        prop_assert!(either.contains(&read.clone().unwrap()), "{} {:?} {:?}", text, read, either);
    }

    #[test]
    fn a_date_without_a_year_comes_back_in_this_year(nanos in 0i64..4_000_000_000_000_000_000) {
        let seconds = nanos / 1_000_000_000 * 1_000_000_000;
        let text = at(seconds, TimeZone::UTC).strftime("%b %e %T").to_string();
        prop_assert_eq!(TimeFormat::compile("Jan _2 15:04:05", None).parse(&text, nanos), Ok(seconds));
    }
}

/// Every moment the two offsets around this reading can give it.
fn shown_at(reading: DateTime, zone: &TimeZone) -> Vec<i64> {
    let offsets = match zone.to_ambiguous_timestamp(reading).offset() {
        AmbiguousOffset::Unambiguous { offset } => vec![offset],
        AmbiguousOffset::Gap { before, after } | AmbiguousOffset::Fold { before, after } => {
            vec![before, after]
        }
    };
    let nanos = |offset: jiff::tz::Offset| offset.to_timestamp(reading).unwrap().as_nanosecond();
    offsets.into_iter().map(|offset| i64::try_from(nanos(offset)).unwrap()).collect()
}

fn without_zone_colons(text: &str) -> String {
    let (moment, zone) = text.rsplit_once(' ').unwrap();
    format!("{moment} {}", zone.replace(':', ""))
}
