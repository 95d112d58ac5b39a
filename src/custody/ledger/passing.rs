//! Tracks of what is given once and cannot be read again: it has no position, but whoever gave it may wait for an answer.
//! In: chunks admitted, tickets settled.  Out: that all is settled.  Owns: nothing.

use std::pin::pin;
use std::sync::Arc;

use crate::custody::ledger::{Cut, Track};
use crate::custody::{Cursor, Head};

impl Track {
    /// The place after any chunk of a [`passing`](Self::passing) track.
    pub(crate) const NO_PLACE: Cursor = Cursor::File { offset: 0, head: Head { length: 0, crc: 0 } };

    /// A track that no ledger knows.
    pub(crate) fn passing() -> Arc<Track> {
        Track::new("", None, &Cut::default())
    }

    /// Waits until all that was admitted is settled; true where nothing of it was lost. Cancel-safe.
    pub(crate) async fn settled(&self) -> bool {
        loop {
            let mut told = pin!(self.settled.notified());
            // From here on nothing is missed.
            told.as_mut().enable();
            if let Some(whole) = self.outcome() {
                return whole;
            }
            told.await;
        }
    }

    fn outcome(&self) -> Option<bool> {
        let state = self.lock();
        state.slots.is_empty().then_some(!state.stuck)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::custody::Outcome;
    use crate::flow::Budget;
    use crate::record::ByteCount;

    #[tokio::test]
    async fn whoever_waits_learns_that_all_is_settled_and_whether_it_is_there() {
        for (outcome, whole) in [(Outcome::Spooled, true), (Outcome::Refused, true), (Outcome::Lost, false)] {
            let track = Track::passing();
            assert!(track.settled().await, "nothing was given");
            let budget = Budget::new(ByteCount::mib(1));
            let tickets = [1, 2].map(|_| budget.take(1).now_or_never().unwrap());
            let [one, other] = tickets.map(|share| track.admit(Track::NO_PLACE, share));
            let mut waiting = pin!(track.settled());
            assert_eq!(waiting.as_mut().now_or_never(), None);
            other.settle(outcome);
            assert_eq!(waiting.as_mut().now_or_never(), None, "one is open");
            one.settle(Outcome::Delivered);
            assert_eq!(waiting.await, whole, "{outcome:?}");
        }
    }
}
