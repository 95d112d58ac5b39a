//! Remembered times: what time the lines of each chunk were given, so that what is read again after a kill is the same,
//! byte for byte, and Loki keeps one of it.
//! In: a note for each chunk of lines that have no time of their own.  Out: the notes of the run before.
//! Owns: `<positions>.times`, and the notes of all chunks that no saved position covers.
//!
//! A journal: notes are appended before their chunk goes anywhere, and what saved positions cover is left out when it is
//! written anew. Never fsynced: a kill leaves the page cache alone, and after a power cut lines are repeated with other
//! times. For the same reason damage costs no lines: it ends the journal, and whatever else fails ends the notes.

mod note;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tracing::warn;

use crate::custody::{Cursor, Ledger};

pub(crate) use note::Note;

/// Positions are saved early when the journal has grown to this.
const SAVE_AT: u64 = 4 * 1024 * 1024;

/// A journal of this size takes no more notes; three times what chunks in flight can need, by the byte budget.
const MOST: u64 = 16 * 1024 * 1024;

/// The notes of all files. The default keeps none: where nothing is delivered, nothing is repeated.
#[derive(Debug, Default)]
pub(crate) struct Times {
    journal: Mutex<Option<Journal>>,
    growing: Notify,
}

#[derive(Debug)]
struct Journal {
    path: PathBuf,
    /// `None` after an error, until it could be written anew.
    file: Option<File>,
    size: u64,
    /// By the key of the track, in the order of places.
    notes: BTreeMap<String, VecDeque<Note>>,
    /// An error was told.
    told: bool,
}

impl Times {
    /// The journal beside the positions file, and whether it was damaged. Keys with notes are made known to `ledger`.
    pub(crate) fn open(positions: &Path, ledger: &Ledger) -> (Times, bool) {
        let path = positions.with_extension("times");
        let mut journal = Journal { path, file: None, size: 0, notes: BTreeMap::new(), told: false };
        let mut damaged = false;
        match fs::read(&journal.path) {
            Ok(bytes) => damaged = !journal.load(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => journal.fail(&error),
        }
        for key in journal.notes.keys() {
            // Of which nothing was settled yet. It is forgotten like others, if nobody comes for it.
            if ledger.find(key).is_none() {
                ledger.track(key, "");
            }
        }
        if damaged {
            warn!(path = %journal.path.display(), "remembered times are damaged, some lines may be repeated with other times");
        }
        // What is appended behind damage would never be read.
        journal.write_anew();
        (Times { journal: Mutex::new(Some(journal)), growing: Notify::new() }, damaged)
    }

    /// Remembers a chunk that is about to be handed on. One that was read again as it was is noted already.
    pub(crate) fn note(&self, key: &str, note: Note) {
        let mut guard = self.lock();
        let Some(journal) = &mut *guard else { return };
        let known = journal.notes.get_mut(key).and_then(|notes| find(notes, note.start));
        if let Some(known) = known.filter(|known| (known.end, known.time) == (note.end, note.time)) {
            // The file may have become longer than its head.
            known.head = note.head;
            return;
        }
        let before = journal.size;
        if journal.append(key, note) && before < SAVE_AT && journal.size >= SAVE_AT {
            self.growing.notify_one();
        }
    }

    /// The chunks that were read from `start` on, one after the other.
    pub(crate) fn from(&self, key: &str, start: u64) -> VecDeque<Note> {
        let guard = self.lock();
        let notes = guard.as_ref().and_then(|journal| journal.notes.get(key)).into_iter().flatten();
        let mut found = VecDeque::new();
        let mut next = start;
        for note in notes.skip_while(|note| note.start < start) {
            if note.start != next {
                break;
            }
            next = note.end;
            found.push_back(*note);
        }
        found
    }

    /// Forgets what lies before the committed positions. Called before these are saved; [`trim`](Self::trim) comes after.
    pub(crate) fn forget_committed(&self, ledger: &Ledger) {
        if let Some(journal) = &mut *self.lock() {
            journal.notes.retain(|key, notes| {
                let Some(track) = ledger.find(key) else { return false };
                if let Some((offset, head)) = track.committed().and_then(Cursor::in_file) {
                    // A file that was truncated may have a position from before that.
                    let covered = notes.iter().rposition(|note| note.end <= offset && note.head == head);
                    drop(notes.drain(..covered.map_or(0, |index| index + 1)));
                }
                !notes.is_empty()
            });
        }
    }

    /// Makes the journal as short as what is left. Called after positions were saved: until then a kill leads back to
    /// the positions before, and to notes that are on disk alone.
    pub(crate) fn trim(&self) {
        if let Some(journal) = &mut *self.lock()
            && (journal.file.is_none() || journal.size != journal.size_needed())
        {
            journal.write_anew();
        }
    }

    /// Waits until positions should be saved earlier than usual, for [`trim`](Self::trim).
    pub(crate) async fn growing(&self) {
        self.growing.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Journal>> {
        // Notes that a panic left behind are as good as any.
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal {
    /// False when something in it was damaged.
    fn load(&mut self, mut bytes: &[u8]) -> bool {
        while let Some((key, note, rest)) = Note::decode(bytes) {
            self.keep(key, note);
            bytes = rest;
        }
        bytes.is_empty()
    }

    /// Notes lie in order and apart; one that goes back tells of a file that is read anew.
    fn keep(&mut self, key: &str, note: Note) {
        if !self.notes.contains_key(key) {
            self.notes.insert(key.to_owned(), VecDeque::new());
        }
        if let Some(notes) = self.notes.get_mut(key) {
            while notes.pop_back_if(|before| before.end > note.start).is_some() {}
            notes.push_back(note);
        }
    }

    fn append(&mut self, key: &str, note: Note) -> bool {
        let record = note.encode(key);
        let after = self.size + record.len() as u64;
        let Some(file) = self.file.as_mut().filter(|_| after <= MOST) else { return false };
        if let Err(error) = file.write_all(&record) {
            // A part of it may be there, and hide what would follow.
            self.file = None;
            self.fail(&error);
            return false;
        }
        self.size = after;
        self.keep(key, note);
        true
    }

    fn size_needed(&self) -> u64 {
        let size = |(key, notes): (&String, &VecDeque<Note>)| notes.len() * Note::length_on_disk(key);
        self.notes.iter().map(size).sum::<usize>() as u64
    }

    fn write_anew(&mut self) {
        let records = self.notes.iter().flat_map(|(key, notes)| notes.iter().map(|note| note.encode(key)));
        let bytes = records.collect::<Vec<_>>().concat();
        match replace(&self.path, &bytes) {
            Ok(file) => {
                self.file = Some(file);
                self.size = bytes.len() as u64;
            }
            Err(error) => {
                self.file = None;
                self.fail(&error);
            }
        }
    }

    fn fail(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.told, true) {
            warn!(path = %self.path.display(), %error, "times of lines cannot be remembered, a kill may repeat lines with other times");
        }
    }
}

fn find(notes: &mut VecDeque<Note>, start: u64) -> Option<&mut Note> {
    let index = notes.binary_search_by_key(&start, |note| note.start).ok()?;
    notes.get_mut(index)
}

/// Puts a file of these bytes in place of the one before, open for more.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let temporary = path.with_extension("times.tmp");
    // It may be left from a failure.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    fs::rename(&temporary, path)?;
    Ok(file)
}
