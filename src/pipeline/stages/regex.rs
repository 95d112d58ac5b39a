//! `regex`: extracts what named groups match.
//! In: the line, or an extracted text.  Out: extracted texts.  Owns: the expression.

use crate::config::{Invalid, Kind, Node, Table, row};
use crate::pipeline::compile::Compiler;
use crate::pipeline::entry::{Entry, Span, Symbol, Value};
use crate::pipeline::lane::Context;
use crate::pipeline::re2;
use crate::pipeline::stages::{Flow, Options, Stage, StageKind, json};

pub(crate) const KIND: StageKind = StageKind {
    name: "regex",
    about: "Extracts what the named groups of an expression match",
    options: Options::Block(&OPTIONS),
    build,
};

static OPTIONS: Table = Table(&[
    row("expression", Kind::Text, "", "Required: an RE2 expression with named groups"),
    row("source", Kind::Text, "", "Extracted value to read instead of the line"),
]);

#[derive(Debug)]
struct Regex {
    expression: ::regex::bytes::Regex,
    /// Number of a group and the name it is extracted under.
    groups: Vec<(usize, Symbol)>,
    source: Option<Symbol>,
}

fn build(options: &Node, compiler: &mut Compiler<'_>) -> Result<(), Invalid> {
    let block = options.options(&OPTIONS)?;
    let expression = expression(block.required("expression")?)?;
    let groups = named_groups(&expression, compiler);
    let source = json::source(&block, compiler)?;
    compiler.add(Regex { expression, groups, source });
    Ok(())
}

/// Numbers of the named groups and the symbols of their names.
pub(super) fn named_groups(
    expression: &::regex::bytes::Regex,
    compiler: &mut Compiler<'_>,
) -> Vec<(usize, Symbol)> {
    let names = expression.capture_names().enumerate();
    names.filter_map(|(group, name)| name.map(|name| (group, compiler.symbol(name)))).collect()
}

/// An RE2 expression in an option.
pub(super) fn expression(node: &Node) -> Result<::regex::bytes::Regex, Invalid> {
    compile(node, node.strict_text()?)
}

/// The same in a stage that Promtail reads loosely.
pub(super) fn loose_expression(node: &Node) -> Result<::regex::bytes::Regex, Invalid> {
    compile(node, &node.loose_text()?)
}

fn compile(node: &Node, text: &str) -> Result<::regex::bytes::Regex, Invalid> {
    if text.is_empty() {
        return Err(node.invalid("the expression is empty"));
    }
    re2::compile(text).map_err(|error| node.invalid(format!("not a regular expression: {error}")))
}

impl Stage for Regex {
    fn apply<'s>(&'s self, entry: &mut Entry, _: &mut Context<'_>) -> Flow<'s> {
        let Some(input) = entry.input(self.source) else { return Flow::Continue };
        let input = entry.searchable(input);
        let Some(captures) = self.expression.captures(entry.bytes(input)) else { return Flow::Continue };
        // Groups are parts of the input, which is in the entry's buffer already.
        let spans: Vec<Option<Span>> =
            self.groups.iter().map(|(group, _)| within(input, captures.get(*group))).collect();
        for ((_, name), span) in self.groups.iter().zip(spans) {
            entry.extract(*name, Value::Text(span.unwrap_or_default()));
        }
        Flow::Continue
    }
}

/// A part of a text as a span of the buffer that the text is in.
pub(super) fn within(input: Span, part: Option<::regex::bytes::Match<'_>>) -> Option<Span> {
    part.map(|part| Span { start: input.start + part.start() as u32, end: input.start + part.end() as u32 })
}
