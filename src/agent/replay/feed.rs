//! Brings archived entries to a client's batcher, no faster than is allowed.
//! In: a question, a place.  Out: handovers, a ticket each.  Owns: a chunk of entries, the pace.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep_until;

use crate::agent::replay::walk::{Place, Question, Walk, size};
use crate::batch::{self, Groups, Handover, Inbound};
use crate::clock::Instant;
use crate::custody::{Cursor, Effect, Head, Ledger, Track};
use crate::flow::Budget;
use crate::metrics::Tally;
use crate::pipeline::Inlet;
use crate::record::{ByteCount, Labels, Stream};
use crate::retention::{Entry, Stream as Archived};

/// Bytes that are handed on together, as a source's chunks are.
const CHUNK: usize = 256 * 1024;

/// What an entry takes besides its bytes.
const ENTRY_OVERHEAD: usize = 64;

/// Bytes that are read and not settled. No more than Loki takes at once by default (`ingestion_burst_size_mb` is 6), as all of
/// it is pushed at once when Loki answers again after an outage.
const IN_FLIGHT: ByteCount = ByteCount::mib(4);

/// Entries that go together.
pub(super) struct Chunk {
    groups: Groups,
    entries: u64,
    /// As they count towards the rate.
    bytes: u64,
    cost: usize,
    after: Place,
}

/// Where everything before is settled.
#[derive(Clone, Debug)]
pub(super) struct Reached(Arc<Mutex<Place>>);

/// A chunk is settled, and all before it.
#[derive(Debug)]
struct Mark {
    place: Place,
    reached: Reached,
}

/// How the archive ended.
#[derive(Debug)]
pub(super) enum End {
    /// All is handed on, up to this place if there was anything.
    Whole(Option<Place>),
    /// Something cannot be read, and nothing after it is handed on.
    Unreadable(String),
    /// Nobody wants more.
    Unwanted,
}

/// The stream that an archived one is replayed into, just as the client's batcher leaves it. Several may become one.
pub(super) fn labelled(archived: &Archived, more: &Labels, batch: &batch::Settings) -> Stream {
    let archived_labels: Labels =
        archived.labels.iter().map(|(name, value)| (name, value.as_str())).collect();
    let labels = more.clone().with_defaults(&archived_labels).with_defaults(&batch.external_labels);
    let tenant = archived.tenant.as_deref().or(batch.tenant.as_deref());
    Stream { text: labels.render(), labels, tenant: tenant.map(str::to_owned) }
}

/// Reads until the end, or until something cannot be read that is not among the `known` problems. Blocks.
pub(super) fn read(
    question: &Question,
    batch: &batch::Settings,
    place: Place,
    known: &HashSet<String>,
    chunks: &mpsc::Sender<Chunk>,
) -> End {
    let mut walk = match Walk::begin(question, place) {
        Ok(walk) => walk,
        Err(problem) => return End::Unreadable(problem),
    };
    let mut last = None;
    for number in 0.. {
        let mut gathering = Gathering::new(number, question, batch);
        let mut unreadable = None;
        while gathering.cost < CHUNK {
            match walk.next(&mut |_, _| {}) {
                Some(Ok(entry)) => gathering.add(&entry),
                Some(Err(problem)) if known.contains(&problem) => {}
                Some(Err(problem)) => {
                    unreadable = Some(problem);
                    break;
                }
                None => break,
            }
        }
        let is_last = gathering.cost < CHUNK;
        if gathering.entries > 0 {
            last = Some(walk.place.clone());
            if chunks.blocking_send(gathering.chunk(walk.place.clone())).is_err() {
                return End::Unwanted;
            }
        }
        if let Some(problem) = unreadable {
            return End::Unreadable(problem);
        }
        if is_last {
            break;
        }
    }
    End::Whole(last)
}

/// A chunk in the making.
struct Gathering<'q> {
    question: &'q Question,
    batch: &'q batch::Settings,
    groups: Groups,
    /// Groups by archived stream, and by the stream that it becomes: each has one group, so that its entries stay in order.
    known: HashMap<Arc<Archived>, usize>,
    opened: HashMap<(Option<String>, String), usize>,
    entries: u64,
    bytes: u64,
    cost: usize,
}

impl<'q> Gathering<'q> {
    fn new(number: u64, question: &'q Question, batch: &'q batch::Settings) -> Gathering<'q> {
        let (groups, known, opened) = (Groups::new(number), HashMap::new(), HashMap::new());
        Gathering { question, batch, groups, known, opened, entries: 0, bytes: 0, cost: 0 }
    }

    fn add(&mut self, entry: &Entry) {
        let group = match self.known.get(&entry.stream) {
            Some(group) => *group,
            None => {
                let stream = labelled(&entry.stream, &self.question.labels, self.batch);
                let key = (stream.tenant.clone(), stream.text.clone());
                let group =
                    self.opened.entry(key).or_insert_with(|| self.groups.open(Arc::new(stream), None));
                self.known.insert(entry.stream.clone(), *group);
                *group
            }
        };
        let metadata = entry.metadata.as_deref().map(pairs).unwrap_or_default();
        let pairs = metadata.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        self.groups.append(group, entry.time, &entry.line, pairs);
        self.entries += 1;
        self.bytes += size(entry);
        self.cost += size(entry) as usize + ENTRY_OVERHEAD;
    }

    fn chunk(self, after: Place) -> Chunk {
        let Gathering { groups, entries, bytes, cost, .. } = self;
        Chunk { groups, entries, bytes, cost, after }
    }
}

/// Structured metadata as the archive has it. What is no object of texts, which only a bug could write, stays visible.
fn pairs(metadata: &str) -> BTreeMap<String, String> {
    serde_json::from_str(metadata).unwrap_or_else(|_| [("metadata".to_owned(), metadata.to_owned())].into())
}

/// Hands chunks on until there are no more. `rate` is in bytes a second. Cancel-safe: a chunk that is not handed on is not
/// settled.
pub(super) async fn feed(mut chunks: mpsc::Receiver<Chunk>, inlet: Inlet, rate: u64, reached: Reached) {
    let budget = Budget::new(IN_FLIGHT);
    let track: Arc<Track> = Ledger::default().track("replay", "replay");
    let mut next = Instant::now();
    while let Some(Chunk { groups, entries, bytes, cost, after }) = chunks.recv().await {
        sleep_until(next).await;
        let share = budget.take(cost).await;
        next = next.max(Instant::now()) + Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        // The mark says where it ends.
        let cursor = Cursor::File { offset: groups.chunk(), head: Head::default() };
        let ticket = track.admit(cursor, share);
        ticket.attach(Box::new(Mark { place: after, reached: reached.clone() }));
        inlet.received.add(entries as f64);
        let entries = Tally::new(&inlet.in_flight, entries);
        let waiting = Tally::new(&inlet.queues.handovers, 1);
        let handover = Handover { groups: groups.finish(), tickets: vec![ticket], cost, entries, waiting };
        if inlet.send(Inbound::Entries(handover)).await.is_err() {
            return;
        }
    }
}

impl Reached {
    pub(super) fn new(place: Place) -> Reached {
        Reached(Arc::new(Mutex::new(place)))
    }

    pub(super) fn place(&self) -> Place {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Effect for Mark {
    fn commit(&self) {
        self.place.clone_into(&mut self.reached.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
