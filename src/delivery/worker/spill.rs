//! What waits in memory for too long, or must not wait there, goes to disk.
//! In: parcels in memory.  Out: records of the spool.  Owns: nothing.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::info;

use crate::batch::Parcel;
use crate::clock::Instant;
use crate::delivery::attempt::{Origin, Piece, Sending};
use crate::delivery::worker::Worker;
use crate::metrics::Tally;

/// The only client's parcels wait in memory while Loki answers nothing for so long. One that answers slowly makes the
/// sources wait: they are as good a buffer as the spool, and fair to each other.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where there are several clients, a slow one must not take the memory of the others.
const PATIENCE_OF_MANY: Duration = Duration::from_secs(1);

/// Bytes that are made durable together at most.
const GROUP: u64 = 4 * 1024 * 1024;

impl Worker {
    pub(super) fn is_one_of_many(&self) -> bool {
        self.around.clients.load(Ordering::Relaxed) > 1
    }

    /// True where new parcels have to go behind what is on disk: they must not overtake it, or nothing gets through at all.
    pub(super) fn must_follow_spool(&self) -> bool {
        let stuck = self.progress.elapsed() >= PATIENCE;
        !self.keep.is_empty() && (!self.is_recent_on_disk() || stuck) && self.keep.again().is_none()
    }

    /// When what waits in memory goes to disk.
    pub(super) fn spill_due(&self) -> Option<Instant> {
        if !self.keep.is_there() {
            return None;
        }
        let begun = self.live().filter_map(|sending| sending.pieces.front()).map(|piece| &piece.parcel);
        let sealed = begun.chain(self.queue.front()).map(|parcel| parcel.sealed).min()?;
        let due = match self.is_one_of_many() {
            false => sealed.max(self.progress) + PATIENCE,
            true => sealed + PATIENCE_OF_MANY,
        };
        Some(self.keep.again().map_or(due, |again| again.max(due)))
    }

    pub(super) fn has_live(&self) -> bool {
        !self.queue.is_empty() || self.live().next().is_some()
    }

    fn live(&self) -> impl Iterator<Item = &Sending> {
        self.sending.iter().filter(|sending| sending.origin == Origin::Live)
    }

    /// Streams above Loki's limit must not wait in memory alone.
    pub(super) fn unpark(&mut self) {
        self.parked.drain(..).rev().for_each(|(_, parcel)| self.queue.push_front(parcel));
    }

    /// Puts on disk what waits in memory, oldest first. Where that is not possible it stays where it is.
    pub(super) async fn spill(&mut self) {
        let was_empty = self.keep.is_empty();
        if self.abandoned {
            self.unpark();
        }
        if !self.spill_begun(was_empty).await {
            return;
        }
        while !self.queue.is_empty() {
            let group = self.fit(self.queue.iter().map(|parcel| parcel.body.len() as u64));
            let records = self.queue.iter().take(group).map(Parcel::record).collect();
            if !self.keep.append(records).await {
                return;
            }
            for mut parcel in self.queue.drain(..group) {
                self.backlog.add(&mut parcel);
                self.client.spooled(&mut parcel);
            }
        }
        if was_empty && !self.keep.is_empty() {
            info!(client = %self.client.settings.name, entries = self.keep.entries(), "lines wait on disk until Loki takes them");
        }
    }

    /// The same with what was begun; false where some of it could not be written. Each piece is a record then.
    async fn spill_begun(&mut self, was_empty: bool) -> bool {
        let mut goes_on = was_empty && !self.abandoned;
        loop {
            let live = self.sending.iter().position(|sending| sending.origin == Origin::Live);
            let Some(mut index) = live else { return true };
            let together = self.sending[index..].iter().take_while(|sending| sending.origin == Origin::Live);
            let count = self.fit(
                together
                    .map(|sending| sending.pieces.iter().map(|piece| piece.parcel.body.len() as u64).sum()),
            );
            let spilled = index..index + count;
            let pieces = self.sending[spilled.clone()].iter().flat_map(|sending| &sending.pieces);
            let records = pieces.map(|piece| piece.parcel.record()).collect();
            if !self.keep.append(records).await {
                return false;
            }
            for sending in &mut self.sending[spilled] {
                sending.origin = Origin::Spool;
                for Piece { parcel, .. } in &mut sending.pieces {
                    self.backlog.add(parcel);
                    self.client.spooled(parcel);
                }
            }
            for _ in 0..count {
                let pieces = self.sending[index].pieces.len();
                let adopted = if goes_on { self.adopt(index).await } else { 0 };
                goes_on = adopted == pieces;
                match adopted {
                    // Sent in its turn: a request is cut off, and Loki stores once what it gets twice.
                    0 => drop(self.sending.remove(index)),
                    _ => index += 1,
                }
            }
        }
    }

    /// Lets what was spilled go on, as far as its turn has come already: the spool must know whom it gave a record to, or another
    /// would be acknowledged in its place. Gives how many pieces go on.
    async fn adopt(&mut self, index: usize) -> usize {
        let mut adopted = 0;
        while adopted < self.sending[index].pieces.len() {
            let Some((id, record)) = self.keep.take().await else { break };
            let piece = &mut self.sending[index].pieces[adopted];
            if piece.parcel.body != record.body {
                let entries = Tally::elsewhere(record.entries);
                self.next_on_disk = Some((id, Parcel::from_record(record, entries)));
                break;
            }
            piece.ends_record = Some(id);
            adopted += 1;
        }
        self.sending[index].pieces.truncate(adopted);
        adopted
    }

    /// How many of these are made durable at once: few large ones, many small ones.
    fn fit(&self, sizes: impl Iterator<Item = u64>) -> usize {
        let limit = self.client.settings.spool.as_ref().map_or(0, |spool| spool.max_size.0 / 16).min(GROUP);
        let mut together = 0;
        let fits = |size: &u64| {
            together += size;
            together <= limit
        };
        sizes.take_while(fits).count().max(1)
    }
}
