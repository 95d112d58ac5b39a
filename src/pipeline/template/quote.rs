//! Go's quoting: what `%q`, `quote` and `toJson`'s relatives need of `strconv`.
//! In: text.  Out: the text in quotes, or a verdict on a character.  Owns: the class of printable characters.

use std::sync::LazyLock;

use regex::Regex;

use super::error::Problem;
use super::limits::Sink;

/// Letters, marks, numbers, punctuation, symbols and the plain blank.
pub(super) fn is_printable(character: char) -> bool {
    static CLASS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\A[\pL\pM\pN\pP\pS]\z").ok());
    if character.is_ascii() {
        return matches!(character, ' '..='~');
    }
    CLASS.as_ref().is_some_and(|class| class.is_match(character.encode_utf8(&mut [0; 4])))
}

/// `strconv.Quote`, or `QuoteToASCII`.
pub(super) fn push_quoted(sink: &mut Sink<'_>, text: &str, ascii_only: bool) -> Result<(), Problem> {
    sink.push('"')?;
    for character in text.chars() {
        push_escaped(sink, character, '"', ascii_only)?;
    }
    sink.push('"')
}

/// `strconv.QuoteRune`.
pub(super) fn push_quoted_character(
    sink: &mut Sink<'_>,
    character: char,
    ascii_only: bool,
) -> Result<(), Problem> {
    sink.push('\'')?;
    push_escaped(sink, character, '\'', ascii_only)?;
    sink.push('\'')
}

fn push_escaped(sink: &mut Sink<'_>, character: char, quote: char, ascii_only: bool) -> Result<(), Problem> {
    let code = u32::from(character);
    match character {
        '\\' => sink.push_str("\\\\"),
        _ if character == quote => {
            sink.push('\\')?;
            sink.push(quote)
        }
        _ if is_printable(character) && (character.is_ascii() || !ascii_only) => sink.push(character),
        '\u{7}' => sink.push_str("\\a"),
        '\u{8}' => sink.push_str("\\b"),
        '\u{c}' => sink.push_str("\\f"),
        '\n' => sink.push_str("\\n"),
        '\r' => sink.push_str("\\r"),
        '\t' => sink.push_str("\\t"),
        '\u{b}' => sink.push_str("\\v"),
        _ if code < 0x20 || code == 0x7f => sink.write(format_args!("\\x{code:02x}")),
        _ if code < 0x10000 => sink.write(format_args!("\\u{code:04x}")),
        _ => sink.write(format_args!("\\U{code:08x}")),
    }
}

/// Whether `%#q` may put the text between backquotes.
pub(super) fn fits_backquotes(text: &str) -> bool {
    text.chars().all(|character| {
        let control = character < ' ' && character != '\t';
        !(control || matches!(character, '`' | '\u{7f}' | '\u{feff}'))
    })
}
