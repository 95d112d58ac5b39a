//! Appending: room is made, records are written, and they count once they are durable.
//! In: records.  Out: the last segment, longer, or a new one.  Owns: nothing.

use std::io;

use crate::custody::spool::record::{Record, Slip};
use crate::custody::spool::segment::{self, Segment};
use crate::custody::spool::{AppendError, LARGEST_SEGMENT, SEGMENTS, Spool, WhenFull, remove_if_there};
use crate::record::UnixNanos;

impl Spool {
    /// Holds all of `records`, in order and durably, or none of them. They go into one segment, so that a crash in the midst
    /// leaves them at the end of it. Records without entries hold nothing and are passed over.
    pub(crate) fn append(&mut self, records: &[Record], now: UnixNanos) -> Result<(), AppendError> {
        let records: Vec<&Record> = records.iter().filter(|record| record.entries > 0).collect();
        if records.is_empty() {
            return Ok(());
        }
        let lengths = records.iter().map(|record| record.length_on_disk());
        let length = lengths.sum::<Option<u64>>().ok_or(AppendError::Full)?;
        self.make_room(length)?;
        self.secure_tail().map_err(AppendError::Disk)?;

        let segment_size = (self.settings.max_size.0 / SEGMENTS).min(LARGEST_SEGMENT);
        let segment = self.segments.pop_back_if(|last| self.writing && last.length + length <= segment_size);
        let (mut segment, fresh) = match segment {
            Some(segment) => (segment, false),
            None => (self.new_segment(now), true),
        };
        let written = self.write(&segment, fresh, &records, now);
        // After a failure as well: part of it may be there.
        segment.length = segment.length.max(segment::HEADER) + length;
        self.writing = written.is_ok();
        match written {
            Ok(()) => {
                self.end += records.iter().map(|record| record.entries).sum::<u64>();
                self.segments.push_back(segment);
                Ok(())
            }
            Err(error) => {
                // Retried for hours on a full disk, new segments would pile up.
                if fresh && remove_if_there(&*self.disk, &self.path(&segment.name())).is_ok() {
                    self.removing = true;
                } else {
                    self.segments.push_back(segment);
                }
                Err(AppendError::Disk(error))
            }
        }
    }

    fn make_room(&mut self, length: u64) -> Result<(), AppendError> {
        let limit = self.settings.max_size.0;
        let needed = segment::HEADER + length;
        if needed > limit {
            return Err(AppendError::Full);
        }
        self.release_or_remember();
        // What comes back in a crash must not be more than there is room for.
        self.settle_removal().map_err(AppendError::Disk)?;
        while self.size().0 + needed > limit {
            match self.settings.when_full {
                WhenFull::Block => return Err(AppendError::Full),
                WhenFull::DropOldest => self.evict_first().map_err(AppendError::Disk)?,
            }
        }
        Ok(())
    }

    /// Gives up the first segment, counted by its numbers without reading it.
    fn evict_first(&mut self) -> io::Result<()> {
        if self.segments.is_empty() {
            return Ok(());
        }
        // Zero where an earlier removal failed.
        let mut lost = self.end_of(0).saturating_sub(self.head);
        self.head += lost;
        // Those that were given are of one segment: of this one, where there was anything left of it.
        if lost > 0 {
            for given in self.given.iter_mut().filter(|given| !given.evicted) {
                given.evicted = true;
                lost -= given.record.entries;
            }
        }
        self.losses.evicted += lost;
        self.release()
    }

    fn new_segment(&mut self, now: UnixNanos) -> Segment {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        Segment { sequence, first: self.end, length: 0, stamp: now.0, damaged: false }
    }

    fn write(&self, segment: &Segment, fresh: bool, records: &[&Record], now: UnixNanos) -> io::Result<()> {
        let path = self.path(&segment.name());
        let mut offset = segment.length;
        if fresh {
            self.disk.write_at(&path, 0, &segment::encode_header(segment.stamp))?;
            offset = segment::HEADER;
        }
        let mut first = self.end;
        for record in records {
            let bytes = record.encode(Slip { stamp: segment.stamp, append: self.end, first, now });
            self.disk.write_at(&path, offset, &bytes)?;
            offset += bytes.len() as u64;
            first += record.entries;
        }
        self.disk.sync(&path)?;
        if fresh {
            self.disk.sync_directory(&self.settings.directory)?;
        }
        Ok(())
    }
}
