//! What goes with a position: it counts from the moment at which the position is past the chunk it came of.
//! In: effects of chunks.  Out: effects made good, in one step with the position.  Owns: nothing.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::clock::Instant;
use crate::custody::ledger::{Ledger, State, Ticket, Track};

/// Shared by all tracks of a ledger.
pub(super) type Cut = Arc<AtRest>;

#[derive(Debug)]
pub(super) struct AtRest {
    /// Held while a position moves; exclusively by whoever wants to see all positions, and what goes with them, at one
    /// moment.
    moves: RwLock<()>,
    began: Instant,
    /// When something was last settled, in milliseconds from then.
    settled: AtomicU64,
}

impl Default for AtRest {
    fn default() -> Self {
        AtRest { moves: RwLock::default(), began: Instant::now(), settled: AtomicU64::default() }
    }
}

impl AtRest {
    /// For how long nothing was settled.
    pub(super) fn still_for(&self) -> Duration {
        let settled = Duration::from_millis(self.settled.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(settled)
    }

    fn note_settled(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.settled.fetch_max(now, Ordering::Relaxed);
    }
}

/// What counts with a position.
pub(crate) trait Effect: fmt::Debug + Send {
    /// The position is past the chunk.
    fn commit(&self);
}

impl Ledger {
    /// Looks at something while no position moves.
    pub(crate) fn at_rest<T>(&self, look: impl FnOnce() -> T) -> T {
        let _rest = self.cut.moves.write().unwrap_or_else(PoisonError::into_inner);
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
        let _moves = self.cut.moves.read().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.lock();
        let before = state.first;
        change(&mut state);
        let (done, moved) = (state.slots.is_empty(), state.first != before);
        drop(state);
        if moved {
            self.cut.note_settled();
        }
        if done {
            self.settled.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    use super::*;
    use crate::custody::{Cursor, Head, Outcome};
    use crate::flow::Budget;
    use crate::record::ByteCount;

    #[derive(Debug)]
    struct Count(Arc<AtomicU64>);

    impl Effect for Count {
        fn commit(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    proptest! {
        #[test]
        fn what_counts_is_what_lies_before_the_position(steps in proptest::collection::vec((0..6u8, any::<u8>()), 1..80)) {
            let (ledger, budget) = (Ledger::default(), Budget::new(ByteCount::mib(1)));
            let (track, counted) = (ledger.track("x", "x"), Arc::new(AtomicU64::new(0)));
            let (mut tickets, mut seams, mut offset) = (Vec::new(), Vec::new(), 0);
            for (step, choice) in steps {
                let pick = |length: usize| usize::from(choice) % length;
                match step {
                    0 | 1 => {
                        offset += 1;
                        let share = budget.take(1).now_or_never().unwrap();
                        let cursor = Cursor::File { offset, head: Head::default() };
                        let ticket = track.admit(cursor, share);
                        ticket.attach(Box::new(Count(counted.clone())));
                        if choice % 3 == 0 {
                            seams.push(ticket.seam());
                        }
                        tickets.push(ticket);
                    }
                    2 if !seams.is_empty() => seams.swap_remove(pick(seams.len())).tear(),
                    3 if !seams.is_empty() => drop(seams.swap_remove(pick(seams.len()))),
                    _ if !tickets.is_empty() => {
                        let ticket = tickets.swap_remove(pick(tickets.len()));
                        ticket.settle(if choice == 7 { Outcome::Lost } else { Outcome::Delivered });
                    }
                    _ => {}
                }
                let position = match track.committed() {
                    Some(Cursor::File { offset, .. }) => offset,
                    _ => 0,
                };
                prop_assert_eq!(counted.load(Ordering::SeqCst), position, "one for each chunk before it");
            }
        }
    }
}
