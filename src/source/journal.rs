//! The systemd journal, read from its files: nothing of systemd needs to be there.
//! In: the directories of a journal.  Out: chunks into the intake.  Owns: the reader and its watches.

mod batch;
mod compression;
mod file;
mod format;
#[cfg(any(fuzzing, test))]
mod fuzzing;
mod matches;
mod order;
mod pages;
mod places;
mod reader;
mod watch;

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::clock;
use crate::custody::{Claim, Cursor, Ledger, Track};
use crate::metrics::{Own, Series};
use crate::pipeline::relabel::{Reads, Rule};
use crate::pipeline::{Intake, IntakeClosed};
use crate::record::{Chunk, Labels};
use crate::source::journal::batch::{Batch, Wants};
use crate::source::journal::places::Places;
use crate::source::journal::reader::{Reader, Start};
use crate::source::journal::watch::Watch;

#[cfg(any(fuzzing, test))]
pub(crate) use fuzzing::fuzz;
pub(crate) use matches::Matches;

/// The kind of source, as metrics and the log call it.
pub(crate) const KIND: &str = "journal";

/// How often the journal is looked at when nobody tells of changes.
const POLL: Duration = Duration::from_secs(1);

/// Between two attempts to get hold of a position that another reader has.
const CLAIM_PAUSE: Duration = Duration::from_millis(50);

/// The `journal` block.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) json: bool,
    pub(crate) max_age: Duration,
    /// Set on every line, over the labels it comes with.
    pub(crate) labels: Labels,
    /// Of the journal; the system's without.
    pub(crate) path: Option<PathBuf>,
    pub(crate) matches: Matches,
}

/// The journal of one job.
pub(crate) struct Journal {
    pub(crate) job: String,
    pub(crate) settings: Settings,
    pub(crate) rules: Arc<Vec<Rule>>,
    pub(crate) intake: Intake,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) own: Arc<Own>,
    pub(crate) stop: CancellationToken,
}

/// Takes entries in.
struct Worker {
    labels: Labels,
    intake: Intake,
    own: Arc<Own>,
    read: Arc<Series>,
    no_message: Arc<Series>,
    empty_labels: Arc<Series>,
    chunk: Chunk,
    track: Arc<Track>,
}

impl Journal {
    /// Runs until it is told to stop.
    pub(crate) async fn run(self) {
        let stop = self.stop.clone();
        let Some(claim) = stop.run_until_cancelled(self.claim()).await else { return };
        let Journal { job, settings, rules, intake, own, .. } = self;
        let start = start(&job, claim.track(), settings.max_age);
        let (json, matches, reads) = (settings.json, settings.matches, Reads::of(&rules));
        let places = settings.path.map_or_else(Places::of_the_system, Places::at);
        let reader = Reader::new(job, places, start, Wants { json, matches, reads }, own.clone());
        let dropped = |reason| own.lines_dropped.with("reason", reason);
        let worker = Worker {
            labels: settings.labels,
            intake,
            read: own.lines_read.with("source", KIND),
            no_message: dropped("no_message"),
            empty_labels: dropped("empty_labels"),
            own,
            chunk: Chunk::default(),
            track: claim.track().clone(),
        };
        // Nobody takes lines any more: the agent is stopping, and the position stays where it is.
        let _: Result<(), IntakeClosed> = worker.run(reader, &stop).await;
    }

    /// Waits until the reader before has handed on its last chunk.
    async fn claim(&self) -> Claim {
        loop {
            match self.ledger.claim(&Ledger::journal_key(&self.job), &self.job) {
                Some(claim) => return claim,
                None => sleep(CLAIM_PAUSE).await,
            }
        }
    }
}

impl Worker {
    async fn run(mut self, mut reader: Reader, stop: &CancellationToken) -> Result<(), IntakeClosed> {
        let mut watch = Watch::new();
        let reporter = self.intake.target().reporter();
        loop {
            // Reading a disk takes as long as it takes.
            let reading = spawn_blocking(move || {
                let batch = reader.read();
                (reader, batch)
            });
            let batch = match self.intake.meanwhile(pin!(stop.run_until_cancelled(reading))).await {
                Some(Ok((same, batch))) => {
                    reader = same;
                    batch
                }
                Some(Err(error)) => {
                    error!(%error, "the reader of the journal has ended");
                    return Ok(());
                }
                None => break,
            };
            match reader.trouble() {
                Some(trouble) => reporter.fails(trouble),
                None => reporter.works(),
            }
            self.take(&batch).await?;
            if stop.is_cancelled() {
                break;
            }
            if batch.last.is_none() {
                watch.follow(reader.directories());
                let change = pin!(async {
                    tokio::select! {
                        () = watch.changed() => {}
                        () = sleep(POLL) => {}
                    }
                });
                if self.intake.meanwhile(pin!(stop.run_until_cancelled(change))).await.is_none() {
                    break;
                }
            }
        }
        self.intake.finish().await
    }

    async fn take(&mut self, batch: &Batch) -> Result<(), IntakeClosed> {
        let Some(last) = batch.last else { return Ok(()) };
        self.chunk.clear();
        for entry in batch.iter() {
            let Some(line) = entry.line() else {
                self.pass_over(&self.no_message);
                continue;
            };
            let origin = self.intake.origin(entry.labels().chain(self.labels.iter()));
            if self.intake.is_unlabelled(origin) {
                self.pass_over(&self.empty_labels);
                continue;
            }
            self.own.lines_truncated.add(f64::from(u8::from(entry.is_cut())));
            self.chunk.push(line, entry.time(), origin);
        }
        self.intake.accept(&self.chunk, Cursor::Journal { entry: last }, &self.track).await
    }

    fn pass_over(&self, reason: &Series) {
        self.read.add(1.0);
        reason.add(1.0);
    }
}

/// After the entry read last, unless that was too long ago.
fn start(job: &str, track: &Track, max_age: Duration) -> Start {
    let oldest = u64::try_from(clock::now().minus(max_age).0 / 1000).unwrap_or(0);
    match track.read_position() {
        Some(Cursor::Journal { entry }) if entry.realtime >= oldest => Start::After(entry),
        Some(Cursor::Journal { entry }) => {
            let seconds = (oldest - entry.realtime) / 1_000_000;
            info!(job, "the entry read last is older than max_age, passing over {seconds} s of the journal");
            Start::Since(oldest)
        }
        _ => Start::Since(oldest),
    }
}
