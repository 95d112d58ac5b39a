//! Go's literals: numbers, characters and quoted texts.
//! In: a literal as written.  Out: its value.  Owns: nothing.

use super::ast::Number;

/// A number or a quoted character; `None` is no number in Go.
pub(super) fn number(written: &str) -> Option<Number> {
    if written.starts_with('\'') {
        return character(written).map(|character| integer(i64::from(u32::from(character))));
    }
    if let Some(number) = whole(written) {
        return Some(integer(number));
    }
    let is_hex = written.trim_start_matches(['+', '-']).to_ascii_lowercase().starts_with("0x");
    if is_hex || !written.contains(['.', 'e', 'E']) {
        // Go reads what fits 64 bits without a sign, and refuses it when it is used.
        let float = written.parse::<u64>().ok().filter(|_| !written.starts_with(['0', '+']))? as f64;
        return Some(Number { int: None, float, is_float: false });
    }
    let float = decimal(written)?;
    let int = (float.trunc() == float && float.abs() < 9.2e18).then_some(float as i64);
    Some(Number { int, float, is_float: true })
}

fn integer(number: i64) -> Number {
    Number { int: Some(number), float: number as f64, is_float: false }
}

/// An integer by the rules of Go's base 0: `0x`, `0o`, `0b`, a leading zero for octal, and underscores between
/// digits.
pub(super) fn whole(written: &str) -> Option<i64> {
    let (negative, digits) = match written.as_bytes().first()? {
        b'-' => (true, &written[1..]),
        b'+' => (false, &written[1..]),
        _ => (false, written),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, body, prefixed) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..], true),
        Some("0o") => (8, &lower[2..], true),
        Some("0b") => (2, &lower[2..], true),
        _ if lower.len() > 1 && lower.starts_with('0') => (8, &lower[1..], true),
        _ => (10, &lower[..], false),
    };
    let plain = without_underscores(body, prefixed)?;
    if !plain.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = i128::from(u64::from_str_radix(&plain, base).ok()?);
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

/// An underscore must have a digit, or the prefix, before it and a digit after it.
fn without_underscores(digits: &str, prefixed: bool) -> Option<String> {
    let start_is_bad = digits.starts_with('_') && !prefixed;
    if start_is_bad || digits.ends_with('_') || digits.contains("__") {
        return None;
    }
    Some(digits.replace('_', ""))
}

fn decimal(written: &str) -> Option<f64> {
    let written = written.strip_prefix('+').unwrap_or(written);
    let plain = if written.contains('_') { return None } else { written };
    let float: f64 = plain.parse().ok()?;
    float.is_finite().then_some(float)
}

fn character(written: &str) -> Option<char> {
    let inside = written.strip_prefix('\'')?.strip_suffix('\'')?;
    let bytes = unescape(inside, '\'')?;
    let text = String::from_utf8(bytes).ok()?;
    let mut characters = text.chars();
    let first = characters.next()?;
    characters.next().is_none().then_some(first)
}

/// A text in double quotes or backquotes. `\xff` can make bytes that are no UTF-8; they become U+FFFD, since all our
/// texts are UTF-8.
pub(super) fn unquote(written: &str) -> Option<String> {
    if let Some(inside) = written.strip_prefix('`') {
        return inside.strip_suffix('`').map(|raw| raw.replace('\r', ""));
    }
    let inside = written.strip_prefix('"')?.strip_suffix('"')?;
    let bytes = unescape(inside, '"')?;
    Some(
        String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    )
}

fn unescape(inside: &str, quote: char) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(inside.len());
    let mut characters = inside.chars();
    while let Some(character) = characters.next() {
        if character == quote || character == '\n' {
            return None;
        }
        if character != '\\' {
            push(&mut bytes, character);
            continue;
        }
        match characters.next()? {
            'a' => bytes.push(7),
            'b' => bytes.push(8),
            'f' => bytes.push(12),
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            'v' => bytes.push(11),
            '\\' => bytes.push(b'\\'),
            escaped @ ('\'' | '"') if escaped == quote => push(&mut bytes, quote),
            'x' => {
                let code = code(&mut characters, None, 2, 16)?;
                if quote == '\'' { push(&mut bytes, char::from_u32(code)?) } else { bytes.push(code as u8) }
            }
            'u' => push(&mut bytes, char::from_u32(code(&mut characters, None, 4, 16)?)?),
            'U' => push(&mut bytes, char::from_u32(code(&mut characters, None, 8, 16)?)?),
            digit @ '0'..='7' => {
                let code = u8::try_from(code(&mut characters, Some(digit), 3, 8)?).ok()?;
                if quote == '\'' { push(&mut bytes, char::from(code)) } else { bytes.push(code) }
            }
            _ => return None,
        }
    }
    Some(bytes)
}

fn push(bytes: &mut Vec<u8>, character: char) {
    bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

/// `digits` digits of a code point, the first of which may have been read already.
fn code(rest: &mut std::str::Chars<'_>, first: Option<char>, digits: usize, base: u32) -> Option<u32> {
    let missing = digits - usize::from(first.is_some());
    let mut value = first.map_or(Some(0), |digit| digit.to_digit(base))?;
    for _ in 0..missing {
        value = value.checked_mul(base)?.checked_add(rest.next()?.to_digit(base)?)?;
    }
    Some(value)
}
