//! `replace`: writes other text over what the groups of an expression capture.
//! In: the line, or an extracted text.  Out: the same, changed, and the named groups' new texts.  Owns: expression and
//! template.
//!
//! Not a substitution: only captured text is replaced, so an expression without a group changes nothing.

use std::collections::HashMap;

use crate::config::{Invalid, Kind, Node, Table, row};
use crate::pipeline::compile::Compiler;
use crate::pipeline::entry::{Entry, Span, Symbol, Value};
use crate::pipeline::lane::Context;
use crate::pipeline::stages::template::Renderer;
use crate::pipeline::stages::{Flow, Options, Stage, StageKind, json, regex};
use crate::pipeline::template::RenderError;

pub(crate) const KIND: StageKind = StageKind {
    name: "replace",
    about: "Writes other text over what the groups of an expression capture",
    options: Options::Block(&OPTIONS),
    build,
};

static OPTIONS: Table = Table(&[
    row("expression", Kind::Text, "", "Required: an RE2 expression; without a group nothing is replaced"),
    row("source", Kind::Text, "", "Extracted value to read instead of the line"),
    row(
        "replace",
        Kind::Text,
        "",
        "Go template for the new text of each group, `.Value` being the old one; nothing deletes",
    ),
]);

#[derive(Debug)]
struct Replace {
    expression: ::regex::bytes::Regex,
    /// Number of a group and the name its new text is extracted under.
    groups: Vec<(usize, Symbol)>,
    source: Option<Symbol>,
    template: Renderer,
}

fn build(options: &Node, compiler: &mut Compiler<'_>) -> Result<(), Invalid> {
    let block = options.options(&OPTIONS)?;
    let expression = regex::expression(block.required("expression")?)?;
    let groups = regex::named_groups(&expression, compiler);
    let source = json::source(&block, compiler)?;
    let template = Renderer::compile(block.get("replace"), compiler)?;
    compiler.add(Replace { expression, groups, source, template });
    Ok(())
}

/// What each captured text became.
type Became = HashMap<Vec<u8>, String>;

impl Replace {
    /// Where each group captured, match by match; parts of `input`.
    fn captures(&self, entry: &Entry, input: Span) -> Vec<Vec<Option<Span>>> {
        let text = entry.bytes(input);
        // An empty match may lie inside a character here, which it does not in Go.
        let inside = |at: usize| text.get(at).is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000);
        let matches = self.expression.captures_iter(text);
        let whole =
            matches.filter(|found| found.get(0).is_none_or(|all| !(all.is_empty() && inside(all.start()))));
        whole.map(|found| found.iter().map(|group| regex::within(input, group)).collect()).collect()
    }

    /// The text with every capture replaced, and what each captured text became.
    fn replaced(
        &self,
        entry: &mut Entry,
        context: &Context<'_>,
        input: Span,
        matches: &[Vec<Option<Span>>],
    ) -> Result<(Vec<u8>, Became), RenderError> {
        let (mut out, mut became) = (Vec::new(), Became::new());
        let mut copied = input.start;
        for group in matches.iter().flat_map(|groups| groups.iter().skip(1)).flatten() {
            let captured = entry.bytes(*group).to_vec();
            let mut text = String::new();
            self.template.render(entry, context.pipeline, Some(*group), None, &mut text)?;
            // A group inside one that was replaced already is only remembered.
            if group.start >= copied {
                out.extend_from_slice(entry.bytes(Span { start: copied, end: group.start }));
                out.extend_from_slice(text.as_bytes());
                copied = group.end;
            }
            became.insert(captured, text);
        }
        out.extend_from_slice(entry.bytes(Span { start: copied, end: input.end }));
        Ok((out, became))
    }
}

impl Stage for Replace {
    fn apply<'s>(&'s self, entry: &mut Entry, context: &mut Context<'_>) -> Flow<'s> {
        let Some(input) = entry.input(self.source) else { return Flow::Continue };
        let input = entry.searchable(input);
        let matches = self.captures(entry, input);
        let Some(first) = matches.first() else { return Flow::Continue };
        let (text, became) = match self.replaced(entry, context, input, &matches) {
            Ok(replaced) => replaced,
            Err(error) => {
                context.fail_with(error.kind(), || error.to_string());
                return Flow::Continue;
            }
        };
        let span = entry.store(&text);
        match self.source {
            None => entry.line = span,
            Some(source) => entry.extract(source, Value::Text(span)),
        }
        for (group, name) in &self.groups {
            let captured = first.get(*group).copied().flatten().unwrap_or_default();
            if let Some(text) = became.get(entry.bytes(captured)) {
                let span = entry.store(text.as_bytes());
                entry.extract(*name, Value::Text(span));
            }
        }
        Flow::Continue
    }
}
