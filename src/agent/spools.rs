//! Opens clients' spools, and finds those that no client has any more.
//! In: clients' settings.  Out: spools, with what an earlier run left in them.  Owns: nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{info, warn};

use crate::clock;
use crate::custody::{RealDisk, Spool, SpoolError};
use crate::delivery;
use crate::metrics::ClientMetrics;

/// Opens a client's spool, if it has one.
pub(super) fn open(
    client: &delivery::Settings,
    metrics: &ClientMetrics,
) -> Result<Option<Spool>, SpoolError> {
    let Some(settings) = client.spool.clone() else { return Ok(None) };
    let (spool, found) = Spool::open(Arc::new(RealDisk), settings, clock::now())?;
    metrics.spool_recovered.add(found.entries as f64);
    if found.entries > 0 {
        info!(client = %client.name, entries = found.entries, bytes = found.size.0, "lines from before wait on disk");
    }
    if found.torn > 0 {
        info!(client = %client.name, bytes = found.torn, "the end of the spool was torn, its lines are read again");
    }
    for file in found.set_aside {
        warn!(client = %client.name, file = %file.display(), "the spool is damaged, kept for a look");
    }
    Ok(Some(spool))
}

/// What a client left on disk that is not configured any more. Where just one client is new, that is the same one with
/// another address, most likely: it takes over. Otherwise somebody has to say whose lines they are.
pub(super) fn adopt(clients: &[delivery::Settings], positions: &Path) {
    let configured: BTreeSet<PathBuf> = clients
        .iter()
        .filter_map(|client| client.spool.as_ref())
        .map(|spool| spool.directory.clone())
        .collect();
    let orphans = orphans(&positions.with_file_name("spool"), &configured);
    let new: Vec<&PathBuf> = configured.iter().filter(|directory| !directory.exists()).collect();
    if let ([orphan], [new]) = (&orphans[..], &new[..]) {
        match fs::rename(orphan, new) {
            Ok(()) => {
                info!(from = %orphan.display(), to = %new.display(), "a client takes over the lines of one that is gone");
                return;
            }
            Err(error) => {
                warn!(from = %orphan.display(), to = %new.display(), %error, "a spool cannot be taken over")
            }
        }
    }
    for orphan in orphans {
        warn!(directory = %orphan.display(),
            "lines wait on disk for a client that is not configured: give a client this `spool: {{directory: …}}`, or remove it");
    }
}

/// Directories with segments that belong to none of the configured clients.
fn orphans(spools: &Path, configured: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(spools) else { return Vec::new() };
    let directories = entries.filter_map(Result::ok).map(|entry| entry.path());
    let mut orphans: Vec<PathBuf> =
        directories.filter(|directory| !configured.contains(directory) && has_segments(directory)).collect();
    orphans.sort();
    orphans
}

fn has_segments(directory: &Path) -> bool {
    let Ok(entries) = fs::read_dir(directory) else { return false };
    let mut names = entries.filter_map(Result::ok).map(|entry| entry.path());
    names.any(|name| name.extension().is_some_and(|extension| extension == "spool"))
}
