//! `docker`: reads the json-file envelope (`log`, `stream`, `time`).
//! In: a line of a container's json-file log.  Out: the line the container wrote, `stream` label, time.  Owns: nothing.
//!
//! Made of four other stages, so that it behaves as they do. The newline that ends `log` stays, as in Promtail.

use crate::config::{Invalid, Node, Table};
use crate::pipeline::compile::Compiler;
use crate::pipeline::entry::Entry;
use crate::pipeline::lane::Context;
use crate::pipeline::stages::json::Json;
use crate::pipeline::stages::labels::Labels;
use crate::pipeline::stages::output::Output;
use crate::pipeline::stages::timestamp::Timestamp;
use crate::pipeline::stages::{Flow, Options, Stage, StageKind};

pub(crate) const KIND: StageKind = StageKind {
    name: "docker",
    about: "Reads the lines of Docker's json-file log driver",
    options: Options::Block(&OPTIONS),
    build,
};

static OPTIONS: Table = Table(&[]);

fn build(options: &Node, compiler: &mut Compiler<'_>) -> Result<(), Invalid> {
    options.options(&OPTIONS)?;
    let paths = [("output", "log"), ("stream", "stream"), ("timestamp", "time")];
    let json = Json::plain(paths.map(|(name, key)| (compiler.symbol(name), key)));
    let stream = compiler.symbol("stream");
    let timestamp = Timestamp::rfc3339("timestamp", compiler);
    let output = Output::new(compiler.symbol("output"));
    compiler.add(Enter);
    compiler.add(json);
    compiler.add(Labels::new(vec![(stream, stream)]));
    compiler.add(timestamp);
    compiler.add(output);
    Ok(())
}

/// Begins a pipeline within a pipeline: every label can be read under its own name again.
#[derive(Debug)]
pub(super) struct Enter;

impl Stage for Enter {
    fn apply<'s>(&'s self, entry: &mut Entry, _: &mut Context<'_>) -> Flow<'s> {
        entry.extract_labels();
        Flow::Continue
    }
}
