//! Objects in a directory of a file system.
//! In: names and bytes.  Out: files that appear at once or not at all.  Owns: the directory, as far as it is written to.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::custody::Disk;
use crate::retention::objects::{Listing, Objects};

/// Where files are until they are whole.
const PARTIAL: &str = ".tmp";

/// The directory.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    disk: Arc<dyn Disk>,
    root: PathBuf,
}

impl Directory {
    pub(crate) fn new(disk: Arc<dyn Disk>, root: &Path) -> Directory {
        Directory { disk, root: root.to_owned() }
    }

    /// False where there was none.
    fn remove_file(&self, path: &Path) -> io::Result<bool> {
        match self.disk.remove(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            removed => removed.map(|()| true),
        }
    }
}

impl Objects for Directory {
    fn list(&self, directory: &str) -> io::Result<Listing> {
        let path = if directory.is_empty() { self.root.clone() } else { self.root.join(directory) };
        let mut names = match self.disk.list(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Listing::default()),
            names => names?,
        };
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        let below = |name: String| if directory.is_empty() { name } else { format!("{directory}/{name}") };
        // A partition has a `=` in its name, and no object has.
        let is_partition = |name: &String| name.rsplit('/').next().is_some_and(|name| name.contains('='));
        let (directories, objects) = names.into_iter().map(below).partition(is_partition);
        Ok(Listing { directories, objects })
    }

    fn read(&self, name: &str) -> io::Result<Bytes> {
        self.disk.read(&self.root.join(name)).map(Bytes::from)
    }

    fn put(&self, name: &str, bytes: Bytes) -> io::Result<()> {
        let (disk, partial, path) = (&*self.disk, self.root.join(PARTIAL), self.root.join(name));
        let (Some(directory), Some(file)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        disk.create_directory(directory)?;
        disk.create_directory(&partial)?;
        let half = partial.join(file);
        self.remove_file(&half)?;
        disk.write_at(&half, 0, &bytes)?;
        disk.sync(&half)?;
        disk.rename(&half, &path)?;
        disk.sync_directory(directory)?;
        disk.sync_directory(&partial)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.root.join(name);
        self.remove_file(&path)?;
        let Some(directory) = path.parent() else { return Ok(()) };
        match self.disk.sync_directory(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            synced => synced?,
        }
        // Of partitions that are empty nothing is left.
        for directory in directory.ancestors().take_while(|directory| *directory != self.root) {
            if self.disk.remove_directory(directory).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn clear_partial(&self) -> io::Result<()> {
        let partial = self.root.join(PARTIAL);
        self.disk.create_directory(&partial)?;
        self.disk.list(&partial)?.iter().try_for_each(|name| self.remove_file(&partial.join(name)).map(drop))
    }

    fn name(&self) -> String {
        self.root.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::custody::RealDisk;

    #[test]
    fn objects_are_put_listed_read_and_removed_with_their_partition() {
        let directory = tempfile::tempdir().unwrap();
        let objects = Directory::new(Arc::new(RealDisk), directory.path());
        assert_eq!(objects.list("").unwrap(), Listing::default());
        let name = |service, object| format!("date=2026-11-18/host=h/service={service}/{object}.parquet");
        objects.put(&name("a", "1"), "one".into()).unwrap();
        objects.put(&name("a", "1"), "another".into()).unwrap();
        objects.put(&name("b", "2"), "two".into()).unwrap();
        assert_eq!(objects.list("").unwrap().directories, ["date=2026-11-18"]);
        assert_eq!(objects.list("date=2026-11-18/host=h/service=a").unwrap().objects, [name("a", "1")]);
        assert_eq!(objects.below("date=2026-11-18").unwrap(), [name("a", "1"), name("b", "2")]);
        assert_eq!(objects.read(&name("a", "1")).unwrap(), "another".as_bytes());
        objects.remove(&name("a", "1")).unwrap();
        objects.remove(&name("a", "1")).unwrap();
        assert_eq!(objects.read(&name("a", "1")).unwrap_err().kind(), io::ErrorKind::NotFound);
        let host = "date=2026-11-18/host=h";
        assert_eq!(objects.list(host).unwrap().directories, [format!("{host}/service=b")]);
        objects.remove(&name("b", "2")).unwrap();
        assert_eq!(objects.list("").unwrap(), Listing::default());
    }
}
