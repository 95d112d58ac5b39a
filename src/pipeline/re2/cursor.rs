//! A reading position in a text: expressions are read through it, and selectors.
//! In: the text.  Out: its characters, one at a time, with their byte offsets.  Owns: the position.

/// Reads a text left to right; offsets are bytes and always lie between characters.
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The byte offset of the next character.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Everything not yet read.
    pub(crate) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// What was read since `start`, for quoting in an error.
    pub(crate) fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Everything from `start` to the end of the text, for quoting what was never closed.
    pub(crate) fn all_from(&self, start: usize) -> &'a str {
        self.text.get(start..).unwrap_or_default()
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(crate) fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    /// Steps over `expected` if it comes next.
    pub(crate) fn eat(&mut self, expected: &str) -> bool {
        let found = self.rest().starts_with(expected);
        if found {
            self.at += expected.len();
        }
        found
    }

    /// Steps over `length` bytes, which the caller has just measured in [`Cursor::rest`].
    pub(crate) fn skip(&mut self, length: usize) {
        self.at += length;
    }
}
