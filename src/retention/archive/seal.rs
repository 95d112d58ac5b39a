//! Sealing: the oldest part of the log becomes objects, one for each day, service and rule.
//! In: records of the log.  Out: objects and their manifests, durable.  Owns: the entries of that part, in memory.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::custody::Peek;
use crate::record::{ByteCount, UnixNanos};
use crate::retention::archive::entry::{Entry, Stream, Streams};
use crate::retention::archive::layout::{DAYS, date_of, object_name, partition, service_directory};
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

/// The day since 1970, the directory of the service, and what a rule says of entries that become one object.
type Key = (i64, String, Option<Duration>);

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
    for ((day, _, kept_for), mut entries) in parts {
        let date = date_of(UnixNanos(day.saturating_mul(DAYS)));
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
) -> io::Result<BTreeMap<Key, Vec<Entry>>> {
    let mut log = Peek::of(&*store.disk, &store.log, span.clone())?;
    let (mut parts, mut streams) = (Parts::default(), Streams::default());
    let (mut cost, mut read) = (0, 0);
    while let Some(peeked) = log.next()? {
        let end = peeked.end();
        let (entries, lines) = (peeked.record.entries, peeked.record.size);
        let add = |entry: Entry| sealed.by_rule += u64::from(!parts.add(rules, entry));
        // What does not decode is missing from what was read.
        read += streams.entries(peeked.record, add).map_or(0, |()| entries);
        cost += lines + entries * OVERHEAD;
        if cost >= size.0 {
            (sealed.end, sealed.full) = (end, end < span.end);
            break;
        }
    }
    sealed.damaged = (sealed.end - span.start).saturating_sub(read);
    Ok(parts.keys.into_iter().map(|(key, part)| (key, std::mem::take(&mut parts.entries[part]))).collect())
}

/// Entries that become one object each.
#[derive(Default)]
struct Parts {
    entries: Vec<Vec<Entry>>,
    keys: BTreeMap<Key, usize>,
    /// The stream and the day of the entry before, and where that went: mostly the next goes there, too.
    last: Option<(Arc<Stream>, i64, Option<usize>)>,
}

impl Parts {
    /// False where a rule says that it is not archived.
    fn add(&mut self, rules: &[Rule], entry: Entry) -> bool {
        let day = entry.time.0.div_euclid(DAYS);
        let part = match &self.last {
            Some((stream, last, part)) if *last == day && Arc::ptr_eq(stream, &entry.stream) => *part,
            _ => {
                let part = self.part_of(rules, &entry.stream, day);
                self.last = Some((entry.stream.clone(), day, part));
                part
            }
        };
        let entries = part.and_then(|part| self.entries.get_mut(part));
        entries.map(|entries| entries.push(entry)).is_some()
    }

    fn part_of(&mut self, rules: &[Rule], stream: &Stream, day: i64) -> Option<usize> {
        let kept_for = kept_for(rules, &stream.labels);
        if kept_for == Some(Duration::ZERO) {
            return None;
        }
        let service = service_directory(stream.label("service").unwrap_or_default());
        let next = self.entries.len();
        let part = *self.keys.entry((day, service, kept_for)).or_insert(next);
        if part == next {
            self.entries.push(Vec::new());
        }
        Some(part)
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
