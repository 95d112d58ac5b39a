//! Numbers for `/metrics`: the agent's own and those derived from lines.
//! In: counts from every module.  Out: Prometheus text.  Owns: the registry.
//!
//! The registry is our own because derived metrics carry names the user chose: the client libraries append `_total`
//! to every counter, which would break dashboards made for Promtail.

mod archive;
mod cardinality;
mod exposition;
mod kept;
mod log_lines;
mod namespace;
mod network;
mod own;
mod process;
mod promtail;
mod registry;
mod shown;
mod stages;
mod tally;
mod targets;
mod waited;

pub(crate) use archive::ArchiveMetrics;
pub(crate) use cardinality::Cardinality;
#[cfg(test)]
pub(crate) use exposition::text;
pub(crate) use exposition::{Format, page};
pub(crate) use kept::{Changes, Kept};
pub(crate) use log_lines::LogLines;
pub(crate) use namespace::Namespace;
pub(crate) use own::{ClientMetrics, Own, Queues};
pub(crate) use promtail::Destination;
pub(crate) use registry::{Family, FamilyError, Kind, Registry, Series};
pub(crate) use shown::{Reading, Shown};
pub(crate) use stages::{Counts, Report, Row, Sample, Site, SiteCounts, StageBoard, Stages, of_stages};
pub(crate) use tally::Tally;
pub(crate) use targets::{TargetReading, of_targets};
pub(crate) use waited::waited;
