//! Ties derived metrics to positions.
//! In: what lines did to series.  Out: the same, settled with their chunk.  Owns: nothing.

use crate::custody::{Effect, Ticket};
use crate::metrics::Changes;

/// What can be settled with a chunk.
pub(super) trait CountWith {
    /// Settles with the chunk of `ticket`.
    fn count_with(self, ticket: &Ticket);
}

impl CountWith for Changes {
    fn count_with(self, ticket: &Ticket) {
        if !self.is_empty() {
            ticket.attach(Box::new(self));
        }
    }
}

impl Effect for Changes {
    fn commit(&self) {
        self.settle();
    }
}
