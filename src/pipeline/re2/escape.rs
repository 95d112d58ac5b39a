//! Escapes that stand for one character: `\n`, `\.`, `\012`, `\x{10FFFF}`.
//! In: a cursor standing on the backslash.  Out: the code point, which may be a surrogate (Go allows naming one).
//! Owns: nothing.

use super::PatternError;
use super::cursor::Cursor;

/// Reads one escape, inside a class or outside; the escapes that mean more than a character are taken before.
pub(super) fn one_character(cursor: &mut Cursor<'_>) -> Result<u32, PatternError> {
    let start = cursor.at();
    cursor.next();
    let Some(escaped) = cursor.next() else {
        return Err(PatternError::syntax(start, "trailing backslash at end of expression"));
    };
    let value = match escaped {
        '0' => octal(cursor, 0),
        '1'..='7' if cursor.peek().is_some_and(|next| next.is_digit(8)) => octal(cursor, digit(escaped, 8)),
        'x' if cursor.eat("{") => braced_hex(cursor),
        'x' => two_hex_digits(cursor),
        'a' => Some(0x07),
        'f' => Some(0x0C),
        't' => Some(0x09),
        'n' => Some(0x0A),
        'r' => Some(0x0D),
        'v' => Some(0x0B),
        other => (other.is_ascii() && !other.is_ascii_alphanumeric()).then_some(u32::from(other)),
    };
    value.ok_or_else(|| refusal(cursor.since(start), escaped, start))
}

/// Up to two more octal digits.
fn octal(cursor: &mut Cursor<'_>, first: u32) -> Option<u32> {
    let mut value = first;
    for _ in 0..2 {
        let Some(next) = cursor.peek().filter(|next| next.is_digit(8)) else { break };
        cursor.next();
        value = value * 8 + digit(next, 8);
    }
    Some(value)
}

fn two_hex_digits(cursor: &mut Cursor<'_>) -> Option<u32> {
    let high = cursor.next()?.to_digit(16)?;
    let low = cursor.next()?.to_digit(16)?;
    Some(high * 16 + low)
}

/// The digits of `\x{..}` and the closing brace; any number of digits up to the last code point.
fn braced_hex(cursor: &mut Cursor<'_>) -> Option<u32> {
    let mut value = cursor.next()?.to_digit(16)?;
    loop {
        match cursor.next()? {
            '}' => return Some(value),
            next => value = value * 16 + next.to_digit(16)?,
        }
        if value > u32::from(char::MAX) {
            return None;
        }
    }
}

fn digit(character: char, radix: u32) -> u32 {
    character.to_digit(radix).unwrap_or_default()
}

/// What is wrong with `written`; the escapes people bring from Perl get told what to do instead.
fn refusal(written: &str, escaped: char, start: usize) -> PatternError {
    let problem = match escaped {
        'Z' => r"`\Z` is not supported by RE2; use `\z`".to_owned(),
        'C' => r"`\C` (one byte, whatever it is) is not supported; use `(?s:.)`".to_owned(),
        'G' | 'K' | 'R' | 'X' | 'h' | 'H' | 'N' | 'V' => {
            format!("`{written}` is Perl and not supported by RE2")
        }
        '1'..='9' => format!("`{written}` is a backreference, which RE2 does not support"),
        'k' | 'g' => format!("`{written}` is a backreference, which RE2 does not support"),
        'u' | 'U' => format!(r"`{written}` is not supported by RE2; use `\x{{..}}`"),
        _ => format!("invalid escape sequence: `{written}`"),
    };
    PatternError::syntax(start, problem)
}
