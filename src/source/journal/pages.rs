//! Reads journal files block by block: an entry is some twenty small objects, most of them near each other.
//! In: a file and a range.  Out: bytes.  Owns: the blocks read last, 2 MiB.
//!
//! Files are read, not mapped: journald shortens files, and a mapped page that is gone ends the process.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::source::journal::format::Damage;

const BLOCK: usize = 64 << 10;
const BLOCKS: usize = 32;

/// The blocks of all files of one journal.
#[derive(Debug, Default)]
pub(super) struct Pages {
    blocks: Vec<Block>,
    /// Index of the block asked for last.
    last: usize,
    /// Counts what is asked for.
    clock: u64,
}

#[derive(Debug)]
struct Block {
    /// Number of the file, or `None` when the block is no longer true.
    file: Option<u64>,
    number: u64,
    bytes: Vec<u8>,
    used: u64,
}

impl Pages {
    /// Fills `into` from byte `at` on. `number` tells files apart.
    pub(super) fn read(&mut self, number: u64, file: &File, at: u64, into: &mut [u8]) -> Result<(), Damage> {
        if into.len() >= BLOCK {
            return Ok(file.read_exact_at(into, at)?);
        }
        let (mut at, mut rest) = (at, into);
        while !rest.is_empty() {
            let block = self.block(number, file, at / BLOCK as u64)?;
            let from = (at % BLOCK as u64) as usize;
            let found = block.get(from..).unwrap_or_default();
            let length = found.len().min(rest.len());
            if length == 0 {
                return Err(Damage::Broken { what: "the file ends", at });
            }
            let (part, next) = rest.split_at_mut(length);
            part.copy_from_slice(&found[..length]);
            (at, rest) = (at + length as u64, next);
        }
        Ok(())
    }

    /// A file has changed, or is read no longer.
    pub(super) fn forget(&mut self, number: u64) {
        self.blocks.iter_mut().filter(|block| block.file == Some(number)).for_each(|block| block.file = None);
    }

    fn block(&mut self, file_number: u64, file: &File, number: u64) -> io::Result<&[u8]> {
        self.clock += 1;
        let is_it = |block: &Block| block.file == Some(file_number) && block.number == number;
        if !self.blocks.get(self.last).is_some_and(is_it) {
            self.last = match self.blocks.iter().position(is_it) {
                Some(known) => known,
                None => self.load(file_number, file, number)?,
            };
        }
        let block = &mut self.blocks[self.last];
        block.used = self.clock;
        Ok(&block.bytes)
    }

    /// Reads a block in place of the one that was not asked for the longest.
    fn load(&mut self, file_number: u64, file: &File, number: u64) -> io::Result<usize> {
        let index = if self.blocks.len() < BLOCKS {
            self.blocks.push(Block { file: None, number: 0, bytes: Vec::new(), used: 0 });
            self.blocks.len() - 1
        } else {
            let by_age = |(_, block): &(usize, &Block)| (block.file.is_some(), block.used);
            self.blocks.iter().enumerate().min_by_key(by_age).map_or(0, |(index, _)| index)
        };
        let block = &mut self.blocks[index];
        block.file = None;
        block.bytes.resize(BLOCK, 0);
        let mut length = 0;
        while length < BLOCK {
            match file
                .read_at(&mut block.bytes[length..], number.saturating_mul(BLOCK as u64) + length as u64)
            {
                Ok(0) => break,
                Ok(more) => length += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        block.bytes.truncate(length);
        (block.file, block.number) = (Some(file_number), number);
        Ok(index)
    }
}
