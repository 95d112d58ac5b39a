//! Finds containers through the Docker API and follows each one's log, once.
//! In: lists (the truth) and events (hints).  Out: running followers.  Owns: the followers of one daemon of one job.

mod arrivals;
mod events;
mod following;
mod hints;
mod listed;
mod meta;
mod networks;
mod own_container;
mod state;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bollard::Docker;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::clock::{self, Instant};
use crate::custody::Ledger;
use crate::discovery::docker::arrivals::Arrivals;
use crate::discovery::docker::events::{Event, Heard, Subscription};
use crate::discovery::docker::listed::Container;
use crate::discovery::docker::networks::{Networks, Refreshed};
use crate::discovery::docker::state::{Facts, Shared, State};
use crate::flow::{Backoff, BackoffSettings};
use crate::http::chain;
use crate::metrics::Own;
use crate::pipeline::relabel::Rule;
use crate::pipeline::{Outlet, Pipeline};
use crate::record::UnixNanos;
use crate::source::docker::{CallError, Ended, Endpoint, Inspected, WantedLogs};

pub(crate) use hints::Hints;

/// Events arrive in bursts (a compose project starting); one list answers for all of a burst.
const EVENT_PAUSE: Duration = Duration::from_millis(50);

/// Waits before a daemon that does not answer is asked again.
const RETRY: BackoffSettings =
    BackoffSettings { min: Duration::from_millis(200), max: Duration::from_secs(5) };

/// One `docker_sd_configs` item.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) host: String,
    pub(crate) endpoint: Endpoint,
    pub(crate) refresh_interval: Duration,
    pub(crate) filters: HashMap<String, Vec<String>>,
    /// Port of `__address__` where a container exposes none.
    pub(crate) port: u64,
    /// Address of containers in the host's network.
    pub(crate) host_networking_host: String,
    pub(crate) hints: Hints,
    /// The agent's own container is read as others are.
    pub(crate) own_container: bool,
    pub(crate) logs: WantedLogs,
}

/// Everything one daemon's discovery needs.
pub(crate) struct Containers {
    pub(crate) settings: Settings,
    pub(crate) job: String,
    /// What its keys in the ledger end in where several follow the same container.
    pub(crate) reader: String,
    /// The readers before it.
    pub(crate) seniors: Vec<String>,
    pub(crate) rules: Arc<Vec<Rule>>,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) outlet: Outlet,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) own: Arc<Own>,
    pub(crate) stop: CancellationToken,
    /// Containers that stopped before this and that nobody has a position for stay unread.
    pub(crate) horizon: UnixNanos,
}

#[derive(Debug, thiserror::Error)]
enum ListError {
    #[error(transparent)]
    Negotiate(#[from] bollard::errors::Error),
    #[error(transparent)]
    Call(#[from] CallError),
}

impl Containers {
    /// Runs until stopped; returns when every follower has ended.
    pub(crate) async fn run(self) {
        let mut state = State::new(Networks::new(&self.rules));
        tokio::select! {
            () = self.look(&mut state) => {}
            () = self.stop.cancelled() => {}
        }
        self.outlet.troubles.clear(&self.daemon());
        while let Some(ended) = state.running.join_next().await {
            self.ended(ended, &mut state);
        }
    }

    /// What it is called where there is trouble with it.
    fn daemon(&self) -> String {
        format!("docker {} of job {}", self.settings.host, self.reader)
    }

    async fn look(&self, state: &mut State) {
        let mut shared = Shared::new(self.settings.logs);
        shared.own_id = own_container::id().filter(|_| !self.settings.own_container);
        let mut events = Subscription::new(self.settings.refresh_interval);
        let mut retry = Backoff::new(RETRY);
        loop {
            let asked = clock::now();
            let mut pause = self.settings.refresh_interval;
            if let Some((docker, containers)) = self.list(state).await {
                retry = Backoff::new(RETRY);
                self.reconcile(&docker, containers, &shared, state).await;
                self.show_left_out(state);
                if let Some(until) = events.renew(&docker, asked, || self.arrivals(&docker)) {
                    pause = pause.min(until);
                }
            } else {
                pause = pause.min(retry.next());
            }
            let mut next_list = Instant::now() + pause;
            while Instant::now() < next_list {
                let soon = next_list.min(Instant::now() + EVENT_PAUSE);
                tokio::select! {
                    () = sleep_until(next_list) => {}
                    heard = events.next() => match heard {
                        Heard::Event(Event::Arrived(arrival)) => self.arrived(*arrival, &shared, state),
                        heard => {
                            self.note(heard, state);
                            next_list = soon;
                        }
                    },
                    Some(ended) = state.running.join_next(), if !state.running.is_empty() => {
                        self.ended(ended, state);
                        next_list = soon;
                    }
                }
            }
            // Whoever ended meanwhile is let go before the list is compared.
            while let Some(ended) = state.running.try_join_next() {
                self.ended(ended, state);
            }
        }
    }

    fn arrivals(&self, docker: &Docker) -> Arrivals {
        Arrivals {
            endpoint: self.settings.endpoint.clone(),
            version: docker.client_version().to_string(),
            filters: self.settings.filters.clone(),
            logs: self.settings.logs,
            directory: OnceLock::new(),
        }
    }

    fn note(&self, heard: Heard, state: &mut State) {
        match heard {
            Heard::Event(event) => return state.note(event),
            // Starts may be missed while nobody listens: stopped containers are looked at once more.
            Heard::Ended { worked: true } => return state.read.clear(),
            Heard::Ended { worked: false } | Heard::Refused => {}
        }
        self.own.docker_errors.with("operation", "events").add(1.0);
        if !std::mem::replace(&mut state.without_events, true) {
            let (job, host, every) = (&self.job, &self.settings.host, self.settings.refresh_interval);
            warn!(%job, %host, ?every, "Docker gives no events, containers are found by listing");
        }
    }

    /// All containers, running or not.
    async fn list(&self, state: &mut State) -> Option<(Docker, Vec<Container>)> {
        let endpoint = &self.settings.endpoint;
        let listed = async {
            let docker = match state.docker.take() {
                Some(docker) => docker,
                None => {
                    state.networks.reset();
                    endpoint.docker()?.negotiate_version().await?
                }
            };
            let version = docker.client_version().to_string();
            let mut containers: Vec<Container> =
                endpoint.containers(&version, &self.settings.filters).await?;
            listed::lend_networks(&mut containers);
            if let Refreshed::Refused(error) = state.networks.refresh(&containers, endpoint, &version).await?
            {
                let (job, host) = (&self.job, &self.settings.host);
                warn!(%job, %host, error = %chain(&error), "Docker does not tell about networks, their labels are left out");
            }
            Ok::<_, ListError>((docker, containers))
        };
        match listed.await {
            Ok((docker, containers)) => {
                self.own.path.discovered("docker");
                if std::mem::take(&mut state.failing) {
                    self.outlet.troubles.clear(&self.daemon());
                    info!(job = %self.job, host = %self.settings.host, "the Docker daemon answers again");
                }
                state.docker = Some(docker.clone());
                Some((docker, containers))
            }
            Err(error) => {
                self.own.docker_errors.with("operation", "list").add(1.0);
                self.own.path.discovery_failed("docker");
                if !std::mem::replace(&mut state.failing, true) {
                    let (job, host, error) = (&self.job, &self.settings.host, chain(&error));
                    self.outlet.troubles.set(&self.daemon(), format!("no answer: {error}"));
                    warn!(%job, %host, error, "no answer from Docker, looking again");
                }
                None
            }
        }
    }

    async fn reconcile(
        &self,
        docker: &Docker,
        containers: Vec<Container>,
        shared: &Shared,
        state: &mut State,
    ) {
        let running: HashSet<&str> = containers
            .iter()
            .filter(|container| container.is_running())
            .map(|container| container.id.as_str())
            .collect();
        // Events may be missed.
        let ended = state.followed.iter().filter(|(id, _)| !running.contains(id.as_str()));
        ended.for_each(|(_, followed)| followed.ended.notify_one());
        let listed: HashSet<&str> = containers.iter().map(|container| container.id.as_str()).collect();
        state.dropped.retain(|id, _| listed.contains(id.as_str()));
        state.mute.retain(|id| listed.contains(id.as_str()));
        state.restarted.retain(|id| listed.contains(id.as_str()));
        let left: Vec<String> = state.read.extract_if(|id| !listed.contains(id.as_str())).collect();
        for id in left {
            if self.is_gone(docker, &id).await {
                // One that was listed before its start, and not read, may still be heard of.
                let was_read = self.ledger.find(&self.key(&id)).is_some();
                self.ledger.forget_container(&id, &self.key(&id));
                if was_read {
                    state.removed(id);
                }
            }
        }
        for container in containers {
            let id = container.id.as_str();
            self.ledger.seen(&self.key(id));
            // Reading its own log, the agent would write about what it read and read that.
            if shared.own_id.as_ref().is_some_and(|own| id.starts_with(own)) {
                continue;
            }
            let facts = Facts { networks: state.networks.generation(), container };
            if let Some(followed) = state.followed.get_mut(&facts.container.id) {
                self.relabel(followed, facts, &state.networks);
            } else {
                self.consider(docker, facts, shared, state).await;
            }
        }
    }

    /// True for a container that is not in the list because it is not there any more.
    async fn is_gone(&self, docker: &Docker, id: &str) -> bool {
        // A filter may not let it through any more.
        self.settings.filters.is_empty()
            || self.inspect(docker, id).await.is_err_and(|error| error.is_not_found())
    }

    /// True for a stopped container whose log may hold something new: one that was read before, or that stopped
    /// while nobody looked. Containers that were dead before the agent first ran are left alone. `None` where Docker does
    /// not say; the next list asks again.
    async fn wants_stopped(&self, docker: &Docker, id: &str) -> Option<bool> {
        if self.ledger.find(&self.key(id)).is_some() || self.ledger.imported_container(id).is_some() {
            return Some(true);
        }
        let Ok(inspected) = self.inspect(docker, id).await else {
            self.own.docker_errors.with("operation", "inspect").add(1.0);
            return None;
        };
        Some(inspected.finished().is_some_and(|finished| finished >= self.horizon))
    }

    async fn inspect(&self, docker: &Docker, id: &str) -> Result<Inspected, CallError> {
        Inspected::of(&self.settings.endpoint, &docker.client_version().to_string(), id).await
    }

    fn ended(&self, ended: Result<(String, Ended), tokio::task::JoinError>, state: &mut State) {
        match ended {
            Ok((id, ended)) => {
                debug!(job = %self.job, id = short(&id), ?ended, "container is not followed any more");
                state.followed.remove(&id);
                match ended {
                    // Ids do not come back.
                    Ended::Removed => {
                        self.ledger.forget_container(&id, &self.key(&id));
                        state.removed(id);
                    }
                    Ended::Unreadable => drop(state.mute.insert(id)),
                    Ended::Drained => drop(state.read.insert(id)),
                    Ended::Stopped => {}
                }
            }
            // In release builds a panic has ended the process before.
            Err(error) => warn!(job = %self.job, %error, "a follower ended unexpectedly"),
        }
        self.own.targets_active.with("source", "docker").add(-1.0);
    }

    fn key(&self, id: &str) -> String {
        self.ledger.key_of(&format!("docker:{id}"), &self.reader, &self.seniors)
    }
}

/// A list of containers: each has labels, and lending networks comes to an end.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz(input: &[u8]) {
    let Ok(mut containers) = serde_json::from_slice::<Vec<Container>>(input) else { return };
    listed::lend_networks(&mut containers);
    for container in &containers {
        let labels = meta::default_labels(container, "stdout");
        assert!(labels.render().starts_with('{'));
    }
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
