//! One client's batcher: fills open batches, seals them by size and age.
//! In: handovers from every source.  Out: parcels, in order, to the client's sender.  Owns: an open batch per tenant.
//!
//! A batch that is full goes when nothing is outstanding. Otherwise it goes on filling, up to as much as may be under way at
//! once, and what of it is not outstanding goes beside the rest. So what is sealed can be sent at once, as long as Loki answers.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep_until;

use crate::batch::groups::{Group, Handover, Inbound};
use crate::batch::open::OpenBatch;
use crate::batch::outstanding::{Look, Outstanding};
use crate::batch::parcel::Parcel;
use crate::batch::press::Press;
use crate::batch::shards::Shards;
use crate::clock::Instant;
use crate::custody::{Outcome, Ticket};
use crate::flow::{BYTES_PER_PERMIT, IN_FLIGHT_LIMIT};
use crate::metrics::{Queues, Tally, waited};
use crate::record::{Labels, Stream};

/// Handovers that may wait for the batcher of the only client: how far sources run ahead of it.
const QUEUE_OF_ONE: usize = 8;

/// Handovers that may wait where there are several clients. One that is down must not hold up the others before the
/// byte budget does, of which each handover has at least one permit.
const QUEUE_OF_MANY: usize = IN_FLIGHT_LIMIT.0 as usize / BYTES_PER_PERMIT as usize;

/// The bound of each client's queue.
pub(crate) fn queue_length(clients: usize) -> usize {
    if clients > 1 { QUEUE_OF_MANY } else { QUEUE_OF_ONE }
}

/// Parcels there may be in memory for another one to be sealed that has streams in common with them.
const MOST_AHEAD: usize = 2;

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
    /// Parcels that may be under way at once.
    pub(crate) concurrency: usize,
    /// Labels added where an entry does not have them.
    pub(crate) external_labels: Labels,
    /// Tenant of entries that name none.
    pub(crate) tenant: Option<Arc<str>>,
}

struct Batcher {
    settings: Settings,
    open: HashMap<Option<Arc<str>>, OpenBatch>,
    outstanding: Outstanding,
    press: Press,
    /// Label strings with the external labels merged in, by the stream's own label string.
    texts: HashMap<String, Arc<str>, foldhash::fast::RandomState>,
    parcels: mpsc::Sender<Sealed>,
    queues: Queues,
    /// Somebody waits for what is in the open batches.
    hasten: bool,
}

/// Entries of one stream that came in.
#[derive(Clone, Copy)]
struct Incoming<'h> {
    group: &'h Arc<Group>,
    labels: &'h Arc<str>,
    tickets: &'h [Ticket],
    cost: usize,
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
    let outstanding = Outstanding::default();
    let press = Press::new();
    let mut batcher = Batcher { settings, open, outstanding, press, texts, parcels, queues, hasten: false };
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
            () = batcher.outstanding.changed(), if batcher.open.values().any(OpenBatch::is_full) => batcher.seal_full().await,
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
            let incoming = Incoming { group, labels: &labels, tickets: &tickets, cost };
            self.add(incoming, &tenant, &mut entries).await?;
        }
        // Every batch that holds some of these entries has tickets of its own by now.
        tickets.into_iter().for_each(|ticket| ticket.settle(Outcome::Delivered));
        self.seal_full().await
    }

    async fn add(
        &mut self,
        incoming: Incoming<'_>,
        tenant: &Option<Arc<str>>,
        entries: &mut Tally,
    ) -> Result<(), SenderGone> {
        let (mut next, all) = (0, incoming.group.sizes.len());
        let size = self.settings.size;
        let most = size.saturating_mul(self.settings.concurrency);
        loop {
            next = self.fill(&incoming, tenant, next, size, entries);
            if next == all {
                return Ok(());
            }
            if self.seal_free(tenant).await? {
                continue;
            }
            next = self.fill(&incoming, tenant, next, most, entries);
            if next == all {
                return Ok(());
            }
            self.make_room(tenant).await?;
        }
    }

    /// Makes room in a batch that holds as much as it may. What is sealed beside its own streams under way waits at the sender,
    /// and one there is enough; otherwise something that is under way comes to its end before, or the batch of age.
    async fn make_room(&mut self, tenant: &Option<Arc<str>>) -> Result<(), SenderGone> {
        if self.outstanding.now().parcels >= MOST_AHEAD
            && let Some(batch) = self.open.get(tenant)
        {
            let of_age = sleep_until(batch.since + self.settings.wait);
            tokio::select! {
                () = self.outstanding.changed() => return Ok(()),
                () = of_age => {}
            }
        }
        self.seal_some(tenant).await.map(drop)
    }

    /// Puts entries into the tenant's batch until that has `most` line bytes.
    fn fill(
        &mut self,
        incoming: &Incoming<'_>,
        tenant: &Option<Arc<str>>,
        from: usize,
        most: usize,
        entries: &mut Tally,
    ) -> usize {
        let Incoming { group, labels, tickets, cost } = *incoming;
        let now = Instant::now();
        let open = self.open.entry(tenant.clone());
        let batch = open.or_insert_with(|| OpenBatch::new(tenant.clone(), now, entries.split(0)));
        let next = batch.fill(group, labels, from, (most, &self.settings), entries, now);
        if next > from {
            batch.hold(tickets, cost, labels);
        }
        if next < group.sizes.len() {
            batch.overflow(now);
        }
        next
    }

    /// The label string this client sends for a stream.
    fn labels(&mut self, stream: &Stream) -> Arc<str> {
        if let Some(text) = self.texts.get(&stream.text) {
            return text.clone();
        }
        if self.texts.len() >= CACHED_TEXTS {
            self.texts.clear();
        }
        let text: Arc<str> = match &self.settings.external_labels {
            none if none.is_empty() => stream.text.as_str().into(),
            more => stream.labels.clone().with_defaults(more).render().into(),
        };
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

    /// Seals all of these batches, in as many parcels as it takes.
    async fn seal_where(&mut self, wanted: impl Fn(&OpenBatch) -> bool) -> Result<(), SenderGone> {
        for tenant in self.tenants(wanted) {
            while self.seal_some(&tenant).await? {}
        }
        Ok(())
    }

    /// Seals of the batches that are full what can go at once.
    async fn seal_full(&mut self) -> Result<(), SenderGone> {
        for tenant in self.tenants(OpenBatch::is_full) {
            while self.open.get(&tenant).is_some_and(OpenBatch::is_full) && self.seal_free(&tenant).await? {}
            // Its sources may wait for it, and nothing else is going to be settled before.
            if self.open.get(&tenant).is_some_and(OpenBatch::is_dear) && self.outstanding.now().parcels == 0 {
                self.seal_some(&tenant).await?;
            }
        }
        Ok(())
    }

    /// Seals of a batch what is not outstanding, if that is worth a request and one is free. True where it was.
    async fn seal_free(&mut self, tenant: &Option<Arc<str>>) -> Result<bool, SenderGone> {
        let Look { parcels, shards } = self.outstanding.now();
        let Some(batch) = self.open.get(tenant).filter(|_| parcels < self.settings.concurrency) else {
            return Ok(false);
        };
        let packed = match shards.is_empty() {
            true => batch.pack(self.settings.size),
            false => batch.pack_beside(shards, self.settings.size).unwrap_or_default(),
        };
        self.seal(tenant, packed).await
    }

    /// Seals as much of a batch as a parcel may hold, whatever is outstanding. False where there is nothing.
    async fn seal_some(&mut self, tenant: &Option<Arc<str>>) -> Result<bool, SenderGone> {
        let packed = self.open.get(tenant).map(|batch| batch.pack(self.settings.size));
        self.seal(tenant, packed.unwrap_or_default()).await
    }

    async fn seal(&mut self, tenant: &Option<Arc<str>>, shards: Shards) -> Result<bool, SenderGone> {
        let Some(batch) = self.open.get_mut(tenant).filter(|_| !shards.is_empty()) else { return Ok(false) };
        // One at a time, they wait for each other behind the batcher.
        let token = (self.settings.concurrency > 1).then(|| self.outstanding.token(shards));
        let parcel = batch.seal(shards, self.settings.size, token, &mut self.press);
        if batch.is_empty() {
            self.open.remove(tenant);
        }
        self.hand_on(Sealed::Parcel(parcel)).await?;
        Ok(true)
    }

    fn tenants(&self, wanted: impl Fn(&OpenBatch) -> bool) -> Vec<Option<Arc<str>>> {
        self.open.iter().filter(|(_, batch)| wanted(batch)).map(|(tenant, _)| tenant.clone()).collect()
    }

    async fn hand_on(&self, sealed: Sealed) -> Result<(), SenderGone> {
        waited(&self.queues.parcel_wait, pin!(self.parcels.send(sealed))).await.map_err(|_| SenderGone)
    }
}
