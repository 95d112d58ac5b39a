//! A lane: the pipeline as one target's lines with one starting label set go through it.
//! In: lines.  Out: encoded entries in their stream's group.  Owns: what stages remember between lines of the lane,
//! bounded.

mod label_sets;
mod memory;
mod output;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Instant, Moment};
use crate::custody::Ticket;
use crate::metrics::{Changes, Series};
use crate::pipeline::compile::{Pipeline, Step};
use crate::pipeline::derived::CountWith as _;
use crate::pipeline::entry::{Base, Entry};
use crate::pipeline::held::{Held, Holds};
use crate::pipeline::json_path::Extraction;
use crate::pipeline::lane::streams::{Start, Streams};
use crate::pipeline::observe::Observer;
use crate::pipeline::stages::Flow;
use crate::record::{Labels, Metadata, UnixNanos};

pub(crate) use label_sets::LabelSets;
pub(crate) use memory::{Memory, MemoryKind};
pub(crate) use output::Output;

/// Label sets that something is remembered for: the last good timestamp, as in Promtail, series, streams. A lane with more starts
/// over, which costs time, and the times.
const CACHED_SETS: usize = 10_000;

/// A buffer above this size is given back after the chunk.
const SCRATCH_LIMIT: usize = 512 * 1024;

/// The pipeline for one target and starting label set.
#[derive(Debug)]
pub(crate) struct Lane {
    pipeline: Arc<Pipeline>,
    /// Labels that no stage speaks of: the same on every line.
    fixed: Labels,
    base: Base,
    /// All of these came with lines, and are no target's.
    from_lines: bool,
    sets: LabelSets,
    memories: Vec<Memory>,
    streams: Streams,
}

/// Buffers that lines use one after the other; one per task.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) entry: Entry,
    pub(crate) tools: Tools,
}

/// The part of the scratch that stages use beside the entry.
#[derive(Debug, Default)]
pub(crate) struct Tools {
    pub(crate) key: Vec<u8>,
    pub(crate) text: Vec<u8>,
    pub(crate) extraction: Extraction,
}

/// What a stage sees beside the entry.
pub(crate) struct Context<'l> {
    pub(crate) pipeline: &'l Pipeline,
    pub(crate) fixed: &'l Labels,
    pub(crate) sets: &'l mut LabelSets,
    pub(crate) memories: &'l mut [Memory],
    pub(crate) tools: &'l mut Tools,
    /// The wall clock when the chunk came in.
    pub(crate) now: UnixNanos,
    /// The clock that waiting goes by, at the same moment.
    pub(crate) instant: Instant,
    /// Tickets that answer for the entry.
    pub(crate) carried: &'l [Ticket],
    /// Entries that were held back and go on now, before the one at hand.
    pub(crate) released: Vec<Held>,
    /// How long the lane has to rest before its next line.
    pub(crate) pause: &'l mut Duration,
    /// What becomes of derived metrics, where that is kept.
    pub(crate) changes: &'l mut Changes,
    /// What the stage at hand could not do.
    pub(crate) failure: Option<&'static str>,
    /// The same in detail, where somebody wants to know.
    pub(crate) failures: Option<Vec<String>>,
}

/// A line as its source gave it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming<'c> {
    pub(crate) bytes: &'c [u8],
    pub(crate) timestamp: UnixNanos,
    pub(crate) metadata: Metadata<'c>,
}

impl Lane {
    /// A lane for a target's lines, which start with its `labels`.
    pub(crate) fn new(pipeline: Arc<Pipeline>, labels: &Labels) -> Lane {
        let (fixed, base) = Base::split(&pipeline.names, labels);
        let memories = pipeline.memories.iter().map(|kind| Memory::new(*kind)).collect();
        let streams = Streams::new(&pipeline, &fixed);
        Lane { pipeline, fixed, base, from_lines: false, sets: LabelSets::default(), memories, streams }
    }

    /// A lane for lines that came with `labels` of their own, which may have values without bound.
    pub(crate) fn of_lines(pipeline: Arc<Pipeline>, labels: &Labels) -> Lane {
        Lane { from_lines: true, ..Lane::new(pipeline, labels) }
    }

    /// True where stages take lines that start with `labels` for another label set.
    pub(crate) fn keys_change_with(&self, labels: &Labels) -> bool {
        Base::split(&self.pipeline.names, labels).1 != self.base
    }

    /// Lines start with `labels` from now on.
    pub(crate) fn relabel(&mut self, labels: &Labels) {
        (self.fixed, self.base) = Base::split(&self.pipeline.names, labels);
        // Both are looked up by the labels that stages speak of only.
        self.streams = Streams::new(&self.pipeline, &self.fixed);
        for series in self.memories.iter_mut().filter(|memory| matches!(memory, Memory::Series(_))) {
            *series = Memory::new(MemoryKind::Series);
        }
    }

    /// Forgets all that is remembered by label set.
    fn forget_sets(&mut self) {
        self.sets = LabelSets::default();
        self.streams = Streams::new(&self.pipeline, &self.fixed);
        for (memory, kind) in self.memories.iter_mut().zip(&self.pipeline.memories) {
            if !matches!(kind, MemoryKind::Holds) {
                *memory = Memory::new(*kind);
            }
        }
    }

    /// Makes `scratch` ready for lines of this lane; needed whenever another lane used it.
    pub(crate) fn enter(&self, scratch: &mut Scratch) {
        scratch.entry.load(&self.base);
    }

    /// Runs one line, for which the tickets of `carried` answer; what is left of it is added to `output`.
    pub(crate) fn run<O: Observer>(
        &mut self,
        line: Incoming<'_>,
        moment: Moment,
        carried: &[Ticket],
        scratch: &mut Scratch,
        output: &mut Output,
        observer: &mut O,
    ) {
        if self.sets.len() >= CACHED_SETS {
            self.forget_sets();
        }
        scratch.entry.begin(&self.base, line.bytes, line.timestamp);
        line.metadata.iter().for_each(|(name, value)| scratch.entry.give_metadata(name, value));
        observer.begun();
        self.advance(0, moment, carried, scratch, output, observer);
        scratch.entry.shrink(SCRATCH_LIMIT);
    }

    /// The chunk of `ticket` is at its end: what is held back may go on in the next.
    pub(crate) fn end_chunk(&mut self, ticket: &Ticket, now: Instant) {
        for memory in &mut self.memories {
            if let Memory::Holds(holds) = memory {
                holds.end_chunk(ticket, now);
            }
        }
    }

    /// When the next entry that is held back goes on as it is.
    pub(crate) fn due(&self) -> Option<Instant> {
        let holds = self.memories.iter().filter_map(|memory| match memory {
            Memory::Holds(holds) => holds.due(),
            _ => None,
        });
        holds.min()
    }

    /// Lets go on what was held back until `by`; without a time, everything.
    pub(crate) fn let_go<O: Observer>(
        &mut self,
        by: Option<Instant>,
        moment: Moment,
        scratch: &mut Scratch,
        output: &mut Output,
        observer: &mut O,
    ) {
        let pipeline = self.pipeline.clone();
        // In the order of the steps: what one lets go on, a later one may hold back again.
        for (at, step) in pipeline.steps.iter().enumerate() {
            let Some(Memory::Holds(holds)) = step.stage.holds().map(|memory| &mut self.memories[memory])
            else {
                continue;
            };
            for held in holds.take_due(by) {
                self.resume(held, at, moment, scratch, output, observer);
            }
        }
    }

    /// Takes the entry in `scratch` through the steps from number `at` on.
    pub(crate) fn advance<O: Observer>(
        &mut self,
        mut at: usize,
        moment: Moment,
        carried: &[Ticket],
        scratch: &mut Scratch,
        output: &mut Output,
        observer: &mut O,
    ) {
        loop {
            let Scratch { entry, tools } = &mut *scratch;
            let Lane { pipeline, fixed, sets, memories, .. } = &mut *self;
            let mut context = Context {
                pipeline,
                fixed,
                sets,
                memories,
                tools,
                now: moment.wall,
                instant: moment.instant,
                carried,
                released: Vec::new(),
                pause: &mut output.pause,
                changes: &mut output.changes,
                failure: None,
                failures: None,
            };
            let flow = run(&pipeline.steps, &mut at, entry, &mut context, observer);
            let (released, last) = (context.released, at.saturating_sub(1));
            let goes_on = match flow {
                Flow::Continue => true,
                Flow::Skip(steps) => {
                    at += steps;
                    true
                }
                Flow::Drop(reason) => {
                    output.drop(reason);
                    false
                }
                Flow::Held => false,
            };
            let is_through = at >= pipeline.steps.len();
            for held in released {
                self.resume(held, last, moment, scratch, output, observer);
            }
            match goes_on {
                true if is_through => return self.emit(moment.instant, scratch, output, observer),
                true => {}
                false => return,
            }
        }
    }

    /// Takes an entry that was held back at a step through those behind it.
    fn resume<O: Observer>(
        &mut self,
        held: Held,
        at: usize,
        moment: Moment,
        scratch: &mut Scratch,
        output: &mut Output,
        observer: &mut O,
    ) {
        let Held { mut entry, text, lines, tickets, .. } = held;
        entry.line = entry.store(&text);
        entry.forget_label_set();
        std::mem::swap(&mut scratch.entry, &mut entry);
        let pipeline = self.pipeline.clone();
        let step = &pipeline.steps[at];
        let of_others = std::mem::take(&mut output.changes);
        let flow = step.stage.resume(&mut scratch.entry);
        observer.resumed(step, lines, &scratch.entry, &pipeline, &self.fixed, &flow);
        match flow {
            Flow::Drop(reason) => output.drop(reason),
            _ => self.advance(at + 1, moment, &tickets, scratch, output, observer),
        }
        std::mem::swap(&mut scratch.entry, &mut entry);
        let changes = std::mem::replace(&mut output.changes, of_others);
        // The position rests behind the last of its chunks, or before all of them.
        if let Some(last) = tickets.last() {
            changes.count_with(last);
        }
        output.tickets.extend(tickets);
    }

    fn emit<O: Observer>(
        &mut self,
        now: Instant,
        scratch: &mut Scratch,
        output: &mut Output,
        observer: &mut O,
    ) {
        let entry = &mut scratch.entry;
        let Lane { pipeline, fixed, base, from_lines, sets, streams, .. } = self;
        let start = Start { pipeline, fixed, base, from_lines: *from_lines };
        let group = streams.group(start, entry, sets, now, &mut output.groups);
        let metadata = entry.metadata(&pipeline.names);
        output.groups.append(group, entry.timestamp, entry.line_bytes(), metadata);
        observer.emitted(entry, pipeline, fixed);
    }
}

impl Context<'_> {
    /// Says what the stage at hand cannot do for this entry.
    pub(crate) fn fail(&mut self, what: &'static str) {
        self.fail_with(what, || what.to_owned());
    }

    /// The same where more can be said to somebody who sees the line as well: `what` may be shown to others.
    pub(crate) fn fail_with(&mut self, what: &'static str, detail: impl FnOnce() -> String) {
        self.failure = self.failure.or(Some(what));
        if let Some(failures) = &mut self.failures {
            failures.push(detail());
        }
    }

    /// What a stage holds back.
    pub(crate) fn holds(&mut self, memory: usize) -> Option<&mut Holds> {
        match &mut self.memories[memory] {
            Memory::Holds(holds) => Some(holds),
            _ => None,
        }
    }

    /// The time remembered for the entry's label set.
    pub(crate) fn recall_time(&mut self, memory: usize, entry: &mut Entry) -> Option<UnixNanos> {
        match &self.memories[memory] {
            Memory::Times(times) => times.get(self.sets.number(entry)).copied(),
            _ => None,
        }
    }

    /// Remembers a time for the entry's label set.
    pub(crate) fn remember_time(&mut self, memory: usize, entry: &mut Entry, time: UnixNanos) {
        if let Memory::Times(times) = &mut self.memories[memory] {
            times.insert(self.sets.number(entry), time);
        }
    }

    /// Labels of the entry as they are now, the fixed ones included.
    pub(crate) fn labels(&self, entry: &Entry) -> Labels {
        labels(entry, self.pipeline, self.fixed).0
    }

    /// The series remembered for the entry's label set, and where what becomes of it is written down.
    pub(crate) fn series(
        &mut self,
        memory: usize,
        entry: &mut Entry,
    ) -> Option<(&Arc<Series>, &mut Changes)> {
        match &self.memories[memory] {
            Memory::Series(series) => Some((series.get(self.sets.number(entry))?, self.changes)),
            _ => None,
        }
    }

    /// Remembers a series for the entry's label set.
    pub(crate) fn remember_series(&mut self, memory: usize, entry: &mut Entry, found: Arc<Series>) {
        if let Memory::Series(series) = &mut self.memories[memory] {
            series.insert(self.sets.number(entry), found);
        }
    }
}

/// Runs steps from number `at` on, until one does anything else than let the line continue, or lets go on what was
/// held back. `at` is left behind the last one run.
fn run<'s, O: Observer>(
    steps: &'s [Step],
    at: &mut usize,
    entry: &mut Entry,
    context: &mut Context<'_>,
    observer: &mut O,
) -> Flow<'s> {
    while let Some(step) = steps.get(*at) {
        *at += 1;
        observer.before(step, entry, context);
        let flow = step.stage.apply(entry, context);
        observer.after(step, entry, context, &flow);
        if !(matches!(flow, Flow::Continue) && context.released.is_empty()) {
            return flow;
        }
    }
    Flow::Continue
}

/// All labels of an entry, and how many of their values had to be cut.
fn labels(entry: &Entry, pipeline: &Pipeline, fixed: &Labels) -> (Labels, usize) {
    let mut labels = if entry.without_fixed() { Labels::default() } else { fixed.clone() };
    let set = entry
        .labels()
        .map(|(name, value)| (&pipeline.names[name.0 as usize], String::from_utf8_lossy(value)));
    let cut = set.map(|(name, value)| labels.set(name, value)).filter(|cut| *cut).count();
    (labels, cut)
}
