//! Finds files by glob and keeps a tail on each.
//! In: `static_configs`, file events.  Out: running tails.  Owns: the tails, the directory watches.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use globset::{GlobBuilder, GlobMatcher};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::Instant;
use crate::custody::Ledger;
use crate::metrics::Own;
use crate::pipeline::{Intake, Outlet, Pipeline};
use crate::record::Labels;
use crate::source::file::{Tail, Wake};

/// File events that may wait to be looked at; more are no loss, because everything is polled as well.
const EVENT_QUEUE: usize = 1024;

/// Files found by one job; a glob that matches more is a mistake that should be heard of.
const MOST_FILES: usize = 100_000;

/// One group of files of one job.
#[derive(Debug)]
pub(crate) struct Group {
    /// Absolute, as written.
    pub(crate) pattern: String,
    pub(crate) include: GlobMatcher,
    pub(crate) exclude: Option<GlobMatcher>,
    /// After relabelling, without `filename`.
    pub(crate) labels: Labels,
}

/// The files of one job.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) groups: Vec<Group>,
    pub(crate) pipeline: Arc<Pipeline>,
}

/// Everything the file side needs.
pub(crate) struct Files {
    pub(crate) jobs: Vec<Job>,
    pub(crate) sync_period: Duration,
    pub(crate) outlet: Outlet,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) own: Own,
    pub(crate) stop: CancellationToken,
    /// Rotated files without a position are read if they were written to after this.
    pub(crate) horizon: SystemTime,
}

struct Active {
    /// By path, then by job: the tails that run.
    tails: BTreeMap<PathBuf, BTreeMap<usize, Wake>>,
    running: JoinSet<(PathBuf, usize)>,
    watched: BTreeSet<PathBuf>,
    watcher: Option<RecommendedWatcher>,
    /// Patterns whose directory could not be listed, told once.
    failing: BTreeSet<String>,
}

/// Compiles a glob as Promtail's library reads it: `*` stays within a directory, `**` does not.
pub(crate) fn glob(pattern: &str) -> Result<GlobMatcher, globset::Error> {
    Ok(GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build()?.compile_matcher())
}

impl Files {
    /// Runs until stopped; returns when every tail has ended.
    pub(crate) async fn run(self) {
        let (events, mut hints) = mpsc::channel(EVENT_QUEUE);
        let mut active = Active {
            tails: BTreeMap::new(),
            running: JoinSet::new(),
            watched: BTreeSet::new(),
            watcher: watcher(events),
            failing: BTreeSet::new(),
        };
        let mut next_scan = Instant::now();
        loop {
            if Instant::now() >= next_scan {
                self.scan(&mut active);
                next_scan = Instant::now() + self.sync_period;
            }
            let until_scan = next_scan.saturating_duration_since(Instant::now());
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = sleep(until_scan) => {}
                Some(hint) = hints.recv() => self.hint(&hint, &mut active, &mut next_scan),
                Some(ended) = active.running.join_next(), if !active.running.is_empty() => {
                    // A tail that panicked takes its target with it until the next scan finds the file again; its
                    // path is unknown here, so everything is looked at anew.
                    match ended {
                        Ok((path, job)) => active.forget(&path, job),
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
            jobs.values().for_each(|wake| wake.notify_one());
        } else if self.jobs.iter().flat_map(|job| &job.groups).any(|group| group.matches(path)) {
            *next_scan = Instant::now();
        }
    }

    fn scan(&self, active: &mut Active) {
        for (index, job) in self.jobs.iter().enumerate() {
            for group in &job.groups {
                let found = find(group);
                if found.failed {
                    self.own.file_errors.add(1.0);
                    if active.failing.insert(group.pattern.clone()) {
                        warn!(job = %job.name, pattern = %group.pattern, "some of these files cannot be listed");
                    }
                } else {
                    active.failing.remove(&group.pattern);
                }
                for directory in found.directories {
                    active.watch(&directory);
                }
                for path in found.files {
                    self.start(index, job, group, path, active);
                }
            }
        }
        self.own.targets_active.with("source", "file").set(active.running.len() as f64);
    }

    fn start(&self, index: usize, job: &Job, group: &Group, path: PathBuf, active: &mut Active) {
        let others = active.tails.get(&path);
        if others.is_some_and(|jobs| jobs.contains_key(&index)) || active.running.len() >= MOST_FILES {
            return;
        }
        // Two jobs that read one file must not move each other's position. The first job in the configuration has
        // the plain key, so that it keeps its position when another job comes or goes.
        let key_suffix = match others.is_some_and(|jobs| !jobs.is_empty()) {
            true => format!("#{}", job.name),
            false => String::new(),
        };
        let mut labels = group.labels.clone();
        labels.set("filename", path.display().to_string());
        let wake: Wake = Arc::new(Notify::new());
        let tail = Tail {
            path: path.clone(),
            key_suffix,
            intake: Intake::new(&job.pipeline, "file", Some(&labels), None, &self.outlet),
            ledger: self.ledger.clone(),
            own: self.own.clone(),
            wake: wake.clone(),
            stop: self.stop.clone(),
            horizon: self.horizon,
        };
        info!(job = %job.name, file = %path.display(), "following file");
        active.tails.entry(path.clone()).or_default().insert(index, wake);
        active.running.spawn(async move {
            tail.run().await;
            (path, index)
        });
    }
}

impl Group {
    fn matches(&self, path: &Path) -> bool {
        self.include.is_match(path) && !self.exclude.as_ref().is_some_and(|exclude| exclude.is_match(path))
    }
}

impl Active {
    fn forget(&mut self, path: &Path, job: usize) {
        if let Some(jobs) = self.tails.get_mut(path) {
            jobs.remove(&job);
            if jobs.is_empty() {
                self.tails.remove(path);
            }
        }
    }

    fn watch(&mut self, directory: &Path) {
        if self.watched.contains(directory) {
            return;
        }
        let Some(watcher) = &mut self.watcher else { return };
        match watcher.watch(directory, RecursiveMode::NonRecursive) {
            Ok(()) => drop(self.watched.insert(directory.to_owned())),
            Err(error) => {
                // Out of watches, most likely. Polling goes on, only slower to notice.
                warn!(directory = %directory.display(), %error, "directory cannot be watched, polling it");
                self.watched.insert(directory.to_owned());
            }
        }
    }
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

struct Found {
    files: Vec<PathBuf>,
    /// Directories in which a match may appear.
    directories: Vec<PathBuf>,
    failed: bool,
}

/// Walks the part of the tree that a pattern can match.
fn find(group: &Group) -> Found {
    let mut found = Found { files: Vec::new(), directories: Vec::new(), failed: false };
    let literal = Path::new(&group.pattern);
    // A pattern that is the name of a file is that file, whatever its characters could mean.
    if literal.is_file() {
        found.files.push(literal.to_owned());
        found.directories.extend(literal.parent().map(Path::to_owned));
        return found;
    }
    let (root, depth) = root_and_depth(&group.pattern);
    walk(&root, depth, group, &mut found);
    found
}

/// The longest directory without wildcards, and how many levels below it the pattern reaches; `None` is any.
fn root_and_depth(pattern: &str) -> (PathBuf, Option<usize>) {
    let wild = |component: &str| component.contains(['*', '?', '[', '{', '\\']);
    let components: Vec<&str> = pattern.split('/').collect();
    let first = components.iter().position(|component| wild(component)).unwrap_or(components.len() - 1);
    let root = components[..first].join("/");
    let root = if root.is_empty() { "/".into() } else { root.into() };
    let below = &components[first..];
    // Alternatives may hold separators, so their depth is not known either.
    let bounded = !below.iter().any(|component| *component == "**" || component.contains('{'));
    (root, bounded.then_some(below.len()))
}

fn walk(directory: &Path, depth: Option<usize>, group: &Group, found: &mut Found) {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            found.failed |= error.kind() != std::io::ErrorKind::NotFound;
            return;
        }
    };
    found.directories.push(directory.to_owned());
    let mut paths: Vec<(PathBuf, bool)> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_type().ok().map(|kind| (entry.path(), kind.is_dir())))
        .collect();
    paths.sort();
    for (path, is_directory) in paths {
        if is_directory {
            if depth != Some(1) {
                walk(&path, depth.map(|depth| depth - 1), group, found);
            }
        } else if group.matches(&path) && path.is_file() && found.files.len() < MOST_FILES {
            found.files.push(path);
        }
    }
}

/// `paths` of tails by directory, for tests.
#[cfg(test)]
pub(crate) fn matching(pattern: &str, exclude: Option<&str>) -> Vec<PathBuf> {
    let group = Group {
        pattern: pattern.to_owned(),
        include: glob(pattern).unwrap(),
        exclude: exclude.map(|pattern| glob(pattern).unwrap()),
        labels: Labels::default(),
    };
    find(&group).files
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn globs_find_what_promtails_globs_find() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for file in ["a.log", "b.txt", ".hidden.log", "x/c.log", "x/y/d.log", "odd[1].log"] {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = |pattern: &str, exclude: Option<&str>| {
            let at = |pattern: &str| format!("{}/{pattern}", root.display());
            let files = matching(&at(pattern), exclude.map(at).as_deref());
            let relative = files.iter().map(|path| path.strip_prefix(root).unwrap().display().to_string());
            relative.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(found("*.log", None), ".hidden.log a.log odd[1].log");
        assert_eq!(found("*/*.log", None), "x/c.log");
        assert_eq!(found("**/*.log", Some("x/**")), ".hidden.log a.log odd[1].log");
        assert_eq!(found("**/d.log", None), "x/y/d.log");
        assert_eq!(found("[ab].{log,txt}", None), "a.log b.txt");
        assert_eq!(found("odd[1].log", None), "odd[1].log", "a literal name wins");
        assert_eq!(found("none/*.log", None), "");
    }
}
