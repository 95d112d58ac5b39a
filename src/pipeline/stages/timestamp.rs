//! `timestamp`: sets the entry's time from an extracted value.
//! In: an extracted value.  Out: the time.  Owns: the compiled formats.

use std::borrow::Cow;

use crate::config::{Invalid, Kind, Node, Table, row};
use crate::pipeline::compile::Compiler;
use crate::pipeline::entry::{Entry, Symbol};
use crate::pipeline::go_time::{self, TimeFormat};
use crate::pipeline::lane::{Context, MemoryKind};
use crate::pipeline::stages::{Flow, Options, Stage, StageKind, output};
use crate::record::UnixNanos;

pub(crate) const KIND: StageKind = StageKind {
    name: "timestamp",
    about: "Sets the line's time from an extracted value",
    options: Options::Block(&OPTIONS),
    build,
};

static OPTIONS: Table = Table(&[
    row("source", Kind::Text, "", "Required: the extracted value"),
    row(
        "format",
        Kind::Text,
        "",
        "Required: `RFC3339Nano` and the other names of Go, `Unix`, `UnixMs`, `UnixUs`, `UnixNs`, or a layout of Go",
    ),
    row("fallback_formats", Kind::Texts, "", "Formats tried after it, in order"),
    row("location", Kind::Text, "", "IANA time zone of layouts that name none"),
    row(
        "action_on_failure",
        Kind::Text,
        "fudge",
        "`fudge` takes the last good time of the label set and a nanosecond, `skip` leaves the time alone",
    ),
]);

#[derive(Debug)]
pub(crate) struct Timestamp {
    source: Symbol,
    /// Tried in order.
    formats: Vec<TimeFormat>,
    /// Where last good times are remembered; `None` leaves the time alone when the value cannot be read.
    fudge: Option<usize>,
}

fn build(options: &Node, compiler: &mut Compiler<'_>) -> Result<(), Invalid> {
    let block = options.options(&OPTIONS)?;
    let source = output::required_source(&block, compiler)?;
    let location = block.optional("location", |node| match node.strict_text()? {
        "" => Ok(None),
        name => go_time::location(name).map(Some).map_err(|error| node.invalid(error.to_string())),
    })?;
    let location = location.flatten();
    let format = |node: &Node| Ok(TimeFormat::compile(node.strict_text()?, location.clone()));
    let required = block.required("format")?;
    if required.strict_text()?.is_empty() {
        return Err(required.invalid("`format` is empty"));
    }
    let mut formats = vec![format(required)?];
    formats.extend(block.optional("fallback_formats", |list| list.list_of(format))?.unwrap_or_default());
    let fudge = match block.get("action_on_failure") {
        None => true,
        Some(node) => match node.strict_text()? {
            "fudge" | "" => true,
            "skip" => false,
            other => {
                let invalid = node.invalid(format!("`action_on_failure` cannot be `{other}`"));
                return Err(invalid
                    .help("use `fudge` (the last good time plus 1 ns) or `skip` (keep the time it had)"));
            }
        },
    };
    let fudge = fudge.then(|| compiler.memory(MemoryKind::Times));
    compiler.add(Timestamp { source, formats, fudge });
    Ok(())
}

impl Timestamp {
    /// The timestamp stage inside the `docker` and `cri` stages.
    pub(super) fn rfc3339(source: &str, compiler: &mut Compiler<'_>) -> Timestamp {
        Timestamp {
            source: compiler.symbol(source),
            formats: vec![TimeFormat::compile("RFC3339Nano", None)],
            fudge: Some(compiler.memory(MemoryKind::Times)),
        }
    }

    fn parse(&self, entry: &mut Entry, context: &mut Context<'_>) -> Option<UnixNanos> {
        let Some(span) = entry.text(self.source) else {
            context.fail("nothing is extracted under its `source`");
            return None;
        };
        let bytes = entry.bytes(span);
        let text = str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed);
        let now = context.now.0;
        let found = self.formats.iter().find_map(|format| format.parse(&text, now).ok()).map(UnixNanos);
        if found.is_none() {
            context.fail_with("in none of its formats", || format!("{text:?} is in none of its formats"));
        }
        found
    }
}

impl Stage for Timestamp {
    fn apply<'s>(&'s self, entry: &mut Entry, context: &mut Context<'_>) -> Flow<'s> {
        let parsed = self.parse(entry, context);
        let time = match (parsed, self.fudge) {
            (Some(time), _) => Some(time),
            (None, Some(memory)) => {
                context.recall_time(memory, entry).map(|last| UnixNanos(last.0.saturating_add(1)))
            }
            (None, None) => None,
        };
        if let Some(time) = time {
            entry.timestamp = time;
            if let Some(memory) = self.fudge {
                context.remember_time(memory, entry, time);
            }
        }
        Flow::Continue
    }
}
