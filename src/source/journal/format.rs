//! The journal's file format: <https://systemd.io/JOURNAL_FILE_FORMAT/>.
//! In: bytes of a file.  Out: its header, the parts of its objects.  Owns: nothing.
//!
//! All numbers are little endian, all offsets count from the beginning of the file, objects lie at multiples of 8.

use std::io;

use crate::custody::JournalPoint;

/// As much of a file's header as is read, which the oldest files have too.
pub(super) const HEADER: usize = 208;

/// What begins every object: type, flags, size.
pub(super) const OBJECT: u64 = 16;

/// An entry up to its items.
pub(super) const ENTRY: u64 = 64;

/// An array of entries up to its items.
pub(super) const ARRAY: u64 = 24;

/// What a data object needs up to its payload, and what it has more in a compact file.
pub(super) const DATA: u64 = 64;
pub(super) const DATA_COMPACT: u64 = 72;

const SIGNATURE: &[u8] = b"LPKSHHRH";
const ARCHIVED: u8 = 2;
const COMPACT: u32 = 1 << 4;
/// Compression of three kinds, keyed hashes, compact files.
const KNOWN_FLAGS: u32 = 0b1_1111;

/// Why something cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Damage {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{what} at byte {at}")]
    Broken { what: &'static str, at: u64 },
    #[error("it needs a newer reader (flags {0:#x})")]
    Newer(u32),
}

/// The types of objects that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Data = 1,
    Entry = 3,
    Array = 6,
}

/// How a payload is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Xz,
    Lz4,
    Zstd,
}

/// What a file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) compact: bool,
    /// Nothing is appended any more.
    pub(super) archived: bool,
    pub(super) file_id: u128,
    pub(super) seqnum_id: u128,
    pub(super) size: u64,
    pub(super) entries: u64,
    /// Of the newest entry; the number may be of one that is not there yet.
    pub(super) tail_seqnum: u64,
    pub(super) tail_realtime: u64,
    pub(super) array: u64,
}

/// The beginning of an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Object {
    pub(super) compression: Option<Compression>,
    pub(super) size: u64,
}

/// Reads a file's header.
pub(super) fn header(bytes: &[u8; HEADER]) -> Result<Header, Damage> {
    if &bytes[..8] != SIGNATURE {
        return Err(Damage::Broken { what: "no journal file", at: 0 });
    }
    let flags = u32_at(bytes, 12);
    if flags & !KNOWN_FLAGS != 0 {
        return Err(Damage::Newer(flags));
    }
    Ok(Header {
        compact: flags & COMPACT != 0,
        archived: bytes[16] == ARCHIVED,
        file_id: id_at(bytes, 24),
        seqnum_id: id_at(bytes, 72),
        size: u64_at(bytes, 88),
        entries: u64_at(bytes, 152),
        tail_seqnum: u64_at(bytes, 160),
        array: u64_at(bytes, 176),
        tail_realtime: u64_at(bytes, 192),
    })
}

/// Reads what begins an object that must be of type `wanted` and at least `least` bytes long.
pub(super) fn object(bytes: &[u8], at: u64, wanted: Type, least: u64) -> Result<Object, Damage> {
    let size = u64_at(bytes, 8);
    if bytes[0] != wanted as u8 {
        return Err(Damage::Broken { what: "an object of another type", at });
    }
    if size < least {
        return Err(Damage::Broken { what: "an object that is too small", at });
    }
    let compression = match bytes[1] & 0b111 {
        0 => None,
        1 => Some(Compression::Xz),
        2 => Some(Compression::Lz4),
        4 => Some(Compression::Zstd),
        _ => return Err(Damage::Broken { what: "an object compressed twice", at }),
    };
    Ok(Object { compression, size })
}

/// Which entry an entry object is.
pub(super) fn point(bytes: &[u8; ENTRY as usize], seqnum_id: u128) -> JournalPoint {
    JournalPoint {
        seqnum_id,
        seqnum: u64_at(bytes, 16),
        realtime: u64_at(bytes, 24),
        monotonic: u64_at(bytes, 32),
        boot: id_at(bytes, 40),
        xor: u64_at(bytes, 56),
    }
}

/// The number at `at`; what is beyond the end is 0.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..at + 8)
        .map_or(0, |part| part.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

/// The short number at `at`.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..at + 4)
        .map_or(0, |part| part.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte)))
}

/// An id is a sequence of bytes, written in that order.
fn id_at(bytes: &[u8], at: usize) -> u128 {
    bytes.get(at..at + 16).map_or(0, |part| part.iter().fold(0, |value, byte| value << 8 | u128::from(*byte)))
}
