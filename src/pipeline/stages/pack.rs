//! `pack`: puts labels and extracted values into the line, as JSON.
//! In: extracted values, the line.  Out: a new line, fewer labels.  Owns: the names.

use crate::config::{Invalid, Kind, Node, Table, row};
use crate::pipeline::compile::Compiler;
use crate::pipeline::entry::{Entry, Symbol};
use crate::pipeline::go_json;
use crate::pipeline::lane::Context;
use crate::pipeline::stages::{Flow, Options, Stage, StageKind};

pub(crate) const KIND: StageKind = StageKind {
    name: "pack",
    about: "Puts labels and extracted values into the line, as JSON",
    options: Options::Block(&OPTIONS),
    build,
};

static OPTIONS: Table = Table(&[
    row("labels", Kind::Texts, "", "Names that move into the line"),
    row("ingest_timestamp", Kind::Boolean, "true", "Set the time to now"),
]);

#[derive(Debug)]
struct Pack {
    /// Sorted, as they are written.
    names: Vec<(String, Symbol)>,
    ingest_timestamp: bool,
}

fn build(options: &Node, compiler: &mut Compiler<'_>) -> Result<(), Invalid> {
    let block = options.options(&OPTIONS)?;
    let names = block.optional("labels", names)?;
    let mut names = names.unwrap_or_default();
    names.sort();
    names.dedup();
    let names = names.into_iter().map(|name| (name.clone(), compiler.symbol(&name))).collect();
    let ingest_timestamp = block.optional("ingest_timestamp", Node::loose_boolean)?.unwrap_or(true);
    compiler.add(Pack { names, ingest_timestamp });
    Ok(())
}

/// A list of names, or one.
fn names(node: &Node) -> Result<Vec<String>, Invalid> {
    match node.scalar() {
        Some(_) => Ok(vec![node.loose_text()?.into_owned()]),
        None => node.list_of(|name| Ok(name.loose_text()?.into_owned())),
    }
}

impl Stage for Pack {
    fn apply<'s>(&'s self, entry: &mut Entry, context: &mut Context<'_>) -> Flow<'s> {
        let mut packed = String::from("{");
        for (name, symbol) in &self.names {
            let Some(value) = entry.text(*symbol) else { continue };
            go_json::string(name, &mut packed);
            packed.push(':');
            go_json::bytes(entry.bytes(value), &mut packed);
            packed.push(',');
            entry.set_label(*symbol, None);
        }
        packed.push_str("\"_entry\":");
        go_json::bytes(entry.line_bytes(), &mut packed);
        packed.push('}');
        entry.line = entry.store(packed.as_bytes());
        if self.ingest_timestamp {
            entry.timestamp = context.now;
        }
        Flow::Continue
    }
}
