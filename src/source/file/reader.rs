//! Reads whole lines out of one open file.
//! In: bytes that grow more.  Out: lines into a chunk, the offset after them.  Owns: the bytes of an unfinished line,
//! never more than twice the longest line and one read.

use std::fs::File;
use std::io;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::record::{Chunk, LONGEST_LINE, Output, UnixNanos};
use crate::source::file::encoding::Encoding;
use crate::source::{CUT_MARK, cut};

const READ_SIZE: usize = 64 * 1024;

/// Blocks of a line without end that are read before others get their turn.
const READS_AT_ONCE: usize = 16;

/// A character of one byte becomes three at most.
const _: () = assert!(3 * READ_SIZE < LONGEST_LINE);

/// What lines are read out of.
pub(super) trait Content {
    /// Fills `block` with what is at `place`; 0 at the end. Who needs time to get there says `Interrupted`.
    fn read_at(&mut self, block: &mut [u8], place: u64) -> io::Result<usize>;

    /// Where the next bytes are that somebody wrote: a file may have holes.
    fn written_from(&self, place: u64) -> u64 {
        place
    }
}

impl Content for File {
    fn read_at(&mut self, block: &mut [u8], place: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, block, place)
    }

    fn written_from(&self, place: u64) -> u64 {
        match rustix::fs::seek(self, SeekFrom::Data(place)) {
            Ok(next) => next.max(place),
            // Nothing but a hole, up to the end.
            Err(Errno::NXIO) => self.metadata().map_or(place, |metadata| metadata.len().max(place)),
            // What a file system cannot tell is read.
            Err(_) => place,
        }
    }
}

/// A place in a growing file.
#[derive(Debug)]
pub(super) struct Reader<C = File> {
    content: C,
    encoding: Option<Encoding>,
    /// End of the last whole line handed on.
    offset: u64,
    /// What was read after `offset`: the beginning of a line.
    unfinished: Vec<u8>,
    /// Bytes of an over-long line that were dropped from `unfinished`.
    discarded: u64,
    /// Lines cut since the last `take_cut`.
    cut: u64,
}

impl<C: Content> Reader<C> {
    pub(super) fn new(content: C, encoding: Option<Encoding>, mut offset: u64) -> Reader<C> {
        // An odd place is from a time when the file was read without its encoding: in the middle of a line end.
        if encoding.is_some_and(Encoding::is_in_pairs) {
            offset += offset % 2;
        }
        Reader { content, encoding, offset, unfinished: Vec::new(), discarded: 0, cut: 0 }
    }

    pub(super) fn content(&self) -> &C {
        &self.content
    }

    /// End of the last line handed on.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// End of what was read.
    pub(super) fn read_to(&self) -> u64 {
        self.offset + self.discarded + self.unfinished.len() as u64
    }

    /// True when a line has begun and not ended.
    pub(super) fn has_unfinished(&self) -> bool {
        self.read_to() > self.offset
    }

    /// Lines cut since this was last asked.
    pub(super) fn take_cut(&mut self) -> u64 {
        std::mem::take(&mut self.cut)
    }

    /// The file was truncated: start again at its beginning.
    pub(super) fn rewind(&mut self) {
        self.go_back(0);
    }

    /// Starts again at a place between two lines.
    pub(super) fn go_back(&mut self, offset: u64) {
        self.offset = offset;
        self.unfinished.clear();
        self.discarded = 0;
    }

    /// Reads until the chunk is full, the file ends or enough was read at once. True at the end of the file.
    pub(super) fn fill(
        &mut self,
        chunk: &mut Chunk,
        mut stamp: impl FnMut() -> UnixNanos,
    ) -> io::Result<bool> {
        let mut block = chunk.take_block(READ_SIZE);
        let (mut end, mut reads) = (Ok(false), 0);
        while matches!(end, Ok(false)) && !chunk.is_full() && reads < READS_AT_ONCE {
            reads += 1;
            end = self.read(&mut block, chunk, &mut stamp);
            if matches!(end, Ok(false)) && self.discarded > 0 && block.iter().all(|byte| *byte == 0) {
                self.pass_hole();
            }
        }
        chunk.give_back(block);
        end
    }

    /// The rest of a hole in a line that is too long already need not be read to be known.
    fn pass_hole(&mut self) {
        let next = self.content.written_from(self.read_to()) & !1;
        self.discarded += next.saturating_sub(self.read_to());
    }

    /// Reads exactly up to `end`, where a chunk ended before: at a line's end, or in a line that was handed on unfinished.
    /// True when the file ends before.
    pub(super) fn fill_to(
        &mut self,
        end: u64,
        chunk: &mut Chunk,
        mut stamp: impl FnMut() -> UnixNanos,
    ) -> io::Result<bool> {
        let mut block = vec![0; READ_SIZE];
        while self.read_to() < end {
            let size = (end - self.read_to()).min(READ_SIZE as u64) as usize;
            if self.read(&mut block[..size], chunk, &mut stamp)? {
                return Ok(true);
            }
        }
        if self.has_unfinished() {
            self.flush(chunk, stamp());
        }
        Ok(false)
    }

    /// Reads a block. True at the end of the file.
    fn read(
        &mut self,
        block: &mut [u8],
        chunk: &mut Chunk,
        stamp: &mut impl FnMut() -> UnixNanos,
    ) -> io::Result<bool> {
        match self.read_whole(block) {
            Ok(count) => {
                self.split(&block[..count], chunk, stamp);
                Ok(count == 0)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads whole characters, as far as the encoding needs that.
    fn read_whole(&mut self, block: &mut [u8]) -> io::Result<usize> {
        if let Some(encoding) = self.encoding.filter(|encoding| encoding.needs_mark()) {
            let mut first = [0; 2];
            if self.content.read_at(&mut first, 0)? < first.len() {
                return Ok(0);
            }
            self.encoding = Some(encoding.marked(first));
        }
        let count = self.content.read_at(block, self.read_to())?;
        Ok(self.encoding.map_or(count, |encoding| encoding.whole(&block[..count])))
    }

    fn split(&mut self, mut block: &[u8], chunk: &mut Chunk, stamp: &mut impl FnMut() -> UnixNanos) {
        while let Some((end, width)) = self.line_end(block) {
            let line = &block[..end];
            let length = (end + width) as u64;
            if self.has_unfinished() {
                let whole = self.read_to() - self.offset + length;
                self.append(line);
                self.finish(chunk, stamp());
                self.offset += whole;
            } else {
                // A line within one read is shorter than the longest line.
                match self.encoding {
                    None => chunk.push(line, stamp(), Output::Stdout),
                    Some(encoding) => {
                        chunk.push(&encoding.decode(line, self.offset == 0), stamp(), Output::Stdout);
                    }
                }
                self.offset += length;
            }
            block = &block[end + width..];
        }
        self.append(block);
    }

    fn line_end(&self, block: &[u8]) -> Option<(usize, usize)> {
        match self.encoding {
            None => memchr::memchr(b'\n', block).map(|end| (end, 1)),
            Some(encoding) => encoding.line_end(block),
        }
    }

    /// Hands the unfinished line on as it is: the file will not grow, or has not for long enough.
    pub(super) fn flush(&mut self, chunk: &mut Chunk, stamp: UnixNanos) {
        if self.has_unfinished() {
            let end = self.read_to();
            self.finish(chunk, stamp);
            self.offset = end;
        }
    }

    fn append(&mut self, part: &[u8]) {
        // One byte more than fits, so that `cut` sees that there was more; a character of two bytes may become one.
        let most = if self.encoding.is_some() { 2 * (LONGEST_LINE + 1) } else { LONGEST_LINE + 1 };
        let room = most.saturating_sub(self.unfinished.len()).min(part.len());
        self.unfinished.extend_from_slice(&part[..room]);
        self.discarded += (part.len() - room) as u64;
    }

    fn finish(&mut self, chunk: &mut Chunk, stamp: UnixNanos) {
        if let Some(encoding) = self.encoding {
            self.unfinished = encoding.decode(&self.unfinished, self.offset == 0).into_owned();
            if self.discarded > 0 && self.unfinished.len() <= LONGEST_LINE {
                // Whatever became so short has no end, and must show that it goes on.
                self.unfinished.resize(LONGEST_LINE + CUT_MARK.len(), b' ');
            }
        }
        self.cut += u64::from(cut(&mut self.unfinished));
        chunk.push(&self.unfinished, stamp, Output::Stdout);
        self.unfinished.clear();
        self.unfinished.shrink_to(READ_SIZE);
        self.discarded = 0;
    }
}

#[cfg(test)]
mod tests;
