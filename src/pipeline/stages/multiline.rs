//! `multiline`: joins lines that belong together into one entry.
//! In: lines, of which some begin an entry.  Out: entries, their lines joined by newlines.  Owns: the expression; what
//! is not complete is in the lane's memory.
//!
//! An entry keeps labels, time, extracted values and metadata of its own first line. That is so also where it was cut
//! for its length or for time (Promtail gives such a rest the time of the first line of all).

use std::time::Duration;

use crate::config::{Invalid, Kind, Node, Table, row};
use crate::pipeline::compile::{Compiler, DropReason};
use crate::pipeline::entry::Entry;
use crate::pipeline::held::Held;
use crate::pipeline::lane::{Context, MemoryKind};
use crate::pipeline::stages::{Flow, Options, Stage, StageKind, regex};
use crate::record::LONGEST_LINE;

pub(crate) const KIND: StageKind = StageKind {
    name: "multiline",
    about: "Joins lines that belong together into one entry; at most 256 KiB",
    options: Options::Block(&OPTIONS),
    build,
};

static OPTIONS: Table = Table(&[
    row("firstline", Kind::Text, "", "Required: RE2 expression that the first line of an entry matches"),
    row("max_wait_time", Kind::Duration, "3s", "An entry goes on when no line followed for so long"),
    row("max_lines", Kind::Count, "128", "An entry goes on when it has so many lines; 0 is no limit"),
]);

#[derive(Debug)]
struct Multiline {
    first_line: ::regex::bytes::Regex,
    wait: Duration,
    max_lines: usize,
    memory: usize,
    /// Promtail does not send entries without any text.
    empty: DropReason,
}

fn build(options: &Node, compiler: &mut Compiler<'_>) -> Result<(), Invalid> {
    let block = options.options(&OPTIONS)?;
    let first_line = regex::loose_expression(block.required("firstline")?)?;
    let wait = block.optional("max_wait_time", Node::duration_with_unit)?.unwrap_or(Duration::from_secs(3));
    let max_lines = block.optional("max_lines", Node::loose_count)?.unwrap_or(128);
    // Promtail compares after it counted the first line: 0 never comes.
    let max_lines = if max_lines == 0 { u64::MAX } else { max_lines };
    let stage = Multiline {
        first_line,
        wait,
        max_lines: usize::try_from(max_lines).unwrap_or(usize::MAX),
        memory: compiler.memory(MemoryKind::Holds),
        empty: compiler.drop_reason("multiline_empty"),
    };
    compiler.add(stage);
    Ok(())
}

impl Stage for Multiline {
    fn apply<'s>(&'s self, entry: &mut Entry, context: &mut Context<'_>) -> Flow<'s> {
        let mut key = std::mem::take(&mut context.tools.key);
        entry.label_key(&mut key);
        let line = entry.searchable(entry.line);
        let begins = self.first_line.is_match(entry.bytes(line));
        let flow = self.take(begins, &key, entry, context);
        context.tools.key = key;
        flow
    }

    fn holds(&self) -> Option<usize> {
        Some(self.memory)
    }

    fn resume<'s>(&'s self, entry: &mut Entry) -> Flow<'s> {
        if entry.line_bytes().is_empty() { Flow::Drop(&self.empty) } else { Flow::Continue }
    }
}

impl Multiline {
    fn take<'s>(&self, begins: bool, key: &[u8], entry: &Entry, context: &mut Context<'_>) -> Flow<'s> {
        let (due, carried) = (context.instant + self.wait, context.carried);
        let gauge = &context.pipeline.entries_held;
        let Some(holds) = context.holds(self.memory) else { return Flow::Continue };
        if !begins && !holds.has_begun(key) {
            // Before the first line that begins an entry there is nothing it could belong to.
            return Flow::Continue;
        }
        let line = entry.line_bytes();
        let mut released = Vec::new();
        let fits = |held: &Held| held.text.len() + 1 + line.len() <= LONGEST_LINE;
        match holds.get(key).filter(|held| !begins && fits(held)) {
            Some(held) => {
                held.append(b"\n", line, carried, due);
                context.pipeline.lines_merged.add(1.0);
            }
            None => {
                released.extend(holds.release(key));
                released.extend(holds.hold(key, entry, carried, due, gauge));
            }
        }
        let Some(holds) = context.holds(self.memory) else { return Flow::Continue };
        if holds.get(key).is_some_and(|held| held.lines >= self.max_lines) {
            released.extend(holds.release(key));
        }
        context.released = released;
        Flow::Held
    }
}
