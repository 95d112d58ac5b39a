//! A client's spool as its worker sees it: never blocking, never failing, only sometimes of no use.
//! In: parcels' records.  Out: the oldest of them, several at once.  Owns: the spool, where there is one.

use std::time::Duration;

use tokio::task::spawn_blocking;
use tracing::{debug, info, warn};

use crate::clock::{self, Instant};
use crate::custody::{AppendError, Record, Spool};
use crate::flow::Troubles;
use crate::metrics::ClientMetrics;
use crate::record::UnixNanos;

/// A spool that failed, or is full, is tried again after so long.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// How much is sent again after a kill.
const SAVE_PLACE_EVERY: Duration = Duration::from_secs(1);

/// A record that was taken to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordId(u64);

/// The spool of one client.
#[derive(Debug)]
pub(super) struct Keep {
    spool: Option<Spool>,
    /// The records that were taken and are not settled, oldest first, and the time of their oldest entry.
    taken: Vec<(RecordId, UnixNanos)>,
    /// The oldest that was not taken, once it was read.
    next: Option<Record>,
    next_id: u64,
    metrics: ClientMetrics,
    client: String,
    /// What its troubles are called.
    name: String,
    troubles: Troubles,
    /// What was last said to be wrong.
    trouble: Option<&'static str>,
    again: Option<Instant>,
    /// When the place of the next record is put on disk again.
    place_due: Instant,
}

impl Keep {
    pub(super) fn new(
        spool: Option<Spool>,
        metrics: ClientMetrics,
        client: &str,
        troubles: Troubles,
    ) -> Keep {
        let name = format!("spool of client {client}");
        let mut keep = Keep {
            spool,
            taken: Vec::new(),
            next: None,
            next_id: 0,
            metrics,
            client: client.to_owned(),
            name,
            troubles,
            trouble: None,
            again: None,
            place_due: Instant::now(),
        };
        keep.count();
        keep
    }

    /// True where there is a spool.
    pub(super) fn is_there(&self) -> bool {
        self.spool.is_some()
    }

    /// True where nothing is on disk.
    pub(super) fn is_empty(&self) -> bool {
        self.spool.as_ref().is_none_or(Spool::is_empty)
    }

    /// Time of the oldest entry, if it is known already.
    pub(super) fn known_oldest(&self) -> Option<UnixNanos> {
        let taken = self.taken.first().map(|(_, oldest)| *oldest);
        taken.or(self.next.as_ref().map(|record| record.oldest))
    }

    /// It is time to try again.
    pub(super) fn try_again(&mut self) {
        self.again = None;
    }

    /// Entries on disk.
    pub(super) fn entries(&self) -> u64 {
        self.spool.as_ref().map_or(0, Spool::entries)
    }

    /// When it is worth trying again; `None` for now.
    pub(super) fn again(&self) -> Option<Instant> {
        self.again
    }

    /// True once all records are on disk. Otherwise none of them is.
    pub(super) async fn append(&mut self, records: Vec<Record>) -> bool {
        let appended = self.run(move |spool| spool.append(&records, clock::now())).await;
        self.count();
        match appended {
            None => false,
            Some(Ok(())) => {
                self.well();
                true
            }
            Some(Err(AppendError::Full)) => {
                self.fail("full", "it is full, lines wait in memory and at their sources");
                false
            }
            Some(Err(AppendError::Disk(error))) => {
                self.metrics.spool_errors.add(1.0);
                self.fail(
                    "write",
                    format!("it cannot be written, lines wait in memory and at their sources: {error}"),
                );
                false
            }
        }
    }

    /// Time of the oldest entry.
    pub(super) async fn oldest(&mut self) -> Option<UnixNanos> {
        if self.known_oldest().is_none() && !self.is_empty() {
            self.next = self.read(0).await;
            self.tell_age();
        }
        self.known_oldest()
    }

    /// Takes the oldest record that was not taken yet; `None` where there is none, or it is not to be had beside the others.
    pub(super) async fn take(&mut self) -> Option<(RecordId, Record)> {
        let record = match self.next.take() {
            Some(record) => record,
            None if self.is_empty() => return None,
            None => self.read(self.taken.len()).await?,
        };
        let id = RecordId(self.next_id);
        self.next_id += 1;
        self.taken.push((id, record.oldest));
        Some((id, record))
    }

    async fn read(&mut self, number: usize) -> Option<Record> {
        let read = self.run(move |spool| spool.ahead(number, clock::now())).await;
        self.count();
        match read? {
            Ok(record) => {
                if self.trouble == Some("read") {
                    self.well();
                }
                record
            }
            Err(error) => {
                self.metrics.spool_errors.add(1.0);
                self.fail("read", format!("it cannot be read, trying again: {error}"));
                None
            }
        }
    }

    /// A record that was taken is settled.
    pub(super) async fn acknowledge(&mut self, id: RecordId) {
        let Some(number) = self.taken.iter().position(|(taken, _)| *taken == id) else { return };
        self.taken.remove(number);
        self.run(move |spool| spool.acknowledge(number)).await;
        self.tell_age();
        self.count();
        let now = Instant::now();
        if now >= self.place_due {
            self.place_due = now + SAVE_PLACE_EVERY;
            self.save_place().await;
        }
    }

    /// Where nothing is known, it is as it was; where nothing is there, `count` says so.
    fn tell_age(&self) {
        if let Some(oldest) = self.known_oldest() {
            self.metrics.path.spool_holds(Some(oldest));
        }
    }

    /// Gives the spool back, with the place of the next record on disk.
    pub(super) async fn close(mut self) -> Option<Spool> {
        self.troubles.clear(&self.name);
        self.save_place().await;
        self.spool
    }

    /// Where this fails, some records are sent again, and Loki knows them.
    async fn save_place(&mut self) {
        if let Some(Err(error)) = self.run(Spool::sync).await {
            self.metrics.spool_errors.add(1.0);
            debug!(client = self.client, %error, "the place in the spool cannot be saved");
        }
    }

    /// Disks may hang, and the runtime must not.
    async fn run<R: Send + 'static>(
        &mut self,
        what: impl FnOnce(&mut Spool) -> R + Send + 'static,
    ) -> Option<R> {
        let mut spool = self.spool.take()?;
        // A panic ends the process in release builds; otherwise the spool is gone until the next start.
        let (spool, result) = spawn_blocking(move || {
            let result = what(&mut spool);
            (spool, result)
        })
        .await
        .ok()?;
        self.spool = Some(spool);
        Some(result)
    }

    fn count(&mut self) {
        let Some(spool) = &mut self.spool else { return };
        self.metrics.spool_entries.set(spool.entries() as f64);
        self.metrics.spool_bytes.set(spool.size().0 as f64);
        if spool.is_empty() {
            self.metrics.path.spool_holds(None);
        }
        let losses = spool.take_losses();
        for (reason, entries) in [
            ("spool_full", losses.evicted),
            ("spool_expired", losses.expired),
            ("spool_damaged", losses.damaged),
        ] {
            if entries > 0 {
                self.metrics.dropped(reason, entries);
                warn!(client = self.client, reason, entries, "entries are lost in the spool");
            }
        }
    }

    fn well(&mut self) {
        self.again = None;
        if self.trouble.take().is_some() {
            self.troubles.clear(&self.name);
            info!(client = self.client, "the spool is of use again");
        }
    }

    /// Nothing waits, on disk or for room on it: whatever was wrong keeps no line from going its way.
    pub(super) fn relieve(&mut self) {
        if self.trouble.take().is_some() {
            self.again = None;
            self.troubles.clear(&self.name);
            info!(client = self.client, "nothing waits for the spool any more");
        }
    }

    fn fail(&mut self, trouble: &'static str, what: impl Into<String>) {
        self.again = Some(Instant::now() + TRY_AGAIN);
        if self.trouble.replace(trouble) != Some(trouble) {
            let what = what.into();
            self.troubles.set(&self.name, what.as_str());
            warn!(client = self.client, reason = trouble, error = what, "trouble with a spool");
        }
    }
}
