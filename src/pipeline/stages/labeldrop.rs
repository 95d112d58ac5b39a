//! `labeldrop`: removes labels by name.
//! In: labels.  Out: fewer labels.  Owns: the names.

use crate::config::{Invalid, Node};
use crate::pipeline::compile::Compiler;
use crate::pipeline::entry::{Entry, Symbol};
use crate::pipeline::lane::Context;
use crate::pipeline::stages::{Flow, Options, Stage, StageKind};

pub(crate) const KIND: StageKind =
    StageKind { name: "labeldrop", about: "Removes labels", options: Options::List("Label names"), build };

#[derive(Debug)]
struct LabelDrop {
    names: Vec<Symbol>,
}

fn build(options: &Node, compiler: &mut Compiler<'_>) -> Result<(), Invalid> {
    let names = names("labeldrop", options, compiler)?;
    compiler.add(LabelDrop { names });
    Ok(())
}

/// The names a stage lists.
pub(super) fn names(
    stage: &str,
    options: &Node,
    compiler: &mut Compiler<'_>,
) -> Result<Vec<Symbol>, Invalid> {
    let names = options.list_of(|name| Ok(compiler.symbol(name.strict_text()?)))?;
    if names.is_empty() {
        return Err(options.invalid(format!("`{stage}` needs a list of at least one label name")));
    }
    Ok(names)
}

impl Stage for LabelDrop {
    fn apply<'s>(&'s self, entry: &mut Entry, _: &mut Context<'_>) -> Flow<'s> {
        for name in &self.names {
            entry.set_label(*name, None);
        }
        Flow::Continue
    }
}
