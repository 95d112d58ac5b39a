//! Go's text templates with the functions Promtail gives them: its own and Sprig's that are pure.
//! In: the text of a template, once; then the fields of a line.  Out: text.  Owns: the parsed tree.
//!
//! A reimplementation of what `text/template` and Sprig document. Types are Go's and as strict, so that a template
//! fails here where it fails there. Intended differences:
//! - A template has limits (`limits`), so that none can hang the agent or exhaust its memory.
//! - Functions that reach out of the template are refused when it is parsed: environment, network, key material.
//! - Texts are UTF-8: what Go would cut inside a character ends in U+FFFD.
//! - Maps are walked in the order of their keys, also by `keys` and `values`, where Sprig's order is random.

mod ast;
mod call;
mod error;
mod evaluate;
mod exec;
mod float;
mod functions;
mod lex;
mod limits;
mod literal;
mod operand;
mod parse;
mod print;
mod printf;
mod quote;
mod reads;
#[cfg(test)]
mod tests;
mod text;
mod value;

use std::collections::BTreeMap;

pub(crate) use error::{RenderError, TemplateError};

/// The name Promtail gives the template, by which it can call itself.
const MAIN_NAME: &str = "pipeline_template";

/// What a template reads: names and texts.
pub(crate) trait Fields {
    /// The text of this name, if there is one.
    fn get(&self, name: &str) -> Option<&str>;
    /// Shows every name and its text; the order does not matter.
    fn for_each(&self, show: &mut dyn FnMut(&str, &str));
}

/// A template, parsed once.
#[derive(Debug)]
pub(crate) struct Template {
    main: ast::Nodes,
    defined: BTreeMap<String, ast::Nodes>,
    fields: Vec<String>,
    reads_everything: bool,
}

impl Template {
    /// Fails on what Go's parser refuses and on functions that are unknown or not offered.
    pub(crate) fn parse(text: &str) -> Result<Template, TemplateError> {
        let parsed = parse::parse(text)?;
        let mut reads = reads::Reads::default();
        reads.nodes(&parsed.main, true);
        for body in parsed.defined.values() {
            reads.nodes(body, true);
        }
        Ok(Template {
            main: parsed.main,
            defined: parsed.defined,
            fields: reads.fields.into_iter().collect(),
            reads_everything: reads.everything,
        })
    }

    /// Every name that may be read from the data, sorted; more than are read in one rendering.
    pub(crate) fn fields(&self) -> &[String] {
        &self.fields
    }

    /// The names are not known before rendering: `{{ range . }}`, `{{ index . $name }}`.
    pub(crate) fn reads_everything(&self) -> bool {
        self.reads_everything
    }

    /// Appends the text. On an error `out` is as it was.
    pub(crate) fn render(&self, data: &dyn Fields, out: &mut String) -> Result<(), RenderError> {
        let length = out.len();
        let result = exec::render(self, value::Value::Root(value::Root(data)), out);
        if result.is_err() {
            out.truncate(length);
        }
        result
    }
}
