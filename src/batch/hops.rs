//! The hop of a full batch, alone: what is done to it as it is sealed.
//! In: a request.  Out: a parcel that nobody waits for.  Owns: nothing.

use crate::batch::parcel::{Content, Duty, Parcel};
use crate::batch::shards::Shards;
use crate::clock::Instant;
use crate::metrics::Tally;
use crate::record::UnixNanos;

/// Seals an encoded request.
pub(crate) fn seal(request: &[u8]) -> Parcel {
    let (entries, size) = (Tally::elsewhere(0), request.len() as u64);
    let content = Content { tenant: None, entries, size, oldest: UnixNanos(0) };
    Parcel::seal(request, content, Shards::ALL, Instant::now(), Duty::default())
}
