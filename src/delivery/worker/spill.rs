//! What waits in memory for too long, or must not wait there, goes to disk.
//! In: parcels in memory.  Out: records of the spool.  Owns: nothing.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::info;

use crate::batch::Parcel;
use crate::clock::Instant;
use crate::delivery::attempt::{Origin, Sending};
use crate::delivery::worker::Worker;

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
            let group = self.group();
            let records = self.queue.iter().take(group).map(Parcel::record).collect();
            if !self.keep.append(records).await {
                return;
            }
            self.queue.drain(..group).for_each(|mut parcel| self.client.spooled(&mut parcel));
        }
        if was_empty && !self.keep.is_empty() {
            info!(client = %self.client.settings.name, entries = self.keep.entries(), "lines wait on disk until Loki takes them");
        }
    }

    /// The same with what was begun; false where some of it could not be written. Each piece is a record then, and sent in its
    /// turn: requests are cut off, and Loki stores once what it gets twice.
    async fn spill_begun(&mut self, was_empty: bool) -> bool {
        loop {
            let live = self.sending.iter().position(|sending| sending.origin == Origin::Live);
            let Some(index) = live else { return true };
            let pieces = &self.sending[index].pieces;
            let records = pieces.iter().map(|piece| piece.parcel.record()).collect();
            if !self.keep.append(records).await {
                return false;
            }
            let mut sending = self.sending.remove(index);
            sending.pieces.iter_mut().for_each(|piece| self.client.spooled(&mut piece.parcel));
            // One goes on, if its turn has come already: the spool must know whom it gave that record to, or another would
            // be acknowledged in its place.
            sending.pieces.truncate(1);
            if was_empty
                && !self.abandoned
                && !self.sending.iter().any(|sending| sending.origin == Origin::Spool)
                && let (Some(piece), Some(head)) = (sending.pieces.front_mut(), self.keep.head().await)
                && piece.parcel.body == head.body
            {
                piece.ends_record = true;
                sending.origin = Origin::Spool;
                self.sending.insert(index, sending);
            }
        }
    }

    /// How many parcels of the queue are made durable at once: few large ones, many small ones.
    fn group(&self) -> usize {
        let limit = self.client.settings.spool.as_ref().map_or(0, |spool| spool.max_size.0 / 16).min(GROUP);
        let mut size = 0;
        let fits = |parcel: &&Parcel| {
            size += parcel.body.len() as u64;
            size <= limit
        };
        self.queue.iter().take_while(fits).count().max(1)
    }
}
