//! The stages, one file and one table row each.
//! In: an entry.  Out: the entry changed, or dropped for a counted reason.  Owns: the table.

mod decolorize;
mod docker;
mod drop;
mod eventlogmessage;
mod json;
mod labelallow;
mod labeldrop;
mod labels;
mod logfmt;
mod match_;
mod metrics;
mod output;
mod pack;
mod regex;
mod replace;
mod sampling;
mod static_labels;
mod structured_metadata;
mod template;
mod tenant;
mod timestamp;

#[cfg(any(fuzzing, test))]
pub(crate) use logfmt::pairs as logfmt_pairs;

use std::fmt::Debug;

use crate::config::{Invalid, Node};
use crate::pipeline::compile::{Compiler, DropReason};
use crate::pipeline::entry::Entry;
use crate::pipeline::lane::Context;

/// What becomes of a line after a stage.
pub(crate) enum Flow<'s> {
    /// The next stage sees it.
    Continue,
    /// It ends here.
    Drop(&'s DropReason),
}

/// A compiled stage. Shared by all targets of a job: what it remembers between lines lives in the lane.
pub(crate) trait Stage: Debug + Send + Sync {
    /// Changes the entry.
    fn apply<'s>(&'s self, entry: &mut Entry, context: &mut Context<'_>) -> Flow<'s>;
}

/// Builds a stage from its options.
type Build = fn(&Node, &mut Compiler<'_>) -> Result<Box<dyn Stage>, Invalid>;

/// A row of the stage table.
pub(crate) struct StageKind {
    /// As the configuration names it.
    pub(crate) name: &'static str,
    /// Checks the options and compiles the stage.
    pub(crate) build: Build,
}

/// Every stage there is.
pub(crate) const STAGES: [StageKind; 22] = [
    decolorize::KIND,
    docker::KIND,
    drop::KIND,
    eventlogmessage::KIND,
    json::KIND,
    labelallow::KIND,
    labeldrop::KIND,
    labels::KIND,
    logfmt::KIND,
    match_::KIND,
    metrics::KIND,
    output::KIND,
    pack::KIND,
    regex::KIND,
    replace::KIND,
    sampling::KIND,
    static_labels::KIND,
    structured_metadata::KIND,
    structured_metadata::OLD_KIND,
    template::KIND,
    tenant::KIND,
    timestamp::KIND,
];

/// Stages of Promtail that are refused by name until they exist here.
pub(crate) const NOT_YET: [&str; 4] = ["cri", "geoip", "limit", "multiline"];
