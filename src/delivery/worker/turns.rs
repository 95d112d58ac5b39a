//! Whose turn it is: what was begun and has to go on, parcels in memory, what is on disk.
//! In: what waits.  Out: requests.  Owns: nothing.
//!
//! Parcels with a shard in common go one after the other, so that each stream keeps its order; others may be under way together.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use crate::batch::{Parcel, Shards};
use crate::clock::{self, Instant};
use crate::delivery::attempt::{Origin, Sending};
use crate::delivery::client::Answer;
use crate::delivery::worker::Worker;
use crate::metrics::Tally;

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
        while !self.abandoned && self.requests() < self.window(Instant::now()) {
            let begun = self.sending.iter().position(|sending| !sending.is_requested());
            if let Some(index) = begun {
                self.push(index);
            } else if let Some((origin, parcel)) = self.next().await {
                self.live_last = origin == Origin::Live;
                self.sending.push(Sending::new(origin, parcel, &self.client));
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

    /// The parcel whose turn it is. What is on disk goes one at a time, and so does what takes turns with it.
    async fn next(&mut self) -> Option<(Origin, Parcel)> {
        let overtakes = self.may_overtake().await;
        if self.keep.is_empty() {
            return self.take_disjoint().map(|parcel| (Origin::Live, parcel));
        }
        if !self.sending.is_empty() {
            return None;
        }
        if overtakes && !self.live_last && !self.queue.is_empty() {
            return self.queue.pop_front().map(|parcel| (Origin::Live, parcel));
        }
        let record = self.keep.head().await.cloned()?;
        let entries = Tally::elsewhere(record.entries);
        Some((Origin::Spool, Parcel::from_record(record, entries)))
    }

    /// The first parcel in memory that has no stream in common with what was begun, or with what waits before it.
    fn take_disjoint(&mut self) -> Option<Parcel> {
        let begun = self.sending.iter().map(|sending| sending.shards);
        let mut before = begun.fold(Shards::default(), Shards::with);
        let next = self.queue.iter().position(|parcel| {
            let is_next = parcel.shards.is_disjoint(before);
            before = before.with(parcel.shards);
            is_next
        });
        self.queue.remove(next?)
    }

    /// True where the oldest entry on disk is recent enough to be overtaken.
    async fn may_overtake(&mut self) -> bool {
        let oldest = self.keep.head().await.map(|record| record.oldest);
        oldest.is_some_and(|oldest| oldest > clock::now().minus(OVERTAKEN_UP_TO))
    }

    /// The same of what is known: `next` has looked at it.
    pub(super) fn is_recent_on_disk(&self) -> bool {
        self.keep.known_head().is_some_and(|head| head.oldest > clock::now().minus(OVERTAKEN_UP_TO))
    }
}
