//! `docker`: reads the json-file envelope (`log`, `stream`, `time`).
//! In: a line of a container's json-file log.  Out: the line the container wrote, `stream` label, time.  Owns: nothing.
//!
//! Defined as four other stages, so that it behaves as they do. The newline that ends `log` stays, as in Promtail.

use crate::config::{Invalid, Node};
use crate::pipeline::compile::Compiler;
use crate::pipeline::entry::Entry;
use crate::pipeline::lane::{self, Context};
use crate::pipeline::stages::{Flow, Stage, StageKind, json::Json, labels, output, timestamp};

pub(crate) const KIND: StageKind = StageKind { name: "docker", build };

#[derive(Debug)]
struct Docker {
    stages: Vec<Box<dyn Stage>>,
}

fn build(options: &Node, compiler: &mut Compiler<'_>) -> Result<Box<dyn Stage>, Invalid> {
    crate::pipeline::compile::warn_unknown("docker", &options.loose_block()?);
    let paths = [("output", "log"), ("stream", "stream"), ("timestamp", "time")];
    let json = Json::plain(paths.map(|(name, key)| (compiler.symbol(name), key)));
    let stream = compiler.symbol("stream");
    let stages: Vec<Box<dyn Stage>> = vec![
        Box::new(json),
        Box::new(labels::Labels::new(vec![(stream, stream)])),
        Box::new(timestamp::Timestamp::docker(compiler)),
        Box::new(output::Output::new(compiler.symbol("output"))),
    ];
    Ok(Box::new(Docker { stages }))
}

impl Stage for Docker {
    fn apply<'s>(&'s self, entry: &mut Entry, context: &mut Context<'_>) -> Flow<'s> {
        entry.extract_labels();
        lane::run(&self.stages, entry, context)
    }
}
