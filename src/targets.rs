//! The board: what is read, as people see it, and how far each is behind.
//! In: what sources and discovery say of their targets.  Out: readings for pages and metrics.  Owns: an account for each
//! name a target goes by, for as long as there is such a target and a little longer.

mod age;
mod instance;
mod left_out;
mod reading;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Instant;
use crate::custody::Track;
use crate::record::Labels;
use crate::targets::instance::Instance;

pub(crate) use left_out::LeftOutJob;
pub(crate) use reading::{Reading, Shown, State};

/// A target that is gone and settled is shown for so long, so that its last counts are scraped.
const SHOWN_AFTER: Duration = Duration::from_secs(120);

/// Of those, no more than so many: where containers come and go in great numbers, the newest.
const GONE_SHOWN: usize = 1000;

/// All targets. Clones are the same board.
#[derive(Clone, Debug, Default)]
pub(crate) struct Targets(Arc<Mutex<Board>>);

#[derive(Debug, Default)]
struct Board {
    accounts: BTreeMap<Key, Account>,
    /// With so many accounts it is time to look which are not needed any more.
    sweep_at: usize,
    /// By job: what discovery found and does not read.
    left_out: BTreeMap<String, LeftOutJob>,
}

/// What a target goes by. One that comes back under the same name goes on with the same counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    job: String,
    kind: &'static str,
    name: String,
}

#[derive(Debug)]
struct Account {
    counts: Arc<Counts>,
    /// The targets of that name: one, or those that are not settled yet beside it.
    instances: Vec<Arc<Instance>>,
    /// When the last of them was seen.
    seen: Instant,
}

/// What was read under one name.
#[derive(Debug, Default)]
struct Counts {
    lines: AtomicU64,
    bytes: AtomicU64,
    /// By reason; these are the reasons of the configuration.
    dropped: Mutex<Vec<(Arc<str>, u64)>>,
}

/// A target as it is found.
#[derive(Debug)]
pub(crate) struct Description {
    pub(crate) job: String,
    /// The kind of source.
    pub(crate) kind: &'static str,
    /// A container's name, a path, an address.
    pub(crate) name: String,
    /// Before relabelling.
    pub(crate) discovered: BTreeMap<String, String>,
    /// That its lines start with.
    pub(crate) labels: Labels,
}

/// A target that is read. Dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Target {
    kind: &'static str,
    counts: Arc<Counts>,
    instance: Arc<Instance>,
    /// The track that was last read for.
    track: Option<Arc<Track>>,
}

/// Lines dropped, by reason.
#[derive(Debug, Default)]
pub(crate) struct Dropped(Vec<(Arc<str>, u64)>);

impl Targets {
    /// Puts a target on the board.
    pub(crate) fn add(&self, description: Description) -> Target {
        let Description { job, kind, name, discovered, labels } = description;
        let instance = Arc::new(Instance::new(discovered, labels));
        let mut board = self.lock();
        if board.accounts.len() >= board.sweep_at {
            board.sweep(Instant::now());
        }
        let account = board.accounts.entry(Key { job, kind, name }).or_insert_with(|| Account {
            counts: Arc::default(),
            instances: Vec::new(),
            seen: Instant::now(),
        });
        account.instances.retain(|instance| !instance.is_done());
        account.instances.push(instance.clone());
        Target { kind, counts: account.counts.clone(), instance, track: None }
    }

    /// What discovery of `job` does not read, all of it.
    pub(crate) fn leave_out(&self, job: &str, left_out: LeftOutJob) {
        let mut board = self.lock();
        if left_out.count == 0 {
            board.left_out.remove(job);
        } else {
            board.left_out.insert(job.to_owned(), left_out);
        }
    }

    /// The job is not configured any more.
    pub(crate) fn forget_left_out(&self, keep: impl Fn(&str) -> bool) {
        self.lock().left_out.retain(|job, _| keep(job));
    }

    /// All targets, in the order of their jobs and names.
    pub(crate) fn readings(&self) -> Vec<Reading> {
        self.readings_at(Instant::now())
    }

    fn readings_at(&self, now: Instant) -> Vec<Reading> {
        let mut board = self.lock();
        board.sweep(now);
        board.accounts.iter().map(|(key, account)| account.reading(key, now)).collect()
    }

    /// What is not read, by job.
    pub(crate) fn left_out(&self) -> BTreeMap<String, LeftOutJob> {
        self.lock().left_out.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        lock(&self.0)
    }
}

impl Board {
    /// Lets go of what is gone and settled.
    fn sweep(&mut self, now: Instant) {
        self.accounts.retain(|_, account| {
            account.instances.retain(|instance| !instance.is_done());
            if !account.instances.is_empty() {
                account.seen = now;
            }
            now.duration_since(account.seen) < SHOWN_AFTER
        });
        let gone = self.accounts.values().filter(|account| account.instances.is_empty());
        let mut gone: Vec<Instant> = gone.map(|account| account.seen).collect();
        if gone.len() > GONE_SHOWN {
            gone.sort_unstable();
            let oldest = gone[gone.len() - GONE_SHOWN];
            self.accounts.retain(|_, account| !account.instances.is_empty() || account.seen >= oldest);
        }
        self.sweep_at = (2 * self.accounts.len()).max(GONE_SHOWN);
    }
}

impl Target {
    /// A target on no board.
    #[cfg(any(fuzzing, test))]
    pub(crate) fn of_nobody(kind: &'static str) -> Target {
        let (job, name) = ("job".to_owned(), "target".to_owned());
        let (discovered, labels) = (BTreeMap::new(), Labels::default());
        Targets::default().add(Description { job, kind, name, discovered, labels })
    }

    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }

    /// A chunk was read: so many lines, of so many bytes.
    pub(crate) fn read(&mut self, lines: usize, bytes: usize, track: &Arc<Track>) {
        self.counts.lines.fetch_add(lines as u64, Ordering::Relaxed);
        self.counts.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if !self.track.as_ref().is_some_and(|known| Arc::ptr_eq(known, track)) {
            self.instance.follow(track);
            self.track = Some(track.clone());
        }
    }

    /// Lines were dropped by rules.
    pub(crate) fn dropped(&self, dropped: Dropped) {
        if dropped.0.is_empty() {
            return;
        }
        let mut counts = lock(&self.counts.dropped);
        for (reason, lines) in dropped.0 {
            match counts.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, count)) => *count += lines,
                None => counts.push((reason, lines)),
            }
        }
    }

    /// Lines start with other labels now.
    pub(crate) fn relabel(&self, labels: &Labels) {
        self.instance.relabel(labels);
    }

    /// For whoever reads it.
    pub(crate) fn reporter(&self) -> Reporter {
        Reporter(self.instance.clone())
    }
}

/// Says of a target how reading it goes.
#[derive(Clone, Debug)]
pub(crate) struct Reporter(Arc<Instance>);

impl Reporter {
    /// `unread` bytes are written and not read; `read` is how many were read in all, counted alike.
    pub(crate) fn behind(&self, read: u64, unread: u64) {
        self.0.behind(read, unread, Instant::now());
    }

    /// The file at the path: up to where it is read, and how long it is.
    pub(crate) fn file(&self, offset: u64, length: u64) {
        self.0.file(offset, length);
    }

    /// It cannot be read.
    pub(crate) fn fails(&self, why: impl std::fmt::Display) {
        self.0.trouble(Some(why.to_string()));
    }

    /// It can be read.
    pub(crate) fn works(&self) {
        self.0.trouble(None);
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.instance.leave();
    }
}

impl Dropped {
    /// One more, for this reason.
    pub(crate) fn add(&mut self, reason: &Arc<str>) {
        match self.0.iter_mut().find(|(known, _)| Arc::ptr_eq(known, reason)) {
            Some((_, count)) => *count += 1,
            None => self.0.push((reason.clone(), 1)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
