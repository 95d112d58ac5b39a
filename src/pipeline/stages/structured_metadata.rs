//! `structured_metadata`: turns extracted values or labels into structured metadata.
//! In: extracted values, labels.  Out: metadata, fewer labels.  Owns: the mapping.

use crate::config::{Invalid, Node};
use crate::pipeline::compile::Compiler;
use crate::pipeline::entry::{Entry, Symbol};
use crate::pipeline::lane::Context;
use crate::pipeline::stages::{Flow, Options, Stage, StageKind, labels};

pub(crate) const KIND: StageKind = StageKind {
    name: "structured_metadata",
    about: "Turns extracted values, or else labels, into structured metadata",
    options: Options::Names("Names, and the extracted name or label for each; nothing is the same name"),
    build,
};

/// The name it had first.
pub(crate) const OLD_KIND: StageKind = StageKind { name: "non_indexed_labels", ..KIND };

#[derive(Debug)]
struct StructuredMetadata {
    /// Name and where its value comes from, in the order of the configuration.
    mapping: Vec<(Symbol, Symbol)>,
}

fn build(options: &Node, compiler: &mut Compiler<'_>) -> Result<(), Invalid> {
    let mapping = labels::mapping(options, compiler)?;
    compiler.add(StructuredMetadata { mapping });
    Ok(())
}

impl Stage for StructuredMetadata {
    fn apply<'s>(&'s self, entry: &mut Entry, _: &mut Context<'_>) -> Flow<'s> {
        for (name, source) in &self.mapping {
            let extracted =
                entry.text(*source).filter(|span| std::str::from_utf8(entry.bytes(*span)).is_ok());
            let Some(value) = extracted.or_else(|| entry.label(*source)) else { continue };
            entry.add_metadata(*name, value);
            // A value that was moved is not a label any more; a label that says something else stays.
            if entry.label(*source).is_some_and(|label| entry.bytes(label) == entry.bytes(value)) {
                entry.set_label(*source, None);
            }
        }
        Flow::Continue
    }
}
