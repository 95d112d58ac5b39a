//! Takes another configuration over while lines flow.
//! In: requests, by signal, page or a change of the file.  Out: clients and sources that changed are replaced, or a reason
//! why none is.  Owns: the configuration in force.
//!
//! A configuration is read whole, and all of it that can fail has been done, before anything of the old one ends. What
//! says the same as before is not touched. The rest is replaced without waiting: an old source ends after the chunk at hand
//! and its successor goes on from there, an old client leaves what it has not delivered to its successor.

mod watcher;

use std::fmt;
use std::sync::Arc;

use sd_notify::NotifyState;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tracing::level_filters::LevelFilter;
use tracing::{error, info, warn};

use crate::agent::clients::UnusableClient;
use crate::agent::load::{self, LoadError, Loaded, Request, Source};
use crate::agent::settings::{LogFormat, Settings};
use crate::agent::sources::Wanted;
use crate::agent::wire::Running;
use crate::clock::{self, Instant};
use crate::config::Node;
use crate::metrics::{FamilyError, Own, Registry};
use crate::pipeline::Limits;
use crate::server;

/// Requests of the page that may wait.
const PAGE_QUEUE: usize = 16;

const PRINTING: &str = "printing what would be pushed, for want of clients, begins or ends";

/// Changes how the agent logs.
pub(crate) type SetLog = Box<dyn Fn(LevelFilter, LogFormat)>;

/// How many jobs, or clients, were changed.
#[derive(Debug, Default)]
pub(super) struct Changed {
    pub(super) started: usize,
    pub(super) replaced: usize,
    pub(super) removed: usize,
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} new, {} replaced, {} removed", self.started, self.replaced, self.removed)
    }
}

/// The configuration stays as it was.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("{0}: a restart is needed for that")]
    Metric(FamilyError),
    #[error(transparent)]
    Client(#[from] UnusableClient),
    #[error("{0} at a restart only")]
    NeedsRestart(&'static str),
    #[error("reading the configuration broke off")]
    BrokeOff,
}

/// Who wants the configuration to be read again.
enum Asked {
    Signal,
    Page(server::Reload),
    /// Somebody saw that the file may have changed.
    File,
}

/// What came of reading it.
pub(super) struct Read {
    asked: Asked,
    result: Result<Loaded, ReloadError>,
}

/// Reads configurations again and takes them over.
pub(super) struct Reloads {
    request: Arc<Request>,
    registry: Arc<Registry>,
    own: Arc<Own>,
    set_log: SetLog,
    in_force: Arc<InForce>,
    /// In force since the start, where only a restart changes it.
    started: Node,
    /// What was read last, usable or not: a hint without a change is none.
    seen: Result<Source, String>,
    signalled: bool,
    pages: mpsc::Receiver<server::Reload>,
    hint: Arc<Notify>,
    /// Being read.
    reading: Option<(Asked, JoinHandle<Outcome>)>,
    /// The configuration in force, for people.
    effective: watch::Sender<String>,
    watching: JoinSet<()>,
}

/// The configuration in force.
struct InForce {
    root: Node,
    limits: Limits,
    /// Since the start.
    archives: bool,
    /// No other can take its place, because this takes a restart.
    fixed: Option<&'static str>,
}

struct Outcome {
    seen: Result<Source, String>,
    /// `None` where a hint was none.
    result: Option<Result<Loaded, ReloadError>>,
}

impl Reloads {
    /// For the configuration that is about to start; and what pages may ask for.
    pub(super) fn new(
        loaded: &Loaded,
        request: Request,
        registry: Arc<Registry>,
        own: Arc<Own>,
        set_log: SetLog,
        log: Arc<dyn server::LogLevel>,
    ) -> (Reloads, server::Controls) {
        let (sender, pages) = mpsc::channel(PAGE_QUEUE);
        let (effective, config) = watch::channel(loaded.effective());
        own.config_last_reload_successful.set(1.0);
        let mut reloads = Reloads {
            request: Arc::new(request),
            registry,
            own,
            set_log,
            in_force: Arc::new(InForce {
                root: loaded.root.clone(),
                limits: loaded.settings.limits.clone(),
                archives: loaded.settings.retention.is_some(),
                fixed: fixed(&loaded.settings),
            }),
            started: loaded.root.clone(),
            seen: Ok(loaded.source.clone()),
            signalled: false,
            pages,
            hint: Arc::default(),
            reading: None,
            effective,
            watching: JoinSet::new(),
        };
        let by_page = loaded.settings.runtime_reload;
        if by_page {
            reloads.watching.spawn(watcher::watch(reloads.request.directories(), reloads.hint.clone()));
        }
        (reloads, server::Controls { reload: by_page.then_some(sender), config, log })
    }

    /// A signal asks for it.
    pub(super) fn signal(&mut self) {
        self.signalled = true;
    }

    /// Forgets streams that nobody has written to for long.
    pub(super) fn sweep(&self) {
        if let Some(guard) = &self.in_force.limits.guard {
            guard.sweep(Instant::now());
        }
    }

    /// The next configuration that somebody wants to be in force. Cancel-safe.
    pub(super) async fn next(&mut self) -> Read {
        loop {
            if self.reading.is_none() {
                let asked = self.asked().await;
                let reading = self.begin(matches!(asked, Asked::File));
                self.reading = Some((asked, reading));
            }
            let Some((_, reading)) = &mut self.reading else { continue };
            let outcome = reading.await;
            let Some((asked, _)) = self.reading.take() else { continue };
            match outcome {
                Ok(Outcome { seen, result }) => {
                    self.seen = seen;
                    if let Some(result) = result {
                        return Read { asked, result };
                    }
                }
                // In release builds a panic has ended the process before.
                Err(_) => return Read { asked, result: Err(ReloadError::BrokeOff) },
            }
        }
    }

    async fn asked(&mut self) -> Asked {
        if std::mem::take(&mut self.signalled) {
            return Asked::Signal;
        }
        tokio::select! {
            Some(page) = self.pages.recv() => Asked::Page(page),
            () = self.hint.notified() => Asked::File,
        }
    }

    /// Reads and compiles on a thread of its own: lines and signals go on meanwhile.
    fn begin(&self, is_hint: bool) -> JoinHandle<Outcome> {
        let (request, registry, own) = (self.request.clone(), self.registry.clone(), self.own.clone());
        let (in_force, before) = (self.in_force.clone(), self.seen.clone());
        spawn_blocking(move || {
            let found = load::find(&request);
            let seen = found.as_ref().map(Source::clone).map_err(ToString::to_string);
            if is_hint && seen == before {
                return Outcome { seen, result: None };
            }
            let compile = |source| compile(&request, source, &in_force, &registry, &own);
            let result = found.map_err(ReloadError::from).and_then(compile);
            Outcome { seen, result: Some(result) }
        })
    }

    /// Takes a configuration over, or says why not, to whoever asked.
    pub(super) fn apply(&mut self, read: Read, running: &mut Running) {
        tell_systemd_reloading();
        let result = read.result.and_then(|loaded| self.take_over(loaded, running));
        let outcome = if result.is_ok() { "success" } else { "failure" };
        self.own.config_reloads.with("result", outcome).add(1.0);
        self.own.config_last_reload_successful.set(f64::from(u8::from(result.is_ok())));
        if let Err(error) = &result {
            // Who asks twice within a minute hears it twice, as this is no warning.
            error!(%error, "the configuration cannot be taken over, the one before stays in force");
        }
        if let Asked::Page(server::Reload(answer)) = read.asked {
            // Whoever does not wait for the answer finds it in the log.
            drop(answer.send(result.map_err(|error| error.to_string())));
        }
        super::notify(&[NotifyState::Ready]);
    }

    fn take_over(&mut self, loaded: Loaded, running: &mut Running) -> Result<(), ReloadError> {
        if loaded.root == self.in_force.root {
            info!(config = loaded.name, "the configuration is unchanged");
            return Ok(());
        }
        loaded.log_warnings();
        let effective = loaded.effective();
        let Loaded { name, root, settings, .. } = loaded;
        let clients = running.clients.change(settings.clients)?;
        let is_changed = |job: &str| job_parts(&self.in_force.root, job) != job_parts(&root, job);
        let wanted = Wanted {
            jobs: settings.jobs,
            sync_period: settings.sync_period,
            file_polls: settings.file_polls,
            horizon: clock::now(),
        };
        let jobs = running.sources.change(wanted, is_changed);
        (self.set_log)(settings.log_level, settings.log_format);
        for part in at_restart(&self.started, &root) {
            warn!(part, "this part of the configuration is taken over at a restart only");
        }
        settings.limits.announce(&self.own);
        let archives = self.in_force.archives;
        self.in_force = Arc::new(InForce { root, limits: settings.limits, archives, fixed: None });
        self.effective.send_replace(effective);
        info!(config = name, %jobs, %clients, "the configuration is in force");
        Ok(())
    }
}

/// Compiles against metrics of its own first, so that a configuration that is refused leaves none behind.
fn compile(
    request: &Request,
    source: Source,
    in_force: &InForce,
    registry: &Registry,
    own: &Own,
) -> Result<Loaded, ReloadError> {
    let trial = Registry::default();
    let trial_own = Own::register(&trial);
    let limits = Some(&in_force.limits);
    let tried = load::decode(request, source.clone(), limits, &trial, &trial_own)?;
    if tried.root == in_force.root {
        return Ok(tried);
    }
    let prints = tried.settings.clients.is_empty() && !in_force.archives;
    let prints = prints.then_some(PRINTING);
    if let Some(part) = in_force.fixed.or(prints) {
        return Err(ReloadError::NeedsRestart(part));
    }
    tried.verify(&trial_own).map_err(UnusableClient::from)?;
    match registry.conflict(&trial) {
        Some(conflict) => Err(ReloadError::Metric(conflict)),
        None => Ok(load::decode(request, source, limits, registry, own)?),
    }
}

/// What about a configuration that runs keeps any other from taking its place.
fn fixed(settings: &Settings) -> Option<&'static str> {
    match settings {
        Settings { stdin: true, .. } => Some("reading standard input ends"),
        settings if settings.prints() => Some(PRINTING),
        _ => None,
    }
}

/// All that the sources of a job are made of.
fn job_parts<'n>(root: &'n Node, name: &str) -> [Option<&'n Node>; 4] {
    let jobs = root.under("scrape_configs").list().unwrap_or_default();
    let job = jobs.iter().find(|job| job.under("job_name").scalar() == Some(name));
    let of_all = |key| Some(root.under(key));
    [job, of_all("limits_config"), of_all("cardinality"), of_all("global")]
}

/// What differs and stays as it was at the start.
fn at_restart(started: &Node, now: &Node) -> Vec<&'static str> {
    let server = |root: &Node| -> Vec<(Node, Node)> {
        let entries = root.under("server").entries().unwrap_or_default().iter();
        let applied = |key: &Node| matches!(key.scalar(), Some("log_level" | "log_format"));
        entries.filter(|(key, _)| !applied(key)).cloned().collect()
    };
    let block = |root: &Node, key: &str| root.under(key).clone();
    let stdin = |root: &Node| root.under("target_config").under("stdin").clone();
    let parts = [
        ("server", server(started) != server(now)),
        ("positions", block(started, "positions") != block(now, "positions")),
        ("metrics", block(started, "metrics") != block(now, "metrics")),
        ("retention", block(started, "retention") != block(now, "retention")),
        ("dead_letter", block(started, "dead_letter") != block(now, "dead_letter")),
        ("target_config.stdin", stdin(started) != stdin(now)),
    ];
    parts.into_iter().filter(|(_, differs)| *differs).map(|(part, _)| part).collect()
}

/// The time tells systemd which READY is the answer.
fn tell_systemd_reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => super::notify(&[NotifyState::Reloading, now]),
        Err(error) => warn!(%error, "systemd cannot be told of a reload"),
    }
}
