//! The whole journal, read as one: the files of all boots, users and rotations, in the order of their entries.
//! In: directories, a place to begin at.  Out: batches of entries.  Owns: the open files.
//!
//! journald numbers entries across its files, and writes one after the other. What is handed on never has a higher number
//! than what was written before the files were looked for and counted: so no entry of a file that was not known yet is
//! left behind the position.

mod known;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use tracing::{info, warn};

use crate::custody::JournalPoint;
use crate::metrics::Own;
use crate::record::LONGEST_LINE;
use crate::source::journal::KIND;
use crate::source::journal::batch::{Batch, Render, Wants};
use crate::source::journal::file::{Entry, JournalFile};
use crate::source::journal::format::Damage;
use crate::source::journal::order::{compare, has_come};
use crate::source::journal::pages::Pages;
use crate::source::journal::places::{Listing, Places};
use crate::source::journal::reader::known::Known;

/// Bytes of one field: what makes a line, and a name.
const LONGEST_FIELD: usize = LONGEST_LINE + 128;

/// Bytes of an entry after which its fields are cut short.
const LONGEST_ENTRY: usize = 1 << 20;
const SHORT_FIELD: usize = 128;

/// Payloads that several entries have, such as names of units, are remembered.
const LONGEST_REMEMBERED: usize = 512;
const MOST_REMEMBERED: usize = 8192;

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    After(JournalPoint),
    /// Microseconds since 1970.
    Since(u64),
}

/// All files of a journal.
#[derive(Debug)]
pub(super) struct Reader {
    job: String,
    places: Places,
    start: Start,
    /// The entry read last.
    last: Option<JournalPoint>,
    files: Vec<Known>,
    /// Numbers given to files so far.
    opened: u64,
    /// By who gives numbers, the highest that may be handed on.
    horizon: HashMap<u128, u64>,
    directories: Vec<PathBuf>,
    /// Directories that cannot be read.
    failing: BTreeMap<PathBuf, String>,
    /// Files have been looked for.
    begun: bool,
    store: Store,
    render: Render,
    own: Arc<Own>,
}

/// What is remembered of files.
#[derive(Debug, Default)]
struct Store {
    pages: Pages,
    payloads: HashMap<(u64, u64), Box<[u8]>, foldhash::fast::RandomState>,
    /// Where the payloads of the entry at hand are.
    items: Vec<u64>,
}

impl Reader {
    pub(super) fn new(job: String, places: Places, start: Start, wants: Wants, own: Arc<Own>) -> Reader {
        let last = match start {
            Start::After(point) => Some(point),
            Start::Since(_) => None,
        };
        Reader {
            job,
            places,
            start,
            last,
            files: Vec::new(),
            opened: 0,
            horizon: HashMap::new(),
            directories: Vec::new(),
            failing: BTreeMap::new(),
            begun: false,
            store: Store::default(),
            render: Render::new(wants),
            own,
        }
    }

    /// The directories that files were found in.
    pub(super) fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// A directory that cannot be read, and why.
    pub(super) fn trouble(&self) -> Option<String> {
        self.failing.iter().next().map(|(path, error)| format!("{}: {error}", path.display()))
    }

    /// What comes next; nothing where the journal is read to its end.
    pub(super) fn read(&mut self) -> Batch {
        let mut batch = Batch::default();
        self.fill(&mut batch);
        // What was written while files were looked for is seen at the second look.
        for _ in 0..2 {
            if batch.last.is_some() {
                break;
            }
            self.look();
            self.fill(&mut batch);
        }
        batch
    }

    fn fill(&mut self, batch: &mut Batch) {
        while !batch.is_full() {
            let Some((index, entry)) = self.first() else { break };
            if !self.last.is_some_and(|last| has_come(&entry.point, &last)) {
                self.take(index, &entry, batch);
                self.last = Some(entry.point);
            }
            self.files[index].advance(&mut self.store.pages);
        }
    }

    /// Of all files' next entries the one that comes first.
    fn first(&mut self) -> Option<(usize, Entry)> {
        let mut first: Option<(usize, Entry)> = None;
        for (index, known) in self.files.iter_mut().enumerate() {
            let Some(entry) = known.head(&mut self.store.pages, &self.own) else { continue };
            let may = self.horizon.get(&entry.point.seqnum_id);
            if may.is_some_and(|may| entry.point.seqnum <= *may)
                && first.is_none_or(|(_, before)| compare(&entry.point, &before.point).is_lt())
            {
                first = Some((index, entry));
            }
        }
        first
    }

    /// Reads what an entry says. What is damaged of it is left out.
    fn take(&mut self, index: usize, entry: &Entry, batch: &mut Batch) {
        let known = &mut self.files[index];
        let Some(file) = known.file() else { return };
        self.render.begin();
        let mut trouble = file.items(&mut self.store.pages, entry, &mut self.store.items).err();
        for item in 0..self.store.items.len() {
            let (start, at) = (self.render.bytes.len(), self.store.items[item]);
            match self.store.payload(file, at, &mut self.render.bytes) {
                Ok(cut) if self.render.field(start, cut) => {}
                Ok(_) => trouble = Some(Damage::Broken { what: "a payload that is no field", at }),
                Err(damage) => {
                    self.render.bytes.truncate(start);
                    trouble = Some(damage);
                }
            }
        }
        self.render.end(&entry.point, batch);
        if let Some(damage) = trouble {
            known.complain(&damage, &self.own);
        }
    }

    /// Looks for files, and for what is new in those that are known.
    fn look(&mut self) {
        let mut horizon: HashMap<u128, u64> = HashMap::new();
        for known in &mut self.files {
            if let Some((id, tail)) = known.tail(&mut self.store.pages, &self.own) {
                let highest = horizon.entry(id).or_default();
                *highest = tail.max(*highest);
            }
        }
        self.horizon = horizon;
        let listing = self.places.list();
        self.take_note(listing);
        let start = self.last.map_or(self.start, Start::After);
        for known in &mut self.files {
            if known.is_unopened() {
                self.opened += 1;
                known.open(self.opened, start, &mut self.store.pages, &self.own);
            } else {
                known.refresh(&mut self.store.pages, &self.own);
            }
        }
        self.files.retain(|known| !known.is_over());
        if !std::mem::replace(&mut self.begun, true) {
            self.tell_how_it_begins();
        }
    }

    /// Compares what is known with what is there.
    fn take_note(&mut self, listing: Listing) {
        let complete = listing.failures.is_empty();
        for known in &mut self.files {
            let found = listing.files.iter().find(|found| known.is_at(found));
            known.note(found, complete);
        }
        for found in listing.files {
            if !self.files.iter().any(|known| known.is_at(&found)) {
                self.files.push(Known::new(found));
            }
        }
        let failing: BTreeMap<_, _> =
            listing.failures.iter().map(|(path, error)| (path.clone(), error.to_string())).collect();
        for (path, error) in &listing.failures {
            self.own.source_errors.with("source", KIND).add(1.0);
            if !self.failing.contains_key(path) {
                warn!(job = self.job, directory = %path.display(), %error, "the journal cannot be read, trying again");
            }
        }
        for path in self.failing.keys().filter(|path| !failing.contains_key(*path)) {
            info!(job = self.job, directory = %path.display(), "the journal can be read again");
        }
        (self.failing, self.directories) = (failing, listing.directories);
    }

    /// Says so when the entry read last is no longer there.
    fn tell_how_it_begins(&mut self) {
        let Start::After(point) = self.start else {
            info!(job = self.job, files = self.files.len(), "reading the journal");
            return;
        };
        let mut heads = Vec::new();
        for known in &mut self.files {
            if known.has_read(&point, &mut self.store.pages) {
                info!(
                    job = self.job,
                    files = self.files.len(),
                    "reading the journal on from where it was left"
                );
                return;
            }
            heads.extend(known.head(&mut self.store.pages, &self.own).map(|entry| entry.point));
        }
        let next =
            heads.iter().filter(|head| head.seqnum_id == point.seqnum_id).map(|head| head.seqnum).min();
        let missing = next.map(|next| next.saturating_sub(point.seqnum + 1));
        self.own.source_errors.with("source", KIND).add(1.0);
        warn!(
            job = self.job,
            ?missing,
            "the journal no longer has the entry that was read last, going on after it"
        );
    }
}

impl Store {
    /// Appends a payload; true when there is more of it.
    fn payload(&mut self, file: &JournalFile, at: u64, out: &mut Vec<u8>) -> Result<bool, Damage> {
        let key = (file.number(), at);
        if let Some(known) = self.payloads.get(&key) {
            out.extend_from_slice(known);
            return Ok(false);
        }
        let start = out.len();
        let most = LONGEST_ENTRY.saturating_sub(start).clamp(SHORT_FIELD, LONGEST_FIELD);
        let payload = file.payload(&mut self.pages, at, most, out)?;
        if payload.shared && !payload.cut && out.len() - start <= LONGEST_REMEMBERED {
            if self.payloads.len() >= MOST_REMEMBERED {
                self.payloads.clear();
            }
            self.payloads.insert(key, out[start..].into());
        }
        Ok(payload.cut)
    }
}

#[cfg(test)]
mod tests;
