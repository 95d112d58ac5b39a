//! Reads a stream's label string as Loki does (Prometheus `ParseMetric`, then empty values removed).
//! In: the label string of a stream.  Out: its pairs and how it was written, or where it breaks.  Owns: nothing.

use std::collections::BTreeMap;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct LabelSet {
    /// In the order written; duplicates kept; empty values kept.
    pub(super) pairs: Vec<(String, String)>,
    /// Whether the text is what the reference sender writes: sorted, `, ` between pairs, double quotes, nothing else.
    pub(super) canonical: bool,
}

/// `at` is the byte offset of what was not understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ParseError {
    at: usize,
    reason: String,
}

impl ParseError {
    /// Loki's body; a label string is one line, so the line number is always 1 and the column counts from 1.
    pub(super) fn body(&self) -> String {
        format!("couldn't parse labels: 1:{}: parse error: {}", self.at + 1, self.reason)
    }
}

impl LabelSet {
    /// What identifies the stream: an empty value is the same as no label.
    pub(super) fn identity(&self) -> BTreeMap<String, String> {
        self.pairs.iter().filter(|(_, value)| !value.is_empty()).cloned().collect()
    }

    pub(super) fn duplicate_name(&self) -> Option<&str> {
        let mut names: Vec<_> = self.pairs.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
    }
}

pub(super) fn parse(text: &[u8]) -> Result<LabelSet, ParseError> {
    let text = std::str::from_utf8(text)
        .map_err(|error| ParseError { at: error.valid_up_to(), reason: "invalid UTF-8 rune".into() })?;
    Parser { text, at: 0 }.label_set()
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn label_set(mut self) -> Result<LabelSet, ParseError> {
        let mut pairs = Vec::new();
        let mut written = Vec::new();
        self.skip_space();
        if let Some(metric) = self.identifier() {
            pairs.push(("__name__".to_owned(), metric.to_owned()));
        }
        self.expect('{')?;
        while !self.take('}') {
            let start = self.at;
            let name = self.name()?;
            self.expect('=')?;
            let value = self.quoted()?;
            written.push((name.clone(), &self.text[start..self.at]));
            pairs.push((name, value));
            if !self.take(',') {
                self.expect('}')?;
                break;
            }
        }
        self.skip_space();
        if self.at < self.text.len() {
            return Err(self.unexpected("after the labels"));
        }
        let canonical = self.text == canonical_text(written);
        Ok(LabelSet { pairs, canonical })
    }

    fn name(&mut self) -> Result<String, ParseError> {
        self.skip_space();
        if self.peek() == Some('"') {
            return self.quoted();
        }
        match self.identifier() {
            Some(name) => Ok(name.to_owned()),
            None => Err(self.unexpected("where a label name was expected")),
        }
    }

    fn identifier(&mut self) -> Option<&'a str> {
        let rest = &self.text[self.at..];
        let is_start = |c: char| c.is_ascii_alphabetic() || c == '_';
        let end = rest.find(|c: char| !(is_start(c) || c.is_ascii_digit())).unwrap_or(rest.len());
        if end == 0 || !rest.starts_with(is_start) {
            return None;
        }
        self.at += end;
        Some(&rest[..end])
    }

    fn quoted(&mut self) -> Result<String, ParseError> {
        self.skip_space();
        let quote = match self.peek() {
            Some(quote @ ('"' | '\'' | '`')) => quote,
            _ => return Err(self.unexpected("where a quoted value was expected")),
        };
        let start = self.at;
        self.at += 1;
        let mut value = Vec::new();
        loop {
            match self.next() {
                Some(c) if c == quote => return Ok(String::from_utf8_lossy(&value).into_owned()),
                Some('\\') if quote != '`' => self.escape(quote, &mut value)?,
                Some('\n') if quote != '`' => return Err(unterminated(start)),
                Some(c) => value.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                None => return Err(unterminated(start)),
            }
        }
    }

    /// One Go escape, the backslash already taken.
    fn escape(&mut self, quote: char, value: &mut Vec<u8>) -> Result<(), ParseError> {
        let at = self.at - 1;
        let byte = match self.next() {
            Some('a') => 0x07,
            Some('b') => 0x08,
            Some('f') => 0x0c,
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('t') => b'\t',
            Some('v') => 0x0b,
            Some('\\') => b'\\',
            Some(c) if c == quote => u8::try_from(quote).expect("a quote is ASCII"),
            Some('x') => u8::try_from(self.digits(at, 2, 16)?).expect("two hex digits"),
            Some('u') => return self.rune(at, 4, value),
            Some('U') => return self.rune(at, 8, value),
            Some('0'..='7') => {
                self.at -= 1;
                let code = self.digits(at, 3, 8)?;
                u8::try_from(code).map_err(|_| unknown_escape(at))?
            }
            _ => return Err(unknown_escape(at)),
        };
        value.push(byte);
        Ok(())
    }

    fn rune(&mut self, at: usize, count: usize, value: &mut Vec<u8>) -> Result<(), ParseError> {
        let rune = char::from_u32(self.digits(at, count, 16)?).ok_or_else(|| unknown_escape(at))?;
        value.extend_from_slice(rune.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    fn digits(&mut self, at: usize, count: usize, radix: u32) -> Result<u32, ParseError> {
        let digits = self.text.get(self.at..self.at + count).ok_or_else(|| unknown_escape(at))?;
        if !digits.chars().all(|c| c.is_digit(radix)) {
            return Err(unknown_escape(at));
        }
        self.at += count;
        u32::from_str_radix(digits, radix).map_err(|_| unknown_escape(at))
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn skip_space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_ascii_start().len();
    }

    fn take(&mut self, wanted: char) -> bool {
        self.skip_space();
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn expect(&mut self, wanted: char) -> Result<(), ParseError> {
        if self.take(wanted) {
            Ok(())
        } else {
            Err(self.unexpected(&format!("where `{wanted}` was expected")))
        }
    }

    fn unexpected(&self, place: &str) -> ParseError {
        let found = self.peek().map_or("end of input".to_owned(), |c| format!("{c:?}"));
        ParseError { at: self.at, reason: format!("unexpected {found} {place}") }
    }
}

fn unterminated(at: usize) -> ParseError {
    ParseError { at, reason: "unterminated quoted string".into() }
}

fn unknown_escape(at: usize) -> ParseError {
    ParseError { at, reason: "unknown escape sequence".into() }
}

/// Compares what was written, not its meaning, so Go's rules about printable runes need not be known here.
fn canonical_text(mut written: Vec<(String, &str)>) -> String {
    written.sort();
    let pairs: Vec<_> =
        written.iter().map(|(name, pair)| if is_tight(name, pair) { *pair } else { "" }).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// `name="value"`, with no space and no other quotes.
fn is_tight(name: &str, pair: &str) -> bool {
    pair.strip_prefix(name).is_some_and(|rest| rest.starts_with("=\""))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn go_escapes_are_undone() {
        let set = parse(br#"{a="q\"b\\n\n\x41\u00e9\101", b="plain"}"#).unwrap();
        assert_eq!(set.pairs[0].1, "q\"b\\n\nA\u{e9}A");
        assert!(set.canonical);
    }

    #[test]
    fn only_the_reference_spelling_is_canonical() {
        let canonical = [r#"{}"#, r#"{a="1"}"#, r#"{a="1", b="x, y"}"#];
        let tolerated = [
            r#"{b="1", a="2"}"#,
            r#"{a="1",b="2"}"#,
            r#"{a = "1"}"#,
            r#"{a='1'}"#,
            r#"{a="1",}"#,
            r#"m{a="1"}"#,
        ];
        for text in canonical {
            assert!(parse(text.as_bytes()).unwrap().canonical, "{text}");
        }
        for text in tolerated {
            assert!(!parse(text.as_bytes()).unwrap().canonical, "{text}");
        }
    }

    #[test]
    fn an_error_names_its_column() {
        let cases: [(&[u8], &str); 6] = [
            (b"app=x", "1:4:"),
            (b"{a=\"x}", "1:4:"),
            (b"{a-b=\"x\"}", "1:3:"),
            (b"{a=\"\xff\"}", "1:5:"),
            (b"{a=\"1\" b=\"2\"}", "1:8:"),
            (b"", "1:1:"),
        ];
        for (text, column) in cases {
            let body = parse(text).unwrap_err().body();
            assert!(body.starts_with(&format!("couldn't parse labels: {column} parse error: ")), "{body}");
        }
    }
}
