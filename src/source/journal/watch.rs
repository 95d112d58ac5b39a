//! Tells when something in the journal's directories changes.
//! In: directories.  Out: a hint to look.  Owns: watches of the kernel.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tracing::warn;

/// The directories being watched. What cannot be watched is polled.
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    changed: Arc<Notify>,
}

impl Watch {
    pub(super) fn new() -> Watch {
        let changed = Arc::new(Notify::new());
        let tell = changed.clone();
        let event = move |event: notify::Result<notify::Event>| {
            // Our own reading is no change.
            if event.is_ok_and(|event| !event.kind.is_access()) {
                tell.notify_one();
            }
        };
        let watcher = notify::recommended_watcher(event)
            .inspect_err(|error| warn!(%error, "file events are not available, polling the journal instead"));
        Watch { watcher: watcher.ok(), watched: BTreeSet::new(), changed }
    }

    /// Watches these directories and no others.
    pub(super) fn follow(&mut self, directories: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted: BTreeSet<PathBuf> = directories.iter().cloned().collect();
        for gone in self.watched.difference(&wanted) {
            // The kernel has dropped the watch of a removed directory by itself.
            drop(watcher.unwatch(gone));
        }
        for new in wanted.difference(&self.watched) {
            if let Err(error) = watcher.watch(new, RecursiveMode::NonRecursive) {
                warn!(directory = %new.display(), %error, "directory cannot be watched, polling it");
            }
        }
        self.watched = wanted;
    }

    /// Waits for a change since the last one. Cancel-safe.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}
