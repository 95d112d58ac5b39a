//! What paces the path: a bound on bytes in flight, turns, a rate, and how long to wait before trying again.
//! In: sizes, failures.  Out: shares, turns, delays.  Owns: semaphores.

mod backoff;
mod budget;
mod rate;
mod seldom;
mod troubles;
mod turns;

pub(crate) use backoff::{Backoff, Settings as BackoffSettings};
pub(crate) use budget::{BYTES_PER_PERMIT, Budget, IN_FLIGHT_LIMIT, Share, TARGET_LIMIT};
pub(crate) use rate::TokenBucket;
pub(crate) use seldom::Seldom;
pub(crate) use troubles::Troubles;
pub(crate) use turns::{Turn, Turns};
