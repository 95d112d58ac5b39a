//! The few things that custody asks of a file system, so that a test can put one in its place that fails and crashes.
//! In: paths and bytes.  Out: what the file system says.  Owns: nothing: every call opens and closes by itself.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::record::UnixNanos;

/// A file system. What was written is durable after [`sync`](Self::sync), what was created, renamed or removed after
/// [`sync_directory`](Self::sync_directory); a crash before that may keep any part of it.
pub(crate) trait Disk: Debug + Send + Sync {
    /// Makes a directory and those above it, durably.
    fn create_directory(&self, path: &Path) -> io::Result<()>;

    /// Names in a directory, in no order.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;

    /// Bytes in a file.
    fn length(&self, path: &Path) -> io::Result<u64>;

    /// A whole file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Fills `buffer` from `offset` on, as far as the file goes; how many bytes there were.
    fn read_at(&self, path: &Path, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`, into a new file where there is none. After an error any part of them may be there.
    fn write_at(&self, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts a file.
    fn truncate(&self, path: &Path, length: u64) -> io::Result<()>;

    /// Makes a file's content durable. After an error nobody knows what of it is.
    fn sync(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;

    /// Gives a file another name, in place of what had it before.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory that is empty. Nobody relies on it: it need not be durable.
    fn remove_directory(&self, path: &Path) -> io::Result<()>;

    /// Takes a file, made where there is none, for whoever keeps the lock; `None` while another has it.
    fn lock(&self, path: &Path) -> io::Result<Option<Lock>>;

    /// Which file is at a path, and since when it is as it is. A file system that is put in place need not know.
    fn stat(&self, _path: &Path) -> io::Result<Stat> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// What is at a path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stat {
    /// No directory, device or the like.
    pub(crate) is_file: bool,
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// When it was last written to.
    pub(crate) modified: UnixNanos,
}

/// Given back on drop, or by the kernel when the process ends in any way.
pub(crate) type Lock = Box<dyn Debug + Send + Sync>;

/// The one that is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RealDisk;

impl Disk for RealDisk {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        if path == Path::new("") || path.is_dir() {
            return Ok(());
        }
        let parent = path.parent().unwrap_or(Path::new(""));
        self.create_directory(parent)?;
        match fs::create_dir(path) {
            // Another process may have been faster.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !path.is_dir() => {
                return Err(error);
            }
            _ => {}
        }
        self.sync_directory(if parent == Path::new("") { Path::new(".") } else { parent })
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let names = fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.file_name()));
        // Our own files have names of ASCII.
        names.map(|name| name.map(|name| name.to_string_lossy().into_owned())).collect()
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        fs::metadata(path).map(|metadata| metadata.len())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn read_at(&self, path: &Path, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let file = File::open(path)?;
        let mut filled = 0;
        while filled < buffer.len() {
            match file.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
        // Lines may be anybody's secrets: for the owner alone.
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        file.write_all_at(bytes, offset)
    }

    fn truncate(&self, path: &Path, length: u64) -> io::Result<()> {
        OpenOptions::new().write(true).open(path)?.set_len(length)
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        // The kernel reports a failed write-back to whoever syncs first after it, whichever descriptor wrote.
        File::open(path)?.sync_all()
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        File::open(directory)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let metadata = fs::metadata(path)?;
        let modified = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
        Ok(Stat {
            is_file: metadata.is_file(),
            device: metadata.dev(),
            inode: metadata.ino(),
            modified: UnixNanos(modified),
        })
    }
}

#[cfg(test)]
pub(crate) mod simulated;
