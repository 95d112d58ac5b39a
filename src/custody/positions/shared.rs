//! The positions file that Promtail has too: read where Promtail has written it, and kept up to date for whoever goes
//! back.
//! In: the file, the ledger.  Out: the ledger, the file.  Owns: `positions.filename`, unless it is Alloy's.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use tracing::{info, warn};

use crate::clock;
use crate::custody::ledger::in_promtails_words;
use crate::custody::positions::aside::set_aside;
use crate::custody::positions::promtail::{self, Positions, number};
use crate::custody::positions::{directory_of, write_temporary};
use crate::custody::{Cursor, Disk, JournalPoint, Ledger};
use crate::record::UnixNanos;

/// A path takes some 100 bytes, and no agent follows a million.
const LONGEST: u64 = 64 << 20;

/// Container ids are 64 hexadecimal digits; `cursor-` is also how keys of journals and of
/// Cloudflare zones begin.
const CONTAINER_ID_LENGTH: usize = 64;

/// What is known of the file from the last run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Remembered {
    /// There was no run, or nothing of it is left.
    Nothing,
    /// A run of a version that left the file alone.
    Unread,
    /// The CRC-32 of the file as it was left, or was about to be, and of the one before.
    Left([u32; 2]),
}

/// The file as it was last read or written.
#[derive(Debug)]
pub(super) struct Shared {
    path: PathBuf,
    crc: u32,
    /// Entries of inputs that are not ours.
    carried: BTreeMap<String, String>,
    /// Not ours to write.
    leave_alone: bool,
    failing: bool,
    /// Failures not asked for yet.
    failures: u64,
}

/// What the file is to say.
#[derive(Debug)]
pub(super) struct Next {
    text: String,
    pub(super) crc: u32,
}

/// What was found at start.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// When the file was written that something was taken from.
    pub(super) imported_as_of: Option<UnixNanos>,
    /// It was damaged.
    pub(super) damaged: bool,
}

impl Shared {
    /// Reads the file and, if somebody else has written it, takes over what it says. One that is there and cannot be read
    /// is an error: starting without it would repeat or lose what it knows.
    pub(super) fn open(
        disk: &dyn Disk,
        path: &Path,
        remembered: Remembered,
        ledger: &Ledger,
    ) -> io::Result<(Shared, Found)> {
        let mut shared = Shared {
            path: path.to_owned(),
            crc: crc32fast::hash(b""),
            carried: BTreeMap::new(),
            leave_alone: false,
            failing: false,
            failures: 0,
        };
        let length = match disk.length(path) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((shared, Found::default())),
            Err(error) => return Err(error),
        };
        let stat = disk.stat(path);
        if stat.as_ref().is_ok_and(|stat| !stat.is_file) {
            if disk.list(path).is_ok() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            // `/dev/null` and the like, for those who want no positions.
            shared.leave_alone = true;
            return Ok((shared, Found::default()));
        }
        let positions = match read(disk, path, length)? {
            Ok((positions, crc)) => {
                shared.crc = crc;
                positions
            }
            Err(reason) => {
                set_aside(disk, path, &reason);
                return Ok((shared, Found { damaged: true, ..Found::default() }));
            }
        };
        if positions.of_alloy {
            info!(path = %path.display(), "these are positions of Alloy: they are read and never written");
            shared.leave_alone = true;
        }
        let (mut entries, mut journals) = (BTreeMap::new(), BTreeMap::new());
        for (key, value) in positions.entries {
            if let Some(position) = position(&key, &value) {
                entries.insert(key, position);
            } else if let Some((job, point)) = journal(&key, &value) {
                journals.insert(job, point);
            } else {
                shared.carried.insert(key, value);
            }
        }
        let written_by_another = match remembered {
            Remembered::Nothing => true,
            Remembered::Unread => false,
            Remembered::Left(crcs) => !crcs.contains(&shared.crc),
        };
        let mut found = Found::default();
        // Versions that knew no journals have kept what Promtail said of them.
        let of_journals = ledger.import_journals(&journals, written_by_another);
        if of_journals > 0 || written_by_another && !entries.is_empty() {
            let as_of = stat.map_or_else(|_| clock::now(), |stat| stat.modified);
            let others = if written_by_another { ledger.import(&entries, as_of) } else { 0 };
            let targets = others + of_journals;
            info!(path = %path.display(), targets, "positions of Promtail taken over");
            found.imported_as_of = Some(as_of);
        }
        Ok((shared, found))
    }

    /// CRC-32 of the file as it was last read or written.
    pub(super) fn crc(&self) -> u32 {
        self.crc
    }

    /// How often writing has failed since this was last asked.
    pub(super) fn take_failures(&mut self) -> u64 {
        std::mem::take(&mut self.failures)
    }

    /// What the file should say of these positions, unless it does.
    pub(super) fn next(&self, disk: &dyn Disk, positions: Vec<(String, String, Cursor)>) -> Option<Next> {
        if self.leave_alone {
            return None;
        }
        let text = promtail::render(&self.entries(disk, positions));
        let crc = crc32fast::hash(text.as_bytes());
        (crc != self.crc).then_some(Next { text, crc })
    }

    /// Writes the file. That it cannot be written is said once, and does not keep our own state from being saved.
    pub(super) fn write(&mut self, disk: &dyn Disk, next: Next) {
        match replace(disk, &self.path, next.text.as_bytes()) {
            Ok(()) => {
                self.crc = next.crc;
                self.failing = false;
            }
            Err(error) => {
                self.failures += 1;
                if !std::mem::replace(&mut self.failing, true) {
                    warn!(path = %self.path.display(), %error, "positions for Promtail cannot be written, trying again");
                }
            }
        }
    }

    fn entries(&self, disk: &dyn Disk, positions: Vec<(String, String, Cursor)>) -> BTreeMap<String, String> {
        let mut entries = self.carried.clone();
        let mut waiting = Vec::new();
        for (key, name, cursor) in positions {
            let Some((promtails_key, value)) = in_promtails_words(&key, &name, cursor) else { continue };
            let holds = match cursor {
                Cursor::Promtail { .. } => {
                    waiting.push((promtails_key, value));
                    continue;
                }
                // A path's file may have been rotated away: its position would make Promtail skip lines of the next one.
                Cursor::File { .. } | Cursor::Packed { .. } => disk
                    .stat(Path::new(&name))
                    .is_ok_and(|stat| key == format!("file:{}:{}", stat.device, stat.inode)),
                Cursor::Docker { .. } | Cursor::Journal { .. } => true,
            };
            if holds {
                entries.insert(promtails_key, value);
            }
        }
        // What was taken over and whose file nobody has opened yet stands over an older position of our own; a container's
        // has ended that already.
        for (key, value) in waiting {
            if key.starts_with('/') || !entries.contains_key(&key) {
                entries.insert(key, value);
            }
        }
        entries
    }
}

/// What a file says and its CRC-32, or what is wrong with it.
fn read(disk: &dyn Disk, path: &Path, length: u64) -> io::Result<Result<(Positions, u32), String>> {
    if length > LONGEST {
        return Ok(Err("it is too long".to_owned()));
    }
    let bytes = disk.read(path)?;
    Ok(promtail::parse(&bytes).map(|positions| (positions, crc32fast::hash(&bytes))))
}

/// The position of a file or container; `None` for what another input keeps here.
fn position(key: &str, value: &str) -> Option<u64> {
    let is_container = key
        .strip_prefix("cursor-")
        .is_some_and(|id| id.len() == CONTAINER_ID_LENGTH && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if is_container || key.starts_with('/') { number(value) } else { None }
}

/// The job and the place of a journal.
fn journal(key: &str, value: &str) -> Option<(String, JournalPoint)> {
    Some((key.strip_prefix("cursor-")?.to_owned(), value.parse().ok()?))
}

fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    write_temporary(disk, &temporary, bytes)?;
    disk.rename(&temporary, path)?;
    disk.sync_directory(&directory_of(path))
}

#[cfg(test)]
mod tests;
