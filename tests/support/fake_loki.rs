//! A Loki to test against: answers pushes as the recorded server does, and misbehaves when a test says so.
//! In: HTTP on 127.0.0.1.  Out: answers, and a [`Store`] tests look into and wait on.  Owns: its port, also while stopped.
//!
//! ```ignore
//! let loki = FakeLoki::start(Limits::default());
//! loki.answer_next(2, Fault::StoreThenReset);
//! // ... an agent pushes to loki.url() ...
//! loki.wait_for(|store| store.entries.len() == 10, Duration::from_secs(10)).await.unwrap();
//! assert_eq!(loki.faults_met(FaultKind::StoreThenReset), 2);
//! loki.assert_no_violations();
//! ```

mod faults;
mod judge;
mod labels;
mod limits;
#[cfg(test)]
mod self_test;
mod server;
mod store;
mod under_way;
mod wire;
mod wording;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;

pub use faults::{Fault, FaultKind};
pub use limits::Limits;
pub use store::{Request, Store, StoredEntry};

use faults::Script;
use server::Server;
use under_way::UnderWay;

/// Wall time in nanoseconds since 1970: what the time limits compare with.
pub type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

pub const PUSH_PATH: &str = "/loki/api/v1/push";

/// A running (or, after [`stop`](Self::stop), refusing) server. Dropping it ends it.
pub struct FakeLoki {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: tokio::sync::Mutex<Server>,
}

/// What the connections and the test both reach.
struct Shared {
    now: Now,
    limits: Mutex<Limits>,
    /// What `/config` says; without it there is no such page.
    configuration: Mutex<Option<String>>,
    script: Mutex<Script>,
    store: Mutex<Store>,
    under_way: Arc<Mutex<UnderWay>>,
    changed: watch::Sender<()>,
}

impl FakeLoki {
    /// Must be called inside a tokio runtime.
    pub fn start(limits: Limits) -> Self {
        Self::start_at(limits, Arc::new(wall_clock))
    }

    /// Like [`start`](Self::start), with the time that "too old" and "too new" are measured against.
    pub fn start_at(limits: Limits, now: Now) -> Self {
        let shared = Arc::new(Shared {
            now,
            limits: Mutex::new(limits),
            configuration: Mutex::default(),
            script: Mutex::default(),
            store: Mutex::default(),
            under_way: Arc::default(),
            changed: watch::Sender::new(()),
        });
        let (server, address) = Server::start(Arc::clone(&shared));
        Self { address, shared, server: tokio::sync::Mutex::new(server) }
    }

    pub fn url(&self) -> String {
        format!("http://{}{PUSH_PATH}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts every connection; from the moment this returns, connecting is refused. What was stored stays.
    pub async fn stop(&self) {
        self.server.lock().await.stop().await;
    }

    /// Ends an outage begun by [`stop`](Self::stop); does nothing while running.
    pub async fn restart_on_same_port(&self) {
        self.server.lock().await.restart(Arc::clone(&self.shared));
    }

    pub fn set_limits(&self, limits: Limits) {
        *lock(&self.shared.limits) = limits;
    }

    /// Says this at `/config` from now on, as a Loki does that no gateway stands before.
    pub fn say_configuration(&self, yaml: &str) {
        *lock(&self.shared.configuration) = Some(yaml.to_owned());
    }

    /// Queues `fault` for the next `n` pushes, behind those queued before.
    pub fn answer_next(&self, n: usize, fault: Fault) {
        lock(&self.shared.script).push_next(n, fault);
    }

    /// Every push that finds the queue of [`answer_next`](Self::answer_next) empty gets `fault`, until [`heal`](Self::heal).
    pub fn answer_all(&self, fault: Fault) {
        lock(&self.shared.script).set_always(fault);
    }

    /// Forgets all scripted faults. Requests that hang already go on hanging until their client gives up.
    pub fn heal(&self) {
        lock(&self.shared.script).clear();
    }

    /// Waits, woken by each push, until `seen` holds.
    ///
    /// # Errors
    /// [`NotSeen`] after `timeout`, telling what had arrived by then.
    pub async fn wait_for(
        &self,
        mut seen: impl FnMut(&Store) -> bool,
        timeout: Duration,
    ) -> Result<(), NotSeen> {
        // Subscribed before the first look, so a push between look and wait still wakes us.
        let mut changed = self.shared.changed.subscribe();
        let watching = async {
            while !seen(&self.store()) {
                changed.changed().await.expect("the sender lives in `shared`");
            }
        };
        tokio::time::timeout(timeout, watching).await.map_err(|_| NotSeen {
            waited: timeout,
            arrived: self.store().summary(),
            faults_left: lock(&self.shared.script).left(),
        })
    }

    /// A look at everything at once. Hold it briefly: pushes wait for it.
    pub fn store(&self) -> MutexGuard<'_, Store> {
        lock(&self.shared.store)
    }

    /// What a query would give back, in order of arrival, each entry once.
    pub fn entries(&self) -> Vec<StoredEntry> {
        self.store().entries.clone()
    }

    /// Entries that were accepted and were there already (same tenant, labels, time and line).
    pub fn duplicates(&self) -> Vec<StoredEntry> {
        self.store().duplicates.clone()
    }

    pub fn requests(&self) -> Vec<Request> {
        self.store().requests.clone()
    }

    /// The most pushes that were being answered at once.
    pub fn most_at_once(&self) -> usize {
        lock(&self.shared.under_way).most
    }

    /// Streams of a push that came while another push with the same stream was being answered.
    pub fn overlaps(&self) -> Vec<String> {
        lock(&self.shared.under_way).overlaps.clone()
    }

    pub fn faults_met(&self, kind: FaultKind) -> usize {
        self.store().faults_met(kind)
    }

    /// Fails when a push was tolerated by Loki but is not what the reference sender sends (see [`Store::violations`]).
    pub fn assert_no_violations(&self) {
        let violations = self.store().violations.clone();
        assert!(violations.is_empty(), "pushes broke the format:\n  {}", violations.join("\n  "));
    }
}

/// A [`FakeLoki::wait_for`] that ran out of time.
pub struct NotSeen {
    waited: Duration,
    arrived: String,
    faults_left: usize,
}

impl fmt::Display for NotSeen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "not seen within {:?}; {} scripted faults unused\n{}",
            self.waited, self.faults_left, self.arrived
        )
    }
}

/// `unwrap` prints Debug, and a summary with escaped newlines helps nobody.
impl fmt::Debug for NotSeen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for NotSeen {}

/// A failed assertion in a predicate must not hide behind a poisoned lock in the next test step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[allow(
    clippy::disallowed_methods,
    reason = "the double has its own clock on purpose: it is another machine"
)]
fn wall_clock() -> i64 {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since_1970.as_nanos()).expect("before 2262")
}
