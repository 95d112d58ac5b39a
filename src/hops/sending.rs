//! The hops behind the pipeline: the batcher, and compressing what it made.
//! In: a log.  Out: rounds.  Owns: a runtime of one thread.

use std::iter;
use std::path::Path;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use crate::batch::{self, Finished, Handover, Inbound, Sealed};
use crate::custody::{Cursor, Head, Ledger, Outcome};
use crate::flow::Share;
use crate::hops::job::Job;
use crate::hops::{Failure, Round, chunks};
use crate::metrics::Tally;
use crate::pipeline::Inlet;
use crate::record::Chunk;
use crate::source::file;

/// Parcels that wait for their taker, as for a sender.
const PARCELS: usize = 2;

/// A batcher on a runtime of one thread.
struct Batcher {
    runtime: Runtime,
    parcels: mpsc::Receiver<Sealed>,
}

impl Batcher {
    fn start(job: &mut Job) -> Result<Batcher, Failure> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let (sender, parcels) = mpsc::channel(PARCELS);
        let (settings, handovers) = (job.batches.clone(), job.take_handovers());
        runtime.spawn(batch::run(settings, handovers, sender, job.queues.clone()));
        Ok(Batcher { runtime, parcels })
    }

    /// Runs `feed`, which ends with what seals all that it handed over; the entries that came out.
    fn round(&mut self, feed: impl Future<Output = Result<(), Failure>>) -> Result<u64, Failure> {
        let Batcher { runtime, parcels } = self;
        let sealed = async {
            let mut entries = 0;
            while let Some(Sealed::Parcel(parcel)) = parcels.recv().await {
                entries += parcel.entries();
                parcel.settle(Outcome::Delivered);
            }
            Ok(entries)
        };
        runtime.block_on(async { tokio::try_join!(feed, sealed) }).map(|((), entries)| entries)
    }
}

/// Groups of the log, handed to a batcher.
pub(super) fn batch(log: &Path) -> Result<Round, Failure> {
    let groups = groups(log)?;
    let mut job = Job::new(0)?;
    let (outlet, track) = (job.outlet.clone(), Ledger::default().track("file:1:1", "bench.log"));
    let mut batcher = Batcher::start(&mut job)?;
    Ok(Box::new(move || {
        batcher.round(async {
            let inlets = outlet.inlets();
            let [inlet] = &*inlets else { return Err("there is no inlet".into()) };
            for groups in &groups {
                let cursor = Cursor::File { offset: 0, head: Head::default() };
                let handover = Handover {
                    groups: groups.clone(),
                    tickets: vec![track.admit(cursor, Share::default())],
                    cost: Chunk::TARGET_SIZE,
                    entries: Tally::new(&inlet.in_flight, batch::entries(groups)),
                    waiting: Tally::new(&inlet.queues.handovers, 1),
                };
                send(inlet, Inbound::Entries(handover)).await?;
            }
            send(inlet, Inbound::Secure).await
        })
    }))
}

/// Requests of a megabyte of the log's lines each, compressed.
pub(super) fn press(log: &Path) -> Result<Round, Failure> {
    let groups = groups(log)?;
    let mut request = Vec::new();
    for group in groups.iter().flat_map(|groups| groups.iter()) {
        batch::encode_stream(&group.stream.text, iter::once(&group.encoded[..]), &mut request);
    }
    let lines = groups.iter().map(batch::entries).sum();
    let mut press = batch::press();
    Ok(Box::new(move || {
        for part in request.chunks(1024 * 1024) {
            drop(press(part));
        }
        Ok(lines)
    }))
}

/// The log through all of it: read, carried, batched, settled.
pub(super) fn path(log: &Path) -> Result<Round, Failure> {
    let mut read = file::read(log)?;
    let (mut job, mut chunk) = (Job::new(usize::MAX)?, Chunk::default());
    let mut batcher = Batcher::start(&mut job)?;
    Ok(Box::new(move || {
        batcher.round(async {
            loop {
                let end = read(&mut chunk)?;
                if !chunk.is_empty() {
                    job.take(&chunk).await?;
                    chunk.clear();
                }
                if end {
                    break;
                }
            }
            match &*job.outlet.inlets() {
                [inlet] => send(inlet, Inbound::Secure).await,
                _ => Err("there is no inlet".into()),
            }
        })
    }))
}

async fn send(inlet: &Inlet, inbound: Inbound) -> Result<(), Failure> {
    inlet.send(inbound).await.map_err(|_| "the batcher is gone".into())
}

/// What the whole pipeline makes of the log, chunk by chunk.
fn groups(log: &Path) -> Result<Vec<Finished>, Failure> {
    let mut job = Job::new(usize::MAX)?;
    let mut groups = Vec::new();
    for chunk in chunks(file::read(log)?)? {
        groups.extend(job.accept(&chunk)?.map(|handover| handover.groups));
    }
    Ok(groups)
}
