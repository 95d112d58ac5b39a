//! The stages, one file and one table row each.
//! In: an entry.  Out: the entry changed, or dropped for a counted reason.  Owns: the table.

mod cri;
mod decolorize;
mod docker;
mod drop;
mod eventlogmessage;
mod geoip;
mod json;
mod labelallow;
mod labeldrop;
mod labels;
mod limit;
mod logfmt;
mod match_;
mod metrics;
mod multiline;
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
pub(crate) use logfmt::logfmt_pairs;

use std::fmt::Debug;

use crate::config::{Invalid, Node, Table};
use crate::pipeline::compile::{Compiler, DropReason};
use crate::pipeline::entry::Entry;
use crate::pipeline::lane::Context;

/// What becomes of a line after a stage.
pub(crate) enum Flow<'s> {
    /// The next stage sees it.
    Continue,
    /// So many steps after this one do not concern it.
    Skip(usize),
    /// It ends here.
    Drop(&'s DropReason),
    /// The stage has taken it in, and lets it go on later, alone or as a part of another.
    Held,
}

/// A compiled stage. Shared by all targets of a job: what it remembers between lines lives in the lane.
pub(crate) trait Stage: Debug + Send + Sync {
    /// Changes the entry.
    fn apply<'s>(&'s self, entry: &mut Entry, context: &mut Context<'_>) -> Flow<'s>;

    /// Where in a lane's memory the stage holds entries back, if it does.
    fn holds(&self) -> Option<usize> {
        None
    }

    /// Lets go on what was held back.
    fn resume<'s>(&'s self, _: &mut Entry) -> Flow<'s> {
        Flow::Continue
    }
}

/// Builds a stage from its options and adds its steps.
type Build = fn(&Node, &mut Compiler<'_>) -> Result<(), Invalid>;

/// What may stand under a stage's name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Options {
    /// Options, by name.
    Block(&'static Table),
    /// A mapping whose names the user chooses.
    Names(&'static str),
    /// A list of texts.
    List(&'static str),
    /// Options under each name the user chooses.
    Each(&'static Table),
}

/// A row of the stage table.
pub(crate) struct StageKind {
    /// As the configuration names it.
    pub(crate) name: &'static str,
    /// What it does, in half a sentence.
    pub(crate) about: &'static str,
    pub(crate) options: Options,
    /// Checks the options and adds the stage's steps.
    pub(crate) build: Build,
}

/// Every stage there is.
pub(crate) static STAGES: [StageKind; 26] = [
    cri::KIND,
    decolorize::KIND,
    docker::KIND,
    drop::KIND,
    eventlogmessage::KIND,
    geoip::KIND,
    json::KIND,
    labelallow::KIND,
    labeldrop::KIND,
    labels::KIND,
    limit::KIND,
    logfmt::KIND,
    match_::KIND,
    metrics::KIND,
    multiline::KIND,
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
