//! The agent as a whole: wired, running, stopped.
//! In: settings.  Out: an exit, with everything settled that could be.  Owns: every task.

mod inspect;
mod lint;
mod load;
mod reference;
mod saver;
mod settings;
mod signals;
mod spools;
mod wire;

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout_at};
use tracing::{error, info, warn};

use crate::agent::signals::{Request as Signal, Signals};
use crate::agent::wire::Running;
use crate::clock::Instant;
use crate::delivery::Leftover;
use crate::server::Readiness;

pub(crate) use inspect::{Format as InspectFormat, inspect};
pub(crate) use load::{Loaded, Request, load};
pub(crate) use reference::reference;
pub(crate) use settings::LogFormat;
#[cfg(any(fuzzing, test))]
pub(crate) use settings::Settings;
pub(crate) use wire::{Parts, StartError};

/// From the signal to the exit, with a margin to the 5 s that are promised.
const STOP_WITHIN: Duration = Duration::from_millis(4500);

/// What the senders get of that to have lines acknowledged.
const FLUSH_WITHIN: Duration = Duration::from_millis(2500);

/// Until then what is left is on disk; the rest is for positions.
const SPOOL_WITHIN: Duration = Duration::from_millis(3700);

/// Runs until a signal, or until delivery has no one to deliver to.
pub(crate) async fn run(parts: Parts) -> Result<(), StartError> {
    let mut signals = Signals::listen().map_err(StartError::Signals)?;
    let mut running = wire::start(parts)?;
    running.readiness.send_replace(Readiness::Ready);
    notify(NotifyState::Ready);
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
                // Not to die of it: log rotation and service managers send it without asking.
                Signal::Reload => {
                    warn!(signal = "SIGHUP", "this version does not read its configuration again, restart it");
                }
            },
            ended = running.delivery.join_next() => {
                match ended {
                    Some(Err(error)) => error!(%error, "delivery ended unexpectedly, stopping"),
                    _ => info!("nobody takes lines any more, stopping"),
                }
                break;
            }
            () = end(&mut running.sources), if running.finite => {
                info!("the input is at its end, stopping");
                at_end = true;
                break;
            }
            _ = heartbeat.tick() => if watchdog.is_some() { notify(NotifyState::Watchdog) },
        }
    }
    notify(NotifyState::Stopping);
    tokio::select! {
        // An input that cannot be read again is carried to its end, however long that takes.
        () = stop(running, (!at_end).then_some(FLUSH_WITHIN)) => {}
        name = signals.stop() => {
            warn!(signal = name, "second signal, leaving at once: what is not acknowledged is sent again next time");
            std::process::exit(1);
        }
    }
    Ok(())
}

/// Waits for sources that come to an end by themselves.
async fn end(sources: &mut JoinSet<()>) {
    while sources.join_next().await.is_some() {}
}

/// Sources end, inlets close in flow order, each stage drains, one deadline over all.
async fn stop(mut running: Running, within: Option<Duration>) {
    let started = Instant::now();
    running.readiness.send_replace(Readiness::Stopping);
    running.stop.cancel();
    let (sent_before, spooled_before) = (running.counted.sent(), running.counted.spooled());
    // The last inlets are gone with the sources: batchers seal what they hold, senders send it and end.
    drop(running.outlet);
    let in_time = match within {
        Some(within) => {
            let drained = drain(&mut running.sources, &mut running.batchers, &mut running.delivery);
            timeout_at(started + within, drained).await.is_ok()
        }
        None => {
            drain(&mut running.sources, &mut running.batchers, &mut running.delivery).await;
            true
        }
    };
    // Time is up: sources that wait for room end where they are, and what they handed on goes to disk.
    running.abandon.cancel();
    running.sources.abort_all();
    let drained = drain(&mut running.sources, &mut running.batchers, &mut running.delivery);
    drop(timeout_at(started + SPOOL_WITHIN, drained).await);
    // What hangs (a dead mount, a terminal nobody reads) is not waited for: positions come first.
    running.batchers.abort_all();
    running.delivery.abort_all();
    if timeout_at(Instant::now() + (STOP_WITHIN - SPOOL_WITHIN), running.saver.finish()).await.is_err() {
        warn!("positions were not saved in time");
    }
    let flushed = running.counted.sent() - sent_before;
    let spooled = running.counted.spooled() - spooled_before;
    let remaining = running.ledger.open_chunks();
    info!(flushed, spooled, remaining, in_time, took = ?started.elapsed(),
        "stopped: flushed entries are acknowledged, spooled ones are on disk, remaining chunks will be read again");
}

/// Waits for each stage to end, in the order of flow.
async fn drain(sources: &mut JoinSet<()>, batchers: &mut JoinSet<()>, delivery: &mut JoinSet<Leftover>) {
    end(sources).await;
    while batchers.join_next().await.is_some() {}
    while delivery.join_next().await.is_some() {}
}

/// Tells systemd; outside systemd this does nothing.
fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!(%error, "systemd cannot be told");
    }
}
