//! Finds the bytes that end or interrupt a JSON string, sixteen or sixty-four at a time.
//! In: bytes.  Out: a bit for each that is a quote, a backslash or a control character.  Owns: nothing.

use wide::u8x16;

/// What is special among the bytes, bit by bit from the first, and whether any of them is not ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Specials<B> {
    pub(super) bits: B,
    pub(super) beyond_ascii: bool,
}

/// Looks at sixteen bytes.
#[inline]
pub(super) fn in_sixteen(bytes: &[u8; 16]) -> Specials<u32> {
    let (bits, high) = masks(bytes);
    Specials { bits, beyond_ascii: high != 0 }
}

/// Looks at sixty-four bytes.
#[inline]
pub(super) fn in_sixty_four(bytes: &[u8; 64]) -> Specials<u64> {
    let (quarters, _) = bytes.as_chunks::<16>();
    let (mut bits, mut high) = (0, 0);
    for (place, quarter) in quarters.iter().enumerate() {
        let (special, beyond) = masks(quarter);
        bits |= u64::from(special) << (16 * place);
        high |= beyond;
    }
    Specials { bits, beyond_ascii: high != 0 }
}

/// Bits of the special bytes, and of those that are not ASCII.
#[inline]
fn masks(bytes: &[u8; 16]) -> (u32, u32) {
    let bytes = u8x16::new(*bytes);
    let control = bytes.simd_eq(bytes.min(u8x16::splat(0x1f)));
    let special = bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\')) | control;
    (special.to_bitmask(), bytes.to_bitmask())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_told_at_each_place() {
        for byte in 0..=255_u8 {
            let (special, beyond_ascii) = (matches!(byte, b'"' | b'\\' | 0..0x20), byte >= 0x80);
            for place in 0..64 {
                let mut bytes = [b'x'; 64];
                bytes[place] = byte;
                let bits = u64::from(special) << place;
                assert_eq!(in_sixty_four(&bytes), Specials { bits, beyond_ascii }, "{byte} at {place}");
                let (quarters, _) = bytes.as_chunks::<16>();
                let bits = u32::from(special) << (place % 16);
                assert_eq!(
                    in_sixteen(&quarters[place / 16]),
                    Specials { bits, beyond_ascii },
                    "{byte} at {place}"
                );
            }
        }
    }
}
