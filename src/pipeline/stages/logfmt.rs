//! `logfmt`: extracts values from `key=value` texts.
//! In: the line, or an extracted text.  Out: extracted texts.  Owns: the mapping.

use std::iter::Peekable;
use std::str::CharIndices;

use crate::config::{Invalid, Kind, Node, Table, row};
use crate::pipeline::compile::Compiler;
use crate::pipeline::entry::{Entry, Symbol, Value};
use crate::pipeline::lane::Context;
use crate::pipeline::stages::{Flow, Options, Stage, StageKind, json};

pub(crate) const KIND: StageKind = StageKind {
    name: "logfmt",
    about: "Extracts values from `key=value` texts",
    options: Options::Block(&OPTIONS),
    build,
};

static OPTIONS: Table = Table(&[
    row("mapping", Kind::Labels, "", "Required: names, and the key for each; nothing is the name itself"),
    row("source", Kind::Text, "", "Extracted value to read instead of the line"),
]);

#[derive(Debug)]
struct Logfmt {
    /// Key in the text, and the name its value is extracted under. Several names may take one key.
    mapping: Vec<(String, Symbol)>,
    source: Option<Symbol>,
}

fn build(options: &Node, compiler: &mut Compiler<'_>) -> Result<(), Invalid> {
    let block = options.options(&OPTIONS)?;
    let node = block.required("mapping")?;
    let mut mapping = Vec::new();
    for (name, key) in node.entries()? {
        let name = name.strict_text()?;
        let key = if key.is_null() || key.text()?.is_empty() { name } else { key.strict_text()? };
        mapping.push((key.to_owned(), compiler.symbol(name)));
    }
    if mapping.is_empty() {
        return Err(node.invalid("`mapping` names nothing to extract"));
    }
    let source = json::source(&block, compiler)?;
    compiler.add(Logfmt { mapping, source });
    Ok(())
}

/// The text is no logfmt from some place on.
#[derive(Debug)]
struct NotLogfmt;

/// Calls `found` for each pair, until the end or the first thing that is not logfmt: what came before counts.
fn pairs(text: &str, mut found: impl FnMut(&str, &str)) -> Result<(), NotLogfmt> {
    let mut rest = text.char_indices().peekable();
    loop {
        while rest.next_if(|(_, c)| *c <= ' ').is_some() {}
        if rest.peek().is_none() {
            return Ok(());
        }
        let key = word(text, &mut rest);
        match rest.peek() {
            Some((_, '"')) => return Err(NotLogfmt),
            Some((_, '=')) if key.is_empty() => return Err(NotLogfmt),
            Some((_, '=')) => drop(rest.next()),
            _ => {
                found(key, "");
                continue;
            }
        }
        if rest.next_if(|(_, c)| *c == '"').is_some() {
            let Some(value) = quoted(&mut rest) else { return Err(NotLogfmt) };
            found(key, &value);
        } else {
            let value = word(text, &mut rest);
            if rest.peek().is_some_and(|(_, c)| matches!(c, '=' | '"')) {
                return Err(NotLogfmt);
            }
            found(key, value);
        }
    }
}

/// The pairs, for the fuzzer; whether all of the text is logfmt.
#[cfg(any(fuzzing, test))]
pub(crate) fn logfmt_pairs(text: &str, found: impl FnMut(&str, &str)) -> bool {
    pairs(text, found).is_ok()
}

/// What stands before the next blank, `=` or `"`.
fn word<'t>(text: &'t str, rest: &mut Peekable<CharIndices<'_>>) -> &'t str {
    let mut place = || rest.peek().map_or(text.len(), |(at, _)| *at);
    let start = place();
    while rest.next_if(|(_, c)| *c > ' ' && !matches!(c, '=' | '"')).is_some() {}
    let end = rest.peek().map_or(text.len(), |(at, _)| *at);
    &text[start..end]
}

/// The value after an opening quote; `None` when it does not end or holds an escape that JSON does not know.
fn quoted(rest: &mut Peekable<CharIndices<'_>>) -> Option<String> {
    let mut value = String::new();
    loop {
        match rest.next()?.1 {
            '"' => return Some(value),
            '\\' => value.push(match rest.next()?.1 {
                c @ ('"' | '\\' | '/' | '\'') => c,
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => unicode(rest)?,
                _ => return None,
            }),
            c => value.push(c),
        }
    }
}

/// Four hexadecimal digits, and a second escape where they are half of a surrogate pair.
fn unicode(rest: &mut Peekable<CharIndices<'_>>) -> Option<char> {
    let first = hex(rest)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Some(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    let mut ahead = rest.clone();
    if ahead.next().map(|(_, c)| c) == Some('\\') && ahead.next().map(|(_, c)| c) == Some('u') {
        let second = hex(&mut ahead)?;
        if (0xdc00..0xe000).contains(&second) {
            *rest = ahead;
            return char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00));
        }
    }
    Some(char::REPLACEMENT_CHARACTER)
}

fn hex(rest: &mut Peekable<CharIndices<'_>>) -> Option<u32> {
    (0..4).try_fold(0, |value, _| Some(value * 16 + rest.next()?.1.to_digit(16)?))
}

impl Stage for Logfmt {
    fn apply<'s>(&'s self, entry: &mut Entry, context: &mut Context<'_>) -> Flow<'s> {
        let Some(input) = entry.input(self.source) else { return Flow::Continue };
        // Up to the first byte that is not UTF-8, which is no logfmt either.
        let text = entry.bytes(input).utf8_chunks().next().map_or("", |chunk| chunk.valid()).to_owned();
        // A line end separates pairs like any blank: several records in one text are all read.
        let read = pairs(&text, |key, value| {
            for (_, name) in self.mapping.iter().filter(|(wanted, _)| wanted == key) {
                let span = entry.store(value.as_bytes());
                entry.extract(*name, Value::Text(span));
            }
        });
        if read.is_err() || text.len() < entry.bytes(input).len() {
            context.fail("no logfmt from some place on");
        }
        Flow::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let mut all = Vec::new();
        drop(pairs(text, |key, value| all.push(format!("{key}→{value}"))));
        all.join(" ")
    }

    #[test]
    fn pairs_are_read_as_far_as_they_are_logfmt() {
        assert_eq!(shown(r#"a=1 b="x \"y\" \u00e9\ud83d\ude00" c d= e=f"#), "a→1 b→x \"y\" é😀 c→ d→ e→f");
        assert_eq!(shown("a=1\nb=2"), "a→1 b→2");
        for broken in ["a=1 b=x=y c=2", "a=1 b=\"open", "a=1 =2", "a=1 \"b\"=2", r#"a=1 b="\x""#] {
            assert_eq!(shown(broken), "a→1", "{broken}");
        }
        assert_eq!(shown(""), "");
    }

    proptest::proptest! {
        #[test]
        fn no_text_can_panic_it(text in "[a-c=\" \\\\u0-9é\n]{0,40}") {
            shown(&text);
        }
    }
}
