//! A lane: the pipeline as one target's lines with one starting label set go through it.
//! In: lines.  Out: encoded entries in their stream's group.  Owns: what stages remember between lines of the lane,
//! and the cache from label values to streams; both bounded.

use std::collections::HashMap;
use std::sync::Arc;

use crate::batch::Groups;
use crate::metrics::Series;
use crate::pipeline::compile::Pipeline;
use crate::pipeline::entry::{Base, Entry};
use crate::pipeline::json_path::Extraction;
use crate::pipeline::stages::{Flow, Stage};
use crate::record::{Labels, Stream, UnixNanos};

/// Label sets a lane remembers; a lane with more starts over, which costs time but loses nothing.
const CACHED_STREAMS: usize = 1000;

/// Label sets whose last good timestamp is remembered, as in Promtail.
const CACHED_TIMES: usize = 10_000;

/// A buffer above this size is given back after the chunk.
const SCRATCH_LIMIT: usize = 512 * 1024;

/// What a stage asks a lane to remember for it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MemoryKind {
    Times,
    Series,
}

/// What a lane remembers for one stage, by label set.
#[derive(Debug)]
pub(crate) enum Memory {
    Times(HashMap<Box<[u8]>, UnixNanos, foldhash::fast::RandomState>),
    Series(HashMap<Box<[u8]>, Arc<Series>, foldhash::fast::RandomState>),
}

/// The pipeline for one target and starting label set.
#[derive(Debug)]
pub(crate) struct Lane {
    pipeline: Arc<Pipeline>,
    /// Labels that no stage speaks of: the same on every line.
    fixed: Labels,
    base: Base,
    memories: Vec<Memory>,
    streams: HashMap<Box<[u8]>, Cached, foldhash::fast::RandomState>,
}

#[derive(Debug)]
struct Cached {
    stream: Arc<Stream>,
    /// Number of the chunk that last had this stream, and the group it got there.
    chunk: u64,
    group: usize,
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
    pub(crate) memories: &'l mut [Memory],
    pub(crate) tools: &'l mut Tools,
    pub(crate) now: UnixNanos,
}

impl Lane {
    /// A lane for lines that start with `labels`.
    pub(crate) fn new(pipeline: Arc<Pipeline>, labels: &Labels) -> Lane {
        let mut fixed = labels.clone();
        let spoken: Vec<Option<String>> = pipeline.names.iter().map(|name| fixed.remove(name)).collect();
        let spoken: Vec<Option<&str>> = spoken.iter().map(Option::as_deref).collect();
        let base = Base::new(&spoken);
        let memories = pipeline.memories.iter().map(|kind| Memory::new(*kind)).collect();
        Lane { pipeline, fixed, base, memories, streams: HashMap::default() }
    }

    /// Makes `scratch` ready for lines of this lane; needed whenever another lane used it.
    pub(crate) fn enter(&self, scratch: &mut Scratch) {
        scratch.entry.load(&self.base);
    }

    /// Runs one line; what is left of it is added to `groups`.
    pub(crate) fn run(
        &mut self,
        line: &[u8],
        timestamp: UnixNanos,
        now: UnixNanos,
        scratch: &mut Scratch,
        groups: &mut Groups,
    ) {
        let Scratch { entry, tools } = scratch;
        entry.begin(&self.base, line, timestamp);
        let pipeline = self.pipeline.clone();
        let mut context =
            Context { pipeline: &pipeline, fixed: &self.fixed, memories: &mut self.memories, tools, now };
        if let Flow::Drop(reason) = run(&pipeline.stages, entry, &mut context) {
            reason.count();
            return;
        }
        let group = self.group(entry, &mut tools.key, groups);
        let metadata = entry.metadata().map(|(name, value)| (&*pipeline.names[name.0 as usize], value));
        groups.append(group, entry.timestamp, entry.line_bytes(), metadata);
        entry.shrink(SCRATCH_LIMIT);
    }

    fn group(&mut self, entry: &Entry, key: &mut Vec<u8>, groups: &mut Groups) -> usize {
        entry.label_key(key);
        if let Some(cached) = self.streams.get_mut(key.as_slice()) {
            if cached.chunk != groups.chunk() {
                cached.chunk = groups.chunk();
                cached.group = groups.open(cached.stream.clone());
            }
            return cached.group;
        }
        let (labels, cut) = labels(entry, &self.pipeline, &self.fixed);
        self.pipeline.label_values_cut.add(cut as f64);
        let stream = Arc::new(Stream::new(labels));
        let group = groups.open(stream.clone());
        if self.streams.len() >= CACHED_STREAMS {
            self.streams.clear();
        }
        self.streams.insert(key.as_slice().into(), Cached { stream, chunk: groups.chunk(), group });
        group
    }
}

impl Memory {
    fn new(kind: MemoryKind) -> Memory {
        match kind {
            MemoryKind::Times => Memory::Times(HashMap::default()),
            MemoryKind::Series => Memory::Series(HashMap::default()),
        }
    }
}

impl Context<'_> {
    /// The time remembered for the entry's label set.
    pub(crate) fn recall_time(&mut self, memory: usize, entry: &Entry) -> Option<UnixNanos> {
        entry.label_key(&mut self.tools.key);
        match &self.memories[memory] {
            Memory::Times(times) => times.get(self.tools.key.as_slice()).copied(),
            Memory::Series(_) => None,
        }
    }

    /// Remembers a time for the entry's label set.
    pub(crate) fn remember_time(&mut self, memory: usize, entry: &Entry, time: UnixNanos) {
        entry.label_key(&mut self.tools.key);
        let Memory::Times(times) = &mut self.memories[memory] else { return };
        if let Some(known) = times.get_mut(self.tools.key.as_slice()) {
            *known = time;
            return;
        }
        if times.len() >= CACHED_TIMES {
            times.clear();
        }
        times.insert(self.tools.key.as_slice().into(), time);
    }

    /// Labels of the entry as they are now, the fixed ones included.
    pub(crate) fn labels(&self, entry: &Entry) -> Labels {
        labels(entry, self.pipeline, self.fixed).0
    }

    /// The series remembered for the entry's label set.
    pub(crate) fn recall_series(&mut self, memory: usize, entry: &Entry) -> Option<Arc<Series>> {
        entry.label_key(&mut self.tools.key);
        match &self.memories[memory] {
            Memory::Series(series) => series.get(self.tools.key.as_slice()).cloned(),
            Memory::Times(_) => None,
        }
    }

    /// Remembers a series under the key of the last `recall_series`.
    pub(crate) fn remember_series(&mut self, memory: usize, found: Arc<Series>) {
        let Memory::Series(series) = &mut self.memories[memory] else { return };
        if series.len() >= CACHED_STREAMS {
            series.clear();
        }
        series.insert(self.tools.key.as_slice().into(), found);
    }
}

/// Runs stages in order until one drops the line.
pub(crate) fn run<'s>(
    stages: &'s [Box<dyn Stage>],
    entry: &mut Entry,
    context: &mut Context<'_>,
) -> Flow<'s> {
    for stage in stages {
        let flow = stage.apply(entry, context);
        if !matches!(flow, Flow::Continue) {
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
