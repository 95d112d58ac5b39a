//! `cri`: reads the log format of container runtimes, and joins the lines they cut.
//! In: lines `<time> <stdout|stderr> <flags> <content>`.  Out: the content, `stream` label, time.  Owns: the expression;
//! lines of which a part is missing are in the lane's memory.
//!
//! Made of other stages, so that it behaves as they do. A line that does not fit passes as it is.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Invalid, Kind, Node, Table, row};
use crate::metrics::Series;
use crate::pipeline::compile::Compiler;
use crate::pipeline::entry::{Entry, Span, Symbol, Value};
use crate::pipeline::lane::{Context, MemoryKind};
use crate::pipeline::limits::floor_char_boundary;
use crate::pipeline::stages::docker::Enter;
use crate::pipeline::stages::labels::Labels;
use crate::pipeline::stages::output::Output;
use crate::pipeline::stages::timestamp::Timestamp;
use crate::pipeline::stages::{Flow, Options, Stage, StageKind};
use crate::record::LONGEST_LINE;

pub(crate) const KIND: StageKind = StageKind {
    name: "cri",
    about: "Reads the lines of container runtimes and joins those they cut",
    options: Options::Block(&OPTIONS),
    build,
};

static OPTIONS: Table = Table(&[
    row(
        "max_partial_lines",
        Kind::Count,
        "100",
        "Label sets of a target that may have an unfinished line at a time",
    ),
    row(
        "max_partial_line_size",
        Kind::Count,
        "0",
        "Bytes of a joined line, if it is truncated; 0 is 256 KiB",
    ),
    row("max_partial_line_size_truncate", Kind::Boolean, "false", "Cut joined lines at that size"),
]);

/// The rest of a line follows at once; what waits for longer has lost it.
const WAIT: Duration = Duration::from_secs(60);

/// Splits a line into its four parts.
#[derive(Debug)]
struct Split {
    time: Symbol,
    stream: Symbol,
    flags: Symbol,
    content: Symbol,
}

/// Joins what belongs together.
#[derive(Debug)]
struct Join {
    flags: Symbol,
    max_partial: usize,
    /// Where a joined line is cut.
    longest: usize,
    memory: usize,
    truncated: Arc<Series>,
}

fn build(options: &Node, compiler: &mut Compiler<'_>) -> Result<(), Invalid> {
    let block = options.options(&OPTIONS)?;
    let max_partial = block.optional("max_partial_lines", Node::loose_count)?.filter(|lines| *lines > 0);
    let size = block.optional("max_partial_line_size", Node::loose_count)?.filter(|size| *size > 0);
    let truncate = block.optional("max_partial_line_size_truncate", Node::loose_boolean)?.unwrap_or(false);
    let longest = size.filter(|_| truncate).and_then(|size| usize::try_from(size).ok());
    let [time, stream, flags, content, tags] =
        ["time", "stream", "flags", "content", "tags"].map(|name| compiler.symbol(name));
    let timestamp = Timestamp::rfc3339("time", compiler);
    let join = Join {
        flags,
        max_partial: usize::try_from(max_partial.unwrap_or(100)).unwrap_or(usize::MAX),
        longest: longest.unwrap_or(LONGEST_LINE).min(LONGEST_LINE),
        memory: compiler.memory(MemoryKind::Holds),
        truncated: compiler.own().lines_truncated.clone(),
    };
    compiler.add(Enter);
    compiler.add(Split { time, stream, flags, content });
    compiler.add(Labels::new(vec![(stream, stream)]));
    compiler.add(timestamp);
    compiler.add(Output::new(content));
    // Promtail has this one too: a label `tags` replaces the line.
    compiler.add(Output::new(tags));
    compiler.add(join);
    Ok(())
}

impl Stage for Split {
    fn apply<'s>(&'s self, entry: &mut Entry, context: &mut Context<'_>) -> Flow<'s> {
        let line = entry.searchable(entry.line);
        let Some(parts) = parts(entry.bytes(line)) else {
            context.fail("no line of a container runtime");
            return Flow::Continue;
        };
        for (name, (from, to)) in [self.time, self.stream, self.flags, self.content].into_iter().zip(parts) {
            let span = Span { start: line.start + from as u32, end: line.start + to as u32 };
            entry.extract(name, Value::Text(span));
        }
        Flow::Continue
    }
}

/// Where the four parts of a line lie; `None` for a line of another make.
fn parts(line: &[u8]) -> Option<[(usize, usize); 4]> {
    let word = |from: usize| {
        let length = memchr::memchr(b' ', &line[from..])?;
        let blank = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b'\x0c');
        (length > 0 && !line[from..from + length].iter().any(blank)).then_some((from, from + length))
    };
    let time = word(0)?;
    let stream = word(time.1 + 1)?;
    if !matches!(&line[stream.0..stream.1], b"stdout" | b"stderr") {
        return None;
    }
    let flags = word(stream.1 + 1)?;
    Some([time, stream, flags, (flags.1 + 1, line.len())])
}

impl Stage for Join {
    fn apply<'s>(&'s self, entry: &mut Entry, context: &mut Context<'_>) -> Flow<'s> {
        let mut key = std::mem::take(&mut context.tools.key);
        entry.label_key(&mut key);
        let flow = self.join(&key, entry, context);
        context.tools.key = key;
        flow
    }

    fn holds(&self) -> Option<usize> {
        Some(self.memory)
    }
}

impl Join {
    fn join<'s>(&self, key: &[u8], entry: &mut Entry, context: &mut Context<'_>) -> Flow<'s> {
        let is_partial = entry.text(self.flags).is_some_and(|flags| entry.bytes(flags) == b"P");
        let (due, carried) = (context.instant + WAIT, context.carried);
        let gauge = &context.pipeline.entries_held;
        let Some(holds) = context.holds(self.memory) else { return Flow::Continue };
        let mut released = Vec::new();
        if is_partial && holds.len() >= self.max_partial {
            released = holds.take_due(None);
        }
        match holds.get(key) {
            // Time, labels and extracted values are those of the last part.
            Some(held) => {
                held.append(b"", entry.line_bytes(), carried, due);
                held.entry.clone_from(entry);
                context.pipeline.lines_merged.add(1.0);
            }
            None if is_partial => released.extend(holds.hold(key, entry, carried, due, gauge)),
            None => return Flow::Continue,
        }
        let Some(holds) = context.holds(self.memory) else { return Flow::Continue };
        if let Some(held) = holds.get(key) {
            self.cut(&mut held.text);
        }
        if !is_partial {
            released.extend(holds.remove(key));
        }
        context.released = released;
        Flow::Held
    }

    fn cut(&self, text: &mut Vec<u8>) {
        if text.len() > self.longest {
            text.truncate(floor_char_boundary(text, self.longest));
            self.truncated.add(1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_four_parts_divided_by_single_blanks() {
        let shown = |line: &str| {
            parts(line.as_bytes()).map(|parts| parts.map(|(from, to)| line[from..to].to_owned()))
        };
        assert_eq!(shown("t stdout F a  b").unwrap(), ["t", "stdout", "F", "a  b"]);
        assert_eq!(shown("t stderr P ").unwrap(), ["t", "stderr", "P", ""]);
        for other in ["", "t stdout F", "t  stdout F x", "t stdoutx F x", "t\t stdout F x", " stdout F x"] {
            assert_eq!(shown(other), None, "{other:?}");
        }
    }
}
