//! One process of the model, between two restarts.
//! In: what the model does.  Out: what must be true of it.  Owns: ledger, positions and spool of the process.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::custody::model::Lines;
use crate::custody::spool::{Losses, Record, Spool};
use crate::custody::{Ledger, Store, Ticket, Track};

/// One process between two restarts.
pub(super) struct Run {
    pub(super) ledger: Ledger,
    pub(super) track: Arc<Track>,
    pub(super) store: Store,
    pub(super) spool: Spool,
    pub(super) recovered: u64,
    pub(super) appended: u64,
    pub(super) acknowledged: u64,
    pub(super) lost: Losses,
    /// Chunks' parcels that nobody has spoken for.
    pub(super) open: Vec<(Lines, Ticket)>,
    /// The next line to read.
    pub(super) next: u32,
    /// What the spool holds, oldest first, less those in flight.
    pub(super) held: VecDeque<Record>,
    /// What was given, from the first on that is not acknowledged, and whether it is.
    pub(super) in_flight: VecDeque<(Record, bool)>,
    /// Entries before or between what it holds that it will count as damaged.
    pub(super) missing: u64,
    /// The segment of those in flight may have given way.
    pub(super) may_be_evicted: bool,
}

impl Run {
    /// What was given and is not acknowledged.
    pub(super) fn given(&self) -> impl Iterator<Item = &Record> {
        self.in_flight.iter().filter(|(_, acknowledged)| !acknowledged).map(|(record, _)| record)
    }
}
