//! How far the settling of a target is behind its reading.
//! In: the ledger.  Out: numbers for people.  Owns: nothing.

use std::time::Duration;

use crate::clock::Instant;
use crate::custody::ledger::{Ledger, Track};

/// What was read and is not settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backlog {
    pub(crate) chunks: usize,
    pub(crate) bytes: u64,
    /// When the oldest of it was read.
    pub(crate) oldest: Option<Instant>,
}

impl Backlog {
    /// The two together.
    pub(crate) fn and(self, other: Backlog) -> Backlog {
        Backlog {
            chunks: self.chunks + other.chunks,
            bytes: self.bytes + other.bytes,
            oldest: [self.oldest, other.oldest].into_iter().flatten().min(),
        }
    }
}

impl Track {
    /// What of it is not settled.
    pub(crate) fn backlog(&self) -> Backlog {
        let state = self.lock();
        Backlog {
            chunks: state.slots.len(),
            bytes: state.slots.iter().map(|slot| slot.bytes).sum(),
            oldest: state.slots.front().map(|slot| slot.admitted),
        }
    }
}

impl Ledger {
    /// For how long nothing at all was settled.
    pub(crate) fn still_for(&self) -> Duration {
        self.cut.still_for()
    }
}
