//! Where the objects of a tier are, whatever kind of place that is.
//! In: names and bytes.  Out: what the place says.  Owns: nothing. Names are paths below the store, with `/`.

mod counted;
mod directory;
#[cfg(feature = "s3")]
mod s3;

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::retention::tiers::Bucket;

pub(crate) use counted::Counted;
pub(crate) use directory::Directory;

/// Objects that are read at once.
pub(crate) const TOGETHER: usize = 16;

/// A place for objects. Every call blocks until it is done or has failed, so it is for threads that may.
pub(crate) trait Objects: Debug + Send + Sync {
    /// What is directly in a directory (`""` is the store), in order; nothing where there is no such directory. Names
    /// that begin with a dot are left out.
    fn list(&self, directory: &str) -> io::Result<Listing>;

    /// All objects below a directory, in order.
    fn below(&self, directory: &str) -> io::Result<Vec<String>> {
        let Listing { directories, mut objects } = self.list(directory)?;
        for directory in directories {
            objects.extend(self.below(&directory)?);
        }
        objects.sort();
        Ok(objects)
    }

    /// A whole object.
    fn read(&self, name: &str) -> io::Result<Bytes>;

    /// The same of several, [`TOGETHER`] at most; where each takes its time, at once.
    fn read_several(&self, names: &[String]) -> Vec<io::Result<Bytes>> {
        names.iter().map(|name| self.read(name)).collect()
    }

    /// Puts an object in its place, durably, in place of what had its name before. Whoever reads sees all of it or
    /// nothing.
    fn put(&self, name: &str, bytes: Bytes) -> io::Result<()>;

    /// Removes an object, durably: where there is none any more, that is made durable.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Removes what a crash has left half. Nobody may be putting anything meanwhile.
    fn clear_partial(&self) -> io::Result<()>;

    /// What messages call the place.
    fn name(&self) -> String;
}

/// A bucket; asks nothing of it yet.
#[cfg(feature = "s3")]
pub(crate) fn bucket(bucket: &Bucket) -> io::Result<Arc<dyn Objects>> {
    Ok(Arc::new(s3::S3::open(bucket)?))
}

/// The configuration refuses it before.
#[cfg(not(feature = "s3"))]
pub(crate) fn bucket(bucket: &Bucket) -> io::Result<Arc<dyn Objects>> {
    Err(io::Error::new(io::ErrorKind::Unsupported, format!("{bucket}: this build has no S3")))
}

/// What is in a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// Their whole names.
    pub(crate) directories: Vec<String>,
    pub(crate) objects: Vec<String>,
}
