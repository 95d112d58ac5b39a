//! The sources of all jobs, replaced while others go on.
//! In: the jobs that are wanted.  Out: chunks through the outlet.  Owns: their tasks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::agent::reload::Changed;
use crate::agent::settings::{Files, Job};
use crate::custody::{Ledger, Times};
use crate::discovery::{docker, files};
use crate::metrics::Own;
use crate::pipeline::{Intake, Outlet, Pipeline};
use crate::record::{Labels, UnixNanos};
use crate::source::file::Descriptors;
use crate::source::gelf::{self, Gelf};
use crate::source::journal::{self, Journal};
use crate::source::push::{self, Push};
use crate::source::reception::Reception;
use crate::source::stdin::Stdin;
use crate::source::syslog::{self, Syslog};
use crate::targets::{Description, Target};

/// All sources.
pub(super) struct Sources {
    /// The longest known first: their keys in the ledger stay theirs, whatever order a new configuration has them in.
    running: Vec<Running>,
    tasks: JoinSet<()>,
    /// What the task that follows all files is told.
    files: Option<watch::Sender<files::Wanted>>,
    outlet: Outlet,
    ledger: Arc<Ledger>,
    times: Arc<Times>,
    own: Arc<Own>,
    stop: CancellationToken,
}

struct Running {
    name: String,
    pipeline: Arc<Pipeline>,
    /// Ends its sources between two chunks.
    stop: CancellationToken,
    /// Names of its Docker readers.
    readers: Vec<String>,
    files: Option<Arc<files::Job>>,
    receptions: Vec<Arc<Reception>>,
    horizon: UnixNanos,
}

impl Running {
    /// Its own name, or that of one of its Docker readers.
    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.readers.iter().any(|reader| reader == name)
    }
}

/// What is to be read, and how.
pub(super) struct Wanted {
    pub(super) jobs: Vec<Job>,
    pub(super) sync_period: Duration,
    pub(super) file_polls: (Duration, Duration),
    /// What ended before this, and nobody has a position for, is left alone by jobs that are new.
    pub(super) horizon: UnixNanos,
}

impl Sources {
    pub(super) fn new(
        outlet: Outlet,
        ledger: Arc<Ledger>,
        times: Arc<Times>,
        own: Arc<Own>,
        stop: CancellationToken,
    ) -> Sources {
        let (running, tasks) = (Vec::new(), JoinSet::new());
        Sources { running, tasks, files: None, outlet, ledger, times, own, stop }
    }

    /// Reads standard input and nothing else.
    pub(super) fn start_stdin(&mut self, stdin: Stdin) {
        self.tasks.spawn(stdin.run());
    }

    pub(super) fn are_none(&self) -> bool {
        self.running.is_empty()
    }

    /// Reads these jobs from now on. One that is there already is not touched unless it is among the `changed`. The old
    /// sources end after the chunk at hand, and the new ones go on from there, target by target; nobody waits for it.
    pub(super) fn change(&mut self, wanted: Wanted, is_changed: impl Fn(&str) -> bool) -> Changed {
        while self.tasks.try_join_next().is_some() {}
        let Wanted { mut jobs, sync_period, file_polls, horizon } = wanted;
        let mut changed = Changed::default();
        let (mut leaving, mut bequests) = (Vec::new(), Vec::new());
        for before in std::mem::take(&mut self.running) {
            match jobs.iter().position(|job| job.name == before.name) {
                Some(index) if is_changed(&before.name) => {
                    changed.replaced += 1;
                    leaving.push(before.stop);
                    bequests.extend(before.receptions);
                    self.start(jobs.remove(index), before.horizon, &bequests);
                }
                Some(index) => {
                    jobs.remove(index);
                    self.running.push(before);
                }
                None => {
                    changed.removed += 1;
                    leaving.push(before.stop);
                    bequests.extend(before.receptions);
                }
            }
        }
        changed.started = jobs.len();
        jobs.into_iter().for_each(|job| self.start(job, horizon, &bequests));
        let pipelines = self.running.iter().map(|job| (job.name.clone(), job.pipeline.totals.clone()));
        self.outlet.stages.show(pipelines.collect());
        let running = &self.running;
        self.outlet.targets.forget_left_out(|name| running.iter().any(|job| job.is_called(name)));
        let jobs = self.running.iter().filter_map(|job| job.files.clone()).collect();
        self.follow_files(files::Wanted { jobs, sync_period, polls: file_polls }, horizon);
        leaving.into_iter().for_each(|stop| stop.cancel());
        changed
    }

    /// Starts what inherits from `bequests`, whose sources are told to stop only after this.
    fn start(&mut self, job: Job, horizon: UnixNanos, bequests: &[Arc<Reception>]) {
        let stop = self.stop.child_token();
        let receptions: Vec<_> = job.receptions().cloned().collect();
        for reception in &receptions {
            bequests.iter().any(|before| reception.inherit(before));
        }
        let mut readers = Vec::new();
        for (number, settings) in job.docker.into_iter().enumerate() {
            let reader = if number == 0 { job.name.clone() } else { format!("{}/{number}", job.name) };
            let seniors = self.running.iter().flat_map(|job| &job.readers).chain(&readers).cloned().collect();
            readers.push(reader.clone());
            let containers = docker::Containers {
                settings,
                job: job.name.clone(),
                reader,
                seniors,
                rules: job.rules.clone(),
                pipeline: job.pipeline.clone(),
                outlet: self.outlet.clone(),
                ledger: self.ledger.clone(),
                own: self.own.clone(),
                stop: stop.clone(),
                horizon,
            };
            self.tasks.spawn(containers.run());
        }
        if let Some(settings) = job.push {
            let target = self.target(&job.name, push::KIND, settings.port.to_string());
            let intake = Intake::mixed(&job.pipeline, job.rules.clone(), target, &self.outlet);
            let push =
                Push { job: job.name.clone(), settings, intake, own: self.own.clone(), stop: stop.clone() };
            self.tasks.spawn(push.run());
        }
        if let Some(settings) = job.syslog {
            let target = self.target(&job.name, syslog::KIND, settings.reception.to_string());
            let intake = Intake::mixed(&job.pipeline, job.rules.clone(), target, &self.outlet);
            let syslog =
                Syslog { job: job.name.clone(), settings, intake, own: self.own.clone(), stop: stop.clone() };
            self.tasks.spawn(syslog.run());
        }
        if let Some(settings) = job.gelf {
            let target = self.target(&job.name, gelf::KIND, settings.reception.to_string());
            let intake = Intake::mixed(&job.pipeline, job.rules.clone(), target, &self.outlet);
            let gelf =
                Gelf { job: job.name.clone(), settings, intake, own: self.own.clone(), stop: stop.clone() };
            self.tasks.spawn(gelf.run());
        }
        if let Some(settings) = job.journal {
            let path =
                settings.path.as_ref().map_or("the system's".to_owned(), |path| path.display().to_string());
            let target = self.target(&job.name, journal::KIND, path);
            let journal = Journal {
                job: job.name.clone(),
                settings,
                rules: job.rules.clone(),
                intake: Intake::mixed(&job.pipeline, job.rules.clone(), target, &self.outlet),
                ledger: self.ledger.clone(),
                own: self.own.clone(),
                stop: stop.clone(),
            };
            self.tasks.spawn(journal.run());
        }
        let files = (!job.files.is_none()).then(|| {
            let Files { groups, lists, left_out, how } = job.files;
            let (name, pipeline, stop) = (job.name.clone(), job.pipeline.clone(), stop.clone());
            Arc::new(files::Job { name, groups, lists, left_out, how, pipeline, stop })
        });
        let Job { name, pipeline, .. } = job;
        self.running.push(Running { name, pipeline, stop, readers, files, receptions, horizon });
    }

    /// What is there from the start, without discovery.
    fn target(&self, job: &str, kind: &'static str, name: String) -> Target {
        self.outlet.targets.add(Description {
            job: job.to_owned(),
            kind,
            name,
            discovered: BTreeMap::new(),
            labels: Labels::default(),
        })
    }

    /// One task follows the files of all jobs, from the first that has any.
    fn follow_files(&mut self, wanted: files::Wanted, horizon: UnixNanos) {
        if let Some(files) = &self.files {
            files.send_replace(wanted);
        } else if !wanted.jobs.is_empty() {
            let (sender, wanted) = watch::channel(wanted);
            self.files = Some(sender);
            let (outlet, ledger, own) = (self.outlet.clone(), self.ledger.clone(), self.own.clone());
            let (times, stop) = (self.times.clone(), self.stop.clone());
            let descriptors = Descriptors::of_process(&own);
            let listings = Arc::default();
            let files =
                files::Files { wanted, outlet, ledger, times, descriptors, listings, own, stop, horizon };
            self.tasks.spawn(files.run());
        }
    }

    /// Waits for sources that come to an end by themselves, or were told to. Cancel-safe.
    pub(super) async fn ended(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    /// Waits for sources that were told to stop; those that hang in a chunk after `patience` lose it to this process.
    pub(super) async fn end(&mut self, patience: Duration) {
        if timeout(patience, self.ended()).await.is_err() {
            self.tasks.abort_all();
            self.ended().await;
        }
    }

    /// Gives up what hangs.
    pub(super) fn abandon(&mut self) {
        self.tasks.abort_all();
    }
}
