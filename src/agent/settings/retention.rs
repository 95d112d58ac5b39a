//! The `retention` block: what is archived, where and for how long.
//! In: the block.  Out: settings of the archive.  Owns: its tables.

mod s3;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::agent::settings::above_zero;
use crate::config::{Invalid, Kind, Node, Table, row};
use crate::pipeline::Selector;
use crate::record::ByteCount;
use crate::retention::{LIFECYCLE_INTERVAL, Location, Rule, S3, Settings, Tier};

pub(super) static RETENTION: Table = Table(&[
    row("tiers", Kind::List(&TIER), "", "Required: where entries are, by age"),
    row("s3", Kind::Block(&s3::S3), "", "How buckets of `s3://` are reached"),
    row(
        "rules",
        Kind::List(&RULE),
        "",
        "Streams that are kept for another time; the first that matches counts",
    ),
    row(
        "seal_size",
        Kind::Bytes,
        "16MB",
        "Bytes of lines that become objects together, 64KB to 256MB; sealing takes about three times as much memory",
    ),
    row("seal_age", Kind::Duration, "10m", "Age at which entries are sealed, however few they are"),
    row(
        "lifecycle_interval",
        Kind::Duration,
        "1h",
        "How often objects are looked at that are due to move to the next tier or to go; 0: only by `tailwater archive lifecycle`",
    ),
    row("host", Kind::Text, "", "What paths of objects call this host. Default: its name"),
]);

static TIER: Table = Table(&[
    row("name", Kind::Text, "", "Required"),
    row(
        "until",
        Kind::PrometheusDuration,
        "",
        "Required: up to this age entries are here; each tier reaches further than the one before",
    ),
    row(
        "store",
        Kind::Text,
        "",
        "A directory of this agent alone, or `s3://bucket/prefix`; tiers without one come first and are Loki's",
    ),
]);

static RULE: Table = Table(&[
    row("match", Kind::Text, "", "Required: a selector of streams, without line filters"),
    row("until", Kind::PrometheusDuration, "", "Required: how long these are kept; 0 is not archived at all"),
]);

const SMALLEST_SEAL: ByteCount = ByteCount(64 * 1024);
const LARGEST_SEAL: ByteCount = ByteCount::mib(256);

/// What is not sealed yet, beside the positions, where the first store is no directory.
const LOG: &str = "archive.wal";

/// Where nothing else takes lines, they are kept for so long.
const EMBEDDED_UNTIL: Duration = Duration::from_secs(30 * 24 * 3600);

/// Reads the block.
pub(super) fn decode(node: &Node, positions: &Path) -> Result<Settings, Invalid> {
    let block = node.block(&RETENTION)?;
    let list = block.required("tiers")?;
    let server = Arc::new(s3::decode(block.get("s3"))?);
    let mut tiers: Vec<Tier> = Vec::new();
    for node in list.list()? {
        let next = tier(node, &tiers, &server)?;
        tiers.push(next);
    }
    if !tiers.iter().any(|tier| tier.store.is_some()) {
        let invalid = list.invalid("no tier has a `store`, so there is nothing to archive to");
        return Err(invalid.help("give a tier a directory, such as store: /var/lib/tailwater/archive"));
    }
    let rules = block.optional("rules", |list| list.list_of(rule))?;
    let seal_size = block.optional("seal_size", |node| match ByteCount(node.bytes()?) {
        size if (SMALLEST_SEAL..=LARGEST_SEAL).contains(&size) => Ok(size),
        _ => Err(node.invalid("`seal_size` is between 64KB and 256MB")),
    })?;
    let interval = block.optional("lifecycle_interval", Node::duration)?;
    let host = block.optional("host", Node::text)?.filter(|host| !host.is_empty());
    Ok(Settings {
        tiers,
        rules: rules.unwrap_or_default(),
        seal_size: seal_size.unwrap_or(ByteCount::mib(16)),
        seal_age: block.optional("seal_age", above_zero)?.unwrap_or(Duration::from_secs(600)),
        lifecycle_interval: Some(interval.unwrap_or(LIFECYCLE_INTERVAL))
            .filter(|interval| !interval.is_zero()),
        by_default: false,
        host: host.map_or_else(host_name, str::to_owned),
        log_elsewhere: positions.with_file_name(LOG),
    })
}

/// An archive beside the positions, where nothing else is configured to take lines.
pub(super) fn embedded(positions: &Path) -> Settings {
    let store = Location::Directory(positions.with_file_name("archive"));
    Settings {
        tiers: vec![Tier { name: "archive".to_owned(), until: EMBEDDED_UNTIL, store: Some(store) }],
        rules: Vec::new(),
        seal_size: ByteCount::mib(16),
        seal_age: Duration::from_secs(600),
        lifecycle_interval: Some(LIFECYCLE_INTERVAL),
        by_default: true,
        host: host_name(),
        log_elsewhere: positions.with_file_name(LOG),
    }
}

fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

fn tier(node: &Node, before: &[Tier], server: &Arc<S3>) -> Result<Tier, Invalid> {
    let block = node.block(&TIER)?;
    let name = block.required("name")?;
    if before.iter().any(|tier| Some(tier.name.as_str()) == name.scalar()) {
        return Err(name.invalid(format!("there are two tiers called `{}`", name.text()?)));
    }
    let given = block.required("until")?;
    let until = age(given)?;
    let last = before.last().map_or(Duration::ZERO, |tier| tier.until);
    if until <= last {
        let invalid = given.invalid("a tier reaches further than the one before it, and beyond 0");
        return Err(invalid.help("list tiers from the youngest entries to the oldest, such as 30d, 60d, 90d"));
    }
    let store = block.optional("store", |node| store(node, before, server))?;
    if store.is_none() && before.iter().any(|tier| tier.store.is_some()) {
        let invalid = name.invalid("a tier without a `store` is Loki's, and comes before those with one");
        return Err(invalid.help("give it a `store`, or list it first"));
    }
    Ok(Tier { name: name.text()?.to_owned(), until, store })
}

fn store(node: &Node, before: &[Tier], server: &Arc<S3>) -> Result<Location, Invalid> {
    let text = node.text()?;
    let store = match text.split_once("://") {
        Some(("s3", _)) if !cfg!(feature = "s3") => {
            let invalid = node.invalid("this build has no S3");
            return Err(invalid
                .help("build it with the feature `s3`, which is on unless left out, or name a directory"));
        }
        Some(("s3", path)) => Location::Bucket(s3::bucket(node, path, server)?),
        Some((scheme, _)) => {
            let invalid = node.invalid(format!("a store in `{scheme}://` is not supported"));
            return Err(invalid.help("name a directory or a bucket, such as s3://logs/cold"));
        }
        None if text.is_empty() => return Err(node.invalid("a store is a directory or a bucket")),
        None => Location::Directory(text.into()),
    };
    if before.iter().any(|tier| tier.store.as_ref() == Some(&store)) {
        return Err(node.invalid("two tiers have the same store"));
    }
    Ok(store)
}

fn rule(node: &Node) -> Result<Rule, Invalid> {
    let block = node.block(&RULE)?;
    let given = block.required("match")?;
    let streams = Selector::parse(given.text()?).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        given.invalid(format!("{error}{cause}"))
    })?;
    if !streams.filters.is_empty() {
        return Err(given.invalid("a rule goes by labels and not by what is in a line"));
    }
    let text = given.text()?.to_owned();
    Ok(Rule { streams, text, until: age(block.required("until")?)? })
}

/// A duration of Prometheus or Go, but no bare number.
fn age(node: &Node) -> Result<Duration, Invalid> {
    let is_number = node.scalar().is_some_and(|text| text.parse::<u64>().is_ok());
    node.prometheus_duration().or_else(|invalid| match node.duration() {
        Ok(duration) if !is_number => Ok(duration),
        _ => Err(invalid),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_yaml;

    fn decoded(text: &str) -> Result<Settings, String> {
        let root = parse_yaml(text).unwrap();
        decode(&root, Path::new("/state/positions.yaml"))
            .map_err(|error| error.render("f", text).lines().next().unwrap().to_owned())
    }

    #[test]
    fn tiers_and_rules_are_read() {
        let settings = decoded(
            "tiers: [{name: hot, until: 30d}, {name: warm, until: 1440h, store: /a}, {name: cold, until: 13w, store: /b}]\n\
             rules: [{match: '{level=\"DEBUG\"}', until: 7d}, {match: '{app=~\".+\"}', until: 0}]\n\
             seal_size: 1MB\nseal_age: 30s\nhost: web-1\n",
        )
        .unwrap();
        let stores: Vec<_> = settings.stores().map(|(tier, store)| format!("{tier} {store}")).collect();
        assert_eq!(stores, ["warm /a", "cold /b"]);
        assert_eq!(settings.log_directory(), Path::new("/a/.wal"));
        let days = |days: u64| Duration::from_secs(days * 24 * 3600);
        assert_eq!(
            settings.tiers.iter().map(|tier| tier.until).collect::<Vec<_>>(),
            [days(30), days(60), days(91)]
        );
        assert_eq!(settings.rules.iter().map(|rule| rule.until).collect::<Vec<_>>(), [days(7), days(0)]);
        assert_eq!((settings.seal_size, settings.seal_age), (ByteCount::mib(1), Duration::from_secs(30)));
        assert_eq!(settings.host, "web-1");
        let smallest = decoded("tiers: [{name: a, until: 1.5h, store: x}]").unwrap();
        assert_eq!(smallest.tiers[0].until, Duration::from_secs(5400));
    }

    #[test]
    fn a_bucket_is_a_store_as_far_as_this_build_has_them() {
        let text = "tiers: [{name: a, until: 1d, store: 's3://logs/a'}, {name: b, until: 2d, store: /b}]\n\
                    s3: {endpoint: 'http://minio:9000'}";
        if cfg!(feature = "s3") {
            let settings = decoded(text).unwrap();
            let stores: Vec<_> = settings.stores().map(|(_, store)| store.to_string()).collect();
            assert_eq!(stores, ["s3://logs/a", "/b"]);
            assert_eq!(settings.log_directory(), Path::new("/state/archive.wal"));
            let twice = text.replace("/b}", "s3://logs/a}");
            assert_eq!(decoded(&twice).unwrap_err(), "f:1:81: two tiers have the same store");
        } else {
            assert_eq!(decoded(text).unwrap_err(), "f:1:37: this build has no S3");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_place() {
        let cases = [
            ("{}", "f:1:1: `tiers` is required here"),
            ("tiers: []", "f:1:8: no tier has a `store`, so there is nothing to archive to"),
            (
                "tiers: [{name: a, until: 1d}]",
                "f:1:8: no tier has a `store`, so there is nothing to archive to",
            ),
            (
                "tiers: [{name: a, until: 1d, store: /x}, {name: a, until: 2d, store: /y}]",
                "f:1:49: there are two tiers called `a`",
            ),
            (
                "tiers: [{name: a, until: 2d, store: /x}, {name: b, until: 48h, store: /y}]",
                "f:1:59: a tier reaches further than the one before it, and beyond 0",
            ),
            (
                "tiers: [{name: a, until: 0, store: /x}]",
                "f:1:26: a tier reaches further than the one before it, and beyond 0",
            ),
            ("tiers: [{name: a, until: 30, store: /x}]", "f:1:26: expected a duration such as 5s, 1m or 1d"),
            (
                "tiers: [{name: a, until: 1d, store: 'gs://b/c'}]",
                "f:1:37: a store in `gs://` is not supported",
            ),
            (
                "tiers: [{name: a, until: 1d, store: /x}, {name: b, until: 2d, store: /x}]",
                "f:1:70: two tiers have the same store",
            ),
            (
                "tiers: [{name: a, until: 1d, store: /x}, {name: b, until: 2d}]",
                "f:1:49: a tier without a `store` is Loki's, and comes before those with one",
            ),
            (
                "tiers: [{name: a, until: 1d, store: /x}]\nseal_size: 1kb",
                "f:2:12: `seal_size` is between 64KB and 256MB",
            ),
            (
                "tiers: [{name: a, until: 1d, store: /x}]\nrules: [{match: '{a=\"b\"} |= \"c\"', until: 1d}]",
                "f:2:17: a rule goes by labels and not by what is in a line",
            ),
            (
                "tiers: [{name: a, until: 1d, store: /x}]\nrules: [{match: '{}', until: 1d}]",
                "f:2:17: at byte 1 of the selector: `{}` selects nothing; at least one label matcher is needed",
            ),
            (
                "tiers: [{name: a, until: 1d, store: /x}]\nrules: [{match: '{a=\"b\"}'}]",
                "f:2:9: `until` is required here",
            ),
        ];
        for (text, wanted) in cases {
            let said = decoded(text).map(drop).expect_err(text);
            assert!(said.starts_with(wanted), "{text}\n{said}");
        }
    }
}
