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

/// Directories that are remembered; beyond, all are forgotten and read again.
const MOST: usize = 1000;

/// Clocks of file systems tick in milliseconds: what changes in the same tick as a change before it does not show. A directory
/// that has changed less long ago is read each time.
const STILL: i64 = 2_000_000_000;

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
        let names = self.all(directory)?;
        let first = names.partition_point(|name| name.as_bytes() < beginning.as_bytes());
        let these = names[first..].iter();
        Ok(these.take_while(|name| name.as_bytes().starts_with(beginning.as_bytes())).cloned().collect())
    }

    fn all(&self, directory: &Path) -> io::Result<Arc<[OsString]>> {
        let (now, changed) = (i128::from(clock::now().0), changed(directory)?);
        if let Some(known) = self.lock().get(directory)
            && known.changed == changed
        {
            return Ok(known.names.clone());
        }
        let names = fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name()));
        let mut names = names.collect::<io::Result<Vec<_>>>()?;
        names.sort_unstable();
        let names: Arc<[OsString]> = names.into();
        // A clock that was set back makes it wait, one that was set forth is later than any change all the same.
        if changed + i128::from(STILL) < now {
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
    Ok(i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(listings: &Listings, directory: &Path) -> Vec<OsString> {
        listings.names(directory, "a.log").unwrap()
    }

    #[test]
    fn what_changes_shows_at_once_whether_the_directory_has_stood_still_before_or_not() {
        let directory = tempfile::tempdir().unwrap();
        let (listings, path) = (Listings::default(), directory.path());
        let make = |name: &str| fs::write(path.join(name), "").unwrap();
        assert!(names(&listings, path).is_empty());
        ["a.log", "b.log", "a.log.1", "a.lo"].into_iter().for_each(make);
        assert_eq!(names(&listings, path), ["a.log", "a.log.1"]);
        assert!(listings.lock().is_empty(), "it has changed just now");
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
