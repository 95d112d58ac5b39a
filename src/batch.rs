//! From entries to what travels to Loki: grouped by stream, encoded, compressed.
//! In: chunks' groups, with a ticket each.  Out: parcels.  Owns: the open batch of each tenant of each client.

mod encode;
mod groups;
#[cfg(feature = "hops")]
mod hops;
mod open;
mod outstanding;
mod parcel;
mod press;
mod push;
mod shards;
#[cfg(test)]
mod tests;
mod worker;

#[cfg(any(test, feature = "hops"))]
pub(crate) use encode::stream as encode_stream;
#[cfg(feature = "hops")]
pub(crate) use groups::Finished;
pub(crate) use groups::{Groups, Handover, Inbound};
#[cfg(feature = "hops")]
pub(crate) use hops::{entries, press};
pub(crate) use outstanding::Token;
pub(crate) use parcel::{Parcel, Undecodable};
pub(crate) use push::{EntryMessage, PushRequest};
#[cfg(test)]
pub(crate) use push::{LabelPair, StreamMessage, Timestamp as TimestampMessage};
pub(crate) use shards::Shards;
pub(crate) use worker::{Sealed, Settings, queue_length, run};
