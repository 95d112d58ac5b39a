//! Tells how much of a text is a time zone abbreviation, by the rules of Go's `time.Parse`.
//! In: text.  Out: the length of the abbreviation it starts with.  Owns: nothing.

use super::cursor::digits;

/// No zone is further from UTC than this many hours, says Go.
const MOST_HOURS: u32 = 23;

/// The length of the abbreviation the text starts with.
///
/// Three capitals; four that end in `T`, or `WITA`; five that end in `T`; `ChST` and `MeST`; `GMT` with or
/// without signed hours; signed hours alone, for the zones whose name is their offset.
pub(super) fn length(text: &[u8]) -> Option<usize> {
    match text {
        _ if text.len() < 3 => None,
        [b'C', b'h', b'S', b'T', ..] | [b'M', b'e', b'S', b'T', ..] => Some(4),
        [b'G', b'M', b'T', after @ ..] => Some(3 + signed_hours(after).unwrap_or(0)),
        [b'+' | b'-', ..] => signed_hours(text),
        _ => capitals(text),
    }
}

fn capitals(text: &[u8]) -> Option<usize> {
    let count = text.iter().take(6).take_while(|byte| byte.is_ascii_uppercase()).count();
    let accepted = match count {
        3 => true,
        4 => text[3] == b'T' || text.starts_with(b"WITA"),
        5 => text[4] == b'T',
        _ => false,
    };
    accepted.then_some(count)
}

/// The length of a sign and the hours after it.
fn signed_hours(text: &[u8]) -> Option<usize> {
    let [b'+' | b'-', after @ ..] = text else { return None };
    let count = digits(after);
    let hours = after[..count].iter().fold(0u32, |hours, digit| {
        // Saturates far above the limit, however many digits there are.
        hours.saturating_mul(10).saturating_add(u32::from(digit - b'0'))
    });
    (count > 0 && hours <= MOST_HOURS).then_some(1 + count)
}
