//! How far the settling of a target is behind its reading.
//! In: the ledger.  Out: numbers for people.  Owns: nothing.

use std::time::Duration;

use crate::clock::Instant;
use crate::custody::ledger::{Ledger, Track};

/// What was read and is not settled. Lines that a stage holds back wait for what belongs to them, not for anybody to take
/// them: they are not behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backlog {
    /// Also those of which nothing but held lines is left.
    pub(crate) chunks: usize,
    pub(crate) bytes: u64,
    /// When the oldest of these bytes was read.
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
        let mut behind = state.slots.iter().filter(|slot| slot.share.is_some()).peekable();
        Backlog {
            chunks: state.slots.len(),
            oldest: behind.peek().map(|slot| slot.admitted),
            bytes: behind.map(|slot| slot.bytes).sum(),
        }
    }
}

impl Ledger {
    /// For how long nothing at all was settled.
    pub(crate) fn still_for(&self) -> Duration {
        self.cut.still_for()
    }
}
