//! The job whose hops are run: that of bot-core, a file through five stages.
//! In: chunks.  Out: handovers.  Owns: an intake, and the end of the queue behind it.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::sync::mpsc;

use crate::agent::Settings;
use crate::batch::{self, Handover, Inbound};
use crate::config::parse_yaml;
use crate::custody::{Cursor, Head, Ledger, Outcome, Track};
use crate::flow::{Budget, IN_FLIGHT_LIMIT};
use crate::hops::Failure;
use crate::metrics::{Own, Queues, Registry};
use crate::pipeline::{Inlet, Intake, Outlet};
use crate::record::{Chunk, Labels};
use crate::targets::Description;

/// As in `benches/support/job.rs`.
const STAGES: [&str; 5] = [
    "docker: {}",
    "json: {expressions: {timestamp: , level: , service: , duration_ms: }}",
    "labels: {level: , service: }",
    "timestamp: {source: timestamp, format: RFC3339Nano}",
    "metrics: {lines_total: {type: Counter, config: {match_all: true, action: inc}}}",
];

/// A batch waits for its size, so that no clock decides what a round holds.
const CLIENTS: &str = "clients: [{url: 'http://127.0.0.1:1/loki/api/v1/push', batchwait: 1h}]";

/// One target of a job.
pub(super) struct Job {
    intake: Intake,
    track: Arc<Track>,
    /// What comes out, unless somebody else takes it.
    handovers: mpsc::Receiver<Inbound>,
    pub(super) outlet: Outlet,
    pub(super) queues: Queues,
    pub(super) batches: batch::Settings,
}

impl Job {
    /// A job with so many of the stages.
    pub(super) fn new(stages: usize) -> Result<Job, Failure> {
        let stages: String = STAGES.iter().take(stages).map(|stage| format!("  - {stage}\n")).collect();
        let list = if stages.is_empty() { " []\n".to_owned() } else { format!("\n{stages}") };
        let text = format!(
            "{CLIENTS}\nscrape_configs:\n- job_name: bench\n  static_configs: [{{labels: {{__path__: /c.log}}}}]\n  pipeline_stages:{list}"
        );
        let registry = Registry::default();
        let own = Own::register(&registry);
        let decoded = parse_yaml(&text).and_then(|root| Settings::decode(&root, &registry, &own));
        let settings = decoded.map_err(|invalid| invalid.to_string())?;
        let (job, client) = (settings.jobs.first(), settings.clients.first());
        let (Some(job), Some(client)) = (job, client) else { return Err("there is no job".into()) };
        let outlet = Outlet::new(Budget::new(IN_FLIGHT_LIMIT), false, own.clone());
        let metrics = own.client("bench");
        let (queue, handovers) = mpsc::channel(batch::queue_length(1));
        let (received, in_flight) = (metrics.received_entries, metrics.in_flight_entries);
        let queues = metrics.path.queues;
        outlet.lead_to(vec![Inlet { queue, received, in_flight, queues: queues.clone() }]);
        let labels: Labels = [("filename", "/var/log/bench.log"), ("job", "bench")].into_iter().collect();
        let target = outlet.targets.add(Description {
            job: "bench".to_owned(),
            kind: "file",
            name: "/var/log/bench.log".to_owned(),
            discovered: BTreeMap::new(),
            labels: labels.clone(),
        });
        let intake = Intake::new(&job.pipeline, target, Some(&labels), None, &outlet);
        let track = Ledger::default().track("file:1:1", "/var/log/bench.log");
        Ok(Job { intake, track, handovers, outlet, queues, batches: client.batch.clone() })
    }

    /// Takes a chunk through the stages; what comes out counts as delivered.
    pub(super) fn accept(&mut self, chunk: &Chunk) -> Result<Option<Handover>, Failure> {
        let accepted = self.take(chunk).now_or_never().ok_or("a chunk waits for another")?;
        accepted?;
        let Ok(Inbound::Entries(mut handover)) = self.handovers.try_recv() else { return Ok(None) };
        handover.tickets.drain(..).for_each(|ticket| ticket.settle(Outcome::Delivered));
        Ok(Some(handover))
    }

    /// Takes a chunk through the stages.
    pub(super) async fn take(&mut self, chunk: &Chunk) -> Result<(), Failure> {
        let cursor = Cursor::File { offset: 0, head: Head::default() };
        let accepted = self.intake.accept(chunk, cursor, &self.track).await;
        accepted.map_err(|_| "nobody takes lines".into())
    }

    /// What is handed over from here on.
    pub(super) fn take_handovers(&mut self) -> mpsc::Receiver<Inbound> {
        std::mem::replace(&mut self.handovers, mpsc::channel(1).1)
    }
}
