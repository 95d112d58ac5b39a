//! The hop of a file, alone: read, and split into lines.
//! In: a file.  Out: chunks.  Owns: the open file.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::clock;
use crate::record::Chunk;
use crate::source::after;
use crate::source::file::reader::Reader;

/// Fills chunks from a file, over and over. True at its end.
pub(crate) fn read(path: &Path) -> io::Result<impl FnMut(&mut Chunk) -> io::Result<bool> + use<>> {
    let mut reader = Reader::new(File::open(path)?, None, 0);
    Ok(move |chunk: &mut Chunk| {
        let mut next = clock::now();
        let stamp = || {
            next = after(next);
            next
        };
        let end = reader.fill(chunk, stamp)?;
        if end {
            reader.rewind();
        }
        Ok(end)
    })
}
