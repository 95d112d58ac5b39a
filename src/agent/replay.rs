//! Replays an archive into a Loki: entries in order of time, by the way that every client's lines go.
//! In: a question, a client.  Out: pushes, counts.  Owns: the client's batcher and sender, how far it is.
//!
//! ```text
//! archive ─reader (a thread)─▶ chunks ─feed: pace, budget─▶ batcher ─▶ sender ─▶ Loki
//!                                └── tickets settle: the place moves, and is saved ◀──┘
//! ```
//!
//! An agent that runs meanwhile is left alone: there is no spool, and metrics and dead letters are the replay's own.

mod feed;
mod limits;
mod outlook;
mod state;
mod walk;

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::PathBuf;
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
use crate::agent::settings::Settings;
use crate::agent::signals::Signals;
use crate::clock::{self, Instant};
use crate::config::nearest;
use crate::delivery::{Around, Client, ClientError, DeadLetterSettings, DeadLetters, Leftover, Stop};
use crate::flow::Troubles;
use crate::metrics::{ClientMetrics, Own, Registry};
use crate::{batch, delivery};

pub(crate) use limits::Limits;
#[cfg(any(fuzzing, test))]
pub(crate) use limits::fuzz as fuzz_limits;
pub(crate) use outlook::{MOST_STREAMS, Outlook};
pub(crate) use state::StateError;
#[cfg(any(fuzzing, test))]
pub(crate) use state::fuzz as fuzz_state;
pub(crate) use walk::{Caps, Place, Question};

/// Bytes of lines in a push at most, and how long it waits for more: a replay holds few bytes, and must not wait for itself.
const LARGEST_BATCH: usize = 1024 * 1024;
const LONGEST_WAIT: Duration = Duration::from_secs(1);

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

/// To whom it goes.
pub(crate) struct Destination {
    client: delivery::Settings,
    dead_letters: Option<DeadLetterSettings>,
    stalled_after: Duration,
}

/// A replay that is ready to begin.
pub(crate) struct Replay {
    question: Arc<Question>,
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
    pub(crate) dropped: BTreeMap<String, u64>,
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

impl Destination {
    /// The client with this name, or the only one.
    pub(crate) fn of(settings: &Settings, name: Option<&str>) -> Result<Destination, ReplayError> {
        let names = || settings.clients.iter().map(|client| client.name.as_str());
        let fitting: Vec<_> =
            settings.clients.iter().filter(|client| name.is_none_or(|name| client.name == name)).collect();
        let client = match (fitting.as_slice(), name) {
            ([client], _) => (*client).clone(),
            ([], Some(name)) => {
                let near = nearest(name, names()).map(|near| format!("did you mean `{near}`?"));
                let help =
                    near.unwrap_or_else(|| format!("clients: {}", names().collect::<Vec<_>>().join(", ")));
                return Err(ReplayError::NoClient(name.to_owned(), format!("\n  = help: {help}")));
            }
            ([], None) => return Err(ReplayError::NoClients),
            _ => return Err(ReplayError::WhichClient(names().collect::<Vec<_>>().join(", "))),
        };
        let own = |mut letters: DeadLetterSettings| {
            // The agent turns its file over by itself.
            letters.file.as_mut_os_string().push(".replay");
            letters
        };
        Ok(Destination {
            client: client_of_replay(client),
            dead_letters: settings.dead_letters.clone().map(own),
            stalled_after: settings.stalled_after,
        })
    }

    /// What logs call the client.
    pub(crate) fn name(&self) -> &str {
        &self.client.name
    }

    /// What the Loki takes.
    pub(crate) async fn limits(&self) -> Limits {
        limits::ask(&self.client.url, self.client.http.clone()).await
    }
}

/// The same client, without what belongs to the agent, and without giving up: nothing waits behind a replay.
fn client_of_replay(client: delivery::Settings) -> delivery::Settings {
    let batch = batch::Settings {
        size: client.batch.size.min(LARGEST_BATCH),
        wait: client.batch.wait.min(LONGEST_WAIT),
        ..client.batch
    };
    delivery::Settings { batch, spool: None, give_up_after: None, drop_rate_limited: false, ..client }
}

impl Replay {
    /// Takes the state file, and begins where it says.
    pub(crate) fn open(
        mut question: Question,
        destination: Destination,
        state: &PathBuf,
    ) -> Result<Replay, ReplayError> {
        let state = State::open(state, &question.text)?;
        let last = state.last().cloned();
        let place = last.as_ref().map(|saved| saved.place.clone()).unwrap_or_default();
        let begin = question.begin_at(place).map_err(ReplayError::Archive)?;
        let refused_before = last.map_or(0, |saved| saved.refused);
        let (question, known) = (Arc::new(question), HashSet::new());
        Ok(Replay { question, destination, state, begin, refused_before, known })
    }

    /// What is left to send. `tell` is told how many files were read, of how many.
    pub(crate) fn look(
        &mut self,
        limits: Limits,
        tell: &mut dyn FnMut(usize, usize),
    ) -> Result<Outlook, ReplayError> {
        let oldest = limits.max_age.map(|age| clock::now().minus(age));
        let external = &self.destination.client.batch.external_labels;
        let outlook = Outlook::of(&self.question, self.begin.clone(), external, oldest, tell);
        let outlook = outlook.map_err(ReplayError::Archive)?;
        self.known = outlook.problems.iter().cloned().collect();
        Ok(outlook)
    }

    /// What earlier runs got through.
    pub(crate) fn begin(&self) -> &Place {
        &self.begin
    }

    /// Where it is kept how far it is.
    pub(crate) fn state_path(&self) -> &std::path::Path {
        self.state.path()
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
            let (question, begin) = (question.clone(), begin.clone());
            move || feed::read(&question, begin, &known, &chunks)
        });
        let (stop, retire) = (CancellationToken::new(), CancellationToken::new());
        let around = Around {
            clients: Arc::new(AtomicUsize::new(1)),
            dead_letters: destination.dead_letters.map(|letters| Arc::new(DeadLetters::new(letters, &own))),
            troubles: Troubles::default(),
            stalled_after: destination.stalled_after,
        };
        let feeding = Feeding { client, around, rate, reached: reached.clone() };
        let sending = feeding.run(read, stop.clone(), retire.clone());
        tokio::pin!(sending);
        let (mut ticks, mut interrupted) = (interval(TELL_EVERY), None);
        let leave_at = |interrupted: &Option<(&str, Instant)>| interrupted.map(|(_, at)| at + STOP_WITHIN);
        loop {
            let leave = leave_at(&interrupted);
            tokio::select! {
                () = &mut sending => break,
                name = signals.stop() => {
                    if interrupted.is_some() {
                        warn!(signal = name, "second signal, leaving at once");
                        std::process::exit(1);
                    }
                    signals.settle().await;
                    interrupted = Some((name, Instant::now()));
                    stop.cancel();
                    retire.cancel();
                }
                () = async { if let Some(leave) = leave { sleep_until(leave).await } else { std::future::pending().await } } => break,
                _ = ticks.tick() => {
                    let report = report();
                    state.save(report.place.clone(), report.refused_in_all())?;
                    tell(&report);
                }
            }
        }
        let report = report();
        state.save(report.place.clone(), report.refused_in_all())?;
        if let Some((name, _)) = interrupted {
            return Ok((Ended::Interrupted(name), report));
        }
        // A reader that hangs is not waited for: then nothing was closed, and this is not reached.
        let problem = match reader.await {
            Ok(End::Whole(place)) if place == report.place => {
                state.finish()?;
                return Ok((Ended::Done, report));
            }
            Ok(End::Whole(_) | End::Unwanted) => "not everything was answered for".to_owned(),
            Ok(End::Unreadable(problem)) => problem,
            Err(error) => error.to_string(),
        };
        Ok((Ended::Stuck(problem), report))
    }
}

/// What it takes to send.
struct Feeding {
    client: Arc<Client>,
    around: Around,
    rate: u64,
    reached: Reached,
}

impl Feeding {
    /// Runs until all that was read is answered for, or given up on `stop` and `retire`.
    async fn run(self, chunks: mpsc::Receiver<Chunk>, stop: CancellationToken, retire: CancellationToken) {
        let (parcels, outlet) = mpsc::channel(1);
        let (queue, handovers) = mpsc::channel(batch::queue_length(1));
        let (inlet, queues) = (inlet(queue, self.client.metrics()), self.client.metrics().path.queues.clone());
        let batcher = batch::run(self.client.batch().clone(), handovers, parcels, queues);
        let orders = Stop { retire, abandon: CancellationToken::new() };
        let sender = delivery::run(self.client, self.around, Leftover::default(), outlet, orders);
        let sender = tokio::spawn(sender);
        let feed = feed::feed(chunks, inlet, self.rate, self.reached);
        let feed = async {
            stop.run_until_cancelled(feed).await;
        };
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
            dropped: metrics.dropped_by_reason(),
            retries: metrics.retries_by_reason(),
            dead_letters_left_out: count(own.dead_letters.sum_where("result", "left_out")),
        }
    }

    /// Entries that Loki does not have, of all runs.
    pub(crate) fn refused_in_all(&self) -> u64 {
        self.before.1 + self.refused.values().chain(self.dropped.values()).sum::<u64>()
    }
}
