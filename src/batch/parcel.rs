//! A parcel: one push, sealed. A retry sends the same bytes.
//! In: an open batch, or a part of another parcel.  Out: a body and the tickets of its lines.  Owns: both.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use crate::batch::outstanding::Token;
use crate::batch::press::Press;
use crate::batch::push::{EntryMessage, PushRequest, StreamMessage};
use crate::batch::shards::{Shard, Shards};
use crate::clock::Instant;
use crate::custody::{Outcome, Record, Ticket};
use crate::metrics::Tally;
use crate::record::UnixNanos;

/// One push, ready to send.
#[derive(Debug)]
pub(crate) struct Parcel {
    /// Snappy block over a `PushRequest`.
    pub(crate) body: Bytes,
    pub(crate) content: Content,
    /// Since when it could have gone.
    pub(crate) sealed: Instant,
    /// Those of its streams. No two parcels with one in common are under way at once.
    pub(crate) shards: Shards,
    duty: Duty,
}

/// What a parcel owes for its lines until they are settled.
#[derive(Debug, Default)]
pub(super) struct Duty {
    pub(super) tickets: Vec<Ticket>,
    /// That it is outstanding, to the batcher that made it; `None` where nobody goes by that.
    pub(super) token: Option<Arc<Token>>,
}

/// What is known of a parcel without opening it.
#[derive(Debug)]
pub(crate) struct Content {
    /// `X-Scope-OrgID`.
    pub(crate) tenant: Option<Arc<str>>,
    /// Entries inside.
    pub(crate) entries: Tally,
    /// Bytes of their lines, as `batchsize` counts them.
    pub(crate) size: u64,
    /// Not later than any of them.
    pub(crate) oldest: UnixNanos,
}

/// The body is not what was sealed; only a bug can make it so.
#[derive(Debug, thiserror::Error)]
#[error("a sealed parcel does not decode")]
pub(crate) struct Undecodable;

impl Parcel {
    /// A compressed request, which could have gone since `sealed`.
    pub(super) fn new(body: Bytes, content: Content, shards: Shards, sealed: Instant, duty: Duty) -> Parcel {
        Parcel { body, content, sealed, shards, duty }
    }

    /// One that comes from a spool: nobody waits for word of its lines but the spool.
    pub(crate) fn from_record(record: Record, entries: Tally) -> Parcel {
        let Record { tenant, size, oldest, body, .. } = record;
        let content = Content { tenant, entries, size, oldest };
        Parcel { body, content, sealed: Instant::now(), shards: Shards::ALL, duty: Duty::default() }
    }

    /// Looks which shards its streams are of. One that nobody can look into has all of them.
    pub(crate) fn find_shards(&mut self) {
        if let Ok(request) = self.request() {
            let tenant = self.content.tenant.as_deref();
            let shards = request.streams.iter().map(|stream| Shards::of(Shard::of(tenant, &stream.labels)));
            self.shards = shards.fold(Shards::default(), Shards::with);
        }
    }

    /// What a spool keeps of it.
    pub(crate) fn record(&self) -> Record {
        Record {
            tenant: self.content.tenant.clone(),
            entries: self.entries(),
            size: self.content.size,
            oldest: self.content.oldest,
            body: self.body.clone(),
        }
    }

    /// Entries inside.
    pub(crate) fn entries(&self) -> u64 {
        self.content.entries.count()
    }

    /// Says what became of every line inside.
    pub(crate) fn settle(self, outcome: Outcome) {
        self.duty.settle(outcome);
    }

    /// Says what became of every line inside, and keeps the parcel.
    pub(crate) fn settle_now(&mut self, outcome: Outcome) {
        std::mem::take(&mut self.duty).settle(outcome);
    }

    /// With it goes that the parcel is outstanding.
    pub(crate) fn take_token(&mut self) -> Option<Arc<Token>> {
        self.duty.token.take()
    }

    /// The request inside, decoded.
    pub(crate) fn request(&self) -> Result<PushRequest, Undecodable> {
        let request = snap::raw::Decoder::new().decompress_vec(&self.body).map_err(|_| Undecodable)?;
        PushRequest::decode(Bytes::from(request)).map_err(|_| Undecodable)
    }

    /// Two parcels with half of the entries each, streams and order kept; each answers for all tickets.
    pub(crate) fn halve(self) -> Result<(Parcel, Parcel), Undecodable> {
        let mut room = usize::try_from(self.entries() / 2).unwrap_or(usize::MAX);
        self.divide(|_, entries| {
            let rest = entries.split_off(room.min(entries.len()));
            room -= entries.len();
            rest
        })
    }

    /// Two parcels: the streams that `stays` says stay, and the others. Either may be empty.
    pub(crate) fn part_streams(self, stays: impl Fn(&str) -> bool) -> Result<(Parcel, Parcel), Undecodable> {
        self.divide(|labels, entries| if stays(labels) { Vec::new() } else { std::mem::take(entries) })
    }

    /// Two parcels with half of the streams each.
    pub(crate) fn halve_streams(self) -> Result<(Parcel, Parcel), Undecodable> {
        let mut left = self.request()?.streams.len() / 2;
        self.divide(|_, entries| {
            let stays = left > 0;
            left = left.saturating_sub(1);
            if stays { Vec::new() } else { std::mem::take(entries) }
        })
    }

    /// `take` takes out of a stream's entries those that go into the second parcel.
    fn divide(
        self,
        mut take: impl FnMut(&str, &mut Vec<EntryMessage>) -> Vec<EntryMessage>,
    ) -> Result<(Parcel, Parcel), Undecodable> {
        let request = self.request()?;
        let (mut first, mut second) = (PushRequest::default(), PushRequest::default());
        for StreamMessage { labels, mut entries } in request.streams {
            let rest = take(&labels, &mut entries);
            for (part, entries) in [(&mut first, entries), (&mut second, rest)] {
                if !entries.is_empty() {
                    part.streams.push(StreamMessage { labels: labels.clone(), entries });
                }
            }
        }
        let Parcel { content, sealed, shards, duty, .. } = self;
        let twin = duty.split();
        let Content { tenant, mut entries, oldest, .. } = content;
        let first_entries = entries.split(first.entries());
        let mut press = Press::new();
        let mut part = |request: PushRequest, entries, duty| {
            let content = Content { tenant: tenant.clone(), entries, size: request.line_bytes(), oldest };
            let body = press.press(|buffer| request.encode_raw(buffer));
            Parcel::new(body, content, shards, sealed, duty)
        };
        Ok((part(first, first_entries, duty), part(second, entries, twin)))
    }
}

impl Duty {
    fn split(&self) -> Duty {
        Duty { tickets: self.tickets.iter().map(Ticket::split).collect(), token: self.token.clone() }
    }

    fn settle(self, outcome: Outcome) {
        self.tickets.into_iter().for_each(|ticket| ticket.settle(outcome));
    }
}

impl PushRequest {
    /// How many entries there are.
    fn entries(&self) -> u64 {
        self.streams.iter().map(|stream| stream.entries.len() as u64).sum()
    }

    /// Bytes of all lines.
    fn line_bytes(&self) -> u64 {
        self.streams.iter().flat_map(|stream| &stream.entries).map(|entry| entry.line.len() as u64).sum()
    }
}
