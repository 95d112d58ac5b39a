//! The spool: pushes on disk, in order, while a client cannot deliver them.
//! In: sealed pushes.  Out: the same, oldest first, several at once, until each is acknowledged.  Owns: one directory, locked.
//!
//! Entries are numbered over the spool's life. A directory holds segments (`<sequence>-<first number>.spool`), the read
//! place (`place`) and at most [`KEPT_DAMAGED`] damaged segments (`….spool.damaged`, beside the limit). Rules:
//!
//! - What `append` says it holds is fsynced; a new segment also has its name fsynced.
//! - A segment holds the numbers from its own first up to the first of the next. When writing fails, nobody knows what is
//!   on the disk: that segment is left, and a new one begins after the last number known to be durable. So whatever the
//!   failed write left behind is void. A restart begins a new segment too.
//! - Numbers that are missing are damage, and counted exactly; only behind the last durable append nothing is missing.
//! - At every moment: `Recovered::entries` + appended = acknowledged + evicted + expired + damaged + `entries()`.
//! - Losing the place sends records again, with the same bytes. So does a crash, for what was acknowledged since `sync`, or before
//!   one that is older.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tracing::warn;

use crate::custody::disk::{Disk, Lock};
use crate::record::ByteCount;

mod peek;
mod place;
mod read;
mod record;
mod recovery;
mod segment;
mod write;

pub(crate) use peek::Peek;
use place::{Marks, Place};
pub(crate) use record::Record;
use segment::{Reader, Segment};

/// The `spool` of a client.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    /// Of this client alone.
    pub(crate) directory: PathBuf,
    /// Bytes of all segments. What is acknowledged counts until the last record of its segment is.
    pub(crate) max_size: ByteCount,
    /// Records spooled longer ago are not sent any more.
    pub(crate) max_age: Option<Duration>,
    /// What happens at `max_size`.
    pub(crate) when_full: WhenFull,
}

/// What gives way when the spool is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenFull {
    /// The new records: the source waits.
    Block,
    /// The oldest segments, counted as evicted.
    DropOldest,
}

/// What was found at the start.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Recovered {
    /// Entries held, those among them included that will turn out to be damaged.
    pub(crate) entries: u64,
    /// Bytes on disk.
    pub(crate) size: ByteCount,
    /// Bytes of a torn tail, cut off. They were never durable.
    pub(crate) torn: u64,
    /// Segments with damage, kept under another name by this run or one before.
    pub(crate) set_aside: Vec<PathBuf>,
}

/// Entries that will never be delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    /// Made room for newer ones.
    pub(crate) evicted: u64,
    /// Older than `max_age`.
    pub(crate) expired: u64,
    /// Not readable any more.
    pub(crate) damaged: u64,
}

/// The spool cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpoolError {
    /// Another process, or another client of this one, has it.
    #[error("spool {0} is in use by another process or another client")]
    InUse(String),
    /// The file system refuses.
    #[error("spool {0}")]
    Disk(String, #[source] io::Error),
}

/// Nothing was appended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    /// No room, or more than there ever is.
    #[error("the spool is full")]
    Full,
    /// The file system refuses; later it may not.
    #[error("cannot write to the spool")]
    Disk(#[source] io::Error),
}

/// One client's pushes on disk. Every call may block on the disk.
#[derive(Debug)]
pub(crate) struct Spool {
    disk: Arc<dyn Disk>,
    settings: Settings,
    segments: VecDeque<Segment>,
    next_sequence: u64,
    /// The last segment is being written, and all of it so far is durable.
    writing: bool,
    /// Bytes at the end of the last segment that a process before may not have synced; `None` once all it left is durable.
    unsure: Option<Range<u64>>,
    /// Everything before is acknowledged or lost and counted.
    head: u64,
    /// Number after the last durable entry.
    end: u64,
    /// The records that were given, until they are acknowledged with all before them: of one segment, one after the other.
    given: VecDeque<Given>,
    reader: Option<Reader>,
    place: Place,
    /// A segment's removal may not be durable yet.
    removing: bool,
    /// Names of damaged segments that are kept, oldest first.
    damaged: VecDeque<String>,
    losses: Losses,
    /// What went wrong in passing, for the next `sync` to tell.
    trouble: Option<io::Error>,
    _lock: Lock,
}

#[derive(Debug)]
struct Given {
    record: Record,
    acknowledged: bool,
    /// Its segment had to give way meanwhile. Its entries are not counted as evicted: whoever has it is about to say what
    /// became of them. A process that ends before that has not counted them.
    evicted: bool,
}

/// A segment takes this part of the limit, so that giving way loses no more than that at once.
const SEGMENTS: u64 = 8;

/// A larger segment would only keep acknowledged bytes longer.
const LARGEST_SEGMENT: u64 = 16 * 1024 * 1024;

/// Damaged segments kept for whoever wants to look into them.
const KEPT_DAMAGED: usize = 4;

impl Spool {
    /// A record is delivered, or refused and counted: of those given and not acknowledged, oldest first, the one with this
    /// number, from 0 on.
    pub(crate) fn acknowledge(&mut self, number: usize) {
        let Some(given) = self.given.iter_mut().filter(|given| !given.acknowledged).nth(number) else {
            return;
        };
        given.acknowledged = true;
        given.record.body = Bytes::new();
        while let Some(given) = self.given.pop_front_if(|given| given.acknowledged) {
            if !given.evicted {
                self.head += given.record.entries;
            }
        }
        self.release_or_remember();
    }

    /// The numbers of what is held, all of it durable.
    pub(crate) fn span(&self) -> Range<u64> {
        self.head..self.end
    }

    /// Everything before the number `to` is done with, read beside the spool (`Peek`); `lost` entries of it were not to be
    /// read.
    pub(crate) fn pass(&mut self, to: u64, lost: u64) {
        let to = to.clamp(self.head, self.end);
        for index in 0..self.segments.len() {
            let overlaps = self.segments[index].first < to && self.end_of(index) > self.head;
            self.segments[index].damaged |= lost > 0 && overlaps;
        }
        self.losses.damaged += lost;
        (self.reader, self.head) = (None, to);
        self.given.clear();
        self.release_or_remember();
    }

    /// Entries held and not acknowledged.
    pub(crate) fn entries(&self) -> u64 {
        let entries = |wanted: fn(&Given) -> bool| -> u64 {
            self.given.iter().filter(|given| wanted(given)).map(|given| given.record.entries).sum()
        };
        let in_memory = entries(|given| given.evicted && !given.acknowledged);
        self.end - self.head + in_memory - entries(|given| given.acknowledged && !given.evicted)
    }

    /// Bytes on disk of what is held.
    pub(crate) fn size(&self) -> ByteCount {
        ByteCount(self.segments.iter().map(|segment| segment.length).sum())
    }

    /// True when all is acknowledged.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries() == 0
    }

    /// Losses since last asked.
    pub(crate) fn take_losses(&mut self) -> Losses {
        std::mem::take(&mut self.losses)
    }

    /// Makes the read place durable. Also tells of segments that could not be removed; that is tried again each time.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.release_or_remember();
        self.save_place()?;
        self.trouble.take().map_or(Ok(()), Err)
    }

    fn save_place(&mut self) -> io::Result<()> {
        self.secure_tail()?;
        self.place.save(&*self.disk, Marks { head: self.head, durable: self.end })
    }

    /// Makes durable what the last process may have left in the memory of the kernel, before anything counts on it. Names: a
    /// removed segment that came back in a crash would void a new one of a lower sequence. Bytes, written again: a sync
    /// that failed there may have made the next one say that all is well. Not done at the start: a full disk must not keep
    /// the spool from being drained.
    fn secure_tail(&mut self) -> io::Result<()> {
        let Some(unsure) = self.unsure.clone() else { return Ok(()) };
        if let Some(last) = self.segments.back() {
            let path = self.path(&last.name());
            let mut bytes = vec![0; (unsure.end - unsure.start) as usize];
            if !bytes.is_empty() {
                self.disk.read_at(&path, unsure.start, &mut bytes)?;
                self.disk.write_at(&path, unsure.start, &bytes)?;
            }
            // Also where its torn tail was cut off.
            self.disk.sync(&path)?;
        }
        self.disk.sync_directory(&self.settings.directory)?;
        self.unsure = None;
        Ok(())
    }

    /// Number after the last one the segment may hold.
    fn end_of(&self, index: usize) -> u64 {
        self.segments.get(index + 1).map_or(self.end, |next| next.first)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.settings.directory.join(name)
    }

    /// Reading and appending go on when space cannot be given back.
    fn release_or_remember(&mut self) {
        if let Err(error) = self.release() {
            self.trouble = Some(error);
        }
    }

    /// Removes the segments that have been passed, one durably before the next: a crash must not leave a gap between
    /// segments, which would count as damage.
    fn release(&mut self) -> io::Result<()> {
        if self.segments.is_empty() || self.end_of(0) > self.head {
            return self.settle_removal();
        }
        // A place that lags behind what is removed makes the next start count the difference as damage. A full disk on which
        // nothing can be removed would be worse.
        let saved = self.save_place();
        while !self.segments.is_empty() && self.end_of(0) <= self.head {
            self.settle_removal()?;
            self.remove_first()?;
        }
        self.settle_removal()?;
        saved
    }

    fn settle_removal(&mut self) -> io::Result<()> {
        if self.removing {
            self.disk.sync_directory(&self.settings.directory)?;
            self.removing = false;
        }
        Ok(())
    }

    fn remove_first(&mut self) -> io::Result<()> {
        let Some(first) = self.segments.front() else { return Ok(()) };
        let path = self.path(&first.name());
        // Should the removal fail, nobody knows whether the file is still there: nothing more is written to it.
        self.writing &= self.segments.len() > 1;
        if first.damaged {
            self.set_aside(&path)?;
        } else {
            remove_if_there(&*self.disk, &path)?;
        }
        self.removing = true;
        self.segments.pop_front();
        if self.segments.is_empty() {
            self.unsure = self.unsure.take().map(|_| 0..0);
        }
        Ok(())
    }

    fn set_aside(&mut self, path: &Path) -> io::Result<()> {
        let aside = path.with_extension(&segment::DAMAGED[1..]);
        match self.disk.rename(path, &aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        }
        warn!(path = %aside.display(), "spool segment is damaged, what could be read of it was sent; it is kept");
        self.damaged.extend(aside.file_name().map(|name| name.to_string_lossy().into_owned()));
        while self.damaged.len() > KEPT_DAMAGED
            && let Some(oldest) = self.damaged.pop_front()
        {
            remove_if_there(&*self.disk, &self.path(&oldest))?;
        }
        Ok(())
    }
}

fn remove_if_there(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod damage;
#[cfg(test)]
mod tests;
