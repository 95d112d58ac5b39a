//! Follows one path through growth, rotation, truncation and removal.
//! In: the path, wake-ups.  Out: chunks into the intake.  Owns: the chunk at hand; the files are the lookout's.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::clock::Instant;
use crate::custody::{Cursor, Note};
use crate::pipeline::{Intake, IntakeClosed};
use crate::record::{Chunk, UnixNanos};
use crate::source::file::identity::{begins_with, read_head};
use crate::source::file::lookout::{LOOK_SLACK, Lookout, Open, Place};
use crate::source::file::rotation::is_left;
use crate::source::{after, fresh};

/// A last line without a newline is handed on when nothing followed it for so long.
const UNFINISHED_LINE_WAIT: Duration = Duration::from_secs(1);

/// From one look to the next, so that lines that follow each other closely are read together: each look takes as much as dozens of
/// them. What comes after a pause is read at once.
const GAP: Duration = Duration::from_millis(50);

/// While there is much to read, or reading waits, files are rotated all the same: they must be open before they are deleted.
const LOOK_PERIOD: Duration = Duration::from_millis(100);

/// Wakes a tail before its next poll.
pub(crate) type Wake = Arc<Notify>;

/// One path of one job.
pub(crate) struct Tail {
    lookout: Lookout,
    intake: Intake,
    wake: Wake,
    /// Noticed between chunks only: a chunk that is given up midway is lost to this process.
    stop: CancellationToken,
    /// File events are hints; without any the file is looked at after pauses that grow from the first to the second
    /// while nothing happens.
    polls: (Duration, Duration),
    chunk: Chunk,
    /// Where the chunk begins in its file.
    start: u64,
    /// Time of the last line, so that no two lines of a path share a nanosecond: Loki would take equal ones for one.
    last_stamp: UnixNanos,
    last_look: Instant,
}

impl Tail {
    /// `looked` is when somebody last looked at the path.
    pub(crate) fn new(
        place: Place,
        looked: UnixNanos,
        polls: (Duration, Duration),
        intake: Intake,
        wake: Wake,
        stop: CancellationToken,
    ) -> Tail {
        Tail {
            lookout: Lookout::new(place, looked),
            intake,
            wake,
            stop,
            polls,
            chunk: Chunk::default(),
            start: 0,
            last_stamp: UnixNanos(0),
            last_look: Instant::now(),
        }
    }

    /// Follows the path until it is gone and drained, or until it is told to stop; when it last looked at the path.
    pub(crate) async fn run(&mut self) -> UnixNanos {
        self.follow().await;
        // Nobody to take it is nobody to tell: the lines stay before their position.
        drop(self.intake.finish().await);
        self.lookout.looked
    }

    async fn follow(&mut self) {
        if let Some(imported) = self.lookout.place.imported() {
            // Until then Promtail looked. Its position tells what it has read, so there is no slack.
            self.lookout.looked = self.lookout.looked.max(imported.as_of.plus(LOOK_SLACK));
        }
        let (shortest, longest) = self.polls;
        let mut pause = shortest;
        let stop = self.stop.clone();
        while !stop.is_cancelled() {
            let (began, before) = (Instant::now(), self.last_stamp);
            self.last_look = Instant::now();
            let there = self.lookout.look();
            if self.drain().await.is_err() || (!there && self.lookout.files.is_empty()) {
                return;
            }
            self.lookout.tell();
            self.lookout.make_room(UNFINISHED_LINE_WAIT);
            if self.last_stamp == before {
                pause = (pause * 2).min(longest);
            } else {
                pause = shortest;
            }
            let wake = self.wake.clone();
            let waiting = pin!(async {
                // Poll or hint, both mean: look again.
                drop(timeout(pause, wake.notified()).await);
                sleep_until(began + GAP).await;
            });
            self.intake.meanwhile(pin!(stop.run_until_cancelled(waiting))).await;
        }
    }

    /// Reads every open file to its end, oldest first, and lets go of those that are done. Told to stop, it breaks off.
    async fn drain(&mut self) -> Result<(), IntakeClosed> {
        let mut index = 0;
        while index < self.lookout.files.len() {
            self.read_to_end(index).await?;
            if self.stop.is_cancelled() {
                return Ok(());
            }
            if std::mem::take(&mut self.lookout.inserted) {
                // There are older lines than these.
                index = 0;
                continue;
            }
            self.secure(index).await?;
            let files = &self.lookout.files;
            let rotated_away = index + 1 < files.len() || !self.lookout.is_at_path(&files[index]);
            let open = &mut self.lookout.files[index];
            let quiet = open.ended.saturating_duration_since(open.grew);
            open.rotated = if rotated_away { open.rotated.or_else(|| Some(Instant::now())) } else { None };
            if is_left(open.rotated.map(|since| since.elapsed()), quiet) {
                self.flush(index).await?;
                self.lookout.files.remove(index);
            } else {
                if quiet >= UNFINISHED_LINE_WAIT {
                    self.flush(index).await?;
                }
                index += 1;
            }
        }
        Ok(())
    }

    /// What was read of a deleted file cannot be read again.
    async fn secure(&mut self, index: usize) -> Result<(), IntakeClosed> {
        let open = &mut self.lookout.files[index];
        let read = Some(open.reader.offset());
        let is_deleted = open.reader.content().metadata().is_ok_and(|metadata| metadata.nlink() == 0);
        if is_deleted && open.secured != read {
            open.secured = read;
            look_meanwhile(&mut self.lookout, &mut self.last_look, pin!(self.intake.secure())).await?;
        }
        Ok(())
    }

    async fn read_to_end(&mut self, index: usize) -> Result<(), IntakeClosed> {
        let stop = self.stop.clone();
        loop {
            let Tail { lookout, last_look, intake, chunk, .. } = self;
            let turn = async { stop.run_until_cancelled(pin!(intake.turn(chunk))).await };
            if look_meanwhile(lookout, last_look, pin!(turn)).await.is_none() {
                return Ok(());
            }
            let end = match self.read_chunk(index) {
                Ok(end) => end,
                Err(error) => {
                    self.lookout.fail(&error);
                    self.lookout.files[index].ended = Instant::now();
                    true
                }
            };
            if let Some((offset, head)) = self.lookout.files[index].truncated.take() {
                // What was there before cannot be read again.
                look_meanwhile(&mut self.lookout, &mut self.last_look, pin!(self.intake.secure())).await?;
                if let Err(error) = self.lookout.open_copy(index, offset, head) {
                    self.lookout.fail(&error);
                }
            } else {
                self.hand_on(index).await?;
            }
            self.intake.pass(&mut self.chunk);
            if end || self.lookout.inserted || self.stop.is_cancelled() {
                return Ok(());
            }
            if self.last_look.elapsed() >= LOOK_PERIOD {
                self.lookout.look();
                self.lookout.report();
                self.last_look = Instant::now();
            }
            // A backlog is read in many steps, and others want to run between them.
            yield_now().await;
        }
    }

    /// Reads up to a chunk. True at the end of the file.
    fn read_chunk(&mut self, index: usize) -> io::Result<bool> {
        let Tail { lookout, chunk, start, last_stamp, .. } = self;
        let Open { reader, replay, head, modified, grew, ended, truncated, .. } = &mut lookout.files[index];
        let now = Instant::now();
        let metadata = reader.content().metadata()?;
        let length = metadata.len();
        // It may have been truncated and filled again up to the same length.
        let written = std::mem::replace(modified, metadata.modified().ok()) != *modified;
        if length == reader.read_to() && !written {
            *ended = now;
            return Ok(true);
        }
        // Truncated, and perhaps filled again beyond where it was read to.
        if length < reader.read_to() || !begins_with(reader.content(), *head)? {
            info!(path = %lookout.place.path.display(), "file was truncated, reading it from its beginning");
            *truncated = Some((reader.offset(), *head));
            reader.rewind();
            *head = read_head(reader.content())?;
            return Ok(false);
        }
        let began = *head;
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
        if reader.read_to() == before {
            *ended = now;
        } else {
            *grew = Instant::now();
        }
        *head = read_head(reader.content())?;
        if !begins_with(reader.content(), began)? {
            // Truncated and filled again meanwhile: what was read may be of either. The next step finds it truncated.
            chunk.clear();
            reader.go_back(*start);
            *head = began;
            return Ok(false);
        }
        Ok(end)
    }

    async fn flush(&mut self, index: usize) -> Result<(), IntakeClosed> {
        let reader = &mut self.lookout.files[index].reader;
        if !reader.has_unfinished() {
            return Ok(());
        }
        self.last_stamp = fresh(self.last_stamp);
        self.start = reader.offset();
        reader.flush(&mut self.chunk, self.last_stamp);
        self.hand_on(index).await?;
        self.intake.pass(&mut self.chunk);
        Ok(())
    }

    async fn hand_on(&mut self, index: usize) -> Result<(), IntakeClosed> {
        let place = &self.lookout.place;
        let open = &mut self.lookout.files[index];
        place.own.lines_truncated.add(open.reader.take_cut() as f64);
        let first = self.chunk.lines().next().map(|(_, line)| line.timestamp);
        let Some(time) = first else { return Ok(()) };
        let (end, head) = (open.reader.offset(), open.head);
        place.times.note(&open.key, Note { start: self.start, end, time, head });
        self.lookout.read += end - self.start;
        let cursor = Cursor::File { offset: end, head };
        let track = open.claim.track().clone();
        let Tail { lookout, last_look, intake, chunk, .. } = self;
        look_meanwhile(lookout, last_look, pin!(intake.accept(chunk, cursor, &track))).await?;
        self.chunk.clear();
        Ok(())
    }
}

/// Awaits something, which its caller has pinned. Whatever reading waits for, its files go on being rotated.
async fn look_meanwhile<T>(
    lookout: &mut Lookout,
    last_look: &mut Instant,
    mut what: impl Future<Output = T> + Unpin,
) -> T {
    loop {
        tokio::select! {
            biased;
            output = &mut what => return output,
            () = sleep(LOOK_PERIOD) => {}
        }
        lookout.look();
        lookout.report();
        *last_look = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::task_size;

    #[test]
    fn a_silent_file_takes_little_memory() {
        let task = task_size(Tail::run);
        assert!(task <= 5000, "its task takes {task} bytes");
    }
}
