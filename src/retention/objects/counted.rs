//! Counts and times what is asked of a place.
//! In: names and bytes.  Out: what the place says.  Owns: nothing.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::clock::Instant;
use crate::metrics::ArchiveMetrics;
use crate::retention::objects::{Listing, Objects};

/// Another place.
#[derive(Debug)]
pub(crate) struct Counted {
    objects: Arc<dyn Objects>,
    metrics: ArchiveMetrics,
}

impl Counted {
    pub(crate) fn new(objects: Arc<dyn Objects>, metrics: ArchiveMetrics) -> Counted {
        Counted { objects, metrics }
    }

    fn count<T>(&self, operation: &str, what: impl FnOnce(&dyn Objects) -> io::Result<T>) -> io::Result<T> {
        let since = Instant::now();
        let done = what(&*self.objects);
        let result = match &done {
            Ok(_) => "ok",
            Err(error) if error.kind() == io::ErrorKind::NotFound => "not_found",
            Err(_) => "failed",
        };
        self.metrics.asked(operation, result, since.elapsed().as_secs_f64());
        done
    }
}

impl Objects for Counted {
    fn list(&self, directory: &str) -> io::Result<Listing> {
        self.count("list", |objects| objects.list(directory))
    }

    fn below(&self, directory: &str) -> io::Result<Vec<String>> {
        self.count("list", |objects| objects.below(directory))
    }

    fn read(&self, name: &str) -> io::Result<Bytes> {
        self.count("read", |objects| objects.read(name))
    }

    fn put(&self, name: &str, bytes: Bytes) -> io::Result<()> {
        self.count("put", |objects| objects.put(name, bytes))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.count("remove", |objects| objects.remove(name))
    }

    fn clear_partial(&self) -> io::Result<()> {
        self.objects.clear_partial()
    }

    fn name(&self) -> String {
        self.objects.name()
    }
}
