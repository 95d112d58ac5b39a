//! Opening: what is held after a restart.
//! In: a directory of any content.  Out: a spool.  Owns: nothing.
//!
//! It stays cheap however much is held: names, lengths, and the content of the last segment alone. The others are read
//! when their turn comes.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::custody::Disk;
use crate::custody::spool::place::Place;
use crate::custody::spool::segment::{DAMAGED, EXTENSION, Segment, Tail, scan_tail};
use crate::custody::spool::{Losses, Recovered, Settings, Spool, SpoolError};

impl Spool {
    /// Opens the directory or makes it, takes a lock on it, and finds what is held.
    pub(crate) fn open(disk: Arc<dyn Disk>, settings: Settings) -> Result<(Spool, Recovered), SpoolError> {
        let directory = settings.directory.clone();
        let name = || directory.display().to_string();
        match Self::recover(disk, settings) {
            Ok(Some(opened)) => Ok(opened),
            Ok(None) => Err(SpoolError::InUse(name())),
            Err(error) => Err(SpoolError::Disk(name(), error)),
        }
    }

    /// `None` while another has the lock.
    fn recover(disk: Arc<dyn Disk>, settings: Settings) -> io::Result<Option<(Spool, Recovered)>> {
        let directory = &settings.directory;
        disk.create_directory(directory)?;
        let Some(lock) = disk.lock(&directory.join("lock"))? else { return Ok(None) };
        let (place, marks) = Place::load(&*disk, directory)?;
        let names = disk.list(directory)?;
        let mut segments = list_segments(&*disk, directory, &names)?;
        let mut damaged: Vec<String> =
            names.into_iter().filter(|name| Segment::parse(name, DAMAGED).is_some()).collect();
        damaged.sort();

        let durable = marks.map_or(0, |marks| marks.durable);
        let mut tail = Tail { end: durable, length: 0, unsure: 0..0 };
        let mut torn = 0;
        if let Some(last) = segments.last_mut() {
            let path = directory.join(last.name());
            tail = scan_tail(&*disk, &path, last, durable)?;
            torn = last.length - tail.length;
            if torn > 0 {
                disk.truncate(&path, tail.length)?;
                last.length = tail.length;
            }
        }
        let first = segments.first().map_or(tail.end, |segment| segment.first);
        let head = match marks {
            // The newer slot may have known of the removal of what is missing in front.
            Some(marks) if !place.whole && !segments.is_empty() => marks.head.max(first),
            Some(marks) => marks.head,
            None => first,
        };
        let newest = segments.iter().map(|segment| segment.sequence);
        let newest =
            newest.chain(damaged.iter().filter_map(|name| Some(Segment::parse(name, DAMAGED)?.0))).max();
        let mut spool = Spool {
            disk,
            segments: segments.into(),
            next_sequence: newest.map_or(0, |newest| newest + 1),
            writing: false,
            unsure: Some(tail.unsure),
            head,
            end: tail.end,
            given: VecDeque::new(),
            reader: None,
            place,
            removing: false,
            damaged: damaged.into(),
            losses: Losses::default(),
            trouble: None,
            settings,
            _lock: lock,
        };
        spool.release_or_remember();
        let recovered = Recovered {
            entries: spool.entries(),
            size: spool.size(),
            torn,
            set_aside: spool.damaged.iter().map(|name| spool.path(name)).collect(),
        };
        Ok(Some((spool, recovered)))
    }
}

/// The segments in order. A name that goes back in numbers is none of ours.
pub(super) fn list_segments(disk: &dyn Disk, directory: &Path, names: &[String]) -> io::Result<Vec<Segment>> {
    let mut ids: Vec<(u64, u64)> = names.iter().filter_map(|name| Segment::parse(name, EXTENSION)).collect();
    ids.sort_unstable();
    let mut segments: Vec<Segment> = Vec::with_capacity(ids.len());
    for (sequence, first) in ids {
        if segments.last().is_some_and(|last| last.first > first) {
            continue;
        }
        let mut segment = Segment { sequence, first, length: 0, stamp: 0, damaged: false };
        segment.length = disk.length(&directory.join(segment.name()))?;
        segments.push(segment);
    }
    Ok(segments)
}
