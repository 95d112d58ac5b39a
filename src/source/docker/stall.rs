//! Notices a log stream that stands still although the log goes on.
//! In: silence of a stream.  Out: the news that it has to be opened again.  Owns: who may ask the daemon when.
//!
//! A follow stream may fall silent for good (its file was truncated, a connection is half open), and nothing in it says
//! so. Only a question does: is the last message of the log later than the last one read? It costs dockerd about 1 ms, but
//! for a thousand silent containers it adds up. So after [`SILENCE`] a stream asks again and again: where something was
//! heard within the last minute every [`SILENCE`], else as often as keeps all streams of the daemon below [`QUESTIONS`] a
//! second, together never above ten. That is every 15 s up to 60 streams and every 25 s up to 100; with [`GRACE`] for what
//! is on its way it keeps below 30 s.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{sleep_until, timeout, timeout_at};
use tracing::debug;

use crate::clock::Instant;
use crate::http::chain;
use crate::record::UnixNanos;
use crate::source::docker::api::{CallError, Endpoint, LogStream};
use crate::source::docker::resume::Place;
use crate::source::docker::stamp;

/// How long a stream is silent before the first question, and between two where something was heard lately.
const SILENCE: Duration = Duration::from_secs(15);

/// What is later than this is not lately.
const LATELY: Duration = Duration::from_secs(60);

/// Questions a second about streams that have been silent for longer.
const QUESTIONS: f64 = 4.0;

/// How long what is in the log may be on its way.
const GRACE: Duration = Duration::from_secs(5);

/// Between two questions to a daemon, whatever they are about.
const PACE: Duration = Duration::from_millis(100);

/// Questions that a daemon works on at a time.
const AT_ONCE: usize = 2;

/// Bytes of a message that show its time: a frame's header, and the longest notation of a time.
const ENOUGH: usize = 64;

/// Shared by all streams of one daemon.
#[derive(Debug)]
pub(crate) struct Questions {
    silence: Duration,
    grace: Duration,
    streams: AtomicUsize,
    at_once: Semaphore,
    /// When the next one may be asked.
    next: Mutex<Instant>,
}

/// Listens to one stream.
#[derive(Debug)]
pub(super) struct Listener {
    questions: Arc<Questions>,
    heard: Instant,
    /// When it was last heard or asked.
    quiet_since: Instant,
}

/// What a question is about.
pub(super) struct Subject<'f> {
    pub(super) endpoint: &'f Endpoint,
    pub(super) version: &'f str,
    pub(super) id: &'f str,
    pub(super) tty: bool,
    /// Up to here the log is read.
    pub(super) place: Place,
}

/// What comes out of a stream.
#[derive(Debug, PartialEq)]
pub(super) enum Heard {
    Bytes(Bytes),
    /// The daemon closed the stream in order.
    End,
    Broken(String),
    /// The log goes on, the stream does not.
    Stalled,
}

impl Default for Questions {
    fn default() -> Questions {
        Questions::new(SILENCE, GRACE)
    }
}

impl Questions {
    fn new(silence: Duration, grace: Duration) -> Questions {
        let (streams, at_once) = (AtomicUsize::new(0), Semaphore::new(AT_ONCE));
        Questions { silence, grace, streams, at_once, next: Mutex::new(Instant::now()) }
    }

    /// How long a stream is left alone that has been silent for so long.
    fn pause(&self, silent: Duration) -> Duration {
        if silent < LATELY {
            return self.silence;
        }
        self.silence.max(Duration::from_secs_f64(self.streams.load(Ordering::Relaxed) as f64 / QUESTIONS))
    }

    /// Waits for a turn. Cancel-safe.
    async fn turn(&self) {
        let mut next = self.next.lock().await;
        sleep_until(*next).await;
        *next = Instant::now() + PACE;
    }
}

impl Listener {
    pub(super) fn new(questions: &Arc<Questions>) -> Listener {
        questions.streams.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        Listener { questions: questions.clone(), heard: now, quiet_since: now }
    }

    /// The next bytes, however long that takes. Cancel-safe.
    pub(super) async fn next(&mut self, stream: &mut LogStream, subject: &Subject<'_>) -> Heard {
        loop {
            let questions = self.questions.clone();
            let due = self.quiet_since + questions.pause(self.heard.elapsed());
            if let Ok(next) = timeout_at(due, stream.next()).await {
                return self.heard(next);
            }
            let ahead = tokio::select! {
                biased;
                next = stream.next() => return self.heard(next),
                ahead = Box::pin(questions.ask(subject)) => ahead,
            };
            self.quiet_since = Instant::now();
            match ahead {
                Ok(false) => {}
                Ok(true) => {
                    return match timeout(questions.grace, stream.next()).await {
                        Ok(next) => self.heard(next),
                        Err(_) => Heard::Stalled,
                    };
                }
                // Whoever follows finds out what that means.
                Err(error) if error.is_not_found() => return Heard::Broken(error.to_string()),
                Err(error) => debug!(id = subject.id, error = %chain(&error), "no word about a silent log"),
            }
        }
    }

    fn heard(&mut self, next: Option<Result<Bytes, hyper::Error>>) -> Heard {
        self.heard = Instant::now();
        self.quiet_since = self.heard;
        Heard::from(next)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.questions.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

impl From<Option<Result<Bytes, hyper::Error>>> for Heard {
    fn from(next: Option<Result<Bytes, hyper::Error>>) -> Heard {
        match next {
            None => Heard::End,
            Some(Ok(bytes)) => Heard::Bytes(bytes),
            Some(Err(error)) => Heard::Broken(chain(&error)),
        }
    }
}

impl Questions {
    /// True where the log has a later message than the last one read.
    async fn ask(&self, subject: &Subject<'_>) -> Result<bool, CallError> {
        // The semaphore is never closed.
        let _permit = self.at_once.acquire().await;
        self.turn().await;
        let Subject { endpoint, version, id, tty, place } = subject;
        let mut answer = LogStream::last(endpoint, version, id, &place.time_read()).await?;
        let mut message = Vec::new();
        let read = async {
            while message.len() < ENOUGH
                && let Some(bytes) = answer.next().await
            {
                message.extend_from_slice(&bytes?);
            }
            Ok(last_time(&message, *tty).is_some_and(|time| time > place.time()))
        };
        timeout(self.silence, read).await.map_err(|_| CallError::Timeout)?
    }
}

/// The time of a message as it comes out of a stream.
pub(super) fn last_time(message: &[u8], tty: bool) -> Option<UnixNanos> {
    let text = if tty { message } else { message.get(8..)? };
    stamp::split(text).map(|(time, _)| time)
}

#[cfg(test)]
#[path = "stall/tests.rs"]
mod tests;
