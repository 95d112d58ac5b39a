//! Rewrites the few spellings that libyaml, and so Promtail, takes and our stricter parser does not.
//! In: the text and what the parser stumbled over.  Out: a text it can read that says the same.  Owns: what was moved.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::ScanError;

/// Deeper than any block: within brackets and quotes indentation means nothing.
const DEEP: usize = 256;

/// A file has no more of them; each costs another reading.
const MOST: usize = 500;

/// A text, made readable bit by bit.
pub(super) struct Lenient<'t> {
    pub(super) text: Cow<'t, str>,
    /// Lines that were moved to the right.
    moved: HashMap<usize, usize>,
    changes: usize,
}

impl<'t> Lenient<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Lenient { text: Cow::Borrowed(text), moved: HashMap::new(), changes: 0 }
    }

    /// The column in the text as it was written.
    pub(super) fn column(&self, line: usize, column: usize) -> usize {
        let moved = self.moved.get(&line).copied().unwrap_or_default();
        column.saturating_sub(moved).max(1)
    }

    /// Makes the place readable that the parser refused; false where it is no such place.
    pub(super) fn rewrite(&mut self, refused: &ScanError) -> bool {
        self.changes += 1;
        if self.changes > MOST {
            return false;
        }
        let (line, column) = (refused.marker().line(), refused.marker().col());
        match refused.info() {
            // Only within brackets; in a block such a line ends the block.
            "invalid indentation" => self.moves(line, line),
            "invalid indentation in quoted scalar" => {
                let Some(end) = self.quoted(line, column, |_| false) else { return false };
                self.moves(line + 1, end)
            }
            "':' must be followed by a valid YAML whitespace" => self.tabs(line, column),
            "while parsing a quoted scalar, found unknown escape character" => {
                let mut found = false;
                // `\'` is one of libyaml's escapes.
                self.quoted(line, column, |escaped| {
                    found |= escaped == '\'';
                    escaped == '\''
                })
                .is_some()
                    && found
            }
            _ => false,
        }
    }

    /// Moves lines to the right; blank ones stay.
    fn moves(&mut self, first: usize, last: usize) -> bool {
        let mut text = String::with_capacity(self.text.len() + DEEP);
        let mut any = false;
        for (index, line) in self.text.split_inclusive('\n').enumerate() {
            let number = index + 1;
            if (first..=last).contains(&number)
                && !line.trim().is_empty()
                && !self.moved.contains_key(&number)
            {
                text.push_str(&" ".repeat(DEEP));
                self.moved.insert(number, DEEP);
                any = true;
            }
            text.push_str(line);
        }
        self.text = Cow::Owned(text);
        any
    }

    /// Turns the tabs before a value into spaces.
    fn tabs(&mut self, line: usize, column: usize) -> bool {
        let Some(at) = self.byte(line, column) else { return false };
        let before = self.text[..at].trim_end_matches(['\t', ' ']).len();
        let spaces = " ".repeat(at - before);
        let any = self.text[before..at].contains('\t');
        self.text.to_mut().replace_range(before..at, &spaces);
        any
    }

    /// The line where the quoted text that begins here ends; backslashes are taken away where `drops` says so.
    fn quoted(&mut self, line: usize, column: usize, mut drops: impl FnMut(char) -> bool) -> Option<usize> {
        let start = self.byte(line, column)?;
        let quote = self.text[start..].chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let mut rest = self.text[start + 1..].char_indices().peekable();
        let mut needless = Vec::new();
        let end = loop {
            let (at, found) = rest.next()?;
            match found {
                '\\' if quote == '"' => {
                    let (_, escaped) = rest.next()?;
                    if drops(escaped) {
                        needless.push(start + 1 + at);
                    }
                }
                '\'' if quote == '\'' && rest.peek().is_some_and(|(_, next)| *next == '\'') => {
                    rest.next();
                }
                found if found == quote => break start + 1 + at,
                _ => {}
            }
        };
        let last = line + self.text[start..end].matches('\n').count();
        for at in needless.into_iter().rev() {
            self.text.to_mut().remove(at);
        }
        Some(last)
    }

    /// Where a place is in the text; `line` from 1, `column` from 0.
    fn byte(&self, line: usize, column: usize) -> Option<usize> {
        let start: usize = self.text.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
        let rest = self.text.get(start..)?;
        rest.char_indices().nth(column).map(|(at, _)| start + at)
    }
}
