//! Reads top-level keys of the JSON objects that logs mostly are, faster than serde_json does.
//! In: a JSON text, the keys asked for.  Out: their values, or nothing where the text is of another kind.  Owns: nothing.
//!
//! Whatever is not plain gives nothing, and serde_json has the last word: `\u` escapes, objects and arrays that are asked for,
//! numbers with a fraction, everything malformed. A test and a fuzz target hold that both find the same.

#[cfg(test)]
mod tests;

use crate::pipeline::entry::{Span, Symbol, Value};
use crate::pipeline::json_path::{Extraction, PathTree, specials};

/// Objects and arrays within each other that are passed over here.
const DEPTH: u32 = 32;

/// Digits of an integer that is a double exactly.
const EXACT: usize = 15;

/// Reads the keys of a tree that asks for nothing below them. `found` has garbage in it after `None`.
pub(super) fn scan(text: &[u8], tree: &PathTree, found: &mut Extraction) -> Option<()> {
    let mut scanner = Scanner { text, beyond_ascii: false };
    scanner.object(tree, found)?;
    if scanner.beyond_ascii {
        str::from_utf8(text).ok()?;
    }
    Some(())
}

struct Scanner<'t> {
    text: &'t [u8],
    /// There are bytes in a string that may not be UTF-8.
    beyond_ascii: bool,
}

impl Scanner<'_> {
    fn object(&mut self, tree: &PathTree, found: &mut Extraction) -> Option<()> {
        let mut at = self.space(0);
        if self.byte(at)? != b'{' {
            return None;
        }
        at = self.space(at + 1);
        if self.byte(at)? == b'}' {
            return self.ends(at + 1);
        }
        loop {
            let begin = self.open(at)?;
            let end = self.plain(begin);
            if self.byte(end)? != b'"' {
                return None;
            }
            let key = &self.text[begin..end];
            let value = self.colon(end + 1)?;
            at = match tree.keys.iter().find(|(name, _)| name.as_bytes() == key) {
                Some((_, below)) => self.take(value, &below.names, found)?,
                None => self.skip(value, 0)?,
            };
            at = self.space(at);
            match self.byte(at)? {
                b',' => at = self.space(at + 1),
                b'}' => return self.ends(at + 1),
                _ => return None,
            }
        }
    }

    #[inline]
    fn byte(&self, at: usize) -> Option<u8> {
        self.text.get(at).copied()
    }

    #[inline]
    fn ends(&self, at: usize) -> Option<()> {
        (self.space(at) == self.text.len()).then_some(())
    }

    #[inline]
    fn space(&self, mut at: usize) -> usize {
        while matches!(self.text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            at += 1;
        }
        at
    }

    #[inline]
    fn open(&self, at: usize) -> Option<usize> {
        (self.byte(at)? == b'"').then_some(at + 1)
    }

    #[inline]
    fn colon(&self, at: usize) -> Option<usize> {
        let at = self.space(at);
        (self.byte(at)? == b':').then(|| self.space(at + 1))
    }

    /// Takes the value that begins here; where it ends.
    fn take(&mut self, at: usize, names: &[Symbol], found: &mut Extraction) -> Option<usize> {
        let (value, end) = match self.byte(at)? {
            b'"' => {
                let start = found.text.len() as u32;
                let end = self.unescape(at + 1, &mut found.text)?;
                (Value::Text(Span { start, end: found.text.len() as u32 }), end)
            }
            b'0'..=b'9' | b'-' => {
                let end = self.number(at)?;
                (Value::Number(integer(&self.text[at..end])?), end)
            }
            b'n' => (Value::Null, self.literal(at, b"null")?),
            b't' => (Value::Bool(true), self.literal(at, b"true")?),
            b'f' => (Value::Bool(false), self.literal(at, b"false")?),
            _ => return None,
        };
        found.push(names, value);
        Some(end)
    }

    fn literal(&self, at: usize, wanted: &[u8]) -> Option<usize> {
        self.text[at..].starts_with(wanted).then_some(at + wanted.len())
    }

    /// Where the value ends that begins here.
    fn skip(&mut self, at: usize, depth: u32) -> Option<usize> {
        match self.byte(at)? {
            b'"' => self.string(at + 1),
            open @ (b'{' | b'[') if depth < DEPTH => self.items(at, open == b'{', depth + 1),
            b'n' => self.literal(at, b"null"),
            b't' => self.literal(at, b"true"),
            b'f' => self.literal(at, b"false"),
            b'0'..=b'9' | b'-' => self.number(at),
            _ => None,
        }
    }

    fn items(&mut self, at: usize, keyed: bool, depth: u32) -> Option<usize> {
        let close = if keyed { b'}' } else { b']' };
        let mut at = self.space(at + 1);
        if self.byte(at)? == close {
            return Some(at + 1);
        }
        loop {
            if keyed {
                let key = self.open(at)?;
                let end = self.string(key)?;
                at = self.colon(end)?;
            }
            let end = self.skip(at, depth)?;
            at = self.space(end);
            match self.byte(at)? {
                b',' => at = self.space(at + 1),
                end if end == close => return Some(at + 1),
                _ => return None,
            }
        }
    }

    fn number(&self, at: usize) -> Option<usize> {
        let text = self.text;
        let digits = |from: usize| {
            let mut to = from;
            while text.get(to).is_some_and(u8::is_ascii_digit) {
                to += 1;
            }
            (to > from).then_some(to)
        };
        let begin = at + usize::from(text.get(at) == Some(&b'-'));
        let mut end = digits(begin)?;
        if text[begin] == b'0' && end > begin + 1 {
            return None;
        }
        if text.get(end) == Some(&b'.') {
            end = digits(end + 1)?;
        }
        if matches!(text.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
            end = digits(end + 1 + sign)?;
        }
        Some(end)
    }

    /// Where a string ends whose quote is before `at`.
    #[inline]
    fn string(&mut self, mut at: usize) -> Option<usize> {
        loop {
            at = self.plain(at);
            match self.byte(at)? {
                b'"' => return Some(at + 1),
                b'\\' => escaped(self.byte(at + 1)?)?,
                _ => return None,
            };
            at += 2;
        }
    }

    /// The first special byte from `at` on, or the end.
    #[inline]
    fn plain(&mut self, mut at: usize) -> usize {
        while let Some(bytes) = self.text.get(at..).and_then(|rest| rest.first_chunk()) {
            let specials = specials::in_sixteen(bytes);
            self.beyond_ascii |= specials.beyond_ascii;
            if specials.bits != 0 {
                return at + specials.bits.trailing_zeros() as usize;
            }
            at += 16;
        }
        while let Some(byte) = self.text.get(at)
            && !matches!(byte, b'"' | b'\\' | 0..0x20)
        {
            self.beyond_ascii |= !byte.is_ascii();
            at += 1;
        }
        at
    }

    /// Where a string ends whose quote is before `at`; what is in it is added to `out`.
    fn unescape(&mut self, mut at: usize, out: &mut Vec<u8>) -> Option<usize> {
        let begin = out.len();
        // Room for all that there may be, and for the copies to be of sixteen bytes always.
        out.resize(begin + self.text.len().saturating_sub(at) + 16, 0);
        let mut filled = begin;
        loop {
            let rest = self.text.get(at..)?;
            let mut short = [0; 64];
            let block = match rest.first_chunk::<64>() {
                Some(block) => block,
                None => {
                    short[..rest.len()].copy_from_slice(rest);
                    &short
                }
            };
            let specials = specials::in_sixty_four(block);
            self.beyond_ascii |= specials.beyond_ascii;
            let (mut bits, mut from) = (specials.bits, 0);
            loop {
                let to = bits.trailing_zeros() as usize;
                copy(block, from, to, &mut out[filled..]);
                filled += to - from;
                if to == 64 {
                    at += 64;
                    break;
                }
                match block[to & 63] {
                    b'"' => {
                        out.truncate(filled);
                        return Some(at + to + 1);
                    }
                    b'\\' => {}
                    _ => return None,
                }
                out[filled] = escaped(self.byte(at + to + 1)?)?;
                filled += 1;
                from = to + 2;
                if from >= 64 {
                    at += from;
                    break;
                }
                bits &= u64::MAX << from;
            }
        }
    }
}

/// Copies a part of a block to the beginning of `out`, and some of what comes after it: sixteen bytes are cheaper than a few.
#[inline]
fn copy(block: &[u8; 64], mut from: usize, to: usize, mut out: &mut [u8]) {
    while from < to {
        match (block[from..].first_chunk::<16>(), out.first_chunk_mut::<16>()) {
            (Some(source), Some(target)) => *target = *source,
            _ => {
                out[..to - from].copy_from_slice(&block[from..to]);
                return;
            }
        }
        from += 16;
        if from >= to {
            return;
        }
        out = &mut out[16..];
    }
}

/// A negative zero is not that of an integer.
fn integer(text: &[u8]) -> Option<f64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if digits.len() > EXACT
        || !digits.iter().all(u8::is_ascii_digit)
        || (digits.len() < text.len() && digits == b"0")
    {
        return None;
    }
    let value = digits.iter().fold(0, |value: i64, digit| value * 10 + i64::from(digit - b'0'));
    Some(if digits.len() < text.len() { -value } else { value } as f64)
}

#[inline]
fn escaped(letter: u8) -> Option<u8> {
    match letter {
        b'"' | b'\\' | b'/' => Some(letter),
        b'n' => Some(b'\n'),
        b't' => Some(b'\t'),
        b'r' => Some(b'\r'),
        b'b' => Some(8),
        b'f' => Some(12),
        _ => None,
    }
}

/// What is found in a text is what serde_json finds in it; whether it was found here.
///
/// # Panics
///
/// Where it is something else.
#[cfg(any(fuzzing, test))]
pub(crate) fn compare(text: &str) -> bool {
    let mut tree = PathTree::default();
    for (index, key) in ["log", "stream", "time", "a", "é"].into_iter().enumerate() {
        tree.insert(&[super::Step::Key(key.to_owned())], Symbol(index as u16));
    }
    let (mut fast, mut slow) = (Extraction::default(), Extraction::default());
    let scanned = scan(text.as_bytes(), &tree, &mut fast);
    if scanned.is_some() {
        assert!(tree.read_with_serde(text, &mut slow).is_ok(), "serde_json refuses {text:?}");
        assert_eq!((fast.values, fast.text), (slow.values, slow.text), "{text:?}");
    }
    scanned.is_some()
}
