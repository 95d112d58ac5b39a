//! The only place that asks what time it is.
//! In: the system's clocks.  Out: `UnixNanos` for lines, tokio's pausable `Instant` for waiting.  Owns: nothing.

use std::time::UNIX_EPOCH;

use crate::record::UnixNanos;

pub(crate) use tokio::time::Instant;

/// The wall clock now. A clock before 1970 or after 2262 reads as the nearest time that can be said.
#[allow(clippy::disallowed_methods, reason = "the one reading of the wall clock")]
pub(crate) fn now() -> UnixNanos {
    match std::time::SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => UnixNanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)),
        Err(before) => UnixNanos(-i64::try_from(before.duration().as_nanos()).unwrap_or(i64::MAX)),
    }
}

/// The clock that the kernel takes the times of files from: the same one, but it stands still between ticks, of which there are
/// some in ten milliseconds, or one.
pub(crate) fn of_files() -> UnixNanos {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    UnixNanos(now.tv_sec.saturating_mul(1_000_000_000).saturating_add(now.tv_nsec))
}

/// One reading of both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// What the calendar says.
    pub(crate) wall: UnixNanos,
    /// What waiting goes by.
    pub(crate) instant: Instant,
}

/// This moment.
pub(crate) fn moment() -> Moment {
    Moment { wall: now(), instant: Instant::now() }
}
