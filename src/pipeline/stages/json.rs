//! `json`: extracts values from a JSON object.
//! In: the line, or an extracted text.  Out: extracted values, typed.  Owns: the compiled expressions.

use std::fmt;

use crate::config::{Invalid, Kind, Node, Table, row};
use crate::pipeline::compile::{Compiler, DropReason};
use crate::pipeline::entry::{Entry, Symbol};
use crate::pipeline::json_path::{PathTree, Step, plain_path, store_found};
use crate::pipeline::lane::Context;
use crate::pipeline::stages::{Flow, Options, Stage, StageKind};

pub(crate) const KIND: StageKind = StageKind {
    name: "json",
    about: "Extracts values from a JSON object",
    options: Options::Block(&OPTIONS),
    build,
};

static OPTIONS: Table = Table(&[
    row(
        "expressions",
        Kind::Labels,
        "",
        "Required: names, and the JMESPath expression for each; nothing is the name itself",
    ),
    row("source", Kind::Text, "", "Extracted value to read instead of the line"),
    row("drop_malformed", Kind::Boolean, "false", "Drop and count lines that are no JSON object"),
]);

pub(crate) struct Json {
    /// Plain paths, read in one pass.
    tree: PathTree,
    /// Everything else.
    expressions: Vec<(Symbol, jmespath::Expression<'static>)>,
    source: Option<Symbol>,
    malformed: Option<DropReason>,
}

fn build(options: &Node, compiler: &mut Compiler<'_>) -> Result<(), Invalid> {
    let block = options.options(&OPTIONS)?;
    let expressions = block.required("expressions")?;
    let mut json = Json { tree: PathTree::default(), expressions: Vec::new(), source: None, malformed: None };
    for (key, value) in expressions.entries()? {
        let name = key.strict_text()?;
        let (node, expression) = if value.is_null() || value.text()?.is_empty() {
            (key, name)
        } else {
            (value, value.strict_text()?)
        };
        let symbol = compiler.symbol(name);
        match plain_path(expression) {
            Some(steps) => json.tree.insert(&steps, symbol),
            None => {
                let compiled = jmespath::compile(expression)
                    .map_err(|error| node.invalid(format!("not a JMESPath expression: {}", error.reason)))?;
                json.expressions.push((symbol, compiled));
            }
        }
    }
    if expressions.entries()?.is_empty() {
        return Err(expressions.invalid("`expressions` names nothing to extract"));
    }
    json.source = source(&block, compiler)?;
    if block.optional("drop_malformed", Node::boolean)?.unwrap_or(false) {
        json.malformed = Some(compiler.drop_reason("json_malformed"));
    }
    compiler.add(json);
    Ok(())
}

/// The `source` option of stages that read the line where it is not given.
pub(super) fn source(
    block: &crate::config::Block<'_>,
    compiler: &mut Compiler<'_>,
) -> Result<Option<Symbol>, Invalid> {
    let Some(node) = block.get("source") else { return Ok(None) };
    match node.strict_text()? {
        "" => Err(node.invalid("`source` is empty").help("leave `source` out to read the line")),
        name => Ok(Some(compiler.symbol(name))),
    }
}

impl Json {
    /// A stage that reads top-level keys from the line.
    pub(super) fn plain<const N: usize>(paths: [(Symbol, &str); N]) -> Json {
        let mut tree = PathTree::default();
        for (symbol, key) in paths {
            tree.insert(&[Step::Key(key.to_owned())], symbol);
        }
        Json { tree, expressions: Vec::new(), source: None, malformed: None }
    }

    /// Evaluates the expressions that are no plain paths. The text is known to be an object or null.
    fn search(&self, entry: &mut Entry, input: &[u8], context: &mut Context<'_>) {
        let text = String::from_utf8_lossy(input);
        // Such as one nested more deeply than is read into memory.
        let Ok(data) = jmespath::Variable::from_json(&text) else {
            return context.fail("an object that expressions cannot be evaluated on");
        };
        let data = jmespath::Rcvar::new(data);
        for (name, expression) in &self.expressions {
            // An expression that cannot be evaluated on this line (a function on the wrong type) leaves the name alone.
            match expression.search(&data) {
                Ok(found) => {
                    if let Ok(value) = serde_json::to_value(&*found) {
                        store_found(entry, *name, &value);
                    }
                }
                Err(error) => context.fail_with("an expression cannot be evaluated", || {
                    format!("{}: {}", expression.as_str(), error.reason)
                }),
            }
        }
    }
}

impl Stage for Json {
    fn apply<'s>(&'s self, entry: &mut Entry, context: &mut Context<'_>) -> Flow<'s> {
        let Some(input) = entry.input(self.source) else { return Flow::Continue };
        let found = &mut context.tools.extraction;
        if self.tree.read(entry.bytes(input), found).is_err() {
            context.fail("no JSON object");
            return match &self.malformed {
                Some(reason) => Flow::Drop(reason),
                None => Flow::Continue,
            };
        }
        found.commit(entry);
        if !self.expressions.is_empty() {
            let text = &mut context.tools.text;
            text.clear();
            text.extend_from_slice(entry.bytes(input));
            let text = std::mem::take(text);
            self.search(entry, &text, context);
            context.tools.text = text;
        }
        Flow::Continue
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Json").field("tree", &self.tree).field("source", &self.source).finish_non_exhaustive()
    }
}
