//! Signals that stop the agent.
//! In: SIGTERM, SIGINT.  Out: their names.  Owns: the two handlers.

use std::io;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

/// Signals so close together are one request.
const TOGETHER: Duration = Duration::from_millis(20);

/// Listens from the moment it exists.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Takes signals that came along with the first: `timeout`, for one, signals its child and then the child's whole
    /// group. What comes later is a second request.
    pub(super) async fn settle(&mut self) {
        sleep(TOGETHER).await;
        while self.stop().now_or_never().is_some() {}
    }

    /// The next request to stop. Cancel-safe.
    pub(super) async fn stop(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
