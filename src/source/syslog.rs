//! Syslog messages from the network.
//! In: TCP connections and UDP datagrams of senders.  Out: lines into the intake.  Owns: a port.
//!
//! A sender gets no answer, so what it has sent is this agent's to keep: over TCP it is held up while the pipeline is,
//! over UDP what the kernel has no room for is counted.

mod connections;
mod decode;
mod framing;
#[cfg(any(fuzzing, test))]
mod fuzzing;
mod message;
mod rfc3164;
mod rfc5424;

use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::http::ServerTls;
use crate::metrics::Own;
use crate::pipeline::Intake;
use crate::record::Labels;
use crate::source::arrivals::{Lines, queue, take_in};
use crate::source::datagrams;
use crate::source::listen::{Port, Take};
use crate::source::names::Names;
use connections::Connections;
use decode::Decoder;
#[cfg(any(fuzzing, test))]
pub(crate) use fuzzing::fuzz;
pub(crate) use message::severity;

/// The kind of source, as metrics and the log call it.
pub(crate) const KIND: &str = "syslog";

/// The `syslog` block.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) transport: Transport,
    pub(crate) format: Format,
    /// Set on every line.
    pub(crate) labels: Labels,
    /// Parameters of structured data become labels.
    pub(crate) label_structured_data: bool,
    /// Lines keep the time they came with.
    pub(crate) keep_time: bool,
    /// Lines are whole messages where these are of RFC 5424.
    pub(crate) keep_header: bool,
    /// Bytes of a message.
    pub(crate) longest: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum Transport {
    Tcp { port: Arc<Port<TcpListener>>, tcp: Tcp },
    Udp(Arc<Port<UdpSocket>>),
}

/// How connections are kept.
#[derive(Clone, Debug)]
pub(crate) struct Tcp {
    pub(crate) tls: Option<Arc<ServerTls>>,
    /// One that is silent for so long is closed.
    pub(crate) idle: Duration,
    /// Connections at a time; further ones are closed at once.
    pub(crate) most: usize,
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
    pub(crate) own: Own,
    pub(crate) stop: CancellationToken,
}

impl Settings {
    pub(crate) fn port(&self) -> &dyn Take {
        match &self.transport {
            Transport::Tcp { port, .. } => &**port,
            Transport::Udp(port) => &**port,
        }
    }
}

impl Syslog {
    /// Runs until it is told to stop and has taken in what was there.
    pub(crate) async fn run(self) {
        let Syslog { job, settings, intake, own, stop } = self;
        let (names, questions) = Names::new(intake.reads(decode::HOSTNAME));
        let decoder = Decoder::new(&settings, names.clone(), &own);
        let (arrivals, taken) = queue();
        let longest = settings.longest;
        let active = own.targets_active.with("source", KIND);
        let receiving = async {
            match settings.transport {
                Transport::Tcp { port, tcp } => {
                    let Some(socket) = port.open(&job, KIND, &own, &stop).await else { return Ok(()) };
                    active.add(1.0);
                    let connections = Connections::new(tcp, longest, names.clone(), arrivals, &own);
                    connections.serve(socket, &stop).await
                }
                Transport::Udp(port) => {
                    let Some(socket) = port.open(&job, KIND, &own, &stop).await else { return Ok(()) };
                    active.add(1.0);
                    datagrams::receive(socket, KIND, &own, arrivals, &stop, |bytes, sender, batch| {
                        framing::datagram(bytes, longest, &mut |frame| {
                            batch.push(frame.bytes, sender, frame.is_cut);
                        });
                    })
                    .await
                }
            }
        };
        let work = async {
            let (received, ()) = tokio::join!(receiving, take_in(decoder, Lines::new(intake, &own), taken));
            if let Err(error) = received {
                warn!(job, %error, "syslog messages are not received any more");
            }
        };
        tokio::select! {
            () = work => {}
            () = questions.answer(&names) => {}
        }
        active.add(-1.0);
    }
}
