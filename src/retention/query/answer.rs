//! Answers a question: entries of objects and of the log, in order of time.
//! In: stores, a filter.  Out: entries, each once; what could not be read.  Owns: what of the log is asked for, compressed.

use std::collections::HashSet;
use std::hash::BuildHasher as _;
use std::io;
use std::path::Path;
use std::sync::Arc;

use foldhash::fast::FixedState;

use crate::custody::{Disk, Peek, Record};
use crate::record::UnixNanos;
use crate::retention::archive::{
    Entry, Group, Manifest, Object, ObjectError, Seal, Streams, manifest_of, object_of,
};
use crate::retention::filter::Filter;
use crate::retention::objects::{Objects, TOGETHER};
use crate::retention::query::listing::{Place, decoded, manifests};
use crate::retention::query::merge::{Merge, Next};
use crate::retention::tiers::{Rule, kept_for};

/// A log is cut while it is read at most so often before it counts as broken.
const ATTEMPTS: usize = 5;

/// The archive cannot be searched.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be read: {error}")]
pub(crate) struct QueryError {
    path: String,
    error: io::Error,
}

impl QueryError {
    fn of(objects: &dyn Objects, name: &str, error: io::Error) -> QueryError {
        QueryError { path: format!("{}/{name}", objects.name()), error }
    }
}

/// The entries that are asked for.
pub(crate) struct Answer<'f> {
    filter: &'f Filter,
    rules: &'f [Rule],
    merge: Merge<Source>,
    streams: Streams,
    places: &'f [Place],
    /// Hashes of the names of objects that were added.
    known: HashSet<u64>,
    /// Files that cannot be read, not told yet.
    problems: Vec<QueryError>,
    /// Sources that were read, of how many.
    progress: (usize, usize),
    read: Read,
}

/// What was read of stores.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Read {
    pub(crate) manifests: u64,
    pub(crate) objects: u64,
    /// Of both.
    pub(crate) bytes: u64,
}

/// Where entries are.
enum Source {
    Log(Record),
    Object(Arc<dyn Objects>, String, Seal),
    /// A row group of one.
    Group(Arc<Opened>, Group),
}

/// An object that is being read.
struct Opened {
    objects: Arc<dyn Objects>,
    name: String,
    object: Object,
}

impl<'f> Answer<'f> {
    /// Looks at what there is. `rules` are those of the agent, for what it has not sealed yet.
    pub(crate) fn begin(
        places: &'f [Place],
        filter: &'f Filter,
        rules: &'f [Rule],
        forward: bool,
    ) -> Result<Answer<'f>, QueryError> {
        let mut answer = Answer {
            filter,
            rules,
            merge: Merge::new(forward),
            streams: Streams::default(),
            places,
            known: HashSet::new(),
            problems: Vec::new(),
            progress: (0, 0),
            read: Read::default(),
        };
        for place in places {
            // The log comes first: what is sealed meanwhile is in both then, and not in neither.
            answer.add_log(place)?;
            let read = |error| QueryError { path: place.objects.name(), error };
            answer.add_objects(place, manifests(&*place.objects, filter).map_err(read)?)?;
        }
        Ok(answer)
    }

    fn add_log(&mut self, place: &Place) -> Result<(), QueryError> {
        for record in unsealed(place)? {
            let mut bounds: Option<(UnixNanos, UnixNanos)> = None;
            for entry in wanted_of(record.clone(), self.filter, self.rules, &mut self.streams) {
                let (first, last) = bounds.unwrap_or((entry.time, entry.time));
                bounds = Some((first.min(entry.time), last.max(entry.time)));
            }
            if let Some((first, last)) = bounds {
                self.add(first, last, Source::Log(record));
            }
        }
        Ok(())
    }

    /// Adds those that are not known yet, by the names of their manifests.
    fn add_objects(&mut self, place: &Place, mut names: Vec<String>) -> Result<(), QueryError> {
        let objects = &place.objects;
        let store = objects.name();
        names.retain(|name| {
            self.known.insert(FixedState::with_seed(0).hash_one((store.as_str(), name.as_str())))
        });
        for names in names.chunks(TOGETHER) {
            for (name, read) in names.iter().zip(objects.read_several(names)) {
                if let Ok(bytes) = &read {
                    self.read.manifests += 1;
                    self.read.bytes += bytes.len() as u64;
                }
                match read.and_then(|bytes| decoded(&bytes)) {
                    // Its entries are in the log, when it is sealed once more; or in another object by now.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => self.look_again(name)?,
                    Err(error) => self.problems.push(QueryError::of(&**objects, name, error)),
                    Ok(manifest) => self.add_object(objects, &manifest),
                }
            }
        }
        Ok(())
    }

    fn add_object(&mut self, objects: &Arc<dyn Objects>, manifest: &Manifest) {
        let streams = manifest.label_sets();
        if self.filter.overlaps(manifest.first_time, manifest.last_time)
            && streams.is_none_or(|sets| sets.iter().any(|set| self.filter.wants_stream(set)))
        {
            let object = Source::Object(objects.clone(), manifest.object.clone(), manifest.seal());
            self.add(manifest.first_time, manifest.last_time, object);
        }
    }

    /// Looks for objects that have come where one has gone: it was compacted, or has moved.
    fn look_again(&mut self, gone: &str) -> Result<(), QueryError> {
        self.merge.expect_repeats();
        let directory = gone.rsplit_once('/').map_or("", |(directory, _)| directory);
        for place in self.places {
            let listed = place.objects.below(directory);
            let mut names = listed.map_err(|error| QueryError::of(&*place.objects, directory, error))?;
            names.retain(|name| object_of(name).is_some());
            self.add_objects(place, names)?;
        }
        Ok(())
    }

    fn add(&mut self, first: UnixNanos, last: UnixNanos, source: Source) {
        self.progress.1 += 1;
        self.merge.add(first, last, source);
    }

    /// What it took so far.
    pub(crate) fn read_so_far(&self) -> Read {
        self.read
    }

    /// The next entry; `tell` is told of progress meanwhile. After an error about a file the rest can still be had.
    pub(crate) fn next(&mut self, tell: &mut dyn FnMut(usize, usize)) -> Option<Result<Entry, QueryError>> {
        if let Some(problem) = self.problems.pop() {
            return Some(Err(problem));
        }
        loop {
            match self.merge.next() {
                Next::Entry(entry) => return Some(Ok(entry)),
                Next::End => return None,
                Next::Read(source) => {
                    let read = self.read(source);
                    self.progress.0 += 1;
                    tell(self.progress.0, self.progress.1);
                    if let Err(error) = read {
                        return Some(Err(error));
                    }
                }
            }
        }
    }

    fn read(&mut self, source: Source) -> Result<(), QueryError> {
        let broken = |objects: &dyn Objects, name: &str, error: ObjectError| {
            QueryError::of(objects, name, io::Error::other(error))
        };
        match source {
            Source::Log(record) => {
                let mut entries = wanted_of(record, self.filter, self.rules, &mut self.streams);
                entries.sort_by_key(|entry| entry.time);
                self.merge.open(entries);
            }
            Source::Object(objects, name, seal) => {
                let object = match Object::open(&*objects, &name, &seal) {
                    Err(ObjectError::Read(error))
                        if error.kind() == io::ErrorKind::NotFound && is_gone(&*objects, &name) =>
                    {
                        return self.look_again(&name);
                    }
                    object => object.map_err(|error| broken(&*objects, &name, error))?,
                };
                self.read.objects += 1;
                self.read.bytes += seal.bytes;
                let object = Arc::new(Opened { objects, name, object });
                for group in object.object.groups() {
                    if self.filter.overlaps(group.first, group.last) {
                        self.add(group.first, group.last, Source::Group(object.clone(), group));
                    }
                }
            }
            Source::Group(opened, group) => {
                let entries = opened.object.read(group, self.filter, &mut self.streams);
                let entries = entries.map_err(|error| broken(&*opened.objects, &opened.name, error));
                self.merge.open(entries?);
            }
        }
        Ok(())
    }
}

/// Whether an object was removed, as its manifest is before it.
fn is_gone(objects: &dyn Objects, name: &str) -> bool {
    objects.read(&manifest_of(name)).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// How many entries are not sealed, as far as anybody can know.
pub(crate) fn unsealed_entries(places: &[Place]) -> Result<u64, QueryError> {
    let mut entries = 0;
    for place in places {
        entries += unsealed(place)?.iter().map(|record| record.entries).sum::<u64>();
    }
    Ok(entries)
}

fn unsealed(place: &Place) -> Result<Vec<Record>, QueryError> {
    let Some((disk, directory)) = &place.log else { return Ok(Vec::new()) };
    let mut attempt = 0;
    loop {
        attempt += 1;
        match records(&**disk, directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && disk.list(directory).is_err() => {
                return Ok(Vec::new());
            }
            // A part of it was sealed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS => {}
            read => {
                let path = directory.display().to_string();
                return read.map_err(|error| QueryError { path, error });
            }
        }
    }
}

fn records(disk: &dyn Disk, directory: &Path) -> io::Result<Vec<Record>> {
    let mut peek = Peek::all(disk, directory)?;
    let mut records = Vec::new();
    while let Some(peeked) = peek.next()? {
        records.push(peeked.record);
    }
    Ok(records)
}

fn wanted_of(record: Record, filter: &Filter, rules: &[Rule], streams: &mut Streams) -> Vec<Entry> {
    let mut entries = Vec::new();
    let add = |entry: Entry| {
        let labels = &entry.stream.labels;
        if filter.overlaps(entry.time, entry.time)
            && filter.wants_stream(labels)
            && filter.wants_line(&entry.line)
            && kept_for(rules, labels).is_none_or(|kept_for| !kept_for.is_zero())
        {
            entries.push(entry);
        }
    };
    // What does not decode is counted when it is sealed.
    drop(streams.entries(record, add));
    entries
}
