//! The archive: a log of what came in, and objects that it is sealed into.
//! In: parcels.  Out: settled tickets, Parquet files and their manifests.  Owns: one store, by its log's lock.
//!
//! What stands in a store that is a directory (of a bucket the log is elsewhere):
//!
//! ```text
//! .wal/                     the log, a spool; `agent`: whose numbers its entries have, and had; `clock`: what it said last
//! .tmp/                     files that are not whole yet
//! date=…/host=…/service=…/  <agent>-<first number>.parquet, and its manifest <same>.json
//!                           <agent>-c<hash>.parquet and <same>.json: what others were compacted into
//!                           <same>.tombstone: what of it is there is to go, or not whole yet
//! ```
//!
//! An entry is in the log from before its ticket settles until after its object and manifest are durable. A crash in between
//! seals it again: from the same number on, at least the same records, so the same files are replaced and none is doubled.

mod entry;
mod layout;
mod manifest;
mod object;
mod owner;
mod schema;
mod seal;
mod store;
mod worker;
mod write;

#[cfg(test)]
pub(super) mod crashes;

#[cfg(test)]
pub(super) use crashes::{object_size, seal_now};
pub(super) use entry::Streams;
pub(crate) use entry::{Entry, Stream};
pub(super) use layout::{
    DAYS, LOG, Name, OBJECT, TOMBSTONE, compacted_name, date_of, day_of, manifest_of, object_of,
    service_directory, tombstone_of,
};
pub(crate) use manifest::show_time;
pub(super) use manifest::{Manifest, Origin, Seal};
pub(super) use object::{Group, Object, ObjectError};
pub(super) use owner::Owner;
pub(super) use store::Store;
pub(crate) use store::{Archive, ArchiveError};
pub(crate) use worker::run;
pub(super) use write::write;
