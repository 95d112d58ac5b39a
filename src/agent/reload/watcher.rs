//! Notices that the configuration file may have changed.
//! In: directories.  Out: hints.  Owns: their watch.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::warn;

/// Editors write a file in several steps, and a directory that is one link to another changes at once; both are quiet
/// after this.
const SETTLES_WITHIN: Duration = Duration::from_millis(500);

/// Events may be missed, and some file systems have none.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Gives hints for as long as it runs. Directories are watched and not files: a file is often replaced by another.
pub(super) async fn watch(directories: BTreeSet<PathBuf>, hint: Arc<Notify>) {
    let changed = Arc::new(Notify::new());
    let _watcher = watcher(&directories, changed.clone());
    loop {
        if timeout(LOOK_EVERY, changed.notified()).await.is_ok() {
            let quiet = async { while timeout(SETTLES_WITHIN, changed.notified()).await.is_ok() {} };
            // Something else in the directory may change all the time.
            drop(timeout(LOOK_EVERY, quiet).await);
        }
        hint.notify_one();
    }
}

fn watcher(directories: &BTreeSet<PathBuf>, changed: Arc<Notify>) -> Option<RecommendedWatcher> {
    let tell = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            changed.notify_one();
        }
    };
    let watched = notify::recommended_watcher(tell).and_then(|mut watcher| {
        let mut directories = directories.iter();
        directories.try_for_each(|directory| watcher.watch(directory, RecursiveMode::NonRecursive))?;
        Ok(watcher)
    });
    watched
        .inspect_err(|error| warn!(%error, "the configuration file is not watched, looking at it instead"))
        .ok()
}
