//! Where the objects of a tier are, whatever kind of place that is.
//! In: names and bytes.  Out: what the place says.  Owns: nothing. Names are paths below the store, with `/`.

use std::fmt::Debug;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::custody::Disk;
use crate::retention::archive::PARTIAL;

/// A place for objects. Every call blocks until it is done or has failed, so it is for threads that may.
pub(crate) trait Objects: Debug + Send + Sync {
    /// What is directly in a directory (`""` is the store), in order; nothing where there is no such directory. Names
    /// that begin with a dot are left out.
    fn list(&self, directory: &str) -> io::Result<Listing>;

    /// Bytes of an object.
    fn length(&self, name: &str) -> io::Result<u64>;

    /// Part of an object, as far as it goes.
    fn read(&self, name: &str, range: Range<u64>) -> io::Result<Bytes>;

    /// Puts an object in its place, durably, in place of what had its name before. Whoever reads sees all of it or
    /// nothing.
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Removes an object, durably. False where there was none.
    fn remove(&self, name: &str) -> io::Result<bool>;
}

/// What is in a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// Their whole names.
    pub(crate) directories: Vec<String>,
    pub(crate) objects: Vec<String>,
}

/// Objects in a directory of a file system.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    disk: Arc<dyn Disk>,
    root: PathBuf,
}

impl Directory {
    pub(crate) fn new(disk: Arc<dyn Disk>, root: &Path) -> Directory {
        Directory { disk, root: root.to_owned() }
    }

    fn remove_file(&self, path: &Path) -> io::Result<bool> {
        match self.disk.remove(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            removed => removed.map(|()| true),
        }
    }
}

impl Objects for Directory {
    fn list(&self, directory: &str) -> io::Result<Listing> {
        let mut names = match self.disk.list(&self.root.join(directory)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Listing::default()),
            names => names?,
        };
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        let below = |name: String| if directory.is_empty() { name } else { format!("{directory}/{name}") };
        // A partition has a `=` in its name, and no object has.
        let (directories, objects) = names
            .into_iter()
            .map(below)
            .partition(|name| name.rsplit('/').next().is_some_and(|name| name.contains('=')));
        Ok(Listing { directories, objects })
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        self.disk.length(&self.root.join(name))
    }

    fn read(&self, name: &str, range: Range<u64>) -> io::Result<Bytes> {
        let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        let read = self.disk.read_at(&self.root.join(name), range.start, &mut bytes)?;
        bytes.truncate(read);
        Ok(bytes.into())
    }

    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let (disk, partial, path) = (&*self.disk, self.root.join(PARTIAL), self.root.join(name));
        let (Some(directory), Some(file)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        disk.create_directory(directory)?;
        disk.create_directory(&partial)?;
        let half = partial.join(file);
        self.remove_file(&half)?;
        disk.write_at(&half, 0, bytes)?;
        disk.sync(&half)?;
        disk.rename(&half, &path)?;
        disk.sync_directory(directory)?;
        disk.sync_directory(&partial)
    }

    fn remove(&self, name: &str) -> io::Result<bool> {
        let path = self.root.join(name);
        let removed = self.remove_file(&path)?;
        if let Some(directory) = path.parent().filter(|_| removed) {
            self.disk.sync_directory(directory)?;
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::custody::RealDisk;

    #[test]
    fn objects_are_put_listed_read_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let objects = Directory::new(Arc::new(RealDisk), directory.path());
        assert_eq!(objects.list("").unwrap(), Listing::default());
        let name = "date=2026-11-18/host=h/service=a/x-1.parquet";
        objects.put(name, b"one").unwrap();
        objects.put(name, b"another").unwrap();
        assert_eq!(objects.list("").unwrap().directories, ["date=2026-11-18"]);
        assert_eq!(objects.list("date=2026-11-18/host=h/service=a").unwrap().objects, [name]);
        assert_eq!(objects.length(name).unwrap(), 7);
        assert_eq!(objects.read(name, 2..4).unwrap(), "ot".as_bytes());
        assert_eq!(objects.read(name, 5..100).unwrap(), "er".as_bytes());
        assert!(objects.remove(name).unwrap() && !objects.remove(name).unwrap());
        let gone = objects.read(name, 0..1).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    }
}
