//! A disk that fails and crashes while entries are logged and sealed: each stays exactly once, and no object is half.
//! In: seeds.  Out: a verdict.  Owns: a disk in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prost::Message as _;

use crate::batch::{EntryMessage, LabelPair, PushRequest, StreamMessage, TimestampMessage};
use crate::custody::{Record, SimDisk};
use crate::record::{ByteCount, Labels, UnixNanos};
use crate::retention::archive::seal::seal;
use crate::retention::archive::store::Archive;
use crate::retention::archive::{Manifest, Object, Streams, object_of};
use crate::retention::filter::Filter;
use crate::retention::objects::Objects;
use crate::retention::query::{Answer, Place, check};
use crate::retention::tiers::{Location, Rule, Settings, Tier};

/// An entry as a test makes it: labels, time, line, structured metadata.
pub(crate) type Made = (BTreeMap<String, String>, i64, String, BTreeMap<String, String>);

const ROOT: &str = "/archive";

pub(crate) fn settings(store: &Location, seal_size: u64) -> Arc<Settings> {
    let store = store.clone();
    Arc::new(Settings {
        tiers: vec![Tier { name: "warm".into(), until: Duration::from_secs(1), store: Some(store) }],
        rules: Vec::new(),
        seal_size: ByteCount(seal_size),
        seal_age: Duration::from_secs(1),
        lifecycle_interval: None,
        by_default: false,
        host: "h".into(),
        log_elsewhere: "/nowhere".into(),
    })
}

/// A record as a batcher makes it, an entry a stream.
pub(crate) fn record(tenant: Option<&str>, entries: &[Made]) -> Record {
    let stream = |(labels, time, line, metadata): &Made| {
        let time = UnixNanos(*time);
        let labels: Labels = labels.iter().map(|(name, value)| (name, value.as_str())).collect();
        let pair = |(name, value): (&String, &String)| LabelPair { name: name.clone(), value: value.clone() };
        let entry = EntryMessage {
            timestamp: Some(TimestampMessage { seconds: time.seconds(), nanos: time.subsec_nanos() }),
            line: line.clone().into(),
            structured_metadata: metadata.iter().map(pair).collect(),
        };
        StreamMessage { labels: labels.render(), entries: vec![entry] }
    };
    let request = PushRequest { streams: entries.iter().map(stream).collect() }.encode_to_vec();
    Record {
        tenant: tenant.map(Into::into),
        entries: entries.len() as u64,
        size: entries.iter().map(|entry| entry.2.len() as u64).sum(),
        oldest: UnixNanos(0),
        body: snap::raw::Encoder::new().compress_vec(&request).unwrap().into(),
    }
}

/// Where it all is.
fn place(disk: &Arc<SimDisk>) -> Place {
    Place::on(disk.clone(), "", Path::new(ROOT))
}

/// The rows of all objects that have a manifest, as lines.
fn sealed_lines(objects: &dyn Objects) -> Vec<String> {
    let mut lines = Vec::new();
    for name in objects.below("").unwrap().iter().filter(|name| object_of(name).is_some()) {
        let manifest = Manifest::decode(&objects.read(name).unwrap()).unwrap();
        let object = Object::open(objects, &manifest.object, &manifest.seal()).unwrap();
        for group in object.groups() {
            let entries = object.read(group, &Filter::everything(), &mut Streams::default()).unwrap();
            lines.extend(entries.iter().map(|entry| String::from_utf8_lossy(&entry.line).into_owned()));
        }
    }
    lines.sort();
    lines
}

/// What a query over places gives, as lines in alphabetical order.
pub(crate) fn asked_lines(places: &[Place]) -> Vec<String> {
    let filter = Filter::everything();
    let mut answer = Answer::begin(places, &filter, &[], true).unwrap();
    let mut lines = Vec::new();
    while let Some(entry) = answer.next(&mut |_, _| {}) {
        lines.push(String::from_utf8_lossy(&entry.unwrap().line).into_owned());
    }
    lines.sort();
    lines
}

/// Seals until the log is empty, or something fails.
pub(crate) fn seal_all(archive: &mut Archive, rules: &[Rule]) -> bool {
    loop {
        // Sealing on before this is durable is what the worker does not do.
        if archive.log.sync().is_err() {
            return false;
        }
        let span = archive.log.span();
        archive.store.sealed.store(span.start, Ordering::Relaxed);
        if span.is_empty() {
            return true;
        }
        let Ok(sealed) = seal(&archive.store, rules, span, archive.settings.seal_size) else { return false };
        archive.log.pass(sealed.end, sealed.damaged);
        assert_eq!(sealed.damaged, 0);
    }
}

pub(crate) fn seal_now(archive: &mut Archive) {
    assert!(seal_all(archive, &[]));
}

impl Archive {
    pub(crate) fn log_now(&mut self, records: &[Record]) {
        self.log.append(records, UnixNanos(0)).unwrap();
    }
}

/// Bytes of an object with these entries.
pub(crate) fn object_size(made: &[Made]) -> usize {
    let mut entries = Vec::new();
    Streams::default().entries(record(None, made), |entry| entries.push(entry)).unwrap();
    crate::retention::archive::write::write(&entries).unwrap().len()
}

fn run(seed: u64) {
    let disk = Arc::new(SimDisk::new(seed));
    let mut dice = crate::custody::Dice(seed);
    let store = Location::Directory(ROOT.into());
    let open = || Archive::open(disk.clone(), settings(&store, 300), &store).unwrap();
    let (mut kept, mut unsure, mut number) = (Vec::new(), Vec::new(), 0);
    let mut archive = open();
    for _ in 0..12 {
        for _ in 0..dice.below(6) {
            let made = (0..1 + dice.below(3)).map(|_| {
                number += 1;
                let labels = [("service".to_owned(), format!("s{}", dice.below(3)))];
                let day = dice.below(2) as i64 * 86_400_000_000_000;
                (
                    labels.into(),
                    day + dice.below(5) as i64,
                    format!("{number:06} {}", "x".repeat(40)),
                    BTreeMap::new(),
                )
            });
            let made: Vec<Made> = made.collect();
            if dice.below(4) == 0 {
                disk.fail_after(dice.below(4), 2);
            }
            let appended = archive.log.append(&[record(None, &made)], UnixNanos(0));
            let to = if appended.is_ok() { &mut kept } else { &mut unsure };
            to.extend(made.into_iter().map(|(_, _, line, _)| line));
        }
        if dice.coin() {
            disk.fail_after(dice.below(60), 1 + dice.below(3));
        }
        seal_all(&mut archive, &[]);
        if dice.below(3) == 0 {
            disk.crash();
            archive = open();
            let seen = asked_lines(&[place(&disk)]);
            assert!(
                kept.iter().all(|line| seen.binary_search(line).is_ok()),
                "seed {seed}: something is gone"
            );
        }
    }
    disk.crash();
    archive = open();
    assert!(seal_all(&mut archive, &[]), "nothing fails any more");
    let place = place(&disk);
    let mut sealed = sealed_lines(&*place.objects);
    assert_eq!(asked_lines(std::slice::from_ref(&place)), sealed, "seed {seed}");
    let distinct = {
        let mut distinct = sealed.clone();
        distinct.dedup();
        distinct.len()
    };
    assert_eq!(sealed.len(), distinct, "seed {seed}: some entries are in two objects");
    // Of an append that failed all or nothing may be there.
    sealed.retain(|line| !unsure.contains(line));
    kept.sort();
    assert_eq!(sealed, kept, "seed {seed}");
    let checked = check(&[place], &mut |_, _| {}).unwrap();
    assert_eq!(checked.damage, []);
}

#[test]
fn whatever_a_disk_does_each_entry_is_in_one_object_in_the_end_and_none_is_half() {
    let cases = std::env::var("TAILWATER_MODEL_CASES").ok().and_then(|cases| cases.parse().ok());
    (0..cases.unwrap_or(60)).for_each(run);
}
