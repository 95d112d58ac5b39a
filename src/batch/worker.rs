//! One client's batcher: fills open batches, seals them by size and age.
//! In: handovers from every source.  Out: parcels, in order, to the client's sender.  Owns: an open batch per tenant.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep_until;

use crate::batch::groups::{Group, Handover, Inbound};
use crate::batch::open::OpenBatch;
use crate::batch::parcel::Parcel;
use crate::clock::Instant;
use crate::custody::{Outcome, Ticket};
use crate::flow::{BYTES_PER_PERMIT, IN_FLIGHT_LIMIT};
use crate::metrics::{Queues, Tally, waited};
use crate::record::{Labels, Stream};

/// Handovers that may wait for the batcher of the only client: how far sources run ahead of it.
const QUEUE_OF_ONE: usize = 16;

/// Handovers that may wait where there are several clients. One that is down must not hold up the others before the
/// byte budget does, of which each handover has at least one permit.
const QUEUE_OF_MANY: usize = IN_FLIGHT_LIMIT.0 as usize / BYTES_PER_PERMIT as usize;

/// The bound of each client's queue.
pub(crate) fn queue_length(clients: usize) -> usize {
    if clients > 1 { QUEUE_OF_MANY } else { QUEUE_OF_ONE }
}

/// Streams whose label string with the client's external labels is remembered.
const CACHED_TEXTS: usize = 10_000;

/// How one client wants its batches.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    /// A batch is sent at this age at the latest.
    pub(crate) wait: Duration,
    /// Line bytes a batch may hold.
    pub(crate) size: usize,
    /// Streams a batch may hold.
    pub(crate) max_streams: Option<usize>,
    /// Labels added where an entry does not have them.
    pub(crate) external_labels: Labels,
    /// Tenant of entries that name none.
    pub(crate) tenant: Option<Arc<str>>,
}

struct Batcher {
    settings: Settings,
    open: HashMap<Option<Arc<str>>, OpenBatch>,
    /// Label strings with the external labels merged in, by the stream's own label string.
    texts: HashMap<String, Arc<str>, foldhash::fast::RandomState>,
    parcels: mpsc::Sender<Sealed>,
    queues: Queues,
    /// Somebody waits for what is in the open batches.
    hasten: bool,
}

/// What a client's sender gets.
#[derive(Debug)]
pub(crate) enum Sealed {
    Parcel(Parcel),
    /// What came before cannot be read again: it belongs on disk unless it is delivered.
    Secure,
}

/// The sender is gone; what it held is lost to this process and stays before the position.
struct SenderGone;

/// Runs until every inlet is closed and the last batch is handed on.
pub(crate) async fn run(
    settings: Settings,
    mut inlet: mpsc::Receiver<Inbound>,
    parcels: mpsc::Sender<Sealed>,
    queues: Queues,
) {
    queues.handovers_limit.set(inlet.max_capacity() as f64);
    let (open, texts, way) = (HashMap::new(), HashMap::default(), parcels.clone());
    let mut batcher = Batcher { settings, open, texts, parcels, queues, hasten: false };
    loop {
        let due = batcher.due();
        let age = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let done = tokio::select! {
            received = inlet.recv() => match received {
                Some(Inbound::Entries(handover)) => batcher.take(handover).await,
                Some(Inbound::Secure) => batcher.secure().await,
                Some(Inbound::Hasten) => {
                    batcher.hasten = true;
                    Ok(())
                }
                None => break,
            },
            () = age => batcher.seal_aged().await,
            // While a parcel waits for the sender, what comes meanwhile goes together behind it.
            free = way.reserve_many(way.max_capacity()), if batcher.hasten => {
                drop(free);
                batcher.hasten = false;
                batcher.seal_where(|_| true).await
            }
        };
        if done.is_err() {
            return;
        }
    }
    // The sources have ended: send what is left, young or not. A sender that is gone has said so itself.
    let _ = batcher.seal_where(|_| true).await;
}

impl Batcher {
    /// When the oldest open batch is old enough.
    fn due(&self) -> Option<Instant> {
        self.open.values().map(|batch| batch.since + self.settings.wait).min()
    }

    async fn take(&mut self, handover: Handover) -> Result<(), SenderGone> {
        let Handover { groups, tickets, cost, mut entries, waiting } = handover;
        drop(waiting);
        for group in groups.iter() {
            let tenant = match &group.stream.tenant {
                Some(tenant) => Some(tenant.as_str().into()),
                None => self.settings.tenant.clone(),
            }
            .filter(|tenant: &Arc<str>| !tenant.is_empty());
            let labels = self.labels(&group.stream);
            self.add(group, &labels, tenant, (&tickets, cost), &mut entries).await?;
        }
        // Every batch that holds some of these entries has tickets of its own by now.
        tickets.into_iter().for_each(|ticket| ticket.settle(Outcome::Delivered));
        self.seal_where(OpenBatch::is_dear).await
    }

    async fn add(
        &mut self,
        group: &Group,
        labels: &Arc<str>,
        tenant: Option<Arc<str>>,
        (tickets, cost): (&[Ticket], usize),
        entries: &mut Tally,
    ) -> Result<(), SenderGone> {
        let mut next = 0;
        while next < group.sizes.len() {
            let open = self.open.entry(tenant.clone());
            let batch =
                open.or_insert_with(|| OpenBatch::new(tenant.clone(), Instant::now(), entries.split(0)));
            let before = next;
            next = batch.fill(group, labels, next, &self.settings, entries);
            if next > before {
                batch.hold(tickets, cost);
            }
            if next < group.sizes.len() {
                self.seal(&tenant).await?;
            }
        }
        Ok(())
    }

    /// The label string this client sends for a stream.
    fn labels(&mut self, stream: &Stream) -> Arc<str> {
        if let Some(text) = self.texts.get(&stream.text) {
            return text.clone();
        }
        if self.texts.len() >= CACHED_TEXTS {
            self.texts.clear();
        }
        let merged = stream.labels.clone().with_defaults(&self.settings.external_labels);
        let text: Arc<str> = merged.render().into();
        self.texts.insert(stream.text.clone(), text.clone());
        text
    }

    async fn secure(&mut self) -> Result<(), SenderGone> {
        self.seal_where(|_| true).await?;
        self.hand_on(Sealed::Secure).await
    }

    async fn seal_aged(&mut self) -> Result<(), SenderGone> {
        let (now, wait) = (Instant::now(), self.settings.wait);
        self.seal_where(|batch| batch.since + wait <= now).await
    }

    async fn seal_where(&mut self, wanted: impl Fn(&OpenBatch) -> bool) -> Result<(), SenderGone> {
        let ready = self.open.iter().filter(|(_, batch)| wanted(batch)).map(|(tenant, _)| tenant.clone());
        for tenant in ready.collect::<Vec<_>>() {
            self.seal(&tenant).await?;
        }
        Ok(())
    }

    async fn seal(&mut self, tenant: &Option<Arc<str>>) -> Result<(), SenderGone> {
        match self.open.remove(tenant).filter(|batch| !batch.is_empty()) {
            Some(batch) => self.hand_on(Sealed::Parcel(batch.seal())).await,
            None => Ok(()),
        }
    }

    async fn hand_on(&self, sealed: Sealed) -> Result<(), SenderGone> {
        waited(&self.queues.parcel_wait, self.parcels.send(sealed)).await.map_err(|_| SenderGone)
    }
}
