//! Reading: the oldest record, past what has expired and what is damaged, and those right behind it.
//! In: segments of any bytes.  Out: records, and what is lost, counted.  Owns: nothing.

use std::io;

use crate::custody::spool::record::{Header, Record};
use crate::custody::spool::segment::{Reader, read_record};
use crate::custody::spool::{Given, Spool};
use crate::record::UnixNanos;

impl Spool {
    /// The record with this number, from 0 on, of those not acknowledged, oldest first; the same again until it is. `None` also
    /// where something lies between it and those that were given before: the end of a segment, or a loss, which is found
    /// when these are acknowledged.
    pub(crate) fn ahead(&mut self, number: usize, now: UnixNanos) -> io::Result<Option<Record>> {
        let given = self.given.iter().filter(|given| !given.acknowledged).nth(number);
        match given.map(|given| given.record.clone()) {
            Some(record) => Ok(Some(record)),
            None if self.given.is_empty() => self.next(now),
            None => self.read_ahead(now),
        }
    }

    /// The oldest record that is not acknowledged; the same again until it is, even if it expires meanwhile. `None` when
    /// there is none. What has expired or is damaged is passed over and counted. After an error it is where it was.
    pub(crate) fn next(&mut self, now: UnixNanos) -> io::Result<Option<Record>> {
        let mut passed = false;
        while self.given.is_empty() && self.head < self.end {
            match self.step(now) {
                Ok(Some(record)) => self.give(record),
                Ok(None) => passed = true,
                // A segment that somebody removed does not come back; any other error may pass.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let gone = self.current().map_or(self.end, |index| self.end_of(index));
                    self.lose_up_to(gone);
                    passed = true;
                }
                Err(error) => return Err(error),
            }
        }
        if passed {
            self.release_or_remember();
        }
        Ok(self.given.front().map(|given| given.record.clone()))
    }

    fn give(&mut self, record: Record) {
        self.given.push_back(Given { record, acknowledged: false, evicted: false });
    }

    /// Gives the record right behind those that were given.
    fn read_ahead(&mut self, now: UnixNanos) -> io::Result<Option<Record>> {
        if self.given.iter().any(|given| given.evicted) {
            return Ok(None);
        }
        let wanted = self.head + self.given.iter().map(|given| given.record.entries).sum::<u64>();
        let Some(index) = self.current() else { return Ok(None) };
        let (segment, limit) = (&self.segments[index], self.end_of(index));
        if wanted >= limit {
            return Ok(None);
        }
        let path = self.path(&segment.name());
        let mut reader = match self.reader.take() {
            Some(reader) if reader.sequence == segment.sequence => reader,
            _ => Reader::open(&*self.disk, &path, segment.sequence)?,
        };
        let mut record = None;
        while let Some(found) = reader.find(&*self.disk, &path)? {
            let header = &found.header;
            if header.first == wanted && header.end() <= limit && !self.expired(header, now) {
                record = read_record(&*self.disk, &path, segment.length, &found)?;
            }
            if header.first >= wanted && record.is_none() {
                break;
            }
            reader.offset = found.end();
            if record.is_some() {
                break;
            }
        }
        self.reader = Some(reader);
        if let Some(record) = &record {
            self.give(record.clone());
        }
        Ok(record)
    }

    /// The segment that holds the head.
    fn current(&self) -> Option<usize> {
        (0..self.segments.len()).find(|index| self.end_of(*index) > self.head)
    }

    /// Looks at what is at the head: a record to give, or something to pass over.
    fn step(&mut self, now: UnixNanos) -> io::Result<Option<Record>> {
        let Some(index) = self.current() else {
            self.lose_up_to(self.end);
            return Ok(None);
        };
        let (segment, limit) = (&self.segments[index], self.end_of(index));
        if segment.first > self.head {
            self.lose_up_to(segment.first);
            return Ok(None);
        }
        let path = self.path(&segment.name());
        // After an error there is no reader, and a new one finds the head again.
        let mut reader = match self.reader.take() {
            Some(reader) if reader.sequence == segment.sequence => reader,
            _ => Reader::open(&*self.disk, &path, segment.sequence)?,
        };
        let found = reader.find(&*self.disk, &path)?;
        let Some(found) = found.filter(|found| found.header.end() <= limit) else {
            self.damage(index, limit);
            return Ok(None);
        };
        let header = found.header;
        let mut record = None;
        if header.first > self.head {
            // Found behind what is missing; the next look takes it.
            self.damage(index, header.first);
        } else {
            if header.first < self.head {
                // Acknowledged before a restart.
            } else if self.expired(&header, now) {
                self.losses.expired += header.entries;
                self.head = header.end();
            } else {
                record = read_record(&*self.disk, &path, segment.length, &found)?;
                if record.is_none() {
                    self.damage(index, header.end());
                }
            }
            reader.offset = found.end();
        }
        self.reader = Some(reader);
        Ok(record)
    }

    fn expired(&self, header: &Header, now: UnixNanos) -> bool {
        self.settings.max_age.is_some_and(|age| header.spooled_at < now.minus(age))
    }

    fn damage(&mut self, index: usize, number: u64) {
        self.segments[index].damaged = true;
        self.lose_up_to(number);
    }

    /// The entries from the head up to `number` are not to be had any more.
    fn lose_up_to(&mut self, number: u64) {
        self.losses.damaged += number - self.head;
        self.head = number;
    }
}
