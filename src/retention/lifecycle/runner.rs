//! Who runs passes: the agent now and then, on a thread of its own, or the command `archive lifecycle` once.
//! In: settings, the store that is written to.  Out: steps, logged and counted.  Owns: the thread, what is known of the clock.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use tracing::{info, warn};

use crate::clock::{self, Instant};
use crate::custody::{Disk, Peek, RealDisk};
use crate::flow::Troubles;
use crate::metrics::ArchiveMetrics;
use crate::record::UnixNanos;
use crate::retention::archive::{Archive, ArchiveError, Owner, Store};
use crate::retention::background;
use crate::retention::lifecycle::{ClockGuard, Course, Lifecycle, Seen, Shelf, Step, shelves};
use crate::retention::tiers::Settings;

/// Who has the trouble, on `/ready`.
const LIFECYCLE: &str = "lifecycle of the archive";

/// The thread of an agent. Once this is dropped it ends, after the step that is under way.
#[derive(Debug)]
pub(crate) struct Runner {
    _stop: mpsc::SyncSender<()>,
}

/// What a command has to say at its end.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) seen: Seen,
    /// The clock is not believed, so nothing was done.
    pub(crate) held: bool,
}

struct Keeper {
    lifecycle: Lifecycle,
    store: Arc<Store>,
    metrics: ArchiveMetrics,
    troubles: Troubles,
    guard: ClockGuard,
    last: Option<Instant>,
}

impl Runner {
    /// Begins with a pass at once. `None` where only the command looks after the archive.
    pub(crate) fn start(
        store: Arc<Store>,
        shelves: Vec<Shelf>,
        settings: &Settings,
        (metrics, troubles): (ArchiveMetrics, Troubles),
    ) -> Option<Runner> {
        let interval = settings.lifecycle_interval?;
        let lifecycle = Lifecycle::new(shelves, settings.seal_size);
        let (stop, stopped) = mpsc::sync_channel(1);
        let work = move || {
            let guard = ClockGuard::load(&store.disk, &store.log).unwrap_or_default();
            let mut keeper = Keeper { lifecycle, store, metrics, troubles, guard, last: None };
            loop {
                keeper.pass(&stopped);
                if stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
            }
            keeper.troubles.clear(LIFECYCLE);
        };
        background::start("lifecycle", work);
        Some(Runner { _stop: stop })
    }
}

impl Keeper {
    fn pass(&mut self, stopped: &Receiver<()>) {
        let (now, begun) = (clock::now(), Instant::now());
        let passed = self.last.replace(begun).map(|last| begun.saturating_duration_since(last));
        let believed = self.guard.believes(now, passed);
        if let Err(error) = self.guard.save(&self.store.disk, &self.store.log) {
            return self.fail(&format!("what the clock says cannot be kept: {error}"));
        }
        if !believed {
            self.fail("the clock is ahead of what it was: nothing moves or expires until it has gone steadily for a day");
            return self.metrics.held.set(1.0);
        }
        self.metrics.held.set(0.0);
        let (metrics, mut problem) = (self.metrics.clone(), None);
        let mut tell = |step: Step| {
            let Step { action, object, reason, bytes, result } = step;
            match result {
                Ok(()) => {
                    info!(action, object, reason, bytes, "archived lines were looked after");
                    metrics.lifecycle_step(action, bytes);
                }
                Err(error) => {
                    metrics.failed("lifecycle");
                    problem.get_or_insert_with(|| format!("{action} {object}: {error}"));
                }
            }
        };
        let go_on = || stopped.try_recv() == Err(TryRecvError::Empty);
        let course = Course { now, dry: false, go_on: &go_on, tell: &mut tell };
        let seen = self.lifecycle.pass(&self.store.owner, self.store.sealed.load(Ordering::Relaxed), course);
        self.metrics.foreign.set(seen.foreign as f64);
        match problem {
            Some(problem) => self.fail(&format!("{problem}; it is tried again")),
            None => {
                self.metrics.last_pass.set(now.0 as f64 / 1e9);
                if self.troubles.clear(LIFECYCLE) {
                    info!(part = LIFECYCLE, "all is well again");
                }
            }
        }
    }

    fn fail(&self, what: &str) {
        if self.troubles.warn(LIFECYCLE, what) {
            warn!(part = LIFECYCLE, error = what, "trouble with the archive, trying again");
        }
    }
}

/// One pass now. An error where an agent has the archive.
pub(crate) fn command(settings: Arc<Settings>, tell: &mut dyn FnMut(Step)) -> Result<Outcome, ArchiveError> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let Some((_, root)) = settings.stores().next() else { return Ok(Outcome::default()) };
    let Archive { store, shelves, .. } = &Archive::open(disk.clone(), settings.clone(), root)?;
    let broken = |error| ArchiveError::Disk(store.objects.name(), error);
    let mut guard = ClockGuard::load(&disk, &store.log).map_err(broken)?;
    let now = clock::now();
    let believed = guard.believes(now, None);
    guard.save(&disk, &store.log).map_err(broken)?;
    let sealed = store.sealed.load(Ordering::Relaxed);
    let lifecycle = Lifecycle::new(shelves.clone(), settings.seal_size);
    Ok(once(lifecycle, (&store.owner, sealed), (believed, false, now), tell))
}

/// What a pass would do now, whether an agent has the archive or not.
pub(crate) fn preview(settings: &Settings, tell: &mut dyn FnMut(Step)) -> io::Result<Outcome> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let log = settings.log_directory();
    let Some(owner) = Owner::load(&disk, &log)? else { return Ok(Outcome::default()) };
    let now = clock::now();
    let believed = ClockGuard::load(&disk, &log)?.believes(now, None);
    let sealed = Peek::all(&*disk, &log)?.start();
    let lifecycle = Lifecycle::new(shelves(settings, &disk)?, settings.seal_size);
    Ok(once(lifecycle, (&owner, sealed), (believed, true, now), tell))
}

fn once(
    mut lifecycle: Lifecycle,
    (owner, sealed): (&Owner, u64),
    (believed, dry, now): (bool, bool, UnixNanos),
    tell: &mut dyn FnMut(Step),
) -> Outcome {
    if !believed && !dry {
        return Outcome { held: true, seen: Seen::default() };
    }
    let course = Course { now, dry, go_on: &|| true, tell };
    let seen = lifecycle.pass(owner, sealed, course);
    Outcome { held: !believed, seen }
}

/// Every hour, unless the configuration says otherwise.
pub(crate) const INTERVAL: Duration = Duration::from_secs(3600);
