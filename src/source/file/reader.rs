//! Reads whole lines out of one open file.
//! In: a file that grows.  Out: lines into a chunk, the offset after them.  Owns: the bytes of an unfinished line,
//! never more than the longest line and one read.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::record::{Chunk, LONGEST_LINE, Output, UnixNanos};
use crate::source::cut;

const READ_SIZE: usize = 64 * 1024;

/// Blocks of a line without end that are read before others get their turn.
const READS_AT_ONCE: usize = 16;

const _: () = assert!(READ_SIZE < LONGEST_LINE);

/// A place in a growing file.
#[derive(Debug)]
pub(super) struct Reader {
    file: File,
    /// End of the last whole line handed on.
    offset: u64,
    /// What was read after `offset`: the beginning of a line.
    unfinished: Vec<u8>,
    /// Bytes of an over-long line that were dropped from `unfinished`.
    discarded: u64,
    /// Lines cut since the last `take_cut`.
    cut: u64,
}

impl Reader {
    pub(super) fn new(file: File, offset: u64) -> Reader {
        Reader { file, offset, unfinished: Vec::new(), discarded: 0, cut: 0 }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
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
        self.offset = 0;
        self.unfinished.clear();
        self.discarded = 0;
    }

    /// Reads until the chunk is full, the file ends or enough was read at once. True at the end of the file.
    pub(super) fn fill(
        &mut self,
        chunk: &mut Chunk,
        mut stamp: impl FnMut() -> UnixNanos,
    ) -> io::Result<bool> {
        let mut block = vec![0; READ_SIZE];
        let mut reads = 0;
        while !chunk.is_full() && reads < READS_AT_ONCE {
            reads += 1;
            if self.read(&mut block, chunk, &mut stamp)? {
                return Ok(true);
            }
        }
        Ok(false)
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
        match self.file.read_at(block, self.read_to()) {
            Ok(count) => {
                self.split(&block[..count], chunk, stamp);
                Ok(count == 0)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn split(&mut self, mut block: &[u8], chunk: &mut Chunk, stamp: &mut impl FnMut() -> UnixNanos) {
        while let Some(end) = memchr::memchr(b'\n', block) {
            let line = &block[..end];
            let length = line.len() as u64 + 1;
            if self.has_unfinished() {
                let whole = self.read_to() - self.offset + length;
                self.append(line);
                self.finish(chunk, stamp());
                self.offset += whole;
            } else {
                // A line within one read is shorter than the longest line.
                chunk.push(line, stamp(), Output::Stdout);
                self.offset += length;
            }
            block = &block[end + 1..];
        }
        self.append(block);
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
        // One byte more than fits, so that `cut` sees that there was more.
        let room = (LONGEST_LINE + 1).saturating_sub(self.unfinished.len()).min(part.len());
        self.unfinished.extend_from_slice(&part[..room]);
        self.discarded += (part.len() - room) as u64;
    }

    fn finish(&mut self, chunk: &mut Chunk, stamp: UnixNanos) {
        self.cut += u64::from(cut(&mut self.unfinished));
        chunk.push(&self.unfinished, stamp, Output::Stdout);
        self.unfinished.clear();
        self.unfinished.shrink_to(READ_SIZE);
        self.discarded = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn lines(chunk: &Chunk) -> Vec<Vec<u8>> {
        chunk.lines().map(|(line, _)| line.to_vec()).collect()
    }

    fn read_all(reader: &mut Reader) -> Vec<Vec<u8>> {
        let mut chunk = Chunk::default();
        let mut all = Vec::new();
        loop {
            let end = reader.fill(&mut chunk, || UnixNanos(0)).unwrap();
            all.extend(lines(&chunk));
            chunk.clear();
            if end {
                return all;
            }
        }
    }

    proptest! {
        /// However the writer's bytes are cut into writes, the lines come out whole and the offset is at a line's end.
        #[test]
        fn lines_come_out_whole_however_they_were_written(
            pieces in proptest::collection::vec(proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..50), 0..20),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("a.log");
            let mut writer = File::create(&path).unwrap();
            let mut reader = Reader::new(File::open(&path).unwrap(), 0);
            let mut read = Vec::new();
            for piece in &pieces {
                writer.write_all(piece).unwrap();
                read.extend(read_all(&mut reader));
            }
            let written = pieces.concat();
            let mut expected: Vec<Vec<u8>> = written.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            let tail = expected.pop().unwrap();
            prop_assert_eq!(read, expected);
            prop_assert_eq!(reader.offset(), (written.len() - tail.len()) as u64);
            let mut chunk = Chunk::default();
            reader.flush(&mut chunk, UnixNanos(0));
            prop_assert_eq!(lines(&chunk), if tail.is_empty() { Vec::new() } else { vec![tail] });
            prop_assert_eq!(reader.offset(), written.len() as u64);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// A file read again up to where chunks ended before gives the same lines, whatever was written to it since.
        #[test]
        fn what_is_read_again_is_cut_where_it_was_cut_before(
            pieces in proptest::collection::vec(
                (proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..50), any::<bool>(), any::<bool>()),
                1..20,
            ),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("a.log");
            let mut writer = File::create(&path).unwrap();
            let mut reader = Reader::new(File::open(&path).unwrap(), 0);
            let mut chunks = Vec::new();
            for (piece, is_long, is_quiet) in &pieces {
                writer.write_all(&piece.repeat(if *is_long { 5000 } else { 1 })).unwrap();
                let mut end = false;
                while !end {
                    let mut chunk = Chunk::default();
                    end = reader.fill(&mut chunk, || UnixNanos(0)).unwrap();
                    chunks.push((lines(&chunk), reader.offset()));
                }
                if *is_quiet {
                    let mut chunk = Chunk::default();
                    reader.flush(&mut chunk, UnixNanos(0));
                    chunks.push((lines(&chunk), reader.offset()));
                }
            }
            let mut again = Reader::new(File::open(&path).unwrap(), 0);
            for (before, end) in chunks.into_iter().filter(|(lines, _)| !lines.is_empty()) {
                let mut chunk = Chunk::default();
                prop_assert!(!again.fill_to(end, &mut chunk, || UnixNanos(0)).unwrap());
                prop_assert_eq!(again.offset(), end);
                prop_assert!(lines(&chunk) == before);
            }
            let mut chunk = Chunk::default();
            let size = reader.file().metadata().unwrap().len();
            prop_assert!(again.fill_to(size + 1, &mut chunk, || UnixNanos(0)).unwrap(), "the file ends before");
        }
    }

    #[test]
    fn an_endless_line_is_cut_and_the_next_one_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        let long = vec![b'x'; 3 * LONGEST_LINE + 5];
        let content = [b"first\n".as_slice(), &long, b"\nlast\n"].concat();
        fs::write(&path, &content).unwrap();
        let mut reader = Reader::new(File::open(&path).unwrap(), 0);
        let read = read_all(&mut reader);
        assert_eq!((read.len(), reader.take_cut()), (3, 1));
        assert_eq!(read[1].len(), LONGEST_LINE);
        assert_eq!(read[2], b"last");
        assert_eq!(reader.offset(), content.len() as u64);
    }
}
