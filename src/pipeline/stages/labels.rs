//! `labels`: turns extracted values into labels.
//! In: extracted values.  Out: labels.  Owns: the mapping.

use crate::config::{Invalid, Node};
use crate::pipeline::compile::Compiler;
use crate::pipeline::entry::{Entry, Symbol};
use crate::pipeline::lane::Context;
use crate::pipeline::stages::{Flow, Options, Stage, StageKind};

pub(crate) const KIND: StageKind = StageKind {
    name: "labels",
    about: "Turns extracted values into labels",
    options: Options::Names("Label names, and the extracted name for each; nothing is the same name"),
    build,
};

#[derive(Debug)]
pub(crate) struct Labels {
    /// Label and the name its value is extracted under.
    mapping: Vec<(Symbol, Symbol)>,
}

fn build(options: &Node, compiler: &mut Compiler<'_>) -> Result<(), Invalid> {
    let mapping = mapping(options, compiler)?;
    compiler.add(Labels::new(mapping));
    Ok(())
}

/// A mapping of label name to extracted name, where nothing means the same name.
pub(super) fn mapping(options: &Node, compiler: &mut Compiler<'_>) -> Result<Vec<(Symbol, Symbol)>, Invalid> {
    let mut mapping = Vec::new();
    for (key, value) in options.entries()? {
        let label = key.strict_text()?;
        if !is_label_name(label) {
            let help = "a label name is letters, digits and `_`, and does not start with a digit";
            return Err(key.invalid(format!("`{label}` is no label name")).help(help));
        }
        let source = if value.is_null() { label } else { value.strict_text()? };
        let source = if source.is_empty() { label } else { source };
        mapping.push((compiler.symbol(label), compiler.symbol(source)));
    }
    Ok(mapping)
}

pub(super) fn is_label_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl Labels {
    pub(super) fn new(mapping: Vec<(Symbol, Symbol)>) -> Labels {
        Labels { mapping }
    }
}

impl Stage for Labels {
    fn apply<'s>(&'s self, entry: &mut Entry, _: &mut Context<'_>) -> Flow<'s> {
        for (label, source) in &self.mapping {
            if let Some(span) = entry.text(*source)
                && std::str::from_utf8(entry.bytes(span)).is_ok()
            {
                entry.set_label(*label, Some(span));
            }
        }
        Flow::Continue
    }
}
