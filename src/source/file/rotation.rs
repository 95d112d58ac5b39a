//! Finds the files that a path's content was rotated into, and says when one of them is done.
//! In: a path.  Out: its rotated siblings, oldest first.  Owns: nothing.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use crate::record::UnixNanos;
use crate::source::file::identity::Identity;
use crate::source::file::listing::Listings;

/// A file that lost its path may still be written to until its writer notices; it is let go after so long without.
pub(super) const ROTATED_WAIT: Duration = Duration::from_secs(5);

/// A rotated file beside the path it came from.
#[derive(Clone, Debug)]
pub(super) struct Rotated {
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
    /// When it was last written to.
    pub(super) modified: UnixNanos,
}

/// Listings of a directory whose names move while they are read.
const MOST_LISTINGS: usize = 10;

/// The rotated files of `path`, open, oldest first. A rotation while the directory is read can hide a file, and then those
/// after it would be read before it; so it is read until it stands still. What no listing caught is found at the next look.
pub(super) fn open_rotated(listings: &Listings, path: &Path) -> io::Result<Vec<(Rotated, File)>> {
    let mut open: HashMap<Identity, File> = HashMap::new();
    let mut listed = rotated(listings, path)?;
    for _ in 1..MOST_LISTINGS {
        for rotated in &listed {
            if !open.contains_key(&rotated.identity)
                && let Ok(file) = File::open(&rotated.path)
            {
                open.insert(Identity::of(&file.metadata()?), file);
            }
        }
        let identities =
            |listed: &[Rotated]| listed.iter().map(|rotated| rotated.identity).collect::<Vec<_>>();
        let before = identities(&listed);
        listed = rotated(listings, path)?;
        if identities(&listed) == before && before.iter().all(|identity| open.contains_key(identity)) {
            break;
        }
    }
    let files = listed.into_iter().filter_map(|rotated| {
        let file = open.remove(&rotated.identity)?;
        Some((rotated, file))
    });
    Ok(files.collect())
}

/// The rotated files of `path`, oldest first: `app.log.1`, `app.log-20251118`,
/// `app.log.2025-11-18T10`. Compressed ones are left alone: they hold what was read before.
pub(super) fn rotated(listings: &Listings, path: &Path) -> io::Result<Vec<Rotated>> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for other in listings.names(directory, name)? {
        if !other.to_str().is_some_and(|other| is_rotated_name(name, other)) {
            continue;
        }
        let path = directory.join(other);
        // A file that vanishes while it is looked at was rotated once more; another look finds it.
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.is_file() {
            let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
            let modified = UnixNanos(i64::try_from(modified.as_nanos()).unwrap_or(i64::MAX));
            found.push(Rotated { path, identity: Identity::of(&metadata), modified });
        }
    }
    // Clocks of file systems tick in milliseconds; among equal times, `.2` is older than `.1`.
    found.sort_by_key(|rotated| (rotated.modified, Reverse(number(&rotated.path))));
    // A file renamed while the directory was read may be in it twice.
    let mut seen = HashSet::new();
    found.retain(|rotated| seen.insert(rotated.identity));
    Ok(found)
}

/// The number a rotated file's name ends in.
fn number(path: &Path) -> u64 {
    path.extension().and_then(|extension| extension.to_str()?.parse().ok()).unwrap_or(0)
}

fn is_rotated_name(name: &str, other: &str) -> bool {
    let Some(suffix) = other.strip_prefix(name) else { return false };
    let Some(rest) = suffix.strip_prefix(['.', '-', '_']) else { return false };
    rest.starts_with(|c: char| c.is_ascii_digit())
        && rest.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | '_' | '.' | ':' | 'T' | 'Z' | '+'))
}

/// True when nobody writes to a file any more: it lost its path so long ago, if at all, and is quiet for so long. A file
/// that was quiet before may still be held by a writer that has not noticed its rotation.
pub(super) fn is_left(rotated: Option<Duration>, quiet: Duration) -> bool {
    rotated.is_some_and(|rotated| quiet.min(rotated) >= ROTATED_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_names_are_told_from_neighbours() {
        for rotated in ["a.log.1", "a.log.12", "a.log-20251118", "a.log.2025-11-18T10:30:00Z", "a.log_1"] {
            assert!(is_rotated_name("a.log", rotated), "{rotated}");
        }
        for other in
            ["a.log", "a.log.gz", "a.log.1.gz", "a.log.bak", "ba.log.1", "a.logs", "a.log1", "a.log."]
        {
            assert!(!is_rotated_name("a.log", other), "{other}");
        }
    }

    #[test]
    fn a_file_is_let_go_only_when_it_is_both_rotated_and_quiet_for_long_enough() {
        let (short, long) = (Duration::from_millis(10), Duration::from_secs(60));
        assert!(is_left(Some(long), long));
        assert!(!is_left(Some(short), long), "quiet before its rotation");
        assert!(!is_left(Some(long), short), "still written to");
        assert!(!is_left(None, long), "not rotated");
    }
}
