//! YAML as a tree that remembers where each thing stood.
//! In: the text of a configuration file.  Out: [`Node`]s, anchors and merge keys resolved.  Owns: nothing.
//!
//! A tree of our own, and not a serde layer, because the positions, the spelling of scalars (`007`, `yes`) and the
//! keys nobody asked for all matter to what is said about a configuration.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError};

use crate::config::diagnostic::{Invalid, Position, lines};
use crate::config::lenient::Lenient;

/// Depth and node count a file may reach; aliases multiply, so the count is taken after they are resolved.
const MAX_DEPTH: usize = 64;
const MAX_NODES: usize = 200_000;

/// One YAML value and where it starts. Two that say the same are equal, wherever they stand.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) at: Position,
}

/// What stands at a node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// A scalar; `plain` when written without quotes, so that its text may mean a number, a boolean or null.
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<Node>),
    /// Keys are always scalars; order as written.
    Mapping(Vec<(Node, Node)>),
}

impl PartialEq for Node {
    fn eq(&self, other: &Node) -> bool {
        self.value == other.value
    }
}

/// Nothing at all, for blocks that are not there.
pub(crate) static NOTHING: Node =
    Node { value: Value::Scalar { text: String::new(), plain: true }, at: Position::START };

impl Node {
    /// Puts a scalar at a path of keys, making mappings on the way: what a flag says over what the file says.
    pub(crate) fn set(&mut self, path: &[&str], text: &str) {
        let at = Position::COMMAND_LINE;
        let scalar = |text: &str| Node { value: Value::Scalar { text: text.to_owned(), plain: true }, at };
        let Some((key, rest)) = path.split_first() else {
            *self = scalar(text);
            return;
        };
        if !matches!(self.value, Value::Mapping(_)) {
            *self = Node { value: Value::Mapping(Vec::new()), at };
        }
        let Value::Mapping(entries) = &mut self.value else { return };
        let known = entries.iter().position(|(name, _)| name.scalar() == Some(*key));
        let index = known.unwrap_or_else(|| {
            entries.push((scalar(key), NOTHING.clone()));
            entries.len() - 1
        });
        entries[index].1.set(rest, text);
    }

    /// What stands under a key; nothing where there is no such key, or no mapping.
    pub(crate) fn under(&self, key: &str) -> &Node {
        match &self.value {
            Value::Mapping(entries) => find(entries, key).unwrap_or(&NOTHING),
            _ => &NOTHING,
        }
    }

    /// True for nothing at all, `~` and `null`.
    pub(crate) fn is_null(&self) -> bool {
        let Value::Scalar { text, plain: true } = &self.value else { return false };
        matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// What kind of thing this is, for error messages.
    pub(crate) fn describe(&self) -> &'static str {
        match &self.value {
            _ if self.is_null() => "nothing",
            Value::Scalar { .. } => "a single value",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
        }
    }
}

/// Reads one document. An empty file is null.
pub(crate) fn parse(text: &str) -> Result<Node, Invalid> {
    let widths: Vec<usize> = lines(text).map(|line| line.chars().count()).collect();
    let mut lenient = Lenient::new(text);
    loop {
        let parser = Parser::new_from_str(&lenient.text);
        let mut loader = Loader {
            parser,
            widths: &widths,
            anchors: HashMap::new(),
            nodes: 0,
            lenient: &lenient,
            refused: None,
        };
        let read = loader.document();
        match loader.refused.take() {
            Some(refused) if lenient.rewrite(&refused) => {}
            _ => return read,
        }
    }
}

struct Loader<'t, I: saphyr_parser::Input> {
    parser: Parser<'t, I>,
    /// Characters in each line.
    widths: &'t [usize],
    anchors: HashMap<usize, Node>,
    nodes: usize,
    /// What was done to the text before.
    lenient: &'t Lenient<'t>,
    /// What is no YAML.
    refused: Option<ScanError>,
}

impl<'t, I: saphyr_parser::Input> Loader<'t, I> {
    fn document(&mut self) -> Result<Node, Invalid> {
        let mut root = None;
        loop {
            let (event, at) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                // A line `---` at the end begins a document without anything in it.
                Event::Scalar(text, ScalarStyle::Plain, ..) if root.is_some() && text.is_empty() => {}
                _ if root.is_some() => {
                    return Err(Invalid::new(at, "a configuration is one YAML document, this is a second"));
                }
                event => root = Some(self.node(event, at, 0)?),
            }
        }
        Ok(root.unwrap_or_else(|| NOTHING.clone()))
    }

    fn next(&mut self) -> Result<(Event<'t>, Position), Invalid> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, self.position(span.start))),
            Some(Err(error)) => {
                let message = format!("not YAML: {}", error.info());
                let invalid = Invalid::new(self.position(*error.marker()), message);
                self.refused = Some(error);
                Err(invalid)
            }
            None => Ok((Event::StreamEnd, Position::START)),
        }
    }

    /// The place of a marker within the text as it was given: the parser counts a line more at the end, and columns more
    /// behind what it does not print.
    fn position(&self, marker: Marker) -> Position {
        let line = marker.line().min(self.widths.len());
        let end = self.widths.get(line.saturating_sub(1)).copied().unwrap_or_default() + 1;
        let column = self.lenient.column(marker.line(), marker.col() + 1);
        let column = if line < marker.line() { end } else { end.min(column) };
        Position { line: line.max(1), column }
    }

    fn node(&mut self, event: Event<'t>, at: Position, depth: usize) -> Result<Node, Invalid> {
        self.nodes += 1;
        if depth > MAX_DEPTH || self.nodes > MAX_NODES {
            return Err(Invalid::new(at, "nested too deeply, or too large after its aliases are resolved"));
        }
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                // `!!str 5` is a text like '5'.
                let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
                let plain = style == ScalarStyle::Plain && !is_text;
                (Value::Scalar { text: text.into_owned(), plain }, anchor)
            }
            Event::SequenceStart(anchor, _tag) => (self.sequence(depth)?, anchor),
            Event::MappingStart(anchor, _tag) => (self.mapping(depth)?, anchor),
            Event::Alias(anchor) => return self.alias(anchor, at),
            _ => return Err(Invalid::new(at, "not YAML: a value was expected here")),
        };
        let node = Node { value, at };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn alias(&mut self, anchor: usize, at: Position) -> Result<Node, Invalid> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(Invalid::new(at, "this alias refers to an anchor that is not complete"));
        };
        self.nodes += count(node);
        if self.nodes > MAX_NODES {
            return Err(Invalid::new(at, "too large after its aliases are resolved"));
        }
        Ok(node.clone())
    }

    fn sequence(&mut self, depth: usize) -> Result<Value, Invalid> {
        let mut items = Vec::new();
        loop {
            let (event, at) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(Value::Sequence(items));
            }
            items.push(self.node(event, at, depth + 1)?);
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, Invalid> {
        let mut entries: Vec<(Node, Node)> = Vec::new();
        let mut merged = Vec::new();
        loop {
            let (event, at) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key = self.node(event, at, depth + 1)?;
            let (event, at) = self.next()?;
            let value = self.node(event, at, depth + 1)?;
            let Value::Scalar { text: name, plain } = &key.value else {
                return Err(Invalid::new(key.at, "a key must be a single value"));
            };
            if name == "<<" && *plain {
                merged.extend(merge_entries(value)?);
            } else if find(&entries, name).is_some() {
                return Err(
                    Invalid::new(key.at, format!("the key `{name}` stands here a second time")).marking(name)
                );
            } else {
                entries.push((key, value));
            }
        }
        // A key written out wins over a merged one, an earlier merge over a later.
        for (key, value) in merged {
            let Value::Scalar { text: name, .. } = &key.value else { continue };
            if find(&entries, name).is_none() {
                entries.push((key, value));
            }
        }
        Ok(Value::Mapping(entries))
    }
}

fn merge_entries(value: Node) -> Result<Vec<(Node, Node)>, Invalid> {
    match value.value {
        Value::Mapping(entries) => Ok(entries),
        Value::Sequence(items) => items
            .into_iter()
            .map(merge_entries)
            .collect::<Result<Vec<_>, _>>()
            .map(|all| all.into_iter().flatten().collect()),
        Value::Scalar { .. } => Err(Invalid::new(value.at, "`<<` takes a mapping or a list of mappings")),
    }
}

fn find<'n>(entries: &'n [(Node, Node)], name: &str) -> Option<&'n Node> {
    let same = |key: &Node| matches!(&key.value, Value::Scalar { text, .. } if text == name);
    entries.iter().find(|(key, _)| same(key)).map(|(_, value)| value)
}

fn count(node: &Node) -> usize {
    match &node.value {
        Value::Scalar { .. } => 1,
        Value::Sequence(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Mapping(entries) => {
            1 + entries.iter().map(|(key, value)| count(key) + count(value)).sum::<usize>()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(node: &Node) -> String {
        match &node.value {
            Value::Scalar { text, plain } => format!("{}{text}", if *plain { "" } else { "'" }),
            Value::Sequence(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
            Value::Mapping(entries) => {
                let shown = entries.iter().map(|(key, value)| format!("{}={}", show(key), show(value)));
                format!("{{{}}}", shown.collect::<Vec<_>>().join(" "))
            }
        }
    }

    #[test]
    fn scalars_keep_their_spelling_and_their_quotes() {
        assert_eq!(
            show(&parse("a: 007\nb: 'yes'\nc: [1.50, \"x\"]\nd:\ne: !!str 5\n").unwrap()),
            "{a=007 b='yes c=[1.50 'x] d= e='5}"
        );
    }

    #[test]
    fn anchors_and_merge_keys_are_resolved() {
        let text = "base: &b {x: 1, y: 2}\nuse: {<<: *b, y: 3}\n";
        assert_eq!(show(&parse(text).unwrap()), "{base={x=1 y=2} use={y=3 x=1}}");
    }

    #[test]
    fn a_repeated_key_and_broken_syntax_are_refused_where_they_stand() {
        assert_eq!(parse("a: 1\nb: 2\na: 3\n").unwrap_err().at, Position { line: 3, column: 1 });
        assert_eq!(parse("a: 1\nb").unwrap_err().at, Position { line: 2, column: 2 });
        assert_eq!(parse("? # x").unwrap().entries().unwrap()[0].0.at, Position { line: 1, column: 6 });
        assert_eq!(parse("%a\u{2028}b\u{10}").unwrap_err().at, Position { line: 1, column: 6 });
        assert!(parse("a: [1\nb: 2\n").is_err());
        assert!(parse("a: b: c").is_err());
    }

    #[test]
    fn aliases_that_multiply_are_stopped() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            let before = level - 1;
            let list = vec![format!("*a{before}"); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{list}]\n"));
        }
        assert!(parse(&text).unwrap_err().to_string().contains("too large"));
    }

    #[test]
    fn a_flag_is_put_over_what_the_file_says() {
        let mut root = parse("server: {log_level: info, x: 1}\n").unwrap();
        root.set(&["server", "log_level"], "debug");
        root.set(&["positions", "filename"], "/p");
        assert_eq!(show(&root), "{server={log_level=debug x=1} positions={filename=/p}}");
    }

    #[test]
    fn what_says_the_same_is_equal_wherever_it_stands() {
        let same = |one: &str, other: &str| parse(one).unwrap() == parse(other).unwrap();
        assert!(same("a: {b: 1, c: [x]}\n", "# moved\na:\n  b: 1\n  c:\n  - x\n"));
        assert!(!same("a: 1\n", "a: '1'\n"), "one may be a number, the other is a text");
        assert_eq!(parse("a: {b: c}\n").unwrap().under("a").under("b").scalar(), Some("c"));
        assert!(parse("a: b\n").unwrap().under("a").under("b").is_null());
    }

    #[test]
    fn an_empty_file_is_null() {
        assert!(parse("# only a comment\n").unwrap().is_null());
    }

    #[test]
    fn what_only_libyaml_takes_is_taken() {
        for (text, shown) in [
            ("a: [\nb,\n{c: d}\n]\ne: f\n", "{a=[b {c=d}] e=f}"),
            ("a:\n  b:\n    c: [x,\n  y,\nz\n  ]\n    d: e\n", "{a={b={c=[x y z] d=e}}}"),
            ("a:\n  b: \"x\ny\\\"\n\n z\"\n  c: d\n", "{a={b='x y\"\nz c=d}}"),
            ("a:\n  b: 'x''\ny'\n  c: d\n", "{a={b='x' y c=d}}"),
            ("a:\tb\nc:\t \td\ne: f\n", "{a=b c=d e=f}"),
            ("a: \"don\\'t \\\\'\"\n", "{a='don't \\'}"),
            ("a: b\n---\n# end\n", "{a=b}"),
        ] {
            assert_eq!(show(&parse(text).unwrap()), shown, "{text}");
        }
    }

    #[test]
    fn what_libyaml_refuses_too_is_refused_where_it_stands() {
        for (text, line, column) in [
            ("a: [\n b: [c\n]\n", 4, 1),
            ("a:\n  b: c\n d: e\n", 3, 2),
            ("a: \"\\d\"\n", 1, 4),
            ("a: [\nb, b: c: d]\n", 2, 8),
            ("a: b\n---\nc: d\n", 3, 1),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.at, Position { line, column }, "{text}: {error}");
        }
    }
}
