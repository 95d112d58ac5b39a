//! Promtail's positions file as text, and Alloy's, which has labels in its keys.
//! In: the bytes of either.  Out: the position by key; the text Promtail reads.  Owns: nothing.
//!
//! Promtail keeps no checksum, and a flipped digit would move a position over lines that nobody has sent. So what is
//! written here begins with a comment that has one. Promtail drops the comment when it writes the file itself.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use saphyr_parser::{Event, Input, Parser};

/// How the first line of a file written here begins; the checksum of all other lines follows, in hexadecimal.
const CHECKSUM: &str = "# Kept for Promtail, checksum ";
const CHECKSUM_LENGTH: usize = 8;
/// How that line goes on.
const ADVICE: &str = ". Remove this line if you change another.";

/// Longer keys stand behind a `?`, as in Promtail's own files.
const LONGEST_SIMPLE_KEY: usize = 128;

/// What a positions file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Positions {
    /// Values as they are written; a position is a number.
    pub(super) entries: BTreeMap<String, String>,
    /// Written by Alloy.
    pub(super) of_alloy: bool,
}

/// Reads a file of either; the error says what is wrong with it.
pub(super) fn parse(bytes: &[u8]) -> Result<Positions, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8")?;
    // No YAML has them, and the parser takes a zero for the end.
    if text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err("it has control characters".to_owned());
    }
    check(text)?;
    let mut reader = Reader { parser: Parser::new_from_str(text), found: Positions::default() };
    reader.document()?;
    Ok(reader.found)
}

/// Compares the checksum, where there is one.
fn check(text: &str) -> Result<(), String> {
    let Some(rest) = text.strip_prefix(CHECKSUM) else { return Ok(()) };
    let (line, body) = rest.split_once('\n').unwrap_or((rest, ""));
    if line.get(..CHECKSUM_LENGTH) == Some(checksum(body).as_str()) {
        Ok(())
    } else {
        Err("its checksum does not match".to_owned())
    }
}

fn checksum(body: &str) -> String {
    format!("{:08x}", crc32fast::hash(body.as_bytes()))
}

struct Reader<'t, I: Input> {
    parser: Parser<'t, I>,
    found: Positions,
}

impl<'t, I: Input> Reader<'t, I> {
    fn next(&mut self) -> Result<Event<'t>, String> {
        match self.parser.next_event() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => {
                Err(format!("it is no YAML: {}, line {}", error.info(), error.marker().line()))
            }
            None => Ok(Event::StreamEnd),
        }
    }

    fn document(&mut self) -> Result<(), String> {
        let mut begun = false;
        loop {
            match self.next()? {
                Event::StreamEnd => return Ok(()),
                Event::StreamStart | Event::DocumentEnd | Event::Nothing => {}
                Event::DocumentStart(_) if !std::mem::replace(&mut begun, true) => {}
                Event::Scalar(text, ..) if is_nothing(&text) => {}
                Event::MappingStart(..) => self.top()?,
                _ => return Err("it is not one mapping".to_owned()),
            }
        }
    }

    /// `positions` is the only key there is; another file is not taken for one without positions.
    fn top(&mut self) -> Result<(), String> {
        loop {
            match self.next()? {
                Event::MappingEnd => return Ok(()),
                Event::Scalar(key, ..) if key == "positions" => {}
                _ => return Err("it has other keys than `positions`".to_owned()),
            }
            match self.next()? {
                Event::Scalar(text, ..) if is_nothing(&text) => {}
                Event::MappingStart(..) => self.entries()?,
                _ => return Err("`positions` is no mapping".to_owned()),
            }
        }
    }

    fn entries(&mut self) -> Result<(), String> {
        loop {
            let key = match self.next()? {
                Event::MappingEnd => return Ok(()),
                Event::Scalar(key, ..) => key.into_owned(),
                Event::MappingStart(..) => self.key_of_alloy()?,
                _ => return Err("a key is neither a text nor a mapping".to_owned()),
            };
            let value = self.scalar()?;
            match self.found.entries.entry(key) {
                Entry::Vacant(vacant) => drop(vacant.insert(value)),
                // Alloy has an entry for each label set. From the first of them on nothing is lost.
                Entry::Occupied(mut known) if number(&value) < number(known.get()) => {
                    known.insert(value);
                }
                Entry::Occupied(_) => {}
            }
        }
    }

    /// The path of `{path: …, labels: …}`.
    fn key_of_alloy(&mut self) -> Result<String, String> {
        self.found.of_alloy = true;
        let mut path = None;
        loop {
            let name = match self.next()? {
                Event::MappingEnd => return path.ok_or_else(|| "a key has no `path`".to_owned()),
                Event::Scalar(name, ..) => name,
                _ => return Err("a key is nested too deeply".to_owned()),
            };
            let value = self.scalar()?;
            if name == "path" {
                path = Some(value);
            }
        }
    }

    fn scalar(&mut self) -> Result<String, String> {
        match self.next()? {
            Event::Scalar(text, ..) => Ok(text.into_owned()),
            _ => Err("a position is no single value".to_owned()),
        }
    }
}

fn is_nothing(text: &str) -> bool {
    matches!(text, "" | "~" | "null")
}

/// A position; `None` for what is none, which is before all that are.
pub(super) fn number(value: &str) -> Option<u64> {
    value.parse().ok()
}

/// The text of a file of Promtail.
pub(super) fn render(entries: &BTreeMap<String, String>) -> String {
    let mut body = String::from(if entries.is_empty() { "positions: {}\n" } else { "positions:\n" });
    for (key, value) in entries {
        let (key, value) = (key_text(key), quoted(value));
        if key.len() > LONGEST_SIMPLE_KEY {
            body.push_str(&format!("  ? {key}\n  : {value}\n"));
        } else {
            body.push_str(&format!("  {key}: {value}\n"));
        }
    }
    format!("{CHECKSUM}{}{ADVICE}\n{body}", checksum(&body))
}

/// Keys are mostly paths, which need no quotes.
fn key_text(key: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=@".contains(c);
    let begins_plain = ["/", "cursor-", "journal-"].iter().any(|start| key.starts_with(start));
    if begins_plain && key.chars().all(is_plain) { key.to_owned() } else { quoted(key) }
}

fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            // No YAML may have these as they are, or the end of a line is seen in them.
            c if c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') =>
            {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// For the fuzzer: any text is read or refused, and what was read can be written and read again.
#[cfg(any(fuzzing, test))]
pub(crate) fn holds(text: &str) {
    if let Ok(found) = parse(text.as_bytes()) {
        let again = parse(render(&found.entries).as_bytes()).map(|again| again.entries);
        assert_eq!(again, Ok(found.entries));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries<const N: usize>(entries: [(&str, &str); N]) -> BTreeMap<String, String> {
        entries.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    fn read(text: &str) -> BTreeMap<String, String> {
        parse(text.as_bytes()).unwrap().entries
    }

    #[test]
    fn promtails_own_files_are_read() {
        let text = "positions:\n  /var/log/a b.log: \"123\"\n  '/var/log/x: #y''s.log': 45\n  \"/tmp/\\u00e9\\\"q\": '6'\n  \
             /é/ü.log: \"7\"\n  cursor-abc: \"1795442401\"\n  cursor-journal: s=abc;i=5\n";
        let wanted = entries([
            ("/var/log/a b.log", "123"),
            ("/var/log/x: #y's.log", "45"),
            ("/tmp/é\"q", "6"),
            ("/é/ü.log", "7"),
            ("cursor-abc", "1795442401"),
            ("cursor-journal", "s=abc;i=5"),
        ]);
        assert_eq!(read(text), wanted);
        let long = format!("/{}", "x".repeat(300));
        assert_eq!(read(&format!("positions:\n  ? {long}\n  : \"1\"\n")), entries([(&long, "1")]));
        assert_eq!(
            read(&format!("positions:\n  ? '{long}\n    y'\n  : \"1\"\n")),
            entries([(&format!("{long} y"), "1")])
        );
        for nothing in ["", "\n", "positions: {}\n", "positions:\n", "positions: null", "---\n", "{}"] {
            assert_eq!(parse(nothing.as_bytes()).unwrap(), Positions::default(), "{nothing:?}");
        }
    }

    #[test]
    fn alloys_files_are_read_with_the_smallest_position_of_a_path() {
        for pad in ["  ", "    "] {
            let text = format!(
                "positions:\n{pad}? path: /a.log\n{pad}  labels: '{{job=\"x\"}}'\n{pad}: \"123\"\n\
                 {pad}? path: /a.log\n{pad}  labels: '{{job=\"y\"}}'\n{pad}: \"45\"\n\
                 {pad}? path: cursor-abc\n{pad}  labels: \"\"\n{pad}: \"9\"\n"
            );
            let found = parse(text.as_bytes()).unwrap();
            assert_eq!(found.entries, entries([("/a.log", "45"), ("cursor-abc", "9")]));
            assert!(found.of_alloy);
        }
    }

    #[test]
    fn what_is_no_positions_file_is_told_from_one() {
        for text in [
            "positions: [1]",
            "positions:\n  /a: [1]\n",
            "positions:\n  /a: \"12",
            "server: {}\n",
            "- 1\n",
            "text",
            "positions: {}\n---\npositions: {}\n",
            "positions:\n  ? [1]\n  : 2\n",
            "positions:\n  ? labels: x\n  : 2\n",
            "positions:\n  /a: \"1\"\n\0\0\0\0",
            "positions:\n  /a: *x\n",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text:?} is {:?}", parse(text.as_bytes()));
        }
        assert!(parse(b"positions:\n  /\xff: 1\n").is_err());
    }

    #[test]
    fn what_is_written_is_what_promtail_writes_under_a_checksum() {
        let long = format!("/{}", "x".repeat(128));
        let text =
            render(&entries([("/var/log/a.log", "123"), ("/x y", "5"), (&long, "6"), ("cursor-ab", "7")]));
        let (_, body) = text.split_once('\n').unwrap();
        let wanted = "positions:\n  /var/log/a.log: \"123\"\n  \"/x y\": \"5\"\n  ? ";
        assert_eq!(body, format!("{wanted}{long}\n  : \"6\"\n  cursor-ab: \"7\"\n"));
    }

    #[test]
    fn no_damage_to_a_file_written_here_changes_a_position() {
        let good = entries([("/var/log/a.log", "123"), ("cursor-0123", "1795442401"), ("/x \"y\": z", "77")]);
        let whole = render(&good).into_bytes();
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[at] ^= 1 << bit;
                if let Ok(found) = parse(&damaged) {
                    assert_eq!(found.entries, good, "byte {at} bit {bit}");
                }
            }
            let unharmed = |found: Positions| found.entries == good || found.entries.is_empty();
            assert!(parse(&whole[..at]).map_or(true, unharmed), "cut at {at}");
            for end in [at + 1, at + 7, whole.len()] {
                let mut zeroed = whole.clone();
                zeroed[at..end.min(whole.len())].fill(0);
                assert!(parse(&zeroed).is_err(), "zeroed from {at} to {end}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_can_be_a_key(keys in proptest::collection::btree_map("\\PC{0,200}|[ -~]{0,40}|.{0,20}", "[0-9]{1,12}|.{0,9}", 0..6)) {
            prop_assert_eq!(parse(render(&keys).as_bytes()).unwrap().entries, keys);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[ \n:?'\"#{}a/0-9-]{0,80}") {
            drop(parse(&bytes));
            holds(&format!("positions:\n  {text}"));
        }
    }
}
