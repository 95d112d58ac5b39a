//! Syslog messages from the network.
//! In: TCP connections and UDP datagrams of senders.  Out: lines into the intake.  Owns: nothing.
//!
//! A sender gets no answer, so what it has sent is this agent's to keep: over TCP it is held up while the pipeline is,
//! over UDP what the kernel has no room for is counted.

mod decode;
pub(super) mod framing;
#[cfg(any(fuzzing, test))]
mod fuzzing;
mod message;
mod rfc3164;
mod rfc5424;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::metrics::Own;
use crate::pipeline::Intake;
use crate::record::Labels;
use crate::source::arrivals::Lines;
use crate::source::reception::Reception;
use decode::Decoder;
pub(crate) use decode::HOSTNAME;
#[cfg(any(fuzzing, test))]
pub(crate) use fuzzing::fuzz;
pub(crate) use message::severity;

/// The kind of source, as metrics and the log call it.
pub(crate) const KIND: &str = "syslog";

/// The `syslog` block.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) reception: Arc<Reception>,
    pub(crate) format: Format,
    /// Set on every line.
    pub(crate) labels: Labels,
    /// Parameters of structured data become labels.
    pub(crate) label_structured_data: bool,
    /// Lines keep the time they came with.
    pub(crate) keep_time: bool,
    /// Lines are whole messages where these are of RFC 5424.
    pub(crate) keep_header: bool,
}

/// What messages look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Anything else is dropped and counted.
    Rfc5424,
    /// Whatever there is.
    Rfc3164,
}

/// The syslog listener of one job.
pub(crate) struct Syslog {
    pub(crate) job: String,
    pub(crate) settings: Settings,
    pub(crate) intake: Intake,
    pub(crate) own: Arc<Own>,
    pub(crate) stop: CancellationToken,
}

impl Syslog {
    /// Runs until it is told to stop and has taken in what was there.
    pub(crate) async fn run(self) {
        let Syslog { job, settings, intake, own, stop } = self;
        let Some(running) = settings.reception.open(&job, &own, &intake.target().reporter(), &stop).await
        else {
            return;
        };
        let decoder = Decoder::new(&settings, running.names.clone(), &own);
        settings.reception.take_in(running, decoder, Lines::new(intake, &own), &stop).await;
    }
}

/// The messages in a datagram.
pub(crate) fn split(datagram: &[u8], longest: usize, each: &mut dyn FnMut(&[u8], bool)) {
    framing::datagram(datagram, longest, &mut |frame| each(frame.bytes, frame.is_cut));
}
