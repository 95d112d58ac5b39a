//! A store that is written to: its log, and where objects go.
//! In: settings, whole objects.  Out: files that appear at once or not at all.  Owns: the directory, by the log's lock.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use tracing::{info, warn};

use crate::custody::{Disk, Peek, Spool, SpoolError, SpoolSettings, WhenFull};
use crate::record::{ByteCount, UnixNanos};
use crate::retention::archive::layout::{AGENT, manifest_of};
use crate::retention::archive::manifest::Manifest;
use crate::retention::objects::Objects;
use crate::retention::tiers::{Location, Settings};

/// Bytes of the log. When sealing fails for so long that it is full, lines wait at their sources.
const LOG_SIZE: ByteCount = ByteCount::mib(1024);

/// Bytes of an agent's name.
const NAME: usize = 8;

/// The archive, ready to run.
#[derive(Debug)]
pub(crate) struct Archive {
    pub(super) settings: Arc<Settings>,
    pub(super) log: Spool,
    pub(super) store: Arc<Store>,
    /// When the oldest entry came in that is in the log from before.
    pub(super) oldest: Option<UnixNanos>,
}

/// Where objects go.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) objects: Arc<dyn Objects>,
    pub(super) disk: Arc<dyn Disk>,
    /// The directory of the log.
    pub(super) log: PathBuf,
    pub(super) host: String,
    /// Names whose log the objects come from.
    pub(super) agent: String,
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
        let (log, recovered) =
            Spool::open(disk.clone(), log).map_err(|error| ArchiveError::Log(name(), error))?;
        if recovered.entries > 0 {
            info!(archive = %store, entries = recovered.entries, "entries are not sealed yet");
        }
        let broken = |error| ArchiveError::Disk(name(), error);
        let objects = store.open(disk.clone()).map_err(broken)?;
        objects.clear_partial().map_err(broken)?;
        let agent = agent(&*disk, &directory, &log).map_err(broken)?;
        let oldest = oldest(&*disk, &directory, &log).map_err(broken)?;
        let store = Store { objects, disk, log: directory, host: settings.host.clone(), agent };
        Ok(Archive { settings, log, store: Arc::new(store), oldest })
    }
}

fn oldest(disk: &dyn Disk, directory: &Path, log: &Spool) -> io::Result<Option<UnixNanos>> {
    let first = Peek::of(disk, directory, log.span())?.next()?;
    Ok(first.map(|first| first.spooled_at))
}

/// The name that goes with the log's numbers. Where those begin anew, it is a new one: an object of before that had the same
/// number must not be taken for one that is sealed again.
fn agent(disk: &dyn Disk, directory: &Path, log: &Spool) -> io::Result<String> {
    let path = directory.join(AGENT);
    let is_new = log.span() == (0..0);
    if !is_new {
        let mut name = [0; 2 * NAME];
        match disk.read_at(&path, 0, &mut name) {
            Ok(_) if name.iter().all(u8::is_ascii_hexdigit) => {
                return Ok(String::from_utf8_lossy(&name).into_owned());
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => warn!(path = %path.display(), "the name of the log is damaged, it gets a new one"),
        }
    }
    let mut bytes = [0; NAME];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    let name = HEXLOWER.encode(&bytes);
    disk.write_at(&path, 0, name.as_bytes())?;
    disk.sync(&path)?;
    disk.sync_directory(directory)?;
    Ok(name)
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
