//! GELF messages from the network, as Docker and Graylog's libraries send them.
//! In: UDP datagrams, chunked or compressed or not.  Out: lines into the intake.  Owns: a port.

mod chunks;
mod decode;
mod message;
mod payload;

use std::net::UdpSocket;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::metrics::Own;
use crate::pipeline::Intake;
use crate::record::Labels;
use crate::source::arrivals::{Lines, queue, take_in};
use crate::source::datagrams;
use crate::source::listen::Port;
use decode::Decoder;
#[cfg(any(fuzzing, test))]
pub(crate) use decode::fuzz;

/// The kind of source, as metrics and the log call it.
pub(crate) const KIND: &str = "gelf";

/// The `gelf` block.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) port: Arc<Port<UdpSocket>>,
    /// Set on every line.
    pub(crate) labels: Labels,
    /// Lines keep the time they came with.
    pub(crate) keep_time: bool,
}

/// The GELF listener of one job.
pub(crate) struct Gelf {
    pub(crate) job: String,
    pub(crate) settings: Settings,
    pub(crate) intake: Intake,
    pub(crate) own: Own,
    pub(crate) stop: CancellationToken,
}

impl Gelf {
    /// Runs until it is told to stop and has taken in what was there.
    pub(crate) async fn run(self) {
        let Gelf { job, settings, intake, own, stop } = self;
        let Some(socket) = settings.port.open(&job, KIND, &own, &stop).await else { return };
        let active = own.targets_active.with("source", KIND);
        active.add(1.0);
        let (arrivals, taken) = queue();
        let decoder = Decoder::new(settings.labels, settings.keep_time, &own);
        let receiving = datagrams::receive(socket, KIND, &own, arrivals, &stop, |bytes, sender, batch| {
            batch.push(bytes, sender, false);
        });
        let (received, ()) = tokio::join!(receiving, take_in(decoder, Lines::new(intake, &own), taken));
        if let Err(error) = received {
            warn!(job, %error, "GELF messages are not received any more");
        }
        active.add(-1.0);
    }
}
