//! Replays an archive into a Loki: entries in order of time, by the way that every client's lines go.
//! In: a question, a client.  Out: pushes, counts.  Owns: the client's batcher and sender, how far it is.
//!
//! ```text
//! archive ─reader (a thread)─▶ chunks ─feed: pace, budget─▶ batcher ─▶ sender ─▶ Loki
//!                                └── tickets settle: the place moves, and is saved ◀──┘
//! ```
//!
//! An agent that runs meanwhile is left alone: there is no spool, and metrics and dead letters are the replay's own.

mod destination;
mod feed;
mod limits;
mod outlook;
mod state;
mod walk;

use std::collections::{BTreeMap, HashSet};
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::agent::clients::inlet;
use crate::agent::replay::feed::{Chunk, End, Reached};
use crate::agent::replay::state::State;
use crate::agent::signals::{Request, Signals};
use crate::clock::{self, Instant};
use crate::delivery::{Around, Client, ClientError, DeadLetters, Leftover, Stop};
use crate::flow::Troubles;
use crate::metrics::{ClientMetrics, Own, Registry};
use crate::{batch, delivery};

pub(crate) use destination::Destination;
pub(crate) use limits::Limits;
#[cfg(any(fuzzing, test))]
pub(crate) use limits::fuzz as fuzz_limits;
pub(crate) use outlook::{MOST_STREAMS, Outlook};
pub(crate) use state::StateError;
#[cfg(any(fuzzing, test))]
pub(crate) use state::fuzz as fuzz_state;
pub(crate) use walk::{Caps, Place, Question};

/// How often it is saved and told how far it is.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// From a signal to the exit, a push under way is waited for.
const STOP_WITHIN: Duration = Duration::from_secs(3);

/// A replay cannot begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    #[error("there is no client to replay to\n  = help: configure one, or name one with -client.url")]
    NoClients,
    #[error("there is no client `{0}`{1}")]
    NoClient(String, String),
    #[error("the configuration has several clients\n  = help: name one with -client: {0}")]
    WhichClient(String),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{0}")]
    Archive(String),
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
}

/// A replay that is ready to begin.
pub(crate) struct Replay {
    question: Question,
    destination: Destination,
    state: State,
    /// Where it begins.
    begin: Place,
    /// Entries that earlier runs had refused.
    refused_before: u64,
    /// Files that cannot be read, as it was told before.
    known: HashSet<String>,
}

/// What became of it so far.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// Entries that earlier runs got through, and those of them that were refused.
    pub(crate) before: (u64, u64),
    /// Where everything before is answered for.
    pub(crate) place: Place,
    /// All by this run.
    pub(crate) read: u64,
    pub(crate) sent: u64,
    pub(crate) refused: BTreeMap<String, u64>,
    pub(crate) retries: BTreeMap<String, u64>,
    pub(crate) dead_letters_left_out: u64,
}

/// How it ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// All that was asked for is answered for.
    Done,
    /// By this signal.
    Interrupted(&'static str),
    /// With this problem; the rest can be had another time.
    Stuck(String),
}

impl Replay {
    /// Takes the state file, and begins where it says.
    pub(crate) fn open(
        mut question: Question,
        destination: Destination,
        state: &Path,
    ) -> Result<Replay, ReplayError> {
        let state = State::open(state, &question.text)?;
        let last = state.last().cloned();
        let begin = last.as_ref().map(|saved| saved.place.clone()).unwrap_or_default();
        question.filter.from = question.filter.from.max(begin.time);
        let refused_before = last.map_or(0, |saved| saved.refused);
        Ok(Replay { question, destination, state, begin, refused_before, known: HashSet::new() })
    }

    /// What is left to send. `tell` is told how many files were read, of how many.
    pub(crate) fn look(
        &mut self,
        limits: Limits,
        tell: &mut dyn FnMut(usize, usize),
    ) -> Result<Outlook, ReplayError> {
        let oldest = limits.max_age.map(|age| clock::now().minus(age));
        let batch = &self.destination.client.batch;
        let outlook = Outlook::of(&self.question, self.begin.clone(), batch, oldest, tell);
        let outlook = outlook.map_err(ReplayError::Archive)?;
        self.known = outlook.problems.iter().cloned().collect();
        Ok(outlook)
    }

    /// What earlier runs got through.
    pub(crate) fn begin(&self) -> &Place {
        &self.begin
    }

    /// Where it is kept how far it is.
    pub(crate) fn state_path(&self) -> &Path {
        self.state.path()
    }

    /// It is not to begin; leaves no trace where none was.
    pub(crate) fn decline(self) -> Result<(), ReplayError> {
        if self.state.last().is_none() {
            self.state.finish()?;
        }
        Ok(())
    }

    /// Sends, `rate` bytes a second at most, until all is answered for or somebody says stop. A second signal ends the
    /// process.
    pub(crate) async fn run(
        self,
        rate: u64,
        tell: &mut dyn FnMut(&Report),
    ) -> Result<(Ended, Report), ReplayError> {
        let Replay { question, destination, mut state, begin, refused_before, known } = self;
        let mut signals = Signals::listen().map_err(ReplayError::Signals)?;
        let own = Own::register(&Registry::default());
        let metrics = own.client(&destination.client.name);
        let client = Arc::new(Client::new(destination.client.clone(), metrics.clone())?);
        let reached = Reached::new(begin.clone());
        let report = || Report::of(&metrics, &own, (&begin, refused_before), reached.place());
        let (chunks, read) = mpsc::channel(1);
        let reader = spawn_blocking({
            let (begin, batch) = (begin.clone(), client.batch().clone());
            move || feed::read(&question, &batch, begin, &known, &chunks)
        });
        let leave = CancellationToken::new();
        let around = Around {
            clients: Arc::new(AtomicUsize::new(1)),
            dead_letters: destination.dead_letters.map(|letters| Arc::new(DeadLetters::new(letters, &own))),
            troubles: Troubles::default(),
            // Nobody asks a replay whether it is ready.
            stalled_after: Duration::MAX,
        };
        let sending =
            Sending { client, around, rate, reached: reached.clone(), leave: leave.clone() }.run(read);
        tokio::pin!(sending);
        let (mut ticks, mut leaving) = (interval(TELL_EVERY), None);
        loop {
            let leave_at = leaving.as_ref().map(|(_, at)| *at);
            let ended = tokio::select! {
                () = &mut sending => break,
                () = until(leave_at) => break,
                request = signals.next() => {
                    let name = match request {
                        Request::Stop(name) => name,
                        // Who was watching is gone.
                        Request::Reload if io::stderr().is_terminal() => "SIGHUP",
                        Request::Reload => continue,
                    };
                    if let Some((Ended::Interrupted(_), _)) = leaving {
                        warn!(signal = name, "second signal, leaving at once");
                        std::process::exit(1);
                    }
                    signals.settle().await;
                    Ended::Interrupted(name)
                }
                _ = ticks.tick() => {
                    let report = report();
                    tell(&report);
                    match state.save(report.place.clone(), report.refused_in_all()) {
                        Err(error) if leaving.is_none() => Ended::Stuck(error.to_string()),
                        _ => continue,
                    }
                }
            };
            leaving = Some((ended, Instant::now() + STOP_WITHIN));
            leave.cancel();
        }
        let report = report();
        let saved = state.save(report.place.clone(), report.refused_in_all());
        let ended = match (saved, leaving) {
            (Err(error), _) => Ended::Stuck(error.to_string()),
            (Ok(()), Some((ended, _))) => ended,
            // Nobody waits for a reader that hangs: then the sending has not ended by itself.
            (Ok(()), None) => match reader.await {
                Ok(End::Whole(last)) if last.as_ref().is_none_or(|last| *last == report.place) => {
                    state.finish()?;
                    Ended::Done
                }
                Ok(End::Whole(_) | End::Unwanted) => {
                    Ended::Stuck("not everything was answered for".to_owned())
                }
                Ok(End::Unreadable(problem)) => Ended::Stuck(problem),
                Err(error) => Ended::Stuck(error.to_string()),
            },
        };
        Ok((ended, report))
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// What it takes to send.
struct Sending {
    client: Arc<Client>,
    around: Around,
    rate: u64,
    reached: Reached,
    leave: CancellationToken,
}

impl Sending {
    /// Runs until all that was read is answered for, or until it is told to leave and no push is under way.
    async fn run(self, chunks: mpsc::Receiver<Chunk>) {
        let Sending { client, around, rate, reached, leave } = self;
        let (parcels, outlet) = mpsc::channel(1);
        let (queue, handovers) = mpsc::channel(batch::queue_length(1));
        let (inlet, queues) = (inlet(queue, client.metrics()), client.metrics().path.queues.clone());
        let batcher = batch::run(client.batch().clone(), handovers, parcels, queues);
        let orders = Stop { retire: leave.clone(), abandon: CancellationToken::new() };
        let sender = tokio::spawn(delivery::run(client, around, Leftover::default(), outlet, orders));
        let feed = leave.run_until_cancelled(feed::feed(chunks, inlet, rate, reached));
        tokio::join!(feed, batcher);
        // What is left over is not settled, and is sent by the next run.
        drop(sender.await);
    }
}

impl Report {
    fn of(metrics: &ClientMetrics, own: &Own, before: (&Place, u64), place: Place) -> Report {
        let count = |value: f64| value as u64;
        Report {
            before: (before.0.entries, before.1),
            place,
            read: count(metrics.received_entries.value()),
            sent: count(metrics.sent_entries.value()),
            refused: metrics.refused_by_reason(),
            retries: metrics.retries_by_reason(),
            dead_letters_left_out: count(own.dead_letters.sum_where("result", "left_out")),
        }
    }

    /// Entries that Loki does not have, of all runs.
    pub(crate) fn refused_in_all(&self) -> u64 {
        self.before.1 + self.refused.values().sum::<u64>()
    }
}
