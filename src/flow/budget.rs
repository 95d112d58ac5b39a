//! The byte budget: everything read and not yet settled, in bytes, has one bound.
//! In: how much a source is about to carry.  Out: a share, held until the chunk settles.  Owns: one semaphore.
//!
//! When the budget is spent, sources stop reading: the log file or the Docker daemon is the buffer.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::record::ByteCount;

/// Bytes in flight over all sources. Lines are carried about twice (raw and encoded), so peak memory is a multiple.
pub(crate) const IN_FLIGHT_LIMIT: ByteCount = ByteCount::mib(64);

/// Bytes in flight of one target: a container that prints a hundred times as much as the others has at most an eighth of
/// the queue, whatever Loki's pace.
pub(crate) const TARGET_LIMIT: ByteCount = ByteCount(IN_FLIGHT_LIMIT.0 / 8);

/// A semaphore counts at most 2^61 permits, but one acquisition only 2^32: a permit stands for this many bytes.
pub(crate) const BYTES_PER_PERMIT: u64 = 1024;

/// The bound on bytes in flight.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    permits: Arc<Semaphore>,
    total: u32,
}

/// A share of the budget; dropping it gives the bytes back.
#[derive(Debug, Default)]
pub(crate) struct Share {
    bytes: u64,
    _permit: Option<OwnedSemaphorePermit>,
    /// Of a smaller budget within.
    _within: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub(crate) fn new(limit: ByteCount) -> Self {
        let total = u32::try_from(limit.0 / BYTES_PER_PERMIT).unwrap_or(u32::MAX).max(1);
        Budget { permits: Arc::new(Semaphore::new(total as usize)), total }
    }

    /// Waits until `bytes` fit. More than the whole budget counts as all of it, so one huge chunk passes alone.
    /// Cancel-safe: a share not yet given is not held.
    pub(crate) async fn take(&self, bytes: usize) -> Share {
        let wanted = u32::try_from((bytes as u64).div_ceil(BYTES_PER_PERMIT)).unwrap_or(u32::MAX);
        let wanted = wanted.clamp(1, self.total);
        // The semaphore is never closed; were it, an unbounded share is the lesser harm.
        let permit = self.permits.clone().acquire_many_owned(wanted).await.ok();
        Share { bytes: bytes as u64, _permit: permit, _within: None }
    }

    /// The same, of a smaller budget first, which is waited for without keeping others from this one.
    pub(crate) async fn take_within(&self, smaller: &Budget, bytes: usize) -> Share {
        let within = smaller.take(bytes).await;
        Share { _within: within._permit, ..self.take(bytes).await }
    }

    /// Bytes in flight now, in steps of a KiB.
    pub(crate) fn used(&self) -> ByteCount {
        ByteCount(
            (self.total as usize).saturating_sub(self.permits.available_permits()) as u64 * BYTES_PER_PERMIT,
        )
    }
}

impl Share {
    /// What it was taken for.
    pub(crate) fn bytes(&self) -> ByteCount {
        ByteCount(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_spent_budget_makes_the_next_chunk_wait_until_one_settles() {
        let budget = Budget::new(ByteCount(4096));
        let first = budget.take(4096).await;
        let second = tokio::spawn({
            let budget = budget.clone();
            async move { budget.take(1).await }
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        drop(first);
        drop(second.await.unwrap());
        assert_eq!(budget.used(), ByteCount(0));
    }

    #[tokio::test]
    async fn a_chunk_larger_than_the_whole_budget_passes_alone() {
        let budget = Budget::new(ByteCount(4096));
        drop(budget.take(1 << 30).await);
        assert_eq!(budget.used(), ByteCount(0));
    }
}
