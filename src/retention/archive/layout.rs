//! Names in a store: partitions as Hive writes them, objects after the numbers of the log.
//! In: a day, a host, a service.  Out: directories that other engines read as columns.  Owns: nothing.

use std::time::Duration;

use jiff::civil::Date;

use crate::record::UnixNanos;

/// The log's directory. Readers of Parquet pass over names with a dot.
pub(crate) const LOG: &str = ".wal";

/// Beside the log: whose numbers its entries have.
pub(super) const AGENT: &str = "agent";

/// Ends of names.
pub(crate) const OBJECT: &str = ".parquet";
const MANIFEST: &str = ".json";

/// Nanoseconds of a day.
pub(crate) const DAYS: i64 = 24 * 3600 * 1_000_000_000;

/// Stands for no value; Hive's own word for it is longer than most names.
const NONE: &str = "_";

/// Of a name in a path most file systems take 255 bytes.
const LONGEST: usize = 180;

/// The day of a time, in UTC: `2026-11-18`.
pub(crate) fn date_of(time: UnixNanos) -> String {
    let day = time.0.div_euclid(DAYS);
    // Times in nanoseconds are between the years 1677 and 2262.
    let date =
        i32::try_from(day).map_or(Date::ZERO, |day| Date::constant(1970, 1, 1).saturating_add(days(day)));
    date.to_string()
}

fn days(count: i32) -> jiff::Span {
    jiff::Span::new().days(count)
}

/// Where objects of a day and a service are, below the store.
pub(super) fn partition(date: &str, host: &str, service: &str) -> String {
    format!("date={date}/host={}/{}", escape(host), service_directory(service))
}

/// The directory of a service; without one it is a directory too.
pub(crate) fn service_directory(service: &str) -> String {
    format!("service={}", escape(service))
}

/// The name of an object: nobody else writes one like it, and sealing the same part of the log again writes the same one.
pub(super) fn object_name(agent: &str, first: u64, kept_for: Option<Duration>) -> String {
    match kept_for {
        Some(kept_for) => format!("{agent}-{first:016x}-{}s{OBJECT}", kept_for.as_secs()),
        None => format!("{agent}-{first:016x}{OBJECT}"),
    }
}

/// What is known of an object is beside it.
pub(crate) fn manifest_of(object: &str) -> String {
    format!("{}{MANIFEST}", object.strip_suffix(OBJECT).unwrap_or(object))
}

/// The other way round; `None` for what is no manifest.
pub(crate) fn object_of(manifest: &str) -> Option<String> {
    manifest.strip_suffix(MANIFEST).map(|name| format!("{name}{OBJECT}"))
}

/// A value as a part of a path.
fn escape(value: &str) -> String {
    if value.is_empty() {
        return NONE.to_owned();
    }
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        // What Hive escapes.
        let special = c.is_ascii_control() || "\"#%'*/:=?\\{[]^\u{7f}".contains(c);
        if special {
            out.push_str(&format!("%{:02X}", c as u32));
        } else {
            out.push(c);
        }
    }
    if out.len() > LONGEST {
        out.truncate(out.floor_char_boundary(LONGEST));
        out.push_str(&format!("~{:08x}", crc32fast::hash(value.as_bytes())));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_written_as_hive_does() {
        let partition = |service| partition("2026-11-18", "web-1", service);
        assert_eq!(partition("api"), "date=2026-11-18/host=web-1/service=api");
        assert_eq!(partition("a/b=c: 100%é"), "date=2026-11-18/host=web-1/service=a%2Fb%3Dc%3A 100%25é");
        assert_eq!(partition(""), "date=2026-11-18/host=web-1/service=_");
        assert_eq!(partition(".."), "date=2026-11-18/host=web-1/service=..");
        let long = |tail: &str| service_directory(&("é/".repeat(500) + tail));
        assert!(long("a").len() < 255 && long("a") != long("b"));
    }

    #[test]
    fn a_day_is_one_of_utc_also_before_1970_and_far_away() {
        assert_eq!(date_of(UnixNanos(0)), "1970-01-01");
        assert_eq!(date_of(UnixNanos(-1)), "1969-12-31");
        assert_eq!(date_of(UnixNanos(1_763_461_800_123_000_000)), "2025-11-18");
        assert_eq!(date_of(UnixNanos(i64::MIN)), "1677-09-21");
        assert_eq!(date_of(UnixNanos(i64::MAX)), "2262-04-11");
    }
}
