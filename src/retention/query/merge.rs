//! Puts the entries of many sources in order of time, reading each no sooner than its turn comes.
//! In: sources with bounds.  Out: entries, each once.  Owns: the entries of those sources whose times overlap.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::vec::IntoIter;

use crate::record::UnixNanos;
use crate::retention::archive::Entry;

/// A source that is not read yet: when it begins, in the order asked for.
#[derive(Debug)]
struct Pending<S> {
    begins: i64,
    number: u64,
    source: S,
}

/// A source that is being given.
#[derive(Debug)]
struct Open {
    next: Entry,
    begins: i64,
    number: u64,
    rest: IntoIter<Entry>,
}

/// The order. Times are turned around where the latest comes first.
#[derive(Debug)]
pub(in crate::retention) struct Merge<S> {
    forward: bool,
    pending: BinaryHeap<Reverse<Pending<S>>>,
    open: BinaryHeap<Reverse<Open>>,
    numbers: u64,
    /// The time of what was given last, and all that was given of it.
    at: Option<UnixNanos>,
    /// Sources may begin before that, with what was given already.
    repeats: bool,
    given: HashSet<u128>,
}

/// What comes next.
pub(in crate::retention) enum Next<S> {
    Entry(Entry),
    /// Read this, and say what is in it, before anything else can be given.
    Read(S),
    End,
}

impl<S> Merge<S> {
    pub(in crate::retention) fn new(forward: bool) -> Merge<S> {
        let (pending, open) = (BinaryHeap::new(), BinaryHeap::new());
        Merge { forward, pending, open, numbers: 0, at: None, repeats: false, given: HashSet::new() }
    }

    /// Adds a source without entries before `first` and after `last`.
    pub(in crate::retention) fn add(&mut self, first: UnixNanos, last: UnixNanos, source: S) {
        let begins = self.key(if self.forward { first } else { last });
        self.pending.push(Reverse(Pending { begins, number: self.numbers, source }));
        self.numbers += 1;
    }

    /// From here on sources may come in place of others, and hold what these have given.
    pub(in crate::retention) fn expect_repeats(&mut self) {
        self.repeats = true;
    }

    /// Adds what a source holds, in ascending order of time.
    pub(in crate::retention) fn open(&mut self, mut entries: Vec<Entry>) {
        if let Some(at) = self.at.filter(|_| self.repeats) {
            entries.retain(|entry| self.key(entry.time) >= self.key(at));
        }
        if !self.forward {
            entries.reverse();
        }
        self.numbers += 1;
        self.go_on(self.numbers, entries.into_iter());
    }

    fn go_on(&mut self, number: u64, mut rest: IntoIter<Entry>) {
        if let Some(next) = rest.next() {
            let begins = self.key(next.time);
            self.open.push(Reverse(Open { next, begins, number, rest }));
        }
    }

    fn key(&self, time: UnixNanos) -> i64 {
        if self.forward { time.0 } else { !time.0 }
    }

    pub(in crate::retention) fn next(&mut self) -> Next<S> {
        loop {
            let begins = self.open.peek().map(|Reverse(open)| open.begins);
            let first = self.pending.peek().map(|Reverse(pending)| pending.begins);
            // What begins at the same time may hold the same entry.
            if let Some(first) = first
                && begins.is_none_or(|begins| first <= begins)
                && let Some(Reverse(pending)) = self.pending.pop()
            {
                return Next::Read(pending.source);
            }
            let Some(Reverse(Open { next, number, rest, .. })) = self.open.pop() else { return Next::End };
            self.go_on(number, rest);
            if self.at != Some(next.time) {
                self.at = Some(next.time);
                self.given.clear();
            }
            if self.given.insert(next.identity()) {
                return Next::Entry(next);
            }
        }
    }
}

macro_rules! ordered_by_begin {
    ($name:ty, $($generic:ident)?) => {
        impl$(<$generic>)? PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.cmp(other).is_eq()
            }
        }
        impl$(<$generic>)? Eq for $name {}
        impl$(<$generic>)? PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }
        impl$(<$generic>)? Ord for $name {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                (self.begins, self.number).cmp(&(other.begins, other.number))
            }
        }
    };
}

ordered_by_begin!(Pending<S>, S);
ordered_by_begin!(Open,);
