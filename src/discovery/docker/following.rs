//! Decides which containers are followed, and follows them.
//! In: containers from a list or just started.  Out: running followers, with their labels.  Owns: nothing.

use std::sync::Arc;

use bollard::Docker;
use tokio::sync::{Notify, mpsc, watch};
use tracing::{debug, info, warn};

use crate::discovery::docker::arrivals::Arrival;
use crate::discovery::docker::listed::Container;
use crate::discovery::docker::networks::Networks;
use crate::discovery::docker::state::{Facts, Followed, Shared, State};
use crate::discovery::docker::{Containers, meta, short};
use crate::pipeline::relabel::LabelMap;
use crate::pipeline::{Intake, relabel};
use crate::source::docker::{Follow, FoundStarted, OutputLabels};
use crate::targets::{Description, LeftOutJob};

impl Containers {
    /// A container was started and looked at.
    pub(super) fn arrived(&self, arrival: Arrival, shared: &Shared, state: &mut State) {
        let Arrival { id, container, found } = arrival;
        state.started(id);
        let (Some(container), Some(docker)) = (container, state.docker.clone()) else { return };
        let is_own = shared.own_id.as_ref().is_some_and(|own| container.id.starts_with(own));
        if is_own || state.is_gone(&container.id) {
            return;
        }
        if let Some(followed) = state.followed.get(&container.id) {
            if let Some(found) = found {
                // Another that waits there is as good.
                drop(followed.finds.try_send(found));
            }
            return;
        }
        let facts = Facts { networks: state.networks.generation(), container };
        let Some(labels) = self.wanted(&facts, state) else { return };
        match found {
            Some(found) => self.start(&docker, facts, labels, Some(found), shared, state),
            None => {
                self.own.docker_containers_missed.with("reason", "gone").add(1.0);
                let (job, name) = (&self.job, meta::name(&facts.container));
                warn!(%job, container = %name, "a container was removed before its log could be opened");
            }
        }
    }

    /// Follows a container that nobody follows, if it is to be.
    pub(super) async fn consider(&self, docker: &Docker, facts: Facts, shared: &Shared, state: &mut State) {
        let (id, running) = (facts.container.id.clone(), facts.container.is_running());
        let restarted = state.restarted.remove(&id);
        if !running && state.read.contains(&id) && !restarted {
            return;
        }
        let Some(labels) = self.wanted(&facts, state) else { return };
        if !running {
            match self.wants_stopped(docker, &id).await {
                Some(true) => {}
                Some(false) => {
                    state.read.insert(id);
                    return;
                }
                None => return,
            }
        }
        state.read.remove(&id);
        self.start(docker, facts, labels, None, shared, state);
    }

    /// The labels of a container that is to be followed.
    fn wanted(&self, facts: &Facts, state: &mut State) -> Option<OutputLabels> {
        let container = &facts.container;
        let is_known = state.dropped.get(&container.id).is_some_and(|(before, _)| before == facts);
        if is_known || state.mute.contains(&container.id) {
            return None;
        }
        let allowed = self.settings.hints.allow(&container.labels, &self.job);
        let labels = if allowed { self.labels(container, &state.networks) } else { [None, None] };
        // Decided before the log is opened: what relabelling drops is not even read.
        if labels.iter().all(Option::is_none) {
            let reason = if allowed { "relabelling drops it" } else { "its own labels say so" };
            debug!(job = %self.job, container = %meta::name(container), reason, "container is left alone");
            state.dropped.insert(container.id.clone(), (facts.clone(), reason));
            return None;
        }
        state.dropped.remove(&container.id);
        Some(labels)
    }

    fn start(
        &self,
        docker: &Docker,
        facts: Facts,
        labels: OutputLabels,
        found: Option<FoundStarted>,
        shared: &Shared,
        state: &mut State,
    ) {
        let (id, name) = (facts.container.id.clone(), meta::name(&facts.container));
        info!(job = %self.job, container = %name, id = short(&id), "following container");
        let key = self.key(&id);
        if let Some(cursor) = self.ledger.imported_container(&id) {
            self.ledger.track(&key, &name).begin_at(cursor);
        }
        let [stdout, stderr] = &labels;
        let target = self.outlet.targets.add(Description {
            job: self.job.clone(),
            kind: "docker",
            name: name.clone(),
            discovered: self.discovered(&facts.container, &state.networks),
            labels: stdout.as_ref().or(stderr.as_ref()).cloned().unwrap_or_default(),
        });
        let intake = Intake::new(&self.pipeline, target, stdout.as_ref(), stderr.as_ref(), &self.outlet);
        let (labels, changed) = watch::channel(labels);
        let (stop, ended) = (self.stop.child_token(), Arc::new(Notify::new()));
        let (finds, receiver) = mpsc::channel(1);
        let mut follow = Follow {
            id: id.clone(),
            name,
            endpoint: self.settings.endpoint.clone(),
            docker: docker.clone(),
            ledger: self.ledger.clone(),
            key,
            intake,
            labels: changed,
            own: self.own.clone(),
            openings: shared.openings.clone(),
            questions: shared.questions.clone(),
            logs: shared.logs.clone(),
            ended: ended.clone(),
            found,
            finds: receiver,
            vanishes: false,
            removed: false,
            stop: stop.clone(),
        };
        state.followed.insert(id.clone(), Followed { facts, labels, ended, finds, stop });
        self.own.targets_active.with("source", "docker").add(1.0);
        state.running.spawn(async move { (id, follow.run().await) });
    }

    /// Tells a follower that its container has other labels now. Not of a container that is not up, which has lost its
    /// addresses and ports: its last lines belong to the others.
    pub(super) fn relabel(&self, followed: &mut Followed, facts: Facts, networks: &Networks) {
        if !facts.container.is_up() || followed.facts == facts {
            return;
        }
        let name = meta::name(&facts.container);
        let labels = self.labels(&facts.container, networks);
        followed.facts = facts;
        if labels.iter().all(Option::is_none) {
            info!(job = %self.job, container = %name, "relabelling drops the container now");
            followed.stop.cancel();
            return;
        }
        let changed = followed.labels.send_if_modified(|before| {
            let changed = *before != labels;
            *before = labels;
            changed
        });
        if changed {
            info!(job = %self.job, container = %name, "container has other labels now");
        }
    }

    /// Shows what is left alone.
    pub(super) fn show_left_out(&self, state: &State) {
        let mut left_out = LeftOutJob::default();
        for (facts, reason) in state.dropped.values() {
            left_out.add(*reason, || self.discovered(&facts.container, &state.networks));
        }
        self.outlet.targets.leave_out(&self.reader, left_out);
    }

    /// Labels of stdout before relabelling.
    fn discovered(&self, container: &Container, networks: &Networks) -> LabelMap {
        meta::labels(container, networks, "stdout", &self.settings)
    }

    /// Labels of stdout and of stderr after relabelling.
    fn labels(&self, container: &Container, networks: &Networks) -> OutputLabels {
        ["stdout", "stderr"].map(|stream| {
            if self.rules.is_empty() {
                // Promtail sends such lines without any label, and Loki cannot tell them apart.
                return Some(meta::default_labels(container, stream));
            }
            let labels = meta::labels(container, networks, stream, &self.settings);
            relabel::apply(&self.rules, labels).map(relabel::visible)
        })
    }
}
