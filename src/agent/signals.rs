//! Signals to the agent.
//! In: SIGTERM, SIGINT, SIGHUP.  Out: what they ask for.  Owns: their handlers.

use std::io;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

/// Signals so close together are one request.
const TOGETHER: Duration = Duration::from_millis(20);

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// By this signal.
    Stop(&'static str),
    /// Read the configuration again.
    Reload,
}

/// Listens from the moment it exists.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Takes signals that came along with the first: `timeout`, for one, signals its child and then the child's whole
    /// group. What comes later is a second request.
    pub(super) async fn settle(&mut self) {
        sleep(TOGETHER).await;
        while self.stop().now_or_never().is_some() {}
    }

    /// The next request. Cancel-safe.
    pub(super) async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.terminate.recv() => Request::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Request::Stop("SIGINT"),
            _ = self.hangup.recv() => Request::Reload,
        }
    }

    /// The next request to stop. Cancel-safe.
    pub(super) async fn stop(&mut self) -> &'static str {
        loop {
            if let Request::Stop(name) = self.next().await {
                return name;
            }
        }
    }
}
