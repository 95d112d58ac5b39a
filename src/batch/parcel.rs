//! A parcel: one push, sealed. A retry sends the same bytes.
//! In: an open batch, or a half of another parcel.  Out: a body and the tickets of its lines.  Owns: both.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use crate::batch::push::{PushRequest, StreamMessage};
use crate::custody::{Outcome, Ticket};

/// One push, ready to send.
#[derive(Debug)]
pub(crate) struct Parcel {
    /// Snappy block over a `PushRequest`.
    pub(crate) body: Bytes,
    /// `X-Scope-OrgID`.
    pub(crate) tenant: Option<Arc<str>>,
    /// Entries inside.
    pub(crate) entries: u64,
    tickets: Vec<Ticket>,
}

/// The body is not what was sealed; only a bug can make it so.
#[derive(Debug, thiserror::Error)]
#[error("a sealed parcel does not decode")]
pub(crate) struct Undecodable;

impl Parcel {
    /// Compresses an encoded request.
    pub(crate) fn seal(
        request: &[u8],
        entries: u64,
        tenant: Option<Arc<str>>,
        tickets: Vec<Ticket>,
    ) -> Parcel {
        // snap fails only above 4 GiB of input; a batch is bounded far below by the byte budget.
        let body = snap::raw::Encoder::new().compress_vec(request).unwrap_or_default();
        Parcel { body: body.into(), tenant, entries, tickets }
    }

    /// Says what became of every line inside.
    pub(crate) fn settle(self, outcome: Outcome) {
        for ticket in self.tickets {
            ticket.settle(outcome);
        }
    }

    /// The request inside, decoded.
    pub(crate) fn request(&self) -> Result<PushRequest, Undecodable> {
        let request = snap::raw::Decoder::new().decompress_vec(&self.body).map_err(|_| Undecodable)?;
        PushRequest::decode(request.as_slice()).map_err(|_| Undecodable)
    }

    /// Two parcels with half of the entries each, streams and order kept; each answers for all tickets.
    pub(crate) fn halve(self) -> Result<(Parcel, Parcel), Undecodable> {
        let request = self.request()?;
        let first_count = usize::try_from(self.entries / 2).unwrap_or(usize::MAX);
        let (mut first, mut second) = (PushRequest::default(), PushRequest::default());
        let mut room = first_count;
        for stream in request.streams {
            let StreamMessage { labels, mut entries } = stream;
            let rest = entries.split_off(room.min(entries.len()));
            room -= entries.len();
            for (half, entries) in [(&mut first, entries), (&mut second, rest)] {
                if !entries.is_empty() {
                    half.streams.push(StreamMessage { labels: labels.clone(), entries });
                }
            }
        }
        let twins = self.tickets.iter().map(Ticket::split).collect();
        let first_entries = first_count as u64;
        let second_entries = self.entries - first_entries;
        Ok((
            Parcel::seal(&first.encode_to_vec(), first_entries, self.tenant.clone(), self.tickets),
            Parcel::seal(&second.encode_to_vec(), second_entries, self.tenant, twins),
        ))
    }
}
