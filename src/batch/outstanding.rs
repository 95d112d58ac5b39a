//! What was sealed for a client and is not settled: while there is some of it, a full batch may go on filling.
//! In: sets of shards.  Out: a token for each parcel; which shards are under way.  Owns: a weak reference for each token.

use std::sync::{Arc, Weak};

use tokio::sync::Notify;

use crate::batch::shards::Shards;

/// A parcel, and all it is divided into, hold it until their lines are settled: nothing has to be kept account of.
#[derive(Debug)]
pub(crate) struct Token {
    settled: Arc<Notify>,
}

/// What one batcher has sealed.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    parcels: Vec<(Weak<Token>, Shards)>,
    settled: Arc<Notify>,
}

impl Outstanding {
    /// For a parcel with streams of these shards.
    pub(super) fn token(&mut self, shards: Shards) -> Arc<Token> {
        let token = Arc::new(Token { settled: self.settled.clone() });
        self.parcels.retain(|(token, _)| token.strong_count() > 0);
        self.parcels.push((Arc::downgrade(&token), shards));
        token
    }

    /// How many parcels there are, and the shards that are in any of them.
    pub(super) fn now(&self) -> (usize, Shards) {
        let live = self.parcels.iter().filter(|(token, _)| token.strong_count() > 0);
        live.fold((0, Shards::default()), |(count, all), (_, shards)| (count + 1, all.with(*shards)))
    }

    /// Waits until one of them is settled; at once, if one was since last asked. Cancel-safe.
    pub(super) async fn changed(&self) {
        self.settled.notified().await;
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.settled.notify_one();
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
        assert_eq!(outstanding.now(), (2, one.with(other)));
        drop(part);
        assert_eq!(outstanding.now(), (1, other));
        outstanding.changed().await;
        drop(second);
        outstanding.changed().await;
        assert_eq!(outstanding.now(), (0, Shards::default()));
    }
}
