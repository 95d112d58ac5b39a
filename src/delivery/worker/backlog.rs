//! What of the backlog on disk a batcher goes by.
//! In: parcels that go to disk.  Out: nothing.  Owns: the tokens of the newest of them.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::batch::{Parcel, Token};

/// The newest of what is on disk, which stays outstanding to the batcher: so what is put behind it has other streams, and can be
/// sent beside it one day.
#[derive(Debug)]
pub(super) struct Backlog {
    newest: VecDeque<Arc<Token>>,
    most: usize,
}

impl Backlog {
    /// For as many parcels as are under way at once.
    pub(super) fn new(concurrency: usize) -> Backlog {
        Backlog { newest: VecDeque::new(), most: concurrency.saturating_sub(1) }
    }

    /// A parcel is on disk.
    pub(super) fn add(&mut self, parcel: &mut Parcel) {
        let token = parcel.take_token();
        token.iter().for_each(|token| token.put_on_disk());
        self.newest.extend(token);
        while self.newest.len() > self.most {
            self.newest.pop_front();
        }
    }

    /// Nothing is on disk.
    pub(super) fn clear(&mut self) {
        self.newest.clear();
    }
}
