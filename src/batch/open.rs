//! The batch of one tenant while it fills.
//! In: groups of entries.  Out: a parcel when sealed.  Owns: a buffer per stream.

use std::collections::HashMap;
use std::sync::Arc;

use crate::batch::encode;
use crate::batch::groups::Group;
use crate::batch::parcel::{Content, Parcel};
use crate::batch::worker::Settings;
use crate::clock::Instant;
use crate::custody::Ticket;
use crate::flow::TARGET_LIMIT;
use crate::metrics::Tally;
use crate::record::UnixNanos;

/// Half of what a target may have in flight. Where stages leave little of each line, a batch would otherwise wait for its
/// age while its sources wait for it.
const DEAR: usize = TARGET_LIMIT.0 as usize / 2;

/// Entries waiting to be sent together.
#[derive(Debug)]
pub(super) struct OpenBatch {
    tenant: Option<Arc<str>>,
    /// When the first entry came.
    pub(super) since: Instant,
    /// Line bytes so far.
    counted: usize,
    /// Bytes of the byte budget that wait for this batch: those of whole chunks, however little of them is left.
    cost: usize,
    entries: Tally,
    oldest: UnixNanos,
    /// Index into `streams` by label string.
    index: HashMap<Arc<str>, usize, foldhash::fast::RandomState>,
    streams: Vec<(Arc<str>, Vec<u8>)>,
    tickets: Vec<Ticket>,
}

impl OpenBatch {
    /// An empty one; `entries` counts none.
    pub(super) fn new(tenant: Option<Arc<str>>, since: Instant, entries: Tally) -> OpenBatch {
        OpenBatch {
            tenant,
            since,
            counted: 0,
            cost: 0,
            entries,
            oldest: UnixNanos(i64::MAX),
            index: HashMap::default(),
            streams: Vec::new(),
            tickets: Vec::new(),
        }
    }

    /// Adds entries of `group` from number `from` on, taken from `entries`, until the batch would exceed its line bytes or
    /// streams; the number of the first entry not added. An empty batch takes at least one entry, whatever its size.
    pub(super) fn fill(
        &mut self,
        group: &Group,
        labels: &Arc<str>,
        from: usize,
        limits: &Settings,
        entries: &mut Tally,
    ) -> usize {
        if limits.max_streams.is_some_and(|most| self.streams.len() >= most)
            && !self.index.contains_key(labels)
        {
            return from;
        }
        let (mut to, mut counted, mut encoded) = (from, self.counted, 0);
        for size in &group.sizes[from..] {
            let with = counted + size.counted as usize;
            if with > limits.size && (!self.is_empty() || to > from) {
                break;
            }
            counted = with;
            encoded += size.encoded as usize;
            to += 1;
        }
        if to == from {
            return from;
        }
        let start: usize = group.sizes[..from].iter().map(|size| size.encoded as usize).sum();
        let buffer = self.stream(labels);
        buffer.extend_from_slice(&group.encoded[start..start + encoded]);
        self.counted = counted;
        self.entries.absorb(entries.split((to - from) as u64));
        self.oldest = self.oldest.min(group.oldest);
        to
    }

    /// Holds tickets of the chunks whose entries came in last: one a chunk, however many streams it had. They keep `cost`
    /// bytes of the budget.
    pub(super) fn hold(&mut self, tickets: &[Ticket], cost: usize) {
        let latest = &self.tickets[self.tickets.len().saturating_sub(tickets.len())..];
        if latest.len() == tickets.len() && latest.iter().zip(tickets).all(|(a, b)| a.is_twin_of(b)) {
            return;
        }
        self.tickets.extend(tickets.iter().map(Ticket::split));
        self.cost += cost;
    }

    /// True where a source may wait for this batch before it can read on.
    pub(super) fn is_dear(&self) -> bool {
        self.cost >= DEAR
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.count() == 0
    }

    fn stream(&mut self, labels: &Arc<str>) -> &mut Vec<u8> {
        let index = match self.index.get(labels) {
            Some(index) => *index,
            None => {
                self.streams.push((labels.clone(), Vec::new()));
                self.index.insert(labels.clone(), self.streams.len() - 1);
                self.streams.len() - 1
            }
        };
        &mut self.streams[index].1
    }

    pub(super) fn seal(self) -> Parcel {
        let size = self.streams.iter().map(|(labels, entries)| labels.len() + entries.len() + 24).sum();
        let mut request = Vec::with_capacity(size);
        for (labels, entries) in &self.streams {
            encode::stream(labels, entries, &mut request);
        }
        let size = self.counted as u64;
        Parcel::seal(
            &request,
            Content { tenant: self.tenant, entries: self.entries, size, oldest: self.oldest },
            self.tickets,
        )
    }
}
