//! Reading a spool beside whoever writes it: several records at once, none of them acknowledged by that.
//! In: a directory.  Out: records in order, with their numbers.  Owns: nothing, not even the lock.
//!
//! Only what is fsynced is sure to be there after a crash, so who acts on what is read goes no further than the owner says
//! (`Spool::span`). Anyone else sees a moment of it: a segment that was removed meanwhile is an error of the kind `NotFound`.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::custody::Disk;
use crate::custody::spool::place::Place;
use crate::custody::spool::record::{NUMBER_LIMIT, Record};
use crate::custody::spool::recovery::list_segments;
use crate::custody::spool::segment::{Reader, Segment, read_record};
use crate::record::UnixNanos;

/// A reader of a spool that is somebody else's.
pub(crate) struct Peek<'d> {
    disk: &'d dyn Disk,
    directory: PathBuf,
    segments: Vec<Segment>,
    /// The one being read.
    index: usize,
    reader: Option<Reader>,
    /// The numbers wanted.
    span: Range<u64>,
}

/// One record of it.
#[derive(Debug)]
pub(crate) struct Peeked {
    /// Number of its first entry.
    pub(crate) first: u64,
    pub(crate) spooled_at: UnixNanos,
    pub(crate) record: Record,
}

impl Peeked {
    /// Number after its last entry.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.record.entries
    }
}

impl<'d> Peek<'d> {
    /// The records whose entries have these numbers.
    pub(crate) fn of(disk: &'d dyn Disk, directory: &Path, span: Range<u64>) -> io::Result<Peek<'d>> {
        let segments = list_segments(disk, directory, &disk.list(directory)?)?;
        Ok(Peek { disk, directory: directory.to_owned(), segments, index: 0, reader: None, span })
    }

    /// All records that are not known to be acknowledged.
    pub(crate) fn all(disk: &'d dyn Disk, directory: &Path) -> io::Result<Peek<'d>> {
        let (_, marks) = Place::load(disk, directory)?;
        Peek::of(disk, directory, marks.map_or(0, |marks| marks.head)..NUMBER_LIMIT)
    }

    /// The first number wanted.
    pub(crate) fn start(&self) -> u64 {
        self.span.start
    }

    /// The next record. What is damaged is passed over: numbers are missing then.
    pub(crate) fn next(&mut self) -> io::Result<Option<Peeked>> {
        while let Some(segment) = self.segments.get(self.index) {
            let limit = self.segments.get(self.index + 1).map_or(NUMBER_LIMIT, |next| next.first);
            if limit <= self.span.start {
                self.index += 1;
                continue;
            }
            if segment.first >= self.span.end {
                return Ok(None);
            }
            let path = self.directory.join(segment.name());
            let mut reader = match self.reader.take() {
                Some(reader) => reader,
                None => Reader::open(self.disk, &path, segment.sequence)?,
            };
            match reader.find(self.disk, &path)? {
                Some(found) if found.header.end() <= limit => {
                    let header = found.header;
                    if header.end() > self.span.end {
                        return Ok(None);
                    }
                    let wanted = header.first >= self.span.start;
                    // The file may have grown since it was listed.
                    let record = if wanted { read_record(self.disk, &path, u64::MAX, &found)? } else { None };
                    reader.offset = found.end();
                    self.reader = Some(reader);
                    if let Some(record) = record {
                        return Ok(Some(Peeked {
                            first: header.first,
                            spooled_at: header.spooled_at,
                            record,
                        }));
                    }
                }
                _ => self.index += 1,
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::custody::disk::simulated::SimDisk;
    use crate::custody::spool::tests::{NOW, record};
    use crate::custody::spool::{Settings, Spool, WhenFull, segment};
    use crate::record::ByteCount;

    const DIRECTORY: &str = "/spool";

    fn spool(disk: &Arc<SimDisk>) -> Spool {
        let settings = Settings {
            directory: DIRECTORY.into(),
            max_size: ByteCount(64 * 1024),
            max_age: None,
            when_full: WhenFull::Block,
        };
        Spool::open(disk.clone(), settings).unwrap().0
    }

    fn numbers(mut peek: Peek<'_>) -> Vec<u64> {
        let mut numbers = Vec::new();
        while let Some(peeked) = peek.next().unwrap() {
            assert_eq!(peeked.record, record(peeked.first / 2, 2));
            numbers.push(peeked.first);
        }
        numbers
    }

    #[test]
    fn records_are_read_beside_their_owner_and_stay_his_until_he_passes_them() {
        let disk = Arc::new(SimDisk::new(0));
        let mut owner = spool(&disk);
        (0..20).for_each(|number| owner.append(&[record(number, 2)], NOW).unwrap());
        assert_eq!(owner.span(), 0..40);
        let of = |span| numbers(Peek::of(&*disk, Path::new(DIRECTORY), span).unwrap());
        let all = || numbers(Peek::all(&*disk, Path::new(DIRECTORY)).unwrap());
        let even = |span: Range<u64>| span.step_by(2).collect::<Vec<_>>();
        assert_eq!(of(0..40), even(0..40));
        assert_eq!(of(6..12), even(6..12));
        assert_eq!(of(6..13), even(6..12), "half a record is none");
        assert_eq!(all(), even(0..40));
        owner.pass(30, 0);
        owner.sync().unwrap();
        assert_eq!((owner.span(), owner.entries()), (30..40, 10));
        assert_eq!(all(), even(30..40));
        drop(owner);
        assert_eq!(spool(&disk).span(), 30..40);
    }

    #[test]
    fn what_is_passed_with_a_loss_is_counted_and_kept_aside() {
        let disk = Arc::new(SimDisk::new(0));
        let mut owner = spool(&disk);
        owner.append(&[record(0, 2), record(1, 2), record(2, 2)], NOW).unwrap();
        let name = disk.list(Path::new(DIRECTORY)).unwrap();
        let name = name.iter().find(|name| name.ends_with(segment::EXTENSION)).unwrap();
        let second = segment::HEADER + record(0, 2).length_on_disk().unwrap() + 100;
        disk.edit(&Path::new(DIRECTORY).join(name), |bytes| bytes[second as usize] ^= 1);
        assert_eq!(numbers(Peek::of(&*disk, Path::new(DIRECTORY), owner.span()).unwrap()), [0, 4]);
        owner.pass(6, 2);
        assert_eq!(owner.take_losses().damaged, 2);
        assert!(owner.is_empty());
        assert!(disk.list(Path::new(DIRECTORY)).unwrap().iter().any(|name| name.ends_with(segment::DAMAGED)));
    }
}
