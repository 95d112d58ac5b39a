//! How many targets fill a chunk at once. What is read and not handed on is in memory beside the byte budget, and a thousand
//! files with a backlog would have a thousand chunks there.
//! In: targets that want to read.  Out: turns, in the order they were asked for, and chunks.  Owns: one semaphore, the chunks that
//! nobody fills.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::record::Chunk;

/// Turns at once: enough for every core there usually is, while some wait for their queue.
const MOST: usize = 8;

/// The turns of all targets.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    permits: Arc<Semaphore>,
    chunks: Arc<Mutex<Vec<Chunk>>>,
}

/// The right to fill a chunk, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Turns {
    pub(crate) fn new() -> Turns {
        Turns { permits: Arc::new(Semaphore::new(MOST)), chunks: Arc::default() }
    }

    /// Waits for a turn. Cancel-safe.
    pub(crate) async fn take(&self) -> Turn {
        // The semaphore is never closed; were it, one chunk more is the lesser harm.
        Turn { _permit: self.permits.clone().acquire_owned().await.ok() }
    }

    /// An empty chunk, with the memory of one that was filled before.
    pub(crate) fn chunk(&self) -> Chunk {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Gives the memory of a chunk to the next.
    pub(crate) fn give_back(&self, mut chunk: Chunk) {
        let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        if chunks.len() < MOST {
            chunk.clear();
            chunks.push(chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn who_comes_when_all_turns_are_taken_waits_for_one_to_end() {
        let turns = Turns::new();
        let mut taken: Vec<Turn> = Vec::new();
        for _ in 0..MOST {
            taken.push(turns.take().await);
        }
        assert!(turns.take().now_or_never().is_none());
        taken.pop();
        assert!(turns.take().now_or_never().is_some());
    }
}
