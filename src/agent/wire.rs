//! All wiring, last stage first: each stage is built holding its successor, and no stage starts another.
//! In: settings.  Out: a running agent.  Owns: nothing after it returns.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::agent::clients::Clients;
use crate::agent::clients::UnusableClient;
use crate::agent::saver::Saver;
use crate::agent::settings::Settings;
use crate::agent::sources::{Sources, Wanted};
use crate::custody::{Ledger, RealDisk, Store, StoreError, Times};
use crate::delivery::{Around, DeadLetters};
use crate::flow::{Budget, IN_FLIGHT_LIMIT, Troubles};
use crate::metrics::{Kept, Own, Registry};
use crate::pipeline::{Intake, Outlet};
use crate::retention::{Archive, ArchiveError};
use crate::server::{self, BindError, Readiness, View};
use crate::source::listen::PortError;
use crate::source::stdin::Stdin;
use crate::{clock, http};

/// The agent cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("cannot start the HTTP server: {0}")]
    Server(io::Error),
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
    #[error("{error}: {cause}\n  = help: set `positions: {{filename: …}}` to a place this user can write to")]
    Positions { error: StoreError, cause: String },
    #[error("job `{job}` {error}")]
    Port { job: String, error: PortError },
    #[error(transparent)]
    Client(#[from] UnusableClient),
    #[error("{}\n  = help: give the first tier with a `store` a directory that this user can write to, and no other agent has", http::chain(.0))]
    Archive(#[from] ArchiveError),
}

/// A running agent, by stage.
pub(super) struct Running {
    /// The sources come to an end by themselves.
    pub(super) finite: bool,
    pub(super) stop: CancellationToken,
    pub(super) sources: Sources,
    pub(super) clients: Clients,
    pub(super) saver: Saver,
    pub(super) ledger: Arc<Ledger>,
    pub(super) readiness: watch::Sender<Readiness>,
}

/// What nobody else may have.
pub(super) struct Taken {
    listener: Option<TcpListener>,
    archive: Option<Archive>,
}

/// Takes ports and the archive.
pub(super) fn take(settings: &mut Settings) -> Result<Taken, StartError> {
    let listener = settings.server.as_ref().map(server::bind).transpose()?;
    take_ports(settings)?;
    Ok(Taken { listener, archive: open_archive(settings)? })
}

/// Starts everything. What can fail comes before what runs.
pub(super) fn start(
    settings: Settings,
    taken: Taken,
    (registry, own): (Arc<Registry>, Own),
    controls: server::Controls,
) -> Result<Running, StartError> {
    let Taken { listener, archive } = taken;
    let ledger = Arc::new(Ledger::default());
    let printing = settings.prints();
    // What cannot be read twice has no position, and what is only printed is not done.
    let (store, times) = match printing || settings.stdin {
        true => (None, Times::default()),
        false => {
            open_store(&settings, &ledger, &registry, &own).map(|(store, times)| (Some(store), times))?
        }
    };
    let times = Arc::new(times);
    let budget = Budget::new(IN_FLIGHT_LIMIT);
    let outlet = Outlet::new(budget.clone(), settings.inspect, own.clone());
    let stop = CancellationToken::new();
    // A second agent that pushes its standard input must not take what belongs to the first.
    let state = (!settings.stdin).then(|| settings.positions.file.clone());
    let letters = settings.dead_letters.clone().filter(|_| !settings.stdin);
    let around = Around {
        clients: Arc::default(),
        dead_letters: letters.map(|letters| Arc::new(DeadLetters::new(letters, &own))),
        troubles: Troubles::default(),
    };
    let mut clients = Clients::new(outlet.clone(), own.clone(), stop.clone(), around.clone(), state);
    if let Some(archive) = archive {
        clients.archive(archive);
    }
    if printing {
        info!("no clients are configured: printing what would be pushed, positions are not kept");
        clients.print();
    } else {
        clients.change(settings.clients.clone())?;
    }
    let (readiness, ready) = watch::channel(Readiness::Starting);
    if let (Some(listener), Some(served)) = (listener, &settings.server) {
        let (registry, own, ledger) = (registry.clone(), own.clone(), ledger.clone());
        let view =
            View { registry, own, ledger, budget, readiness: ready, controls, troubles: around.troubles };
        server::start(listener, served, view).map_err(StartError::Server)?;
    }

    let kept = settings.persist_metrics.then(|| registry.clone());
    let horizon = store.as_ref().and_then(Store::saved_before).unwrap_or_else(clock::now);
    let saver =
        Saver::start(store, times.clone(), settings.positions.sync_period, ledger.clone(), kept, own.clone());
    let finite = settings.stdin;
    let mut sources = Sources::new(outlet.clone(), ledger.clone(), times, own.clone(), stop.clone());
    if finite {
        sources.start_stdin(stdin(settings, &outlet, own, stop.clone()));
    } else {
        let Settings { jobs, sync_period, file_polls, .. } = settings;
        sources.change(Wanted { jobs, sync_period, file_polls, horizon }, |_| true);
        if sources.are_none() {
            warn!("no job is configured, there is nothing to read");
        }
    }
    Ok(Running { finite, stop, sources, clients, saver, ledger, readiness })
}

/// Opens the archive. One that nobody asked for is taken out of the settings where it cannot be opened.
fn open_archive(settings: &mut Settings) -> Result<Option<Archive>, StartError> {
    // A second agent that pushes its standard input must not take what belongs to the first.
    let Some(retention) = settings.retention.clone().filter(|_| !settings.stdin) else { return Ok(None) };
    let Some((_, store)) = retention.stores().next() else { return Ok(None) };
    match Archive::open(Arc::new(RealDisk), retention.clone(), store) {
        Ok(archive) => {
            info!(store = %store.display(), "lines are archived, `tailwater archive query` finds them");
            Ok(Some(archive))
        }
        Err(error) if retention.by_default => {
            warn!(error = %http::chain(&error), "without clients lines would be archived, but they cannot be");
            settings.retention = None;
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Takes the ports of all sources. Standard input replaces them.
fn take_ports(settings: &Settings) -> Result<(), StartError> {
    for job in settings.jobs.iter().filter(|_| !settings.stdin) {
        for port in job.ports() {
            port.take().map_err(|error| StartError::Port { job: job.name.clone(), error })?;
        }
    }
    Ok(())
}

fn open_store(
    settings: &Settings,
    ledger: &Ledger,
    registry: &Registry,
    own: &Own,
) -> Result<(Store, Times), StartError> {
    let mut store = Store::open(Arc::new(RealDisk), &settings.positions, ledger).map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        StartError::Positions { error, cause }
    })?;
    if settings.persist_metrics {
        restore(&mut store, registry);
    }
    let (times, damaged) = Times::open(&settings.positions.file, ledger);
    own.state_damaged.add(f64::from(store.damaged() + u32::from(damaged)));
    Ok((store, times))
}

/// Derived metrics go on from what is saved with the positions.
fn restore(store: &mut Store, registry: &Registry) {
    let found = store.take_companions();
    let series = found.len();
    let kept: Vec<Kept> = found.into_iter().filter_map(|value| serde_json::from_value(value).ok()).collect();
    // Of another version, or of a metric that is not configured any more.
    let left = series - kept.len() + registry.restore(kept);
    if series > 0 {
        info!(series, left, "derived metrics go on from their last values");
    }
}

/// Standard input, through the first job's stages.
fn stdin(settings: Settings, outlet: &Outlet, own: Own, stop: CancellationToken) -> Stdin {
    let (pipeline, labels) = match settings.jobs.into_iter().next() {
        Some(job) => (job.pipeline, job.static_labels),
        None => {
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            (settings.no_stages, [("job", "stdin"), ("hostname", host.trim())].into_iter().collect())
        }
    };
    Stdin { intake: Intake::new(&pipeline, "stdin", Some(&labels), None, outlet), own, stop }
}
