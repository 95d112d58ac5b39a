//! A file of the journal as its reader knows it: unopened, being read, or read to its end.
//! In: what is there.  Out: its next entry.  Owns: the file while there is something to read.

use std::fs::File;

use tracing::warn;

use crate::custody::JournalPoint;
use crate::metrics::Own;
use crate::source::journal::KIND;
use crate::source::journal::file::{Entry, JournalFile};
use crate::source::journal::format::Damage;
use crate::source::journal::order::compare;
use crate::source::journal::pages::Pages;
use crate::source::journal::places::Found;
use crate::source::journal::reader::Start;

/// Entries in a row that cannot be read, after which the rest of a file is given up until it grows.
const MOST_DAMAGED: u32 = 1000;

/// journald makes a file before it writes its header: it takes so many failures until they are said.
const ATTEMPTS_IN_SILENCE: u32 = 2;

#[derive(Debug)]
pub(super) struct Known {
    found: Found,
    state: State,
    /// It is no longer there.
    gone: bool,
    attempts: u32,
    /// Damage has been told of.
    told: bool,
}

#[derive(Debug)]
enum State {
    Unopened,
    Open {
        file: JournalFile,
        /// Number of the entry to read next, and the entry.
        next: u64,
        head: Option<Entry>,
    },
    /// Nothing comes any more.
    Done {
        last: Option<JournalPoint>,
    },
}

impl Known {
    pub(super) fn new(found: Found) -> Known {
        Known { found, state: State::Unopened, gone: false, attempts: 0, told: false }
    }

    /// Whether this is that file. Of a file that is open nobody else has the inode.
    pub(super) fn is_at(&self, found: &Found) -> bool {
        let same = self.found.device == found.device && self.found.inode == found.inode;
        same && (matches!(self.state, State::Open { .. }) || self.found.path == found.path)
    }

    /// Takes note of where it is now.
    pub(super) fn note(&mut self, found: Option<&Found>, complete: bool) {
        match found {
            Some(found) if found.path != self.found.path => self.found.path.clone_from(&found.path),
            Some(_) => {}
            None => self.gone = complete,
        }
    }

    pub(super) fn is_unopened(&self) -> bool {
        matches!(self.state, State::Unopened)
    }

    /// Nobody needs to know of it any more.
    pub(super) fn is_over(&self) -> bool {
        let read = match &self.state {
            State::Open { file, next, .. } => *next >= file.header().entries,
            State::Unopened | State::Done { .. } => true,
        };
        self.gone && read
    }

    pub(super) fn file(&self) -> Option<&JournalFile> {
        match &self.state {
            State::Open { file, .. } => Some(file),
            _ => None,
        }
    }

    /// Opens the file and finds the first entry that is wanted.
    pub(super) fn open(&mut self, number: u64, start: Start, pages: &mut Pages, own: &Own) {
        let opened = File::open(&self.found.path).map_err(Damage::from);
        match opened.and_then(|file| JournalFile::open(number, file)) {
            Ok(mut file) => {
                let next = position(&mut file, start, pages);
                self.state = State::Open { file, next, head: None };
                (self.attempts, self.told) = (0, false);
                self.close_if_read(pages);
            }
            Err(damage) => {
                self.attempts += 1;
                if self.attempts > ATTEMPTS_IN_SILENCE {
                    self.complain(&damage, own);
                }
            }
        }
    }

    /// Looks for what is new.
    pub(super) fn refresh(&mut self, pages: &mut Pages, own: &Own) {
        let State::Open { file, .. } = &mut self.state else { return };
        match file.refresh(pages) {
            Ok(_) => self.close_if_read(pages),
            Err(damage) => {
                self.complain(&damage, own);
                if matches!(damage, Damage::Broken { .. }) {
                    self.state = State::Unopened;
                }
            }
        }
    }

    /// Who numbers its entries, and the highest number that has been given.
    pub(super) fn tail(&mut self, pages: &mut Pages, own: &Own) -> Option<(u128, u64)> {
        self.refresh(pages, own);
        let State::Open { file, .. } = &mut self.state else { return None };
        let (id, tail) = (file.header().seqnum_id, file.header().tail_seqnum);
        // A header may be older than what it counts, after a crash of the machine.
        let newest = file.header().entries.checked_sub(1).and_then(|last| file.entry(pages, last).ok());
        Some((id, newest.map_or(tail, |newest| newest.point.seqnum.max(tail))))
    }

    /// The entry to read next. What cannot be read is counted and passed over.
    pub(super) fn head(&mut self, pages: &mut Pages, own: &Own) -> Option<Entry> {
        let State::Open { file, next, head } = &mut self.state else { return None };
        if head.is_some() || *next >= file.header().entries {
            return *head;
        }
        let mut damaged = 0;
        let mut trouble = None;
        while head.is_none() && *next < file.header().entries {
            match file.entry(pages, *next) {
                Ok(entry) => *head = Some(entry),
                Err(damage) => {
                    (damaged, trouble) = (damaged + 1, Some(damage));
                    *next = if damaged < MOST_DAMAGED { *next + 1 } else { file.header().entries };
                }
            }
        }
        let found = *head;
        if let Some(damage) = trouble {
            own.source_errors.with("source", KIND).add(f64::from(damaged - 1));
            self.complain(&damage, own);
        }
        if found.is_none() {
            self.close_if_read(pages);
        }
        found
    }

    /// The next entry has been read.
    pub(super) fn advance(&mut self, pages: &mut Pages) {
        if let State::Open { next, head, .. } = &mut self.state {
            (*next, *head) = (*next + 1, None);
            self.close_if_read(pages);
        }
    }

    /// Whether the entry before the next one is this one.
    pub(super) fn has_read(&mut self, point: &JournalPoint, pages: &mut Pages) -> bool {
        let before = match &mut self.state {
            State::Open { file, next, .. } => before(file, *next, pages),
            State::Done { last } => *last,
            State::Unopened => None,
        };
        before.is_some_and(|before| compare(&before, point).is_eq())
    }

    /// Lets go of a file that nothing is appended to any more.
    fn close_if_read(&mut self, pages: &mut Pages) {
        let State::Open { file, next, .. } = &mut self.state else { return };
        if file.header().archived && *next >= file.header().entries {
            let last = before(file, *next, pages);
            pages.forget(file.number());
            self.state = State::Done { last };
        }
    }

    /// Counts damage, and says so once for each file.
    pub(super) fn complain(&mut self, damage: &Damage, own: &Own) {
        own.source_errors.with("source", KIND).add(1.0);
        if !std::mem::replace(&mut self.told, true) {
            let file = self.found.path.display();
            warn!(path = %file, error = %damage, "a file of the journal cannot be read, or not all of it, going on with the rest");
        }
    }
}

/// The entry before the one with this number.
fn before(file: &mut JournalFile, number: u64, pages: &mut Pages) -> Option<JournalPoint> {
    Some(file.entry(pages, number.checked_sub(1)?).ok()?.point)
}

/// The number of the first entry that is wanted.
fn position(file: &mut JournalFile, start: Start, pages: &mut Pages) -> u64 {
    let entries = file.header().entries;
    match start {
        Start::Since(time) if file.header().tail_realtime < time => entries,
        Start::Since(time) => file.partition(pages, |point| point.realtime < time),
        Start::After(last) if file.header().seqnum_id == last.seqnum_id => {
            file.partition(pages, |point| point.seqnum <= last.seqnum)
        }
        // Entries of several boots have no order that could be bisected; what is looked at here is read next.
        Start::After(last) => {
            let mut number = entries;
            while before(file, number, pages).is_some_and(|point| compare(&point, &last).is_gt()) {
                number -= 1;
            }
            number
        }
    }
}
