//! A store that is written to: its log, and where objects go.
//! In: settings, whole objects.  Out: files that appear at once or not at all.  Owns: the directory, by the log's lock.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tracing::info;

use crate::clock;
use crate::custody::{Disk, Peek, Spool, SpoolError, SpoolSettings, WhenFull};
use crate::metrics::ArchiveMetrics;
use crate::record::{ByteCount, UnixNanos};
use crate::retention::archive::layout::manifest_of;
use crate::retention::archive::manifest::Manifest;
use crate::retention::archive::owner::Owner;
use crate::retention::lifecycle::{ClockGuard, Shelf, shelves};
use crate::retention::objects::{Counted, Objects};
use crate::retention::tiers::{Location, Settings};

/// Bytes of the log. When sealing fails for so long that it is full, lines wait at their sources.
const LOG_SIZE: ByteCount = ByteCount::mib(1024);

/// The archive, ready to run.
#[derive(Debug)]
pub(crate) struct Archive {
    pub(super) settings: Arc<Settings>,
    pub(super) log: Spool,
    pub(in crate::retention) store: Arc<Store>,
    /// The stores of all tiers.
    pub(in crate::retention) shelves: Vec<Shelf>,
    /// When the oldest entry came in that is in the log from before.
    pub(super) oldest: Option<UnixNanos>,
}

/// Where objects go.
#[derive(Debug)]
pub(in crate::retention) struct Store {
    pub(in crate::retention) objects: Arc<dyn Objects>,
    pub(in crate::retention) disk: Arc<dyn Disk>,
    /// The directory of the log.
    pub(in crate::retention) log: PathBuf,
    pub(in crate::retention) host: String,
    pub(in crate::retention) owner: Owner,
    /// What has a lower number in the log is in objects, for good.
    pub(in crate::retention) sealed: AtomicU64,
}

/// The archive cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    #[error("archive {0}: its log cannot be opened")]
    Log(String, #[source] SpoolError),
    #[error("archive {0} cannot be written to")]
    Disk(String, #[source] io::Error),
}

impl Archive {
    /// Opens `store` and the log, or makes them. May block on the disk.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        settings: Arc<Settings>,
        store: &Location,
    ) -> Result<Archive, ArchiveError> {
        let directory = settings.log_directory();
        let log = SpoolSettings {
            directory: directory.clone(),
            max_size: LOG_SIZE,
            max_age: None,
            when_full: WhenFull::Block,
        };
        let name = || store.to_string();
        let (mut log, recovered) =
            Spool::open(disk.clone(), log).map_err(|error| ArchiveError::Log(name(), error))?;
        if recovered.entries > 0 {
            info!(archive = %store, entries = recovered.entries, "entries are not sealed yet");
        }
        let broken = |error| ArchiveError::Disk(name(), error);
        let objects = store.open(disk.clone()).map_err(broken)?;
        objects.clear_partial().map_err(broken)?;
        if Owner::load(&disk, &directory).map_err(broken)?.is_none() {
            // There is nothing yet that a wrong clock could let expire.
            ClockGuard::believing(clock::now()).save(&disk, &directory).map_err(broken)?;
        }
        let owner = Owner::open(&disk, &directory, &log, &settings.host).map_err(broken)?;
        let oldest = oldest(&*disk, &directory, &log).map_err(broken)?;
        // What was read of it may be in the memory of the kernel alone.
        let sealed = log.sync().map_or(0, |()| log.span().start);
        let host = settings.host.clone();
        let store = Store { objects, disk: disk.clone(), log: directory, host, owner, sealed: sealed.into() };
        let shelves = shelves(&settings, &disk).map_err(broken)?;
        Ok(Archive { settings, log, store: Arc::new(store), shelves, oldest })
    }

    /// What is asked of its stores is counted from here on.
    pub(super) fn counted(mut self, metrics: &ArchiveMetrics) -> Archive {
        let count = |objects: &mut Arc<dyn Objects>| {
            *objects = Arc::new(Counted::new(objects.clone(), metrics.clone()));
        };
        self.shelves.iter_mut().for_each(|shelf| count(&mut shelf.objects));
        // Nobody else has it yet.
        if let Some(store) = Arc::get_mut(&mut self.store) {
            count(&mut store.objects);
        }
        self
    }
}

fn oldest(disk: &dyn Disk, directory: &Path, log: &Spool) -> io::Result<Option<UnixNanos>> {
    let first = Peek::of(disk, directory, log.span())?.next()?;
    Ok(first.map(|first| first.spooled_at))
}

impl Store {
    /// Puts an object and its manifest in their places, durably.
    pub(super) fn put(&self, object: Vec<u8>, manifest: &Manifest) -> io::Result<()> {
        let about = manifest_of(&manifest.object);
        // One of an attempt that was cut short must not speak of the object that comes now.
        self.objects.remove(&about)?;
        self.objects.put(&manifest.object, object.into())?;
        self.objects.put(&about, manifest.encode()?.into())
    }
}
