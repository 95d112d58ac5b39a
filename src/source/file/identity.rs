//! Which file this is, whatever it is called.
//! In: an open file.  Out: device, inode, and a checksum of its head.  Owns: nothing.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use crate::custody::{Cursor, Head, Taken};

/// Bytes of a file's beginning that tell it from another under the same inode.
const HEAD_LENGTH: usize = 1024;

/// A file on this host, until it is deleted and its inode reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::source) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// Of an open file or a path's metadata.
    pub(in crate::source) fn of(metadata: &Metadata) -> Identity {
        Identity { device: metadata.dev(), inode: metadata.ino() }
    }

    /// As the ledger remembers which file a position of Promtail was about.
    pub(super) fn taken(self, head: Head) -> Taken {
        Taken { device: self.device, inode: self.inode, head }
    }

    /// The inode alone.
    pub(super) fn inode(self) -> u64 {
        self.inode
    }

    /// The key of its track in the ledger.
    pub(super) fn key(self) -> String {
        format!("file:{}:{}", self.device, self.inode)
    }
}

/// The checksum of the first bytes of a file, as many as there are up to the limit.
pub(in crate::source) fn read_head(file: &File) -> io::Result<Head> {
    let mut bytes = [0; HEAD_LENGTH];
    let length = read_up_to(file, &mut bytes)?;
    Ok(Head { length: length as u32, crc: crc32fast::hash(&bytes[..length]) })
}

/// Where reading goes on in a file that was read up to `cursor`: there, if it is still the same file and long enough,
/// else at its beginning.
pub(super) fn resume(file: &File, size: u64, cursor: Cursor) -> io::Result<u64> {
    let Cursor::File { offset, head } = cursor else { return Ok(0) };
    Ok(if offset <= size && begins_with(file, head)? { offset } else { 0 })
}

/// True for a file that still begins with what `head` was taken from.
pub(in crate::source) fn begins_with(file: &File, head: Head) -> io::Result<bool> {
    let mut bytes = [0; HEAD_LENGTH];
    let known_length = (head.length as usize).min(HEAD_LENGTH);
    let length = read_up_to(file, &mut bytes[..known_length])?;
    Ok(length == known_length && crc32fast::hash(&bytes[..length]) == head.crc)
}

/// True for files that say the same before `place`, as far as one looks back: one is a copy of the other.
pub(super) fn agree_before(file: &File, other: &File, place: u64) -> io::Result<bool> {
    let from = place.saturating_sub(HEAD_LENGTH as u64);
    let length = (place - from) as usize;
    let (mut bytes, mut of_other) = ([0; HEAD_LENGTH], [0; HEAD_LENGTH]);
    let read = read_from(file, &mut bytes[..length], from)?;
    let of_both = read == length && read_from(other, &mut of_other[..length], from)? == length;
    Ok(of_both && bytes == of_other)
}

/// Fills `bytes` from the beginning of the file, as far as it goes.
pub(super) fn read_up_to(file: &File, bytes: &mut [u8]) -> io::Result<usize> {
    read_from(file, bytes, 0)
}

fn read_from(file: &File, bytes: &mut [u8], place: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], place + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_resumed_only_if_it_begins_as_it_did_and_is_long_enough() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        let offset_after = |content: &str, cursor| {
            fs::write(&path, content).unwrap();
            resume(&File::open(&path).unwrap(), content.len() as u64, cursor).unwrap()
        };
        fs::write(&path, "one\ntwo\n").unwrap();
        let cursor = Cursor::File { offset: 8, head: read_head(&File::open(&path).unwrap()).unwrap() };
        assert_eq!(offset_after("one\ntwo\nthree\n", cursor), 8);
        assert_eq!(offset_after("ONE\ntwo\nthree\n", cursor), 0, "another file under the same inode");
        assert_eq!(offset_after("one\n", cursor), 0, "truncated");
    }
}
