//! A note: which lines were read as one chunk, and at what time; and how it is written down.
//! In: notes, and bytes of any kind.  Out: bytes, and notes that their checksum holds.  Owns: nothing.
//!
//! Little-endian: [`MAGIC`], length of the key, start, end, time, length and checksum of the head, the key, and the CRC-32
//! of all that.

use crate::custody::Head;
use crate::record::UnixNanos;

/// A chunk of a file's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// Where its first line begins.
    pub(crate) start: u64,
    /// Where its last line ends, or what was there of it when it was handed on unfinished.
    pub(crate) end: u64,
    /// Of the first line; each other one has a nanosecond more than the one before.
    pub(crate) time: UnixNanos,
    /// What the file began with.
    pub(crate) head: Head,
}

/// What every note begins with; another format has another.
const MAGIC: [u8; 4] = *b"\xF5TW\x01";

/// Bytes of a note without its key.
const FIXED: usize = 4 + 4 + 3 * 8 + 2 * 4 + 4;

impl Note {
    pub(super) fn length_on_disk(key: &str) -> usize {
        FIXED + key.len()
    }

    pub(super) fn encode(self, key: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Note::length_on_disk(key));
        bytes.extend(MAGIC);
        // The name of a job is in it, and no configuration has one of 4 GiB.
        bytes.extend((key.len() as u32).to_le_bytes());
        bytes.extend(self.start.to_le_bytes());
        bytes.extend(self.end.to_le_bytes());
        bytes.extend(self.time.0.to_le_bytes());
        bytes.extend(self.head.length.to_le_bytes());
        bytes.extend(self.head.crc.to_le_bytes());
        bytes.extend(key.as_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// The note at the beginning of `bytes`, its key, and what is behind it; `None` where there is none that holds.
    pub(super) fn decode(bytes: &[u8]) -> Option<(&str, Note, &[u8])> {
        let (magic, rest) = bytes.split_first_chunk()?;
        let (key_length, rest) = rest.split_first_chunk()?;
        let (start, rest) = rest.split_first_chunk()?;
        let (end, rest) = rest.split_first_chunk()?;
        let (time, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (head_crc, rest) = rest.split_first_chunk()?;
        let (key, rest) = rest.split_at_checked(u32::from_le_bytes(*key_length) as usize)?;
        let (crc, behind) = rest.split_first_chunk()?;
        let content = &bytes[..bytes.len() - rest.len()];
        if *magic != MAGIC || crc32fast::hash(content) != u32::from_le_bytes(*crc) {
            return None;
        }
        let head = Head { length: u32::from_le_bytes(*length), crc: u32::from_le_bytes(*head_crc) };
        let (start, end) = (u64::from_le_bytes(*start), u64::from_le_bytes(*end));
        let note = Note { start, end, time: UnixNanos(i64::from_le_bytes(*time)), head };
        (start < end).then_some((str::from_utf8(key).ok()?, note, behind))
    }
}
