//! Opens clients' spools, and finds those that no client has any more.
//! In: clients' settings.  Out: spools, with what an earlier run left in them.  Owns: nothing.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::spawn_blocking;
use tracing::{info, warn};

use crate::batch::Parcel;
use crate::custody::{Disk as _, Outcome, RealDisk, Spool, SpoolError, SpoolSettings};
use crate::delivery::{Client, Leftover};
use crate::flow::Troubles;
use crate::metrics::ClientMetrics;
use crate::{delivery, http};

/// Opens a client's spool, if it has one.
pub(super) fn open(client: &delivery::Settings) -> Result<Option<Spool>, SpoolError> {
    let Some(settings) = client.spool.clone() else { return Ok(None) };
    let (spool, found) = Spool::open(Arc::new(RealDisk), settings)?;
    if found.entries > 0 {
        info!(client = %client.name, entries = found.entries, bytes = found.size.0, "lines from before wait on disk");
    }
    if found.torn > 0 {
        info!(client = %client.name, bytes = found.torn, "the end of the spool was torn, its lines are read again");
    }
    for file in found.set_aside {
        warn!(client = %client.name, path = %file.display(), "the spool is damaged, kept for a look");
    }
    Ok(Some(spool))
}

/// What a client leaves to the one that takes its place. Its spool goes along, under the directory of the new one.
pub(super) async fn inherit(
    left: Leftover,
    from: (&delivery::Settings, &ClientMetrics),
    to: (&delivery::Settings, &ClientMetrics),
    troubles: &Troubles,
) -> Leftover {
    let Leftover { mut parcels, spool } = left;
    let ((settings, metrics), (new_settings, new_metrics)) = (from, to);
    let renamed = settings.name != new_settings.name;
    if renamed {
        let entries: u64 = parcels.iter().map(Parcel::entries).sum();
        metrics.left_entries.add(entries as f64);
        new_metrics.received_entries.add(entries as f64);
        parcels.iter_mut().for_each(|parcel| parcel.content.entries.move_to(&new_metrics.in_flight_entries));
    }
    if !renamed && settings.spool == new_settings.spool {
        return Leftover { parcels, spool };
    }
    // Closed, so that its directory can be opened again.
    let entries = spool.as_ref().map_or(0, Spool::entries);
    drop(spool);
    let (before, after) = (settings.spool.clone(), new_settings.clone());
    let opened = spawn_blocking(move || reopen(before.as_ref(), &after)).await;
    match opened {
        Ok(Ok((spool, moved))) => {
            if renamed && moved {
                metrics.left_entries.add(entries as f64);
                metrics.spool_entries.set(0.0);
                metrics.spool_bytes.set(0.0);
                new_metrics.received_entries.add(entries as f64);
                new_metrics.spool_entries.add(entries as f64);
            }
            if let Some(before) = settings.spool.as_ref().filter(|_| !moved && entries > 0) {
                warn!(client = %new_settings.name, directory = %before.directory.display(), entries,
                    "lines stay on disk where the spool was: give a client this `spool: {{directory: …}}`");
            }
            spool.iter().for_each(|spool| new_metrics.opened_spool(spool.entries()));
            Leftover { parcels, spool }
        }
        Ok(Err(error)) => {
            let error = http::chain(&error);
            warn!(client = %new_settings.name, error, "the spool cannot be used, lines wait in memory and at their sources");
            troubles.set(&format!("spool of client {}", new_settings.name), error);
            Leftover { parcels, spool: None }
        }
        // The runtime is ending.
        Err(_) => Leftover { parcels, spool: None },
    }
}

/// Opens the spool that `settings` want, moving there what was in the one before. Says whether it was moved, or stayed.
fn reopen(
    before: Option<&SpoolSettings>,
    settings: &delivery::Settings,
) -> Result<(Option<Spool>, bool), SpoolError> {
    let Some(wanted) = settings.spool.clone() else { return Ok((None, false)) };
    let mut moved = before.is_some_and(|before| before.directory == wanted.directory);
    if let Some(before) = before.filter(|before| before.directory != wanted.directory)
        && !wanted.directory.exists()
    {
        match move_directory(&before.directory, &wanted.directory) {
            Ok(()) => moved = true,
            Err(error) => {
                warn!(from = %before.directory.display(), to = %wanted.directory.display(), %error, "a spool cannot be moved");
            }
        }
    }
    let (spool, _) = Spool::open(Arc::new(RealDisk), wanted)?;
    Ok((Some(spool), moved))
}

/// A client is not configured any more, and nobody takes its place: what it has not delivered stays on disk, or is dropped
/// and counted where it has no spool.
pub(super) async fn forsake(client: &Client, left: Leftover) {
    let entries: u64 = left.parcels.iter().map(Parcel::entries).sum();
    let left = client.put_away(left).await;
    let lost: u64 = left.parcels.iter().map(Parcel::entries).sum();
    left.parcels.into_iter().for_each(|parcel| parcel.settle(Outcome::DroppedByRule));
    client.metrics().dropped("client_removed", lost);
    let on_disk = left.spool.as_ref().map_or(0, Spool::entries);
    if entries > 0 || on_disk > 0 {
        warn!(client = %client.name(), dropped = lost, on_disk, "the client is not configured any more, and has not delivered everything");
    }
}

/// What a client left on disk that is not configured any more. Where just one client is new, that is the same one with
/// another address, most likely: it takes over. Otherwise somebody has to say whose lines they are.
pub(super) fn adopt(clients: &[delivery::Settings], positions: &Path) {
    let configured: BTreeSet<PathBuf> = clients
        .iter()
        .filter_map(|client| client.spool.as_ref())
        .map(|spool| spool.directory.clone())
        .collect();
    let orphans = orphans(&positions.with_extension("spool"), &configured);
    let new: Vec<&PathBuf> = configured.iter().filter(|directory| !directory.exists()).collect();
    if let ([orphan], [new]) = (&orphans[..], &new[..]) {
        match move_directory(orphan, new) {
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

/// Durable once it returns: a spool that were back under its old name after a crash would be nobody's.
fn move_directory(from: &Path, to: &Path) -> io::Result<()> {
    let parent = |path: &Path| path.parent().unwrap_or(Path::new(".")).to_owned();
    RealDisk.create_directory(&parent(to))?;
    RealDisk.rename(from, to)?;
    RealDisk.sync_directory(&parent(to))?;
    RealDisk.sync_directory(&parent(from))
}

/// Directories with segments that belong to none of the configured clients.
fn orphans(spools: &Path, configured: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(spools) else { return Vec::new() };
    // One directory may be spelled in several ways: relative, by a link.
    let configured: BTreeSet<PathBuf> =
        configured.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
    let is_configured = |path: &PathBuf| fs::canonicalize(path).is_ok_and(|path| configured.contains(&path));
    let directories = entries.filter_map(Result::ok).map(|entry| entry.path());
    let mut orphans: Vec<PathBuf> =
        directories.filter(|directory| !is_configured(directory) && has_segments(directory)).collect();
    orphans.sort();
    orphans
}

fn has_segments(directory: &Path) -> bool {
    let Ok(entries) = fs::read_dir(directory) else { return false };
    let mut names = entries.filter_map(Result::ok).map(|entry| entry.path());
    names.any(|name| name.extension().is_some_and(|extension| extension == "spool"))
}
