//! Which of two entries of several files comes first, as `journalctl` sees it.
//! In: two entries.  Out: their order.  Owns: nothing.

use std::cmp::Ordering;

use crate::custody::JournalPoint;

/// By number where the same journald counted, else by the boot's clock where it was the same boot, else by time.
/// Two that are equal are the same entry, in two files.
pub(super) fn compare(one: &JournalPoint, other: &JournalPoint) -> Ordering {
    let by_number = match one.seqnum_id == other.seqnum_id {
        true => one.seqnum.cmp(&other.seqnum),
        false => Ordering::Equal,
    };
    let by_boot = match one.boot == other.boot {
        true => one.monotonic.cmp(&other.monotonic),
        false => Ordering::Equal,
    };
    by_number.then(by_boot).then(one.realtime.cmp(&other.realtime)).then(one.xor.cmp(&other.xor))
}

/// Whether `entry` has come before, where `last` was the last one. Times alone do not tell: a clock that was set back must
/// not make entries look old.
pub(super) fn has_come(entry: &JournalPoint, last: &JournalPoint) -> bool {
    match entry.seqnum_id == last.seqnum_id {
        true => compare(entry, last).is_eq(),
        // Flushing copies what is in /run to /var, under other numbers.
        false => entry.boot == last.boot && compare(entry, last).is_le(),
    }
}
