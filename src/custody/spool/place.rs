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
    /// Of the newest slot; `None` where there is none.
    generation: Option<u64>,
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
        let (generation, marks) = newest.unzip();
        let whole = slots.iter().all(Option::is_some);
        // What is read may be in the memory of the kernel alone, so it does not count as saved.
        Ok((Place { path, generation, saved: None, whole }, marks))
    }

    /// Makes `marks` durable.
    pub(super) fn save(&mut self, disk: &dyn Disk, marks: Marks) -> io::Result<()> {
        if self.saved == Some(marks) {
            return Ok(());
        }
        let next = self.generation.map_or(1, |generation| generation.wrapping_add(1));
        if self.generation.is_some() {
            disk.write_at(&self.path, (next % 2) * SECTOR as u64, &encode(next, marks))?;
            disk.sync(&self.path)?;
        } else {
            let mut both = [0; SECTOR + SLOT];
            both[..SLOT].copy_from_slice(&encode(next - 1, marks));
            both[SECTOR..].copy_from_slice(&encode(next, marks));
            disk.write_at(&self.path, 0, &both)?;
            disk.sync(&self.path)?;
            disk.sync_directory(self.path.parent().unwrap_or(Path::new(".")))?;
        }
        // Only now: after a failure the same slot is written again, and the good one stays.
        self.generation = Some(next);
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
