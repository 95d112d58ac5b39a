//! Text as a value: borrowed from the line or the template, or made and shared.
//! In: slices and strings.  Out: something that reads as `str` and is cheap to copy.  Owns: the made ones.
//!
//! `Cow` would copy a made text with each reading of a variable; one loop could then fill the memory.

use std::ops::Deref;
use std::rc::Rc;

/// See the module.
#[derive(Debug, Clone)]
pub(super) enum Text<'a> {
    Borrowed(&'a str),
    Made(Rc<str>),
}

impl<'a> Text<'a> {
    /// A part of the text, still borrowed if it was.
    pub(super) fn part(&self, cut: impl for<'s> FnOnce(&'s str) -> &'s str) -> Text<'a> {
        match self {
            Text::Borrowed(text) => Text::Borrowed(cut(text)),
            Text::Made(text) => {
                let part = cut(text);
                if part.len() == text.len() { Text::Made(Rc::clone(text)) } else { Text::Made(part.into()) }
            }
        }
    }

    /// Bytes that nobody else holds: what was just made.
    pub(super) fn own_bytes(&self) -> usize {
        match self {
            Text::Made(text) if Rc::strong_count(text) == 1 => text.len(),
            _ => 0,
        }
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Text::Borrowed(text) => text,
            Text::Made(text) => text,
        }
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Text::Borrowed(text)
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Text::Made(text.into())
    }
}
