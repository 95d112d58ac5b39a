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
mod network;
mod own;
mod process;
mod registry;
mod shown;
mod stages;
mod tally;
mod targets;

pub(crate) use archive::ArchiveMetrics;
pub(crate) use cardinality::Cardinality;
pub(crate) use exposition::text;
pub(crate) use kept::{Changes, Kept};
pub(crate) use log_lines::LogLines;
pub(crate) use own::{ClientMetrics, Own};
pub(crate) use registry::{Family, FamilyError, Kind, Registry, Series};
pub(crate) use shown::{Reading, Shown};
pub(crate) use stages::{Counts, Report, Row, Sample, Site, SiteCounts, StageBoard, Stages, of_stages};
pub(crate) use tally::Tally;
pub(crate) use targets::{TargetReading, of_targets};
