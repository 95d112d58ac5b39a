//! What a part of a chunk came to.
//! In: lines that passed all steps.  Out: groups of entries; tickets.  Owns: both, until they are handed on.

use std::time::Duration;

use crate::batch::Groups;
use crate::custody::Ticket;
use crate::metrics::Changes;
use crate::pipeline::compile::DropReason;
use crate::targets::Dropped;

/// What lines came to.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) groups: Groups,
    /// Tickets of entries that were held back from earlier chunks, and that are among the groups now, or dropped.
    pub(crate) tickets: Vec<Ticket>,
    /// How long to rest before the next line.
    pub(crate) pause: Duration,
    /// What the lines did to derived metrics. What entries did that were held back goes with their own chunks.
    pub(crate) changes: Changes,
    /// Lines that rules dropped.
    pub(crate) dropped: Dropped,
}

impl Output {
    /// Nothing yet; `chunk` tells one output of a lane from another.
    pub(crate) fn new(chunk: u64) -> Output {
        let (groups, changes) = (Groups::new(chunk), Changes::default());
        let dropped = Dropped::default();
        Output { groups, tickets: Vec::new(), pause: Duration::ZERO, changes, dropped }
    }

    /// A rule drops a line.
    pub(crate) fn drop(&mut self, reason: &DropReason) {
        reason.count();
        self.dropped.add(&reason.name);
    }
}
