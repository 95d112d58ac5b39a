//! Sealing: the oldest part of the log becomes objects, one for each day, service and rule.
//! In: records of the log.  Out: objects and their manifests, durable.  Owns: the entries of that part, in memory.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::custody::Peek;
use crate::record::ByteCount;
use crate::retention::archive::entry::{Entry, Stream, Streams};
use crate::retention::archive::layout::{date_of, object_name, partition, service_directory};
use crate::retention::archive::manifest::{Manifest, Origin};
use crate::retention::archive::store::Store;
use crate::retention::archive::write::write;
use crate::retention::tiers::{Rule, kept_for};

/// What an entry takes in memory besides its line.
const OVERHEAD: u64 = 128;

/// What came of a part of the log.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Sealed {
    /// Everything before this number is in objects, or counted here.
    pub(super) end: u64,
    pub(super) entries: u64,
    /// Exactly the same entries, of which Loki keeps one, too.
    pub(super) duplicates: u64,
    /// Those a rule wants not to be archived.
    pub(super) by_rule: u64,
    /// Not to be read any more.
    pub(super) damaged: u64,
    pub(super) objects: u64,
    pub(super) bytes: u64,
    /// It ended because it was large enough.
    pub(super) full: bool,
}

/// The log stays as it is.
#[derive(Debug, thiserror::Error)]
pub(super) enum SealError {
    #[error("the log cannot be read: {0}")]
    Read(#[source] io::Error),
    #[error("an object cannot be made: {0}")]
    Make(#[from] parquet::errors::ParquetError),
    #[error("an object cannot be written: {0}")]
    Write(#[source] io::Error),
}

/// The day, the directory of the service, and what a rule says of entries that become one object.
type Key = (String, String, Option<Duration>);

type Parts = BTreeMap<Key, Vec<Entry>>;

/// Seals entries of `span` from its beginning on, up to about `size` bytes of lines. Blocks on the disk. Sealing the same again
/// replaces the same objects, as long as what is sealed then is no less.
pub(super) fn seal(
    store: &Store,
    rules: &[Rule],
    span: Range<u64>,
    size: ByteCount,
) -> Result<Sealed, SealError> {
    let mut sealed = Sealed { end: span.end, ..Sealed::default() };
    let parts = take_parts(store, rules, span.clone(), size, &mut sealed).map_err(SealError::Read)?;
    for ((date, _, kept_for), mut entries) in parts {
        entries.sort_by_key(|entry| entry.time);
        sealed.duplicates += drop_duplicates(&mut entries);
        let object = write(&entries)?;
        let service = entries.first().and_then(|entry| entry.stream.label("service")).unwrap_or_default();
        let directory = partition(&date, &store.host, service);
        let name = object_name(store.owner.agent(), span.start, kept_for);
        let origin = Origin {
            object: format!("{directory}/{name}"),
            date,
            host: &store.host,
            service,
            kept_for,
            agent: store.owner.agent(),
            span: span.start..sealed.end,
        };
        let manifest = Manifest::of(origin, &entries, &object);
        store.put(object, &manifest).map_err(SealError::Write)?;
        sealed.entries += manifest.lines;
        sealed.objects += 1;
        sealed.bytes += manifest.bytes;
    }
    Ok(sealed)
}

fn take_parts(
    store: &Store,
    rules: &[Rule],
    span: Range<u64>,
    size: ByteCount,
    sealed: &mut Sealed,
) -> io::Result<Parts> {
    let mut log = Peek::of(&*store.disk, &store.log, span.clone())?;
    let (mut parts, mut streams, mut places) = (Parts::new(), Streams::default(), Places::default());
    let (mut cost, mut read) = (0, 0);
    while let Some(peeked) = log.next()? {
        let end = peeked.end();
        let (entries, lines) = (peeked.record.entries, peeked.record.size);
        let add = |entry: Entry| match places.of(rules, &entry) {
            Some(key) => parts.entry(key).or_default().push(entry),
            None => sealed.by_rule += 1,
        };
        // What does not decode is missing from what was read.
        read += streams.entries(peeked.record, add).map_or(0, |()| entries);
        cost += lines + entries * OVERHEAD;
        if cost >= size.0 {
            (sealed.end, sealed.full) = (end, end < span.end);
            break;
        }
    }
    sealed.damaged = (sealed.end - span.start).saturating_sub(read);
    Ok(parts)
}

/// A key without the day.
type Place = (String, Option<Duration>);

/// Where the entries of a stream go: looked up once while they follow each other.
#[derive(Default)]
struct Places {
    last: Option<(Arc<Stream>, Option<Place>)>,
}

impl Places {
    /// `None` where a rule says that it is not archived.
    fn of(&mut self, rules: &[Rule], entry: &Entry) -> Option<Key> {
        let stream = &entry.stream;
        if self.last.as_ref().is_none_or(|(last, _)| !Arc::ptr_eq(last, stream)) {
            let kept_for = kept_for(rules, &stream.labels);
            let service = service_directory(stream.label("service").unwrap_or_default());
            let place = (kept_for != Some(Duration::ZERO)).then_some((service, kept_for));
            self.last = Some((stream.clone(), place));
        }
        let (service, kept_for) = self.last.as_ref()?.1.as_ref()?;
        Some((date_of(entry.time), service.clone(), *kept_for))
    }
}

/// Drops what was there before in the same nanosecond; how many that were.
fn drop_duplicates(entries: &mut Vec<Entry>) -> u64 {
    let before = entries.len();
    let mut seen = HashSet::new();
    let times: Vec<_> = entries.iter().map(|entry| entry.time).collect();
    let mut index = 0;
    entries.retain(|entry| {
        let time = times[index];
        let alone = times.get(index + 1) != Some(&time) && (index == 0 || times[index - 1] != time);
        if index > 0 && times[index - 1] != time {
            seen.clear();
        }
        index += 1;
        alone || seen.insert(entry.identity())
    });
    (before - entries.len()) as u64
}
