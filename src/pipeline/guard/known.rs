//! What is known of streams and of the values their labels have.
//! In: labels.  Out: which of them move.  Owns: a hash for each stream and value met in the last hour, and a few values to show.

mod saved;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::flow::Seldom;
use crate::metrics::{Cardinality, Series};
use crate::pipeline::guard::{Asked, Candidate, GuardSettings};

pub(crate) use saved::SavedGuard;

/// What nobody has written to for so many seconds is forgotten. Loki closes a stream that is idle for half of that.
pub(super) const IDLE: u64 = 3600;

/// Seconds between two looks for what is idle.
const SWEEP: u64 = 60;

/// Label names that are counted each by itself; they come from outside where others push. The rest counts together.
const MOST_NAMES: usize = 1000;

/// Stands for that rest.
const OTHERS: &str = "";

/// Values shown in a warning, and how much of each.
const SAMPLES: usize = 3;
const SAMPLE_CHARS: usize = 32;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

#[derive(Debug)]
pub(super) struct Known {
    streams: Map<u64, Stream>,
    /// Only those that some known stream has.
    values: Map<u64, Value>,
    names: Map<Arc<str>, Name>,
    swept: u64,
    let_through: Seldom,
    metrics: Cardinality,
}

#[derive(Debug)]
struct Stream {
    seen: Arc<Seen>,
    /// Of its labels that could move.
    values: Box<[u64]>,
}

#[derive(Debug)]
struct Value {
    name: Arc<str>,
    /// How many have it.
    streams: usize,
}

/// A label.
#[derive(Debug)]
struct Name {
    values: usize,
    /// The values that came last.
    newest: Vec<String>,
    active: Arc<Series>,
    moved: Arc<Series>,
    /// A value has moved since the last sweep.
    is_busy: bool,
    warned: Seldom,
}

/// When a stream was met last, as whoever has it in a cache says without a lock.
#[derive(Debug)]
pub(crate) struct Seen(AtomicU64);

/// The time of a stream that was forgotten.
const GONE: u64 = u64::MAX;

pub(super) struct Decision {
    pub(super) seen: Option<Arc<Seen>>,
    pub(super) warning: Option<Warning>,
}

/// Something to say.
#[derive(Debug)]
pub(super) struct Warning {
    pub(super) label: String,
    pub(super) values: usize,
    /// Since it was said before.
    pub(super) entries: u64,
    pub(super) samples: Vec<String>,
    pub(super) reason: Reason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// A label has too many values.
    Values,
    /// There are too many streams.
    Streams,
    /// There are, and nothing can be done.
    NothingMoves,
}

impl Known {
    pub(super) fn new(metrics: Cardinality) -> Known {
        let (streams, values, names) = (Map::default(), Map::default(), Map::default());
        Known { streams, values, names, swept: 0, let_through: Seldom::default(), metrics }
    }

    pub(super) fn decide(&mut self, settings: &GuardSettings, asked: &mut Asked<'_>, now: u64) -> Decision {
        self.sweep(now);
        // Whatever its values are worth: streams there are go on.
        if let Some(seen) = self.find(asked.stream(), now) {
            return Decision { seen: Some(seen), warning: None };
        }
        for label in &mut asked.candidates {
            label.is_known = self.values.contains_key(&label.hash);
            label.values = self.values_of(label.name);
            label.moves = !label.is_known && label.values >= settings.max_label_values;
        }
        let (seen, mut warning) = self.place(settings, asked, now);
        for label in asked.candidates.iter().filter(|label| label.moves) {
            let told = self.count_moved(label, settings.max_label_values);
            warning = warning.or(told);
        }
        Decision { seen, warning }
    }

    /// Finds room for the entry's stream, or moves labels until there is.
    fn place(
        &mut self,
        settings: &GuardSettings,
        asked: &mut Asked<'_>,
        now: u64,
    ) -> (Option<Arc<Seen>>, Option<Warning>) {
        let most = settings.max_streams;
        loop {
            let id = asked.stream();
            if let Some(seen) = self.find(id, now) {
                return (Some(seen), None);
            }
            // The last tenth is for streams that have lost labels, half of it for those that have lost more than one, and so
            // on: those before must not take the room of those that are few.
            let moved = asked.moved().count() as u32;
            let kept_free = (most / 10).checked_shr(moved).unwrap_or(0);
            let room = if asked.widest().is_some() { most - kept_free } else { most };
            if self.streams.len() < room {
                return (Some(self.remember(id, asked, now)), None);
            }
            match asked.widest() {
                Some(label) => label.moves = true,
                None => break,
            }
        }
        self.metrics.streams_over_limit.add(1.0);
        let id = asked.stream();
        let seen = (self.streams.len() < most.saturating_mul(2)).then(|| self.remember(id, asked, now));
        let (label, samples, reason) = (String::new(), Vec::new(), Reason::NothingMoves);
        let warning = self.let_through.speak();
        (seen, warning.map(|silent| Warning { label, values: 0, entries: silent + 1, samples, reason }))
    }

    fn find(&self, id: u64, now: u64) -> Option<Arc<Seen>> {
        let stream = self.streams.get(&id).filter(|stream| stream.seen.touch(now))?;
        Some(stream.seen.clone())
    }

    fn remember(&mut self, id: u64, asked: &Asked<'_>, now: u64) -> Arc<Seen> {
        self.keep(id, now, asked.staying().map(|label| (label.name, label.hash, Some(label.value))))
    }

    /// Keeps in mind a stream with these labels, each with its name, hash and, where there is one, a value to show.
    fn keep<'l>(
        &mut self,
        id: u64,
        met: u64,
        labels: impl Iterator<Item = (&'l str, u64, Option<&'l [u8]>)>,
    ) -> Arc<Seen> {
        let values = labels.map(|(name, hash, shown)| {
            self.use_value(name, hash, shown);
            hash
        });
        let values = values.collect();
        let seen = Arc::new(Seen(AtomicU64::new(met)));
        self.streams.insert(id, Stream { seen: seen.clone(), values });
        self.metrics.streams_active.add(1.0);
        seen
    }

    fn use_value(&mut self, name: &str, hash: u64, shown: Option<&[u8]>) {
        if let Some(value) = self.values.get_mut(&hash) {
            value.streams += 1;
            return;
        }
        let (key, name) = self.name(name);
        name.values += 1;
        name.active.add(1.0);
        if let Some(shown) = shown {
            if name.newest.len() >= SAMPLES - 1 {
                name.newest.remove(0);
            }
            name.newest.push(sample(shown));
        }
        self.values.insert(hash, Value { name: key, streams: 1 });
    }

    fn count_moved(&mut self, label: &Candidate<'_>, max_label_values: usize) -> Option<Warning> {
        let (_, name) = self.name(label.name);
        name.moved.add(1.0);
        name.is_busy = true;
        let silent = name.warned.speak()?;
        let is_full = !label.is_known && label.values >= max_label_values;
        Some(Warning {
            label: label.name.to_owned(),
            values: label.values,
            entries: silent + 1,
            samples: name.newest.iter().cloned().chain([sample(label.value)]).collect(),
            reason: if is_full { Reason::Values } else { Reason::Streams },
        })
    }

    fn values_of(&self, name: &str) -> usize {
        let others = || self.names.get(OTHERS).filter(|_| self.names.len() >= MOST_NAMES);
        self.names.get(name).or_else(others).map_or(0, |name| name.values)
    }

    /// What is known of a label, or of those that are counted together.
    fn name(&mut self, name: &str) -> (Arc<str>, &mut Name) {
        let has_room = self.names.len() < MOST_NAMES;
        let key = if has_room || self.names.contains_key(name) { name } else { OTHERS };
        let key = match self.names.get_key_value(key) {
            Some((key, _)) => key.clone(),
            None => key.into(),
        };
        let (metrics, label) = (&self.metrics, Some(&*key).filter(|key| *key != OTHERS));
        let entry = self.names.entry(key.clone()).or_insert_with(|| Name {
            values: 0,
            newest: Vec::new(),
            active: metrics.values_active(label),
            moved: metrics.values_moved(label),
            is_busy: false,
            warned: Seldom::default(),
        });
        (key, entry)
    }

    /// Forgets everything. Who has a stream in a cache learns of it.
    pub(super) fn clear(&mut self) {
        self.streams.values().for_each(|stream| stream.seen.0.store(GONE, Ordering::SeqCst));
        self.metrics.streams_active.add(-(self.streams.len() as f64));
        self.names.values().for_each(|name| name.active.add(-(name.values as f64)));
        self.streams.clear();
        self.values.clear();
        self.names.clear();
    }

    /// Forgets streams that are idle and the values that only they had. Does nothing where that was done just now.
    pub(super) fn sweep(&mut self, now: u64) {
        if now < self.swept + SWEEP {
            return;
        }
        self.swept = now;
        let Known { streams, values, names, metrics, .. } = self;
        let before = streams.len();
        streams.retain(|_, stream| {
            let is_idle = stream.seen.forget_before(now.saturating_sub(IDLE));
            if is_idle {
                stream.values.iter().for_each(|value| release(*value, values, names));
            }
            !is_idle
        });
        metrics.streams_active.add(streams.len() as f64 - before as f64);
        names.retain(|_, name| name.values > 0 || std::mem::take(&mut name.is_busy));
    }
}

fn release(hash: u64, values: &mut Map<u64, Value>, names: &mut Map<Arc<str>, Name>) {
    let Some(value) = values.get_mut(&hash) else { return };
    value.streams -= 1;
    if value.streams == 0 {
        if let Some(name) = names.get_mut(&value.name) {
            name.values -= 1;
            name.active.add(-1.0);
        }
        values.remove(&hash);
    }
}

/// Gauges say what is known, and nothing is known any more.
impl Drop for Known {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Seen {
    /// Says that it is met now; false where it is forgotten.
    #[must_use]
    pub(super) fn touch(&self, now: u64) -> bool {
        let touched = |at: u64| (at != GONE).then(|| at.max(now));
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, touched).is_ok()
    }

    /// Forgets what was not met since; false where it was.
    fn forget_before(&self, limit: u64) -> bool {
        let gone = |at: u64| (at < limit).then_some(GONE);
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, gone).is_ok()
    }
}

fn sample(value: &[u8]) -> String {
    String::from_utf8_lossy(&value[..value.len().min(4 * SAMPLE_CHARS)]).chars().take(SAMPLE_CHARS).collect()
}
