//! A chunk's entries, encoded and grouped by stream: what goes to every client's batch.
//! In: entries from the pipeline.  Out: groups, shared read-only.  Owns: one buffer per stream of the chunk.

use std::ops::Range;
use std::sync::Arc;

use crate::batch::encode;
use crate::custody::Ticket;
use crate::metrics::Tally;
use crate::record::{Stream, UnixNanos};

/// One chunk's entries by stream.
#[derive(Debug)]
pub(crate) struct Groups {
    /// Number of the chunk within its target, so that caches can tell chunks apart.
    chunk: u64,
    groups: Vec<Group>,
    /// Line bytes that the next stream may have of which nothing is known.
    unmet: usize,
}

/// Entries of one stream, in order.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) stream: Arc<Stream>,
    /// `entries` fields of the push message.
    pub(crate) encoded: Vec<u8>,
    pub(crate) sizes: Vec<EntrySize>,
    /// The earliest time of them.
    pub(crate) oldest: UnixNanos,
}

/// Entries of a group that follow each other.
#[derive(Debug)]
pub(super) struct Piece {
    group: Arc<Group>,
    encoded: Range<usize>,
}

/// Sizes of one entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntrySize {
    /// Bytes in `encoded`.
    pub(crate) encoded: u32,
    /// What counts towards `batchsize`.
    pub(crate) counted: u32,
}

/// A chunk's groups when no more entries come. Each stays in memory until its batch goes: copied, they would be there twice
/// until the chunk is through, and be copied again as a batch grows.
pub(crate) type Finished = Arc<[Arc<Group>]>;

/// Groups on their way to one client, with that client's duty to answer for the chunks their lines came in.
#[derive(Debug)]
pub(crate) struct Handover {
    pub(crate) groups: Finished,
    pub(crate) tickets: Vec<Ticket>,
    /// Bytes of the byte budget that these tickets hold.
    pub(crate) cost: usize,
    /// The entries, as the client's own.
    pub(crate) entries: Tally,
    /// It waits for the batcher.
    pub(crate) waiting: Tally,
}

/// What a batcher gets.
#[derive(Debug)]
pub(crate) enum Inbound {
    Entries(Handover),
    /// What came in before cannot be read again: its source is going away.
    Secure,
    /// Somebody waits for what came in before.
    Hasten,
}

impl Groups {
    /// No entries yet.
    pub(crate) fn new(chunk: u64) -> Groups {
        Groups { chunk, groups: Vec::new(), unmet: 0 }
    }

    /// So many line bytes are going to come.
    pub(crate) fn expect(&mut self, bytes: usize) {
        self.unmet = bytes;
    }

    /// The chunk's number.
    pub(crate) fn chunk(&self) -> u64 {
        self.chunk
    }

    /// Opens a group for a stream that has had so many line bytes in a chunk like this; its index. Of those that nothing is known
    /// of, the first may have all there are, as most targets have one stream above all, and each other one less: a buffer that grows
    /// is copied each time.
    pub(crate) fn open(&mut self, stream: Arc<Stream>, before: Option<usize>) -> usize {
        let expected = before.unwrap_or_else(|| {
            let unmet = self.unmet;
            self.unmet /= 8;
            unmet
        });
        let (encoded, oldest) = (Vec::with_capacity(expected + expected / 8), UnixNanos(i64::MAX));
        self.groups.push(Group { stream, encoded, sizes: Vec::new(), oldest });
        self.groups.len() - 1
    }

    /// Adds an entry to an open group.
    pub(crate) fn append<'m>(
        &mut self,
        group: usize,
        timestamp: UnixNanos,
        line: &[u8],
        metadata: impl Iterator<Item = (&'m str, &'m [u8])> + Clone,
    ) {
        let Group { encoded, sizes, oldest, .. } = &mut self.groups[group];
        *oldest = timestamp.min(*oldest);
        let before = encoded.len();
        let counted = encode::entry(timestamp, line, metadata, encoded);
        sizes.push(EntrySize { encoded: (encoded.len() - before) as u32, counted: counted as u32 });
    }

    /// How many entries there are.
    pub(crate) fn entries(&self) -> u64 {
        self.groups.iter().map(|group| group.sizes.len() as u64).sum()
    }

    /// The groups, in the order their streams first appeared, without what their buffers have too much.
    pub(crate) fn finish(self) -> Finished {
        let groups = self.groups.into_iter().map(|mut group| {
            if group.encoded.capacity() - group.encoded.len() > group.encoded.len() / 4 {
                group.encoded.shrink_to_fit();
                group.sizes.shrink_to_fit();
            }
            Arc::new(group)
        });
        groups.collect()
    }
}

impl Piece {
    /// These bytes of a group.
    pub(super) fn of(group: &Arc<Group>, encoded: Range<usize>) -> Piece {
        Piece { group: group.clone(), encoded }
    }

    pub(super) fn encoded(&self) -> &[u8] {
        &self.group.encoded[self.encoded.clone()]
    }
}
