//! GELF messages from the network, as Docker and Graylog's libraries send them.
//! In: UDP datagrams, chunked or compressed or not.  Out: lines into the intake.  Owns: nothing.

mod chunks;
mod decode;
mod message;
mod payload;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::metrics::Own;
use crate::pipeline::Intake;
use crate::record::Labels;
use crate::source::arrivals::Lines;
use crate::source::reception::Reception;
use decode::Decoder;
#[cfg(any(fuzzing, test))]
pub(crate) use decode::fuzz;

/// The kind of source, as metrics and the log call it.
pub(crate) const KIND: &str = "gelf";

/// The `gelf` block.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) reception: Arc<Reception>,
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
    pub(crate) own: Arc<Own>,
    pub(crate) stop: CancellationToken,
}

impl Gelf {
    /// Runs until it is told to stop and has taken in what was there.
    pub(crate) async fn run(self) {
        let Gelf { job, settings, intake, own, stop } = self;
        let Some(running) = settings.reception.open(&job, &own, &intake.target().reporter(), &stop).await
        else {
            return;
        };
        let decoder = Decoder::new(settings.labels, settings.keep_time, &own);
        settings.reception.take_in(running, decoder, Lines::new(intake, &own), &stop).await;
    }
}

/// A datagram is one message, or a chunk of one.
pub(crate) fn split(datagram: &[u8], _longest: usize, each: &mut dyn FnMut(&[u8], bool)) {
    each(datagram, false);
}
