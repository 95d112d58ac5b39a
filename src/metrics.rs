//! Numbers for `/metrics`: the agent's own and those derived from lines.
//! In: counts from every module.  Out: Prometheus text.  Owns: the registry.
//!
//! The registry is our own because derived metrics carry names the user chose: the client libraries append `_total`
//! to every counter, which would break dashboards made for Promtail.

mod archive;
mod exposition;
mod kept;
mod network;
mod own;
mod process;
mod registry;
mod tally;

pub(crate) use archive::ArchiveMetrics;
pub(crate) use kept::{Changes, Kept};
pub(crate) use own::{ClientMetrics, Own};
pub(crate) use registry::{Family, FamilyError, Kind, Registry, Series};
pub(crate) use tally::Tally;
