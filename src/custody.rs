//! Who answers for a line: tickets, the ledger that counts them, the file that remembers positions, the spool.
//! In: chunks admitted by sources, outcomes told by pipeline and delivery.  Out: positions.  Owns: every track.
//!
//! A position moves only over a gapless prefix of settled chunks. Forgotten means lost: a ticket that is dropped
//! without a word keeps its position where it is, and the lines are read again after a restart.

mod cursor;
mod disk;
mod ledger;
#[cfg(test)]
mod model;
mod positions;
#[allow(dead_code, reason = "delivery does not use it yet")]
mod spool;

pub(crate) use cursor::{Cursor, DockerPoint, Head};
#[allow(unused_imports, reason = "delivery does not use the spool yet")]
pub(crate) use disk::{Disk, RealDisk};
pub(crate) use ledger::{Claim, Ledger, Outcome, Seam, Ticket, Track};
pub(crate) use positions::{Settings, Store, StoreError};
#[allow(unused_imports, reason = "delivery does not use the spool yet")]
pub(crate) use spool::{
    AppendError, Losses, Record, Recovered, Settings as SpoolSettings, Spool, SpoolError, WhenFull,
};
