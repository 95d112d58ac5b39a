//! `template`: makes an extracted value with a Go template.
//! In: extracted values, the line.  Out: an extracted text.  Owns: the parsed template.

use crate::config::{Invalid, Kind, Node, Table, row};
use crate::pipeline::compile::{Compiler, Pipeline};
use crate::pipeline::entry::{Entry, Span, Symbol, Value};
use crate::pipeline::lane::Context;
use crate::pipeline::stages::{Flow, Options, Stage, StageKind, output};
use crate::pipeline::template::{Fields, RenderError, Template};

pub(crate) const KIND: StageKind = StageKind {
    name: "template",
    about: "Makes an extracted value with a Go template",
    options: Options::Block(&OPTIONS),
    build,
};

static OPTIONS: Table = Table(&[
    row("source", Kind::Text, "", "Required: name to write, and the value of `.Value`"),
    row("template", Kind::Text, "", "The template; an empty result removes the value"),
]);

#[derive(Debug)]
struct TemplateStage {
    source: Symbol,
    template: Renderer,
}

/// A template and the names it reads.
#[derive(Debug)]
pub(super) struct Renderer {
    template: Template,
    fields: Vec<Symbol>,
}

/// What a template sees of an entry: names and texts, valid UTF-8.
struct Seen<'e> {
    entry: &'e Entry,
    pipeline: &'e Pipeline,
    texts: Vec<(Symbol, Span)>,
    value: Option<Span>,
    line: Option<Span>,
}

fn build(options: &Node, compiler: &mut Compiler<'_>) -> Result<(), Invalid> {
    let block = options.options(&OPTIONS)?;
    let source = output::required_source(&block, compiler)?;
    let template = Renderer::compile(block.get("template"), compiler)?;
    compiler.add(TemplateStage { source, template });
    Ok(())
}

impl Renderer {
    /// Parses an option; where it is not given the template is empty.
    pub(super) fn compile(node: Option<&Node>, compiler: &mut Compiler<'_>) -> Result<Renderer, Invalid> {
        let text = node.map_or(Ok(""), Node::strict_text)?;
        let at = node.unwrap_or(&crate::config::NOTHING);
        let template =
            Template::parse(text).map_err(|error| at.invalid(format!("not a template: {error}")))?;
        let fields = template.fields().iter().map(|name| compiler.symbol(name)).collect();
        Ok(Renderer { template, fields })
    }

    /// Appends the text for an entry. `value` is what `.Value` stands for, `line` what `.Entry` does.
    pub(super) fn render(
        &self,
        entry: &mut Entry,
        pipeline: &Pipeline,
        value: Option<Span>,
        line: Option<Span>,
        out: &mut String,
    ) -> Result<(), RenderError> {
        let all = (0..pipeline.names.len()).map(|name| Symbol(name as u16));
        let names: Vec<Symbol> =
            if self.template.reads_everything() { all.collect() } else { self.fields.clone() };
        let mut texts = Vec::with_capacity(names.len());
        for name in names {
            if let Some(span) = entry.text(name) {
                texts.push((name, entry.searchable(span)));
            }
        }
        let value = value.map(|span| entry.searchable(span));
        let line = line.map(|span| entry.searchable(span));
        self.template.render(&Seen { entry, pipeline, texts, value, line }, out)
    }
}

impl Seen<'_> {
    fn text(&self, span: Span) -> &str {
        // Made valid when it was put in.
        std::str::from_utf8(self.entry.bytes(span)).unwrap_or_default()
    }

    fn name(&self, name: Symbol) -> &str {
        &self.pipeline.names[name.0 as usize]
    }
}

impl Fields for Seen<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let span = match name {
            "Value" => self.value,
            "Entry" if self.line.is_some() => self.line,
            _ => self.texts.iter().find(|(known, _)| self.name(*known) == name).map(|(_, span)| *span),
        };
        span.map(|span| self.text(span))
    }

    fn for_each(&self, show: &mut dyn FnMut(&str, &str)) {
        let shadowed = |name: &str| name == "Value" || (name == "Entry" && self.line.is_some());
        for (name, span) in self.texts.iter().filter(|(name, _)| !shadowed(self.name(*name))) {
            show(self.name(*name), self.text(*span));
        }
        for (name, span) in [("Value", self.value), ("Entry", self.line)] {
            if let Some(span) = span {
                show(name, self.text(span));
            }
        }
    }
}

impl Stage for TemplateStage {
    fn apply<'s>(&'s self, entry: &mut Entry, context: &mut Context<'_>) -> Flow<'s> {
        let value = entry.text(self.source);
        let mut rendered = String::new();
        // A template that fails on this line changes nothing.
        match self.template.render(entry, context.pipeline, value, Some(entry.line), &mut rendered) {
            Ok(()) if rendered.is_empty() => entry.extract(self.source, Value::Absent),
            Ok(()) => {
                let span = entry.store(rendered.as_bytes());
                entry.extract(self.source, Value::Text(span));
            }
            Err(error) => context.fail_with(error.kind(), || error.to_string()),
        }
        Flow::Continue
    }
}
