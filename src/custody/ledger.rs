//! The ledger: which chunks of which target are still unanswered for.
//! In: `admit` for each chunk read, `settle` for each ticket.  Out: the committed cursor of each track.
//! Owns: a track per target; a track's slots are bounded by the byte budget, which each open slot holds a share of.

mod backlog;
mod claim;
mod effect;
mod imported;
mod passing;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::{self, Instant};
use crate::custody::Cursor;
use crate::flow::Share;
use crate::record::UnixNanos;

use effect::Cut;

pub(crate) use backlog::Backlog;
pub(crate) use claim::Claim;
pub(crate) use effect::Effect;
pub(crate) use imported::{Imported, in_promtails_words};

/// How a ticket's lines ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Loki has them (or the terminal, where there is no Loki).
    Delivered,
    /// On disk, to be sent from there.
    Spooled,
    /// Loki refused them for good; counted.
    Refused,
    /// A rule of the configuration removed all of them; counted.
    DroppedByRule,
    /// Nobody knows. The position stays before them.
    Lost,
}

/// All targets ever read and not yet forgotten, by key (`docker:<id>`, `file:<device>:<inode>`), and what Promtail's
/// file says of targets (`promtail:<its key>`).
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    tracks: Mutex<BTreeMap<String, Arc<Track>>>,
    cut: Cut,
}

/// One target's account.
#[derive(Debug)]
pub(crate) struct Track {
    state: Mutex<State>,
    cut: Cut,
    /// Told when nothing is open any more.
    settled: Notify,
}

#[derive(Debug)]
struct State {
    /// What a person calls the target: a container's name, a file's path.
    name: String,
    committed: Option<Cursor>,
    /// The cursor of the newest chunk admitted.
    read: Option<Cursor>,
    slots: VecDeque<Slot>,
    /// Of chunks that are done, until the position rests behind them.
    effects: Vec<Box<dyn Effect>>,
    /// Sequence number of `slots[0]`.
    first: u64,
    /// A lost chunk came to the front: `committed` never moves again in this process.
    stuck: bool,
    last_seen: UnixNanos,
    /// The target is gone for good.
    gone: bool,
    /// Somebody has a [`Claim`].
    claimed: bool,
}

#[derive(Debug)]
struct Slot {
    cursor: Cursor,
    /// Of the budget, and so of its lines, nearly.
    bytes: u64,
    admitted: Instant,
    open_tickets: u32,
    /// Those of them whose lines a stage holds back.
    held_tickets: u32,
    /// One of its tickets was dropped without a word.
    lost: bool,
    /// Seams of which it is not known yet whether something lies across them.
    open_seams: u32,
    /// Something lies across the end of the chunk: nobody may go on reading there.
    torn: bool,
    /// Given back when nothing but held lines is left of the chunk.
    share: Option<Share>,
    effects: Vec<Box<dyn Effect>>,
}

/// The end of a chunk at which a stage holds an entry back that may go on in the next chunk. Reading must not go on
/// inside an entry, so the position does not rest here until it is known; dropped, the end was that of the entry too.
#[derive(Debug)]
pub(crate) struct Seam {
    track: Arc<Track>,
    sequence: u64,
    torn: bool,
}

/// The duty to say what became of one chunk's lines.
///
/// Shared by as many as hold lines of the chunk ([`split`](Self::split)); each says its own outcome.
#[derive(Debug)]
pub(crate) struct Ticket {
    track: Arc<Track>,
    sequence: u64,
    held: bool,
    answered: bool,
}

impl Ledger {
    /// The track of `key`, new or known from before; `name` is what people call it now.
    pub(crate) fn track(&self, key: &str, name: &str) -> Arc<Track> {
        let mut tracks = lock(&self.tracks);
        let track = tracks.entry(key.to_owned()).or_insert_with(|| Track::new(name, None, &self.cut));
        let mut state = track.lock();
        if state.name != name {
            name.clone_into(&mut state.name);
        }
        state.last_seen = clock::now();
        state.gone = false;
        drop(state);
        track.clone()
    }

    /// The track of `key` if there is one.
    pub(crate) fn find(&self, key: &str) -> Option<Arc<Track>> {
        lock(&self.tracks).get(key).cloned()
    }

    /// Keeps the position of `key` from being forgotten: its target is still there.
    pub(crate) fn seen(&self, key: &str) {
        if let Some(track) = lock(&self.tracks).get(key) {
            track.lock().last_seen = clock::now();
        }
    }

    /// The key under which `reader` keeps its place in a target that `seniors` read too. The first reader of a target has
    /// the target's own key, each other one with its name behind it; who has a key keeps it, whatever readers come and go.
    pub(crate) fn key_of(&self, target: &str, reader: &str, seniors: &[String]) -> String {
        let tracks = lock(&self.tracks);
        let own_key = |reader: &str| format!("{target}#{reader}");
        let has_own = |reader: &str| tracks.contains_key(&own_key(reader));
        let is_first = !has_own(reader) && seniors.iter().all(|senior| has_own(senior));
        if is_first { target.to_owned() } else { own_key(reader) }
    }

    /// The read position of a track that goes by `name` and whose key is `file:<any device>:<ending>`.
    pub(crate) fn position_on_any_device(&self, name: &str, ending: &str) -> Option<Cursor> {
        let tracks = lock(&self.tracks);
        let mut from = "file:".to_owned();
        // Keys are sorted: from the first of one device to the first of the next.
        while let Some((key, _)) = tracks.range(from..).next()
            && let Some((device, _)) = key.strip_prefix("file:").and_then(|rest| rest.split_once(':'))
        {
            let track = tracks.get(&format!("file:{device}:{ending}"));
            let position =
                track.filter(|track| track.lock().name == name).and_then(|track| track.read_position());
            if position.is_some() {
                return position;
            }
            // A semicolon is what follows a colon.
            from = format!("file:{device};");
        }
        None
    }

    /// Puts back what a positions file remembered.
    pub(crate) fn restore(&self, key: String, name: &str, committed: Cursor) {
        lock(&self.tracks).insert(key, Track::new(name, Some(committed), &self.cut));
    }

    /// Every committed cursor as (key, name, cursor).
    pub(crate) fn committed(&self) -> Vec<(String, String, Cursor)> {
        let tracks = lock(&self.tracks);
        let known = tracks.iter().filter_map(|(key, track)| {
            let state = track.lock();
            state.committed.map(|cursor| (key.clone(), state.name.clone(), cursor))
        });
        known.collect()
    }

    /// Forgets targets that nobody holds and that are gone, or that nobody has seen for `ttl`; says how many of the
    /// latter.
    pub(crate) fn forget_unseen(&self, ttl: Duration) -> usize {
        let before = clock::now().minus(ttl);
        let mut count = 0;
        lock(&self.tracks).retain(|_, track| {
            if Arc::strong_count(track) > 1 {
                return true;
            }
            let state = track.lock();
            let unseen = !state.gone && state.last_seen <= before;
            count += usize::from(unseen);
            !state.gone && !unseen
        });
        count
    }

    /// Number of targets.
    pub(crate) fn len(&self) -> usize {
        lock(&self.tracks).keys().filter(|key| !key.starts_with(imported::PREFIX)).count()
    }

    /// Chunks read and not yet settled, over all tracks.
    pub(crate) fn open_chunks(&self) -> usize {
        lock(&self.tracks).values().map(|track| track.lock().slots.len()).sum()
    }
}

impl Track {
    fn new(name: &str, committed: Option<Cursor>, cut: &Cut) -> Arc<Track> {
        Arc::new(Track {
            cut: cut.clone(),
            state: Mutex::new(State {
                name: name.to_owned(),
                committed,
                read: committed,
                slots: VecDeque::new(),
                effects: Vec::new(),
                first: 0,
                stuck: false,
                last_seen: clock::now(),
                gone: false,
                claimed: false,
            }),
            settled: Notify::new(),
        })
    }

    /// Where reading goes on: after the newest chunk admitted, settled or not.
    pub(crate) fn read_position(&self) -> Option<Cursor> {
        self.lock().read
    }

    /// Up to here everything is settled.
    pub(crate) fn committed(&self) -> Option<Cursor> {
        self.lock().committed
    }

    /// Begins at a position that another track of the same target had, unless this one has its own.
    pub(crate) fn begin_at(&self, cursor: Cursor) {
        let mut state = self.lock();
        if state.committed.is_none() && state.read.is_none() {
            (state.committed, state.read) = (Some(cursor), Some(cursor));
        }
    }

    /// Takes a chunk on: its lines end at `cursor`, `share` of the budget is held until it settles.
    pub(crate) fn admit(self: &Arc<Self>, cursor: Cursor, share: Share) -> Ticket {
        let mut state = self.lock();
        state.read = Some(cursor);
        let sequence = state.first + state.slots.len() as u64;
        state.slots.push_back(Slot {
            cursor,
            bytes: share.bytes().0,
            admitted: Instant::now(),
            open_tickets: 1,
            held_tickets: 0,
            lost: false,
            open_seams: 0,
            torn: false,
            share: Some(share),
            effects: Vec::new(),
        });
        Ticket { track: self.clone(), sequence, held: false, answered: false }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    /// The slot of a ticket or seam. A slot stays until all of them have spoken, so an open one always finds it.
    fn slot(&mut self, sequence: u64) -> Option<&mut Slot> {
        let index = usize::try_from(sequence.checked_sub(self.first)?).ok()?;
        self.slots.get_mut(index)
    }

    fn settle(&mut self, sequence: u64, held: bool, outcome: Outcome) {
        let Some(slot) = self.slot(sequence) else { return };
        slot.open_tickets -= 1;
        slot.held_tickets -= u32::from(held);
        if slot.open_tickets == slot.held_tickets {
            slot.share = None;
        }
        slot.lost |= outcome == Outcome::Lost;
        self.advance();
    }

    fn close_seam(&mut self, sequence: u64, torn: bool) {
        let Some(slot) = self.slot(sequence) else { return };
        slot.open_seams -= 1;
        slot.torn |= torn;
        self.advance();
    }

    /// Moves the position over what is done.
    fn advance(&mut self) {
        while let Some(done) = self.slots.pop_front_if(|slot| slot.open_tickets == 0 && slot.open_seams == 0)
        {
            self.first += 1;
            // A lost chunk is a gap for good: chunks before it may still move the position, chunks after it may not.
            self.stuck |= done.lost;
            self.effects.extend(done.effects);
            if !self.stuck && !done.torn {
                self.committed = Some(done.cursor);
                self.effects.drain(..).for_each(|effect| effect.commit());
            }
        }
        if self.stuck {
            self.effects.clear();
        }
    }
}

impl Ticket {
    /// Another ticket for the same chunk: it settles when both have.
    pub(crate) fn split(&self) -> Ticket {
        if let Some(slot) = self.track.lock().slot(self.sequence) {
            slot.open_tickets += 1;
        }
        Ticket { track: self.track.clone(), sequence: self.sequence, held: false, answered: false }
    }

    /// Another ticket, for lines of the chunk that wait for what belongs to them, however long.
    pub(crate) fn hold(&self) -> Ticket {
        let mut ticket = self.split();
        if let Some(slot) = self.track.lock().slot(self.sequence) {
            slot.held_tickets += 1;
            ticket.held = true;
        }
        ticket
    }

    /// The end of the chunk, where an entry is held back that may not be complete.
    pub(crate) fn seam(&self) -> Seam {
        if let Some(slot) = self.track.lock().slot(self.sequence) {
            slot.open_seams += 1;
        }
        Seam { track: self.track.clone(), sequence: self.sequence, torn: false }
    }

    /// True for tickets of the same chunk.
    pub(crate) fn is_twin_of(&self, other: &Ticket) -> bool {
        self.sequence == other.sequence && Arc::ptr_eq(&self.track, &other.track)
    }

    /// Says what became of the lines.
    pub(crate) fn settle(mut self, outcome: Outcome) {
        self.answered = true;
        self.track.update(|state| state.settle(self.sequence, self.held, outcome));
    }
}

impl Seam {
    /// The entry went on in a later chunk.
    pub(crate) fn tear(mut self) {
        self.torn = true;
    }
}

impl Drop for Seam {
    fn drop(&mut self) {
        self.track.update(|state| state.close_seam(self.sequence, self.torn));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.answered {
            self.track.update(|state| state.settle(self.sequence, self.held, Outcome::Lost));
        }
    }
}

/// A lock whose holder panicked still guards consistent data here: no update spans two statements that can panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
