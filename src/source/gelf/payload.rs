//! What a GELF message says, compressed or not.
//! In: a payload.  Out: JSON, at most [`LARGEST`] bytes of it.  Owns: nothing.

use std::borrow::Cow;
use std::io::{self, Read};

use flate2::read::{MultiGzDecoder, ZlibDecoder};

/// Bytes of one message. A line is at most 256 KiB, and there is more to a message than that.
const LARGEST: u64 = 1 << 20;

/// It cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum PayloadError {
    #[error("it has more than {LARGEST} bytes")]
    TooLarge,
    #[error("it cannot be decompressed: {0}")]
    Damaged(#[from] io::Error),
}

/// Decompresses a payload where it is gzip or zlib, which is told by how it begins.
pub(super) fn plain(payload: &[u8]) -> Result<Cow<'_, [u8]>, PayloadError> {
    let inflated = match payload {
        [0x1f, 0x8b, ..] => read(MultiGzDecoder::new(payload))?,
        // Deflate with a window of at most 32 KiB, and a check sum over both bytes.
        [first, second, ..]
            if first & 0x0f == 8 && first >> 4 <= 7 && u16::from_be_bytes([*first, *second]) % 31 == 0 =>
        {
            read(ZlibDecoder::new(payload))?
        }
        _ => return Ok(Cow::Borrowed(payload)),
    };
    Ok(Cow::Owned(inflated))
}

fn read(compressed: impl Read) -> Result<Vec<u8>, PayloadError> {
    let mut inflated = Vec::new();
    // One byte more than fits shows that there was more.
    compressed.take(LARGEST + 1).read_to_end(&mut inflated)?;
    if inflated.len() as u64 > LARGEST { Err(PayloadError::TooLarge) } else { Ok(inflated) }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(bytes: &[u8], level: u32) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(level));
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn compression_is_told_by_how_it_begins() {
        let json = br#"{"short_message":"x"}"#;
        assert_eq!(plain(json).unwrap(), &json[..]);
        assert_eq!(plain(&gzip(json)).unwrap(), &json[..]);
        for level in 0..=9 {
            assert_eq!(plain(&zlib(json, level)).unwrap(), &json[..]);
        }
        assert_eq!(plain(b"").unwrap(), b"".as_slice());
        assert!(matches!(plain(&gzip(json)[..10]), Err(PayloadError::Damaged(_))));
    }

    #[test]
    fn a_bomb_does_not_go_off() {
        let zeros = vec![0; 100 << 20];
        assert!(matches!(plain(&gzip(&zeros)), Err(PayloadError::TooLarge)));
        assert!(matches!(plain(&zlib(&zeros, 9)), Err(PayloadError::TooLarge)));
        assert_eq!(plain(&gzip(&zeros[..1 << 20])).unwrap().len(), 1 << 20);
    }
}
