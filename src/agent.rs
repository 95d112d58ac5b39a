//! The agent as a whole: wired, running, stopped.
//! In: settings.  Out: an exit, with everything settled that could be.  Owns: every task.

mod clients;
mod inspect;
mod jumps;
mod lint;
mod load;
mod reference;
mod reload;
mod replay;
mod saver;
mod settings;
mod signals;
mod sources;
mod spools;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{interval, timeout_at};
use tracing::{error, info, warn};

use crate::agent::jumps::Jumps;
use crate::agent::reload::{Reloads, SetLog};
use crate::agent::signals::{Request as Signal, Signals};
use crate::agent::wire::Running;
use crate::clock::{self, Instant};
use crate::metrics::{Own, Registry};
use crate::server::Readiness;

pub(crate) use inspect::{Format as InspectFormat, inspect};
pub(crate) use load::{Loaded, Request, load};
pub(crate) use reference::reference;
pub(crate) use replay::{
    Caps, Destination, Ended, Limits as LokiLimits, MOST_STREAMS, Outlook, Question, Replay, Report,
};
#[cfg(any(fuzzing, test))]
pub(crate) use replay::{fuzz_limits, fuzz_state};
pub(crate) use settings::LogFormat;
#[cfg(any(fuzzing, test, feature = "hops"))]
pub(crate) use settings::Settings;
pub(crate) use wire::StartError;

pub(crate) use crate::server::LogLevel;

/// From the signal to the exit, with a margin to the 5 s that are promised.
const STOP_WITHIN: Duration = Duration::from_millis(4500);

/// What sources and senders get of that to have lines acknowledged.
const FLUSH_WITHIN: Duration = Duration::from_millis(2500);

/// Until then what is left is on disk; the rest is for positions.
const SPOOL_WITHIN: Duration = Duration::from_millis(3700);

/// What sources get of that, to hand on the chunk at hand: nobody takes it, or a stage limits its rate.
const END_WITHIN: Duration = Duration::from_millis(1500);

/// What is needed to run.
pub(crate) struct Parts {
    pub(crate) loaded: Loaded,
    /// To load it again.
    pub(crate) request: Request,
    pub(crate) registry: Arc<Registry>,
    pub(crate) own: Arc<Own>,
    pub(crate) set_log: SetLog,
    pub(crate) log: Arc<dyn LogLevel>,
}

/// Runs until a signal, or until delivery has no one to deliver to.
pub(crate) async fn run(parts: Parts) -> Result<(), StartError> {
    let mut signals = Signals::listen().map_err(StartError::Signals)?;
    let Parts { mut loaded, request, registry, own, set_log, log } = parts;
    let taken = wire::take(&mut loaded.settings)?;
    let (mut reloads, controls) =
        Reloads::new(&loaded, request, registry.clone(), own.clone(), set_log, log.clone());
    let mut running = wire::start(loaded.settings, taken, (registry, own.clone()), controls)?;
    let mut jumps = Jumps::new(&own);
    let mut looks = interval(jumps::LOOK_EVERY);
    running.readiness.send_replace(Readiness::Ready);
    notify(&[NotifyState::Ready]);
    info!("ready");
    // systemd kills a service that stays silent; the runtime that carries lines is the one that must speak.
    let watchdog = sd_notify::watchdog_enabled().map(|within| within / 2).filter(|period| !period.is_zero());
    let mut at_end = false;
    let mut heartbeat = interval(watchdog.unwrap_or(Duration::from_secs(3600)));
    loop {
        tokio::select! {
            request = signals.next() => match request {
                Signal::Stop(name) => {
                    signals.settle().await;
                    info!(signal = name, "stopping");
                    break;
                }
                Signal::Reload => reloads.signal(),
            },
            read = reloads.next() => reloads.apply(read, &mut running),
            ended = running.clients.ended() => {
                match ended {
                    Err(error) => error!(%error, "delivery ended unexpectedly, stopping"),
                    Ok(()) => info!("nobody takes lines any more, stopping"),
                }
                break;
            }
            () = running.sources.ended(), if running.finite => {
                info!("the input is at its end, stopping");
                at_end = true;
                break;
            }
            _ = looks.tick() => {
                jumps.look(clock::moment(), &own);
                reloads.sweep();
            }
            _ = heartbeat.tick() => if watchdog.is_some() { notify(&[NotifyState::Watchdog]) },
        }
    }
    notify(&[NotifyState::Stopping]);
    tokio::select! {
        // An input that cannot be read again is carried to its end, however long that takes.
        () = stop(running, (!at_end).then_some(FLUSH_WITHIN), &*log) => {}
        name = signals.stop() => {
            warn!(signal = name, "second signal, leaving at once: what is not acknowledged is sent again next time");
            std::process::exit(1);
        }
    }
    Ok(())
}

/// Sources end, inlets close in flow order, each stage drains, one deadline over all.
async fn stop(mut running: Running, within: Option<Duration>, log: &dyn LogLevel) {
    let started = Instant::now();
    running.readiness.send_replace(Readiness::Stopping);
    running.stop.cancel();
    let (sent_before, spooled_before) = (running.clients.sent(), running.clients.spooled());
    let drained = async {
        match within {
            Some(_) => running.sources.end(END_WITHIN).await,
            None => running.sources.ended().await,
        }
        // Nothing comes any more: batchers seal what they hold, senders send it and end.
        running.clients.drain().await;
    };
    let in_time = match within {
        Some(within) => timeout_at(started + within, drained).await.is_ok(),
        None => {
            drained.await;
            true
        }
    };
    // Time is up: what sources handed on and nobody acknowledged goes to disk.
    running.sources.abandon();
    running.clients.give_up();
    drop(timeout_at(started + SPOOL_WITHIN, running.clients.drain()).await);
    // What hangs (a dead mount, a terminal nobody reads) is not waited for: positions come first.
    running.clients.abandon();
    if timeout_at(Instant::now() + (STOP_WITHIN - SPOOL_WITHIN), running.saver.finish()).await.is_err() {
        warn!("positions were not saved in time");
    }
    let flushed = running.clients.sent() - sent_before;
    let spooled = running.clients.spooled() - spooled_before;
    let remaining = running.ledger.open_chunks();
    log.catch_up();
    info!(flushed, spooled, remaining, in_time, took = ?started.elapsed(),
        "stopped: flushed entries are acknowledged, spooled ones are on disk, remaining chunks will be read again");
}

/// Tells systemd; outside systemd this does nothing.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "systemd cannot be told");
    }
}
