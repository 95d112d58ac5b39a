//! The right of one reader to a target.
//! In: a key.  Out: a claim, unless another has it.  Owns: nothing.

use std::sync::Arc;

use crate::clock;
use crate::custody::ledger::{Ledger, Track};

/// The right to read a target, given back on drop.
#[derive(Debug)]
pub(crate) struct Claim(Arc<Track>);

impl Ledger {
    /// The track of `key` for one reader alone; `None` while another has it. A file may be reached by two paths.
    pub(crate) fn claim(&self, key: &str, name: &str) -> Option<Claim> {
        let track = self.track(key, name);
        let taken = std::mem::replace(&mut track.lock().claimed, true);
        // Not `then_some`: a claim made and dropped would give back what another holds.
        if taken { None } else { Some(Claim(track)) }
    }
}

impl Claim {
    /// What is claimed.
    pub(crate) fn track(&self) -> &Arc<Track> {
        &self.0
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.claimed = false;
        state.last_seen = clock::now();
    }
}
