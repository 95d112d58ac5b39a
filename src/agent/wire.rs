//! All wiring, last stage first: each stage is built holding its successor, and no stage starts another.
//! In: settings.  Out: a running agent.  Owns: nothing after it returns.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use serde::Deserialize as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::agent::clients::Clients;
use crate::agent::clients::UnusableClient;
use crate::agent::saver::{Beside, Saver};
use crate::agent::settings::Settings;
use crate::agent::sources::{Sources, Wanted};
use crate::custody::{Ledger, RealDisk, Store, StoreError, Times};
use crate::delivery::{Around, DeadLetters};
use crate::flow::{Budget, IN_FLIGHT_LIMIT};
use crate::metrics::{Kept, Own, Registry};
use crate::pipeline::{Guard, Intake, Outlet, SavedGuard};
use crate::retention::{Archive, ArchiveError};
use crate::server::{self, BindError, Readiness, View};
use crate::source::listen::PortError;
use crate::source::stdin::{self, Stdin};
use crate::targets::Description;
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
    (registry, own): (Arc<Registry>, Arc<Own>),
    controls: server::Controls,
) -> Result<Running, StartError> {
    let Taken { listener, archive } = taken;
    settings.limits.announce(&own);
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
    own.path.budget_limit.set(IN_FLIGHT_LIMIT.0 as f64);
    let outlet = Outlet::new(budget.clone(), settings.inspect, own.clone());
    let stop = CancellationToken::new();
    // A second agent that pushes its standard input must not take what belongs to the first.
    let state = (!settings.stdin).then(|| settings.positions.file.clone());
    let letters = settings.dead_letters.clone().filter(|_| !settings.stdin);
    let around = Around {
        clients: Arc::default(),
        dead_letters: letters.map(|letters| Arc::new(DeadLetters::new(letters, &own))),
        troubles: outlet.troubles.clone(),
        stalled_after: settings.stalled_after,
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
        let view = View {
            registry: registry.clone(),
            own: own.clone(),
            namespace: served.namespace.clone(),
            ledger: ledger.clone(),
            budget,
            readiness: ready,
            controls,
            troubles: outlet.troubles.clone(),
            targets: outlet.targets.clone(),
            stages: outlet.stages.clone(),
            stalled_after: settings.stalled_after,
        };
        server::start(listener, served, view).map_err(StartError::Server)?;
    }

    let kept = settings.persist_metrics.then(|| registry.clone());
    let horizon = store.as_ref().and_then(Store::saved_before).unwrap_or_else(clock::now);
    let period = settings.positions.sync_period;
    let (own_saver, troubles) = (own.clone(), outlet.troubles.clone());
    let beside = Beside { times: times.clone(), registry: kept, guard: settings.limits.guard.clone() };
    let saver = Saver::start(store, period, ledger.clone(), beside, own_saver, troubles);
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
            info!(store = %store, "lines are archived, `tailwater archive query` finds them");
            if retention.by_default {
                info!("no clients are configured: lines are kept in the archive alone, for 30 days");
            }
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
    let registry = settings.persist_metrics.then_some(registry);
    restore(&mut store, registry, settings.limits.guard.as_ref());
    let (times, damaged) = Times::open(&settings.positions.file, ledger);
    own.state_damaged.add(f64::from(store.damaged() + u32::from(damaged)));
    Ok((store, times))
}

/// Derived metrics, and what is known of streams, go on from what is saved with the positions.
fn restore(store: &mut Store, registry: Option<&Registry>, guard: Option<&Guard>) {
    let (mut kept, mut series) = (Vec::new(), 0);
    for value in store.take_companions() {
        if let Ok(saved) = SavedGuard::deserialize(&value) {
            guard.iter().for_each(|guard| guard.restore(&saved));
        } else {
            series += 1;
            kept.extend(Kept::deserialize(&value));
        }
    }
    let Some(registry) = registry else { return };
    // Of another version, or of a metric that is not configured any more.
    let left = series - kept.len() + registry.restore(kept);
    if series > 0 {
        info!(series, left, "derived metrics go on from their last values");
    }
}

/// Standard input, through the first job's stages.
fn stdin(settings: Settings, outlet: &Outlet, own: Arc<Own>, stop: CancellationToken) -> Stdin {
    let (name, pipeline, labels) = match settings.jobs.into_iter().next() {
        Some(job) => (job.name, job.pipeline, job.static_labels),
        None => {
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            let labels = [("job", "stdin"), ("hostname", host.trim())].into_iter().collect();
            ("stdin".to_owned(), settings.no_stages, labels)
        }
    };
    outlet.stages.show(vec![(name, pipeline.totals.clone())]);
    let target = outlet.targets.add(Description {
        job: labels.iter().find(|(name, _)| *name == "job").map_or("stdin", |(_, job)| job).to_owned(),
        kind: stdin::KIND,
        name: "stdin".to_owned(),
        discovered: BTreeMap::new(),
        labels: labels.clone(),
    });
    Stdin { intake: Intake::new(&pipeline, target, Some(&labels), None, outlet), own, stop }
}
