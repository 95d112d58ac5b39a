//! What was sealed for a client and is not settled: while there is some of it, a full batch may go on filling.
//! In: sets of shards.  Out: a token for each parcel; which shards are under way.  Owns: a weak reference for each token.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use tokio::sync::Notify;

use crate::batch::shards::Shards;

/// A parcel, and all it is divided into, hold it until their lines are settled: nothing has to be kept account of.
#[derive(Debug)]
pub(crate) struct Token {
    on_disk: AtomicBool,
    changed: Arc<Notify>,
}

/// What one batcher has sealed.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    parcels: Vec<(Weak<Token>, Shards)>,
    changed: Arc<Notify>,
}

/// A look at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// Parcels in memory.
    pub(super) parcels: usize,
    /// Those of all parcels, also on disk.
    pub(super) shards: Shards,
}

impl Outstanding {
    /// For a parcel with streams of these shards.
    pub(super) fn token(&mut self, shards: Shards) -> Arc<Token> {
        let token = Arc::new(Token { on_disk: AtomicBool::new(false), changed: self.changed.clone() });
        self.parcels.retain(|(token, _)| token.strong_count() > 0);
        self.parcels.push((Arc::downgrade(&token), shards));
        token
    }

    pub(super) fn now(&self) -> Look {
        let mut look = Look::default();
        for (token, shards) in &self.parcels {
            if let Some(token) = token.upgrade() {
                look.parcels += usize::from(!token.on_disk.load(Ordering::Relaxed));
                look.shards = look.shards.with(*shards);
            }
        }
        look
    }

    /// Waits until one of them is settled or on disk; at once, if one was since last asked. Cancel-safe.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl Token {
    /// Its parcel is on disk; who keeps the token wants what is behind it to have other streams.
    pub(crate) fn put_on_disk(&self) {
        self.on_disk.store(true, Ordering::Relaxed);
        self.changed.notify_one();
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::shards::Shard;

    #[tokio::test]
    async fn a_parcel_is_outstanding_until_the_last_part_of_it_is_gone() {
        let mut outstanding = Outstanding::default();
        let [one, other] = ["{a=\"1\"}", "{a=\"2\"}"].map(|labels| Shards::of(Shard::of(None, labels)));
        let (first, second) = (outstanding.token(one), outstanding.token(other));
        let part = first.clone();
        drop(first);
        assert_eq!(outstanding.now(), Look { parcels: 2, shards: one.with(other) });
        drop(part);
        assert_eq!(outstanding.now(), Look { parcels: 1, shards: other });
        outstanding.changed().await;
        second.put_on_disk();
        assert_eq!(outstanding.now(), Look { parcels: 0, shards: other });
        outstanding.changed().await;
        drop(second);
        outstanding.changed().await;
        assert_eq!(outstanding.now(), Look::default());
    }
}
