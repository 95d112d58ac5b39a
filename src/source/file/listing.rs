//! Names in directories, read once for all paths in them: ten thousand files of one directory must not be listed ten thousand
//! times.
//! In: a directory, the beginning of names.  Out: the names.  Owns: the listings of directories that stand still, a bounded number.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock;
use crate::record::UnixNanos;

/// Directories that are remembered; beyond, all are forgotten and read again.
const MOST: usize = 1000;

const SECOND: i128 = 1_000_000_000;

/// What changes in the same tick as a change before it does not show. A directory that has changed less long ago than this by the
/// clock of files is read each time: some ticks, as a server's clock may be a little off.
const TICKS: i128 = SECOND / 50;

/// The same for a file system that counts whole seconds, or pairs of them.
const COARSE_TICKS: i128 = 3 * SECOND;

/// What directories held when they were last read.
#[derive(Debug, Default)]
pub(crate) struct Listings(Mutex<HashMap<PathBuf, Listing>>);

#[derive(Clone, Debug)]
struct Listing {
    /// When the directory last changed, in nanoseconds since 1970, which nobody can set.
    changed: i128,
    /// Sorted.
    names: Arc<[OsString]>,
}

impl Listings {
    /// Names in a directory that begin with `beginning`, in order.
    pub(super) fn names(&self, directory: &Path, beginning: &str) -> io::Result<Vec<OsString>> {
        let names = self.all(directory, clock::of_files())?;
        let first = names.partition_point(|name| name.as_bytes() < beginning.as_bytes());
        let these = names[first..].iter();
        Ok(these.take_while(|name| name.as_bytes().starts_with(beginning.as_bytes())).cloned().collect())
    }

    /// `now` is a time from before the call.
    fn all(&self, directory: &Path, now: UnixNanos) -> io::Result<Arc<[OsString]>> {
        let changed = changed(directory)?;
        if let Some(known) = self.lock().get(directory)
            && known.changed == changed
        {
            return Ok(known.names.clone());
        }
        let names = fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name()));
        let mut names = names.collect::<io::Result<Vec<_>>>()?;
        names.sort_unstable();
        let names: Arc<[OsString]> = names.into();
        if shows_changes(changed, now) {
            let mut known = self.lock();
            if known.len() >= MOST {
                known.clear();
            }
            known.insert(directory.to_owned(), Listing { changed, names: names.clone() });
        }
        Ok(names)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Listing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When names in a directory last changed.
fn changed(directory: &Path) -> io::Result<i128> {
    let metadata = fs::metadata(directory)?;
    Ok(i128::from(metadata.ctime()) * SECOND + i128::from(metadata.ctime_nsec()))
}

/// True where whatever changes from now on has another time than what last `changed`. A clock that was set back makes it wait, one
/// that was set forth is later than any change all the same.
fn shows_changes(changed: i128, now: UnixNanos) -> bool {
    let ticks = if changed % SECOND == 0 { COARSE_TICKS } else { TICKS };
    changed + ticks < i128::from(now.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(listings: &Listings, directory: &Path) -> Vec<OsString> {
        listings.names(directory, "a.log").unwrap()
    }

    #[test]
    fn a_directory_is_not_remembered_while_a_change_could_have_the_time_of_the_one_before() {
        let shows = |changed, later: i128| shows_changes(changed, UnixNanos((changed + later) as i64));
        let fine = 1_700_000_000_123_456_789;
        assert!(!shows(fine, 0), "the same tick");
        assert!(!shows(fine, 10_000_000), "a tick of ten milliseconds, as slow as they come");
        assert!(shows(fine, 21_000_000));
        let coarse = 1_700_000_000_000_000_000;
        assert!(!shows(coarse, 2_000_000_000), "it counts in pairs of seconds");
        assert!(shows(coarse, 3_100_000_000));
        assert!(!shows(fine, -1_000_000_000), "the clock was set back");
    }

    #[test]
    fn what_changes_shows_at_once_whether_the_directory_has_stood_still_before_or_not() {
        let directory = tempfile::tempdir().unwrap();
        let (listings, path) = (Listings::default(), directory.path());
        let make = |name: &str| fs::write(path.join(name), "").unwrap();
        assert!(names(&listings, path).is_empty());
        ["a.log", "b.log", "a.log.1", "a.lo"].into_iter().for_each(make);
        assert_eq!(names(&listings, path), ["a.log", "a.log.1"]);
        let listings = Listings::default();
        let later = |ticks| UnixNanos(i64::try_from(changed(path).unwrap() + ticks).unwrap());
        assert_eq!(listings.all(path, later(0)).unwrap().len(), 4);
        assert!(listings.lock().is_empty(), "it has changed just now");
        assert_eq!(listings.all(path, later(COARSE_TICKS + 1)).unwrap().len(), 4);
        assert_eq!(listings.lock().len(), 1, "it stands still");
        // As if it had been read long after that.
        let held = Listing { changed: changed(path).unwrap(), names: [OsString::from("a.log.9")].into() };
        listings.lock().insert(path.to_owned(), held);
        assert_eq!(names(&listings, path), ["a.log.9"], "it stands still");
        let before = changed(path).unwrap();
        while changed(path).unwrap() == before {
            fs::rename(path.join("b.log"), path.join("a.log.2")).unwrap();
            fs::rename(path.join("a.log.2"), path.join("b.log")).unwrap();
        }
        assert_eq!(names(&listings, path), ["a.log", "a.log.1"]);
    }
}
