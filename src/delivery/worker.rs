//! Gets one client's parcels to its Loki, in order, by way of the spool while Loki does not take them.
//! In: parcels, answers.  Out: settled tickets, metrics.  Owns: the parcels in memory (few, or as many as the byte budget
//! lets be), the spool, the push under way.
//!
//! Lines wait in memory first. What waited there for too long, or must not wait there because it cannot be read again, is
//! put on disk and settled. While the spool holds anything, new parcels go behind it, so that order is kept and nothing
//! gets too far behind for Loki; where all of it is recent, new ones take turns with old ones instead.

mod outcome;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::batch::{Parcel, Sealed};
use crate::clock::{self, Instant};
use crate::custody::Spool;
use crate::delivery::attempt::{Origin, Sending};
use crate::delivery::client::{Answer, Client};
use crate::delivery::dead_letter::DeadLetters;
use crate::delivery::keep::Keep;
use crate::delivery::pace::Pace;
use crate::delivery::stream_limit::StreamLimit;
use crate::flow::Troubles;
use crate::metrics::Tally;

/// The only client's parcels wait in memory while Loki answers nothing for so long. One that answers slowly makes the
/// sources wait: they are as good a buffer as the spool, and fair to each other.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where there are several clients, a slow one must not take the memory of the others.
const PATIENCE_OF_MANY: Duration = Duration::from_secs(1);

/// Loki refuses what is an hour behind the newest line of its stream. What is older than this in the spool is not
/// overtaken.
const OVERTAKEN_UP_TO: Duration = Duration::from_secs(30 * 60);

/// Parcels of the only client that wait for the one that is being sent.
const MOST_WAITING: usize = 2;

/// Bytes that are made durable together at most.
const GROUP: u64 = 4 * 1024 * 1024;

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
    sending: Option<Sending>,
    /// Single streams above Loki's limit, and when they are tried again.
    parked: VecDeque<(Instant, Parcel)>,
    stream_limit: StreamLimit,
    pace: Pace,
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
    Answer(Answer),
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
    let now = Instant::now();
    let mut worker = Worker {
        client,
        around,
        keep,
        queue: parcels.into(),
        sending: None,
        parked: VecDeque::new(),
        stream_limit: StreamLimit::default(),
        pace: Pace::new(now),
        progress: now,
        failing: None,
        live_last: true,
        retired: false,
        abandoned: false,
    };
    let mut open = true;
    loop {
        worker.retired |= stop.retire.is_cancelled();
        let retiring = !open && worker.retired;
        if !retiring {
            worker.begin().await;
        }
        if !open && worker.is_done(retiring) {
            return worker.end().await;
        }
        let due = worker.due();
        let event = tokio::select! {
            () = stop.abandon.cancelled(), if !worker.abandoned => Event::Abandon,
            () = stop.retire.cancelled(), if !worker.retired => Event::Retire,
            sealed = inbound.recv(), if open && worker.has_room() => Event::Inbound(sealed),
            answer = answer(&mut worker.sending) => Event::Answer(answer),
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
            Event::Answer(answer) => worker.judge(answer).await,
            Event::Due => worker.catch_up().await,
            Event::Retire => worker.retired = true,
            Event::Abandon => {
                worker.abandoned = true;
                worker.spill().await;
            }
        }
    }
}

/// Cancel-safe.
async fn answer(sending: &mut Option<Sending>) -> Answer {
    match sending {
        Some(sending) => sending.answer().await,
        None => std::future::pending().await,
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
                self.queue.push_back(parcel);
                false
            }
            Sealed::Secure => true,
        }
    }

    /// Sends the next parcel, if none is under way.
    async fn begin(&mut self) {
        if self.sending.is_some() || self.abandoned {
            return;
        }
        let (live, overtakes) = (!self.queue.is_empty(), self.may_overtake().await);
        let turn_of_live = live && (self.keep.is_empty() || (overtakes && !self.live_last));
        let next = if turn_of_live {
            self.queue.pop_front().map(|parcel| (Origin::Live, parcel))
        } else {
            let record = self.keep.head().await.cloned();
            record.map(|record| {
                let entries = Tally::elsewhere(record.entries);
                (Origin::Spool, Parcel::from_record(record, entries))
            })
        };
        if let Some((origin, parcel)) = next {
            self.live_last = origin == Origin::Live;
            let mut sending = Sending::new(origin, parcel, &self.client);
            sending.push(&self.client, self.pace.delay(Instant::now()));
            self.sending = Some(sending);
        }
    }

    /// True where the oldest entry on disk is recent enough to be overtaken.
    async fn may_overtake(&mut self) -> bool {
        let oldest = self.keep.head().await.map(|record| record.oldest);
        oldest.is_some_and(|oldest| oldest > clock::now().minus(OVERTAKEN_UP_TO))
    }

    /// True where another parcel may wait in memory. The only client's parcels wait at their sources instead: Loki's pace
    /// is theirs, until it stops altogether.
    fn has_room(&self) -> bool {
        self.abandoned || self.retired || self.is_one_of_many() || self.queue.len() < MOST_WAITING
    }

    fn is_one_of_many(&self) -> bool {
        self.around.clients.load(Ordering::Relaxed) > 1
    }

    /// True where new parcels have to go behind what is on disk: they must not overtake it, or nothing gets through at all.
    /// The head is known: `begin` has looked at it.
    fn must_follow_spool(&self) -> bool {
        let recent =
            self.keep.known_head().is_some_and(|head| head.oldest > clock::now().minus(OVERTAKEN_UP_TO));
        let stuck = self.progress.elapsed() >= PATIENCE;
        !self.keep.is_empty() && (!recent || stuck) && self.keep.again().is_none()
    }

    /// When something that waits has waited for long enough.
    fn due(&self) -> Option<Instant> {
        let parked = self.parked.front().map(|(due, _)| *due);
        let again = self.keep.again().filter(|_| self.has_live() || !self.keep.is_empty());
        [parked, self.spill_due(), again].into_iter().flatten().min()
    }

    /// When what waits in memory goes to disk.
    fn spill_due(&self) -> Option<Instant> {
        if !self.keep.is_there() {
            return None;
        }
        let sending = self.sending.as_ref().filter(|sending| sending.origin == Origin::Live);
        let under_way = sending.and_then(|sending| sending.pieces.front()).map(|piece| &piece.parcel);
        let sealed = under_way.or(self.queue.front())?.sealed;
        let due = match self.is_one_of_many() {
            false => sealed.max(self.progress) + PATIENCE,
            true => sealed + PATIENCE_OF_MANY,
        };
        Some(self.keep.again().map_or(due, |again| again.max(due)))
    }

    fn has_live(&self) -> bool {
        !self.queue.is_empty() || self.sending.as_ref().is_some_and(|sending| sending.origin == Origin::Live)
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

    /// Streams above Loki's limit must not wait in memory alone.
    fn unpark(&mut self) {
        self.parked.drain(..).rev().for_each(|(_, parcel)| self.queue.push_front(parcel));
    }

    /// Puts on disk what waits in memory, oldest first. Where that is not possible it stays where it is.
    async fn spill(&mut self) {
        let was_empty = self.keep.is_empty();
        if self.abandoned {
            self.unpark();
        }
        if let Some(mut sending) = self.sending.take_if(|sending| sending.origin == Origin::Live) {
            let records = sending.pieces.iter().map(|piece| piece.parcel.record()).collect();
            if !self.keep.append(records).await {
                self.sending = Some(sending);
                return;
            }
            sending.pieces.iter_mut().for_each(|piece| self.client.spooled(&mut piece.parcel));
            // Each piece is a record now, and sent in its turn. The one under way goes on, if its turn has come already: the
            // spool must know whom it gave that record to, or another would be acknowledged in its place.
            sending.pieces.truncate(1);
            if was_empty
                && !self.abandoned
                && let (Some(piece), Some(head)) = (sending.pieces.front_mut(), self.keep.head().await)
                && piece.parcel.body == head.body
            {
                piece.ends_record = true;
                sending.origin = Origin::Spool;
                self.sending = Some(sending);
            }
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

    /// True when nothing is left to do but what others can. A request under way is waited for: Loki may have it already.
    fn is_done(&self, retiring: bool) -> bool {
        let under_way = self.sending.as_ref().is_some_and(Sending::is_under_way);
        let settled = !self.has_live() && self.parked.is_empty();
        self.abandoned || (!under_way && (retiring || settled))
    }

    /// Hands on what is left, in order.
    async fn end(mut self) -> Leftover {
        let sending = self.sending.take().filter(|sending| sending.origin == Origin::Live);
        let pieces = sending.into_iter().flat_map(|sending| sending.pieces).map(|piece| piece.parcel);
        let parked = self.parked.into_iter().map(|(_, parcel)| parcel);
        let parcels: Vec<Parcel> = pieces.chain(parked).chain(self.queue).collect();
        self.around.troubles.clear(&self.client.settings.name);
        Leftover { parcels, spool: self.keep.close().await }
    }
}
