//! The streams of a lane, found by the labels that stages speak of.
//! In: an entry.  Out: its stream's group in the chunk, and labels of the entry that made too many streams moved off it.
//! Owns: the streams met lately, a bounded number.

use std::sync::Arc;

use crate::batch::Groups;
use crate::clock::Instant;
use crate::pipeline::compile::Pipeline;
use crate::pipeline::entry::{Base, Entry, Span, Symbol};
use crate::pipeline::guard::{Above, Guard, Seen};
use crate::pipeline::lane::label_sets::{BySet, LabelSets};
use crate::pipeline::limits::floor_char_boundary;
use crate::record::{Labels, MAX_LABEL_VALUE, Stream};

/// A key that begins with it ends with the fixed labels that have moved.
const FIXED_MOVED: u8 = 2;

#[derive(Debug)]
pub(super) struct Streams {
    cached: BySet<Cached>,
    /// What the guard has for each of the fixed labels.
    fixed: Vec<u64>,
    /// And for the label that is given where none is left.
    alone: u64,
}

#[derive(Debug)]
struct Cached {
    stream: Arc<Stream>,
    /// `None` where the guard does not count it.
    seen: Option<Arc<Seen>>,
    /// Number of the chunk that last had this stream, and the group it got there.
    chunk: u64,
    group: usize,
    /// Line bytes it had there.
    bytes: usize,
}

/// What the lane's entries start from.
#[derive(Clone, Copy)]
pub(super) struct Start<'l> {
    pub(super) pipeline: &'l Pipeline,
    pub(super) fixed: &'l Labels,
    pub(super) base: &'l Base,
    pub(super) from_lines: bool,
}

/// What the guard said of an entry.
struct Guarded {
    seen: Option<Arc<Seen>>,
    /// Places of fixed labels that have moved.
    fixed: Vec<usize>,
    has_moved: bool,
}

impl Streams {
    pub(super) fn new(pipeline: &Pipeline, fixed: &Labels) -> Streams {
        let mut streams = Streams { cached: BySet::default(), fixed: Vec::new(), alone: 0 };
        if let Some(guard) = &pipeline.guard {
            let hash = |(name, value): (&str, &str)| guard.hash(name, value.as_bytes());
            streams.fixed = fixed.iter().map(hash).collect();
            streams.alone = hash(("job", &pipeline.job));
        }
        streams
    }

    /// The group of the entry's stream.
    pub(super) fn group(
        &mut self,
        start: Start<'_>,
        entry: &mut Entry,
        sets: &mut LabelSets,
        now: Instant,
        groups: &mut Groups,
    ) -> usize {
        let guard = start.pipeline.guard.as_ref();
        let length = entry.line_bytes().len();
        if let Some(set) = sets.known(entry)
            && let Some(group) = self.find((set, length), guard, now, groups)
        {
            return group;
        }
        let guarded = guard.map(|guard| self.ask(guard, start, entry, now));
        let (set, seen, moved) = match guarded {
            Some(guarded) if guarded.has_moved => {
                // What moves is seldom met twice: remembered is the stream that is left, of which there are few.
                let set = sets.number_of(entry, |key| mark_moved(key, &guarded.fixed));
                if let Some(group) = self.find((set, length), guard, now, groups) {
                    return group;
                }
                (set, guarded.seen, Some(guarded.fixed))
            }
            guarded => (sets.number(entry), guarded.and_then(|guarded| guarded.seen), None),
        };
        let stream = Arc::new(Stream::new(self::labels(start, entry, moved.as_deref())));
        let (chunk, group) = (groups.chunk(), groups.open(stream.clone(), None));
        self.cached.insert(set, Cached { stream, seen, chunk, group, bytes: length });
        group
    }

    fn find(
        &mut self,
        (set, length): (usize, usize),
        guard: Option<&Guard>,
        now: Instant,
        groups: &mut Groups,
    ) -> Option<usize> {
        let cached = self.cached.get_mut(set)?;
        if cached.chunk != groups.chunk() {
            // Once a chunk is often enough for the guard not to forget what is in use.
            if let (Some(guard), Some(seen)) = (guard, &cached.seen)
                && !guard.still_knows(seen, now)
            {
                return None;
            }
            cached.chunk = groups.chunk();
            cached.group = groups.open(cached.stream.clone(), Some(std::mem::take(&mut cached.bytes)));
        }
        cached.bytes += length;
        Some(cached.group)
    }

    /// Asks the guard, and moves the labels that it does not let stay.
    fn ask(&self, guard: &Guard, start: Start<'_>, entry: &mut Entry, now: Instant) -> Guarded {
        let Start { pipeline, fixed, base, from_lines } = start;
        let names = &pipeline.names;
        let mut asked = guard.asked(&pipeline.job, self.alone);
        // An empty value is no label to Loki.
        for (symbol, value) in entry.labels().filter(|(_, value)| !value.is_empty()) {
            let name = &*names[usize::from(symbol.0)];
            let hash = guard.hash(name, value);
            let is_of_target = !from_lines && base.label(symbol) == Some(value);
            match name.starts_with("__") || is_of_target {
                true => asked.keep(name, hash),
                false => asked.offer(usize::from(symbol.0), name, value, hash),
            }
        }
        if !entry.without_fixed() {
            let labels = fixed.iter().zip(&self.fixed).enumerate();
            for (place, ((name, value), hash)) in labels.filter(|(_, ((_, value), _))| !value.is_empty()) {
                match name.starts_with("__") || !from_lines {
                    true => asked.keep(name, *hash),
                    false => asked.offer(names.len() + place, name, value.as_bytes(), *hash),
                }
            }
        }
        let seen = guard.decide(&mut asked, now);
        let moved: Vec<usize> = asked.moved().collect();
        let mut guarded = Guarded { seen, fixed: Vec::new(), has_moved: !moved.is_empty() };
        for number in moved {
            match number.checked_sub(names.len()) {
                // A number below that of the names is a symbol.
                None => move_label(Symbol(number as u16), guard.above(), pipeline, entry),
                Some(place) => {
                    guarded.fixed.push(place);
                    if let Some((name, value)) = fixed.iter().nth(place)
                        && guard.above() == Above::StructuredMetadata
                        && !entry.has_metadata(name, names)
                    {
                        entry.give_metadata(name, value);
                    }
                }
            }
        }
        guarded
    }
}

/// Takes a label off an entry's stream.
fn move_label(symbol: Symbol, above: Above, pipeline: &Pipeline, entry: &mut Entry) {
    let Some(value) = entry.label(symbol) else { return };
    entry.set_label(symbol, None);
    if above == Above::Discard || entry.has_metadata(&pipeline.names[usize::from(symbol.0)], &pipeline.names)
    {
        return;
    }
    // The same value that the label would have had.
    let mut value = entry.searchable(value);
    if entry.bytes(value).len() > MAX_LABEL_VALUE {
        let end = floor_char_boundary(entry.bytes(value), MAX_LABEL_VALUE);
        value = Span { end: value.start + end as u32, ..value };
        pipeline.label_values_cut.add(1.0);
    }
    entry.add_metadata(symbol, value);
}

/// Makes the key one of an entry without these of the fixed labels. Ends with their number, so that no two mean the same.
fn mark_moved(key: &mut Vec<u8>, fixed: &[usize]) {
    if fixed.is_empty() {
        return;
    }
    key[0] = FIXED_MOVED;
    for place in fixed.iter().chain([&fixed.len()]) {
        key.extend_from_slice(&(*place as u32).to_le_bytes());
    }
}

/// The labels of the entry's stream; `moved` are places of fixed labels, where any label has moved.
fn labels(start: Start<'_>, entry: &Entry, moved: Option<&[usize]>) -> Labels {
    let (mut labels, cut) = super::labels(entry, start.pipeline, start.fixed);
    start.pipeline.label_values_cut.add(cut as f64);
    let Some(moved) = moved else { return labels };
    for (name, _) in moved.iter().filter_map(|place| start.fixed.iter().nth(*place)) {
        labels.remove(name);
    }
    // Loki takes no line without a label.
    if labels.iter().all(|(name, value)| name.starts_with("__") || value.is_empty()) {
        labels.set("job", &*start.pipeline.job);
    }
    labels
}
