//! Follows one path through growth, rotation, truncation and removal.
//! In: the path, wake-ups.  Out: chunks into the intake.  Owns: the files the path has named and that are not yet
//! drained, oldest first, so that lines go out in the order they were written.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::{self, Instant};
use crate::custody::{Cursor, Ledger, Track};
use crate::metrics::Own;
use crate::pipeline::{Intake, IntakeClosed};
use crate::record::{Chunk, UnixNanos};
use crate::source::file::identity::{Identity, head, resume};
use crate::source::file::reader::Reader;
use crate::source::file::rotation::{Rotated, rotated};

/// File events are hints; the file is looked at this often without any.
const POLL: Duration = Duration::from_secs(1);

/// A last line without a newline is handed on when nothing followed it for so long.
const UNFINISHED_LINE_WAIT: Duration = Duration::from_secs(1);

/// A file that lost its path may still be written to until its writer notices; it is let go after so long without.
const ROTATED_WAIT: Duration = Duration::from_secs(5);

/// Wakes a tail before its next poll.
pub(crate) type Wake = Arc<Notify>;

/// One path of one job.
pub(crate) struct Tail {
    pub(crate) path: PathBuf,
    /// What is added to the ledger's keys when another job reads the same file.
    pub(crate) key_suffix: String,
    pub(crate) intake: Intake,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) own: Own,
    pub(crate) wake: Wake,
    pub(crate) stop: CancellationToken,
    /// Rotated files nobody has a position for are read if they were written to after this.
    pub(crate) horizon: SystemTime,
}

struct Open {
    reader: Reader,
    identity: Identity,
    track: Arc<Track>,
    /// When the file last grew.
    grew: Instant,
}

struct State {
    files: VecDeque<Open>,
    chunk: Chunk,
    /// Time of the last line, so that no two lines of a path share a nanosecond: Loki would take equal ones for one.
    last_stamp: UnixNanos,
    /// The error last logged, so that it is logged once.
    told: Option<io::ErrorKind>,
}

impl Tail {
    /// Follows the path until it is gone and drained, or until it is told to stop.
    pub(crate) async fn run(mut self) {
        let mut state =
            State { files: VecDeque::new(), chunk: Chunk::default(), last_stamp: UnixNanos(0), told: None };
        loop {
            let there = self.look(&mut state);
            let stop = self.stop.clone();
            let drained = tokio::select! {
                drained = self.drain(&mut state) => drained,
                () = stop.cancelled() => return,
            };
            if drained.is_err() || (!there && state.files.is_empty()) {
                return;
            }
            tokio::select! {
                // Poll or hint, both mean: look again.
                _ = timeout(POLL, self.wake.notified()) => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    /// Opens what the path names now, if it is not open yet. False when there is nothing at the path.
    fn look(&self, state: &mut State) -> bool {
        let result = match std::fs::metadata(&self.path) {
            Ok(metadata)
                if state.files.back().is_some_and(|open| open.identity == Identity::of(&metadata)) =>
            {
                Ok(true)
            }
            Ok(_) => self.open_current(state).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        };
        match result {
            Ok(there) => {
                if state.told.take().is_some() {
                    info!(file = %self.path.display(), "file can be read again");
                }
                there
            }
            Err(error) => {
                self.fail(state, &error);
                true
            }
        }
    }

    fn fail(&self, state: &mut State, error: &io::Error) {
        self.own.file_errors.add(1.0);
        if state.told != Some(error.kind()) {
            warn!(file = %self.path.display(), %error, "file cannot be read, trying again");
            state.told = Some(error.kind());
        }
    }

    fn open_current(&self, state: &mut State) -> io::Result<()> {
        let file = File::open(&self.path)?;
        let identity = Identity::of(&file.metadata()?);
        for between in self.rotated_between(state, identity)? {
            match File::open(&between.path) {
                Ok(file) => self.open(state, file)?,
                Err(error) => self.fail(state, &error),
            }
        }
        self.open(state, file)
    }

    fn open(&self, state: &mut State, file: File) -> io::Result<()> {
        let metadata = file.metadata()?;
        let identity = Identity::of(&metadata);
        if state.files.iter().any(|open| open.identity == identity) {
            return Ok(());
        }
        let track = self.ledger.track(&self.key(identity), &self.name());
        let offset = match track.read_position() {
            Some(cursor) => resume(&file, metadata.len(), cursor)?,
            None => 0,
        };
        let reader = Reader::new(file, offset);
        state.files.push_back(Open { reader, identity, track, grew: Instant::now() });
        Ok(())
    }

    /// Files that stood at the path between the one last known and the one there now, oldest first; also the one
    /// last known, when it is not open any more (the agent was down).
    fn rotated_between(&self, state: &State, current: Identity) -> io::Result<Vec<Rotated>> {
        let known_before = !self.ledger.keys_named(&self.name()).is_empty() || !state.files.is_empty();
        // A path never seen has no past here; one whose file is known by now was not rotated.
        if !known_before || self.ledger.find(&self.key(current)).is_some() {
            return Ok(Vec::new());
        }
        let mut files = rotated(&self.path)?;
        files.retain(|file| file.identity != current);
        let last_known = files.iter().rposition(|file| self.ledger.find(&self.key(file.identity)).is_some());
        Ok(match last_known {
            Some(index) => files.split_off(index),
            None => files.into_iter().filter(|file| file.modified > self.horizon).collect(),
        })
    }

    /// Reads every open file to its end, oldest first, and lets go of those that are done.
    async fn drain(&mut self, state: &mut State) -> Result<(), IntakeClosed> {
        let mut index = 0;
        while index < state.files.len() {
            self.read_to_end(state, index).await?;
            let rotated_away = index + 1 < state.files.len() || !self.is_at_path(&state.files[index]);
            if rotated_away && state.files[index].grew.elapsed() >= ROTATED_WAIT {
                self.flush(state, index).await?;
                state.files.remove(index);
            } else {
                if state.files[index].grew.elapsed() >= UNFINISHED_LINE_WAIT {
                    self.flush(state, index).await?;
                }
                index += 1;
            }
        }
        Ok(())
    }

    async fn read_to_end(&mut self, state: &mut State, index: usize) -> Result<(), IntakeClosed> {
        loop {
            let State { files, chunk, last_stamp, .. } = &mut *state;
            let open = &mut files[index];
            match open.reader.file().metadata() {
                Ok(metadata) if metadata.len() < open.reader.read_to() => {
                    info!(file = %self.path.display(), "file was truncated, reading it from its beginning");
                    open.reader.rewind();
                }
                Ok(metadata) if metadata.len() == open.reader.read_to() => return Ok(()),
                Ok(_) => {}
                Err(error) => {
                    self.fail(state, &error);
                    return Ok(());
                }
            }
            let now = clock::now();
            let before = open.reader.read_to();
            let stamp = || {
                *last_stamp = now.max(UnixNanos(last_stamp.0 + 1));
                *last_stamp
            };
            let end = match open.reader.fill(chunk, stamp) {
                Ok(end) => end,
                Err(error) => {
                    self.fail(state, &error);
                    return Ok(());
                }
            };
            if open.reader.read_to() != before {
                open.grew = Instant::now();
            }
            self.hand_on(state, index).await?;
            if end {
                return Ok(());
            }
        }
    }

    async fn flush(&mut self, state: &mut State, index: usize) -> Result<(), IntakeClosed> {
        state.last_stamp = clock::now().max(UnixNanos(state.last_stamp.0 + 1));
        state.files[index].reader.flush(&mut state.chunk, state.last_stamp);
        self.hand_on(state, index).await
    }

    async fn hand_on(&mut self, state: &mut State, index: usize) -> Result<(), IntakeClosed> {
        let open = &mut state.files[index];
        self.own.lines_truncated.add(open.reader.take_cut() as f64);
        if state.chunk.is_empty() {
            return Ok(());
        }
        // A file whose head cannot be read again is one whose next start is at its beginning: repeated, not lost.
        let head = head(open.reader.file()).unwrap_or_default();
        let cursor = Cursor::File { offset: open.reader.offset(), head };
        self.intake.accept(&state.chunk, cursor, &open.track).await?;
        state.chunk.clear();
        Ok(())
    }

    fn is_at_path(&self, open: &Open) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|metadata| Identity::of(&metadata) == open.identity)
    }

    fn key(&self, identity: Identity) -> String {
        format!("{}{}", identity.key(), self.key_suffix)
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}
