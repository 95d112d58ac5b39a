//! `tenant`: sets the tenant an entry is pushed for.
//! In: a label, an extracted value or nothing.  Out: the label `__tenant_id__`.  Owns: where the value comes from.

use crate::config::{Invalid, Kind, Node, Table, row};
use crate::pipeline::compile::Compiler;
use crate::pipeline::entry::{Entry, Symbol};
use crate::pipeline::lane::Context;
use crate::pipeline::stages::{Flow, Options, Stage, StageKind};

pub(crate) const KIND: StageKind = StageKind {
    name: "tenant",
    about: "Chooses the tenant of the line; exactly one of the three",
    options: Options::Block(&OPTIONS),
    build,
};

static OPTIONS: Table = Table(&[
    row("label", Kind::Text, "", "Label that names it"),
    row("source", Kind::Text, "", "Extracted value that names it"),
    row("value", Kind::Text, "", "The tenant itself"),
]);

#[derive(Debug)]
struct Tenant {
    tenant: Symbol,
    from: From,
}

#[derive(Debug)]
enum From {
    Label(Symbol),
    Extracted(Symbol),
    Fixed(String),
}

fn build(options: &Node, compiler: &mut Compiler<'_>) -> Result<(), Invalid> {
    let block = options.options(&OPTIONS)?;
    let given = |key| Ok(block.optional(key, Node::strict_text)?.filter(|text| !text.is_empty()));
    let from = match (given("label")?, given("source")?, given("value")?) {
        (Some(label), None, None) => From::Label(compiler.symbol(label)),
        (None, Some(source), None) => From::Extracted(compiler.symbol(source)),
        (None, None, Some(value)) => From::Fixed(value.to_owned()),
        _ => return Err(options.invalid("`tenant` needs exactly one of `label`, `source` and `value`")),
    };
    let tenant = compiler.symbol("__tenant_id__");
    compiler.add(Tenant { tenant, from });
    Ok(())
}

impl Stage for Tenant {
    fn apply<'s>(&'s self, entry: &mut Entry, _: &mut Context<'_>) -> Flow<'s> {
        let span = match &self.from {
            From::Label(label) => entry.label(*label),
            From::Extracted(source) => entry.text(*source),
            From::Fixed(value) => Some(entry.store(value.as_bytes())),
        };
        if let Some(span) = span.filter(|span| !entry.bytes(*span).is_empty()) {
            entry.set_label(self.tenant, Some(span));
        }
        Flow::Continue
    }
}
