//! One target that is or was read.
//! In: what its source says.  Out: the same, for whoever asks.  Owns: nothing that outlives the target and its open chunks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use crate::clock::Instant;
use crate::custody::{Backlog, Track};
use crate::record::Labels;
use crate::targets::age::Age;
use crate::targets::lock;

#[derive(Debug)]
pub(super) struct Instance {
    pub(super) discovered: Arc<BTreeMap<String, String>>,
    said: Mutex<Said>,
}

#[derive(Debug, Default)]
struct Said {
    labels: Arc<Labels>,
    /// Of the files it was read from, as long as they are not settled.
    tracks: Vec<Weak<Track>>,
    /// `None` where nobody can tell.
    unread: Option<u64>,
    age: Age,
    file: Option<(u64, u64)>,
    trouble: Option<String>,
    gone: bool,
}

/// What there is to say of it.
pub(super) struct Account {
    pub(super) labels: Arc<Labels>,
    pub(super) unread: Option<u64>,
    pub(super) unsettled: u64,
    pub(super) age: Duration,
    pub(super) file: Option<(u64, u64)>,
    pub(super) trouble: Option<String>,
    pub(super) gone: bool,
}

impl Instance {
    pub(super) fn new(discovered: BTreeMap<String, String>, labels: Labels) -> Instance {
        let said = Said { labels: Arc::new(labels), ..Said::default() };
        Instance { discovered: Arc::new(discovered), said: Mutex::new(said) }
    }

    pub(super) fn follow(&self, track: &Arc<Track>) {
        let mut said = lock(&self.said);
        // Reading may go to and fro between files.
        said.tracks.retain(|known| {
            known.upgrade().is_some_and(|known| !Arc::ptr_eq(&known, track) && known.backlog().chunks > 0)
        });
        said.tracks.push(Arc::downgrade(track));
    }

    pub(super) fn behind(&self, read: u64, unread: u64, now: Instant) {
        let mut said = lock(&self.said);
        said.unread = Some(unread);
        said.age.look(read, read + unread, now);
    }

    pub(super) fn file(&self, offset: u64, length: u64) {
        lock(&self.said).file = Some((offset, length));
    }

    pub(super) fn relabel(&self, labels: &Labels) {
        lock(&self.said).labels = Arc::new(labels.clone());
    }

    pub(super) fn trouble(&self, what: Option<String>) {
        lock(&self.said).trouble = what;
    }

    pub(super) fn leave(&self) {
        let mut said = lock(&self.said);
        (said.gone, said.unread, said.trouble) = (true, None, None);
        said.age = Age::default();
    }

    /// Gone, and all that was read of it is settled.
    pub(super) fn is_done(&self) -> bool {
        let said = lock(&self.said);
        said.gone && said.backlog().chunks == 0
    }

    pub(super) fn account(&self, now: Instant) -> Account {
        let said = lock(&self.said);
        let backlog = said.backlog();
        let unsettled_for = backlog.oldest.map(|oldest| now.duration_since(oldest));
        Account {
            labels: said.labels.clone(),
            unread: said.unread,
            unsettled: backlog.bytes,
            age: [said.age.at(now), unsettled_for].into_iter().flatten().max().unwrap_or_default(),
            file: said.file,
            trouble: said.trouble.clone(),
            gone: said.gone,
        }
    }
}

impl Said {
    fn backlog(&self) -> Backlog {
        let tracks = self.tracks.iter().filter_map(Weak::upgrade);
        tracks.fold(Backlog::default(), |sum, track| sum.and(track.backlog()))
    }
}
