//! Names in a store: partitions as Hive writes them, objects after the numbers of the log.
//! In: a day, a host, a service.  Out: directories that other engines read as columns.  Owns: nothing.

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::record::UnixNanos;
use crate::retention::archive::manifest::digest_of;

/// The log's directory. Readers of Parquet pass over names with a dot.
pub(crate) const LOG: &str = ".wal";

/// Ends of names.
pub(crate) const OBJECT: &str = ".parquet";
const MANIFEST: &str = ".json";
pub(crate) const TOMBSTONE: &str = ".tombstone";

/// Before the number of an object that is not of one part of the log.
const COMPACTED: char = 'c';

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
    format!("date={date}/{}/{}", host_directory(host), service_directory(service))
}

/// The directory of a host.
pub(super) fn host_directory(host: &str) -> String {
    format!("host={}", escape(host))
}

/// When the day of a partition begins, by its name or that of its directory.
pub(crate) fn day_of(partition: &str) -> Option<UnixNanos> {
    let date: Date = partition.split('/').next()?.strip_prefix("date=")?.parse().ok()?;
    let nanos = TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()?.as_nanosecond();
    // Times in nanoseconds begin within a day.
    Some(UnixNanos(i64::try_from(nanos).unwrap_or(i64::MIN)))
}

/// The directory of a service; without one it is a directory too.
pub(crate) fn service_directory(service: &str) -> String {
    format!("service={}", escape(service))
}

/// What the name of an object says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name<'n> {
    /// Whose it is.
    pub(crate) agent: &'n str,
    /// The first number of the log that is in it; `None` for one that others were compacted into.
    pub(crate) first: Option<u64>,
    /// What a rule says of its entries.
    pub(crate) kept_for: Option<Duration>,
}

impl Name<'_> {
    /// Reads one, or that of something beside an object. `None` for what is not an agent's.
    pub(crate) fn parse(path: &str) -> Option<Name<'_>> {
        let stem = path.rsplit('/').next()?.split('.').next()?;
        let mut parts = stem.split('-');
        let (agent, number) = (parts.next()?, parts.next()?);
        let kept_for = match parts.next() {
            Some(kept_for) => Some(Duration::from_secs(kept_for.strip_suffix('s')?.parse().ok()?)),
            None => None,
        };
        let is_hex = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let first = match number.strip_prefix(COMPACTED) {
            Some(hash) if is_hex(hash) => None,
            _ if is_hex(number) => Some(u64::from_str_radix(number, 16).ok()?),
            _ => return None,
        };
        (is_hex(agent) && parts.next().is_none()).then_some(Name { agent, first, kept_for })
    }
}

/// The name of an object that others are compacted into: the same ones always give the same name.
pub(crate) fn compacted_name(agent: &str, names: &[String], kept_for: Option<Duration>) -> String {
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    let hash = &digest_of(names.join("\n").as_bytes())[..16];
    format!("{agent}-{COMPACTED}{hash}{}{OBJECT}", suffix(kept_for))
}

fn suffix(kept_for: Option<Duration>) -> String {
    kept_for.map(|kept_for| format!("-{}s", kept_for.as_secs())).unwrap_or_default()
}

/// The name of an object: nobody else writes one like it, and sealing the same part of the log again writes the same one.
pub(super) fn object_name(agent: &str, first: u64, kept_for: Option<Duration>) -> String {
    format!("{agent}-{first:016x}{}{OBJECT}", suffix(kept_for))
}

/// What is known of an object is beside it.
pub(crate) fn manifest_of(object: &str) -> String {
    format!("{}{MANIFEST}", object.strip_suffix(OBJECT).unwrap_or(object))
}

/// Beside an object that is to be removed, or that is not whole yet, whatever of it is there.
pub(crate) fn tombstone_of(object: &str) -> String {
    format!("{}{TOMBSTONE}", object.strip_suffix(OBJECT).unwrap_or(object))
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
    fn a_name_says_whose_it_is_and_nobody_else_has_one_like_it() {
        let (agent, week) = ("0123456789abcdef", Some(Duration::from_secs(604_800)));
        let path = |name: &str| format!("date=2026-11-18/host=h/service=s/{name}");
        let sealed = path(&object_name(agent, 258, week));
        assert_eq!(Name::parse(&sealed), Some(Name { agent, first: Some(258), kept_for: week }));
        assert_eq!(Name::parse(&tombstone_of(&sealed)), Name::parse(&manifest_of(&sealed)));
        let names = ["b".to_owned(), "a".to_owned()];
        let compacted = compacted_name(agent, &names, None);
        assert_eq!(Name::parse(&compacted), Some(Name { agent, first: None, kept_for: None }));
        assert_eq!(compacted, compacted_name(agent, &["a".to_owned(), "b".to_owned()], None));
        for foreign in ["part-0001.parquet", "data.parquet", "0123456789abcdef-1-7.parquet", "x-y-z", ""] {
            assert_eq!(Name::parse(&path(foreign)), None, "{foreign}");
        }
    }

    #[test]
    fn a_partition_tells_its_day() {
        assert_eq!(day_of("date=1970-01-02/host=h"), Some(UnixNanos(DAYS)));
        for time in [i64::MIN, -1, 0, DAYS - 1, 1_763_461_800_123_000_000, i64::MAX] {
            let day = day_of(&partition(&date_of(UnixNanos(time)), "h", "s")).unwrap();
            assert!(day.0 <= time && time - day.0 < DAYS, "{time}");
        }
        assert_eq!(day_of("date=yesterday"), None);
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
