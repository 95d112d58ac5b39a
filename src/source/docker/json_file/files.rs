//! The files of one log, read in the order they were written in.
//! In: the log's path, where reading was.  Out: messages.  Owns: the open files, oldest first, and the bytes of a record
//! that is not complete, capped.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use crate::custody::LogPlace;
use crate::record::Chunk;
use crate::source::docker::json_file::log_file::{LogFile, highest_number};
use crate::source::docker::json_file::record;
use crate::source::docker::messages::Messages;
use crate::targets::Reporter;

const READ_SIZE: usize = 64 * 1024;

/// Blocks that are read before others get their turn.
const READS_AT_ONCE: usize = 16;

/// dockerd's records hold 16 KiB of text, of which each byte may take six, and attributes.
const LONGEST_RECORD: usize = 1024 * 1024;

/// Files that are open and not yet read to their end; what is rotated away beyond that is not waited for.
const MOST_OPEN: usize = 128;

/// Walks over files that move meanwhile.
const MOST_WALKS: usize = 10;

/// Stretches of files in which a place can be found again; one that is further back is found by its time.
const MOST_STRETCHES: usize = 1000;

/// A log being read.
#[derive(Debug)]
pub(in crate::source::docker) struct JsonFile {
    path: PathBuf,
    /// The first is being read.
    files: VecDeque<LogFile>,
    /// Where files begin, counted in bytes from where reading began.
    stretches: VecDeque<Stretch>,
    /// Bytes read and not yet taken, from `taken` on.
    buffer: Vec<u8>,
    taken: usize,
    /// Of the first of them, counted like `stretches`.
    position: u64,
    /// Within a record that is longer than any may be.
    skipping: bool,
    text: Vec<u8>,
    /// What nobody has asked for yet.
    seen: Seen,
}

/// What happened to a log's files.
#[derive(Debug, Default)]
pub(in crate::source::docker) struct Seen {
    /// Rotations after which a file was not there any more that the next one should follow.
    pub(in crate::source::docker) gaps: u64,
    /// Something was read that cannot be read again: the file was truncated or deleted.
    pub(in crate::source::docker) unrepeatable: bool,
    pub(in crate::source::docker) truncated: bool,
}

#[derive(Debug)]
struct Stretch {
    begins: u64,
    /// Of its beginning; `None` in a compressed file.
    place: Option<LogPlace>,
}

impl JsonFile {
    /// Opens the log where it was read to, or with all its files where that place is not there any more.
    pub(in crate::source::docker) fn open(path: &Path, place: Option<LogPlace>) -> io::Result<JsonFile> {
        let is_wanted = |file: &mut LogFile| place.map_or(Ok(false), |place| file.go_to(&place));
        let (mut files, found) = newest_first(path, is_wanted)?;
        files.extend(found);
        let files: VecDeque<LogFile> = files.into_iter().rev().collect();
        let mut log = JsonFile {
            path: path.to_owned(),
            files,
            stretches: VecDeque::new(),
            buffer: Vec::new(),
            taken: 0,
            position: 0,
            skipping: false,
            text: Vec::new(),
            seen: Seen::default(),
        };
        log.begin_stretch();
        Ok(log)
    }

    /// Opens the files that the log was rotated into since the last look. Error `NotFound` where there is none.
    pub(in crate::source::docker) fn look(&mut self) -> io::Result<()> {
        let Some(newest) = self.files.back() else { return Ok(()) };
        if newest.is_at(&self.path)? || self.files.len() >= MOST_OPEN {
            return Ok(());
        }
        let (newer, found) = newest_first(&self.path, |file| file.is(newest))?;
        if found.is_none() && !newer.is_empty() {
            self.seen.gaps += 1;
        }
        self.files.extend(newer.into_iter().rev());
        Ok(())
    }

    /// Takes what there is until the chunk is full or enough was read at once. True at the end.
    pub(in crate::source::docker) fn fill(
        &mut self,
        messages: &mut Messages,
        chunk: &mut Chunk,
    ) -> io::Result<bool> {
        if self.files.front_mut().map_or(Ok(false), LogFile::rewind_truncated)? {
            self.seen.truncated = true;
            self.seen.unrepeatable = true;
            self.drop_rest(messages);
            self.begin_stretch();
        }
        for _ in 0..READS_AT_ONCE {
            self.take_records(messages, chunk);
            if chunk.is_full() {
                return Ok(false);
            }
            // A file may have grown until the moment it was renamed: that it ends is learned after the next is known.
            let is_rotated = self.files.len() > 1;
            if self.read(messages)? > 0 {
                continue;
            }
            if !is_rotated {
                if self.buffer.len() == self.taken {
                    (self.buffer, self.taken) = (Vec::new(), 0);
                }
                return Ok(true);
            }
            self.take_last(messages, chunk);
            self.next_file();
            break;
        }
        Ok(false)
    }

    /// A place in the files from which on everything is found that was read at `earliest` or later.
    pub(in crate::source::docker) fn place(&mut self, earliest: u64) -> Option<LogPlace> {
        while self.stretches.get(1).is_some_and(|next| next.begins <= earliest) {
            self.stretches.pop_front();
        }
        let Stretch { begins, place } = self.stretches.front()?;
        let behind = earliest.checked_sub(*begins)?;
        let head = self.files.front().and_then(LogFile::place).filter(|_| self.stretches.len() == 1);
        place.map(|place| LogPlace {
            offset: place.offset + behind,
            head: head.map_or(place.head, |file| file.head),
            ..place
        })
    }

    /// What happened since this was last asked.
    pub(in crate::source::docker) fn take_seen(&mut self) -> Seen {
        std::mem::take(&mut self.seen)
    }

    /// How many bytes were taken since it was opened.
    pub(in crate::source::docker) fn position(&self) -> u64 {
        self.position
    }

    /// Tells how far reading is behind. What is compressed counts as it is.
    pub(in crate::source::docker) fn report(&self, reporter: &Reporter) {
        let unread: u64 = self.files.iter().map(LogFile::unread).sum();
        reporter.behind(self.position, unread + (self.buffer.len() - self.taken) as u64);
    }

    fn take_records(&mut self, messages: &mut Messages, chunk: &mut Chunk) {
        while !chunk.is_full() {
            let Some(length) = memchr::memchr(b'\n', &self.buffer[self.taken..]) else { return };
            self.take(length, messages, chunk);
            self.taken += 1;
            self.position += 1;
        }
    }

    /// Takes a record of that length.
    fn take(&mut self, length: usize, messages: &mut Messages, chunk: &mut Chunk) {
        let line = &self.buffer[self.taken..self.taken + length];
        if !std::mem::take(&mut self.skipping) {
            match record::parse(line, &mut self.text) {
                Some(found) => {
                    if found.torn {
                        messages.count_malformed();
                    }
                    messages.record(found.output, found.time, found.text, self.position, chunk);
                }
                None => messages.count_malformed(),
            }
        }
        self.taken += length;
        self.position += length as u64;
    }

    /// The last record of a file that nobody writes to any more may lack its end.
    fn take_last(&mut self, messages: &mut Messages, chunk: &mut Chunk) {
        let length = self.buffer.len() - self.taken;
        if length > 0 {
            self.take(length, messages, chunk);
        }
        self.skipping = false;
    }

    fn drop_rest(&mut self, messages: &mut Messages) {
        if self.buffer.len() > self.taken {
            messages.count_malformed();
        }
        self.position += (self.buffer.len() - self.taken) as u64;
        (self.buffer, self.taken, self.skipping) = (Vec::new(), 0, false);
    }

    fn read(&mut self, messages: &mut Messages) -> io::Result<usize> {
        let Some(file) = self.files.front_mut() else { return Ok(0) };
        self.buffer.drain(..self.taken);
        self.taken = 0;
        // A file that was truncated under its writer's hands begins with zeros, as many as it had bytes.
        let zeros = self.buffer.iter().take_while(|byte| **byte == 0).count();
        if zeros > 0 || self.buffer.len() > LONGEST_RECORD {
            if !self.skipping {
                messages.count_malformed();
            }
            let dropped = if zeros > 0 { zeros } else { self.buffer.len() };
            self.skipping |= zeros == 0;
            self.buffer.drain(..dropped);
            self.position += dropped as u64;
        }
        let before = self.buffer.len();
        self.buffer.resize(before + READ_SIZE, 0);
        let read = file.read(&mut self.buffer[before..]);
        self.buffer.truncate(before + *read.as_ref().unwrap_or(&0));
        match read {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.read(messages),
            // What is damaged will not mend.
            Err(_) if file.is_compressed() => {
                messages.count_malformed();
                Ok(0)
            }
            read => read,
        }
    }

    fn next_file(&mut self) {
        let read = self.files.pop_front();
        self.seen.unrepeatable |= read.as_ref().is_some_and(LogFile::is_deleted);
        let begun = self.stretches.back_mut().and_then(|stretch| stretch.place.as_mut());
        if let (Some(begun), Some(place)) = (begun, read.and_then(|file| file.place())) {
            begun.head = place.head;
        }
        self.begin_stretch();
    }

    /// What is read from now on is the first file's.
    fn begin_stretch(&mut self) {
        let place = self.files.front().and_then(LogFile::place);
        if self.stretches.len() == MOST_STRETCHES {
            self.stretches.pop_front();
        }
        self.stretches.push_back(Stretch { begins: self.position, place });
    }
}

/// The files from the log itself back to the one that is looked for, and that one.
fn newest_first(
    path: &Path,
    mut is_wanted: impl FnMut(&mut LogFile) -> io::Result<bool>,
) -> io::Result<(Vec<LogFile>, Option<LogFile>)> {
    for _ in 1..MOST_WALKS {
        let (newer, found) = walk(path, &mut is_wanted)?;
        if newer.first().or(found.as_ref()).map_or(Ok(true), |first| first.is_at(path))? {
            return Ok((newer, found));
        }
    }
    walk(path, &mut is_wanted)
}

/// Rotation shifts files away from the log, as this goes: it may meet one twice, and misses none. Only where two rotations
/// fall between two steps is a newer file met after an older one.
fn walk(
    path: &Path,
    is_wanted: &mut impl FnMut(&mut LogFile) -> io::Result<bool>,
) -> io::Result<(Vec<LogFile>, Option<LogFile>)> {
    let mut newer: Vec<LogFile> = Vec::new();
    let highest = highest_number(path)?;
    // While files are renamed one number is nobody's, and the highest may be one more.
    for number in 0..=highest + 1 {
        let Some(mut file) = LogFile::open(path, number)? else { continue };
        if is_wanted(&mut file)? {
            return Ok((newer, Some(file)));
        }
        let is_known = newer.last().map_or(Ok(false), |last| file.is(last))?;
        if !is_known && newer.len() < MOST_OPEN {
            newer.push(file);
        }
    }
    Ok((newer, None))
}
