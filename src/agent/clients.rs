//! The clients that run, each a batcher and a sender, replaced while lines flow.
//! In: settings of the clients that are wanted.  Out: an outlet that leads to them.  Owns: their tasks.

use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::agent::reload::Changed;
use crate::agent::spools;
use crate::custody::{Spool, SpoolError, SpoolSettings};
use crate::delivery::{Around, Client, ClientError, Leftover};
use crate::metrics::{ClientMetrics, Own, Queues};
use crate::pipeline::{Inlet, Outlet};
use crate::record::Labels;
use crate::retention::Archive;
use crate::{batch, delivery, http, retention};

/// Parcels that wait for their sender beside the one it is sending.
const PARCEL_QUEUE: usize = 1;

/// The same for the archive: what waits there is made durable together.
const ARCHIVE_QUEUE: usize = 4;

/// How long entries for the archive may wait to be made durable together.
const ARCHIVE_WAIT: Duration = Duration::from_millis(500);

/// How long lines may wait to be printed where there is no client.
const PRINT_WAIT: Duration = Duration::from_millis(200);

/// How long a client that was taken out of the configuration may go on with what it has.
const LAST_PUSHES: Duration = Duration::from_secs(5);

/// All clients, and the archive. Without any, lines are printed.
pub(super) struct Clients {
    /// Behind the inlets of the clients.
    archive: Option<Inlet>,
    /// In the order of the outlet's inlets.
    running: Vec<Running>,
    /// Those that were taken out, and may still be using their spools.
    leaving: Vec<Leaving>,
    batchers: JoinSet<()>,
    senders: JoinSet<Ended>,
    outlet: Outlet,
    own: Arc<Own>,
    /// The agent stops.
    stop: CancellationToken,
    /// Tells senders that time is up.
    abandon: CancellationToken,
    around: Around,
    /// The positions file, beside which spools are. `None` where nothing is kept on disk.
    state: Option<PathBuf>,
}

/// A client cannot be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnusableClient {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("client {client}: {}\n  = help: set `spool: {{directory: …}}` for it, or `spool: {{enabled: false}}`", http::chain(.error))]
    Spool { client: String, error: SpoolError },
}

struct Running {
    settings: delivery::Settings,
    /// Bound of its batcher's queue; another one beside it makes a longer queue, and so another batcher.
    queue: usize,
    client: Arc<Client>,
    metrics: ClientMetrics,
    retire: CancellationToken,
    /// Comes when the sender has ended.
    leftover: oneshot::Receiver<Leftover>,
}

/// A client on its way out.
#[derive(Clone)]
struct Leaving {
    spool: Option<SpoolSettings>,
    /// Its spool is wanted.
    hurry: CancellationToken,
    gone: CancellationToken,
}

/// Whether one may take the place of another.
type Fits = fn(&Running, &delivery::Settings, usize) -> bool;

/// Why a sender ended.
enum Ended {
    /// Nothing comes for it any more.
    Idle,
    /// Nobody looks at what is printed.
    Unread,
}

impl Clients {
    pub(super) fn new(
        outlet: Outlet,
        own: Arc<Own>,
        stop: CancellationToken,
        around: Around,
        state: Option<PathBuf>,
    ) -> Clients {
        Clients {
            archive: None,
            running: Vec::new(),
            leaving: Vec::new(),
            batchers: JoinSet::new(),
            senders: JoinSet::new(),
            outlet,
            own,
            stop,
            abandon: CancellationToken::new(),
            around,
            state,
        }
    }

    /// Archives, whatever clients there are.
    pub(super) fn archive(&mut self, archive: Archive) {
        let (parcels, outlet) = mpsc::channel(ARCHIVE_QUEUE);
        let metrics = self.own.archive.clone();
        let around = (metrics.clone(), self.around.troubles.clone());
        let work = retention::run(archive, outlet, around, self.abandon.clone());
        self.senders.spawn(async {
            work.await;
            Ended::Idle
        });
        // Its queue is long, so that it does not hold up a client that may come.
        let queues = self.own.path.queues("archive");
        let (batches, length) = (plain_batches(ARCHIVE_WAIT), batch::queue_length(2));
        let queue = self.start_batcher(batches, length, parcels, queues.clone());
        let (received, in_flight) = (metrics.received, metrics.in_flight);
        self.archive = Some(Inlet { queue, received, in_flight, queues });
        self.lead_to(Vec::new());
    }

    /// Leads to these clients and to the archive.
    fn lead_to(&self, mut inlets: Vec<Inlet>) {
        inlets.extend(self.archive.clone());
        self.outlet.lead_to(inlets);
    }

    /// Prints, in place of clients.
    pub(super) fn print(&mut self) {
        let (parcels, outlet) = mpsc::channel(PARCEL_QUEUE);
        let metrics = self.own.client("terminal");
        let print = delivery::print(outlet, metrics.clone());
        self.senders.spawn(async {
            print.await;
            Ended::Unread
        });
        let queue = self.start_batcher(
            plain_batches(PRINT_WAIT),
            batch::queue_length(1),
            parcels,
            metrics.path.queues.clone(),
        );
        self.lead_to(vec![inlet(queue, &metrics)]);
    }

    /// Leads to these clients from now on. One that stays as it was is not touched. What one that goes has not delivered is
    /// delivered, first and in order, by the one that takes its place.
    pub(super) fn change(&mut self, mut wanted: Vec<delivery::Settings>) -> Result<Changed, UnusableClient> {
        while self.batchers.try_join_next().is_some() {}
        self.leaving.retain(|leaving| !leaving.gone.is_cancelled());
        match &self.state {
            Some(positions) if self.running.is_empty() => spools::adopt(&wanted, positions),
            Some(_) => {}
            None => wanted.iter_mut().for_each(|client| client.spool = None),
        }
        let receivers = wanted.len() + usize::from(self.archive.is_some());
        let queue = batch::queue_length(receivers);
        let places = self.places(&wanted, queue);
        // What can fail comes before what changes.
        let mut made = Vec::new();
        for (settings, place) in wanted.iter().zip(&places) {
            let stays = place.is_some_and(|place| self.running[place].is(settings, queue));
            let metrics = self.own.client(&settings.name);
            let spool = match (place, self.with_spool_of(settings)) {
                // It comes from the one whose place is taken.
                (Some(_), _) => Place::Taken,
                (None, Some(leaving)) => Place::Left(leaving),
                (None, None) => spools::open(settings)
                    .map(|spool| Place::New(spool.map(Box::new)))
                    .map_err(|error| UnusableClient::Spool { client: settings.name.clone(), error })?,
            };
            let new = || Client::new(settings.clone(), metrics.clone()).map(Arc::new);
            made.push((metrics.clone(), if stays { None } else { Some((new()?, spool)) }));
        }
        self.around.clients.store(receivers, Ordering::Relaxed);
        let inlets = self.outlet.inlets();
        let mut before: Vec<Option<Running>> = self.running.drain(..).map(Some).collect();
        let mut next = Vec::new();
        let mut changed = Changed::default();
        for ((settings, place), (metrics, client)) in wanted.into_iter().zip(places).zip(made) {
            let predecessor = place.and_then(|place| Some((before[place].take()?, inlets[place].clone())));
            match (predecessor, client) {
                (Some((same, inlet)), None) => {
                    self.running.push(same);
                    next.push(inlet);
                }
                (predecessor, Some((client, spool))) => {
                    let predecessor = predecessor.map(|(running, _)| running);
                    let count =
                        if predecessor.is_some() { &mut changed.replaced } else { &mut changed.started };
                    *count += 1;
                    let start = Start { settings, queue, client, metrics, spool };
                    next.push(self.start(start, predecessor));
                }
                (None, None) => {}
            }
        }
        self.lead_to(next);
        for removed in before.into_iter().flatten() {
            changed.removed += 1;
            self.forsake(removed);
        }
        Ok(changed)
    }

    /// One that was taken out and is wanted again before it has let go of its spool.
    fn with_spool_of(&self, settings: &delivery::Settings) -> Option<Leaving> {
        let directory = &settings.spool.as_ref()?.directory;
        let same =
            |leaving: &&Leaving| leaving.spool.as_ref().is_some_and(|spool| spool.directory == *directory);
        self.leaving.iter().find(same).cloned()
    }

    /// Whose place each takes: its own, that of its namesake, or that of one that goes.
    fn places(&self, wanted: &[delivery::Settings], queue: usize) -> Vec<Option<usize>> {
        let fits: [Fits; 3] =
            [Running::is, |running, settings, _| running.settings.name == settings.name, |_, _, _| true];
        let mut places = vec![None; wanted.len()];
        for fits in fits {
            for index in 0..wanted.len() {
                let free = |place: &usize| !places.contains(&Some(*place));
                let mut found = (0..self.running.len()).filter(free);
                let found = found.find(|place| fits(&self.running[*place], &wanted[index], queue));
                places[index] = places[index].or(found);
            }
        }
        places
    }

    fn start(&mut self, start: Start, predecessor: Option<Running>) -> Inlet {
        let Start { settings, queue, client, metrics, spool } = start;
        let (parcels, outlet) = mpsc::channel(PARCEL_QUEUE);
        let (leave, leftover) = oneshot::channel();
        let retire = CancellationToken::new();
        let stop = delivery::Stop { retire: retire.clone(), abandon: self.abandon.clone() };
        let (sender, around) = (client.clone(), self.around.clone());
        if let Place::New(Some(spool)) = &spool {
            metrics.opened_spool(spool.entries());
        }
        let (heir, heir_metrics) = (settings.clone(), metrics.clone());
        self.senders.spawn(async move {
            let inherited = match (predecessor, spool) {
                (Some(predecessor), _) => {
                    predecessor.retire.cancel();
                    let left = predecessor.leftover.await.unwrap_or_default();
                    let from = (&predecessor.settings, &predecessor.metrics);
                    spools::inherit(left, from, (&heir, &heir_metrics), &around.troubles).await
                }
                (None, Place::Left(leaving)) => {
                    leaving.hurry.cancel();
                    leaving.gone.cancelled().await;
                    let without = delivery::Settings { spool: None, ..heir.clone() };
                    let (from, to) = ((&without, &heir_metrics), (&heir, &heir_metrics));
                    spools::inherit(Leftover::default(), from, to, &around.troubles).await
                }
                (None, Place::New(spool)) => {
                    Leftover { parcels: Vec::new(), spool: spool.map(|spool| *spool) }
                }
                (None, Place::Taken) => Leftover::default(),
            };
            // At the end of the agent there is no successor, and nothing left for it but what is abandoned.
            drop(leave.send(delivery::run(sender, around, inherited, outlet, stop).await));
            Ended::Idle
        });
        let inlet = self.start_batcher(settings.batch.clone(), queue, parcels, metrics.path.queues.clone());
        let inlet = self::inlet(inlet, &metrics);
        self.running.push(Running { settings, queue, client, metrics, retire, leftover });
        inlet
    }

    fn start_batcher(
        &mut self,
        settings: batch::Settings,
        queue: usize,
        parcels: mpsc::Sender<batch::Sealed>,
        queues: Queues,
    ) -> mpsc::Sender<batch::Inbound> {
        let (inlet, handovers) = mpsc::channel(queue);
        self.batchers.spawn(batch::run(settings, handovers, parcels, queues));
        inlet
    }

    /// Lets a client that nothing comes for any more deliver what it has, but not for long.
    fn forsake(&mut self, removed: Running) {
        let Running { settings, client, retire, mut leftover, .. } = removed;
        let (hurry, gone) = (self.stop.child_token(), CancellationToken::new());
        self.leaving.push(Leaving { spool: settings.spool, hurry: hurry.clone(), gone: gone.clone() });
        self.senders.spawn(async move {
            // Also where the task is given up.
            let _gone = gone.drop_guard();
            let left = tokio::select! {
                left = &mut leftover => left,
                _ = hurry.run_until_cancelled(sleep(LAST_PUSHES)) => {
                    retire.cancel();
                    leftover.await
                }
            };
            spools::forsake(&client, left.unwrap_or_default()).await;
            Ended::Idle
        });
    }

    /// Waits until nobody takes lines any more; with an error where that is a fault. Cancel-safe.
    pub(super) async fn ended(&mut self) -> Result<(), JoinError> {
        loop {
            match self.senders.join_next().await {
                Some(Ok(Ended::Idle)) => {}
                Some(Ok(Ended::Unread)) => return Ok(()),
                Some(Err(error)) => return Err(error),
                None => pending().await,
            }
        }
    }

    /// Entries acknowledged so far, over all clients.
    pub(super) fn sent(&self) -> u64 {
        self.running.iter().map(|running| running.metrics.sent_entries.value() as u64).sum()
    }

    /// Entries put on disk so far, over all clients.
    pub(super) fn spooled(&self) -> u64 {
        self.running.iter().map(|running| running.metrics.spooled_entries.value() as u64).sum()
    }

    /// Closes the outlet and waits until all that came through it is delivered.
    pub(super) async fn drain(&mut self) {
        self.archive = None;
        self.outlet.lead_to(Vec::new());
        while self.batchers.join_next().await.is_some() {}
        while self.senders.join_next().await.is_some() {}
    }

    /// Tells senders that time is up: what is not delivered goes to disk.
    pub(super) fn give_up(&self) {
        self.abandon.cancel();
    }

    /// Ends what hangs.
    pub(super) fn abandon(&mut self) {
        self.batchers.abort_all();
        self.senders.abort_all();
    }
}

/// Batches of whatever comes.
fn plain_batches(wait: Duration) -> batch::Settings {
    let (external_labels, size) = (Labels::default(), 1024 * 1024);
    batch::Settings { wait, size, external_labels, max_streams: None, concurrency: 1, tenant: None }
}

/// The way to a client.
pub(super) fn inlet(queue: mpsc::Sender<batch::Inbound>, metrics: &ClientMetrics) -> Inlet {
    let (received, in_flight) = (metrics.received_entries.clone(), metrics.in_flight_entries.clone());
    Inlet { queue, received, in_flight, queues: metrics.path.queues.clone() }
}

/// What a client is started with.
struct Start {
    settings: delivery::Settings,
    queue: usize,
    client: Arc<Client>,
    metrics: ClientMetrics,
    spool: Place,
}

/// Where a client's spool comes from.
enum Place {
    New(Option<Box<Spool>>),
    /// From the one whose place it takes.
    Taken,
    /// From one that was taken out before.
    Left(Leaving),
}

impl Running {
    fn is(&self, settings: &delivery::Settings, queue: usize) -> bool {
        self.settings == *settings && self.queue == queue
    }
}
