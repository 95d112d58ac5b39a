//! What paces the path: a bound on bytes in flight, a rate, and how long to wait before trying again.
//! In: sizes, failures.  Out: shares, delays.  Owns: one semaphore.

mod backoff;
mod budget;
mod rate;
mod seldom;
mod troubles;

pub(crate) use backoff::{Backoff, Settings as BackoffSettings};
pub(crate) use budget::{BYTES_PER_PERMIT, Budget, IN_FLIGHT_LIMIT, Share, TARGET_LIMIT};
pub(crate) use rate::TokenBucket;
pub(crate) use seldom::Seldom;
pub(crate) use troubles::Troubles;
