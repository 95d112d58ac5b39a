//! The names of senders, by their addresses.
//! In: addresses.  Out: names as DNS or the hosts file has them.  Owns: names found so far, for a while.
//!
//! Asked only where a rule reads the answer. A connection waits for it, within reason, before it is read; a datagram waits
//! for nothing, so that the first of a sender come without a name.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::clock::Instant;

/// Addresses whose names are remembered; where there are more, all are asked for again.
const MOST_KNOWN: usize = 10_000;

/// How long a name is good. The resolver itself asks no more often than DNS says.
const GOOD_FOR: Duration = Duration::from_secs(300);

/// A connection is read without a name after so long.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Questions at a time, and those that wait; more are not asked until there is room.
const MOST_QUESTIONS: usize = 16;
const MOST_WAITING: usize = 256;

/// Names of all senders of one source.
#[derive(Debug)]
pub(crate) struct Names {
    /// `None` where nobody reads names, or there is no way to learn them.
    resolver: Option<TokioResolver>,
    known: Mutex<HashMap<IpAddr, Known>>,
    questions: mpsc::Sender<IpAddr>,
}

#[derive(Clone, Debug)]
struct Known {
    name: Option<Arc<str>>,
    until: Instant,
}

/// Addresses that somebody wants to know the names of.
pub(crate) struct Questions(mpsc::Receiver<IpAddr>);

impl Names {
    /// Where they are not `wanted` there are none.
    pub(crate) fn new(wanted: bool) -> (Arc<Names>, Questions) {
        let resolver = wanted.then(|| TokioResolver::builder_tokio().and_then(|builder| builder.build()));
        let resolver = resolver.and_then(|built| {
            built.inspect_err(|error| warn!(%error, "names of senders cannot be looked up")).ok()
        });
        let (questions, asked) = mpsc::channel(MOST_WAITING);
        (Arc::new(Names { resolver, known: Mutex::default(), questions }), Questions(asked))
    }

    /// Learns a name, so that [`get`](Self::get) has it.
    pub(crate) async fn learn(&self, address: IpAddr) {
        let address = address.to_canonical();
        let Some(resolver) = self.resolver.as_ref().filter(|_| !self.is_known(address)) else { return };
        let name = match timeout(ANSWER_WITHIN, resolver.reverse_lookup(address)).await {
            Ok(Ok(answer)) => {
                let names = answer.answers().iter().filter_map(|record| match &record.data {
                    RData::PTR(name) => Some(name.0.to_string()),
                    _ => None,
                });
                // Several are joined, as in Promtail; servers give them in any order.
                let names: Vec<String> = names.collect::<BTreeSet<_>>().into_iter().collect();
                Some(names.join(",")).filter(|names| !names.is_empty())
            }
            Ok(Err(error)) => {
                debug!(%address, %error, "the sender's address has no name");
                None
            }
            Err(_) => {
                debug!(%address, "nobody says the name of the sender's address");
                None
            }
        };
        let mut known = self.lock();
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(address, Known { name: name.map(Arc::from), until: Instant::now() + GOOD_FOR });
    }

    /// The name, as far as it is known. One that is not, or not for sure any more, is asked for.
    pub(crate) fn get(&self, address: IpAddr) -> Option<Arc<str>> {
        self.resolver.as_ref()?;
        let known = self.lock().get(&address).cloned();
        if known.as_ref().is_none_or(|known| known.until <= Instant::now()) {
            // Where too many wait, the next message asks again.
            let _: Result<(), _> = self.questions.try_send(address);
        }
        known?.name
    }

    fn is_known(&self, address: IpAddr) -> bool {
        self.lock().get(&address).is_some_and(|known| known.until > Instant::now())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Questions {
    /// Finds answers, for ever.
    pub(crate) async fn answer(mut self, names: &Names) {
        let mut open = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(address) = self.0.recv(), if open.len() < MOST_QUESTIONS => open.push(names.learn(address)),
                Some(()) = open.next() => {}
                else => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn a_name_is_there_once_it_was_learned() {
        let (names, _questions) = Names::new(true);
        names.learn(LOCAL).await;
        let name = names.get(LOCAL).unwrap();
        // The hosts file may give it further ones.
        assert!(name.split(',').any(|name| name == "localhost."), "{name}");
    }

    #[tokio::test]
    async fn a_name_that_nobody_waits_for_comes_later() {
        let (names, questions) = Names::new(true);
        assert_eq!(names.get(LOCAL), None);
        let comes = async {
            while names.get(LOCAL).is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = questions.answer(&names) => panic!("there may be more questions"),
            () = comes => {}
        }
    }

    #[tokio::test]
    async fn names_that_nobody_reads_are_not_asked_for() {
        let (names, _questions) = Names::new(false);
        names.learn(LOCAL).await;
        assert_eq!(names.get(LOCAL), None);
    }
}
