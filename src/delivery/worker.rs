//! Gets one client's parcels to its Loki, each stream's in order, by way of the spool while Loki does not take them.
//! In: parcels, answers.  Out: settled tickets, metrics.  Owns: the parcels in memory (few, or as many as the byte budget
//! lets be), the spool, the pushes under way.
//!
//! Lines wait in memory first. What waited there for too long, or must not wait there because it cannot be read again, is
//! put on disk and settled. While the spool holds anything, new parcels go behind it, so that order is kept and nothing
//! gets too far behind for Loki; where all of it is recent, new ones take turns with old ones instead.

mod backlog;
mod outcome;
mod spill;
mod turns;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use crate::batch::{Parcel, Sealed};
use crate::clock::Instant;
use crate::custody::Spool;
use crate::delivery::attempt::{Origin, Sending};
use crate::delivery::client::{Answer, Client};
use crate::delivery::dead_letter::DeadLetters;
use crate::delivery::keep::{Keep, RecordId};
use crate::delivery::pace::Pace;
use crate::delivery::stream_limit::StreamLimit;
use crate::delivery::window::Window;
use crate::delivery::worker::backlog::Backlog;
use crate::flow::Troubles;

/// Parcels of the only client that wait for those being sent, or as many as there may be of these.
const MOST_WAITING: usize = 2;

/// What a worker shares with the others.
#[derive(Clone, Debug)]
pub(crate) struct Around {
    /// Clients there are.
    pub(crate) clients: Arc<AtomicUsize>,
    pub(crate) dead_letters: Option<Arc<DeadLetters>>,
    pub(crate) troubles: Troubles,
    /// A client that gets nothing through for so long makes the agent not ready.
    pub(crate) stalled_after: Duration,
}

/// How a worker is told to end.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    /// Hand what is left to somebody else, once no more comes in.
    pub(crate) retire: CancellationToken,
    /// Time is up: put what is left on disk.
    pub(crate) abandon: CancellationToken,
}

/// What a worker has not settled.
#[derive(Debug, Default)]
pub(crate) struct Leftover {
    pub(crate) parcels: Vec<Parcel>,
    pub(crate) spool: Option<Spool>,
}

struct Worker {
    client: Arc<Client>,
    around: Around,
    keep: Keep,
    /// In memory, oldest first.
    queue: VecDeque<Parcel>,
    /// Begun and not settled, oldest first; no two have a stream in common.
    sending: Vec<Sending>,
    /// Taken from the spool, and has a stream in common with what was begun.
    next_on_disk: Option<(RecordId, Parcel)>,
    backlog: Backlog,
    /// Single streams above Loki's limit, and when they are tried again.
    parked: VecDeque<(Instant, Parcel)>,
    stream_limit: StreamLimit,
    pace: Pace,
    window: Window,
    /// When Loki last settled something.
    progress: Instant,
    /// Since pushes fail, if they do.
    failing: Option<Failing>,
    /// The last parcel came from memory.
    live_last: bool,
    /// Told to hand on what is left: all of it is taken in, so that whoever sends it can end.
    retired: bool,
    abandoned: bool,
}

/// Pushes that fail one after the other.
struct Failing {
    since: Instant,
    attempts: u64,
}

enum Event {
    Inbound(Option<Sealed>),
    Answer(usize, Answer),
    Due,
    Retire,
    Abandon,
}

/// Runs until `inbound` ends and all is settled or on disk, or until it is told to stop. Not cancel-safe: what it holds is
/// lost to this process and stays before its position.
pub(crate) async fn run(
    client: Arc<Client>,
    around: Around,
    leftover: Leftover,
    mut inbound: mpsc::Receiver<Sealed>,
    stop: Stop,
) -> Leftover {
    let Leftover { parcels, spool } = leftover;
    let keep = Keep::new(spool, client.metrics.clone(), &client.settings.name, around.troubles.clone());
    let (now, concurrency) = (Instant::now(), client.settings.batch.concurrency);
    let (window, backlog) = (Window::new(concurrency), Backlog::new(concurrency));
    let mut worker = Worker {
        client,
        around,
        keep,
        queue: parcels.into(),
        sending: Vec::new(),
        next_on_disk: None,
        backlog,
        parked: VecDeque::new(),
        stream_limit: StreamLimit::default(),
        pace: Pace::new(now),
        window,
        progress: now,
        failing: None,
        live_last: true,
        retired: false,
        abandoned: false,
    };
    let mut open = true;
    loop {
        worker.retired |= stop.retire.is_cancelled();
        if worker.retired || worker.abandoned {
            worker.hurry_batcher();
        }
        let retiring = !open && worker.retired;
        if !retiring {
            worker.begin().await;
        }
        if !open && worker.is_done(retiring) {
            return worker.end().await;
        }
        let waiting = worker.queue.len() + worker.parked.len() + inbound.len();
        worker.client.metrics.path.parcels.set(waiting as f64);
        let due = worker.due();
        let event = tokio::select! {
            () = stop.abandon.cancelled(), if !worker.abandoned => Event::Abandon,
            () = stop.retire.cancelled(), if !worker.retired => Event::Retire,
            sealed = inbound.recv(), if open && worker.has_room() => Event::Inbound(sealed),
            (index, answer) = turns::answer(&mut worker.sending) => Event::Answer(index, answer),
            () = wait(due) => Event::Due,
        };
        match event {
            Event::Inbound(None) => open = false,
            Event::Inbound(Some(sealed)) => {
                let mut secure = worker.take(sealed);
                // What is there already goes to disk together.
                while worker.has_room()
                    && let Ok(sealed) = inbound.try_recv()
                {
                    secure |= worker.take(sealed);
                }
                if secure {
                    worker.unpark();
                }
                if secure || worker.abandoned || worker.must_follow_spool() {
                    worker.spill().await;
                }
            }
            Event::Answer(index, answer) => worker.judge(index, answer).await,
            Event::Due => worker.catch_up().await,
            Event::Retire => worker.retired = true,
            Event::Abandon => {
                worker.abandoned = true;
                worker.spill().await;
            }
        }
    }
}

async fn wait(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

impl Worker {
    /// Takes a parcel in. True where what there is must not wait in memory.
    fn take(&mut self, sealed: Sealed) -> bool {
        match sealed {
            Sealed::Parcel(parcel) => {
                // What was sealed begins with its length.
                let encoded = snap::raw::decompress_len(&parcel.body).unwrap_or(0);
                self.client.metrics.path.sealed(encoded, parcel.body.len());
                self.queue.push_back(parcel);
                false
            }
            Sealed::Secure => true,
        }
    }

    /// True where another parcel may wait in memory. The only client's parcels wait at their sources instead: Loki's pace
    /// is theirs, until it stops altogether.
    fn has_room(&self) -> bool {
        let most = MOST_WAITING.max(self.client.settings.batch.concurrency);
        self.abandoned || self.retired || self.is_one_of_many() || self.queue.len() < most
    }

    /// When something that waits has waited for long enough.
    fn due(&self) -> Option<Instant> {
        let parked = self.parked.front().map(|(due, _)| *due);
        let again = self.keep.again().filter(|_| self.has_live() || !self.keep.is_empty());
        [parked, self.spill_due(), again].into_iter().flatten().min()
    }

    /// Does what is due.
    async fn catch_up(&mut self) {
        let now = Instant::now();
        let due = self.parked.iter().take_while(|(due, _)| *due <= now).count();
        for (_, mut parcel) in self.parked.drain(..due).rev() {
            // It has waited on purpose, and is tried before it goes to disk.
            parcel.sealed = now;
            self.queue.push_front(parcel);
        }
        if self.spill_due().is_some_and(|due| due <= now) {
            self.spill().await;
        } else if self.keep.again().is_some_and(|again| again <= now) {
            // Reading failed, and is tried again with the next parcel.
            self.keep.try_again();
        }
    }

    /// Lets the batcher seal all it has, and end.
    fn hurry_batcher(&mut self) {
        let begun = self.sending.iter_mut().flat_map(|sending| &mut sending.pieces);
        let parked = self.parked.iter_mut().map(|(_, parcel)| parcel);
        let all = begun.map(|piece| &mut piece.parcel).chain(parked).chain(&mut self.queue);
        all.for_each(|parcel| drop(parcel.take_token()));
    }

    /// True when nothing is left to do but what others can. A request under way is waited for: Loki may have it already.
    fn is_done(&self, retiring: bool) -> bool {
        let under_way = self.sending.iter().any(Sending::is_under_way);
        let settled = !self.has_live() && self.parked.is_empty();
        self.abandoned || (!under_way && (retiring || settled))
    }

    /// Hands on what is left, in order.
    async fn end(self) -> Leftover {
        self.client.metrics.path.parcels.set(0.0);
        let live = self.sending.into_iter().filter(|sending| sending.origin == Origin::Live);
        let pieces = live.flat_map(|sending| sending.pieces).map(|piece| piece.parcel);
        let parked = self.parked.into_iter().map(|(_, parcel)| parcel);
        let parcels: Vec<Parcel> = pieces.chain(parked).chain(self.queue).collect();
        self.around.troubles.clear(&self.client.settings.name);
        Leftover { parcels, spool: self.keep.close().await }
    }
}
