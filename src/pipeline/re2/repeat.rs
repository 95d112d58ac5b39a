//! Repeat counts: `{2}`, `{2,}`, `{2,5}` and how many copies they ask for.
//! In: a cursor standing behind the brace.  Out: the count, or that the brace is an ordinary character.
//! Owns: the limit on counts.

use super::cursor::Cursor;

/// Go's bound on a repeat count, and on the product of counts nested in each other.
pub(super) const LIMIT: u32 = 1000;

/// A number of more digits is too large without being read; one of so many still fits.
const READABLE_DIGITS: usize = 8;

/// `*`, `+`, `?` or a count in braces.
#[derive(Clone, Copy)]
pub(super) struct Count {
    pub(super) low: u32,
    pub(super) high: Option<u32>,
}

impl Count {
    /// How many copies of something that is itself `inner` copies; none when that passes the limit.
    pub(super) fn copies_of(self, inner: u32) -> Option<u32> {
        let within = |count: u32| count <= LIMIT;
        if !within(self.low) || self.high.is_some_and(|high| !within(high) || high < self.low) {
            return None;
        }
        if self.is_nothing() {
            return Some(1);
        }
        let copies = self.high.unwrap_or(self.low).max(1);
        copies.checked_mul(inner).filter(|copies| within(*copies))
    }

    /// Whether it is `{0}` or `{0,0}`, of which nothing is left to multiply.
    pub(super) fn is_nothing(self) -> bool {
        self.high == Some(0)
    }
}

/// Reads the rest of a count. If it is none, the cursor stays where it is: the brace is a literal then.
pub(super) fn read_braced(cursor: &mut Cursor<'_>) -> Option<Count> {
    let (inside, _) = cursor.rest().split_once('}')?;
    let count = match inside.split_once(',') {
        None => {
            let exact = number(inside)?;
            Count { low: exact, high: Some(exact) }
        }
        Some((low, "")) => Count { low: number(low)?, high: None },
        Some((low, high)) => Count { low: number(low)?, high: Some(number(high)?) },
    };
    cursor.skip(inside.len() + 1);
    Some(count)
}

/// Digits without a leading zero. A number too long to hold comes out as too large.
fn number(digits: &str) -> Option<u32> {
    let padded = digits.len() > 1 && digits.starts_with('0');
    if digits.is_empty() || padded || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if digits.len() > READABLE_DIGITS { Some(u32::MAX) } else { digits.parse().ok() }
}
