//! What is being pushed at this moment. In: pushes that begin and end.  Out: how many there were at once, and streams that were
//! in two of them.  Owns: the count.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::lock;

type StreamName = (Option<Arc<str>>, String);

#[derive(Default)]
pub(super) struct UnderWay {
    pushes: usize,
    streams: BTreeSet<StreamName>,
    /// The most there were at once.
    pub(super) most: usize,
    /// Streams of a push that came while another with the same stream had no answer. A client that gave the other up has
    /// done nothing wrong.
    pub(super) overlaps: Vec<String>,
}

/// A push, until it is dropped.
pub(super) struct Push {
    all: Arc<Mutex<UnderWay>>,
    streams: Vec<StreamName>,
}

impl Push {
    pub(super) fn begin(all: &Arc<Mutex<UnderWay>>, streams: impl Iterator<Item = StreamName>) -> Push {
        let mut state = lock(all);
        state.pushes += 1;
        state.most = state.most.max(state.pushes);
        let mut begun = Vec::new();
        for stream in streams {
            match state.streams.insert(stream.clone()) {
                true => begun.push(stream),
                false => state.overlaps.push(stream.1),
            }
        }
        drop(state);
        Push { all: all.clone(), streams: begun }
    }
}

impl Drop for Push {
    fn drop(&mut self) {
        let mut state = lock(&self.all);
        state.pushes -= 1;
        state.streams.retain(|stream| !self.streams.contains(stream));
    }
}
