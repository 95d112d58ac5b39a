//! A record: one sealed push, and how it is written down.
//! In: pushes, and bytes of any kind.  Out: bytes, and headers that their checksum holds.  Owns: nothing.
//!
//! Little-endian, a header of [`HEADER`] bytes and the payload: the tenant, then the body. The header has a checksum of
//! its own, so that a reader can pass over a damaged payload, and find the next record after a damaged header.

use std::sync::Arc;

use bytes::Bytes;

use crate::record::UnixNanos;

/// One push, sealed, without the tickets of its lines.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    /// `X-Scope-OrgID`.
    pub(crate) tenant: Option<Arc<str>>,
    /// Entries inside.
    pub(crate) entries: u64,
    /// Bytes of their lines before compression.
    pub(crate) size: u64,
    /// Time of the oldest entry.
    pub(crate) oldest: UnixNanos,
    /// What is sent.
    pub(crate) body: Bytes,
}

/// What a record's header says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Header {
    pub(super) payload_length: u32,
    /// The stamp of the segment it was written into: bytes that only look like a record, inside a body, do not have it.
    pub(super) stamp: i64,
    /// Number of the first entry inside.
    pub(super) first: u64,
    /// Number of the first entry of the append that wrote it. Everything before was durable at that time.
    pub(super) append: u64,
    pub(super) entries: u64,
    pub(super) size: u64,
    pub(super) oldest: UnixNanos,
    pub(super) spooled_at: UnixNanos,
    tenant_length: u32,
    payload_crc: u32,
}

/// Where a record is written: what all records of one append share, and the number of its first entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slip {
    pub(super) stamp: i64,
    pub(super) append: u64,
    pub(super) first: u64,
    pub(super) now: UnixNanos,
}

/// Bytes of a header.
pub(super) const HEADER: usize = 76;

/// What every header begins with.
pub(super) const MAGIC: [u8; 4] = *b"\xF5TWR";

/// Stands for the length of no tenant at all.
const NO_TENANT: u32 = u32::MAX;

/// Entry numbers from here on are nobody's, so that sums of two of them cannot overflow.
pub(super) const NUMBER_LIMIT: u64 = 1 << 62;

impl Record {
    /// Bytes it takes on disk; `None` when it cannot be written down.
    pub(super) fn length_on_disk(&self) -> Option<u64> {
        let payload = self.tenant.as_ref().map_or(0, |tenant| tenant.len()) + self.body.len();
        u32::try_from(payload).ok().map(|payload| u64::from(payload) + HEADER as u64)
    }

    /// The record as it is written.
    pub(super) fn encode(&self, slip: Slip) -> Vec<u8> {
        let tenant = self.tenant.as_deref().unwrap_or_default().as_bytes();
        let mut payload_crc = crc32fast::Hasher::new();
        payload_crc.update(tenant);
        payload_crc.update(&self.body);
        let mut bytes = Vec::with_capacity(HEADER + tenant.len() + self.body.len());
        bytes.extend(MAGIC);
        // `length_on_disk` has refused what does not fit.
        bytes.extend(((tenant.len() + self.body.len()) as u32).to_le_bytes());
        bytes.extend(slip.stamp.to_le_bytes());
        bytes.extend(slip.first.to_le_bytes());
        bytes.extend(slip.append.to_le_bytes());
        bytes.extend(self.entries.to_le_bytes());
        bytes.extend(self.size.to_le_bytes());
        bytes.extend(self.oldest.0.to_le_bytes());
        bytes.extend(slip.now.0.to_le_bytes());
        bytes.extend(self.tenant.as_ref().map_or(NO_TENANT, |tenant| tenant.len() as u32).to_le_bytes());
        bytes.extend(payload_crc.finalize().to_le_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes.extend(tenant);
        bytes.extend(&self.body);
        bytes
    }
}

impl Header {
    /// The header at the beginning of `bytes`; `None` where there is none that holds.
    pub(super) fn decode(bytes: &[u8]) -> Option<Header> {
        let bytes: &[u8; HEADER] = bytes.first_chunk()?;
        let (content, crc) = bytes.split_last_chunk()?;
        if !content.starts_with(&MAGIC) || crc32fast::hash(content) != u32::from_le_bytes(*crc) {
            return None;
        }
        let header = Header {
            payload_length: u32::from_le_bytes(take(content, 4)?),
            stamp: i64::from_le_bytes(take(content, 8)?),
            first: u64::from_le_bytes(take(content, 16)?),
            append: u64::from_le_bytes(take(content, 24)?),
            entries: u64::from_le_bytes(take(content, 32)?),
            size: u64::from_le_bytes(take(content, 40)?),
            oldest: UnixNanos(i64::from_le_bytes(take(content, 48)?)),
            spooled_at: UnixNanos(i64::from_le_bytes(take(content, 56)?)),
            tenant_length: u32::from_le_bytes(take(content, 64)?),
            payload_crc: u32::from_le_bytes(take(content, 68)?),
        };
        let sane = header.first < NUMBER_LIMIT
            && (1..NUMBER_LIMIT).contains(&header.entries)
            && header.append <= header.first;
        sane.then_some(header)
    }

    /// Number after its last entry.
    pub(super) fn end(&self) -> u64 {
        self.first + self.entries
    }

    /// The record, if `payload` is what was written.
    pub(super) fn record(&self, payload: Vec<u8>) -> Option<Record> {
        if payload.len() != self.payload_length as usize || crc32fast::hash(&payload) != self.payload_crc {
            return None;
        }
        let mut body = Bytes::from(payload);
        let tenant = match self.tenant_length {
            NO_TENANT => None,
            length if length as usize > body.len() => return None,
            length => Some(Arc::from(str::from_utf8(&body.split_to(length as usize)).ok()?)),
        };
        Some(Record { tenant, entries: self.entries, size: self.size, oldest: self.oldest, body })
    }
}

/// `N` bytes from `at` on.
pub(super) fn take<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}
