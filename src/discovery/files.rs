//! Finds files by glob and keeps a tail on each.
//! In: `static_configs`, `file_sd_configs`, file events.  Out: running tails.  Owns: the tails, the directory watches.

mod lists;
mod target;
mod walk;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::{self, Instant};
use crate::custody::{Ledger, Times};
use crate::metrics::Own;
use crate::pipeline::{Intake, Outlet, Pipeline};
use crate::record::UnixNanos;
use crate::source::file::{Decompression, Descriptors, Encoding, Listings, Packed, Place, Tail, Wake};
use crate::targets::{Description, LeftOutJob};

#[cfg(any(fuzzing, test))]
pub(crate) use lists::fuzz as fuzz_lists;
pub(crate) use lists::{Lists, is_pattern};
pub(crate) use target::{Group, Unusable};
use walk::MOST_FILES;

/// File events that may wait to be looked at; more are no loss, because everything is polled as well.
const EVENT_QUEUE: usize = 1024;

/// Tails of a job end together; one look finds room for the successors of many.
const SUCCESSION_PAUSE: Duration = Duration::from_millis(10);

/// The files of one job.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) groups: Vec<Arc<Group>>,
    pub(crate) lists: Vec<Lists>,
    /// What of its own targets is not followed.
    pub(crate) left_out: LeftOutJob,
    pub(crate) how: How,
    pub(crate) pipeline: Arc<Pipeline>,
    /// Ends its tails. Whoever cancels it has taken the job out of what is [`Wanted`] before.
    pub(crate) stop: CancellationToken,
}

/// How files are to be read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct How {
    pub(crate) encoding: Option<Encoding>,
    pub(crate) decompression: Option<Decompression>,
}

impl Job {
    /// Its groups as things are now.
    fn groups(&self) -> Vec<Arc<Group>> {
        self.groups.iter().cloned().chain(self.lists.iter().flat_map(Lists::groups)).collect()
    }

    /// Its targets that are not followed.
    fn left_out(&self) -> LeftOutJob {
        self.lists.iter().map(Lists::left_out).fold(self.left_out.clone(), LeftOutJob::and)
    }
}

/// What is to be followed, and how.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// The longest known first: of those that read one file, the first has the plain key.
    pub(crate) jobs: Vec<Arc<Job>>,
    pub(crate) sync_period: Duration,
    /// Shortest and longest pause between two looks at a file that no event told of.
    pub(crate) polls: (Duration, Duration),
}

/// Everything the file side needs.
pub(crate) struct Files {
    /// Changes when the configuration does. Tails of a job that stays go on; a job that changed has another token.
    pub(crate) wanted: watch::Receiver<Wanted>,
    pub(crate) outlet: Outlet,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) times: Arc<Times>,
    pub(crate) descriptors: Arc<Descriptors>,
    pub(crate) listings: Arc<Listings>,
    pub(crate) own: Arc<Own>,
    pub(crate) stop: CancellationToken,
    /// When the run before this one last saved its positions, or when this one began.
    pub(crate) horizon: UnixNanos,
}

struct Active {
    wanted: Wanted,
    /// By path, then by job: the tails that run.
    tails: HashMap<PathBuf, BTreeMap<String, Running>>,
    /// The groups of the jobs that are wanted, in their order.
    groups: Vec<Vec<Arc<Group>>>,
    running: JoinSet<Ended>,
    /// Of paths whose tails were stopped since everything was last looked at: when they last looked.
    left: BTreeMap<PathBuf, UnixNanos>,
    watched: BTreeSet<PathBuf>,
    watcher: Option<RecommendedWatcher>,
    /// Patterns in trouble, told once.
    failing: BTreeSet<String>,
    /// Those that `/ready` tells of.
    troubled: BTreeSet<String>,
    /// When everything was last looked at.
    scanned: UnixNanos,
}

/// A tail that runs.
struct Running {
    wake: Wake,
    group: Arc<Group>,
    stop: CancellationToken,
}

/// A tail that has ended.
struct Ended {
    path: PathBuf,
    job: String,
    /// When it last looked at the path.
    looked: UnixNanos,
    /// Its job has ended, not its file.
    stopped: bool,
}

impl Files {
    /// Runs until stopped; returns when every tail has ended.
    pub(crate) async fn run(mut self) {
        let (events, mut hints) = mpsc::channel(EVENT_QUEUE);
        let mut active = Active {
            wanted: Wanted::default(),
            left: BTreeMap::new(),
            tails: HashMap::new(),
            groups: Vec::new(),
            running: JoinSet::new(),
            watched: BTreeSet::new(),
            watcher: watcher(events),
            failing: BTreeSet::new(),
            troubled: BTreeSet::new(),
            scanned: self.horizon,
        };
        let mut next_scan = Instant::now();
        while !self.stop.is_cancelled() {
            // Before tails that ended are heard of: one that ended because its job did must not start again.
            active.wanted = self.wanted.borrow_and_update().clone();
            if Instant::now() >= next_scan {
                self.scan(&mut active);
                let listed = active.wanted.jobs.iter().flat_map(|job| &job.lists).map(Lists::due);
                next_scan = listed.fold(Instant::now() + active.wanted.sync_period, Instant::min);
            }
            let until_scan = next_scan.saturating_duration_since(Instant::now());
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = sleep(until_scan) => {}
                Ok(()) = self.wanted.changed() => next_scan = Instant::now(),
                Some(hint) = hints.recv() => self.hint(&hint, &mut active, &mut next_scan),
                Some(ended) = active.running.join_next(), if !active.running.is_empty() => {
                    // In release builds a panic has ended the process before.
                    match ended {
                        Ok(ended) => {
                            if ended.stopped {
                                // What takes its place waits for this.
                                next_scan = next_scan.min(Instant::now() + SUCCESSION_PAUSE);
                            }
                            active.forget(ended);
                        }
                        Err(error) => warn!(%error, "a tail ended unexpectedly"),
                    }
                    self.own.targets_active.with("source", "file").set(active.running.len() as f64);
                }
            }
        }
        while active.running.join_next().await.is_some() {}
    }

    /// Wakes the tail of a path that changed; a path without a tail may be a new file.
    fn hint(&self, path: &Path, active: &mut Active, next_scan: &mut Instant) {
        if let Some(jobs) = active.tails.get(path) {
            jobs.values().for_each(|running| running.wake.notify_one());
        } else if active.groups.iter().flatten().any(|group| group.matches(path)) {
            *next_scan = Instant::now();
        }
        // All of them are to hear of it.
        let lists = active.wanted.jobs.iter().flat_map(|job| &job.lists);
        if lists.filter(|lists| lists.hint(path)).count() > 0 {
            *next_scan = Instant::now();
        }
    }

    fn scan(&self, active: &mut Active) {
        let now = clock::now();
        let (mut failed, mut troubled) = (false, BTreeSet::new());
        let mut directories = BTreeSet::new();
        let jobs = active.wanted.jobs.clone();
        for job in &jobs {
            job.lists.iter().for_each(|lists| lists.refresh(&job.name, &self.own));
            directories.extend(job.lists.iter().flat_map(Lists::directories));
        }
        active.groups = jobs.iter().map(|job| job.groups()).collect();
        for (index, job) in jobs.iter().enumerate() {
            self.outlet.targets.leave_out(&job.name, job.left_out());
            active.stop_unlisted(index);
            for group in &active.groups[index].clone() {
                let found = walk::find(group);
                if found.failed {
                    self.own.file_errors.add(1.0);
                    self.own.path.discovery_failed("files");
                    failed = true;
                    let what = "some of these files cannot be listed";
                    self.outlet.troubles.set(&files_of(job, group), what);
                    troubled.insert(files_of(job, group));
                    if active.failing.insert(group.pattern.clone()) {
                        warn!(job = %job.name, pattern = %group.pattern, "{what}");
                    }
                } else {
                    active.failing.remove(&group.pattern);
                }
                directories.extend(found.directories);
                for path in found.files {
                    self.start(index, job, group, path, active);
                }
            }
        }
        if !failed {
            self.own.path.discovered("files");
        }
        // Also those whose job is not wanted any more.
        for over in active.troubled.difference(&troubled) {
            self.outlet.troubles.clear(over);
        }
        active.troubled = troubled;
        let watched_now = active.watch_only(directories);
        // What changed between reading and watching was told to nobody.
        jobs.iter().flat_map(|job| &job.lists).for_each(|lists| lists.read_again_in(&watched_now));
        active.left.clear();
        active.scanned = now;
        self.own.targets_active.with("source", "file").set(active.running.len() as f64);
    }

    fn start(&self, index: usize, job: &Job, group: &Arc<Group>, path: PathBuf, active: &mut Active) {
        if active.tails.get(&path).is_some_and(|jobs| jobs.contains_key(&job.name)) || active.is_left(&path) {
            return;
        }
        if active.running.len() >= MOST_FILES {
            if active.failing.insert(group.pattern.clone()) {
                self.own.file_errors.add(1.0);
                warn!(job = %job.name, pattern = %group.pattern, limit = MOST_FILES, "more files than can be followed");
            }
            return;
        }
        // Two jobs that read one file must not move each other's position.
        let before = active.wanted.jobs[..index].iter().zip(&active.groups);
        let seniors = before.filter(|(_, groups)| groups.iter().any(|group| group.matches(&path)));
        let seniors = seniors.map(|(job, _)| job.name.clone()).collect();
        let mut labels = group.labels.clone();
        labels.set("filename", path.display().to_string());
        let wake: Wake = Arc::new(Notify::new());
        let target = self.outlet.targets.add(Description {
            job: job.name.clone(),
            kind: "file",
            name: path.display().to_string(),
            discovered: group.discovered.clone(),
            labels: labels.clone(),
        });
        let place = Place {
            path: path.clone(),
            reporter: target.reporter(),
            reader: job.name.clone(),
            seniors,
            encoding: job.how.encoding,
            ledger: self.ledger.clone(),
            times: self.times.clone(),
            descriptors: self.descriptors.clone(),
            listings: self.listings.clone(),
            own: self.own.clone(),
        };
        let intake = Intake::new(&job.pipeline, target, Some(&labels), None, &self.outlet);
        info!(job = %job.name, path = %path.display(), "following file");
        let stop = job.stop.child_token();
        let running = Running { wake: wake.clone(), group: group.clone(), stop: stop.clone() };
        active.tails.entry(path.clone()).or_default().insert(job.name.clone(), running);
        let (name, stopped, polls) = (job.name.clone(), stop.clone(), active.wanted.polls);
        if let Some(how) = job.how.decompression {
            let mut packed = Packed::new(place, how, polls.1, intake, wake, stop);
            active.running.spawn(async move {
                let looked = packed.run().await;
                Ended { path, job: name, looked, stopped: stopped.is_cancelled() }
            });
        } else {
            let looked = active.left.get(&path).copied().unwrap_or(active.scanned);
            let mut tail = Tail::new(place, looked, polls, intake, wake, stop);
            active.running.spawn(async move {
                let looked = tail.run().await;
                Ended { path, job: name, looked, stopped: stopped.is_cancelled() }
            });
        }
    }
}

impl Active {
    /// True while a job that is not wanted any more still reads there: whoever comes after it may have its key.
    fn is_left(&self, path: &Path) -> bool {
        let wanted = |name: &String| self.wanted.jobs.iter().any(|job| job.name == *name);
        self.tails.get(path).is_some_and(|jobs| !jobs.keys().all(wanted))
    }

    /// Stops the job's tails on files that no target names any more, or names with other labels.
    fn stop_unlisted(&self, index: usize) {
        let (job, groups) = (&self.wanted.jobs[index], &self.groups[index]);
        if job.lists.is_empty() {
            return;
        }
        for running in self.tails.values().filter_map(|jobs| jobs.get(&job.name)) {
            if !groups.iter().any(|group| group.is_same(&running.group)) {
                running.stop.cancel();
            }
        }
    }

    fn forget(&mut self, ended: Ended) {
        let Ended { path, job, looked, stopped } = ended;
        if let Some(jobs) = self.tails.get_mut(&path) {
            jobs.remove(&job);
            if jobs.is_empty() {
                self.tails.remove(&path);
            }
        }
        if stopped {
            self.left.entry(path).and_modify(|before| *before = looked.min(*before)).or_insert(looked);
        }
    }

    /// Watches these directories and no others; one that was removed and made again is a new one.
    /// Those that were not watched before.
    fn watch_only(&mut self, directories: BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
        let Some(watcher) = &mut self.watcher else { return BTreeSet::new() };
        for gone in self.watched.difference(&directories) {
            // The kernel has dropped the watch of a removed directory by itself.
            drop(watcher.unwatch(gone));
        }
        for new in directories.difference(&self.watched) {
            if let Err(error) = watcher.watch(new, RecursiveMode::NonRecursive) {
                // Out of watches, most likely. Polling goes on, only slower to notice.
                warn!(directory = %new.display(), %error, "directory cannot be watched, polling it");
            }
        }
        let before = std::mem::replace(&mut self.watched, directories);
        self.watched.difference(&before).cloned().collect()
    }
}

/// What a pattern of a job is called where there is trouble with it.
fn files_of(job: &Job, group: &Group) -> String {
    format!("files {} of job {}", group.pattern, job.name)
}

fn watcher(events: mpsc::Sender<PathBuf>) -> Option<RecommendedWatcher> {
    let send = move |event: notify::Result<notify::Event>| {
        for path in event.into_iter().filter(|event| !event.kind.is_access()).flat_map(|event| event.paths) {
            // A full queue loses a hint, and the poll makes up for it.
            drop(events.try_send(path));
        }
    };
    notify::recommended_watcher(send)
        .inspect_err(|error| warn!(%error, "file events are not available, polling instead"))
        .ok()
}
