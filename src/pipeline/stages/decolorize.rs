//! `decolorize`: removes terminal colours and other escape sequences.
//! In: the line.  Out: the line without them.  Owns: the expression.

use std::borrow::Cow;

use crate::config::{Invalid, Node, Table};
use crate::pipeline::compile::Compiler;
use crate::pipeline::entry::Entry;
use crate::pipeline::lane::Context;
use crate::pipeline::stages::{Flow, Options, Stage, StageKind};

pub(crate) const KIND: StageKind = StageKind {
    name: "decolorize",
    about: "Removes terminal colours",
    options: Options::Block(&OPTIONS),
    build,
};

static OPTIONS: Table = Table(&[]);

/// ESC or the one-character CSI, then a text that ends in BEL, or numbers and a final letter.
const SEQUENCE: &str = concat!(
    "[\u{1b}\u{9b}][\\[\\]()#;?]*",
    "(?:(?:(?:[a-zA-Z0-9]*(?:;[a-zA-Z0-9]*)*)?\u{7})",
    "|(?:(?:[0-9]{1,4}(?:;[0-9]{0,4})*)?[0-9A-PRZcf-ntqry=><~]))"
);

#[derive(Debug)]
struct Decolorize {
    sequence: ::regex::bytes::Regex,
}

fn build(options: &Node, compiler: &mut Compiler<'_>) -> Result<(), Invalid> {
    options.options(&OPTIONS)?;
    let sequence =
        ::regex::bytes::Regex::new(SEQUENCE).map_err(|error| options.invalid(error.to_string()))?;
    compiler.add(Decolorize { sequence });
    Ok(())
}

impl Stage for Decolorize {
    fn apply<'s>(&'s self, entry: &mut Entry, _: &mut Context<'_>) -> Flow<'s> {
        let plain = match self.sequence.replace_all(entry.line_bytes(), b"".as_slice()) {
            Cow::Borrowed(_) => return Flow::Continue,
            Cow::Owned(plain) => plain,
        };
        entry.line = entry.store(&plain);
        Flow::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_cursor_movements_are_removed() {
        let sequence = ::regex::bytes::Regex::new(SEQUENCE).unwrap();
        let plain = |text: &str| {
            String::from_utf8_lossy(&sequence.replace_all(text.as_bytes(), b"".as_slice())).into_owned()
        };
        assert_eq!(plain("\u{1b}[31;1mred\u{1b}[0m \u{9b}2Kline"), "red line");
        assert_eq!(plain("\u{1b}]0;title\u{7}text"), "text");
        assert_eq!(plain("no colours é"), "no colours é");
    }
}
