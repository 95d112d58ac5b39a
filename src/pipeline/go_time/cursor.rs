//! Reads the small pieces timestamps are made of: numbers, names, fractions, runs of spaces.
//! In: the text of one timestamp.  Out: values, or a fault.  Owns: the position in the text.
//!
//! Works on bytes: a layout may cut anywhere, also inside a character.

use super::layout::Width;

/// Why a piece cannot be read. The caller knows where it was and what was wanted there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The text is something else.
    Mismatch,
    /// The text is of the right kind, but this field cannot hold its value.
    OutOfRange(&'static str),
}

/// The outcome of reading one piece.
pub(super) type Read<T> = Result<T, Fault>;

/// Digits beyond nanoseconds are dropped, as Go does.
const NANO_DIGITS: usize = 9;

/// A text and how far it has been read.
pub(super) struct Cursor<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(text: &'t str) -> Cursor<'t> {
        Cursor { text: text.as_bytes(), at: 0 }
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// What has not been read.
    pub(super) fn rest(&self) -> &'t [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next bytes, exactly this many.
    pub(super) fn take(&mut self, count: usize) -> Read<&'t [u8]> {
        let taken = self.rest().get(..count).ok_or(Fault::Mismatch)?;
        self.at += count;
        Ok(taken)
    }

    /// Reads this byte if it is next.
    pub(super) fn take_if(&mut self, byte: u8) -> bool {
        let found = self.rest().first() == Some(&byte);
        self.at += usize::from(found);
        found
    }

    /// Reads the layout's literal text. A run of spaces matches any other run of spaces, and also the end of
    /// the text.
    pub(super) fn literal(&mut self, literal: &[u8]) -> Read<()> {
        let mut wanted = literal;
        while let Some((&byte, after)) = wanted.split_first() {
            if byte == b' ' {
                if self.rest().first().is_some_and(|&next| next != b' ') {
                    return Err(Fault::Mismatch);
                }
                wanted = &wanted[spaces(wanted)..];
                self.at += spaces(self.rest());
            } else if self.take_if(byte) {
                wanted = after;
            } else {
                return Err(Fault::Mismatch);
            }
        }
        Ok(())
    }

    /// A number of at most `most` digits.
    pub(super) fn number(&mut self, width: Width, most: usize) -> Read<u32> {
        if width == Width::SpacePadded {
            for _ in 1..most {
                self.take_if(b' ');
            }
        }
        let rest = self.rest();
        let found = digits(&rest[..rest.len().min(most)]);
        if found == 0 || (width == Width::Fixed && found != most) {
            return Err(Fault::Mismatch);
        }
        self.at += found;
        Ok(rest[..found].iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0')))
    }

    /// One of these names in any case; its place in the list.
    pub(super) fn name(&mut self, names: &[&str]) -> Read<u32> {
        let rest = self.rest();
        let starts = |name: &&str| {
            rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
        };
        for (place, name) in (0..).zip(names) {
            if starts(name) {
                self.at += name.len();
                return Ok(place);
            }
        }
        Err(Fault::Mismatch)
    }

    /// Whether a separator and a digit are next.
    pub(super) fn at_fraction(&self) -> bool {
        matches!(self.rest(), [b'.' | b',', b'0'..=b'9', ..])
    }

    /// A separator and all the digits after it, as nanoseconds.
    pub(super) fn fraction(&mut self) -> Read<u32> {
        let count = digits(self.rest().get(1..).unwrap_or_default());
        self.fraction_of(count)
    }

    /// A separator and exactly this many digits, as nanoseconds.
    ///
    /// Like Go's, it looks at no more digits than nanoseconds have, and takes a sign for the first of them.
    pub(super) fn fraction_of(&mut self, count: usize) -> Read<u32> {
        let [b'.' | b',', digits @ ..] = self.take(count.saturating_add(1))? else {
            return Err(Fault::Mismatch);
        };
        let seen = &digits[..digits.len().min(NANO_DIGITS)];
        let value = u32::try_from(signed(seen)?).map_err(|_| Fault::OutOfRange("fractional second"))?;
        Ok((seen.len()..NANO_DIGITS).fold(value, |nanos, _| nanos * 10))
    }
}

/// How many spaces the text starts with.
fn spaces(text: &[u8]) -> usize {
    text.iter().take_while(|&&byte| byte == b' ').count()
}

/// How many digits the text starts with.
pub(super) fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// The whole text, nine bytes at most, as a number with or without a sign. No digits at all are zero, as in
/// Go.
pub(super) fn signed(text: &[u8]) -> Read<i32> {
    let (negative, magnitude) = match text {
        [b'-', magnitude @ ..] => (true, magnitude),
        [b'+', magnitude @ ..] => (false, magnitude),
        _ => (false, text),
    };
    if magnitude.len() > NANO_DIGITS || digits(magnitude) < magnitude.len() {
        return Err(Fault::Mismatch);
    }
    let value = magnitude.iter().fold(0, |value, digit| value * 10 + i32::from(digit - b'0'));
    Ok(if negative { -value } else { value })
}
