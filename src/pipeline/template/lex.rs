//! Cuts a template into tokens.
//! In: the text.  Out: literal text and the words of the actions, or the first thing that is neither.
//! Owns: the position.
//!
//! Trim markers and comments are settled here; the parser never sees them. Blanks inside actions are tokens, because
//! `.a.b` and `.a .b` differ.

use super::error::TemplateError;

const OPEN: &str = "{{";
const CLOSE: &str = "}}";
const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text outside actions.
    Text,
    Open,
    Close,
    Blank,
    /// A function or a keyword.
    Word,
    /// `.name`, with its dot.
    Field,
    /// `$name`, with its dollar.
    Variable,
    Dot,
    /// Digits or a quoted character.
    Number,
    /// With its quotes.
    Quoted,
    Pipe,
    LeftParen,
    RightParen,
    /// `:=`
    Declare,
    /// `=`
    Assign,
    Comma,
    End,
}

/// A piece of the template.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'t> {
    pub(super) kind: Kind,
    pub(super) offset: usize,
    pub(super) text: &'t str,
}

/// The whole template in tokens, closed by an `End`.
pub(super) fn lex(text: &str) -> Result<Vec<Token<'_>>, TemplateError> {
    let mut lexer = Lexer { text, at: 0, parens: 0, tokens: Vec::new(), trims_next: false };
    while lexer.outside()? {
        lexer.inside()?;
    }
    lexer.emit(Kind::End, 0);
    Ok(lexer.tokens)
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    parens: usize,
    tokens: Vec<Token<'t>>,
    /// The last action ended with a trim marker.
    trims_next: bool,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn fail<T>(&self, offset: usize, problem: impl Into<String>) -> Result<T, TemplateError> {
        Err(TemplateError::new(self.text, offset, problem))
    }

    fn emit(&mut self, kind: Kind, length: usize) {
        let text = self.rest().get(..length).unwrap_or("");
        self.tokens.push(Token { kind, offset: self.at, text });
        self.at += text.len();
    }

    /// Literal text up to the next action that is no comment; whether there is one.
    fn outside(&mut self) -> Result<bool, TemplateError> {
        loop {
            let rest = self.rest();
            let open = rest.find(OPEN);
            let mut literal = open.map_or(rest, |end| &rest[..end]);
            let skipped =
                if self.trims_next { literal.len() - literal.trim_start_matches(BLANKS).len() } else { 0 };
            self.at += skipped;
            literal = &literal[skipped..];
            let full_length = literal.len();
            let after_open = open.map_or("", |open| &rest[open + OPEN.len()..]);
            let trims = starts_with_trim_marker(after_open);
            if trims {
                literal = literal.trim_end_matches(BLANKS);
            }
            if !literal.is_empty() {
                self.emit(Kind::Text, literal.len());
            }
            self.at += full_length - literal.len();
            if open.is_none() {
                return Ok(false);
            }
            let marker = if trims { 2 } else { 0 };
            if !after_open[marker..].starts_with("/*") {
                self.emit(Kind::Open, OPEN.len());
                self.at += marker;
                self.parens = 0;
                return Ok(true);
            }
            self.comment(OPEN.len() + marker)?;
        }
    }

    /// Passes over `{{/* */}}`, of which `lead` bytes stand before the slash.
    fn comment(&mut self, lead: usize) -> Result<(), TemplateError> {
        let start = self.at;
        let inside = &self.rest()[lead + 2..];
        let Some(length) = inside.find("*/") else { return self.fail(start, "unclosed comment") };
        let after = &inside[length + 2..];
        let (marker, trims) = if ends_with_trim_marker(after) { (2, true) } else { (0, false) };
        if !after[marker..].starts_with(CLOSE) {
            return self.fail(start, "a comment must fill its action: `{{/* text */}}`");
        }
        self.trims_next = trims;
        self.at += lead + 2 + length + 2 + marker + CLOSE.len();
        Ok(())
    }

    /// The words of one action.
    fn inside(&mut self) -> Result<(), TemplateError> {
        loop {
            let rest = self.rest();
            let trims = ends_with_trim_marker(rest);
            if trims || rest.starts_with(CLOSE) {
                if self.parens > 0 {
                    return self.fail(self.at, "unclosed left parenthesis");
                }
                self.at += if trims { 2 } else { 0 };
                self.trims_next = trims;
                self.emit(Kind::Close, CLOSE.len());
                return Ok(());
            }
            let Some(first) = rest.chars().next() else { return self.fail(self.at, "unclosed action") };
            self.word(first)?;
        }
    }

    fn word(&mut self, first: char) -> Result<(), TemplateError> {
        let rest = self.rest();
        match first {
            _ if BLANKS.contains(&first) => self.blank(),
            '=' => self.emit(Kind::Assign, 1),
            ':' if rest.starts_with(":=") => self.emit(Kind::Declare, 2),
            '|' => self.emit(Kind::Pipe, 1),
            ',' => self.emit(Kind::Comma, 1),
            '"' => return self.quoted('"', "unterminated quoted text", Kind::Quoted),
            '`' => return self.raw(),
            '\'' => return self.quoted('\'', "unterminated character", Kind::Number),
            '(' => {
                self.parens += 1;
                self.emit(Kind::LeftParen, 1);
            }
            ')' => {
                self.parens = match self.parens.checked_sub(1) {
                    Some(parens) => parens,
                    None => return self.fail(self.at, "unexpected right parenthesis"),
                };
                self.emit(Kind::RightParen, 1);
            }
            '.' if !rest[1..].starts_with(|next: char| next.is_ascii_digit()) => return self.field(),
            '$' => return self.named(Kind::Variable, 1 + name_length(&rest[1..])),
            '.' | '+' | '-' | '0'..='9' => return self.number(),
            _ if is_name(first) => return self.named(Kind::Word, name_length(rest)),
            _ => return self.fail(self.at, format!("unexpected character {first:?} in an action")),
        }
        Ok(())
    }

    /// A run of blanks, short of one that belongs to a closing trim marker.
    fn blank(&mut self) {
        let rest = self.rest();
        let mut length = rest.len() - rest.trim_start_matches(BLANKS).len();
        if length > 1 && ends_with_trim_marker(&rest[length - 1..]) {
            length -= 1;
        }
        self.emit(Kind::Blank, length);
    }

    fn quoted(&mut self, quote: char, unterminated: &str, kind: Kind) -> Result<(), TemplateError> {
        let mut escaped = false;
        for (at, character) in self.rest().char_indices().skip(1) {
            match character {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                _ if character == quote => {
                    self.emit(kind, at + 1);
                    return Ok(());
                }
                _ => {}
            }
        }
        self.fail(self.at, unterminated)
    }

    fn raw(&mut self) -> Result<(), TemplateError> {
        match self.rest()[1..].find('`') {
            Some(length) => {
                self.emit(Kind::Quoted, length + 2);
                Ok(())
            }
            None => self.fail(self.at, "unterminated raw text"),
        }
    }

    fn field(&mut self) -> Result<(), TemplateError> {
        match name_length(&self.rest()[1..]) {
            0 => self.named(Kind::Dot, 1),
            length => self.named(Kind::Field, 1 + length),
        }
    }

    /// A name must be followed by something that ends it.
    fn named(&mut self, kind: Kind, length: usize) -> Result<(), TemplateError> {
        let after = &self.rest()[length..];
        let ends = match after.chars().next() {
            None => true,
            // `{{.}a` is no dot followed by a name; a lone dot ends itself.
            Some(_) if kind == Kind::Dot => true,
            Some(next) => BLANKS.contains(&next) || ".,|:)(".contains(next) || after.starts_with(CLOSE),
        };
        if !ends {
            let next = after.chars().next().unwrap_or(' ');
            return self.fail(self.at + length, format!("unexpected character {next:?} after a name"));
        }
        self.emit(kind, length);
        Ok(())
    }

    fn number(&mut self) -> Result<(), TemplateError> {
        let rest = self.rest();
        let mut length = usize::from(rest.starts_with(['+', '-']));
        for character in rest[length..].chars() {
            let sign_of_exponent = matches!(character, '+' | '-')
                && rest[..length].ends_with(['e', 'E', 'p', 'P'])
                && !rest[..length].to_ascii_lowercase().contains("0x");
            if !(is_name(character) || character == '.' || sign_of_exponent) {
                break;
            }
            length += character.len_utf8();
        }
        self.emit(Kind::Number, length);
        Ok(())
    }
}

fn is_name(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

fn name_length(text: &str) -> usize {
    text.find(|character| !is_name(character)).unwrap_or(text.len())
}

/// `- ` right after the opening braces.
fn starts_with_trim_marker(after_open: &str) -> bool {
    after_open.strip_prefix('-').is_some_and(|after| after.starts_with(BLANKS))
}

/// ` -` right before the closing braces.
fn ends_with_trim_marker(rest: &str) -> bool {
    let after_blank = rest.strip_prefix(BLANKS);
    after_blank.is_some_and(|after| after.strip_prefix('-').is_some_and(|after| after.starts_with(CLOSE)))
}
