//! `labelallow`: removes all labels but these.
//! In: labels.  Out: fewer labels.  Owns: the names that stay.

use crate::config::{Invalid, Node};
use crate::pipeline::compile::Compiler;
use crate::pipeline::entry::{Entry, Symbol};
use crate::pipeline::lane::Context;
use crate::pipeline::stages::{Flow, Options, Stage, StageKind, labeldrop};

pub(crate) const KIND: StageKind = StageKind {
    name: "labelallow",
    about: "Removes all other labels",
    options: Options::List("Label names"),
    build,
};

#[derive(Debug)]
struct LabelAllow {
    names: Vec<Symbol>,
}

fn build(options: &Node, compiler: &mut Compiler<'_>) -> Result<(), Invalid> {
    let names = labeldrop::names("labelallow", options, compiler)?;
    compiler.add(LabelAllow { names });
    Ok(())
}

impl Stage for LabelAllow {
    fn apply<'s>(&'s self, entry: &mut Entry, context: &mut Context<'_>) -> Flow<'s> {
        // The names that stay are spoken of here, so none of them is among the fixed labels.
        entry.remove_fixed();
        for name in (0..context.pipeline.names.len()).map(|name| Symbol(name as u16)) {
            if !self.names.contains(&name) {
                entry.set_label(name, None);
            }
        }
        Flow::Continue
    }
}
