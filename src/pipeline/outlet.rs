//! The way out of every pipeline: one bounded queue per client, and the budget over all of them.
//! In: what takes lines now.  Out: a list to hand them to.  Owns: the list, which changes when the configuration does.

use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::mpsc;

use crate::batch::Inbound;
use crate::flow::{Budget, Troubles, Turns};
use crate::metrics::{Own, Queues, Series, StageBoard, waited};
use crate::pipeline::intake::IntakeClosed;
use crate::targets::Targets;

/// The way to one client, or to the archive.
#[derive(Clone, Debug)]
pub(crate) struct Inlet {
    pub(crate) queue: mpsc::Sender<Inbound>,
    /// Entries handed to it.
    pub(crate) received: Arc<Series>,
    /// Those of them in memory, not settled.
    pub(crate) in_flight: Arc<Series>,
    pub(crate) queues: Queues,
}

impl Inlet {
    /// Hands something on; waits while the queue is full. Cancelled, it was not handed on, and its tickets say so.
    pub(crate) async fn send(&self, inbound: Inbound) -> Result<(), IntakeClosed> {
        let sent = waited(&self.queues.handover_wait, pin!(self.queue.send(inbound))).await;
        sent.map_err(|_| IntakeClosed)
    }
}

/// The way to each client.
pub(crate) type Inlets = Arc<[Inlet]>;

/// Shared by all sources.
#[derive(Clone, Debug)]
pub(crate) struct Outlet {
    inlets: Arc<RwLock<Inlets>>,
    pub(crate) budget: Budget,
    pub(crate) turns: Turns,
    /// Print to standard error what stages do to each line.
    pub(crate) inspect: bool,
    pub(crate) own: Arc<Own>,
    /// What is read.
    pub(crate) targets: Targets,
    /// What stages do.
    pub(crate) stages: StageBoard,
    pub(crate) troubles: Troubles,
}

impl Outlet {
    /// A way out that leads nowhere yet.
    pub(crate) fn new(budget: Budget, inspect: bool, own: Arc<Own>) -> Outlet {
        let inlets = Arc::new(RwLock::new(Inlets::from([])));
        let turns = Turns::new();
        let (targets, stages, troubles) = (Targets::default(), StageBoard::default(), Troubles::default());
        Outlet { inlets, budget, turns, inspect, own, targets, stages, troubles }
    }

    /// The queues there are, to hand one thing to all of them. A queue that is taken out closes when the last of these
    /// lists is let go, so what is on its way still arrives.
    pub(crate) fn inlets(&self) -> Inlets {
        self.inlets.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Leads to these queues from the next handover on; to none of them, it is closed.
    pub(crate) fn lead_to(&self, inlets: Vec<Inlet>) {
        *self.inlets.write().unwrap_or_else(PoisonError::into_inner) = inlets.into();
    }
}
