//! The batch of one tenant while it fills.
//! In: groups of entries.  Out: a parcel of all of it, or of some shards.  Owns: the entries of each stream, where they were encoded.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use crate::batch::encode;
use crate::batch::groups::{Group, Piece};
use crate::batch::outstanding::Token;
use crate::batch::parcel::{Content, Duty, Parcel};
use crate::batch::press::Press;
use crate::batch::shards::{Shard, Shards};
use crate::batch::worker::Settings;
use crate::clock::Instant;
use crate::custody::Ticket;
use crate::flow::TARGET_LIMIT;
use crate::metrics::Tally;
use crate::record::UnixNanos;

/// Half of what a target may have in flight. Where stages leave little of each line, a batch would otherwise wait for its
/// age while its sources wait for it.
const DEAR: usize = TARGET_LIMIT.0 as usize / 2;

/// Beside others, a request is worth its round trip when it takes this part of a batch along.
const WORTH: usize = 4;

/// Entries waiting to be sent together.
#[derive(Debug)]
pub(super) struct OpenBatch {
    tenant: Option<Arc<str>>,
    /// When the first of its entries came.
    pub(super) since: Instant,
    /// Since when it is more than one parcel.
    full: Option<Instant>,
    /// Line bytes so far.
    counted: usize,
    entries: Tally,
    /// Index into `streams` by label string.
    index: HashMap<Arc<str>, usize, foldhash::fast::RandomState>,
    streams: Vec<OpenStream>,
    filled: Vec<Filled>,
    held: Vec<Held>,
    /// Bytes of the byte budget that wait for this batch: those of whole chunks, however little of them is left.
    cost: usize,
}

#[derive(Debug)]
struct OpenStream {
    labels: Arc<str>,
    shard: Shard,
    entries: u64,
    oldest: UnixNanos,
    pieces: Vec<Piece>,
}

/// A shard of which there are entries.
#[derive(Clone, Copy, Debug)]
struct Filled {
    shard: Shard,
    /// When the first of them came.
    since: Instant,
    /// Line bytes.
    size: usize,
}

/// A chunk of which the batch has entries.
#[derive(Debug)]
struct Held {
    ticket: Ticket,
    /// Where they are.
    shards: Shards,
    cost: usize,
}

impl OpenBatch {
    /// An empty one; `entries` counts none.
    pub(super) fn new(tenant: Option<Arc<str>>, since: Instant, entries: Tally) -> OpenBatch {
        OpenBatch {
            tenant,
            since,
            full: None,
            counted: 0,
            entries,
            index: HashMap::default(),
            streams: Vec::new(),
            filled: Vec::new(),
            held: Vec::new(),
            cost: 0,
        }
    }

    /// Adds entries of `group` from number `from` on, taken from `entries`, until the batch would exceed `most` line bytes,
    /// what one parcel may hold of their shard, or its streams; the number of the first entry not added. An empty batch
    /// takes at least one entry, whatever its size.
    pub(super) fn fill(
        &mut self,
        group: &Arc<Group>,
        labels: &Arc<str>,
        from: usize,
        (most, limits): (usize, &Settings),
        entries: &mut Tally,
        now: Instant,
    ) -> usize {
        let known = self.index.get(labels).copied();
        if known.is_none() && limits.max_streams.is_some_and(|most| self.streams.len() >= most) {
            return from;
        }
        let shard = match known {
            Some(index) => self.streams[index].shard,
            None => Shard::of(self.tenant.as_deref(), labels),
        };
        let room = most.saturating_sub(self.counted);
        let filled = self.filled.iter().position(|filled| filled.shard == shard);
        let in_shard = filled.map_or(0, |index| self.filled[index].size);
        let room = room.min(limits.size.saturating_sub(in_shard));
        let (mut to, mut counted, mut encoded) = (from, 0, 0);
        for size in &group.sizes[from..] {
            let with = counted + size.counted as usize;
            if with > room && (!self.is_empty() || to > from) {
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
        match filled {
            Some(index) => self.filled[index].size += counted,
            None => self.filled.push(Filled { shard, since: now, size: counted }),
        }
        self.counted += counted;
        let count = (to - from) as u64;
        self.entries.absorb(entries.split(count));
        let index = known.unwrap_or_else(|| self.open(labels, shard));
        let stream = &mut self.streams[index];
        stream.pieces.push(Piece::of(group, start..start + encoded));
        stream.entries += count;
        stream.oldest = stream.oldest.min(group.oldest);
        to
    }

    fn open(&mut self, labels: &Arc<str>, shard: Shard) -> usize {
        let (labels, index) = (labels.clone(), self.streams.len());
        self.index.insert(labels.clone(), index);
        let oldest = UnixNanos(i64::MAX);
        self.streams.push(OpenStream { labels, shard, entries: 0, oldest, pieces: Vec::new() });
        index
    }

    /// Holds tickets of the chunks whose entries came in last, those of this stream: one a chunk, however many streams it
    /// had. They keep `cost` bytes of the budget.
    pub(super) fn hold(&mut self, tickets: &[Ticket], cost: usize, labels: &Arc<str>) {
        let Some(index) = self.index.get(labels) else { return };
        let shards = Shards::of(self.streams[*index].shard);
        let before = self.held.len().saturating_sub(tickets.len());
        let latest = &mut self.held[before..];
        if latest.len() == tickets.len() && latest.iter().zip(tickets).all(|(a, b)| a.ticket.is_twin_of(b)) {
            latest.iter_mut().for_each(|held| held.shards = held.shards.with(shards));
            return;
        }
        for (number, ticket) in tickets.iter().enumerate() {
            let cost = if number == 0 { cost } else { 0 };
            self.held.push(Held { ticket: ticket.split(), shards, cost });
        }
        self.cost += cost;
    }

    /// There is more than one parcel may hold.
    pub(super) fn overflow(&mut self, now: Instant) {
        self.full.get_or_insert(now);
    }

    /// True where it goes as soon as there is a way.
    pub(super) fn is_full(&self) -> bool {
        self.full.is_some() || self.is_dear()
    }

    /// True where a source may wait for this batch before it can read on.
    pub(super) fn is_dear(&self) -> bool {
        self.cost >= DEAR
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.count() == 0
    }

    /// Shards that go together, the fullest first, as many as fit into `size` line bytes: all of them, if they do.
    pub(super) fn pack(&self, size: usize) -> Shards {
        self.fit(Shards::default(), size, |filled| Reverse(filled.size)).0
    }

    /// The same without those that are `busy`, where that is worth a request beside others: those that wait for longest, so that
    /// small ones do not keep chunks from being settled, or else the fullest.
    pub(super) fn pack_beside(&self, busy: Shards, size: usize) -> Option<Shards> {
        let oldest = self.fit(busy, size, |filled| filled.since);
        let fullest = || self.fit(busy, size, |filled| Reverse(filled.size));
        let is_worth = |(shards, counted): &(Shards, usize)| {
            !shards.is_empty() && *counted >= self.counted.min(size) / WORTH
        };
        let packed = Some(oldest).filter(is_worth).or_else(|| Some(fullest()).filter(is_worth));
        packed.map(|(shards, _)| shards)
    }

    /// As many shards as fit, one at least, in this order, and their line bytes.
    fn fit<K: Ord>(&self, busy: Shards, size: usize, order: impl Fn(&Filled) -> K) -> (Shards, usize) {
        let mut free: Vec<Filled> =
            self.filled.iter().filter(|filled| !busy.has(filled.shard)).copied().collect();
        free.sort_by_key(order);
        let (mut packed, mut counted) = (Shards::default(), 0);
        for filled in free {
            let with = counted + filled.size;
            if with <= size || packed.is_empty() {
                (packed, counted) = (packed.with(Shards::of(filled.shard)), with);
            }
        }
        (packed, counted)
    }

    /// Makes a parcel of what these shards have.
    pub(super) fn seal(
        &mut self,
        shards: Shards,
        size: usize,
        token: Option<Arc<Token>>,
        press: &mut Press,
    ) -> Parcel {
        let now = Instant::now();
        let (sealed, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.streams).into_iter().partition(|stream| shards.has(stream.shard));
        let entries = sealed.iter().map(|stream| stream.entries).sum();
        let oldest = sealed.iter().map(|stream| stream.oldest).min().unwrap_or(UnixNanos(i64::MAX));
        let body = press.press(|request| {
            for stream in &sealed {
                encode::stream(&stream.labels, stream.pieces.iter().map(Piece::encoded), request);
            }
        });
        let gone = |filled: &&Filled| shards.has(filled.shard);
        let counted: usize = self.filled.iter().filter(gone).map(|filled| filled.size).sum();
        let since = self.filled.iter().filter(gone).map(|filled| filled.since).min();
        self.filled.retain(|filled| !shards.has(filled.shard));
        let content = Content {
            tenant: self.tenant.clone(),
            entries: self.entries.split(entries),
            size: counted as u64,
            oldest,
        };
        let ready = self.full.map_or(now, |full| full.max(since.unwrap_or(now)));
        let tickets = self.let_go(shards);
        self.index = left.iter().enumerate().map(|(index, stream)| (stream.labels.clone(), index)).collect();
        self.since = self.filled.iter().map(|filled| filled.since).min().unwrap_or(now);
        self.streams = left;
        self.counted -= counted;
        self.full = self.full.filter(|_| self.counted > size);
        Parcel::new(body, content, shards, ready, Duty { tickets, token })
    }

    /// Tickets for entries of these shards.
    fn let_go(&mut self, shards: Shards) -> Vec<Ticket> {
        let mut tickets = Vec::with_capacity(self.held.len());
        let mut left = Vec::new();
        for mut held in std::mem::take(&mut self.held) {
            if held.shards.is_disjoint(shards) {
                left.push(held);
                continue;
            }
            held.shards = held.shards.without(shards);
            match held.shards.is_empty() {
                true => {
                    self.cost -= held.cost;
                    tickets.push(held.ticket);
                }
                false => {
                    tickets.push(held.ticket.split());
                    left.push(held);
                }
            }
        }
        self.held = left;
        tickets
    }
}
