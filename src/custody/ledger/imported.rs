//! Positions that Promtail left, until their targets are found.
//! In: Promtail's file.  Out: the place where a source begins.  Owns: the tracks under `promtail:<key>`.
//!
//! Promtail's position counts as sent: that is what it means to Promtail. It says of a path how far its file was read,
//! not which file that was; the first reader of the path finds out and settles it for all.

use std::collections::{BTreeMap, HashSet};

use super::{Ledger, Track, lock};
use crate::custody::{Cursor, DockerPoint, JournalPoint, Taken};
use crate::record::UnixNanos;

/// Keys of what Promtail's file says.
pub(crate) const PREFIX: &str = "promtail:";

/// Keys of places in the journal; the job's name follows.
const JOURNAL: &str = "journal:";

/// How Promtail's keys of containers and of journals begin.
const CONTAINER: &str = "cursor-";

/// What Promtail's file says of a path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Imported {
    pub(crate) offset: u64,
    /// When Promtail wrote it.
    pub(crate) as_of: UnixNanos,
    /// The file it was about, when somebody has found out.
    pub(crate) taken: Option<Taken>,
}

impl Ledger {
    /// Takes over entries of Promtail's file that say something else than is known; says how many.
    pub(crate) fn import(&self, entries: &BTreeMap<String, u64>, as_of: UnixNanos) -> usize {
        let known = self.in_promtails_words();
        let mut tracks = lock(&self.tracks);
        let mut count = 0;
        for (key, value) in entries {
            if known.contains(&(key.clone(), value.to_string())) {
                continue;
            }
            count += 1;
            if let Some(id) = key.strip_prefix(CONTAINER) {
                // Those of second jobs go along if they were at the same place, as they are after a stop in order.
                let plain = tracks.remove(&format!("docker:{id}")).and_then(|track| track.read_position());
                let suffixed = format!("docker:{id}#");
                let jobs = tracks.range(suffixed.clone()..).take_while(|(key, _)| key.starts_with(&suffixed));
                let along = jobs.filter(|(_, track)| track.read_position() == plain);
                let along: Vec<String> = along.map(|(key, _)| key.clone()).collect();
                along.iter().for_each(|key| drop(tracks.remove(key)));
            }
            let cursor = Cursor::Promtail { value: *value, as_of, taken: None };
            tracks.insert(format!("{PREFIX}{key}"), Track::new(key, Some(cursor), &self.cut));
        }
        count
    }

    /// Takes over entries of journals that say something else than is known, or, unless `all`, those of which nothing is
    /// known; says how many.
    pub(crate) fn import_journals(&self, entries: &BTreeMap<String, JournalPoint>, all: bool) -> usize {
        let known = self.in_promtails_words();
        let mut count = 0;
        for (job, entry) in entries {
            let is_known = known.contains(&(format!("{CONTAINER}{job}"), entry.to_string()));
            let key = Ledger::journal_key(job);
            if !is_known && (all || self.find(&key).is_none()) {
                self.restore(key, job, Cursor::Journal { entry: *entry });
                count += 1;
            }
        }
        count
    }

    /// The key under which a job keeps its place in the journal.
    pub(crate) fn journal_key(job: &str) -> String {
        format!("{JOURNAL}{job}")
    }

    fn in_promtails_words(&self) -> HashSet<(String, String)> {
        let committed = self.committed();
        committed
            .into_iter()
            .filter_map(|(key, name, cursor)| in_promtails_words(&key, &name, cursor))
            .collect()
    }

    /// Where reading of a container begins that has no position of its own.
    pub(crate) fn imported_container(&self, id: &str) -> Option<Cursor> {
        let imported = self.imported(&format!("{CONTAINER}{id}"))?;
        // Promtail counts whole seconds and begins with the first line of its last one. That second is sent again as it
        // was, and Loki keeps one of each.
        let since = UnixNanos(i64::try_from(imported.offset).ok()?.checked_mul(1_000_000_000)?);
        let all = DockerPoint { since, frames: 0 };
        Some(Cursor::Docker { all, stdout: None, stderr: None, file: None })
    }

    /// The container is removed, and its id does not come back: what `key` and Promtail say of it can be forgotten, as
    /// soon as all its lines are settled.
    pub(crate) fn forget_container(&self, id: &str, key: &str) {
        let mut tracks = lock(&self.tracks);
        tracks.remove(&format!("{PREFIX}{CONTAINER}{id}"));
        if let Some(track) = tracks.get(key) {
            track.lock().gone = true;
        }
    }

    /// What Promtail's file says of a path.
    pub(crate) fn imported(&self, path: &str) -> Option<Imported> {
        match lock(&self.tracks).get(&format!("{PREFIX}{path}"))?.read_position()? {
            Cursor::Promtail { value, as_of, taken } => Some(Imported { offset: value, as_of, taken }),
            _ => None,
        }
    }

    /// Says which file Promtail's position of `path` is about; `None` when it is no place in any file that is there.
    pub(crate) fn settle_import(&self, path: &str, file: Option<Taken>) {
        let mut tracks = lock(&self.tracks);
        let key = format!("{PREFIX}{path}");
        let Some(Cursor::Promtail { value, as_of, taken: None }) =
            tracks.get(&key).and_then(|track| track.read_position())
        else {
            return;
        };
        let Some(taken) = file else {
            tracks.remove(&key);
            return;
        };
        let settled = Cursor::Promtail { value, as_of, taken: Some(taken) };
        tracks.insert(key, Track::new(path, Some(settled), &self.cut));
        // A position of our own is older than Promtail's. That of a second job goes along as with containers.
        let plain = format!("file:{}:{}", taken.device, taken.inode);
        let before = tracks.get(&plain).and_then(|track| track.read_position());
        let jobs = tracks.range(plain.clone()..).take_while(|(key, _)| key.starts_with(&plain));
        for (_, track) in jobs.filter(|(key, _)| matches!(key.as_bytes().get(plain.len()), None | Some(b'#')))
        {
            let mut state = track.lock();
            if before.is_some() && state.read == before && !state.claimed && state.slots.is_empty() {
                let cursor = Cursor::File { offset: value, head: taken.head };
                (state.committed, state.read) = (Some(cursor), Some(cursor));
            }
        }
    }
}

/// A track's key and position as Promtail's file has them, for tracks of a target's first job. A path may have several,
/// of the files it has named.
pub(crate) fn in_promtails_words(key: &str, name: &str, cursor: Cursor) -> Option<(String, String)> {
    let is_first_job = !key.contains('#');
    match cursor {
        Cursor::Docker { all, stdout, stderr, .. } if is_first_job => {
            let id = key.strip_prefix("docker:")?;
            let held = [stdout, stderr].into_iter().flatten().map(|point| point.since);
            // Rounded down: Promtail rather sends lines again.
            let seconds = held.fold(all.since, UnixNanos::min).seconds();
            Some((format!("{CONTAINER}{id}"), u64::try_from(seconds).ok()?.to_string()))
        }
        Cursor::File { offset, .. } if is_first_job => Some((name.to_owned(), offset.to_string())),
        Cursor::Journal { entry } => {
            Some((format!("{CONTAINER}{}", key.strip_prefix(JOURNAL)?), entry.to_string()))
        }
        Cursor::Promtail { value, taken: None, .. } => {
            Some((key.strip_prefix(PREFIX)?.to_owned(), value.to_string()))
        }
        // Of these Promtail counts lines.
        Cursor::Packed { lines, .. } if is_first_job => Some((name.to_owned(), lines.to_string())),
        _ => None,
    }
}
