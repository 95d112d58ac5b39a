//! Where a source hands its chunks in: budget, custody, pipeline, and on to every client.
//! In: a chunk and the cursor after it.  Out: one handover per client.  Owns: the lanes of one target.

use std::io::{self, IsTerminal as _};
use std::pin::pin;
use std::sync::Arc;

use tokio::time::{sleep, sleep_until};

use crate::batch::{Handover, Inbound};
use crate::clock::{self, Instant};
use crate::custody::{Cursor, Outcome, Ticket, Track};
use crate::flow::{Budget, TARGET_LIMIT, Turn};
use crate::metrics::{Series, Tally, waited};
use crate::pipeline::compile::{DropReason, Pipeline};
use crate::pipeline::counting::Counting;
use crate::pipeline::derived::CountWith as _;
use crate::pipeline::inspect::{Inspector, Trace, show_text};
use crate::pipeline::lane::{Incoming, Lane, Output, Scratch};
use crate::pipeline::origins::{DROPPED, Origins};
use crate::pipeline::outlet::Outlet;
use crate::pipeline::relabel::Rule;
use crate::record::{Chunk, Labels, Origin};
use crate::targets::Target;

/// One target's entrance.
#[derive(Debug)]
pub(crate) struct Intake {
    pipeline: Arc<Pipeline>,
    /// By origin; what starts with the labels of `None` is dropped by relabelling.
    lanes: Vec<Option<Lane>>,
    /// Where lines come with labels of their own.
    origins: Option<Origins>,
    scratch: Scratch,
    /// Prints what stages do, where that is wanted.
    inspector: Option<Box<Inspector>>,
    outlet: Outlet,
    target: Target,
    /// What this target may have in flight.
    budget: Budget,
    /// To fill the next chunk, and to carry it.
    turn: Option<Turn>,
    /// Outputs so far; each has a number, so that caches can tell them apart.
    outputs: u64,
    lines_read: Arc<Series>,
    bytes_read: Arc<Series>,
    relabelled_away: DropReason,
}

/// Nobody takes chunks any more: the agent is stopping.
#[derive(Debug)]
pub(crate) struct IntakeClosed;

impl Intake {
    /// An entrance for a target whose lines start with these labels; `None` where relabelling drops
    /// the output.
    pub(crate) fn new(
        pipeline: &Arc<Pipeline>,
        target: Target,
        stdout: Option<&Labels>,
        stderr: Option<&Labels>,
        outlet: &Outlet,
    ) -> Intake {
        let lane = |labels: &Labels| Lane::new(pipeline.clone(), labels);
        let lanes = [stdout, stderr].map(|labels| labels.map(lane)).into();
        Intake::with(lanes, None, pipeline, target, outlet)
    }

    /// An entrance for a target whose lines come with labels of their own, which go through `rules`
    /// first; [`origin`](Self::origin) says what to push them with.
    pub(crate) fn mixed(
        pipeline: &Arc<Pipeline>,
        rules: Arc<Vec<Rule>>,
        target: Target,
        outlet: &Outlet,
    ) -> Intake {
        let origins = Origins::new(pipeline.clone(), rules);
        Intake::with(vec![None], Some(origins), pipeline, target, outlet)
    }

    fn with(
        lanes: Vec<Option<Lane>>,
        origins: Option<Origins>,
        pipeline: &Arc<Pipeline>,
        target: Target,
        outlet: &Outlet,
    ) -> Intake {
        Intake {
            pipeline: pipeline.clone(),
            lanes,
            origins,
            scratch: Scratch::default(),
            inspector: outlet.inspect.then(Box::default),
            outlet: outlet.clone(),
            budget: Budget::new(TARGET_LIMIT),
            turn: None,
            outputs: 0,
            lines_read: outlet.own.lines_read.with("source", target.kind()),
            bytes_read: outlet.own.bytes_read.with("source", target.kind()),
            relabelled_away: DropReason::new("relabel", &outlet.own),
            target,
        }
    }

    /// What lines with these labels, hidden ones included, are pushed into a chunk with. Valid for chunks that are
    /// accepted before the next call of [`accept`](Self::accept) returns; only for [`mixed`](Self::mixed) entrances.
    pub(crate) fn origin<N: AsRef<str>, V: AsRef<str>>(
        &mut self,
        labels: impl Iterator<Item = (N, V)> + Clone,
    ) -> Origin {
        match &mut self.origins {
            Some(origins) => origins.find(labels, &mut self.lanes),
            None => DROPPED,
        }
    }

    /// The same for lines that start with exactly these labels, whatever the rules say.
    pub(crate) fn origin_of(&mut self, labels: &Labels) -> Origin {
        match &mut self.origins {
            Some(origins) => origins.lane(labels.clone(), &mut self.lanes),
            None => DROPPED,
        }
    }

    /// Whether lines of this origin start with no labels at all.
    pub(crate) fn is_unlabelled(&self, origin: Origin) -> bool {
        self.origins.as_ref().is_some_and(|origins| origins.is_unlabelled(origin))
    }

    /// Waits until it is this target's turn to fill a chunk, and gives it the memory for that. For sources that can wait with
    /// reading; they [`pass`](Self::pass) in the end. Cancel-safe.
    pub(crate) async fn turn(&mut self, chunk: &mut Chunk) {
        if self.turn.is_none() {
            self.turn = Some(self.outlet.turns.take().await);
            *chunk = self.outlet.turns.chunk();
        }
    }

    /// Leaves the turn, and the chunk with what is in it, to the next.
    pub(crate) fn pass(&mut self, chunk: &mut Chunk) {
        self.turn = None;
        self.outlet.turns.give_back(std::mem::take(chunk));
    }

    /// Takes a chunk whose lines end at `cursor`. Waits while the byte budget is spent, a client's queue is full or a
    /// stage limits the rate.
    ///
    /// Not cancel-safe in the sense that a cancelled chunk is lost for this process: its ticket drops, the position
    /// stays before it, and the lines are read again after a restart. Cancel only to stop.
    pub(crate) async fn accept(
        &mut self,
        chunk: &Chunk,
        cursor: Cursor,
        track: &Arc<Track>,
    ) -> Result<(), IntakeClosed> {
        let (budget, of_target) = (self.outlet.budget.clone(), self.budget.clone());
        let waiting = self.outlet.own.path.budget_wait.clone();
        let share = pin!(budget.take_within(&of_target, chunk.cost()));
        let share = self.meanwhile(pin!(waited(&waiting, share))).await;
        // A busy target never waits, and what it holds back must go on all the same.
        let now = Instant::now();
        if self.lanes().filter_map(|lane| lane.due()).any(|due| due <= now) {
            self.let_go(Some(now)).await?;
        }
        let ticket = track.admit(cursor, share);
        self.target.read(chunk.len(), chunk.size(), track);
        self.lines_read.add(chunk.len() as f64);
        self.bytes_read.add(chunk.size() as f64);
        let (mut done, mut cost) = (0, chunk.cost());
        while done < chunk.len() {
            let mut output = self.output();
            output.groups.expect(chunk.size());
            done = self.run(chunk, done, &ticket, &mut output);
            if done == chunk.len() {
                let now = Instant::now();
                self.lanes().for_each(|lane| lane.end_chunk(&ticket, now));
            }
            let pause = output.pause;
            self.hand_on(output, ticket.split(), &mut cost).await?;
            if !pause.is_zero() {
                // A rate of its own is no reason for others to wait.
                self.turn = None;
                self.meanwhile(pin!(sleep(pause))).await;
            }
        }
        // Every part has a ticket that speaks for it; this one has nothing to add.
        ticket.settle(Outcome::Delivered);
        if self.origins.as_ref().is_some_and(Origins::are_too_many) {
            self.let_go(None).await?;
            self.lanes.truncate(1);
            self.origins.iter_mut().for_each(Origins::clear);
        }
        Ok(())
    }

    /// Awaits something, which its caller has pinned, and meanwhile lets go on what stages have held back for long enough.
    /// Cancel-safe if `what` is, in the sense of [`accept`](Self::accept).
    pub(crate) async fn meanwhile<F: Future + Unpin>(&mut self, mut what: F) -> F::Output {
        while let Some(due) = self.lanes().filter_map(|lane| lane.due()).min() {
            tokio::select! {
                biased;
                output = &mut what => return output,
                () = sleep_until(due) => {}
            }
            // That nobody takes chunks any more is learned with the next one.
            if self.let_go(Some(Instant::now())).await.is_err() {
                break;
            }
        }
        what.await
    }

    /// Lines start with these labels from now on. What stages remember, and hold back, stays.
    pub(crate) async fn relabel(
        &mut self,
        stdout: Option<&Labels>,
        stderr: Option<&Labels>,
    ) -> Result<(), IntakeClosed> {
        let labels = [stdout, stderr];
        let differs = |(lane, labels): (&Option<Lane>, &Option<&Labels>)| match (lane, labels) {
            (Some(lane), Some(labels)) => lane.keys_change_with(labels),
            (lane, labels) => lane.is_some() && labels.is_none(),
        };
        // What waits under the labels of before would wait in vain for lines that belong to it.
        if self.lanes.iter().zip(&labels).any(differs) {
            self.finish().await?;
        }
        if let Some(labels) = stdout.or(stderr) {
            self.target.relabel(labels);
        }
        for (lane, labels) in self.lanes.iter_mut().zip(labels) {
            match (lane.as_mut(), labels) {
                (Some(lane), Some(labels)) => lane.relabel(labels),
                (_, labels) => *lane = labels.map(|labels| Lane::new(self.pipeline.clone(), labels)),
            }
        }
        Ok(())
    }

    /// Lets go on all that stages hold back: the target is at its end, or the agent is.
    pub(crate) async fn finish(&mut self) -> Result<(), IntakeClosed> {
        self.let_go(None).await
    }

    /// The target is going away, and what it has given so far cannot be read again.
    pub(crate) async fn secure(&mut self) -> Result<(), IntakeClosed> {
        for client in self.outlet.inlets().iter() {
            client.send(Inbound::Secure).await?;
        }
        Ok(())
    }

    /// Somebody waits until what came in so far is settled: it goes as soon as the way is free, however young it is.
    pub(crate) async fn hasten(&mut self) -> Result<(), IntakeClosed> {
        for client in self.outlet.inlets().iter() {
            client.send(Inbound::Hasten).await?;
        }
        Ok(())
    }

    /// As people see it.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    fn lanes(&mut self) -> impl Iterator<Item = &mut Lane> {
        self.lanes.iter_mut().flatten()
    }

    fn output(&mut self) -> Output {
        self.outputs += 1;
        Output::new(self.outputs)
    }

    async fn let_go(&mut self, by: Option<Instant>) -> Result<(), IntakeClosed> {
        let (mut output, moment) = (self.output(), clock::moment());
        let mut counting = Counting::new(&self.pipeline, moment.wall);
        for lane in self.lanes.iter_mut().flatten() {
            if let Some(inspector) = &mut self.inspector {
                let mut both = (&mut **inspector, &mut counting);
                lane.let_go(by, moment, &mut self.scratch, &mut output, &mut both);
            } else {
                lane.let_go(by, moment, &mut self.scratch, &mut output, &mut counting);
            }
        }
        counting.finish();
        if let Some(inspector) = self.inspector.as_mut().filter(|_| !output.tickets.is_empty()) {
            print("held back before", "", &inspector.take());
        }
        match output.tickets.pop() {
            // What is held back has given its share of the budget back.
            Some(ticket) => self.hand_on(output, ticket, &mut 0).await,
            None => Ok(()),
        }
    }

    /// Gives lines and the tickets that answer for them to every client.
    ///
    /// `cost` is what the chunk takes of the budget; the first part of it that is handed on answers for that.
    async fn hand_on(
        &mut self,
        output: Output,
        ticket: Ticket,
        cost: &mut usize,
    ) -> Result<(), IntakeClosed> {
        let Output { groups, mut tickets, changes, dropped, .. } = output;
        self.target.dropped(dropped);
        changes.count_with(&ticket);
        tickets.push(ticket);
        let mut outcome = Outcome::DroppedByRule;
        let entries = groups.entries();
        if entries > 0 {
            let inlets = self.outlet.inlets();
            if inlets.is_empty() {
                return Err(IntakeClosed);
            }
            self.outlet.own.entries_made.add(entries as f64);
            let (groups, cost) = (groups.finish(), std::mem::take(cost));
            for inlet in inlets.iter() {
                let tickets = tickets.iter().map(Ticket::split).collect();
                inlet.received.add(entries as f64);
                let entries = Tally::new(&inlet.in_flight, entries);
                let waiting = Tally::new(&inlet.queues.handovers, 1);
                let handover = Handover { groups: groups.clone(), tickets, cost, entries, waiting };
                inlet.send(Inbound::Entries(handover)).await?;
            }
            // The clients' tickets speak for the lines now; these have nothing to add.
            outcome = Outcome::Delivered;
        }
        tickets.into_iter().for_each(|ticket| ticket.settle(outcome));
        Ok(())
    }

    /// Runs lines from number `from` on, until a stage wants a pause or the chunk ends; the number of the next line.
    fn run(&mut self, chunk: &Chunk, from: usize, ticket: &Ticket, output: &mut Output) -> usize {
        let moment = clock::moment();
        let carried = std::slice::from_ref(ticket);
        let mut counting = Counting::new(&self.pipeline, moment.wall);
        let (mut entered, mut next) = (None, chunk.len());
        for (number, (bytes, line)) in chunk.lines().enumerate().skip(from) {
            let Some(lane) = self.lanes.get_mut(line.origin.0 as usize).and_then(Option::as_mut) else {
                output.drop(&self.relabelled_away);
                counting.relabelled_away();
                continue;
            };
            if entered != Some(line.origin) {
                lane.enter(&mut self.scratch);
                entered = Some(line.origin);
            }
            let line = Incoming { bytes, timestamp: line.timestamp, metadata: chunk.metadata(number) };
            if let Some(inspector) = &mut self.inspector {
                let mut both = (&mut **inspector, &mut counting);
                lane.run(line, moment, carried, &mut self.scratch, output, &mut both);
                print("line", &String::from_utf8_lossy(bytes), &inspector.take());
            } else {
                lane.run(line, moment, carried, &mut self.scratch, output, &mut counting);
            }
            if !output.pause.is_zero() {
                next = number + 1;
                break;
            }
        }
        counting.finish();
        next
    }
}

/// Shows on standard error what stages did.
fn print(title: &str, input: &str, trace: &Trace) {
    eprint!("{}", show_text(title, input, trace, io::stderr().is_terminal()));
}
