//! `output`: replaces the line by an extracted value.
//! In: an extracted value.  Out: the line.  Owns: its name.

use crate::config::{Invalid, Node};
use crate::pipeline::compile::{Compiler, warn_unknown};
use crate::pipeline::entry::{Entry, Symbol};
use crate::pipeline::lane::Context;
use crate::pipeline::stages::{Flow, Stage, StageKind};

pub(crate) const KIND: StageKind = StageKind { name: "output", build };

#[derive(Debug)]
pub(crate) struct Output {
    source: Symbol,
}

fn build(options: &Node, compiler: &mut Compiler<'_>) -> Result<Box<dyn Stage>, Invalid> {
    let block = options.loose_block()?;
    let source = required_source(&block, compiler)?;
    warn_unknown("output", &block);
    Ok(Box::new(Output { source }))
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
