//! Follows one container's log until the container stops, reopening the stream whenever it breaks.
//! In: a container id.  Out: chunks into the intake.  Owns: the open stream and its decoder.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use futures_util::FutureExt as _;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::custody::{Claim, Cursor, Ledger, LogPlace, Track};
use crate::flow::{Backoff, BackoffSettings};
use crate::http::chain;
use crate::metrics::Own;
use crate::pipeline::{Intake, IntakeClosed};
use crate::record::{Chunk, Labels};
use crate::source::docker::api::{CallError, Endpoint, LogStream};
use crate::source::docker::follow_file::{Found, Logs};
use crate::source::docker::inspect::Inspected;
use crate::source::docker::messages::Counts;
use crate::source::docker::resume::Place;
use crate::source::docker::stall::{Heard, Listener, Questions, Subject};
use crate::source::docker::stream::Decoder;

/// First and longest wait before a broken stream is opened again.
const REOPEN: BackoffSettings =
    BackoffSettings { min: Duration::from_millis(100), max: Duration::from_secs(5) };

/// Between two looks whether the reader before has let go of a container.
const CLAIM_PAUSE: Duration = Duration::from_millis(50);

/// Labels that lines of stdout and of stderr start with; `None` where relabelling drops an output.
pub(crate) type OutputLabels = [Option<Labels>; 2];

/// One container of one job.
pub(crate) struct Follow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) endpoint: Endpoint,
    pub(crate) docker: Docker,
    pub(crate) ledger: Arc<Ledger>,
    /// Of the container's track.
    pub(crate) key: String,
    pub(crate) intake: Intake,
    /// Labels the container's lines start with, as they are now; the intake has the first.
    pub(crate) labels: watch::Receiver<OutputLabels>,
    pub(crate) own: Arc<Own>,
    /// Streams opening at once over all containers: opening makes dockerd read a log from its beginning.
    pub(crate) openings: Arc<Semaphore>,
    /// Asks whether a stream stands still.
    pub(crate) questions: Arc<Questions>,
    /// How its log is read.
    pub(crate) logs: Logs,
    /// Somebody thinks that it has ended.
    pub(crate) ended: Arc<Notify>,
    /// What was found as it started, at once.
    pub(crate) found: Option<Found>,
    /// The same, where it is known later.
    pub(crate) finds: mpsc::Receiver<Found>,
    /// The container is removed as it ends (`docker run --rm`), and its log with it.
    pub(crate) vanishes: bool,
    /// Its log file was read to the end after it was removed.
    pub(crate) removed: bool,
    /// Noticed between chunks only: a chunk that is given up midway is lost to this process.
    pub(crate) stop: CancellationToken,
}

/// Why following ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The container is not running and its log is read to the end.
    Drained,
    /// The container is gone.
    Removed,
    /// Its log driver keeps nothing that could be read.
    Unreadable,
    /// The agent stops, or the job ends.
    Stopped,
}

pub(super) enum Read {
    /// The daemon closed the stream in order.
    End,
    Broken(String),
    /// Nothing more is to be read.
    Closed,
}

/// What reading a log came to.
#[derive(Default)]
pub(super) struct Last {
    /// Of the stream that was read last, with the line it ended in.
    decoder: Option<Decoder>,
    /// It was read to its end, as far as anybody can tell.
    pub(super) whole: bool,
}

impl Follow {
    /// Runs until the container has stopped and its log is read.
    pub(crate) async fn run(&mut self) -> Ended {
        let stop = self.stop.clone();
        let Some(claim) = stop.run_until_cancelled(self.claim()).await else { return Ended::Stopped };
        let ended = self.follow(claim.track()).await;
        let mut handed_on = self.intake.finish().await;
        if handed_on.is_ok() && (ended == Ended::Removed || self.vanishes) {
            handed_on = self.intake.secure().await;
        }
        match handed_on {
            Ok(()) => ended,
            Err(IntakeClosed) => Ended::Stopped,
        }
    }

    /// Waits until the reader before has handed on its last chunk: the job may have changed, and two readers of one track
    /// would read everything twice.
    async fn claim(&self) -> Claim {
        loop {
            match self.ledger.claim(&self.key, &self.name) {
                Some(claim) => return claim,
                None => sleep(CLAIM_PAUSE).await,
            }
        }
    }

    async fn follow(&mut self, track: &Arc<Track>) -> Ended {
        let stop = self.stop.clone();
        let position = track.read_position();
        let mut hint = position.and_then(LogPlace::of);
        let mut place = position.and_then(Place::from_cursor).unwrap_or(Place::START);
        let mut backoff = Backoff::new(REOPEN);
        let mut told = false;
        let mut last = Last::default();
        loop {
            // The state before the stream ends: what ran then and stopped meanwhile is seen as running, and read again.
            let (inspected, opened) = match self.found.take() {
                Some(Found { inspected, file }) => (inspected, file),
                None => {
                    let version = self.docker.client_version().to_string();
                    let asked = Box::pin(Inspected::of(&self.endpoint, &version, &self.id));
                    let Some(answered) = stop.run_until_cancelled(asked).await else { return Ended::Stopped };
                    match answered {
                        Ok(inspected) => (inspected, None),
                        Err(error) if error.is_not_found() => match self.find(&last).await {
                            Some(Found { inspected, file }) => (inspected, file),
                            None => return self.removed(last, track).await,
                        },
                        Err(error) => {
                            self.failed("inspect", &error, &mut told, &mut backoff).await;
                            self.renegotiate().await;
                            continue;
                        }
                    }
                }
            };
            self.vanishes = inspected.vanishes();
            if inspected.logs_nothing() {
                self.own.docker_logs_unreadable.with("reason", "driver").add(1.0);
                warn!(container = %self.name, "the log driver of a container is `none`, there is nothing to read");
                return Ended::Unreadable;
            }
            match self.log_file(&inspected, opened, place, hint) {
                Ok(None) => {}
                Ok(Some(log)) => match self.read_file(log, &inspected, &mut place, track).await {
                    Read::Closed => return Ended::Stopped,
                    Read::End if self.removed => return Ended::Removed,
                    Read::End => return Ended::Drained,
                    Read::Broken(error) => {
                        hint = track.read_position().and_then(LogPlace::of);
                        last = Last::default();
                        self.note_failure("file", &error, &mut told);
                        stop.run_until_cancelled(sleep(backoff.next())).await;
                        continue;
                    }
                },
                Err(error) => {
                    self.own.docker_logs_unreadable.with("reason", "file").add(1.0);
                    self.failed("file", &error, &mut told, &mut backoff).await;
                    continue;
                }
            }
            hint = None;
            let (running, tty) = (inspected.is_running(), inspected.has_tty());
            let opening = Box::pin(self.open(place));
            let Some(opened) = stop.run_until_cancelled(opening).await else { return Ended::Stopped };
            let mut stream = match opened {
                Ok(stream) => stream,
                Err(error) if error.is_not_found() => {
                    self.found = self.find(&last).await;
                    if self.found.is_some() {
                        continue;
                    }
                    return self.removed(last, track).await;
                }
                Err(error) if error.is_unsupported() => {
                    self.own.docker_errors.with("operation", "logs").add(1.0);
                    warn!(container = %self.name, error = %chain(&error), "log of a container cannot be read");
                    return Ended::Unreadable;
                }
                Err(error) => {
                    self.failed("logs", &error, &mut told, &mut backoff).await;
                    continue;
                }
            };
            self.intake.target().reporter().works();
            let mut decoder = Decoder::new(tty, place);
            let read = self.read(&mut stream, &mut decoder, tty, running, track).await;
            match &read {
                Read::Closed => return Ended::Stopped,
                Read::End if !running => return Ended::Drained,
                Read::End => {}
                Read::Broken(error) => self.note_failure("stream", error, &mut told),
            }
            if decoder.place() != place {
                place = decoder.place();
                backoff = Backoff::new(REOPEN);
                told = false;
            } else {
                // An end without a line: not a busy loop.
                stop.run_until_cancelled(sleep(backoff.next())).await;
            }
            last = Last { decoder: Some(decoder), whole: matches!(read, Read::End) };
        }
    }

    /// The container is gone before its log could be opened again: what its last stream ended in is all there is.
    async fn removed(&mut self, last: Last, track: &Arc<Track>) -> Ended {
        if !last.whole {
            let reason = if last.decoder.is_some() { "broken" } else { "gone" };
            self.own.docker_containers_missed.with("reason", reason).add(1.0);
            warn!(container = %self.name, "a container was removed before its log was read to the end");
        }
        if let Some(mut decoder) = last.decoder {
            let mut chunk = Chunk::default();
            decoder.finish(&mut chunk);
            let (counts, cursor) = (decoder.take_counts(), decoder.place().cursor(None));
            if self.hand_on(&mut chunk, counts, cursor, track).await.is_err() {
                return Ended::Stopped;
            }
        }
        Ended::Removed
    }

    /// A daemon that was upgraded in place may not speak the old version any more.
    async fn renegotiate(&mut self) {
        if let Ok(docker) = self.endpoint.docker()
            && let negotiating = Box::pin(docker.negotiate_version())
            && let Some(Ok(docker)) = self.stop.run_until_cancelled(negotiating).await
        {
            self.docker = docker;
        }
    }

    async fn open(&self, place: Place) -> Result<LogStream, CallError> {
        // The semaphore is never closed.
        let _permit = self.openings.acquire().await;
        let version = self.docker.client_version().to_string();
        let stream = LogStream::open(&self.endpoint, &version, &self.id, &place.since()).await?;
        self.own.docker_streams_opened.add(1.0);
        Ok(stream)
    }

    /// Reads to the stream's end. `running` was the container's state before: only the log of a stopped one can end in
    /// the middle of a line. A running one's stream ends when the daemon does, or the container did just now; its
    /// unfinished line is read again from its beginning.
    async fn read(
        &mut self,
        stream: &mut LogStream,
        decoder: &mut Decoder,
        tty: bool,
        running: bool,
        track: &Arc<Track>,
    ) -> Read {
        let mut chunk = Chunk::default();
        let mut listener = Listener::new(&self.questions);
        let version = self.docker.client_version().to_string();
        loop {
            self.forget_finds();
            let (endpoint, id, place) = (&self.endpoint, self.id.as_str(), decoder.place());
            let subject = Subject { endpoint, version: &version, id, tty, place };
            let next = {
                let waiting = pin!(listener.next(stream, &subject));
                self.intake.meanwhile(pin!(self.stop.run_until_cancelled(waiting))).await
            };
            let Some(mut next) = next else { return Read::Closed };
            // Take what has arrived already: one chunk instead of one per message.
            let read = loop {
                match next {
                    Heard::End => break Some(Read::End),
                    Heard::Broken(error) => break Some(Read::Broken(error)),
                    Heard::Stalled => {
                        self.own.docker_streams_stalled.add(1.0);
                        break Some(Read::Broken("the log goes on, the stream stands still".to_owned()));
                    }
                    Heard::Bytes(bytes) => {
                        if let Err(error) = decoder.feed(&bytes, &mut chunk) {
                            break Some(Read::Broken(error.to_string()));
                        }
                    }
                }
                if chunk.is_full() {
                    break None;
                }
                match stream.next().now_or_never() {
                    Some(more) => next = more.into(),
                    None => break None,
                }
            };
            if matches!(read, Some(Read::End)) && !running {
                decoder.finish(&mut chunk);
            }
            let (counts, cursor) = (decoder.take_counts(), decoder.place().cursor(None));
            if self.hand_on(&mut chunk, counts, cursor, track).await.is_err() {
                return Read::Closed;
            }
            if let Some(read) = read {
                return read;
            }
        }
    }

    /// Hands on the lines read, and what was counted meanwhile.
    pub(super) async fn hand_on(
        &mut self,
        chunk: &mut Chunk,
        counts: Counts,
        cursor: Cursor,
        track: &Arc<Track>,
    ) -> Result<(), IntakeClosed> {
        self.own.lines_truncated.add(counts.cut as f64);
        self.own.frames_malformed.add(counts.malformed as f64);
        if !chunk.is_empty() {
            if self.labels.has_changed().unwrap_or(false) {
                let [stdout, stderr] = self.labels.borrow_and_update().clone();
                self.intake.relabel(stdout.as_ref(), stderr.as_ref()).await?;
            }
            self.intake.accept(chunk, cursor, track).await?;
            chunk.clear();
        }
        Ok(())
    }

    async fn failed(
        &mut self,
        operation: &str,
        error: &(dyn std::error::Error + Send + Sync),
        told: &mut bool,
        backoff: &mut Backoff,
    ) {
        self.note_failure(operation, &chain(error), told);
        let pause = pin!(self.stop.run_until_cancelled(sleep(backoff.next())));
        self.intake.meanwhile(pause).await;
    }

    /// Counts a failure, and says so once until something is read again.
    fn note_failure(&self, operation: &str, error: &str, told: &mut bool) {
        self.own.docker_errors.with("operation", operation).add(1.0);
        self.intake.target().reporter().fails(format_args!("{operation}: {error}"));
        if *told {
            debug!(container = %self.name, operation, error, "still failing");
        } else {
            warn!(container = %self.name, operation, error, "log of a container cannot be followed, trying again");
            *told = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::task_size;

    #[test]
    fn a_silent_container_takes_little_memory() {
        let task = task_size(Follow::run);
        assert!(task <= 8000, "its task takes {task} bytes");
    }
}
