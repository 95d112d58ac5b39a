//! Tiered retention: an archive that every entry goes into, beside Loki, and what can be asked of it.
//! In: parcels of a batcher of its own.  Out: Parquet files that can be searched, listed, verified, exported.
//! Owns: the archive's directory.
//!
//! ```text
//! batcher ─parcels─▶ log (fsynced: tickets settle) ─seal─▶ objects: a Parquet file and its manifest
//!                      └───────── query and replay read both ─────────┘   └─lifecycle─▶ next tier, or gone
//! ```

mod archive;
mod background;
mod filter;
mod lifecycle;
mod loki;
mod objects;
mod query;
mod tiers;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use archive::{Archive, ArchiveError, Entry, Stream, run, show_time};
pub(crate) use filter::Filter;
pub(crate) use lifecycle::{
    INTERVAL as LIFECYCLE_INTERVAL, Step, command as run_lifecycle, preview as preview_lifecycle,
};
pub(crate) use loki::loki_retention;
pub(crate) use query::{Answer, Place, Stocks, check, stock, unsealed_entries};
pub(crate) use tiers::{Bucket, Location, Rule, S3, Settings, Tier};
