//! Shards: streams by a hash, so that the order of each is kept by sets of bits.
//! In: a tenant, a label string.  Out: a shard, and sets of them.  Owns: nothing.

/// How many there are: enough that the few streams that are heavy seldom share one.
const SHARDS: usize = u128::BITS as usize;

/// Streams that are never in two requests at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shard(u8);

/// A set of shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shards(u128);

impl Shard {
    /// The shard of a stream: the same in every batcher, as parcels outlive theirs.
    pub(super) fn of(tenant: Option<&str>, labels: &str) -> Shard {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(tenant.unwrap_or_default().as_bytes());
        hasher.update(labels.as_bytes());
        Shard((hasher.finalize() as usize % SHARDS) as u8)
    }
}

impl Shards {
    /// All of them: for what nobody has looked into.
    pub(crate) const ALL: Shards = Shards(u128::MAX);

    pub(super) fn of(shard: Shard) -> Shards {
        Shards(1 << shard.0)
    }

    pub(crate) fn is_disjoint(self, other: Shards) -> bool {
        self.0 & other.0 == 0
    }

    pub(crate) fn with(self, other: Shards) -> Shards {
        Shards(self.0 | other.0)
    }

    pub(super) fn without(self, other: Shards) -> Shards {
        Shards(self.0 & !other.0)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn has(self, shard: Shard) -> bool {
        self.0 >> shard.0 & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_one_shard_and_many_streams_have_nearly_all() {
        let shard = |number: u32| Shard::of(Some("tenant"), &format!("{{app=\"a{number}\"}}"));
        assert_eq!(shard(1), shard(1));
        let met = (0..2000).fold(Shards::default(), |met, number| met.with(Shards::of(shard(number))));
        assert!(met.0.count_ones() > 123, "{met:?}");
        let less = met.without(Shards::of(shard(7)));
        assert!(met.has(shard(7)) && !less.has(shard(7)) && less.is_disjoint(Shards::of(shard(7))));
        assert!(Shards::ALL.without(Shards::ALL).is_empty());
    }
}
