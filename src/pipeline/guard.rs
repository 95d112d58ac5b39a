//! Keeps a label whose values have no bound from making streams without bound, which would take Loki down.
//! In: the labels of entries whose stream a lane does not know.  Out: which of them come off the stream.  Owns: what is
//! known of streams and label values, shared by all lanes and bounded by the limits.
//!
//! Streams and values are known by hashes with a seed of this agent. Two that have the same are taken for one, which
//! lets one more through; nothing is lost by it. Who writes lines does not know the seed.
//!
//! What is known is saved with the positions: lines that a kill makes the agent read again lose the labels they lost before,
//! and a restart does not let as many streams again through.

mod known;
#[cfg(test)]
mod properties;

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;
use tracing::warn;

use crate::clock::{self, Instant, Moment};
use crate::metrics::Own;
use crate::pipeline::guard::known::{IDLE, Known, Reason, Warning};

pub(crate) use known::{SavedGuard, Seen};

/// What becomes of a value that is one too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Above {
    /// It goes to structured metadata of its entry.
    StructuredMetadata,
    /// It is left out; the line still has what it was made of.
    Discard,
}

/// How many there may be.
#[derive(Clone, Debug)]
pub(crate) struct GuardSettings {
    /// If not, it is not asked.
    pub(crate) enabled: bool,
    pub(crate) max_streams: usize,
    /// Values of each label.
    pub(crate) max_label_values: usize,
    pub(crate) above: Above,
}

/// Clones share what they know.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    settings: GuardSettings,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    known: Mutex<Known>,
    seed: AtomicU64,
    /// Times are seconds since then, and [`IDLE`].
    start: Moment,
}

/// The labels of an entry.
#[derive(Debug)]
pub(crate) struct Asked<'e> {
    /// Whose entry it is, for the warning.
    job: &'e str,
    /// The stream's hash as far as it cannot change: the sum over its labels, so their order does not matter.
    rest: u64,
    /// What is added to it where no label is left.
    alone: u64,
    /// Loki sees a label that cannot move.
    is_anchored: bool,
    candidates: Vec<Candidate<'e>>,
}

/// A label that may move.
#[derive(Debug)]
struct Candidate<'e> {
    /// The asker's number for it.
    number: usize,
    name: &'e str,
    value: &'e [u8],
    hash: u64,
    /// This value is known.
    is_known: bool,
    /// How many are known.
    values: usize,
    moves: bool,
}

/// Its hash is saved, to tell whether the others can be used.
const CHECK: &str = "check";

impl Guard {
    /// One that knows nothing, or what the one that runs already knows.
    pub(crate) fn beside(running: Option<&Guard>, settings: GuardSettings, own: &Own) -> Guard {
        let new = || Shared {
            known: Mutex::new(Known::new(own.cardinality.clone())),
            // Without random numbers the seed is one that others may know.
            seed: AtomicU64::new(getrandom::u64().unwrap_or_default()),
            start: clock::moment(),
        };
        Guard { settings, shared: running.map_or_else(|| Arc::new(new()), |running| running.shared.clone()) }
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.settings.enabled
    }

    /// Says in metrics how many streams there may be. One that is not asked knows nothing.
    pub(crate) fn announce(&self, own: &Own) {
        let limit = if self.settings.enabled { self.settings.max_streams } else { 0 };
        own.cardinality.streams_limit.set(limit as f64);
        if !self.settings.enabled {
            self.known().clear();
        }
    }

    /// What becomes of values that move.
    pub(crate) fn above(&self) -> Above {
        self.settings.above
    }

    /// What stands for a label and its value.
    pub(crate) fn hash(&self, name: &str, value: &[u8]) -> u64 {
        hash(self.shared.seed.load(Ordering::Relaxed), name, value)
    }

    /// A question about an entry of `job`, whose stream is `alone` where no label is left.
    pub(crate) fn asked<'e>(&self, job: &'e str, alone: u64) -> Asked<'e> {
        Asked { job, rest: 0, alone, is_anchored: false, candidates: Vec::new() }
    }

    /// Decides which labels move. What is given says that the stream of the others is still known, and has to be asked
    /// about it now and then; it is nothing where there are far too many streams to know them.
    pub(crate) fn decide(&self, asked: &mut Asked<'_>, now: Instant) -> Option<Arc<Seen>> {
        let decision = self.known().decide(&self.settings, asked, self.seconds(now));
        if let Some(warning) = decision.warning {
            self.warn(&warning, asked.job);
        }
        decision.seen
    }

    /// The stream is in use. False where it was forgotten: then it has to be asked for again.
    pub(crate) fn still_knows(&self, seen: &Seen, now: Instant) -> bool {
        seen.touch(self.seconds(now))
    }

    /// Forgets what was not met for long.
    pub(crate) fn sweep(&self, now: Instant) {
        self.known().sweep(self.seconds(now));
    }

    /// What is known, to go on from; `None` where there is nothing.
    pub(crate) fn save(&self) -> Option<SavedGuard> {
        let seed = self.shared.seed.load(Ordering::Relaxed);
        self.known().save(seed, hash(seed, CHECK, b""), self.start_of_times())
    }

    /// Goes on from what was saved. To be called before anybody asks.
    pub(crate) fn restore(&self, saved: &SavedGuard) {
        // Another version may have other hashes.
        if self.settings.enabled && saved.check == hash(saved.seed, CHECK, b"") {
            self.shared.seed.store(saved.seed, Ordering::Relaxed);
            self.known().restore(saved, self.start_of_times(), self.settings.max_streams);
        }
    }

    fn seconds(&self, now: Instant) -> u64 {
        IDLE + now.saturating_duration_since(self.shared.start.instant).as_secs()
    }

    /// What the calendar says at second 0, in seconds.
    fn start_of_times(&self) -> i64 {
        self.shared.start.wall.seconds().saturating_sub(IDLE as i64)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.shared.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn warn(&self, warning: &Warning, job: &str) {
        let Warning { label, values, entries, samples, reason } = warning;
        let (limit, samples) = (self.settings.max_label_values, samples.join(", "));
        let streams = self.settings.max_streams;
        let become_of_them = match self.settings.above {
            Above::StructuredMetadata => "go to structured metadata",
            Above::Discard => "are left out",
        };
        match reason {
            Reason::Values => warn!(
                label,
                job,
                values,
                limit,
                entries,
                samples,
                "a label has too many values, new ones {become_of_them}"
            ),
            Reason::Streams => warn!(
                label,
                job,
                values,
                streams,
                entries,
                samples,
                "there are too many streams, values of a label {become_of_them}"
            ),
            Reason::NothingMoves => {
                warn!(
                    job,
                    streams, "there are too many streams, one whose labels cannot move is let through"
                );
            }
        }
    }
}

fn hash(seed: u64, name: &str, value: &[u8]) -> u64 {
    SeedableRandomState::with_seed(seed, SharedSeed::global_fixed()).hash_one((name, value))
}

impl<'e> Asked<'e> {
    /// A label that stays.
    pub(crate) fn keep(&mut self, name: &str, hash: u64) {
        self.rest = self.rest.wrapping_add(hash);
        self.is_anchored |= !name.starts_with("__");
    }

    /// A label that may move.
    pub(crate) fn offer(&mut self, number: usize, name: &'e str, value: &'e [u8], hash: u64) {
        let (is_known, values, moves) = (false, 0, false);
        self.candidates.push(Candidate { number, name, value, hash, is_known, values, moves });
    }

    /// Labels that move, by the asker's numbers, in the order they were offered.
    pub(crate) fn moved(&self) -> impl Iterator<Item = usize> {
        self.candidates.iter().filter(|label| label.moves).map(|label| label.number)
    }

    /// The stream that is left.
    fn stream(&self) -> u64 {
        let is_alone = !self.is_anchored && self.staying().next().is_none();
        let start = if is_alone { self.rest.wrapping_add(self.alone) } else { self.rest };
        self.staying().fold(start, |sum, label| sum.wrapping_add(label.hash))
    }

    fn staying(&self) -> impl Iterator<Item = &Candidate<'e>> {
        self.candidates.iter().filter(|label| !label.moves)
    }

    /// The label to move next: the one with the most values. What has but one value makes no streams.
    fn widest(&mut self) -> Option<&mut Candidate<'e>> {
        let may =
            self.candidates.iter_mut().filter(|label| !label.moves && (label.values > 1 || !label.is_known));
        may.max_by(|a, b| a.values.cmp(&b.values).then_with(|| b.name.cmp(a.name)))
    }
}
