//! Cuts a selector's text into words.
//! In: the text.  Out: tokens with their places.  Owns: a position in the text.

use super::SelectorError;
use crate::pipeline::re2::cursor::Cursor;

/// Longest first, so that `=~` is not read as `=`.
const MARKS: [&str; 9] = ["|=", "|~", "!=", "!~", "=~", "=", "{", "}", ","];

/// A word and where it starts.
pub(super) struct Token<'a> {
    pub(super) offset: usize,
    pub(super) kind: TokenKind<'a>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum TokenKind<'a> {
    /// Letters, digits and underscores, not starting with a digit.
    Name(&'a str),
    /// The value of a double-quoted string; an escape can make it other than UTF-8.
    Text(Vec<u8>),
    /// One of [`MARKS`].
    Mark(&'static str),
    /// A character no selector has outside strings.
    Other(char),
    End,
}

impl Token<'_> {
    /// The error of meeting this token where `expected` was due.
    pub(super) fn unexpected(&self, expected: &str) -> SelectorError {
        let found = match &self.kind {
            TokenKind::Name(name) => format!("`{name}`"),
            TokenKind::Text(_) => "a string".to_owned(),
            TokenKind::Mark(mark) => format!("`{mark}`"),
            TokenKind::Other(other) if other.is_control() => format!("`{}`", other.escape_default()),
            TokenKind::Other(other) => format!("`{other}`"),
            TokenKind::End => "the end".to_owned(),
        };
        SelectorError::syntax(self.offset, format!("{expected}, found {found}"))
    }
}

/// What an escape stands for.
enum Escaped {
    Byte(u8),
    Character(char),
}

/// Cuts a text into tokens; after the last one it returns `End` for ever.
pub(super) struct Lexer<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { cursor: Cursor::new(text) }
    }

    pub(super) fn next(&mut self) -> Result<Token<'a>, SelectorError> {
        self.skip_blanks()?;
        let offset = self.cursor.at();
        let Some(first) = self.cursor.peek() else { return Ok(Token { offset, kind: TokenKind::End }) };
        let kind = match first {
            '"' => TokenKind::Text(self.quoted()?),
            '`' => {
                let problem =
                    "backquoted strings are not accepted; use double quotes and double each backslash";
                return Err(SelectorError::syntax(offset, problem));
            }
            _ if is_name_start(first) => TokenKind::Name(self.name()),
            _ => self.mark(first),
        };
        Ok(Token { offset, kind })
    }

    fn skip_blanks(&mut self) -> Result<(), SelectorError> {
        loop {
            let rest = self.cursor.rest();
            let blanks = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
            if blanks > 0 {
                self.cursor.skip(blanks);
            } else if rest.starts_with("//") {
                self.cursor.skip(rest.find('\n').unwrap_or(rest.len()));
            } else if let Some(inside) = rest.strip_prefix("/*") {
                let length = inside.find("*/").ok_or_else(|| {
                    SelectorError::syntax(self.cursor.at(), "the comment that starts here is not closed")
                })?;
                self.cursor.skip(length + 4);
            } else {
                return Ok(());
            }
        }
    }

    fn name(&mut self) -> &'a str {
        let rest = self.cursor.rest();
        let end = rest.find(|c: char| !is_name_start(c) && !c.is_numeric()).unwrap_or(rest.len());
        self.cursor.skip(end);
        rest.get(..end).unwrap_or_default()
    }

    fn mark(&mut self, first: char) -> TokenKind<'a> {
        let rest = self.cursor.rest();
        if let Some(mark) = MARKS.into_iter().find(|mark| rest.starts_with(mark)) {
            self.cursor.skip(mark.len());
            TokenKind::Mark(mark)
        } else {
            self.cursor.next();
            TokenKind::Other(first)
        }
    }

    /// A double-quoted string, the position standing on its opening quote.
    fn quoted(&mut self) -> Result<Vec<u8>, SelectorError> {
        let start = self.cursor.at();
        self.cursor.next();
        let mut value = Vec::new();
        loop {
            match self.cursor.next() {
                Some('"') => return Ok(value),
                Some('\\') => self.escape(&mut value)?,
                None | Some('\n') => {
                    return Err(SelectorError::syntax(start, "the string that starts here is not closed"));
                }
                Some(other) => push(&mut value, other),
            }
        }
    }

    /// What follows a backslash: Go's escapes and no others, since an unknown one is most often a regex's backslash
    /// that must be doubled.
    fn escape(&mut self, value: &mut Vec<u8>) -> Result<(), SelectorError> {
        let start = self.cursor.at() - 1;
        let octal = matches!(self.cursor.peek(), Some('0'..='7'));
        let read = if octal { self.byte(3, 8) } else { self.named_or_hex() };
        match read {
            Some(Escaped::Byte(byte)) => value.push(byte),
            Some(Escaped::Character(character)) => push(value, character),
            None => {
                let written = self.cursor.since(start);
                let hint = r"write `\\` for a backslash that belongs to a regular expression";
                let problem = format!("invalid escape `{written}` in a string; {hint}");
                return Err(SelectorError::syntax(start, problem));
            }
        }
        Ok(())
    }

    fn named_or_hex(&mut self) -> Option<Escaped> {
        let byte = match self.cursor.next()? {
            'a' => 0x07,
            'b' => 0x08,
            'f' => 0x0C,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 0x0B,
            '\\' => b'\\',
            '"' => b'"',
            'x' => return self.byte(2, 16),
            'u' => return self.digits(4, 16).and_then(char::from_u32).map(Escaped::Character),
            'U' => return self.digits(8, 16).and_then(char::from_u32).map(Escaped::Character),
            _ => return None,
        };
        Some(Escaped::Byte(byte))
    }

    /// A byte by its number, which alone need not be UTF-8.
    fn byte(&mut self, count: usize, radix: u32) -> Option<Escaped> {
        self.digits(count, radix).and_then(|number| u8::try_from(number).ok()).map(Escaped::Byte)
    }

    /// Exactly `count` digits.
    fn digits(&mut self, count: usize, radix: u32) -> Option<u32> {
        let mut number: u32 = 0;
        for _ in 0..count {
            let digit = self.cursor.peek()?.to_digit(radix)?;
            self.cursor.next();
            number = number.checked_mul(radix)?.checked_add(digit)?;
        }
        Some(number)
    }
}

fn is_name_start(character: char) -> bool {
    character == '_' || character.is_alphabetic()
}

fn push(value: &mut Vec<u8>, character: char) {
    value.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}
