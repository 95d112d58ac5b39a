//! Who answers for a line: tickets, the ledger that counts them, the files that remember positions and
//! times, the spool.
//! In: chunks admitted by sources, outcomes told by pipeline and delivery.  Out: positions.  Owns: every track.
//!
//! A position moves only over a gapless prefix of settled chunks. Forgotten means lost: a ticket that is dropped
//! without a word keeps its position where it is, and the lines are read again after a restart.

mod cursor;
mod disk;
mod journal_point;
mod ledger;
#[cfg(test)]
mod model;
mod positions;
mod spool;
mod times;

pub(crate) use cursor::{Cursor, DockerPoint, Head, LogPlace, Taken};
#[cfg(test)]
pub(crate) use disk::simulated::{Dice, SimDisk};
pub(crate) use disk::{Disk, Lock, RealDisk};
pub(crate) use journal_point::JournalPoint;
pub(crate) use ledger::{Backlog, Claim, Effect, Imported, Ledger, Outcome, Seam, Ticket, Track};
#[cfg(any(fuzzing, test))]
pub(crate) use positions::fuzz_promtail;
pub(crate) use positions::{Settings, Store, StoreError};
pub(crate) use spool::{AppendError, Peek, Record, Settings as SpoolSettings, Spool, SpoolError, WhenFull};
pub(crate) use times::{Note, Times};
