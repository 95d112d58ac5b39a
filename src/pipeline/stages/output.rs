//! `output`: replaces the line by an extracted value.
//! In: an extracted value.  Out: the line.  Owns: its name.

use crate::config::{Invalid, Kind, Node, Table, row};
use crate::pipeline::compile::Compiler;
use crate::pipeline::entry::{Entry, Symbol};
use crate::pipeline::lane::Context;
use crate::pipeline::stages::{Flow, Options, Stage, StageKind};

pub(crate) const KIND: StageKind = StageKind {
    name: "output",
    about: "Replaces the line by an extracted value",
    options: Options::Block(&OPTIONS),
    build,
};

static OPTIONS: Table = Table(&[row("source", Kind::Text, "", "Required: the extracted value")]);

#[derive(Debug)]
pub(crate) struct Output {
    source: Symbol,
}

fn build(options: &Node, compiler: &mut Compiler<'_>) -> Result<(), Invalid> {
    let block = options.options(&OPTIONS)?;
    let source = required_source(&block, compiler)?;
    compiler.add(Output { source });
    Ok(())
}

/// The `source` option of stages that cannot do without.
pub(super) fn required_source(
    block: &crate::config::Block<'_>,
    compiler: &mut Compiler<'_>,
) -> Result<Symbol, Invalid> {
    let node = block.required("source")?;
    match node.strict_text()? {
        "" => Err(node.invalid("`source` is empty")),
        name => Ok(compiler.symbol(name)),
    }
}

impl Output {
    pub(super) fn new(source: Symbol) -> Output {
        Output { source }
    }
}

impl Stage for Output {
    fn apply<'s>(&'s self, entry: &mut Entry, _: &mut Context<'_>) -> Flow<'s> {
        if let Some(span) = entry.text(self.source) {
            entry.line = span;
        }
        Flow::Continue
    }
}
