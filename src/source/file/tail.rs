//! Follows one path through growth, rotation, truncation and removal.
//! In: the path, wake-ups.  Out: chunks into the intake.  Owns: the files the path has named and that are not yet
//! drained, oldest first, so that lines go out in the order they were written.

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::{self, Instant};
use crate::custody::{Claim, Cursor, Head, Imported, Ledger, Note, Taken, Times};
use crate::metrics::Own;
use crate::pipeline::{Intake, IntakeClosed};
use crate::record::{Chunk, UnixNanos};
use crate::source::file::identity::{Identity, begins_with, read_head, resume};
use crate::source::file::reader::Reader;
use crate::source::file::replay::Replay;
use crate::source::file::rotation::{ROTATED_WAIT, Rotated, is_left, open_rotated};
use crate::source::file::takeover::take_over;

/// A last line without a newline is handed on when nothing followed it for so long.
const UNFINISHED_LINE_WAIT: Duration = Duration::from_secs(1);

/// A file renamed while its directory is read may be missed by one look and found by a later one; and file times come
/// from a coarser clock than ours.
const LOOK_SLACK: Duration = Duration::from_secs(10);

/// Wakes a tail before its next poll.
pub(crate) type Wake = Arc<Notify>;

/// One path of one job.
pub(crate) struct Tail {
    pub(crate) path: PathBuf,
    /// The job.
    pub(crate) reader: String,
    /// The jobs before it that read the same path.
    pub(crate) seniors: Vec<String>,
    pub(crate) intake: Intake,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) times: Arc<Times>,
    pub(crate) own: Own,
    pub(crate) wake: Wake,
    /// Noticed between chunks only: a chunk that is given up midway is lost to this process.
    pub(crate) stop: CancellationToken,
    /// When somebody last looked at the path, this run or the one before. Rotated files nobody has a position for are
    /// read if they were written to after this.
    pub(crate) looked: UnixNanos,
    /// File events are hints; without any the file is looked at after pauses that grow from the first to the second
    /// while nothing happens.
    pub(crate) polls: (Duration, Duration),
}

struct Open {
    reader: Reader,
    identity: Identity,
    key: String,
    claim: Claim,
    /// What was read of it before a kill, and no position covers.
    replay: Replay,
    /// What the file began with when it was last looked at.
    head: Head,
    /// When the file last grew.
    grew: Instant,
    /// When the path was first seen to name another file.
    rotated: Option<Instant>,
    /// It was truncated since somebody last asked.
    truncated: bool,
    /// Up to here it was taken care that nothing is lost though the file is deleted.
    secured: Option<u64>,
}

struct State {
    files: VecDeque<Open>,
    chunk: Chunk,
    /// Where the chunk begins in its file.
    start: u64,
    /// Time of the last line, so that no two lines of a path share a nanosecond: Loki would take equal ones for one.
    last_stamp: UnixNanos,
    /// The error last logged, so that it is logged once.
    told: Option<io::ErrorKind>,
}

impl Tail {
    /// Follows the path until it is gone and drained, or until it is told to stop; when it last looked at the path.
    pub(crate) async fn run(mut self) -> UnixNanos {
        self.follow().await;
        // Nobody to take it is nobody to tell: the lines stay before their position.
        drop(self.intake.finish().await);
        self.looked
    }

    async fn follow(&mut self) {
        if let Some(imported) = self.imported() {
            // Until then Promtail looked. Its position tells what it has read, so there is no slack.
            self.looked = self.looked.max(imported.as_of.plus(LOOK_SLACK));
        }
        let (shortest, longest) = self.polls;
        let mut pause = shortest;
        let (files, chunk) = (VecDeque::new(), Chunk::default());
        let mut state = State { files, chunk, start: 0, last_stamp: UnixNanos(0), told: None };
        let stop = self.stop.clone();
        while !stop.is_cancelled() {
            let before = state.last_stamp;
            let there = self.look(&mut state);
            if self.drain(&mut state).await.is_err() || (!there && state.files.is_empty()) {
                return;
            }
            pause = if state.last_stamp == before { (pause * 2).min(longest) } else { shortest };
            let wake = self.wake.clone();
            // Poll or hint, both mean: look again.
            let waited = stop.run_until_cancelled(timeout(pause, wake.notified()));
            self.intake.meanwhile(waited).await;
        }
    }

    /// Opens what the path names now, if it is not open yet. False when there is nothing at the path.
    fn look(&mut self, state: &mut State) -> bool {
        let now = clock::now();
        let result = match std::fs::metadata(&self.path) {
            Ok(metadata)
                if state.files.back().is_some_and(|open| open.identity == Identity::of(&metadata)) =>
            {
                // Shortly after a rotation there may have been others that fell between two looks.
                let rotated_lately = state.files.len() > 1;
                let again =
                    if rotated_lately { self.open_rotated(state, Identity::of(&metadata)) } else { Ok(()) };
                again.map(|()| true)
            }
            Ok(_) => self.open_current(state).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        };
        match result {
            Ok(there) => {
                self.looked = now;
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
        take_over(&self.ledger, &self.path, &file)?;
        self.open_rotated(state, Identity::of(&file.metadata()?))?;
        state.files.extend(self.open(file)?);
        Ok(())
    }

    /// Opens rotated files of the path with something unread, oldest first: what was rotated away while the agent was
    /// down, or faster than it looked. They are read before `current`, which is the newest.
    fn open_rotated(&self, state: &mut State, current: Identity) -> io::Result<()> {
        for (rotated, file) in open_rotated(&self.path)? {
            if rotated.identity == current {
                // Rotated away meanwhile: what comes after it is newer, and found at the next look.
                break;
            }
            if !self.is_unread(&file, &file.metadata()?, &rotated)? {
                continue;
            }
            if let Some(open) = self.open(file)? {
                let newest_is_current = state.files.back().is_some_and(|open| open.identity == current);
                state.files.insert(state.files.len() - usize::from(newest_is_current), open);
            }
        }
        Ok(())
    }

    /// True for a file that was read in part, or that nobody ever opened although somebody should have.
    fn is_unread(&self, file: &File, metadata: &Metadata, rotated: &Rotated) -> io::Result<bool> {
        let own = self.ledger.find(&self.key(rotated.identity)).and_then(|track| track.read_position());
        let cursor = own.or_else(|| self.imported_position(rotated.identity));
        // A writer that has not noticed the rotation goes on for a while.
        let written_lately = rotated.modified > clock::now().minus(ROTATED_WAIT);
        Ok(match cursor.map(|cursor| resume(file, metadata.len(), cursor)).transpose()? {
            Some(offset) if offset > 0 => offset < metadata.len() || written_lately,
            // Never read, or another file under the inode of one that was.
            _ => rotated.modified > self.looked.minus(LOOK_SLACK),
        })
    }

    /// Claims the file and finds the place to go on reading. `None` while a tail of another path has it.
    fn open(&self, file: File) -> io::Result<Option<Open>> {
        let metadata = file.metadata()?;
        let identity = Identity::of(&metadata);
        let key = self.key(identity);
        let Some(claim) = self.ledger.claim(&key, &self.path.display().to_string()) else {
            return Ok(None);
        };
        let known = claim.track().read_position();
        let known = known.or_else(|| self.imported_position(identity));
        let known = known.or_else(|| self.position_on_another_device(identity));
        let offset = match known {
            Some(cursor) => resume(&file, metadata.len(), cursor)?,
            None => 0,
        };
        let head = read_head(&file)?;
        if offset > 0 {
            // A file that stays idle keeps its position, whatever the track is called that it came from.
            claim.track().begin_at(Cursor::File { offset, head });
        }
        Ok(Some(Open {
            replay: Replay::of(self.times.from(&key, offset), &file, metadata.len())?,
            reader: Reader::new(file, offset),
            identity,
            key,
            claim,
            head,
            grew: Instant::now(),
            rotated: None,
            truncated: false,
            secured: None,
        }))
    }

    /// Reads every open file to its end, oldest first, and lets go of those that are done. Told to stop, it breaks off.
    async fn drain(&mut self, state: &mut State) -> Result<(), IntakeClosed> {
        let mut index = 0;
        while index < state.files.len() {
            self.read_to_end(state, index).await?;
            if self.stop.is_cancelled() {
                return Ok(());
            }
            self.secure(&mut state.files[index]).await?;
            let rotated_away = index + 1 < state.files.len() || !self.is_at_path(&state.files[index]);
            let open = &mut state.files[index];
            let quiet = open.grew.elapsed();
            open.rotated = if rotated_away { open.rotated.or_else(|| Some(Instant::now())) } else { None };
            if is_left(open.rotated.map(|since| since.elapsed()), quiet) {
                self.flush(state, index).await?;
                state.files.remove(index);
            } else {
                if quiet >= UNFINISHED_LINE_WAIT {
                    self.flush(state, index).await?;
                }
                index += 1;
            }
        }
        Ok(())
    }

    /// What was read of a deleted file cannot be read again.
    async fn secure(&mut self, open: &mut Open) -> Result<(), IntakeClosed> {
        let read = Some(open.reader.offset());
        let is_deleted = open.reader.file().metadata().is_ok_and(|metadata| metadata.nlink() == 0);
        if is_deleted && open.secured != read {
            open.secured = read;
            self.intake.secure().await?;
        }
        Ok(())
    }

    async fn read_to_end(&mut self, state: &mut State, index: usize) -> Result<(), IntakeClosed> {
        loop {
            let end = match self.read_chunk(state, index) {
                Ok(end) => end,
                Err(error) => {
                    self.fail(state, &error);
                    true
                }
            };
            if std::mem::take(&mut state.files[index].truncated) {
                // What was there before cannot be read again.
                self.intake.secure().await?;
            }
            self.hand_on(state, index).await?;
            if end || self.stop.is_cancelled() {
                return Ok(());
            }
            // A backlog is read in many steps, and others want to run between them.
            yield_now().await;
        }
    }

    /// Reads up to a chunk. True at the end of the file.
    fn read_chunk(&self, state: &mut State, index: usize) -> io::Result<bool> {
        let State { files, chunk, start, last_stamp, .. } = state;
        let Open { reader, replay, head, grew, truncated, .. } = &mut files[index];
        let length = reader.file().metadata()?.len();
        if length == reader.read_to() {
            return Ok(true);
        }
        // Truncated, and perhaps filled again beyond where it was read to.
        if length < reader.read_to() || !begins_with(reader.file(), *head)? {
            info!(file = %self.path.display(), "file was truncated, reading it from its beginning");
            reader.rewind();
            *truncated = true;
        }
        *start = reader.offset();
        let before = reader.read_to();
        let noted = replay.next(*start);
        let mut next = noted.map_or_else(|| fresh(*last_stamp), |note| note.time);
        let stamp = || {
            let stamp = next;
            next = after(stamp);
            *last_stamp = stamp.max(*last_stamp);
            stamp
        };
        let end = match noted {
            Some(note) => reader.fill_to(note.end, chunk, stamp)?,
            None => reader.fill(chunk, stamp)?,
        };
        if reader.read_to() != before {
            *grew = Instant::now();
        }
        *head = read_head(reader.file())?;
        Ok(end)
    }

    async fn flush(&mut self, state: &mut State, index: usize) -> Result<(), IntakeClosed> {
        let reader = &mut state.files[index].reader;
        if !reader.has_unfinished() {
            return Ok(());
        }
        state.last_stamp = fresh(state.last_stamp);
        state.start = reader.offset();
        reader.flush(&mut state.chunk, state.last_stamp);
        self.hand_on(state, index).await
    }

    async fn hand_on(&mut self, state: &mut State, index: usize) -> Result<(), IntakeClosed> {
        let open = &mut state.files[index];
        self.own.lines_truncated.add(open.reader.take_cut() as f64);
        let first = state.chunk.lines().next().map(|(_, line)| line.timestamp);
        let Some(time) = first else { return Ok(()) };
        let (end, head) = (open.reader.offset(), open.head);
        self.times.note(&open.key, Note { start: state.start, end, time, head });
        let cursor = Cursor::File { offset: end, head };
        self.intake.accept(&state.chunk, cursor, open.claim.track()).await?;
        state.chunk.clear();
        Ok(())
    }

    fn is_at_path(&self, open: &Open) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|metadata| Identity::of(&metadata) == open.identity)
    }

    fn imported(&self) -> Option<Imported> {
        self.ledger.imported(&self.path.display().to_string())
    }

    /// Promtail's position of the path, if it was about this file.
    fn imported_position(&self, identity: Identity) -> Option<Cursor> {
        let Imported { offset, taken, .. } = self.imported()?;
        let Taken { head, .. } = taken.filter(|taken| identity.taken(taken.head) == *taken)?;
        Some(Cursor::File { offset, head })
    }

    /// Device numbers may change over a reboot: the position of a file of the same path and inode, whose head is compared
    /// before it is believed.
    fn position_on_another_device(&self, identity: Identity) -> Option<Cursor> {
        let key = self.key(identity);
        let suffix = key.strip_prefix(&identity.key()).unwrap_or_default();
        let ending = format!(":{}{suffix}", identity.inode());
        self.ledger.position_named(&self.path.display().to_string(), |key| key.ends_with(&ending))
    }

    fn key(&self, identity: Identity) -> String {
        self.ledger.key_of(&identity.key(), &self.reader, &self.seniors)
    }
}

/// The time of a line that is read now, behind one of that time.
fn fresh(last: UnixNanos) -> UnixNanos {
    clock::now().max(after(last))
}

fn after(time: UnixNanos) -> UnixNanos {
    UnixNanos(time.0.saturating_add(1))
}
