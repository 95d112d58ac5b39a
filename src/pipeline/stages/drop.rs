//! `drop`: drops lines for which every given condition holds.
//! In: line, time, extracted values.  Out: the entry, or nothing.  Owns: the conditions.

use std::time::Duration;

use crate::config::{Invalid, Kind, Node, Table, row};
use crate::pipeline::compile::{Compiler, DropReason};
use crate::pipeline::entry::{Entry, Symbol, Value};
use crate::pipeline::lane::Context;
use crate::pipeline::stages::{Flow, Options, Stage, StageKind, regex};

pub(crate) const KIND: StageKind = StageKind {
    name: "drop",
    about: "Drops lines for which every condition given holds",
    options: Options::Block(&OPTIONS),
    build,
};

static OPTIONS: Table = Table(&[
    row("source", Kind::Any, "", "Name, or list of names, that must be extracted"),
    row("separator", Kind::Text, ";", "Joins the values of several names"),
    row("expression", Kind::Text, "", "RE2 expression that the line, or the values of `source`, must match"),
    row("value", Kind::Text, "", "What the values of `source` must be"),
    row("older_than", Kind::Duration, "", "Age above which the time of the line must lie"),
    row("longer_than", Kind::Bytes, "", "Length that the line must exceed"),
    row("drop_counter_reason", Kind::Text, "drop_stage", "Under what the dropped lines are counted"),
]);

#[derive(Debug)]
struct Drop {
    content: Option<Content>,
    older_than: Option<Duration>,
    longer_than: Option<u64>,
    reason: DropReason,
}

/// The condition on what the line says.
#[derive(Debug)]
enum Content {
    /// All names are extracted, whatever their value.
    Extracted(Vec<Symbol>),
    /// The line matches.
    Line(::regex::bytes::Regex),
    /// The joined values match.
    Values { names: Vec<Symbol>, separator: String, expression: ::regex::bytes::Regex },
}

fn build(options: &Node, compiler: &mut Compiler<'_>) -> Result<(), Invalid> {
    let block = options.options(&OPTIONS)?;
    let names = block.optional("source", |node| source(node, compiler))?.filter(|names| !names.is_empty());
    let separator = block.optional("separator", Node::loose_text)?.unwrap_or(";".into()).into_owned();
    let expression = block.get("expression");
    let value = block.get("value");
    if let (Some(value), Some(_)) = (value, expression) {
        return Err(value.invalid("`value` and `expression` cannot be given together"));
    }
    let content = match (names, expression, value) {
        (None, None, None) => None,
        (None, None, Some(value)) => return Err(value.invalid("`value` needs a `source` to compare it with")),
        (Some(names), None, None) => Some(Content::Extracted(names)),
        (None, Some(node), _) => Some(Content::Line(regex::loose_expression(node)?)),
        (Some(names), Some(node), _) => {
            Some(Content::Values { names, separator, expression: regex::loose_expression(node)? })
        }
        (Some(names), None, Some(value)) => {
            let quoted = format!("^{}$", ::regex::escape(&value.loose_text()?));
            let expression =
                ::regex::bytes::Regex::new(&quoted).map_err(|error| value.invalid(error.to_string()))?;
            Some(Content::Values { names, separator, expression })
        }
    };
    let older_than = block.optional("older_than", Node::duration_with_unit)?;
    let longer_than = block.optional("longer_than", Node::bytes)?;
    if content.is_none() && older_than.is_none() && longer_than.is_none() {
        let invalid = options.invalid("`drop` without a condition");
        return Err(invalid.help("give source, expression, older_than or longer_than"));
    }
    let reason = match block.optional("drop_counter_reason", Node::text)? {
        None | Some("") => "drop_stage",
        Some(reason) => reason,
    };
    let reason = compiler.drop_reason(reason);
    compiler.add(Drop { content, older_than, longer_than, reason });
    Ok(())
}

/// `source`: one name or a list of them.
fn source(node: &Node, compiler: &mut Compiler<'_>) -> Result<Vec<Symbol>, Invalid> {
    if node.scalar().is_some() {
        return Ok(vec![compiler.symbol(node.strict_text()?)]);
    }
    node.list_of(|name| Ok(compiler.symbol(name.strict_text()?)))
}

impl Content {
    fn holds(&self, entry: &mut Entry, joined: &mut Vec<u8>) -> bool {
        match self {
            Content::Extracted(names) => names.iter().all(|name| entry.extracted(*name) != Value::Absent),
            Content::Line(expression) => {
                let line = entry.searchable(entry.line);
                expression.is_match(entry.bytes(line))
            }
            Content::Values { names, separator, expression } => {
                joined.clear();
                let mut first = true;
                for name in names {
                    match (entry.extracted(*name), entry.text(*name)) {
                        (Value::Absent, _) => continue,
                        (_, None) => return false,
                        (_, Some(span)) => {
                            if !first {
                                joined.extend_from_slice(separator.as_bytes());
                            }
                            first = false;
                            joined.extend_from_slice(entry.bytes(span));
                        }
                    }
                }
                expression.is_match(joined)
            }
        }
    }
}

impl Stage for Drop {
    fn apply<'s>(&'s self, entry: &mut Entry, context: &mut Context<'_>) -> Flow<'s> {
        let too_long = self.longer_than.is_none_or(|limit| entry.line_bytes().len() as u64 > limit);
        let too_old = self.older_than.is_none_or(|age| entry.timestamp < context.now.minus(age));
        if too_long
            && too_old
            && self.content.as_ref().is_none_or(|content| content.holds(entry, &mut context.tools.text))
        {
            Flow::Drop(&self.reason)
        } else {
            Flow::Continue
        }
    }
}
