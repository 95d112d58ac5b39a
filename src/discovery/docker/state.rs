//! What discovery knows of one daemon's containers.
//! In: events, what followers come to.  Out: what is followed, read, dropped.  Owns: the followers' tasks; nothing here
//! outlives its container's place in the list.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use bollard::Docker;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::discovery::docker::events::{Event, Started};
use crate::discovery::docker::listed::Container;
use crate::discovery::docker::networks::Networks;
use crate::source::docker::{Ended, FoundStarted, Logs, OutputLabels, Questions, WantedLogs};

/// Log streams of one daemon that open at the same time; each makes dockerd read a log.
const OPENING_AT_ONCE: usize = 4;

/// Removed containers that are remembered; more than there are events that wait.
const GONE_KEPT: usize = 2048;

pub(super) struct State {
    pub(super) docker: Option<Docker>,
    pub(super) networks: Networks,
    /// Containers being followed, by id.
    pub(super) followed: HashMap<String, Followed>,
    pub(super) running: JoinSet<(String, Ended)>,
    /// Stopped containers that have been read to their end, or are none of our business.
    pub(super) read: HashSet<String>,
    /// Containers that were removed lately: what is heard of their start now is late.
    gone: VecDeque<String>,
    /// Containers whose log cannot be read.
    pub(super) mute: HashSet<String>,
    /// Containers that relabelling or their own labels drop, as they looked then, and which of the two.
    pub(super) dropped: HashMap<String, (Facts, &'static str)>,
    /// Containers that were started again while they were followed: a follower that ended may have missed it.
    pub(super) restarted: HashSet<String>,
    /// The daemon did not answer the last time.
    pub(super) failing: bool,
    /// It was said that there are no events.
    pub(super) without_events: bool,
}

pub(super) struct Followed {
    pub(super) facts: Facts,
    pub(super) labels: watch::Sender<OutputLabels>,
    /// Tells the follower to ask whether its container has ended.
    pub(super) ended: Arc<Notify>,
    /// Gives the follower what was found as the container started.
    pub(super) finds: mpsc::Sender<FoundStarted>,
    pub(super) stop: CancellationToken,
}

/// What labels are made of.
#[derive(Clone, PartialEq)]
pub(super) struct Facts {
    pub(super) container: Container,
    pub(super) networks: u64,
}

/// What the followers of one daemon share.
pub(super) struct Shared {
    /// The right to open a log.
    pub(super) openings: Arc<Semaphore>,
    /// The right to ask whether a stream stands still.
    pub(super) questions: Arc<Questions>,
    /// How logs are read.
    pub(super) logs: Logs,
    /// The agent's own container, where it is not to be read.
    pub(super) own_id: Option<String>,
}

impl Shared {
    pub(super) fn new(wanted: WantedLogs) -> Shared {
        let logs = Logs { wanted, ..Logs::default() };
        Shared {
            openings: Arc::new(Semaphore::new(OPENING_AT_ONCE)),
            questions: Arc::default(),
            logs,
            own_id: None,
        }
    }
}

impl State {
    pub(super) fn new(networks: Networks) -> State {
        State {
            docker: None,
            networks,
            followed: HashMap::new(),
            running: JoinSet::new(),
            read: HashSet::new(),
            gone: VecDeque::new(),
            mute: HashSet::new(),
            dropped: HashMap::new(),
            restarted: HashSet::new(),
            failing: false,
            without_events: false,
        }
    }

    pub(super) fn note(&mut self, event: Event) {
        match event {
            Event::Started(Started { id: Some(id), .. }) => self.started(id),
            Event::Arrived(arrival) => self.started(arrival.id),
            Event::Ended(Some(id)) => {
                if let Some(followed) = self.followed.get(&id) {
                    followed.ended.notify_one();
                }
            }
            Event::Started(_) | Event::Ended(None) | Event::Created(_) | Event::Changed => {}
            Event::Network => self.networks.touch(),
        }
    }

    /// Notes that a container was removed, and read as far as it could be.
    pub(super) fn removed(&mut self, id: String) {
        if self.gone.len() == GONE_KEPT {
            self.gone.pop_front();
        }
        self.gone.push_back(id);
    }

    pub(super) fn is_gone(&self, id: &str) -> bool {
        self.gone.iter().any(|gone| gone == id)
    }

    pub(super) fn started(&mut self, id: String) {
        if self.followed.contains_key(&id) {
            self.restarted.insert(id);
        } else {
            self.read.remove(&id);
        }
    }
}
