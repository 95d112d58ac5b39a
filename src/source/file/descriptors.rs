//! How many files may be open at once: what the process may have, less what everything else needs.
//! In: who opens a file and who lets go of one.  Out: leave to open one more.  Owns: the count.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

use crate::metrics::Own;

/// No limit of the process, but one of ours all the same; as many files may be followed.
const MOST: usize = 100_000;

/// Files that are open, over all jobs.
#[derive(Debug)]
pub(crate) struct Descriptors {
    limit: usize,
    open: AtomicUsize,
    /// Somebody could not open a file and nobody has made room since.
    wanted: AtomicBool,
    own: Arc<Own>,
}

/// Leave to have a file open.
#[derive(Debug)]
pub(super) struct Descriptor(Arc<Descriptors>);

impl Descriptors {
    /// As many as the process may have, after raising its limit to what it may raise it to. A quarter is left to
    /// connections, to Docker's log streams and to state.
    pub(crate) fn of_process(own: &Arc<Own>) -> Arc<Descriptors> {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let raised = current != maximum
            && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
                .inspect_err(|error| warn!(%error, "the limit of open files cannot be raised"))
                .is_ok();
        let of_process = if raised { maximum } else { current };
        let of_process = of_process.map_or(MOST, |limit| usize::try_from(limit).unwrap_or(MOST));
        let descriptors = Descriptors::new((of_process / 4 * 3).clamp(1, MOST), own);
        info!(limit = descriptors.limit, of_process, "files that may be open at once");
        Arc::new(descriptors)
    }

    fn new(limit: usize, own: &Arc<Own>) -> Descriptors {
        own.open_files_limit.set(limit as f64);
        Descriptors { limit, open: AtomicUsize::new(0), wanted: AtomicBool::new(false), own: own.clone() }
    }

    /// Leave to open one more file, if there is room.
    pub(super) fn take(self: &Arc<Descriptors>) -> io::Result<Descriptor> {
        let more = |open| (open < self.limit).then_some(open + 1);
        match self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(before) => {
                self.own.open_files.set((before + 1) as f64);
                Ok(Descriptor(self.clone()))
            }
            Err(_) => {
                if !self.wanted.swap(true, Ordering::Relaxed) {
                    warn!(
                        limit = self.limit,
                        "as many files are open as may be, the others wait for their turn"
                    );
                }
                Err(io::Error::from(Errno::MFILE))
            }
        }
    }

    /// True when files that are read to their end should not stay open.
    pub(super) fn are_scarce(&self) -> bool {
        self.open.load(Ordering::Relaxed) >= self.limit - self.limit / 8
    }

    /// True when somebody waits for room.
    pub(super) fn are_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        let before = self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.own.open_files.set(before.saturating_sub(1) as f64);
        if before <= self.0.limit / 2 {
            self.0.wanted.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Registry;

    #[test]
    fn no_more_files_are_open_than_may_be_and_room_is_made() {
        let own = Own::register(&Registry::default());
        let descriptors = Arc::new(Descriptors::new(8, &own));
        let mut taken: Vec<Descriptor> = (0..6).map(|_| descriptors.take().unwrap()).collect();
        assert!(!descriptors.are_scarce());
        taken.extend((0..2).map(|_| descriptors.take().unwrap()));
        assert!(descriptors.are_scarce() && !descriptors.are_wanted());
        assert!(descriptors.take().is_err());
        assert!(descriptors.are_wanted());
        taken.pop();
        assert!(descriptors.take().is_ok());
        taken.truncate(3);
        assert!(!descriptors.are_scarce() && !descriptors.are_wanted());
    }
}
