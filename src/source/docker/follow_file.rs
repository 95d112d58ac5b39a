//! Follows one container's log by reading the json-file driver's files, where they can be read.
//! In: a container, what Docker says of it.  Out: chunks into the intake.  Owns: the open files.
//!
//! dockerd has written all of a container's log before it says that the container has ended, and what it removes stays
//! readable here: the files are open. So nothing is asked of the daemon while a container runs.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::clock::Instant;
use crate::custody::{Cursor, LogPlace, Track};
use crate::flow::{Backoff, BackoffSettings};
use crate::pipeline::IntakeClosed;
use crate::record::Chunk;
use crate::source::docker::follow::{Follow, Last, Read};
use crate::source::docker::inspect::Inspected;
use crate::source::docker::json_file::JsonFile;
use crate::source::docker::messages::Messages;
use crate::source::docker::resume::Place;

/// Pauses between two looks at a quiet log: one look is two calls of the file system. The longest is shorter than any
/// rotation takes.
const LOOK: BackoffSettings =
    BackoffSettings { min: Duration::from_millis(5), max: Duration::from_millis(250) };

/// Between two looks at the files while nobody takes lines.
const LOOK_WAITING: Duration = Duration::from_millis(100);

/// How long it may take until it is known what was found of a container that has started and is gone.
const FIND_WAIT: Duration = Duration::from_secs(2);

/// How logs are read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logs {
    pub(crate) wanted: Wanted,
    /// It was said that files cannot be read.
    pub(crate) told: Arc<AtomicBool>,
}

/// The key `logs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// From files where that is possible.
    #[default]
    Auto,
    /// From files; one that cannot be read is waited for.
    File,
    Api,
}

/// A container that was looked at as it started.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) inspected: Inspected,
    /// Opened at its beginning.
    pub(super) file: Option<JsonFile>,
}

impl Found {
    /// Opens the log at once, where files are wanted and it can be: the container may be gone soon.
    pub(crate) fn now(inspected: Inspected, wanted: Wanted) -> Found {
        let path = inspected.log_file().filter(|_| wanted != Wanted::Api);
        // Why it cannot be opened is said by who tries again.
        let file = path.and_then(|path| JsonFile::open(path, None).ok());
        Found { inspected, file }
    }

    /// True where the log is open, and stays readable whatever becomes of the container.
    pub(crate) fn is_open(&self) -> bool {
        self.file.is_some()
    }
}

impl LogPlace {
    /// As a cursor has it.
    pub(super) fn of(cursor: Cursor) -> Option<LogPlace> {
        match cursor {
            Cursor::Docker { file, .. } => file,
            _ => None,
        }
    }
}

impl Follow {
    /// The log of a container that is gone, if it was opened as it started.
    pub(super) async fn find(&mut self, last: &Last) -> Option<Found> {
        if last.whole || self.logs.wanted == Wanted::Api {
            return None;
        }
        let found = timeout(FIND_WAIT, self.finds.recv());
        let found = self.stop.run_until_cancelled(found).await?.ok()??;
        Some(found).filter(|found| found.file.is_some())
    }

    /// Lets go what was opened of a log that is read already: it would keep rotated files on the disk.
    pub(super) fn forget_finds(&mut self) {
        while self.finds.try_recv().is_ok() {}
    }

    /// The container's log file; `None` where it is to be read through the API.
    pub(super) fn log_file(
        &self,
        inspected: &Inspected,
        opened: Option<JsonFile>,
        place: Place,
        hint: Option<LogPlace>,
    ) -> io::Result<Option<JsonFile>> {
        let path = inspected.log_file().filter(|_| self.logs.wanted != Wanted::Api);
        let Some(path) = path else { return Ok(None) };
        // What was opened at its beginning serves from any place on, if not as fast.
        let log = match opened {
            Some(opened) if place == Place::START => Ok(opened),
            Some(opened) => JsonFile::open(path, hint).or(Ok(opened)),
            None => JsonFile::open(path, hint),
        };
        match log {
            Ok(log) => {
                self.own.docker_files_opened.add(1.0);
                Ok(Some(log))
            }
            Err(error) if self.logs.wanted == Wanted::Auto => {
                if !self.logs.told.swap(true, Ordering::Relaxed) {
                    let path = path.display();
                    info!(container = %self.name, %path, %error, "log files cannot be read, logs come through the API");
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads until the container has ended and its log is read; `place` goes along.
    pub(super) async fn read_file(
        &mut self,
        mut log: JsonFile,
        inspected: &Inspected,
        place: &mut Place,
        track: &Arc<Track>,
    ) -> Read {
        let reporter = self.intake.target().reporter();
        reporter.works();
        let mut messages = Messages::from(*place, inspected.has_tty());
        let mut chunk = Chunk::default();
        let mut pause = Backoff::new(LOOK);
        let mut asking = Asking::new(!inspected.is_running());
        let mut reported = None;
        loop {
            self.forget_finds();
            let looked = log.look();
            if !self.turn(&mut log, &mut chunk).await {
                return Read::Closed;
            }
            let filled = log.fill(&mut messages, &mut chunk);
            let at_end = match filled {
                Ok(at_end) => at_end,
                Err(error) => {
                    self.intake.pass(&mut chunk);
                    return Read::Broken(error.to_string());
                }
            };
            let is_over = at_end && asking.has_ended;
            if is_over {
                messages.finish(&mut chunk);
            }
            if !chunk.is_empty() {
                pause = Backoff::new(LOOK);
            }
            if reported != Some(log.position()) {
                reported = Some(log.position());
                log.report(&reporter);
            }
            if self.hand_on_file(&mut chunk, &mut messages, &mut log, track).await.is_err() {
                return Read::Closed;
            }
            self.intake.pass(&mut chunk);
            *place = messages.place();
            if is_over {
                return Read::End;
            }
            if self.stop.is_cancelled() {
                return Read::Closed;
            }
            if !at_end {
                // A backlog is read in many steps, and others want to run between them.
                yield_now().await;
                continue;
            }
            match looked {
                Ok(()) => {}
                // Removed with its container, or between two steps of a rotation.
                Err(error) if error.kind() == io::ErrorKind::NotFound => asking.wanted = true,
                Err(error) => return Read::Broken(error.to_string()),
            }
            if asking.is_due() {
                self.ask(&mut asking).await;
                continue;
            }
            let (stop, ended) = (self.stop.clone(), self.ended.clone());
            let waited = pin!(async {
                tokio::select! {
                    () = stop.cancelled() => false,
                    () = ended.notified() => true,
                    () = sleep(pause.next()) => false,
                }
            });
            if self.intake.meanwhile(waited).await {
                asking = Asking { wanted: true, ..Asking::new(false) };
            }
        }
    }

    /// Waits for the turn to read, and meanwhile keeps up with rotations; false when told to stop.
    async fn turn(&mut self, log: &mut JsonFile, chunk: &mut Chunk) -> bool {
        let mut turn = pin!(self.stop.run_until_cancelled(self.intake.turn(chunk)));
        loop {
            tokio::select! {
                biased;
                turn = &mut turn => return turn.is_some(),
                // What a look finds out is found out by the next one too.
                () = sleep(LOOK_WAITING) => drop(log.look()),
            }
        }
    }

    /// Hands on what was read, and meanwhile keeps up with rotations.
    async fn hand_on_file(
        &mut self,
        chunk: &mut Chunk,
        messages: &mut Messages,
        log: &mut JsonFile,
        track: &Arc<Track>,
    ) -> Result<(), IntakeClosed> {
        let reporter = self.intake.target().reporter();
        let seen = log.take_seen();
        if seen.gaps > 0 {
            self.own.docker_log_gaps.add(seen.gaps as f64);
            warn!(container = %self.name, "a log was rotated away before its files could be opened, lines may be missing");
        }
        if seen.truncated {
            info!(container = %self.name, "a log was truncated, reading it from its beginning");
        }
        let cursor = messages.place().cursor(log.place(messages.earliest()));
        let mut handing_on = pin!(async {
            self.hand_on(chunk, messages.take_counts(), cursor, track).await?;
            if seen.unrepeatable { self.intake.secure().await } else { Ok(()) }
        });
        loop {
            tokio::select! {
                biased;
                handed_on = &mut handing_on => return handed_on,
                () = sleep(LOOK_WAITING) => {
                    // What a look finds out is found out by the next one too.
                    drop(log.look());
                    log.report(&reporter);
                }
            }
        }
    }

    /// Asks whether the container has ended.
    async fn ask(&mut self, asking: &mut Asking) {
        let version = self.docker.client_version().to_string();
        let asked = Box::pin(Inspected::of(&self.endpoint, &version, &self.id));
        let Some(answered) = self.stop.run_until_cancelled(asked).await else { return };
        match answered {
            Ok(inspected) => {
                (asking.wanted, asking.has_ended) = (false, !inspected.is_running());
                asking.later();
            }
            Err(error) if error.is_not_found() => {
                self.removed = true;
                asking.has_ended = true;
            }
            Err(_) => {
                // The daemon is away, and the file is not.
                self.own.docker_errors.with("operation", "inspect").add(1.0);
                asking.later();
            }
        }
    }
}

/// Pauses before a daemon that did not answer is asked again.
const ASK: BackoffSettings = BackoffSettings { min: Duration::from_millis(100), max: Duration::from_secs(5) };

/// Whether the container has ended.
struct Asking {
    has_ended: bool,
    wanted: bool,
    not_before: Option<Instant>,
    backoff: Backoff,
}

impl Asking {
    fn new(has_ended: bool) -> Asking {
        Asking { has_ended, wanted: false, not_before: None, backoff: Backoff::new(ASK) }
    }

    /// Not again at once: somebody may have deleted the file of a container that runs.
    fn later(&mut self) {
        self.not_before = Some(Instant::now() + self.backoff.next());
    }

    fn is_due(&self) -> bool {
        self.wanted && !self.has_ended && self.not_before.is_none_or(|time| time <= Instant::now())
    }
}
