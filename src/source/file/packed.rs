//! Reads the compressed file at a path: once, and again what is appended or put in its place.
//! In: the path, wake-ups.  Out: chunks into the intake.  Owns: the file while it is read.
//!
//! Places are places in what the file holds. To go on at one, all before it is unpacked again and passed over.

mod unpack;

use std::fs::{File, Metadata};
use std::io;
use std::pin::pin;
use std::time::{Duration, SystemTime};

use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::clock::{self, Instant};
use crate::custody::{Claim, Cursor, Head, Note};
use crate::pipeline::{Intake, IntakeClosed};
use crate::record::{Chunk, UnixNanos};
use crate::source::file::descriptors::Descriptor;
use crate::source::file::identity::{Identity, begins_with, read_head};
use crate::source::file::lookout::Place;
use crate::source::file::reader::Reader;
use crate::source::file::replay::Replay;
use crate::source::file::tail::Wake;
use crate::source::{after, fresh};

pub(crate) use unpack::Format;
use unpack::Unpacker;
#[cfg(any(fuzzing, test))]
pub(crate) use unpack::fuzz as fuzz_unpack;

/// A file that ends too early may be in the making; it is left so when it has not changed for so long.
const UNCHANGED_WAIT: Duration = Duration::from_secs(5);

/// How the files of a job are to be unpacked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decompression {
    /// Before a file is opened that was just found.
    pub(crate) initial_delay: Duration,
    /// As the file says, where the configuration does not.
    pub(crate) format: Option<Format>,
}

/// One path of one job.
pub(crate) struct Packed {
    place: Place,
    how: Decompression,
    intake: Intake,
    wake: Wake,
    /// Noticed between chunks only.
    stop: CancellationToken,
    /// Between two looks that no file event asked for.
    poll: Duration,
    chunk: Chunk,
    last_stamp: UnixNanos,
}

/// What a path names, as far as it can be told without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    identity: Identity,
    length: u64,
    modified: Option<SystemTime>,
}

/// A file that is read, or was.
struct Read {
    version: Version,
    since: Instant,
    claim: Claim,
    /// It ended in the middle, and may yet go on; with it, what it ended with.
    unended: Option<(Reading, io::Error)>,
}

struct Reading {
    reader: Reader<Unpacker>,
    key: String,
    head: Head,
    length: u64,
    replay: Replay,
    lines: u64,
    _descriptor: Descriptor,
}

/// How reading ended.
enum End {
    Whole,
    /// The file ends in the middle.
    Early(io::Error),
    Damaged(io::Error),
    Stopped,
}

/// Reading did not come to an end.
enum Failed {
    Closed,
    Io(io::Error),
}

impl From<IntakeClosed> for Failed {
    fn from(_: IntakeClosed) -> Failed {
        Failed::Closed
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Failed {
        Failed::Io(error)
    }
}

impl Packed {
    pub(crate) fn new(
        place: Place,
        how: Decompression,
        poll: Duration,
        intake: Intake,
        wake: Wake,
        stop: CancellationToken,
    ) -> Packed {
        let (chunk, last_stamp) = (Chunk::default(), UnixNanos(0));
        Packed { place, how, intake, wake, stop, poll, chunk, last_stamp }
    }

    /// Follows the path until it is gone, or until it is told to stop; when it last looked at the path.
    pub(crate) async fn run(&mut self) -> UnixNanos {
        let mut looked = clock::now();
        if self.stop.run_until_cancelled(sleep(self.how.initial_delay)).await.is_some() {
            self.follow(&mut looked).await;
        }
        // Nobody to take it is nobody to tell: the lines stay before their position.
        drop(self.intake.finish().await);
        looked
    }

    async fn follow(&mut self, looked: &mut UnixNanos) {
        let mut read: Option<Read> = None;
        let mut told = None;
        let (stop, wake) = (self.stop.clone(), self.wake.clone());
        while !stop.is_cancelled() {
            *looked = clock::now();
            match std::fs::metadata(&self.place.path) {
                Ok(metadata) => match self.see(Version::of(&metadata), &mut read).await {
                    Ok(()) => {
                        told = None;
                        self.place.reporter.works();
                    }
                    Err(Failed::Closed) => return,
                    Err(Failed::Io(error)) => self.fail(&error, &mut told),
                },
                Err(error) if error.kind() == io::ErrorKind::NotFound => return,
                Err(error) => self.fail(&error, &mut told),
            }
            let waiting = pin!(timeout(self.poll, wake.notified()));
            self.intake.meanwhile(pin!(stop.run_until_cancelled(waiting))).await;
        }
    }

    fn fail(&self, error: &io::Error, told: &mut Option<io::ErrorKind>) {
        self.place.own.file_errors.add(1.0);
        self.place.reporter.fails(error);
        if told.replace(error.kind()) != Some(error.kind()) {
            warn!(path = %self.place.path.display(), %error, "file cannot be read, trying again");
        }
    }

    /// Reads what is new at the path, if there is anything.
    async fn see(&mut self, version: Version, read: &mut Option<Read>) -> Result<(), Failed> {
        if let Some(before) = read.as_mut().filter(|before| before.version == version) {
            if before.since.elapsed() >= UNCHANGED_WAIT
                && let Some((mut reading, error)) = before.unended.take()
            {
                self.finish(&mut reading, &before.claim, Some(error)).await?;
            }
            return Ok(());
        }
        // Whoever reads it next claims it.
        *read = None;
        let Some((reading, claim)) = self.open(version).await? else { return Ok(()) };
        let mut unended = None;
        if let Some(mut reading) = reading {
            match self.read(&mut reading, &claim).await? {
                End::Stopped => return Ok(()),
                End::Whole => self.finish(&mut reading, &claim, None).await?,
                End::Damaged(error) => self.finish(&mut reading, &claim, Some(error)).await?,
                End::Early(error) => unended = Some((reading, error)),
            }
        }
        self.chunk = Chunk::default();
        *read = Some(Read { version, since: Instant::now(), claim, unended });
        Ok(())
    }

    /// Claims the file and goes on to where it was read to, if there is anything to read. `None` while another has it.
    async fn open(&mut self, version: Version) -> Result<Option<(Option<Reading>, Claim)>, Failed> {
        let place = &self.place;
        let descriptor = place.descriptors.take()?;
        let file = File::open(&place.path)?;
        if Version::of(&file.metadata()?) != version {
            // The next look sees it.
            return Ok(None);
        }
        let (identity, length) = (version.identity, version.length);
        let key = place.key(identity);
        let Some(claim) = place.ledger.claim(&key, &place.name()) else { return Ok(None) };
        let head = read_head(&file)?;
        let known = claim.track().read_position().or_else(|| place.position_on_another_device(identity));
        let (mut offset, mut lines, mut whole) = (0, 0, length == 0);
        if let Some(Cursor::Packed { offset: place, lines: before, head, whole: size }) = known
            && size.is_none_or(|size| size <= length)
            && begins_with(&file, head)?
        {
            (offset, lines, whole) = (place, before, size == Some(length));
        }
        if whole {
            return Ok(Some((None, claim)));
        }
        let Some(format) = self.how.format.or(Format::of(&file)?) else {
            place.own.files_damaged.add(1.0);
            warn!(path = %place.path.display(), "file is not compressed in a format that is known");
            return Ok(Some((None, claim)));
        };
        let replay = Replay::of(place.times.from(&key, offset), &file, u64::MAX)?;
        let mut unpacker = Unpacker::new(file, format);
        if let Some(imported) =
            place.imported().filter(|imported| known.is_none() && imported.taken.is_none())
        {
            lines = imported.offset;
            place.ledger.settle_import(&place.name(), Some(identity.taken(head)));
            let mut left = lines;
            while left > 0 && !self.stop.is_cancelled() {
                // What cannot be unpacked is found out by reading on.
                left = unpacker.skip_lines(left).unwrap_or(0);
                yield_now().await;
            }
            offset = unpacker.place();
        }
        while !self.stop.is_cancelled() && !unpacker.skip_to(offset).unwrap_or(true) {
            yield_now().await;
        }
        let reader = Reader::new(unpacker, self.place.encoding, offset);
        let reading = Reading { reader, key, head, length, replay, lines, _descriptor: descriptor };
        Ok(Some((Some(reading), claim)))
    }

    async fn read(&mut self, reading: &mut Reading, claim: &Claim) -> Result<End, Failed> {
        while !self.stop.is_cancelled() {
            let start = reading.reader.offset();
            let filled = self.fill(reading);
            self.hand_on(reading, claim, start, None).await?;
            let unpacker = reading.reader.content();
            match filled {
                Ok(true) => return Ok(End::Whole),
                Ok(false) => {}
                Err(error) if unpacker.file_failed() => return Err(error.into()),
                Err(error) if unpacker.file_ended() => return Ok(End::Early(error)),
                Err(error) => return Ok(End::Damaged(error)),
            }
            // A large file is read in many steps, and others want to run between them.
            yield_now().await;
        }
        Ok(End::Stopped)
    }

    fn fill(&mut self, reading: &mut Reading) -> io::Result<bool> {
        let (last_stamp, reader) = (&mut self.last_stamp, &mut reading.reader);
        let noted = reading.replay.next(reader.offset());
        let mut next = noted.map_or_else(|| fresh(*last_stamp), |note| note.time);
        let stamp = || {
            let stamp = next;
            next = after(stamp);
            *last_stamp = stamp.max(*last_stamp);
            stamp
        };
        match noted {
            Some(note) => reader.fill_to(note.end, &mut self.chunk, stamp),
            None => reader.fill(&mut self.chunk, stamp),
        }
    }

    /// The file is at its end: a last line without a newline is whole, and the file need not be read again.
    async fn finish(
        &mut self,
        reading: &mut Reading,
        claim: &Claim,
        damage: Option<io::Error>,
    ) -> Result<(), Failed> {
        if let Some(error) = damage {
            self.place.own.files_damaged.add(1.0);
            warn!(path = %self.place.path.display(), %error, "compressed file is damaged, what could be unpacked is sent");
        }
        let start = reading.reader.offset();
        self.last_stamp = fresh(self.last_stamp);
        reading.reader.flush(&mut self.chunk, self.last_stamp);
        self.hand_on(reading, claim, start, Some(reading.length)).await?;
        if !self.place.path.exists() {
            self.intake.secure().await?;
        }
        Ok(())
    }

    async fn hand_on(
        &mut self,
        reading: &mut Reading,
        claim: &Claim,
        start: u64,
        whole: Option<u64>,
    ) -> Result<(), Failed> {
        self.place.own.lines_truncated.add(reading.reader.take_cut() as f64);
        let (offset, head) = (reading.reader.offset(), reading.head);
        let first = self.chunk.lines().next().map(|(_, line)| line.timestamp);
        if let Some(time) = first {
            self.place.times.note(&reading.key, Note { start, end: offset, time, head });
        } else if whole.is_none() {
            return Ok(());
        }
        reading.lines += self.chunk.len() as u64;
        let cursor = Cursor::Packed { offset, lines: reading.lines, head, whole };
        self.intake.accept(&self.chunk, cursor, claim.track()).await?;
        self.chunk.clear();
        Ok(())
    }
}

impl Version {
    fn of(metadata: &Metadata) -> Version {
        let (length, modified) = (metadata.len(), metadata.modified().ok());
        Version { identity: Identity::of(metadata), length, modified }
    }
}
