//! `static_labels`: sets labels to fixed values.
//! In: nothing.  Out: labels.  Owns: names and values.

use crate::config::{Invalid, Node};
use crate::pipeline::compile::Compiler;
use crate::pipeline::entry::{Entry, Symbol};
use crate::pipeline::lane::Context;
use crate::pipeline::stages::{Flow, Options, Stage, StageKind};
use crate::record::valid_label_name;

pub(crate) const KIND: StageKind = StageKind {
    name: "static_labels",
    about: "Adds fixed labels",
    options: Options::Names("Label names and values"),
    build,
};

#[derive(Debug)]
struct StaticLabels {
    labels: Vec<(Symbol, String)>,
}

fn build(options: &Node, compiler: &mut Compiler<'_>) -> Result<(), Invalid> {
    let mut labels = Vec::new();
    for (key, value) in options.entries()? {
        // Promtail sends a name such as `a.b` as it is, and Loki then refuses the whole push.
        let name = valid_label_name(key.strict_text()?);
        match value.strict_text()? {
            "" => {}
            text => labels.push((compiler.symbol(&name), text.to_owned())),
        }
    }
    compiler.add(StaticLabels { labels });
    Ok(())
}

impl Stage for StaticLabels {
    fn apply<'s>(&'s self, entry: &mut Entry, _: &mut Context<'_>) -> Flow<'s> {
        for (name, value) in &self.labels {
            let span = entry.store(value.as_bytes());
            entry.set_label(*name, Some(span));
        }
        Flow::Continue
    }
}
