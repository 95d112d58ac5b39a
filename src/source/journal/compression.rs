//! Compressed payloads, as far as they are wanted.
//! In: compressed bytes.  Out: the first bytes of what they were.  Owns: nothing.

use std::io::{self, Read};

use lzma_rust2::XzReader;
use ruzstd::decoding::StreamingDecoder;

use crate::source::journal::format::{Compression, u64_at};

/// Bytes of the length that stands before an LZ4 block.
const LZ4_LENGTH: usize = 8;

/// systemd asks for a dictionary of 1 MiB.
const XZ_MEMORY_KIB: u32 = 16 << 10;

/// So many compressed bytes hold `wanted` bytes, or more. No method makes anything much longer than it was.
pub(super) fn enough(wanted: usize) -> usize {
    wanted + wanted / 64 + (256 << 10)
}

/// Appends at most `most` bytes to `out`; the error says what is wrong. True when there is more. `whole` says that the
/// compressed bytes are all there, not only [`enough`] of them.
pub(super) fn decompress(
    compression: Compression,
    bytes: &[u8],
    whole: bool,
    most: usize,
    out: &mut Vec<u8>,
) -> Result<bool, &'static str> {
    let limit = out.len() + most;
    match compression {
        Compression::Xz => read(XzReader::new_mem_limit(bytes, false, XZ_MEMORY_KIB), limit, out)
            .map_err(|_| "a damaged xz payload"),
        Compression::Lz4 => {
            let length = u64_at(bytes, 0);
            let start = out.len();
            lz4(bytes.get(LZ4_LENGTH..).unwrap_or_default(), limit, out).ok_or("a damaged LZ4 payload")?;
            let found = (out.len() - start) as u64;
            if whole && found < length && out.len() < limit {
                return Err("a short LZ4 payload");
            }
            Ok(found < length)
        }
        Compression::Zstd => {
            let decoder = StreamingDecoder::new(bytes).map_err(|_| "a damaged zstd payload")?;
            read(decoder, limit, out).map_err(|_| "a damaged zstd payload")
        }
    }
}

/// Appends until `out` is `limit` bytes long; true when there is more.
fn read(decoder: impl Read, limit: usize, out: &mut Vec<u8>) -> io::Result<bool> {
    let wanted = (limit + 1 - out.len()) as u64;
    decoder.take(wanted).read_to_end(out)?;
    let more = out.len() > limit;
    out.truncate(limit);
    Ok(more)
}

/// An LZ4 block, until `out` is `limit` bytes long or the input ends. `None` where it makes no sense.
fn lz4(mut bytes: &[u8], limit: usize, out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    while let [token, rest @ ..] = bytes {
        bytes = rest;
        let literals = length(usize::from(token >> 4), &mut bytes)?;
        let room = limit.saturating_sub(out.len());
        let literals = &bytes[..literals.min(bytes.len())];
        out.extend_from_slice(&literals[..literals.len().min(room)]);
        bytes = &bytes[literals.len()..];
        // The last sequence has no match.
        let [low, high, rest @ ..] = bytes else { break };
        bytes = rest;
        let distance = usize::from(u16::from_le_bytes([*low, *high]));
        let length = length(usize::from(token & 15), &mut bytes)? + 4;
        if distance == 0 || distance > out.len() - start {
            return if out.len() >= limit { Some(()) } else { None };
        }
        for _ in 0..length.min(limit.saturating_sub(out.len())) {
            out.push(out[out.len() - distance]);
        }
        if out.len() >= limit {
            break;
        }
    }
    Some(())
}

/// A length of 15 goes on in further bytes, as long as they are 255.
fn length(first: usize, bytes: &mut &[u8]) -> Option<usize> {
    let mut length = first;
    if first == 15 {
        loop {
            let (more, rest) = bytes.split_first()?;
            *bytes = rest;
            length += usize::from(*more);
            if *more != 255 {
                break;
            }
        }
    }
    Some(length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unpacked(bytes: &[u8], most: usize) -> (Result<bool, &'static str>, Vec<u8>) {
        let mut out = b"before".to_vec();
        let result = decompress(Compression::Lz4, bytes, true, most, &mut out);
        (result, out.split_off(6))
    }

    #[test]
    fn an_lz4_block_is_read_as_far_as_wanted() {
        // "abc" and 20 bytes that repeat it, then "end".
        let block = [&23u64.wrapping_add(3).to_le_bytes()[..], b"\x3fabc\x03\x00\x01\x30end"].concat();
        let whole = "abc".repeat(7) + "ab" + "end";
        assert_eq!(unpacked(&block, 100), (Ok(false), whole.clone().into_bytes()));
        assert_eq!(unpacked(&block, 5), (Ok(true), b"abcab".to_vec()));
        assert_eq!(unpacked(&block[..14], 100).0, Err("a damaged LZ4 payload"));
        assert_eq!(unpacked(&block[..12], 100).0, Err("a short LZ4 payload"));
        let far = [&8u64.to_le_bytes()[..], b"\x10a\x02\x00"].concat();
        assert_eq!(unpacked(&far, 100).0, Err("a damaged LZ4 payload"));
    }

    /// As LZ4's own library made it.
    const REAL: &str = "60776f7264302006001131060011340600113906002131360700213235070012330e00022d00113813001231070012331400\
         12343c0012360e0012371c00020d00133143001132370012356b0012370e0012391c002231322b0002060012321c00123474\
         00032a002231301d001331710022313626000216001232b500037f002139336b0022313287002231366600223230a5000233\
         0003d3001237140023313108001235760013326f00133286000234001234590013385800123358002231383c001332100013\
         32200002340012350700223130b0000561001231100022323720001333d800020e00223537c2000386019f31373720746169\
         6c7a0100ff78507a7a7a7a7a";

    #[test]
    fn a_block_of_the_reference_library_is_read() {
        let block = data_encoding::HEXLOWER.decode(REAL.as_bytes()).unwrap();
        let expected: String = (0..60).map(|number| format!("word{} ", number % 7 * number)).collect();
        let expected = expected + "tail" + &"z".repeat(400);
        let bytes = [&(expected.len() as u64).to_le_bytes()[..], &block].concat();
        assert_eq!(unpacked(&bytes, 10_000), (Ok(false), expected.clone().into_bytes()));
        for most in 0..expected.len() {
            assert_eq!(unpacked(&bytes, most), (Ok(true), expected.as_bytes()[..most].to_vec()));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_decompressed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), whole: bool) {
            for compression in [Compression::Xz, Compression::Lz4, Compression::Zstd] {
                let mut out = Vec::new();
                let _more = decompress(compression, &bytes, whole, 1000, &mut out);
                prop_assert!(out.len() <= 1000);
            }
        }
    }
}
