//! `timestamp`: sets the entry's time from an extracted value.
//! In: an extracted value.  Out: the time.  Owns: the compiled formats.

use crate::config::{Invalid, Node};
use crate::pipeline::compile::{Compiler, warn_unknown};
use crate::pipeline::entry::{Entry, Symbol};
use crate::pipeline::go_time::{self, TimeFormat};
use crate::pipeline::lane::{Context, MemoryKind};
use crate::pipeline::stages::{Flow, Stage, StageKind, output};
use crate::record::UnixNanos;

pub(crate) const KIND: StageKind = StageKind { name: "timestamp", build };

#[derive(Debug)]
pub(crate) struct Timestamp {
    source: Symbol,
    /// Tried in order.
    formats: Vec<TimeFormat>,
    /// Where last good times are remembered; `None` leaves the time alone when the value cannot be read.
    fudge: Option<usize>,
}

fn build(options: &Node, compiler: &mut Compiler<'_>) -> Result<Box<dyn Stage>, Invalid> {
    let block = options.loose_block()?;
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
    warn_unknown("timestamp", &block);
    Ok(Box::new(Timestamp { source, formats, fudge: fudge.then(|| compiler.memory(MemoryKind::Times)) }))
}

impl Timestamp {
    /// The timestamp stage inside the `docker` stage.
    pub(super) fn docker(compiler: &mut Compiler<'_>) -> Timestamp {
        Timestamp {
            source: compiler.symbol("timestamp"),
            formats: vec![TimeFormat::compile("RFC3339Nano", None)],
            fudge: Some(compiler.memory(MemoryKind::Times)),
        }
    }

    fn parse(&self, entry: &mut Entry, now: UnixNanos) -> Option<UnixNanos> {
        let span = entry.text(self.source)?;
        let text = std::str::from_utf8(entry.bytes(span)).ok()?;
        self.formats.iter().find_map(|format| format.parse(text, now.0).ok()).map(UnixNanos)
    }
}

impl Stage for Timestamp {
    fn apply<'s>(&'s self, entry: &mut Entry, context: &mut Context<'_>) -> Flow<'s> {
        let parsed = self.parse(entry, context.now);
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
