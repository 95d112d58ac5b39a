//! Looks at a path, and opens the files that it names and has named.
//! In: the path.  Out: those that are not drained, oldest first, so that lines go out in the order they were written.
//! Owns: these files, open; or what is known of one that was closed to make room.

mod telling;

use std::collections::{HashSet, VecDeque};
use std::fs::{File, Metadata};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tracing::warn;

use crate::clock::{self, Instant};
use crate::custody::{Claim, Cursor, Head, Imported, Ledger, Taken, Times};
use crate::metrics::Own;
use crate::record::UnixNanos;
use crate::source::file::descriptors::{Descriptor, Descriptors};
use crate::source::file::encoding::Encoding;
use crate::source::file::identity::{Identity, agree_before, begins_with, read_head, resume};
use crate::source::file::listing::Listings;
use crate::source::file::reader::Reader;
use crate::source::file::replay::Replay;
use crate::source::file::rotation::{ROTATED_WAIT, Rotated, open_rotated};
use crate::source::file::takeover::take_over;
use crate::targets::Reporter;

/// A file renamed while its directory is read may be missed by one look and found by a later one; and file times come
/// from a coarser clock than ours.
pub(super) const LOOK_SLACK: Duration = Duration::from_secs(10);

/// Files of one path that are open at once. A deleted one takes its place on the disk until it is read.
const MOST_OPEN: usize = 64;

/// What reads a path, and with whom it shares it.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    /// The job.
    pub(crate) reader: String,
    /// The jobs before it that read the same path.
    pub(crate) seniors: Vec<String>,
    pub(crate) encoding: Option<Encoding>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) times: Arc<Times>,
    pub(crate) descriptors: Arc<Descriptors>,
    pub(crate) listings: Arc<Listings>,
    pub(crate) own: Arc<Own>,
    pub(crate) reporter: Reporter,
}

pub(super) struct Open {
    pub(super) reader: Reader,
    pub(super) identity: Identity,
    pub(super) key: String,
    pub(super) claim: Claim,
    /// What was read of it before a kill, and no position covers.
    pub(super) replay: Replay,
    /// What the file began with when it was last looked at.
    pub(super) head: Head,
    /// When it was last written to, as the file system says.
    pub(super) modified: Option<SystemTime>,
    /// When the file last grew.
    pub(super) grew: Instant,
    /// When there was last found to be no more of it. What was read before may have waited for long since.
    pub(super) ended: Instant,
    /// When the path was first seen to name another file.
    pub(super) rotated: Option<Instant>,
    /// It was truncated since somebody last asked: where it was read to, and what it began with.
    pub(super) truncated: Option<(u64, Head)>,
    /// Up to here it was taken care that nothing is lost though the file is deleted.
    pub(super) secured: Option<u64>,
    _descriptor: Descriptor,
}

/// The file at the path, read to its end and closed.
struct Resting {
    identity: Identity,
    length: u64,
    modified: Option<SystemTime>,
    /// Nobody else reads it meanwhile, and its position is not forgotten.
    _claim: Claim,
}

pub(super) struct Lookout {
    pub(super) place: Place,
    /// When somebody last looked at the path, this run or the one before. Rotated files nobody has a position for are
    /// read if they were written to after this.
    pub(super) looked: UnixNanos,
    pub(super) files: VecDeque<Open>,
    /// A file was put before one that was there already.
    pub(super) inserted: bool,
    resting: Option<Resting>,
    /// Files that there was no room for.
    passed_over: HashSet<Identity>,
    /// Bytes read of all of them, and of those before them.
    pub(super) read: u64,
    /// Something failed since success or failure was last told, and before that.
    failed: bool,
    failing: bool,
    /// The error last logged, so that it is logged once.
    told: Option<io::ErrorKind>,
}

impl Lookout {
    pub(super) fn new(place: Place, looked: UnixNanos) -> Lookout {
        Lookout {
            place,
            looked,
            // One, nearly always.
            files: VecDeque::with_capacity(1),
            inserted: false,
            resting: None,
            passed_over: HashSet::new(),
            read: 0,
            failed: false,
            failing: false,
            told: None,
        }
    }

    /// Opens what the path names now, if it is not open yet. False when there is nothing at the path.
    pub(super) fn look(&mut self) -> bool {
        let now = clock::now();
        let result = match std::fs::metadata(&self.place.path) {
            Ok(metadata) => self.see(&metadata).map(|()| true),
            // What was closed may have been renamed, and written to before that.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let rested = self.resting.take().is_some();
                if rested { self.open_rotated(None).map(|()| false) } else { Ok(false) }
            }
            Err(error) => Err(error),
        };
        match result {
            Ok(there) => {
                self.looked = now;
                there
            }
            Err(error) => {
                self.fail(&error);
                true
            }
        }
    }

    fn see(&mut self, metadata: &Metadata) -> io::Result<()> {
        let identity = Identity::of(metadata);
        if self.files.back().is_some_and(|open| open.identity == identity) {
            // Shortly after a rotation there may have been others that fell between two looks.
            if let Some(open) = self.files.back().filter(|_| self.files.len() > 1) {
                let cursor = Cursor::File { offset: open.reader.offset(), head: open.head };
                let current = open.reader.content().try_clone()?;
                self.open_rotated(Some((identity, &current, cursor)))?;
            }
            return Ok(());
        }
        let unchanged = |resting: &Resting| {
            (resting.identity, resting.length, resting.modified)
                == (identity, metadata.len(), metadata.modified().ok())
        };
        if self.resting.as_ref().is_some_and(unchanged) {
            return Ok(());
        }
        self.resting = None;
        self.open_current()
    }

    fn open_current(&mut self) -> io::Result<()> {
        let descriptor = self.place.descriptors.take()?;
        let file = File::open(&self.place.path)?;
        let identity = Identity::of(&file.metadata()?);
        take_over(&self.place.ledger, &self.place.listings, &self.place.path, &file)?;
        let known = self.place.ledger.find(&self.place.key(identity)).and_then(|track| track.read_position());
        let mut read_to = Cursor::File { offset: 0, head: Head::default() };
        if let Some(cursor @ Cursor::File { offset, head }) = known {
            if resume(&file, file.metadata()?.len(), cursor)? > 0 {
                read_to = cursor;
            } else {
                self.open_copy(self.files.len(), offset, head)?;
            }
        }
        self.open_rotated(Some((identity, &file, read_to)))?;
        if self.has_room(identity) {
            self.files.extend(self.place.open(file, descriptor, None)?);
        }
        Ok(())
    }

    /// Opens the copy of a file that was truncated after it was read up to `offset`: `cp app.log app.log.1`, then
    /// `: > app.log`. What was not read is there still, and what was read is not to be read again.
    pub(super) fn open_copy(&mut self, index: usize, offset: u64, head: Head) -> io::Result<()> {
        for (rotated, file) in open_rotated(&self.place.listings, &self.place.path)?.into_iter().rev() {
            let is_known = self.place.resumes(&file, rotated.identity)?
                || self.files.iter().any(|open| open.identity == rotated.identity);
            if is_known || head.length == 0 || file.metadata()?.len() < offset || !begins_with(&file, head)? {
                continue;
            }
            let descriptor = self.place.descriptors.take()?;
            if let Some(open) = self.place.open(file, descriptor, Some(Cursor::File { offset, head }))? {
                self.inserted = true;
                self.files.insert(index, open);
            }
            break;
        }
        Ok(())
    }

    /// Opens rotated files of the path with something unread, oldest first: what was rotated away while the agent was
    /// down, or faster than it looked. They are read before `current`, which is the newest.
    fn open_rotated(&mut self, current: Option<(Identity, &File, Cursor)>) -> io::Result<()> {
        let listed = open_rotated(&self.place.listings, &self.place.path)?;
        let (original, current) = (current, current.map(|(identity, ..)| identity));
        self.count_lost(listed.iter().map(|(rotated, _)| rotated.identity).chain(current).collect());
        for (rotated, file) in listed {
            if Some(rotated.identity) == current {
                // Rotated away meanwhile: what comes after it is newer, and found at the next look.
                break;
            }
            if self.files.iter().any(|open| open.identity == rotated.identity)
                || !self.is_unread(&file, &file.metadata()?, &rotated)?
                || !self.has_room(rotated.identity)
            {
                continue;
            }
            if let Some((_, original, cursor)) = original
                && !self.place.resumes(&file, rotated.identity)?
            {
                // A copy of what is at the path still, whole or in the making: that is truncated next.
                let length = file.metadata()?.len();
                if length <= original.metadata()?.len() && agree_before(original, &file, length)? {
                    continue;
                }
                // It was truncated meanwhile, and its reader looks for the copy that it knows the beginning of.
                let was_read = matches!(cursor, Cursor::File { offset: 1.., .. });
                if was_read && resume(original, original.metadata()?.len(), cursor)? == 0 {
                    break;
                }
            }
            let descriptor = self.place.descriptors.take()?;
            if let Some(open) = self.place.open(file, descriptor, None)? {
                let before_current = self.files.back().is_some_and(|open| Some(open.identity) == current);
                self.inserted |= before_current;
                self.files.insert(self.files.len() - usize::from(before_current), open);
            }
        }
        Ok(())
    }

    fn has_room(&mut self, identity: Identity) -> bool {
        let has_room = self.files.len() < MOST_OPEN;
        if has_room {
            self.passed_over.remove(&identity);
        } else {
            self.passed_over.insert(identity);
        }
        has_room
    }

    /// Counts the files that were deleted before there was room for them.
    fn count_lost(&mut self, there: HashSet<Identity>) {
        let before = self.passed_over.len();
        self.passed_over.retain(|identity| there.contains(identity));
        let lost = before - self.passed_over.len();
        if lost > 0 {
            self.place.own.files_lost.add(lost as f64);
            warn!(path = %self.place.path.display(), files = lost, "rotated files were deleted before they could be read");
        }
    }

    /// True for a file that was read in part, or that nobody ever opened although somebody should have.
    fn is_unread(&self, file: &File, metadata: &Metadata, rotated: &Rotated) -> io::Result<bool> {
        let own = self.place.ledger.find(&self.place.key(rotated.identity));
        let own = own.and_then(|track| track.read_position());
        let cursor = own.or_else(|| self.place.imported_position(rotated.identity));
        // A writer that has not noticed the rotation goes on for a while.
        let written_lately = rotated.modified > clock::now().minus(ROTATED_WAIT);
        Ok(match cursor.map(|cursor| resume(file, metadata.len(), cursor)).transpose()? {
            Some(offset) if offset > 0 => offset < metadata.len() || written_lately,
            // Never read, or another file under the inode of one that was.
            _ => rotated.modified > self.looked.minus(LOOK_SLACK),
        })
    }

    pub(super) fn is_at_path(&self, open: &Open) -> bool {
        std::fs::metadata(&self.place.path).is_ok_and(|metadata| Identity::of(&metadata) == open.identity)
    }

    /// Closes the only file, which is at the path and read to its end, if others need the room; it is opened again when it
    /// has changed, or found by its identity when it was renamed.
    pub(super) fn make_room(&mut self, quiet_for: Duration) {
        let descriptors = &self.place.descriptors;
        let [open] = self.files.make_contiguous() else { return };
        let quiet = descriptors.are_wanted() || open.grew.elapsed() >= quiet_for;
        if !descriptors.are_scarce() || !quiet || open.rotated.is_some() || open.reader.has_unfinished() {
            return;
        }
        // Taken before the length is compared: what is written from now on changes it.
        let Ok(metadata) = open.reader.content().metadata() else { return };
        if metadata.len() == open.reader.offset()
            && let Some(Open { identity, claim, .. }) = self.files.pop_front()
        {
            let (length, modified) = (metadata.len(), metadata.modified().ok());
            self.resting = Some(Resting { identity, length, modified, _claim: claim });
        }
    }
}

impl Place {
    /// Claims the file and finds the place to go on reading. `None` while a tail of another path has it.
    fn open(&self, file: File, descriptor: Descriptor, copied: Option<Cursor>) -> io::Result<Option<Open>> {
        let metadata = file.metadata()?;
        let identity = Identity::of(&metadata);
        let key = self.key(identity);
        let Some(claim) = self.ledger.claim(&key, &self.name()) else {
            return Ok(None);
        };
        let known = claim.track().read_position();
        let known = known.or_else(|| self.imported_position(identity));
        let known = known.or_else(|| self.position_on_another_device(identity));
        let mut offset = 0;
        for cursor in [known, copied].into_iter().flatten() {
            if offset == 0 {
                offset = resume(&file, metadata.len(), cursor)?;
            }
        }
        let head = read_head(&file)?;
        if offset > 0 {
            // A file that stays idle keeps its position, whatever the track is called that it came from.
            claim.track().begin_at(Cursor::File { offset, head });
        }
        Ok(Some(Open {
            replay: Replay::of(self.times.from(&key, offset), &file, metadata.len())?,
            reader: Reader::new(file, self.encoding, offset),
            identity,
            key,
            claim,
            head,
            modified: None,
            grew: Instant::now(),
            ended: Instant::now(),
            rotated: None,
            truncated: None,
            secured: None,
            _descriptor: descriptor,
        }))
    }

    /// True for a file that was read in part, under this identity.
    fn resumes(&self, file: &File, identity: Identity) -> io::Result<bool> {
        let known = self.ledger.find(&self.key(identity)).and_then(|track| track.read_position());
        let length = file.metadata()?.len();
        known.map_or(Ok(false), |cursor| Ok(resume(file, length, cursor)? > 0))
    }

    pub(super) fn imported(&self) -> Option<Imported> {
        self.ledger.imported(&self.name())
    }

    /// Promtail's position of the path, if it was about this file.
    fn imported_position(&self, identity: Identity) -> Option<Cursor> {
        let Imported { offset, taken, .. } = self.imported()?;
        let Taken { head, .. } = taken.filter(|taken| identity.taken(taken.head) == *taken)?;
        Some(Cursor::File { offset, head })
    }

    /// Device numbers may change over a reboot: the position of a file of the same path and inode, whose head is compared
    /// before it is believed.
    pub(super) fn position_on_another_device(&self, identity: Identity) -> Option<Cursor> {
        let key = self.key(identity);
        let suffix = key.strip_prefix(&identity.key()).unwrap_or_default();
        self.ledger.position_on_any_device(&self.name(), &format!("{}{suffix}", identity.inode()))
    }

    pub(super) fn key(&self, identity: Identity) -> String {
        self.ledger.key_of(&identity.key(), &self.reader, &self.seniors)
    }

    /// What a person calls the track.
    pub(super) fn name(&self) -> String {
        self.path.display().to_string()
    }
}
