//! All wiring, last stage first: each stage is built holding its successor, and no stage starts another.
//! In: settings.  Out: a running agent.  Owns: nothing after it returns.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::agent::saver::Saver;
use crate::agent::settings::Settings;
use crate::custody::{Ledger, RealDisk, Store, StoreError};
use crate::delivery::{Client, ClientError};
use crate::discovery::{docker, files};
use crate::flow::{Budget, IN_FLIGHT_LIMIT};
use crate::metrics::{ClientMetrics, Own, Registry};
use crate::pipeline::{Intake, Outlet};
use crate::record::UnixNanos;
use crate::server::{self, BindError, Readiness, View};
use crate::source::stdin::Stdin;
use crate::{batch, clock, delivery};

/// Parcels that wait for their sender beside the one it is sending.
const PARCEL_QUEUE: usize = 1;

/// How long lines may wait to be printed where there is no client.
const PRINT_WAIT: Duration = Duration::from_millis(200);

/// What is needed to start.
pub(crate) struct Parts {
    pub(crate) settings: Settings,
    pub(crate) registry: Arc<Registry>,
    pub(crate) own: Own,
}

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
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// A running agent, by stage.
pub(super) struct Running {
    /// The sources come to an end by themselves.
    pub(super) finite: bool,
    pub(super) stop: CancellationToken,
    /// Tells senders that time is up.
    pub(super) abandon: CancellationToken,
    pub(super) sources: JoinSet<()>,
    pub(super) outlet: Outlet,
    pub(super) batchers: JoinSet<()>,
    pub(super) delivery: JoinSet<()>,
    pub(super) saver: Saver,
    pub(super) ledger: Arc<Ledger>,
    pub(super) readiness: watch::Sender<Readiness>,
    pub(super) counted: Counted,
}

/// The counters the last words are made of.
pub(super) struct Counted(Vec<ClientMetrics>);

impl Counted {
    /// Entries acknowledged so far, over all clients.
    pub(super) fn sent(&self) -> u64 {
        self.0.iter().map(|client| client.sent_entries.value() as u64).sum()
    }
}

/// Starts everything. What can fail comes before what runs.
pub(super) fn start(parts: Parts) -> Result<Running, StartError> {
    let Parts { settings, registry, own } = parts;
    let listener = settings.server.as_ref().map(server::bind).transpose()?;
    let ledger = Arc::new(Ledger::default());
    let printing = settings.clients.is_empty();
    // What cannot be read twice has no position, and what is only printed is not done.
    let store = if printing || settings.stdin { None } else { Some(open_store(&settings, &ledger)?) };
    let mut clients = Vec::new();
    let mut counted = Counted(Vec::new());
    for client in &settings.clients {
        let metrics = own.client(&client.name);
        counted.0.push(metrics.clone());
        clients.push((client.batch.clone(), Arc::new(Client::new(client.clone(), metrics)?)));
    }
    let budget = Budget::new(IN_FLIGHT_LIMIT);
    let (readiness, ready) = watch::channel(Readiness::Starting);
    if let (Some(listener), Some(served)) = (listener, &settings.server) {
        let (registry, own, ledger, budget) = (registry, own.clone(), ledger.clone(), budget.clone());
        let view = View { registry, own, ledger, budget, readiness: ready };
        server::start(listener, served, view).map_err(StartError::Server)?;
    }

    let horizon = store.as_ref().and_then(Store::saved_before).unwrap_or_else(clock::now);
    let saver = Saver::start(store, settings.positions.sync_period, ledger.clone(), own.clone());
    let abandon = CancellationToken::new();
    let (mut delivery, mut batchers) = (JoinSet::new(), JoinSet::new());
    let mut inlets = Vec::new();
    let queue = batch::queue_length(clients.len());
    for (batch, client) in clients {
        let (parcels, outlet) = mpsc::channel(PARCEL_QUEUE);
        delivery.spawn(delivery::run(client, outlet, abandon.clone()));
        inlets.push(start_batcher(batch, queue, parcels, &mut batchers));
    }
    if printing {
        info!("no clients are configured: printing what would be pushed, positions are not kept");
        let (parcels, outlet) = mpsc::channel(PARCEL_QUEUE);
        delivery.spawn(delivery::print(outlet));
        let batch = batch::Settings {
            wait: PRINT_WAIT,
            size: 1024 * 1024,
            external_labels: crate::record::Labels::default(),
            max_streams: None,
            tenant: None,
        };
        inlets.push(start_batcher(batch, queue, parcels, &mut batchers));
    }
    let outlet = Outlet { clients: inlets, budget, inspect: settings.inspect, own: own.clone() };
    let stop = CancellationToken::new();
    let finite = settings.stdin;
    let sources = match finite {
        true => start_stdin(settings, &outlet, &own, &stop),
        false => start_sources(settings, &outlet, &ledger, &own, &stop, horizon),
    };
    Ok(Running {
        finite,
        stop,
        abandon,
        sources,
        outlet,
        batchers,
        delivery,
        saver,
        ledger,
        readiness,
        counted,
    })
}

fn open_store(settings: &Settings, ledger: &Ledger) -> Result<Store, StartError> {
    Store::open(Arc::new(RealDisk), &settings.positions, ledger).map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        StartError::Positions { error, cause }
    })
}

fn start_batcher(
    settings: batch::Settings,
    queue: usize,
    parcels: mpsc::Sender<batch::Parcel>,
    batchers: &mut JoinSet<()>,
) -> mpsc::Sender<batch::Handover> {
    let (inlet, handovers) = mpsc::channel(queue);
    batchers.spawn(batch::run(settings, handovers, parcels));
    inlet
}

/// Standard input, through the first job's stages.
fn start_stdin(settings: Settings, outlet: &Outlet, own: &Own, stop: &CancellationToken) -> JoinSet<()> {
    let (pipeline, labels) = match settings.jobs.into_iter().next() {
        Some(job) => (job.pipeline, job.static_labels),
        None => {
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            (settings.no_stages, [("job", "stdin"), ("hostname", host.trim())].into_iter().collect())
        }
    };
    let intake = Intake::new(&pipeline, "stdin", Some(&labels), None, outlet);
    let stdin = Stdin { intake, own: own.clone(), stop: stop.clone() };
    let mut sources = JoinSet::new();
    sources.spawn(stdin.run());
    sources
}

fn start_sources(
    settings: Settings,
    outlet: &Outlet,
    ledger: &Arc<Ledger>,
    own: &Own,
    stop: &CancellationToken,
    horizon: UnixNanos,
) -> JoinSet<()> {
    let mut sources = JoinSet::new();
    let mut file_jobs = Vec::new();
    let mut plain_key_taken = false;
    for job in settings.jobs {
        for (number, docker) in job.docker.into_iter().enumerate() {
            // Two that follow one container must not move each other's position: the first has the plain key.
            let key_suffix = match (plain_key_taken, number) {
                (false, _) => String::new(),
                (true, 0) => format!("#{}", job.name),
                (true, _) => format!("#{}/{number}", job.name),
            };
            plain_key_taken = true;
            let containers = docker::Containers {
                settings: docker,
                job: job.name.clone(),
                key_suffix,
                rules: job.rules.clone(),
                pipeline: job.pipeline.clone(),
                outlet: outlet.clone(),
                ledger: ledger.clone(),
                own: own.clone(),
                stop: stop.clone(),
                horizon,
            };
            sources.spawn(containers.run());
        }
        if !job.files.is_empty() {
            file_jobs.push(files::Job { name: job.name, groups: job.files, pipeline: job.pipeline });
        }
    }
    if !file_jobs.is_empty() {
        let files = files::Files {
            jobs: file_jobs,
            sync_period: settings.sync_period,
            polls: settings.file_polls,
            outlet: outlet.clone(),
            ledger: ledger.clone(),
            own: own.clone(),
            stop: stop.clone(),
            horizon,
        };
        sources.spawn(files.run());
    }
    if sources.is_empty() {
        warn!("no job is configured, there is nothing to read");
    }
    sources
}
