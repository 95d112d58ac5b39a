//! Character classes: `[..]`, `\d`, `[:alpha:]`, `\p{Greek}`.
//! In: a cursor standing on the class.  Out: the class in the Rust crate's syntax.  Owns: nothing.
//!
//! Ranges leave as hexadecimal numbers and classes within classes as nested brackets, so nothing of what the Rust
//! crate adds to class syntax (`&&`, `--`, `~~`, a nested `[`) can arise by accident.

use std::fmt::Write;

use super::PatternError;
use super::cursor::Cursor;
use super::escape;

/// A class that matches nothing, for what only a surrogate could match.
pub(super) const NOTHING: &str = r"[^\x00-\x{10FFFF}]";

/// The POSIX names; they are ASCII in both dialects and mean the same sets.
const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

/// Reads a bracketed class, the cursor standing on `[`.
pub(super) fn bracketed(cursor: &mut Cursor<'_>) -> Result<String, PatternError> {
    let start = cursor.at();
    cursor.next();
    let mut out = String::from(if cursor.eat("^") { "[^" } else { "[" });
    let mut first = true;
    // A `]` directly after the opening is an ordinary member.
    while first || !cursor.eat("]") {
        first = false;
        if let Some(named) = posix(cursor)? {
            out.push_str(&named);
        } else if let Some(shorthand) = shorthand(cursor)? {
            out.push_str(&shorthand);
        } else {
            range(cursor, start, &mut out)?;
        }
    }
    out.push(']');
    Ok(out)
}

/// Reads `\d`, `\S`, `\pN`, `\P{Greek}` and their kind, inside a bracket or outside; anything else is left alone.
pub(super) fn shorthand(cursor: &mut Cursor<'_>) -> Result<Option<String>, PatternError> {
    let mut ahead = cursor.rest().chars();
    if ahead.next() != Some('\\') {
        return Ok(None);
    }
    let class = match ahead.next() {
        Some('d') => "[0-9]",
        Some('D') => "[^0-9]",
        Some('s') => r"[\t\n\x0C\r\x20]",
        Some('S') => r"[^\t\n\x0C\r\x20]",
        Some('w') => "[0-9A-Za-z_]",
        Some('W') => "[^0-9A-Za-z_]",
        Some('p' | 'P') => return unicode(cursor).map(Some),
        _ => return Ok(None),
    };
    cursor.skip(2);
    Ok(Some(class.to_owned()))
}

/// One code point as a class of its own.
pub(super) fn single(code_point: u32) -> String {
    let mut out = String::from("[");
    push_range(&mut out, code_point, code_point);
    out.push(']');
    out
}

/// `[:name:]` or `[:^name:]`. Without a `:]` further on, the bracket is an ordinary member.
fn posix(cursor: &mut Cursor<'_>) -> Result<Option<String>, PatternError> {
    let Some(inside) = cursor.rest().strip_prefix("[:") else { return Ok(None) };
    let Some((written, _)) = inside.split_once(":]") else { return Ok(None) };
    let start = cursor.at();
    if !POSIX.contains(&written.strip_prefix('^').unwrap_or(written)) {
        return Err(PatternError::syntax(start, format!("unknown character class: `[:{written}:]`")));
    }
    cursor.skip(written.len() + 4);
    Ok(Some(cursor.since(start).to_owned()))
}

/// `\pN`, `\p{Greek}`, `\P{^Lu}`: general categories and scripts, no other property of Unicode.
fn unicode(cursor: &mut Cursor<'_>) -> Result<String, PatternError> {
    let start = cursor.at();
    cursor.next();
    let mut negated = cursor.next() == Some('P');
    let name_start = cursor.at();
    let name = if cursor.eat("{") {
        let Some((name, _)) = cursor.rest().split_once('}') else {
            let written = cursor.all_from(start);
            return Err(PatternError::syntax(start, format!("missing closing }}: `{written}`")));
        };
        cursor.skip(name.len() + 1);
        name
    } else {
        cursor.next();
        cursor.since(name_start)
    };
    let plain = name.strip_prefix('^').unwrap_or(name);
    negated ^= plain.len() != name.len();
    let letter = if negated { 'P' } else { 'p' };
    let loose = plain.replace(['-', '_', ' '], "").to_ascii_lowercase();
    if matches!(loose.as_str(), "cs" | "surrogate") {
        // Surrogates never occur in UTF-8, and the engine has no name for them.
        return Ok(if negated { r"[\x00-\x{10FFFF}]" } else { NOTHING }.to_owned());
    }
    property(plain).map(|property| format!("\\{letter}{{{property}}}")).ok_or_else(|| {
        let written = cursor.since(start);
        PatternError::syntax(start, format!("unknown Unicode category or script: `{written}`"))
    })
}

/// The engine's spelling of a category or script. It is asked by trial which of the two a name is, rather than
/// keeping a list of the scripts here that would age.
fn property(name: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ');
    if name.is_empty() || !name.chars().all(plain) {
        return None;
    }
    let known = |candidate: &String| regex::bytes::Regex::new(&format!(r"\p{{{candidate}}}")).is_ok();
    [format!("gc={name}"), format!("sc={name}")].into_iter().find(known)
}

/// One member or `low-high`. A dash is a range only between two characters; elsewhere it is itself.
fn range(cursor: &mut Cursor<'_>, class_start: usize, out: &mut String) -> Result<(), PatternError> {
    let start = cursor.at();
    let low = member(cursor, class_start)?;
    let dash_then_more =
        cursor.rest().strip_prefix('-').is_some_and(|after| !after.is_empty() && !after.starts_with(']'));
    if !dash_then_more {
        push_range(out, low, low);
        return Ok(());
    }
    cursor.next();
    let high = member(cursor, class_start)?;
    if high < low {
        let written = cursor.since(start);
        return Err(PatternError::syntax(start, format!("invalid character class range: `{written}`")));
    }
    push_range(out, low, high);
    Ok(())
}

fn member(cursor: &mut Cursor<'_>, class_start: usize) -> Result<u32, PatternError> {
    if cursor.peek() == Some('\\') {
        return escape::one_character(cursor);
    }
    cursor.next().map(u32::from).ok_or_else(|| {
        let written = cursor.all_from(class_start);
        PatternError::syntax(class_start, format!("missing closing ]: `{written}`"))
    })
}

/// Surrogates, which Go lets one name though no text contains them, are cut off the ends of a range.
fn push_range(out: &mut String, low: u32, high: u32) {
    const SURROGATES: std::ops::RangeInclusive<u32> = 0xD800..=0xDFFF;
    let low = if SURROGATES.contains(&low) { 0xE000 } else { low };
    let high = if SURROGATES.contains(&high) { 0xD7FF } else { high };
    // Writing to a String cannot fail.
    let _written = if low > high {
        out.write_str(NOTHING)
    } else if low == high {
        write!(out, r"\x{{{low:X}}}")
    } else {
        write!(out, r"\x{{{low:X}}}-\x{{{high:X}}}")
    };
}
