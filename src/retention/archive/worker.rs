//! Gets parcels into the log, and the log into objects.
//! In: parcels.  Out: settled tickets, objects.  Owns: the log, the parcels that wait for it (few), the sealing under way.
//!
//! Whatever fails is tried again; until then parcels wait here and, soon, lines at their sources.

use std::future::pending;
use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc as std_mpsc};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::batch::{Parcel, Sealed as Inbound};
use crate::clock::{self, Instant};
use crate::custody::{AppendError, Outcome, Spool};
use crate::flow::Troubles;
use crate::metrics::ArchiveMetrics;
use crate::record::UnixNanos;
use crate::retention::archive::seal::{SealError, Sealed, seal};
use crate::retention::archive::store::{Archive, Store};
use crate::retention::background;
use crate::retention::lifecycle::Runner;
use crate::retention::tiers::Settings;

/// Bytes that are made durable together at most.
const GROUP: usize = 4 * 1024 * 1024;

/// What failed is tried again after so long.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// Who has the trouble, on `/ready`.
const LOG: &str = "log of the archive";
const OBJECTS: &str = "archive";

struct Worker {
    /// Away while a thread writes to it.
    log: Option<Spool>,
    store: Arc<Store>,
    settings: Arc<Settings>,
    metrics: ArchiveMetrics,
    troubles: Troubles,
    /// Not in the log yet.
    waiting: Vec<Parcel>,
    /// When the log is tried again.
    again: Option<Instant>,
    /// Bytes of lines that went into the log since the last sealing began.
    unsealed: u64,
    /// When the log is sealed at the latest; `None` while it is empty.
    due: Option<Instant>,
    sealer: Sealer,
    sealing: Option<Sealing>,
    /// The log does not know durably yet what of it is sealed: sealing on would make other objects of the same entries after a
    /// crash.
    unsaved: bool,
    /// The last attempt to seal has failed.
    failing: bool,
}

struct Sealing {
    since: Instant,
    result: oneshot::Receiver<Result<Sealed, SealError>>,
}

/// The thread that seals. It is always the same one: the memory it has given back is its own again, where every other thread
/// would take some anew.
struct Sealer(std_mpsc::SyncSender<Request>);

/// Numbers of the log, and where to say what came of them.
type Request = (Range<u64>, oneshot::Sender<Result<Sealed, SealError>>);

impl Sealer {
    fn start(store: Arc<Store>, settings: Arc<Settings>) -> Sealer {
        let (sender, requests) = std_mpsc::sync_channel::<Request>(1);
        let work = move || {
            for (span, result) in requests {
                // Nobody waits for it any more when the agent has no more time.
                drop(result.send(seal(&store, &settings.rules, span, settings.seal_size)));
            }
        };
        background::start("archive", work);
        Sealer(sender)
    }

    fn seal(&self, span: Range<u64>) -> oneshot::Receiver<Result<Sealed, SealError>> {
        let (result, receiver) = oneshot::channel();
        // One is sealed at a time, so there is room; without a thread the result is that nobody answers.
        drop(self.0.try_send((span, result)));
        receiver
    }
}

enum Event {
    Inbound(Option<Inbound>),
    Sealed(Result<Sealed, SealError>),
    Due,
    Abandon,
}

/// Runs until `inbound` ends and all is sealed, or until there is no more time. Not cancel-safe: what is not in the log then is
/// lost to this process and stays before its position.
pub(crate) async fn run(
    archive: Archive,
    mut inbound: mpsc::Receiver<Inbound>,
    (metrics, troubles): (ArchiveMetrics, Troubles),
    abandon: CancellationToken,
) {
    let Archive { settings, log, store, shelves, oldest } = archive.counted(&metrics);
    let sealer = Sealer::start(store.clone(), settings.clone());
    let _lifecycle = Runner::start(store.clone(), shelves, &settings, (metrics.clone(), troubles.clone()));
    let now = Instant::now();
    let mut worker = Worker {
        due: (!log.is_empty()).then_some(now),
        log: Some(log),
        store,
        settings,
        metrics,
        troubles,
        waiting: Vec::new(),
        again: None,
        unsealed: 0,
        sealer,
        sealing: None,
        unsaved: false,
        failing: false,
    };
    worker.metrics.recovered.add(worker.unsealed_entries() as f64);
    if let Some(oldest) = oldest {
        worker.metrics.oldest_unsealed.set(seconds(oldest));
    }
    worker.count();
    let (mut open, mut last) = (true, false);
    loop {
        let now = Instant::now();
        let abandoned = abandon.is_cancelled();
        if !worker.waiting.is_empty() && (abandoned || worker.again.is_none_or(|again| again <= now)) {
            worker.append().await;
        }
        if !open && worker.sealing.is_none() && worker.waiting.is_empty() {
            // The end: what is left is sealed at once, once. If that is not all, the rest is on disk until the next start.
            if worker.unsealed_entries() == 0 || worker.failing || last {
                break;
            }
            (worker.due, last) = (Some(now), true);
        }
        if abandoned && !open {
            break;
        }
        worker.begin(now).await;
        let wake = worker.wake();
        let event = tokio::select! {
            () = abandon.cancelled(), if !abandoned => Event::Abandon,
            received = inbound.recv(), if open && worker.has_room() => Event::Inbound(received),
            sealed = done(&mut worker.sealing) => Event::Sealed(sealed),
            () = wait(wake) => Event::Due,
        };
        match event {
            Event::Inbound(None) => open = false,
            Event::Inbound(Some(received)) => {
                worker.take(received);
                while worker.has_room()
                    && let Ok(received) = inbound.try_recv()
                {
                    worker.take(received);
                }
            }
            Event::Sealed(sealed) => worker.sealed(sealed).await,
            Event::Due | Event::Abandon => {}
        }
    }
    for who in [LOG, OBJECTS] {
        worker.troubles.clear(who);
    }
    info!(unsealed = worker.unsealed_entries(), "the archive is closed");
}

/// Cancel-safe.
async fn done(sealing: &mut Option<Sealing>) -> Result<Sealed, SealError> {
    match sealing {
        // In release builds a panic has ended the process before.
        Some(sealing) => {
            (&mut sealing.result).await.unwrap_or_else(|error| Err(SealError::Write(io::Error::other(error))))
        }
        None => pending().await,
    }
}

async fn wait(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}

fn seconds(time: UnixNanos) -> f64 {
    time.0 as f64 / 1e9
}

impl Worker {
    fn take(&mut self, received: Inbound) {
        // All goes to disk at once, also what cannot be read again.
        if let Inbound::Parcel(parcel) = received {
            self.waiting.push(parcel);
        }
    }

    fn has_room(&self) -> bool {
        self.waiting.iter().map(|parcel| parcel.body.len()).sum::<usize>() < GROUP
    }

    fn unsealed_entries(&self) -> u64 {
        self.log.as_ref().map_or(0, Spool::entries)
    }

    /// When there is something to do that no event tells of.
    fn wake(&self) -> Option<Instant> {
        let again = self.again.filter(|_| !self.waiting.is_empty());
        let due = self.due.filter(|_| self.sealing.is_none());
        [again, due].into_iter().flatten().min()
    }

    async fn append(&mut self) {
        let records: Vec<_> = self.waiting.iter().map(Parcel::record).collect();
        let appended = self.with_log(move |log| log.append(&records, clock::now())).await;
        match appended {
            Some(Ok(())) => {
                self.again = None;
                self.well(LOG);
                if self.due.is_none() {
                    self.due = Some(Instant::now() + self.settings.seal_age);
                    self.metrics.oldest_unsealed.set(seconds(clock::now()));
                }
                for parcel in std::mem::take(&mut self.waiting) {
                    self.unsealed += parcel.content.size;
                    parcel.settle(Outcome::Spooled);
                }
            }
            Some(Err(error)) => {
                self.again = Some(Instant::now() + TRY_AGAIN);
                let (reason, problem) = match error {
                    AppendError::Full => ("log_full", "it is full".to_owned()),
                    AppendError::Disk(error) => ("log", format!("it cannot be written: {error}")),
                };
                self.fail(LOG, reason, &format!("{problem}; lines wait in memory and at their sources"));
            }
            None => {}
        }
        self.count();
    }

    /// Begins to seal where it is time.
    async fn begin(&mut self, now: Instant) {
        let large = self.unsealed >= self.settings.seal_size.0 && self.due.is_some();
        let due = self.due.is_some_and(|due| due <= now);
        if self.sealing.is_some() || !(due || large && !self.unsaved) {
            return;
        }
        if self.unsaved && !self.save().await {
            return;
        }
        let Some(span) = self.log.as_ref().map(Spool::span).filter(|span| !span.is_empty()) else {
            (self.due, self.unsealed) = (None, 0);
            return self.metrics.oldest_unsealed.set(0.0);
        };
        self.sealing = Some(Sealing { since: now, result: self.sealer.seal(span) });
        self.unsealed = 0;
    }

    async fn sealed(&mut self, sealed: Result<Sealed, SealError>) {
        let Some(Sealing { since, .. }) = self.sealing.take() else { return };
        let sealed = match sealed {
            Ok(sealed) => sealed,
            Err(error) => {
                (self.due, self.failing) = (Some(Instant::now() + TRY_AGAIN), true);
                return self.fail(OBJECTS, "seal", &format!("lines wait in its log: {error}"));
            }
        };
        let Sealed { end, damaged, .. } = sealed;
        self.with_log(move |log| log.pass(end, damaged)).await;
        for (reason, entries) in
            [("duplicate", sealed.duplicates), ("rule", sealed.by_rule), ("damaged", sealed.damaged)]
        {
            self.metrics.dropped(reason, entries);
        }
        if damaged > 0 {
            warn!(entries = damaged, "entries in the log of the archive cannot be read any more");
        }
        self.metrics.entries.add(sealed.entries as f64);
        self.metrics.objects.add(sealed.objects as f64);
        self.metrics.bytes.add(sealed.bytes as f64);
        self.metrics.sealed(since.elapsed().as_secs_f64());
        debug!(entries = sealed.entries, objects = sealed.objects, bytes = sealed.bytes, "sealed");
        self.due = match self.unsealed_entries() {
            0 => None,
            _ if sealed.full => Some(Instant::now()),
            // They came while the others were sealed.
            _ => Some(since + self.settings.seal_age),
        };
        let oldest = self.due.map_or(0.0, |_| seconds(clock::now().minus(since.elapsed())));
        self.metrics.oldest_unsealed.set(oldest);
        if self.save().await {
            self.well(OBJECTS);
        }
        self.count();
    }

    /// True once the log knows durably what of it is sealed.
    async fn save(&mut self) -> bool {
        let saved = self.with_log(Spool::sync).await;
        self.unsaved = matches!(saved, Some(Err(_)));
        if let (Some(Ok(())), Some(log)) = (&saved, &self.log) {
            self.store.sealed.store(log.span().start, Ordering::Relaxed);
        }
        self.failing = self.unsaved;
        if let Some(Err(error)) = saved {
            self.due = Some(Instant::now() + TRY_AGAIN);
            self.fail(OBJECTS, "seal", &format!("its log cannot be cut: {error}"));
        }
        !self.unsaved
    }

    /// Disks may hang, and the runtime must not.
    async fn with_log<R: Send + 'static>(
        &mut self,
        what: impl FnOnce(&mut Spool) -> R + Send + 'static,
    ) -> Option<R> {
        let mut log = self.log.take()?;
        // A panic ends the process in release builds; otherwise the log is gone until the next start.
        let (log, result) = spawn_blocking(move || {
            let result = what(&mut log);
            (log, result)
        })
        .await
        .ok()?;
        self.log = Some(log);
        Some(result)
    }

    fn count(&self) {
        let Some(log) = &self.log else { return };
        self.metrics.log_entries.set(log.entries() as f64);
        self.metrics.log_bytes.set(log.size().0 as f64);
    }

    fn well(&self, who: &str) {
        if self.troubles.clear(who) {
            info!(part = who, "all is well again");
        }
    }

    fn fail(&self, who: &str, reason: &str, what: &str) {
        self.metrics.failed(reason);
        if self.troubles.set(who, what) {
            warn!(part = who, error = what, "trouble with the archive, trying again");
        }
    }
}
