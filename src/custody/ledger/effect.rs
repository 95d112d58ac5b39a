//! What goes with a position: it counts from the moment at which the position is past the chunk it came of.
//! In: effects of chunks.  Out: effects made good, in one step with the position.  Owns: nothing.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::custody::ledger::{Ledger, State, Ticket, Track};

/// Held while a position moves; exclusively by whoever wants to see all positions, and what goes with them, at one moment.
pub(super) type Cut = Arc<RwLock<()>>;

/// What counts with a position.
pub(crate) trait Effect: fmt::Debug + Send {
    /// The position is past the chunk.
    fn commit(&self);
}

impl Ledger {
    /// Looks at something while no position moves.
    pub(crate) fn at_rest<T>(&self, look: impl FnOnce() -> T) -> T {
        let _rest = self.cut.write().unwrap_or_else(PoisonError::into_inner);
        look()
    }
}

impl Ticket {
    /// Has something count with the position after the chunk.
    pub(crate) fn attach(&self, effect: Box<dyn Effect>) {
        if let Some(slot) = self.track.lock().slot(self.sequence) {
            slot.effects.push(effect);
        }
    }
}

impl Track {
    /// Changes the account, and says so to those who wait when nothing is open any more.
    pub(super) fn update(&self, change: impl FnOnce(&mut State)) {
        let _moves = self.cut.read().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.lock();
        change(&mut state);
        let done = state.slots.is_empty();
        drop(state);
        if done {
            self.settled.notify_waiters();
        }
    }
}
