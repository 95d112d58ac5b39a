//! Whose turn it is: what was begun and has to go on, parcels in memory, what is on disk.
//! In: what waits.  Out: requests.  Owns: nothing.
//!
//! Parcels with a shard in common go one after the other, so that each stream keeps its order; others may be under way together.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use crate::batch::{Parcel, Shards};
use crate::clock::{self, Instant};
use crate::delivery::attempt::Sending;
use crate::delivery::client::Answer;
use crate::delivery::keep::RecordId;
use crate::delivery::worker::Worker;
use crate::metrics::Tally;
use crate::record::UnixNanos;

/// Loki refuses what is an hour behind the newest line of its stream. What is older than this in the spool is not
/// overtaken.
const OVERTAKEN_UP_TO: Duration = Duration::from_secs(30 * 60);

/// The next answer, and to which of them. Cancel-safe: the requests go on.
pub(super) async fn answer(sending: &mut [Sending]) -> (usize, Answer) {
    poll_fn(|context| {
        for (index, sending) in sending.iter_mut().enumerate() {
            if let Poll::Ready(answer) = sending.poll_answer(context) {
                return Poll::Ready((index, answer));
            }
        }
        Poll::Pending
    })
    .await
}

impl Worker {
    /// Begins as many requests as there may be.
    pub(super) async fn begin(&mut self) {
        if self.keep.is_empty() {
            self.backlog.clear();
        }
        while !self.abandoned && self.requests() < self.window(Instant::now()) {
            let begun = self.sending.iter().position(|sending| !sending.is_requested());
            if let Some(index) = begun {
                self.push(index);
            } else if let Some((record, parcel)) = self.next().await {
                self.live_last = record.is_none();
                self.sending.push(Sending::new(record, parcel, &self.client));
            } else {
                return;
            }
        }
    }

    fn requests(&self) -> usize {
        self.sending.iter().filter(|sending| sending.is_requested()).count()
    }

    /// How many requests there may be. A pace is one of pushes that follow each other.
    fn window(&self, now: Instant) -> usize {
        if self.pace.is_set(now) { 1 } else { self.window.size() }
    }

    fn push(&mut self, index: usize) {
        let now = Instant::now();
        let pause = self.pace.delay(now);
        self.sending[index].push(&self.client, now, pause);
    }

    /// The parcel whose turn it is, and which record of the spool it is.
    async fn next(&mut self) -> Option<(Option<RecordId>, Parcel)> {
        let overtakes = self.may_overtake().await;
        if (self.keep.is_empty() || (overtakes && !self.live_last))
            && let Some(parcel) = self.take_disjoint()
        {
            return Some((None, parcel));
        }
        let (record, parcel) = self.take_disjoint_from_disk().await?;
        Some((Some(record), parcel))
    }

    /// The first parcel in memory that has no stream in common with what was begun, or with what waits before it.
    fn take_disjoint(&mut self) -> Option<Parcel> {
        let mut before = self.begun();
        let next = self.queue.iter().position(|parcel| {
            let is_next = parcel.shards.is_disjoint(before);
            before = before.with(parcel.shards);
            is_next
        });
        self.queue.remove(next?)
    }

    /// The next record on disk, if it has no stream in common with what was begun.
    async fn take_disjoint_from_disk(&mut self) -> Option<(RecordId, Parcel)> {
        if self.next_on_disk.is_none() {
            let (id, record) = self.keep.take().await?;
            let entries = Tally::elsewhere(record.entries);
            let mut parcel = Parcel::from_record(record, entries);
            // One alone is not looked into.
            if self.window(Instant::now()) > 1 {
                parcel.find_shards();
            }
            self.next_on_disk = Some((id, parcel));
        }
        let begun = self.begun();
        self.next_on_disk.take_if(|(_, parcel)| parcel.shards.is_disjoint(begun))
    }

    fn begun(&self) -> Shards {
        self.sending.iter().fold(Shards::default(), |begun, sending| begun.with(sending.shards))
    }

    /// True where the oldest entry on disk is recent enough to be overtaken.
    async fn may_overtake(&mut self) -> bool {
        self.keep.oldest().await.is_some_and(is_recent)
    }

    /// The same of what is known: `next` has looked at it.
    pub(super) fn is_recent_on_disk(&self) -> bool {
        self.keep.known_oldest().is_some_and(is_recent)
    }
}

fn is_recent(oldest: UnixNanos) -> bool {
    oldest > clock::now().minus(OVERTAKEN_UP_TO)
}
