//! The template of a replacement: text with `$1`, `${1}`, `$name`, `${name}` and `$$`.
//! In: the template, then the captures of a match.  Out: the expanded bytes.  Owns: the parsed pieces.
//!
//! A name runs as far as letters, digits and underscores go, so `$1x` is the group named `1x`; no such group means
//! nothing is written. A `$` that starts no reference stays as it is.

use std::sync::LazyLock;

use regex::bytes::{Captures, Regex};

/// A template, parsed once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replacement {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Index(usize),
    Name(String),
}

impl Replacement {
    /// Every text is a template; a malformed reference is text.
    pub(crate) fn parse(template: &str) -> Self {
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('$') {
            text.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                text.push('$');
                rest = after;
            } else if let Some((reference, after)) = read_reference(after) {
                if !text.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut text)));
                }
                pieces.push(reference);
                rest = after;
            } else {
                text.push('$');
                rest = after;
            }
        }
        text.push_str(rest);
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        Self { pieces }
    }

    /// Appends the expansion; a group that is unknown or took no part in the match adds nothing.
    pub(crate) fn expand(&self, captures: &Captures<'_>, out: &mut Vec<u8>) {
        self.expansion(captures).for_each(|piece| out.extend_from_slice(piece));
    }

    /// The expansion piece by piece, for whoever must stop before it is too long.
    pub(crate) fn expansion<'m>(&'m self, captures: &'m Captures<'_>) -> impl Iterator<Item = &'m [u8]> {
        self.pieces.iter().map(move |piece| {
            let captured = match piece {
                Piece::Text(text) => return text.as_bytes(),
                Piece::Index(index) => captures.get(*index),
                Piece::Name(name) => captures.name(name),
            };
            captured.map_or(&[][..], |group| group.as_bytes())
        })
    }

    /// How many pieces an expansion has, the empty ones too.
    pub(crate) fn pieces(&self) -> usize {
        self.pieces.len()
    }
}

/// Reads what follows a `$`: the reference and the text after it.
fn read_reference(after_dollar: &str) -> Option<(Piece, &str)> {
    if let Some(inside) = after_dollar.strip_prefix('{') {
        let (name, rest) = split_name(inside);
        let rest = rest.strip_prefix('}')?;
        return (!name.is_empty()).then(|| (group(name), rest));
    }
    let (name, rest) = split_name(after_dollar);
    (!name.is_empty()).then(|| (group(name), rest))
}

fn split_name(text: &str) -> (&str, &str) {
    let end = text.find(|c| !is_name_character(c)).unwrap_or(text.len());
    text.split_at(end)
}

/// A number without leading zero is an index, anything else a name.
fn group(name: &str) -> Piece {
    let numeric = name.bytes().all(|byte| byte.is_ascii_digit());
    let padded = name.len() > 1 && name.starts_with('0');
    match name.parse() {
        Ok(index) if numeric && !padded => Piece::Index(index),
        _ => Piece::Name(name.to_owned()),
    }
}

/// Go's letters (category L) and digits (Nd). The standard library's `is_alphanumeric` is wider: it would read `$1²`
/// as one name.
fn is_name_character(character: char) -> bool {
    static LETTER_OR_DIGIT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\A[\pL\p{Nd}]\z").ok());
    if character.is_ascii() {
        return character.is_ascii_alphanumeric() || character == '_';
    }
    let mut buffer = [0; 4];
    let encoded = character.encode_utf8(&mut buffer);
    LETTER_OR_DIGIT.as_ref().is_some_and(|regex| regex.is_match(encoded.as_bytes()))
}
