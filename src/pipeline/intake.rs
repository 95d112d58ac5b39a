//! Where a source hands its chunks in: budget, custody, pipeline, and on to every client.
//! In: a chunk and the cursor after it.  Out: one handover per client.  Owns: the lanes of one target.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::batch::{Groups, Handover};
use crate::clock;
use crate::custody::{Cursor, Outcome, Track};
use crate::flow::Budget;
use crate::metrics::{Own, Series};
use crate::pipeline::compile::Pipeline;
use crate::pipeline::lane::{Lane, Scratch};
use crate::record::{Chunk, Labels, Output};

/// The way out of every pipeline: one bounded queue per client, and the budget over all of them.
#[derive(Clone, Debug)]
pub(crate) struct Outlet {
    pub(crate) clients: Vec<mpsc::Sender<Handover>>,
    pub(crate) budget: Budget,
    pub(crate) own: Own,
}

/// One target's entrance.
#[derive(Debug)]
pub(crate) struct Intake {
    /// Lines of stdout and of stderr may start with different labels; `None` drops them by relabelling.
    stdout: Option<Lane>,
    stderr: Option<Lane>,
    scratch: Scratch,
    outlet: Outlet,
    chunks: u64,
    lines_read: Arc<Series>,
    bytes_read: Arc<Series>,
    relabelled_away: Arc<Series>,
}

/// Nobody takes chunks any more: the agent is stopping.
#[derive(Debug)]
pub(crate) struct IntakeClosed;

impl Intake {
    /// An entrance for a target of kind `source` whose lines start with these labels; `None` where relabelling drops
    /// the output.
    pub(crate) fn new(
        pipeline: &Arc<Pipeline>,
        source: &str,
        stdout: Option<&Labels>,
        stderr: Option<&Labels>,
        outlet: &Outlet,
    ) -> Intake {
        let lane = |labels: &Labels| Lane::new(pipeline.clone(), labels);
        Intake {
            stdout: stdout.map(lane),
            stderr: stderr.map(lane),
            scratch: Scratch::default(),
            outlet: outlet.clone(),
            chunks: 0,
            lines_read: outlet.own.lines_read.with("source", source),
            bytes_read: outlet.own.bytes_read.with("source", source),
            relabelled_away: outlet.own.lines_dropped.with("reason", "relabel"),
        }
    }

    /// Takes a chunk whose lines end at `cursor`. Waits while the byte budget is spent or a client's queue is full.
    ///
    /// Not cancel-safe in the sense that a cancelled chunk is lost for this process: its ticket drops, the position
    /// stays before it, and the lines are read again after a restart. Cancel only to stop.
    pub(crate) async fn accept(
        &mut self,
        chunk: &Chunk,
        cursor: Cursor,
        track: &Arc<Track>,
    ) -> Result<(), IntakeClosed> {
        let share = self.outlet.budget.take(chunk.cost()).await;
        let ticket = track.admit(cursor, share);
        let groups = self.run(chunk);
        if groups.is_empty() || self.outlet.clients.is_empty() {
            ticket.settle(Outcome::DroppedByRule);
            return Ok(());
        }
        let groups = Arc::new(groups);
        for client in &self.outlet.clients {
            let handover = Handover { groups: groups.clone(), ticket: ticket.split() };
            client.send(handover).await.map_err(|_| IntakeClosed)?;
        }
        // The clients' tickets speak for the lines now; this one has nothing to add.
        ticket.settle(Outcome::Delivered);
        Ok(())
    }

    fn run(&mut self, chunk: &Chunk) -> Groups {
        let now = clock::now();
        self.chunks += 1;
        let mut groups = Groups::new(self.chunks);
        let mut entered = None;
        for (bytes, line) in chunk.lines() {
            let lane = match line.output {
                Output::Stdout => &mut self.stdout,
                Output::Stderr => &mut self.stderr,
            };
            let Some(lane) = lane else {
                self.relabelled_away.add(1.0);
                continue;
            };
            if entered != Some(line.output) {
                lane.enter(&mut self.scratch);
                entered = Some(line.output);
            }
            lane.run(bytes, line.timestamp, now, &mut self.scratch, &mut groups);
        }
        self.lines_read.add(chunk.len() as f64);
        self.bytes_read.add(chunk.size() as f64);
        groups
    }
}
