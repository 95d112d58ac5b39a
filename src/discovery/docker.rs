//! Finds containers through the Docker API and follows each one's log, once.
//! In: lists (the truth) and events (hints).  Out: running followers.  Owns: the followers of one daemon of one job.

mod meta;
mod own_container;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};
use bollard::query_parameters::{EventsOptions, ListContainersOptions};
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::clock::{self, Instant};
use crate::custody::Ledger;
use crate::metrics::Own;
use crate::pipeline::relabel::{self, Rule};
use crate::pipeline::{Intake, Outlet, Pipeline};
use crate::record::{Labels, UnixNanos};
use crate::source::docker::{Ended, Endpoint, Follow, parse_time};

/// Log streams of one daemon that open at the same time; each makes dockerd read a log.
const OPENING_AT_ONCE: usize = 4;

/// Events arrive in bursts (a compose project starting); one list answers for all of a burst.
const EVENT_PAUSE: Duration = Duration::from_millis(50);

/// An event stream that ends sooner was refused (a socket proxy may), and is not asked for again at once.
const EVENTS_WORKED: Duration = Duration::from_secs(5);

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
    pub(crate) own: Own,
    pub(crate) stop: CancellationToken,
    /// Containers that stopped before this and that nobody has a position for stay unread.
    pub(crate) horizon: UnixNanos,
}

#[derive(Default)]
struct State {
    docker: Option<Docker>,
    /// Ids of containers being followed.
    followed: HashSet<String>,
    running: JoinSet<(String, Ended)>,
    /// Stopped containers that have been read to their end, or are none of our business.
    read: HashSet<String>,
    /// Followed containers that were started again while they were followed: a follower that ends may have missed it.
    restarted: HashSet<String>,
    /// The daemon did not answer the last time.
    failing: bool,
    /// It was said that there are no events.
    without_events: bool,
}

impl Containers {
    /// Runs until stopped; returns when every follower has ended.
    pub(crate) async fn run(self) {
        let mut state = State::default();
        tokio::select! {
            () = self.look(&mut state) => {}
            () = self.stop.cancelled() => {}
        }
        while let Some(ended) = state.running.join_next().await {
            self.ended(ended, &mut state);
        }
    }

    async fn look(&self, state: &mut State) {
        let openings = Arc::new(Semaphore::new(OPENING_AT_ONCE));
        let own_id = own_container::id();
        let mut events: Option<BoxStream<'static, Event>> = None;
        let mut subscribed = Instant::now();
        loop {
            let asked = clock::now();
            if let Some((docker, containers)) = self.list(state).await {
                self.reconcile(&docker, containers, own_id.as_deref(), &openings, state).await;
                if events.is_none() && Instant::now() >= subscribed {
                    events = Some(subscribe(&docker, asked));
                    subscribed = Instant::now();
                }
            }
            tokio::select! {
                () = sleep(self.settings.refresh_interval) => {}
                event = next(&mut events) => match event {
                    Some(event) => {
                        state.note(event);
                        sleep(EVENT_PAUSE).await;
                        while let Some(Some(event)) = next(&mut events).now_or_never() {
                            state.note(event);
                        }
                    }
                    None => {
                        events = None;
                        subscribed = self.unsubscribed(subscribed, state);
                    }
                },
                Some(ended) = state.running.join_next(), if !state.running.is_empty() => self.ended(ended, state),
            }
            // Whoever ended meanwhile is let go before the list is compared.
            while let Some(ended) = state.running.try_join_next() {
                self.ended(ended, state);
            }
        }
    }

    /// The event stream ended; when to ask for it again. Lists go on meanwhile.
    fn unsubscribed(&self, since: Instant, state: &mut State) -> Instant {
        let now = Instant::now();
        if now - since >= EVENTS_WORKED {
            // Starts may be missed while nobody listens: stopped containers are looked at once more.
            state.read.clear();
            return now;
        }
        self.own.docker_errors.with("operation", "events").add(1.0);
        if !std::mem::replace(&mut state.without_events, true) {
            let every = self.settings.refresh_interval;
            warn!(job = %self.job, host = %self.settings.host, ?every, "Docker gives no events, containers are found by listing");
        }
        now + self.settings.refresh_interval.max(EVENTS_WORKED)
    }

    /// All containers, running or not.
    async fn list(&self, state: &mut State) -> Option<(Docker, Vec<ContainerSummary>)> {
        let listed = async {
            let docker = match state.docker.take() {
                Some(docker) => docker,
                None => self.settings.endpoint.docker()?.negotiate_version().await?,
            };
            // `all`, because a container may have run and stopped between two lists.
            let filters = Some(self.settings.filters.clone()).filter(|filters| !filters.is_empty());
            let options = ListContainersOptions { all: true, filters, ..ListContainersOptions::default() };
            let containers = docker.list_containers(Some(options)).await?;
            Ok::<_, bollard::errors::Error>((docker, containers))
        };
        match listed.await {
            Ok((docker, containers)) => {
                if std::mem::take(&mut state.failing) {
                    info!(job = %self.job, host = %self.settings.host, "the Docker daemon answers again");
                }
                state.docker = Some(docker.clone());
                Some((docker, containers))
            }
            Err(error) => {
                self.own.docker_errors.with("operation", "list").add(1.0);
                if !std::mem::replace(&mut state.failing, true) {
                    let every = self.settings.refresh_interval;
                    warn!(job = %self.job, host = %self.settings.host, %error, ?every, "no answer from Docker, looking again");
                }
                None
            }
        }
    }

    async fn reconcile(
        &self,
        docker: &Docker,
        containers: Vec<ContainerSummary>,
        own_id: Option<&str>,
        openings: &Arc<Semaphore>,
        state: &mut State,
    ) {
        let listed: HashSet<&str> =
            containers.iter().filter_map(|container| container.id.as_deref()).collect();
        state.read.retain(|id| listed.contains(id.as_str()));
        for container in &containers {
            let Some(id) = container.id.as_deref() else { continue };
            self.ledger.seen(&self.key(id));
            // Reading its own log, the agent would write about what it read and read that.
            if own_id.is_some_and(|own| id.starts_with(own)) || state.followed.contains(id) {
                continue;
            }
            let running = is_running(container);
            if !running && state.read.contains(id) {
                continue;
            }
            if !running {
                match self.wants_stopped(docker, id).await {
                    Some(true) => {}
                    Some(false) => {
                        state.read.insert(id.to_owned());
                        continue;
                    }
                    None => continue,
                }
            }
            state.read.remove(id);
            self.start(docker, container, id, openings, state);
        }
    }

    fn start(
        &self,
        docker: &Docker,
        container: &ContainerSummary,
        id: &str,
        openings: &Arc<Semaphore>,
        state: &mut State,
    ) {
        let name = meta::name(container);
        let [stdout, stderr] = self.labels(container);
        // Decided once for the container: what relabelling drops is not even opened.
        if stdout.is_none() && stderr.is_none() {
            debug!(job = %self.job, container = %name, "dropped by relabelling");
            return;
        }
        info!(job = %self.job, container = %name, id = short(id), "following container");
        let key = self.key(id);
        if let Some(cursor) = self.ledger.imported_container(id) {
            self.ledger.track(&key, &name).begin_at(cursor);
        }
        let follow = Follow {
            id: id.to_owned(),
            name: name.clone(),
            endpoint: self.settings.endpoint.clone(),
            docker: docker.clone(),
            ledger: self.ledger.clone(),
            key,
            intake: Intake::new(&self.pipeline, "docker", stdout.as_ref(), stderr.as_ref(), &self.outlet),
            own: self.own.clone(),
            openings: openings.clone(),
            vanishes: false,
            stop: self.stop.clone(),
        };
        let id = id.to_owned();
        state.followed.insert(id.clone());
        self.own.targets_active.with("source", "docker").add(1.0);
        state.running.spawn(async move { (id, follow.run().await) });
    }

    /// Labels of stdout and of stderr after relabelling.
    fn labels(&self, container: &ContainerSummary) -> [Option<Labels>; 2] {
        ["stdout", "stderr"].map(|stream| {
            if self.rules.is_empty() {
                // Promtail sends such lines without any label, and Loki cannot tell them apart.
                return Some(meta::default_labels(container, stream));
            }
            relabel::apply(&self.rules, meta::labels(container, stream, &self.settings)).map(relabel::visible)
        })
    }

    /// True for a stopped container whose log may hold something new: one that was read before, or that stopped
    /// while nobody looked. Containers that were dead before the agent first ran are left alone. `None` where Docker does
    /// not say; the next list asks again.
    async fn wants_stopped(&self, docker: &Docker, id: &str) -> Option<bool> {
        if self.ledger.find(&self.key(id)).is_some() || self.ledger.imported_container(id).is_some() {
            return Some(true);
        }
        let Ok(inspected) = docker.inspect_container(id, None).await else {
            self.own.docker_errors.with("operation", "inspect").add(1.0);
            return None;
        };
        let finished = inspected.state.and_then(|state| state.finished_at);
        Some(finished.as_deref().and_then(parse_time).is_some_and(|finished| finished >= self.horizon))
    }

    fn ended(&self, ended: Result<(String, Ended), tokio::task::JoinError>, state: &mut State) {
        match ended {
            Ok((id, ended)) => {
                debug!(job = %self.job, id = short(&id), ?ended, "container is not followed any more");
                state.followed.remove(&id);
                if !state.restarted.remove(&id) && ended == Ended::Drained {
                    state.read.insert(id);
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

impl State {
    fn note(&mut self, event: Event) {
        let Event { id, started } = event;
        if started && self.followed.contains(&id) {
            self.restarted.insert(id);
        } else if started {
            self.read.remove(&id);
        }
    }
}

/// A container event: a hint that the list has changed.
struct Event {
    id: String,
    started: bool,
}

fn is_running(container: &ContainerSummary) -> bool {
    use ContainerSummaryStateEnum::{PAUSED, RESTARTING, RUNNING};
    matches!(container.state, Some(RUNNING | PAUSED | RESTARTING))
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// Container events from `since` on, so that none falls between a list and the subscription.
fn subscribe(docker: &Docker, since: UnixNanos) -> BoxStream<'static, Event> {
    let filters = HashMap::from([
        ("type".to_owned(), vec!["container".to_owned()]),
        ("event".to_owned(), ["create", "start", "die", "destroy", "rename"].map(str::to_owned).to_vec()),
    ]);
    let options = EventsOptions {
        filters: Some(filters),
        since: Some(since.seconds().to_string()),
        ..EventsOptions::default()
    };
    // The stream borrows its client, so it owns a clone of it.
    let docker = docker.clone();
    let events = docker.events(Some(options)).take_while(|event| std::future::ready(event.is_ok()));
    let events = events.filter_map(|event| async {
        let event = event.ok()?;
        let started = event.action.as_deref() == Some("start");
        Some(Event { id: event.actor?.id?, started })
    });
    Box::pin(events)
}

/// Cancel-safe: an event not yet given is still in the stream.
async fn next(events: &mut Option<BoxStream<'static, Event>>) -> Option<Event> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}
