//! Takes lines over Loki's own push API, so that agents can be chained.
//! In: pushes.  Out: chunks into the intake; an answer to each push.  Owns: a port, the pushes under way.
//!
//! The answer is 204 only when every line is delivered, spooled, dropped by rule or refused and counted: whoever
//! pushed may forget it then. Anything else makes a sender push the same again.

mod body;
mod pages;

use std::net::TcpListener;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::custody::Track;
use crate::http::{Limits, ServerTls};
use crate::metrics::Own;
use crate::pipeline::{Intake, IntakeClosed};
use crate::record::{Chunk, Labels, Origin, UnixNanos};
use crate::source::listen::Port;
use crate::source::push::body::Pushed;
use crate::source::{cut, fresh};

#[cfg(any(fuzzing, test))]
pub(crate) use body::fuzz;

/// The kind of source, as metrics and the log call it.
pub(crate) const KIND: &str = "loki_push_api";

/// Pushes that wait for the pipeline.
const QUEUE: usize = 16;

/// Connections that are in the middle of something when the source ends are waited for so long.
const END_WITHIN: Duration = Duration::from_secs(10);

/// The `loki_push_api` block.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) port: Arc<Port<TcpListener>>,
    /// What comes before every path.
    pub(crate) prefix: String,
    pub(crate) tls: Option<Arc<ServerTls>>,
    pub(crate) limits: Limits,
    /// Set on every line, over what it came with.
    pub(crate) labels: Labels,
    /// Lines keep the time they came with.
    pub(crate) keep_time: bool,
    /// Bytes of a message, compressed or not.
    pub(crate) largest: usize,
}

/// The push API of one job.
pub(crate) struct Push {
    pub(crate) job: String,
    pub(crate) settings: Settings,
    pub(crate) intake: Intake,
    pub(crate) own: Arc<Own>,
    pub(crate) stop: CancellationToken,
}

/// A push on its way to the pipeline.
struct Arrival {
    content: Content,
    /// The track to wait for, once all lines are admitted.
    admitted: oneshot::Sender<Arc<Track>>,
}

enum Content {
    Streams(Vec<Pushed>),
    /// Lines of plain text.
    Text(Vec<u8>),
}

/// Takes arrivals in, one after the other.
struct Worker {
    intake: Intake,
    own: Arc<Own>,
    labels: Labels,
    /// Those of them that no rule is needed for.
    visible: Labels,
    keep_time: bool,
    /// The time given last, so that no two lines of equal text and time are taken for one by Loki.
    stamp: UnixNanos,
    chunk: Chunk,
    track: Arc<Track>,
}

impl Push {
    /// Runs until it is told to stop.
    pub(crate) async fn run(self) {
        let Push { job, settings, intake, own, stop } = self;
        let Some(socket) = settings.port.open(&job, KIND, &own, &intake.target().reporter(), &stop).await
        else {
            return;
        };
        let (arrivals, queue) = mpsc::channel(QUEUE);
        let pages = pages::Pages::new(arrivals, settings.largest, own.clone(), stop.clone());
        let served = pages::serve(socket, settings.tls.clone(), &settings.prefix, settings.limits, pages);
        let worker = Worker {
            intake,
            own,
            visible: settings.labels.iter().filter(|(name, _)| !name.starts_with("__")).collect(),
            labels: settings.labels,
            keep_time: settings.keep_time,
            stamp: UnixNanos(0),
            chunk: Chunk::default(),
            track: Track::passing(),
        };
        let serving = async {
            tokio::pin!(served);
            let early = stop.run_until_cancelled(&mut served).await;
            let ended = match early {
                Some(ended) => ended,
                // What hangs is dropped; its sender pushes again.
                None => timeout(END_WITHIN, served).await.unwrap_or(Ok(())),
            };
            ended.inspect_err(|error| warn!(job, %error, "the push API has ended"))
        };
        let (_, ended) = tokio::join!(worker.run(queue, &stop), serving);
        drop(ended);
    }
}

impl Worker {
    /// Runs until it is told to stop and has taken in what was there.
    async fn run(mut self, mut queue: mpsc::Receiver<Arrival>, stop: &CancellationToken) {
        let taken = async {
            while let Some(arrival) = self.next(&mut queue, stop).await {
                self.take(arrival).await?;
                if queue.is_empty() {
                    self.intake.hasten().await?;
                }
            }
            // Senders are still waiting, and there is no more time than it takes to write to disk.
            self.intake.finish().await?;
            self.intake.secure().await
        };
        // Nobody takes lines any more: the senders learn that theirs are not taken.
        let _: Result<(), IntakeClosed> = taken.await;
    }

    async fn next(
        &mut self,
        queue: &mut mpsc::Receiver<Arrival>,
        stop: &CancellationToken,
    ) -> Option<Arrival> {
        let arrived = self.intake.meanwhile(pin!(stop.run_until_cancelled(queue.recv()))).await;
        if let Some(arrival) = arrived {
            return arrival;
        }
        queue.close();
        queue.recv().await
    }

    async fn take(&mut self, arrival: Arrival) -> Result<(), IntakeClosed> {
        self.track = Track::passing();
        match arrival.content {
            Content::Streams(streams) => {
                for stream in streams {
                    self.take_stream(stream).await?;
                }
            }
            Content::Text(text) => self.take_text(&text).await?,
        }
        self.hand_on().await?;
        // A sender that is gone pushes again, or does not.
        drop(arrival.admitted.send(self.track.clone()));
        Ok(())
    }

    async fn take_stream(&mut self, stream: Pushed) -> Result<(), IntakeClosed> {
        let mut origin = self.origin(&stream.labels);
        for entry in stream.entries {
            let time = if self.keep_time { entry.time } else { self.now() };
            self.push(entry.line, time, origin);
            for (name, value) in &entry.metadata {
                self.chunk.push_metadata(name, value);
            }
            if self.chunk.is_full() {
                self.hand_on().await?;
                origin = self.origin(&stream.labels);
            }
        }
        Ok(())
    }

    /// Without relabelling, as Promtail does it.
    async fn take_text(&mut self, text: &[u8]) -> Result<(), IntakeClosed> {
        for line in text.split(|byte| *byte == b'\n') {
            let line = trimmed(line);
            if line.is_empty() {
                continue;
            }
            let (origin, now) = (self.intake.origin_of(&self.visible), self.now());
            self.push(line.to_vec(), now, origin);
            if self.chunk.is_full() {
                self.hand_on().await?;
            }
        }
        Ok(())
    }

    fn origin(&mut self, labels: &[(String, String)]) -> Origin {
        let pushed = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        self.intake.origin(pushed.chain(self.labels.iter()))
    }

    fn push(&mut self, mut line: Vec<u8>, time: UnixNanos, origin: Origin) {
        self.own.lines_truncated.add(f64::from(u8::from(cut(&mut line))));
        self.chunk.push(&line, time, origin);
    }

    fn now(&mut self) -> UnixNanos {
        self.stamp = fresh(self.stamp);
        self.stamp
    }

    async fn hand_on(&mut self) -> Result<(), IntakeClosed> {
        if !self.chunk.is_empty() {
            self.intake.accept(&self.chunk, Track::NO_PLACE, &self.track).await?;
            self.chunk.clear();
        }
        Ok(())
    }
}

/// A line without what ends it.
fn trimmed(mut line: &[u8]) -> &[u8] {
    while let [rest @ .., b'\r'] = line {
        line = rest;
    }
    line
}
