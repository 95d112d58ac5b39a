//! A segment: one file of records, its name, and how it is read.
//! In: a file of any bytes.  Out: the headers and records in it that hold.  Owns: nothing.

use std::io;
use std::ops::Range;
use std::path::Path;

use memchr::memmem;

use crate::custody::Disk;
use crate::custody::spool::record::{self, Header, MAGIC, NUMBER_LIMIT, Record, take};

/// A segment file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Segment {
    /// Files are in this order.
    pub(super) sequence: u64,
    /// Number of the first entry it may hold. Where the next segment begins, it ends, whatever is written in it.
    pub(super) first: u64,
    /// Bytes in the file.
    pub(super) length: u64,
    /// What its records are stamped with; known only of the one being written.
    pub(super) stamp: i64,
    /// Something in it is damaged.
    pub(super) damaged: bool,
}

/// What a segment file ends with.
pub(super) const EXTENSION: &str = ".spool";

/// What a damaged one that is kept ends with.
pub(super) const DAMAGED: &str = ".spool.damaged";

/// Bytes before the first record: magic with version, stamp, CRC-32.
pub(super) const HEADER: u64 = 20;

const FILE_MAGIC: [u8; 8] = *b"TWSPOOL\x01";

/// How much is read at once in search of a header behind damage.
const WINDOW: usize = 64 * 1024;

impl Segment {
    pub(super) fn name(&self) -> String {
        format!("{:016x}-{:016x}{EXTENSION}", self.sequence, self.first)
    }

    /// Sequence and first number, of a name with one of the two endings.
    pub(super) fn parse(name: &str, ending: &str) -> Option<(u64, u64)> {
        let (sequence, first) = name.strip_suffix(ending)?.split_once('-')?;
        let number = |text: &str| {
            let number = u64::from_str_radix(text, 16).ok().filter(|number| *number < NUMBER_LIMIT)?;
            // `+1` is a number too, and not a name of ours.
            (format!("{number:016x}") == text).then_some(number)
        };
        Some((number(sequence)?, number(first)?))
    }
}

/// The first bytes of a segment whose records have `stamp`.
pub(super) fn encode_header(stamp: i64) -> Vec<u8> {
    let mut bytes = FILE_MAGIC.to_vec();
    bytes.extend(stamp.to_le_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

fn decode_header(bytes: &[u8]) -> Option<i64> {
    let holds = bytes.starts_with(&FILE_MAGIC)
        && crc32fast::hash(bytes.get(..16)?) == u32::from_le_bytes(take(bytes, 16)?);
    if holds { take(bytes, 8).map(i64::from_le_bytes) } else { None }
}

/// A header, and where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) header: Header,
    offset: u64,
}

impl Found {
    /// Where the next record begins.
    pub(super) fn end(&self) -> u64 {
        self.offset + record::HEADER as u64 + u64::from(self.header.payload_length)
    }
}

/// Reads one segment forward.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) sequence: u64,
    /// Where the next record is expected.
    pub(super) offset: u64,
    /// `None` where the segment's header is damaged: then the first record says it.
    stamp: Option<i64>,
}

impl Reader {
    pub(super) fn open(disk: &dyn Disk, path: &Path, sequence: u64) -> io::Result<Reader> {
        let mut bytes = [0; HEADER as usize];
        disk.read_at(path, 0, &mut bytes)?;
        Ok(Reader { sequence, offset: HEADER, stamp: decode_header(&bytes) })
    }

    /// The next header that holds: where it is expected, or behind what is damaged there.
    pub(super) fn find(&mut self, disk: &dyn Disk, path: &Path) -> io::Result<Option<Found>> {
        let mut bytes = [0; record::HEADER];
        if disk.read_at(path, self.offset, &mut bytes)? == 0 {
            return Ok(None);
        }
        let found = match self.accept(&bytes) {
            Some(header) => Some(Found { header, offset: self.offset }),
            None => self.search(disk, path)?,
        };
        self.stamp = self.stamp.or(found.map(|found| found.header.stamp));
        Ok(found)
    }

    fn search(&self, disk: &dyn Disk, path: &Path) -> io::Result<Option<Found>> {
        let mut window = vec![0; WINDOW];
        let mut offset = self.offset;
        loop {
            let filled = disk.read_at(path, offset, &mut window)?;
            let bytes = &window[..filled];
            let mut headers = memmem::find_iter(bytes, &MAGIC)
                .filter_map(|at| self.accept(&bytes[at..]).map(|header| (at, header)));
            if let Some((at, header)) = headers.next() {
                return Ok(Some(Found { header, offset: offset + at as u64 }));
            }
            if filled < WINDOW {
                return Ok(None);
            }
            // A header may lie across the end of the window.
            offset += (WINDOW - record::HEADER + 1) as u64;
        }
    }

    fn accept(&self, bytes: &[u8]) -> Option<Header> {
        Header::decode(bytes).filter(|header| self.stamp.is_none_or(|stamp| stamp == header.stamp))
    }
}

/// The record of a header; `None` when its payload is damaged or not all there. `length` is that of the file.
pub(super) fn read_record(
    disk: &dyn Disk,
    path: &Path,
    length: u64,
    found: &Found,
) -> io::Result<Option<Record>> {
    if found.end() > length {
        return Ok(None);
    }
    let mut payload = vec![0; found.header.payload_length as usize];
    let filled = disk.read_at(path, found.offset + record::HEADER as u64, &mut payload)?;
    payload.truncate(filled);
    Ok(found.header.record(payload))
}

/// What the last segment ends with.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tail {
    /// Number after the last entry that is held.
    pub(super) end: u64,
    /// Bytes up to there.
    pub(super) length: u64,
    /// Of them those that may be in the memory of the kernel alone.
    pub(super) unsure: Range<u64>,
}

/// Finds where the last segment ends. Everything before `durable` was durable: what is missing of that is damage, and left
/// for the reader to find. Behind it only an append can be that the crash cut short, of which a part may be missing.
pub(super) fn scan_tail(disk: &dyn Disk, path: &Path, segment: &Segment, durable: u64) -> io::Result<Tail> {
    let mut reader = Reader::open(disk, path, segment.sequence)?;
    let mut records: Vec<(Found, bool)> = Vec::new();
    while let Some(found) = reader.find(disk, path)? {
        reader.offset = found.end();
        let whole = read_record(disk, path, segment.length, &found)?.is_some();
        records.push((found, whole));
    }
    // An append begins only after the one before is durable.
    let begun = records.last().map_or(0, |(found, _)| found.header.append);
    let known = durable.max(segment.first).max(begun);
    let mut end = known;
    let mut kept = None;
    for (found, whole) in &records {
        if found.header.first == end && *whole {
            end = found.header.end();
        } else if found.header.end() > end {
            break;
        }
        kept = Some(found);
    }
    let length = match kept {
        Some(last) if last.header.end() == end => segment.length.min(last.end()),
        None if end == segment.first => segment.length.min(HEADER),
        // The last of what was durable is missing: nothing can be told from damage.
        _ => segment.length,
    };
    let mut unsure = length..length;
    if end > known
        && let Some((first, _)) = records.iter().find(|(found, _)| found.header.first == known)
    {
        // With the first record the segment's own header.
        unsure.start = if known == segment.first { 0 } else { first.offset };
    }
    Ok(Tail { end, length, unsure })
}
