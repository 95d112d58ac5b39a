//! `eventlogmessage`: extracts the fields of a Windows event log message.
//! In: an extracted text of lines `key: value`.  Out: extracted values.  Owns: nothing.
//!
//! Keys are not known before they are seen, so only those that some stage speaks of are kept.

use crate::config::{Invalid, Kind, Node, Table, row};
use crate::pipeline::compile::{Compiler, DropReason};
use crate::pipeline::entry::{Entry, Symbol, Value};
use crate::pipeline::lane::Context;
use crate::pipeline::stages::{Flow, Options, Stage, StageKind, labels};

pub(crate) const KIND: StageKind = StageKind {
    name: "eventlogmessage",
    about: "Extracts the fields of a Windows event log message; those that other stages speak of",
    options: Options::Block(&OPTIONS),
    build,
};

static OPTIONS: Table = Table(&[
    row("source", Kind::Text, "message", "Extracted value to read"),
    row(
        "drop_invalid_labels",
        Kind::Boolean,
        "false",
        "Skip keys that are no label names instead of making them valid",
    ),
    row(
        "overwrite_existing",
        Kind::Boolean,
        "false",
        "Write over what is extracted already instead of adding `_extracted` to the name",
    ),
]);

#[derive(Debug)]
struct EventLogMessage {
    source: Symbol,
    drop_invalid_labels: bool,
    overwrite_existing: bool,
    unusable: DropReason,
}

fn build(options: &Node, compiler: &mut Compiler<'_>) -> Result<(), Invalid> {
    let block = options.options(&OPTIONS)?;
    let source = block.optional("source", Node::strict_text)?.unwrap_or("message");
    if !labels::is_label_name(source) {
        return Err(options
            .invalid(format!("`source` cannot be `{source}`"))
            .help("it must be a label name"));
    }
    let stage = EventLogMessage {
        source: compiler.symbol(source),
        drop_invalid_labels: block.optional("drop_invalid_labels", Node::boolean)?.unwrap_or(false),
        overwrite_existing: block.optional("overwrite_existing", Node::boolean)?.unwrap_or(false),
        unusable: compiler.drop_reason("eventlogmessage_unusable"),
    };
    compiler.add(stage);
    Ok(())
}

impl EventLogMessage {
    fn extract(&self, line: &str, entry: &mut Entry, context: &mut Context<'_>) {
        let Some((key, value)) = line.split_once(':') else {
            if !line.trim().is_empty() {
                context.fail("a line of the message has no key");
            }
            return;
        };
        let mut key = match labels::is_label_name(key) {
            true => key.to_owned(),
            false if self.drop_invalid_labels => return,
            false => sanitized(key),
        };
        let names = &context.pipeline.names;
        let symbol = |key: &str| names.iter().position(|name| **name == *key).map(|name| Symbol(name as u16));
        let existing = symbol(&key).is_some_and(|name| entry.extracted(name) != Value::Absent);
        if existing && !self.overwrite_existing {
            key.push_str("_extracted");
        }
        if let Some(name) = symbol(&key) {
            let span = entry.store(value.trim().as_bytes());
            entry.extract(name, Value::Text(span));
        }
    }
}

/// A legal label name: each other character, and a digit in front, becomes `_`.
fn sanitized(key: &str) -> String {
    let legal = |(index, c): (usize, char)| {
        if c == '_' || c.is_ascii_alphabetic() || (index > 0 && c.is_ascii_digit()) { c } else { '_' }
    };
    let name: String = key.chars().enumerate().map(legal).collect();
    if name.is_empty() { "_".to_owned() } else { name }
}

impl Stage for EventLogMessage {
    fn apply<'s>(&'s self, entry: &mut Entry, context: &mut Context<'_>) -> Flow<'s> {
        if entry.extracted(self.source) == Value::Absent {
            return Flow::Continue;
        }
        let Some(span) = entry.text(self.source) else {
            context.fail("its `source` is null");
            return Flow::Drop(&self.unusable);
        };
        let Ok(text) = std::str::from_utf8(entry.bytes(span)).map(str::to_owned) else {
            return Flow::Continue;
        };
        for line in text.split("\r\n") {
            self.extract(line, entry, context);
        }
        Flow::Continue
    }
}
