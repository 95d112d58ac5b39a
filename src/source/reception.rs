//! What receives from one port, whoever takes in what arrives.
//! In: a port, and what senders send.  Out: batches.  Owns: the task that receives, with its connections.
//!
//! Where a new configuration changes only what becomes of messages, the new source inherits all of this from the one before:
//! no connection is closed, and no port is without a listener for a moment.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::pin::Pin;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use crate::metrics::Own;
use crate::pipeline::IntakeClosed;
use crate::source::arrivals::{Arrivals, Decode, Lines};
use crate::source::connections::Connections;
pub(crate) use crate::source::connections::Tcp;
use crate::source::datagrams::{self, Split};
use crate::source::listen::{Port, Take};
use crate::source::names::Names;
use crate::targets::Reporter;

/// Batches that wait for the pipeline, each of about [`Arrivals::ENOUGH`] bytes at most.
const QUEUE: usize = 64;

/// How often a decoder is told that time has passed.
const TICK: std::time::Duration = std::time::Duration::from_secs(1);

/// How one source receives.
#[derive(Debug)]
pub(crate) struct Reception {
    /// Its kind, as metrics and the log call it.
    source: &'static str,
    transport: Transport,
    /// Somebody wants to know the names of senders.
    names: bool,
    heir: Mutex<Option<oneshot::Sender<Running>>>,
    inheritance: Mutex<Option<oneshot::Receiver<Running>>>,
}

#[derive(Debug)]
pub(crate) enum Transport {
    Tcp { port: Port<TcpListener>, tcp: Tcp },
    Udp { port: Port<UdpSocket>, longest: usize, split: Split },
}

/// What receives, at work.
#[derive(Debug)]
pub(crate) struct Running {
    arrivals: mpsc::Receiver<Arrivals>,
    pub(crate) names: Arc<Names>,
    stop: CancellationToken,
    serving: AbortOnDropHandle<()>,
}

/// What happens next.
enum Next {
    Arrivals(Arrivals),
    Tick,
    Stop,
    End,
}

impl fmt::Display for Reception {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.transport {
            Transport::Tcp { port, .. } => write!(out, "tcp {port}"),
            Transport::Udp { port, .. } => write!(out, "udp {port}"),
        }
    }
}

impl Reception {
    pub(crate) fn new(source: &'static str, transport: Transport, names: bool) -> Reception {
        Reception { source, transport, names, heir: Mutex::default(), inheritance: Mutex::default() }
    }

    pub(crate) fn port(&self) -> &dyn Take {
        match &self.transport {
            Transport::Tcp { port, .. } => port,
            Transport::Udp { port, .. } => port,
        }
    }

    /// Has this source inherit from one that is about to be stopped, where the two receive alike. True when it does.
    pub(crate) fn inherit(&self, before: &Reception) -> bool {
        let is_alike = match (&self.transport, &before.transport) {
            (Transport::Tcp { port, tcp }, Transport::Tcp { port: other, tcp: as_other }) => {
                port.is_same(other) && tcp == as_other
            }
            (Transport::Udp { port, longest, .. }, Transport::Udp { port: other, longest: as_other, .. }) => {
                port.is_same(other) && longest == as_other
            }
            _ => false,
        };
        if !is_alike || (self.source, self.names) != (before.source, before.names) {
            return false;
        }
        let (heir, inheritance) = oneshot::channel();
        let mut place = before.heir.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = place.is_none();
        if is_first {
            *place = Some(heir);
            *self.inheritance.lock().unwrap_or_else(PoisonError::into_inner) = Some(inheritance);
        }
        is_first
    }

    /// Begins to receive for job `job`, or goes on with what it inherits. `None` when it is told to stop before.
    pub(crate) async fn open(
        &self,
        job: &str,
        own: &Arc<Own>,
        reporter: &Reporter,
        stop: &CancellationToken,
    ) -> Option<Running> {
        let inheritance = self.inheritance.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(inheritance) = inheritance
            && let Ok(running) = inheritance.await
        {
            return Some(running);
        }
        let (sender, arrivals) = mpsc::channel(QUEUE);
        let (names, questions) = Names::new(self.names);
        let ending = CancellationToken::new();
        let (source, stopping) = (self.source, ending.clone());
        let receiving: Pin<Box<dyn Future<Output = io::Result<()>> + Send>> = match &self.transport {
            Transport::Tcp { port, tcp } => {
                let socket = port.open(job, source, own, reporter, stop).await?;
                let connections = Connections::new(tcp.clone(), source, names.clone(), sender, own);
                Box::pin(async move { connections.serve(socket, &stopping).await })
            }
            Transport::Udp { port, longest, split } => {
                let socket = port.open(job, source, own, reporter, stop).await?;
                let (own, longest, split) = (own.clone(), *longest, *split);
                Box::pin(async move {
                    datagrams::receive(socket, source, &own, &sender, &stopping, longest, split).await
                })
            }
        };
        let (active, known) = (own.targets_active.with("source", source), names.clone());
        let reporter = reporter.clone();
        let serving = tokio::spawn(async move {
            active.add(1.0);
            tokio::select! {
                received = receiving => {
                    if let Err(error) = received {
                        warn!(source, %error, "nothing is received any more");
                        reporter.fails(&error);
                    }
                }
                () = questions.answer(&known) => {}
            }
            active.add(-1.0);
        });
        Some(Running { arrivals, names, stop: ending, serving: AbortOnDropHandle::new(serving) })
    }

    /// Takes in what arrives until it is told to stop. Then its heir goes on with what has not been taken in; where there
    /// is none, all that has reached this host is taken in still.
    pub(crate) async fn take_in(
        &self,
        mut running: Running,
        mut decoder: impl Decode,
        mut lines: Lines,
        stop: &CancellationToken,
    ) {
        let mut heir = None;
        let taken = async {
            let mut ticks = interval(TICK);
            let mut is_ending = false;
            loop {
                let next = async {
                    tokio::select! {
                        biased;
                        () = stop.cancelled(), if !is_ending => Next::Stop,
                        _ = ticks.tick() => Next::Tick,
                        arrivals = running.arrivals.recv() => arrivals.map_or(Next::End, Next::Arrivals),
                    }
                };
                let next = lines.meanwhile(pin!(next)).await;
                match next {
                    Next::Arrivals(arrivals) => {
                        lines.take(&arrivals, &mut decoder).await?;
                        if running.arrivals.is_empty() {
                            lines.hand_on().await?;
                        }
                    }
                    Next::Tick => decoder.tick(),
                    Next::Stop => {
                        heir = self.heir.lock().unwrap_or_else(PoisonError::into_inner).take();
                        if heir.is_some() {
                            break;
                        }
                        is_ending = true;
                        running.stop.cancel();
                    }
                    Next::End => break,
                }
            }
            decoder.end();
            lines.hand_on().await?;
            lines.finish().await
        };
        let taken: Result<(), IntakeClosed> = taken.await;
        match (taken, heir) {
            // An heir that is gone was stopped in a hurry, as are all.
            (Ok(()), Some(heir)) => drop(heir.send(running)),
            (Ok(()), None) => drop(running.serving.await),
            // Nobody takes lines any more: the agent is stopping in a hurry, and has said so.
            (Err(IntakeClosed), _) => {}
        }
    }
}
