//! The read place: how far the spool has been read, and how much of it was durable.
//! In: both numbers.  Out: the same after a restart.  Owns: the file `place`.
//!
//! Two slots in sectors of their own, written in turn: a write that fails or is torn leaves the other, and on most file
//! systems it needs no new space, so a full disk can still be drained. Losing the file costs only that records are sent
//! again.

use std::io;
use std::path::{Path, PathBuf};

use crate::custody::Disk;
use crate::custody::spool::record::{NUMBER_LIMIT, take};

/// What the place remembers, as entry numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Marks {
    /// Everything before is delivered, or lost and counted.
    pub(super) head: u64,
    /// Everything before was durable.
    pub(super) durable: u64,
}

/// The file.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// Of the newest slot, or of the newest that a failed first write may have left.
    generation: u64,
    /// No slot is known to hold: both are written at once.
    first: bool,
    /// What this process has made durable.
    saved: Option<Marks>,
    /// Both slots hold, so none that is newer can have been lost.
    pub(super) whole: bool,
}

/// Disks write a sector wholly or not at all.
const SECTOR: usize = 512;

/// Generation, head, durable, CRC-32.
const SLOT: usize = 28;

impl Place {
    /// The file in `directory`, and what it remembers.
    pub(super) fn load(disk: &dyn Disk, directory: &Path) -> io::Result<(Place, Option<Marks>)> {
        let path = directory.join("place");
        let mut bytes = [0; 2 * SECTOR];
        match disk.read_at(&path, 0, &mut bytes) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let slots = [decode(&bytes), decode(&bytes[SECTOR..])];
        let newest = slots.iter().flatten().max_by_key(|(generation, _)| *generation).copied();
        let first = newest.is_none();
        let (generation, marks) = newest.unzip();
        let generation = generation.unwrap_or(1);
        let whole = slots.iter().all(Option::is_some);
        // What is read may be in the memory of the kernel alone, so it does not count as saved.
        Ok((Place { path, generation, first, saved: None, whole }, marks))
    }

    /// Makes `marks` durable.
    pub(super) fn save(&mut self, disk: &dyn Disk, marks: Marks) -> io::Result<()> {
        if self.saved == Some(marks) {
            return Ok(());
        }
        if self.first {
            // A write that fails may leave one of the two, and a crash the other: what is written later is always newer.
            let even = self.generation.wrapping_add(1);
            self.generation = even.wrapping_add(1);
            let mut both = [0; SECTOR + SLOT];
            both[..SLOT].copy_from_slice(&encode(even, marks));
            both[SECTOR..].copy_from_slice(&encode(self.generation, marks));
            disk.write_at(&self.path, 0, &both)?;
            disk.sync(&self.path)?;
            disk.sync_directory(self.path.parent().unwrap_or(Path::new(".")))?;
            self.first = false;
        } else {
            let next = self.generation.wrapping_add(1);
            disk.write_at(&self.path, (next % 2) * SECTOR as u64, &encode(next, marks))?;
            disk.sync(&self.path)?;
            // Only now: after a failure the same slot is written again, and the good one stays.
            self.generation = next;
        }
        self.saved = Some(marks);
        Ok(())
    }
}

fn encode(generation: u64, marks: Marks) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    for (place, number) in slot.chunks_exact_mut(8).zip([generation, marks.head, marks.durable]) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    let crc = crc32fast::hash(&slot[..24]);
    slot[24..].copy_from_slice(&crc.to_le_bytes());
    slot
}

fn decode(slot: &[u8]) -> Option<(u64, Marks)> {
    let content: [u8; 24] = take(slot, 0)?;
    if crc32fast::hash(&content) != u32::from_le_bytes(take(slot, 24)?) {
        return None;
    }
    let number = |at| take(slot, at).map(u64::from_le_bytes);
    let marks = Marks { head: number(8)?, durable: number(16)? };
    (marks.head <= marks.durable && marks.durable < NUMBER_LIMIT).then_some((number(0)?, marks))
}
