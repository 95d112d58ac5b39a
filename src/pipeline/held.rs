//! What one stage holds back of a lane: entries that wait for lines that belong to them.
//! In: lines, each with the tickets that answer for it.  Out: whole entries, oldest first.  Owns: at most one entry for
//! each of [`PLACES`] label sets, none longer than the longest line. They give their share of the byte budget back:
//! entries that wait for long must not keep others from being read.

use std::collections::HashMap;
use std::sync::Arc;

use crate::clock::Instant;
use crate::custody::{Seam, Ticket};
use crate::metrics::{Series, Tally};
use crate::pipeline::entry::Entry;

/// Label sets that may be in the middle of an entry at a time, in one target; then the oldest entry goes on as it is.
const PLACES: usize = 100;

/// Chunks that may end while an entry waits; then it goes on, as the track has to remember each of them meanwhile.
const SEAMS: usize = 1000;

/// An entry that is not complete.
#[derive(Debug)]
pub(crate) struct Held {
    /// As the stage last saw it, its line aside.
    pub(crate) entry: Entry,
    /// The line so far.
    pub(crate) text: Vec<u8>,
    /// Lines it is made of.
    pub(crate) lines: usize,
    /// One for each chunk that a part of it came in.
    pub(crate) tickets: Vec<Ticket>,
    /// Ends of chunks it may lie across.
    seams: Vec<Seam>,
    /// When it goes on as it is.
    due: Instant,
    /// Counts up with each entry held.
    number: u64,
    /// That it is held.
    _tally: Tally,
}

/// The entries one stage holds back in one lane, by label set.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    /// `None` where an entry went on and lines without a beginning belong to a new one.
    places: HashMap<Box<[u8]>, Option<Held>, foldhash::fast::RandomState>,
    next: u64,
}

impl Held {
    /// Adds a line, behind `separator`, that comes with these tickets.
    pub(crate) fn append(&mut self, separator: &[u8], line: &[u8], carried: &[Ticket], due: Instant) {
        self.seams.drain(..).for_each(Seam::tear);
        self.text.extend_from_slice(separator);
        self.text.extend_from_slice(line);
        self.lines += 1;
        self.due = due;
        self.carry(carried);
    }

    /// Takes on the duty for another line's chunk.
    pub(crate) fn carry(&mut self, carried: &[Ticket]) {
        for ticket in carried {
            if !self.tickets.last().is_some_and(|last| last.is_twin_of(ticket)) {
                self.tickets.push(ticket.hold());
            }
        }
    }
}

impl Holds {
    /// Whether an entry has begun under this label set, and may since have gone on.
    pub(crate) fn has_begun(&self, key: &[u8]) -> bool {
        self.places.contains_key(key)
    }

    /// The entry held under a label set.
    pub(crate) fn get(&mut self, key: &[u8]) -> Option<&mut Held> {
        self.places.get_mut(key)?.as_mut()
    }

    /// Number of entries held.
    pub(crate) fn len(&self) -> usize {
        self.places.values().flatten().count()
    }

    /// Takes the entry of a label set; what comes without a beginning belongs to a new one.
    pub(crate) fn release(&mut self, key: &[u8]) -> Option<Held> {
        self.places.get_mut(key)?.take()
    }

    /// Takes the entry of a label set, as if none had ever begun.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<Held> {
        self.places.remove(key).flatten()
    }

    /// Holds `entry` back under a label set; gives what has to go on to make room for it.
    pub(crate) fn hold(
        &mut self,
        key: &[u8],
        entry: &Entry,
        carried: &[Ticket],
        due: Instant,
        gauge: &Arc<Series>,
    ) -> Option<Held> {
        let evicted = if self.places.len() >= PLACES { self.make_room() } else { None };
        let text = entry.line_bytes().to_vec();
        self.next += 1;
        let mut held = Held {
            entry: entry.clone(),
            text,
            lines: 1,
            tickets: Vec::new(),
            seams: Vec::new(),
            due,
            number: self.next,
            _tally: Tally::new(gauge, 1),
        };
        held.carry(carried);
        let before = self.places.insert(key.into(), Some(held)).flatten();
        debug_assert!(before.is_none(), "a held entry was forgotten");
        evicted
    }

    fn make_room(&mut self) -> Option<Held> {
        self.places.retain(|_, place| place.is_some());
        if self.places.len() < PLACES {
            return None;
        }
        let oldest = self.places.iter().min_by_key(|(_, place)| place.as_ref().map(|held| held.number));
        let key = oldest.map(|(key, _)| key.clone())?;
        self.remove(&key)
    }

    /// The chunk of `ticket` is at its end.
    pub(crate) fn end_chunk(&mut self, ticket: &Ticket, now: Instant) {
        for held in self.places.values_mut().flatten() {
            held.seams.push(ticket.seam());
            if held.seams.len() >= SEAMS {
                held.due = now;
            }
        }
    }

    /// When the next entry goes on as it is.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.places.values().flatten().map(|held| held.due).min()
    }

    /// Takes all entries that are due by `by`, oldest first; without a time, all.
    pub(crate) fn take_due(&mut self, by: Option<Instant>) -> Vec<Held> {
        let is_due = |held: &mut Held| by.is_none_or(|by| held.due <= by);
        let mut due: Vec<Held> = self.places.values_mut().filter_map(|place| place.take_if(is_due)).collect();
        due.sort_by_key(|held| held.number);
        due
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;
    use crate::custody::{Cursor, Head, Ledger};
    use crate::flow::Budget;
    use crate::metrics::{Kind, Registry};
    use crate::record::ByteCount;

    #[test]
    fn an_entry_does_not_wait_while_chunks_end_without_number() {
        let share = Budget::new(ByteCount::mib(1)).take(1).now_or_never().unwrap();
        let cursor = Cursor::File { offset: 1, head: Head::default() };
        let ticket = Ledger::default().track("file:1:1", "a.log").admit(cursor, share);
        let (mut holds, now) = (Holds::default(), Instant::now());
        let later = now + Duration::from_secs(3600);
        let gauge = Registry::default().family("held", "", Kind::Gauge, None).unwrap().single();
        let carried = std::slice::from_ref(&ticket);
        assert!(holds.hold(b"key", &Entry::default(), carried, later, &gauge).is_none());
        (1..SEAMS).for_each(|_| holds.end_chunk(&ticket, now));
        assert_eq!(holds.due(), Some(later));
        holds.end_chunk(&ticket, now);
        assert_eq!(gauge.value(), 1.0);
        assert_eq!(holds.take_due(Some(now)).len(), 1);
        assert_eq!(gauge.value(), 0.0);
    }
}
