//! Words: their case, where lines break, what is left out.
//! In: texts.  Out: texts.  Owns: nothing.

use super::super::call::{Call, Outcome, Row, row};
use super::super::limits::text_length;
use super::super::text::Text;
use super::super::value::Value;
use super::strings::{cut, is_space, lowered, uppered};

pub(super) const ROWS: &[Row] = &[
    row("abbrev", "is", |call| {
        let text = call.take_text(1);
        Ok(abbreviated(&text, 0, call.int(0)))
    }),
    row("abbrevboth", "iis", |call| {
        let text = call.take_text(2);
        Ok(abbreviated(&text, call.int(0), call.int(1)))
    }),
    row("camelcase", "s", |call| Ok(Value::text(pascal(call.text(0))))),
    row("kebabcase", "s", |call| Ok(Value::text(joined_words(call.text(0), '-')))),
    row("snakecase", "s", |call| Ok(Value::text(joined_words(call.text(0), '_')))),
    row("swapcase", "s", |call| Ok(Value::text(call.text(0).chars().map(swapped).collect::<String>()))),
    row("title", "s", |call| Ok(Value::text(at_starts(call.text(0), separates, titled)))),
    row("untitle", "s", |call| Ok(Value::text(at_starts(call.text(0), is_space, lowered)))),
    row("wrap", "is", |call| wrapped(call, call.text(1), "\n", false)),
    row("wrapWith", "iss", |call| wrapped(call, call.text(2), call.text(1), true)),
];

/// Four digraphs have a form of their own at the start of a word.
fn titled(character: char) -> char {
    match character {
        'Ǆ'..='ǆ' => 'ǅ',
        'Ǉ'..='ǉ' => 'ǈ',
        'Ǌ'..='ǌ' => 'ǋ',
        'Ǳ'..='ǳ' => 'ǲ',
        _ => uppered(character),
    }
}

fn swapped(character: char) -> char {
    if character.is_uppercase() { lowered(character) } else { uppered(character) }
}

/// Changes the first character of the text and those after a separator.
fn at_starts(text: &str, separates: fn(char) -> bool, change: fn(char) -> char) -> String {
    let mut at_start = true;
    let one = |character: char| {
        let starts = std::mem::replace(&mut at_start, separates(character));
        if starts && !separates(character) { change(character) } else { character }
    };
    text.chars().map(one).collect()
}

/// What `strings.Title` takes for the end of a word.
fn separates(character: char) -> bool {
    match character {
        '_' => false,
        _ if character.is_ascii() => !character.is_ascii_alphanumeric(),
        _ => is_space(character),
    }
}

fn is_connector(character: char) -> bool {
    matches!(character, '_' | '-' | ' ')
}

/// Connectors go, except around the text and beyond the first between two words; each word starts with a capital.
fn pascal(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let start = characters.iter().position(|&next| !is_connector(next)).unwrap_or(characters.len());
    let mut out: String = characters[..start].iter().collect();
    for (at, &character) in characters.iter().enumerate().skip(start) {
        let before = at.checked_sub(1).and_then(|before| characters.get(before)).copied();
        let next = characters.get(at + 1).copied();
        match (character, before, next) {
            (_, _, Some(next)) if is_connector(character) && !is_connector(next) => {}
            (_, Some(before), _) if at > start && !is_connector(before) && !is_connector(character) => {
                out.push(if before.is_lowercase() { character } else { lowered(character) });
            }
            _ => out.push(uppered(character)),
        }
    }
    out
}

/// Words in lower case with a connector between: at each capital after a small letter or digit, at the last of several
/// capitals when a small letter follows, and before a number that a small letter follows.
fn joined_words(text: &str, connector: char) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut out = String::new();
    let mut in_number = false;
    for (at, &character) in characters.iter().enumerate() {
        if is_connector(character) {
            out.push(connector);
            in_number = false;
            continue;
        }
        let before = at.checked_sub(1).and_then(|before| characters.get(before)).copied();
        let before = before.filter(|&before| !is_connector(before));
        let starts = match before {
            None => true,
            Some(before) if character.is_uppercase() => {
                let next_is_small = characters.get(at + 1).is_some_and(|next| next.is_lowercase());
                !before.is_uppercase() || next_is_small
            }
            Some(before) if character.is_ascii_digit() => {
                !in_number && !before.is_ascii_digit() && number_leads_a_word(&characters[at..])
            }
            Some(_) => false,
        };
        if starts {
            in_number = character.is_ascii_digit();
            if before.is_some() {
                out.push(connector);
            }
        }
        out.push(lowered(character));
    }
    out
}

fn number_leads_a_word(characters: &[char]) -> bool {
    characters.iter().find(|next| !next.is_ascii_digit()).is_some_and(|next| next.is_lowercase())
}

/// At most so many bytes, beginning near `offset`, with three dots for what was left out. Too narrow to show anything,
/// the text stays whole.
fn abbreviated<'a>(text: &Text<'a>, offset: i64, width: i64) -> Value<'a> {
    let length = text.len();
    let offset = usize::try_from(offset).unwrap_or(0);
    let Some(width) = usize::try_from(width).ok().filter(|&width| width >= if offset > 0 { 7 } else { 4 })
    else {
        return Value::Text(text.clone());
    };
    if length <= width {
        return Value::Text(text.clone());
    }
    let shown = width - 3;
    let offset = offset.min(length - shown);
    if offset <= 4 {
        return Value::text(format!("{}...", &*cut(text, 0, shown)));
    }
    if offset + shown < length {
        return Value::text(format!("...{}...", &*cut(text, offset, offset + shown - 3)));
    }
    Value::text(format!("...{}", &*cut(text, length - shown, length)))
}

/// Breaks lines at blanks, or within words where no blank is near and `breaks_words`.
fn wrapped<'a>(call: &Call<'_, 'a>, text: &str, line_end: &str, breaks_words: bool) -> Outcome<'a> {
    let width = usize::try_from(call.int(0)).unwrap_or(1).max(1);
    let line_end = if line_end.is_empty() { "\n" } else { line_end };
    let mut rest = text.as_bytes();
    let mut out = Vec::new();
    while rest.len() > width {
        if let Some(after) = rest.strip_prefix(b" ") {
            rest = after;
            continue;
        }
        let near = rest[..=width].iter().rposition(|&byte| byte == b' ');
        let far = || rest[width..].iter().position(|&byte| byte == b' ').map(|blank| width + blank);
        let (line, after) = match near.or_else(|| if breaks_words { None } else { far() }) {
            Some(blank) => (&rest[..blank], &rest[blank + 1..]),
            None if breaks_words => rest.split_at(width),
            None => break,
        };
        out.extend_from_slice(line);
        out.extend_from_slice(line_end.as_bytes());
        text_length(Some(out.len()))?;
        rest = after;
    }
    out.extend_from_slice(rest);
    Ok(Value::text(String::from_utf8_lossy(&out).into_owned()))
}
