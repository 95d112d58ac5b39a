//! The selector of a `match` stage: `{app="x", env!~"dev|test"} |= "error" != "timeout"`.
//! In: the selector's text.  Out: label matchers and line filters, compiled.  Owns: nothing.
//!
//! The grammar is a corner of LogQL and ends here: no parsers, no label filters, no `or`, no backquoted strings.
//!
//! ```text
//! selector := "{" matcher ("," matcher)* "}" filter*
//! matcher  := NAME ("=" | "!=" | "=~" | "!~") STRING
//! filter   := ("|=" | "!=" | "|~" | "!~") STRING
//! ```

mod label_set;
mod lexer;

use memchr::memmem::Finder;
use regex::bytes::Regex;

use self::lexer::{Lexer, Token, TokenKind};
use super::re2::{self, PatternError};

pub(crate) use label_set::label_set;

/// Why a text is no selector. Offsets are bytes into the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SelectorError {
    /// The text breaks the grammar.
    #[error("at byte {offset} of the selector: {problem}")]
    Syntax {
        /// Where the unexpected part starts.
        offset: usize,
        /// One sentence saying what was expected or is not allowed.
        problem: String,
    },
    /// The string at `offset` is well formed, the regular expression in it is not.
    #[error("the regular expression at byte {offset} of the selector is invalid")]
    Pattern {
        /// Where the string starts.
        offset: usize,
        /// What is wrong with the expression, with offsets into the string's value.
        #[source]
        source: PatternError,
    },
}

impl SelectorError {
    fn syntax(offset: usize, problem: impl Into<String>) -> Self {
        Self::Syntax { offset, problem: problem.into() }
    }
}

/// A parsed selector. An entry is selected when all matchers match its labels and all filters keep its line.
#[derive(Debug)]
pub(crate) struct Selector {
    /// Never empty.
    pub(crate) matchers: Vec<Matcher>,
    /// In the order written.
    pub(crate) filters: Vec<LineFilter>,
}

/// A condition on one label.
#[derive(Debug)]
pub(crate) struct Matcher {
    name: String,
    wanted: Wanted,
    negated: bool,
}

/// A condition on the line.
#[derive(Debug)]
pub(crate) struct LineFilter {
    wanted: Wanted,
    negated: bool,
}

#[derive(Debug)]
enum Wanted {
    Equal(Vec<u8>),
    Containing(Box<Finder<'static>>),
    Matching(Regex),
}

impl Wanted {
    fn holds(&self, text: &[u8]) -> bool {
        match self {
            Self::Equal(value) => text == value.as_slice(),
            Self::Containing(finder) => finder.find(text).is_some(),
            Self::Matching(regex) => regex.is_match(text),
        }
    }
}

impl Matcher {
    /// The label to look at.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The only value that fits, if there is one.
    pub(crate) fn only_value(&self) -> Option<&[u8]> {
        match &self.wanted {
            Wanted::Equal(value) if !self.negated => Some(value),
            _ => None,
        }
    }

    /// Whether the label's value fits; a label that is absent has the empty value.
    pub(crate) fn matches(&self, value: &[u8]) -> bool {
        self.wanted.holds(value) != self.negated
    }
}

impl LineFilter {
    /// Whether the filter lets the line through.
    pub(crate) fn keeps(&self, line: &[u8]) -> bool {
        self.wanted.holds(line) != self.negated
    }
}

impl Selector {
    /// Parses the whole text; nothing may follow the last filter.
    pub(crate) fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut lexer = Lexer::new(text);
        let matchers = matchers(&mut lexer)?;
        let mut filters = Vec::new();
        loop {
            let token = lexer.next()?;
            if token.kind == TokenKind::End {
                return Ok(Self { matchers, filters });
            }
            filters.push(filter(&mut lexer, &token)?);
        }
    }
}

/// Everything from `{` to `}`.
fn matchers(lexer: &mut Lexer<'_>) -> Result<Vec<Matcher>, SelectorError> {
    let open = lexer.next()?;
    if open.kind != TokenKind::Mark("{") {
        return Err(open.unexpected("the selector must start with `{`"));
    }
    let mut matchers = Vec::new();
    loop {
        matchers.push(matcher(lexer, matchers.is_empty())?);
        let after = lexer.next()?;
        match after.kind {
            TokenKind::Mark(",") => {}
            TokenKind::Mark("}") => return Ok(matchers),
            _ => return Err(after.unexpected("expected `,` or `}` after a label matcher")),
        }
    }
}

fn matcher(lexer: &mut Lexer<'_>, first: bool) -> Result<Matcher, SelectorError> {
    let name = lexer.next()?;
    let TokenKind::Name(written) = name.kind else {
        return Err(match name.kind {
            TokenKind::Mark("}") if first => SelectorError::syntax(
                name.offset,
                "`{}` selects nothing; at least one label matcher is needed",
            ),
            _ => name.unexpected("expected a label name"),
        });
    };
    let operator = lexer.next()?;
    let (pattern, negated) = match operator.kind {
        TokenKind::Mark("=") => (false, false),
        TokenKind::Mark("!=") => (false, true),
        TokenKind::Mark("=~") => (true, false),
        TokenKind::Mark("!~") => (true, true),
        TokenKind::Other('.') => {
            return Err(operator.unexpected("a label name has letters, digits and underscores only"));
        }
        _ => return Err(operator.unexpected("expected `=`, `!=`, `=~` or `!~` after the label name")),
    };
    let (offset, value) = string(lexer)?;
    let wanted = if pattern {
        Wanted::Matching(regex(offset, value, re2::compile_anchored)?)
    } else {
        Wanted::Equal(value)
    };
    Ok(Matcher { name: written.to_owned(), wanted, negated })
}

/// The filter whose operator has just been read.
fn filter(lexer: &mut Lexer<'_>, operator: &Token<'_>) -> Result<LineFilter, SelectorError> {
    let (pattern, negated) = match operator.kind {
        TokenKind::Mark("|=") => (false, false),
        TokenKind::Mark("!=") => (false, true),
        TokenKind::Mark("|~") => (true, false),
        TokenKind::Mark("!~") => (true, true),
        TokenKind::Other('|') => {
            return Err(operator.unexpected(
                "parsers and label filters do not work here; expected a line filter `|=`, `|~`, `!=` or `!~`",
            ));
        }
        _ => return Err(operator.unexpected("expected a line filter `|=`, `|~`, `!=` or `!~`, or the end")),
    };
    let (offset, value) = string(lexer)?;
    let wanted = if pattern {
        Wanted::Matching(regex(offset, value, re2::compile)?)
    } else {
        Wanted::Containing(Box::new(Finder::new(&value).into_owned()))
    };
    Ok(LineFilter { wanted, negated })
}

fn string(lexer: &mut Lexer<'_>) -> Result<(usize, Vec<u8>), SelectorError> {
    let token = lexer.next()?;
    match token.kind {
        TokenKind::Text(value) => Ok((token.offset, value)),
        _ => Err(token.unexpected("expected a double-quoted string")),
    }
}

fn regex(
    offset: usize,
    value: Vec<u8>,
    compile: fn(&str) -> Result<Regex, PatternError>,
) -> Result<Regex, SelectorError> {
    let expression = String::from_utf8(value)
        .map_err(|_| SelectorError::syntax(offset, "a regular expression must be valid UTF-8"))?;
    compile(&expression).map_err(|source| SelectorError::Pattern { offset, source })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, proptest};

    use super::*;

    fn parse(text: &str) -> Selector {
        Selector::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn refusal(text: &str) -> (usize, String) {
        match Selector::parse(text) {
            Err(SelectorError::Syntax { offset, problem }) => (offset, problem),
            Err(SelectorError::Pattern { offset, source }) => (offset, source.to_string()),
            Ok(selector) => panic!("{text}: {selector:?}"),
        }
    }

    #[test]
    fn each_matcher_operator_compares_the_whole_value() {
        let cases: [(&str, &[&str], &[&str]); 7] = [
            (r#"{a="x"}"#, &["x"], &["", "xx"]),
            (r#"{a!="x"}"#, &["", "xx"], &["x"]),
            (r#"{a=~"x|yz"}"#, &["x", "yz"], &["", "xz", "ax"]),
            (r#"{a!~"x|yz"}"#, &["", "xz", "ax"], &["x", "yz"]),
            (r#"{a=""}"#, &[""], &["x"]),
            (r#"{a=~".*"}"#, &["", "x"], &["x\ny"]),
            (r#"{a!~".+"}"#, &[""], &["x"]),
        ];
        for (text, matching, others) in cases {
            let matcher = &parse(text).matchers[0];
            assert_eq!(matcher.name(), "a");
            assert!(matching.iter().all(|value| matcher.matches(value.as_bytes())), "{text}");
            assert!(!others.iter().any(|value| matcher.matches(value.as_bytes())), "{text}");
        }
    }

    #[test]
    fn each_line_filter_searches_anywhere_in_the_line() {
        let cases: [(&str, &[&str], &[&str]); 6] = [
            (r#"{a="b"} |= "o.o""#, &["o.o", "foo.oz"], &["", "foo", "oxo"]),
            (r#"{a="b"} != "o.o""#, &["", "foo", "oxo"], &["o.o", "foo.oz"]),
            (r#"{a="b"} |~ "^f.o""#, &["foo", "foobar"], &["", "xfoo", "f\no"]),
            (r#"{a="b"} !~ "^f.o""#, &["", "xfoo", "f\no"], &["foo", "foobar"]),
            (r#"{a="b"} |= """#, &["", "x"], &[]),
            (r#"{a="b"} != """#, &[], &["", "x"]),
        ];
        for (text, kept, dropped) in cases {
            let filter = &parse(text).filters[0];
            assert!(kept.iter().all(|line| filter.keeps(line.as_bytes())), "{text}");
            assert!(!dropped.iter().any(|line| filter.keeps(line.as_bytes())), "{text}");
        }
    }

    #[test]
    fn matchers_and_filters_keep_their_order() {
        let selector = parse(r#"{a="1",_b2!="2", É=~"3"}|="x"!~"y" |~ "z""#);
        let names: Vec<_> = selector.matchers.iter().map(Matcher::name).collect();
        assert_eq!(names, ["a", "_b2", "É"]);
        assert_eq!(selector.filters.len(), 3);
        assert!(selector.filters[1].keeps(b"x") && !selector.filters[1].keeps(b"y"));
    }

    #[test]
    fn blanks_and_go_comments_stand_anywhere_between_words() {
        let selector = parse("\r\n /* a */ { // the name\n\ta/**/=\"//x/*\" } |= /* * / **/ \"y\" // {end");
        assert!(selector.matchers[0].matches(b"//x/*"));
        assert!(selector.filters[0].keeps(b"y"));
    }

    #[test]
    fn strings_have_all_escapes_of_go() {
        let selector = parse(r#"{a="\a\b\f\n\r\t\v\\\"\x41\xff\101\377\u03bb\U0001F600é'`"}"#);
        let expected = [b"\x07\x08\x0C\n\r\t\x0B\\\"A\xFFA\xFF".as_slice(), "λ😀é'`".as_bytes()].concat();
        assert!(selector.matchers[0].matches(&expected));
        assert!(parse(r#"{a=~"\\d+\x41"}"#).matchers[0].matches(b"12A"));
    }

    #[test]
    fn what_is_no_selector_is_refused_with_a_place_and_a_sentence() {
        let cases = [
            ("", 0, "must start with `{`, found the end"),
            (r#"a="b""#, 0, "must start with `{`, found `a`"),
            ("{}", 1, "selects nothing"),
            ("{", 1, "expected a label name, found the end"),
            (r#"{a="b",}"#, 7, "expected a label name, found `}`"),
            (r#"{,a="b"}"#, 1, "expected a label name, found `,`"),
            (r#"{1a="b"}"#, 1, "expected a label name, found `1`"),
            (r#"{"a"="b"}"#, 1, "expected a label name, found a string"),
            (r#"{a.b="x"}"#, 2, "letters, digits and underscores only, found `.`"),
            (r#"{a-b="x"}"#, 2, "expected `=`, `!=`, `=~` or `!~`"),
            (r#"{a=="x"}"#, 3, "expected a double-quoted string, found `=`"),
            (r#"{a= ~"x"}"#, 4, "expected a double-quoted string, found `~`"),
            (r#"{a|="x"}"#, 2, "expected `=`, `!=`, `=~` or `!~` after the label name, found `|=`"),
            (r#"{a>"x"}"#, 2, "found `>`"),
            ("{a=b}", 3, "expected a double-quoted string, found `b`"),
            ("{a='b'}", 3, "expected a double-quoted string, found `'`"),
            ("{a=`b`}", 3, "backquoted strings are not accepted"),
            (r#"{a="b" c="d"}"#, 7, "expected `,` or `}`"),
            (r#"{a="b""#, 6, "expected `,` or `}` after a label matcher, found the end"),
            (r#"{foo="bar} "#, 5, "the string that starts here is not closed"),
            ("{a=\"b\n\"}", 3, "the string that starts here is not closed"),
            (r#"{a="b"} "foo""#, 8, "expected a line filter"),
            (r#"{a="b"} |~"#, 10, "expected a double-quoted string, found the end"),
            (r#"{a="b"} = "x""#, 8, "expected a line filter"),
            (r#"{a="b"} | json"#, 8, "parsers and label filters do not work here"),
            (r#"{a="b"} |= "x" or "y""#, 15, "expected a line filter"),
            (r#"{a="b"} |= ip("x")"#, 11, "expected a double-quoted string, found `ip`"),
            (r#"{a="b"}}"#, 7, "expected a line filter"),
            (r#"{a="b"} /* x"#, 8, "comment that starts here is not closed"),
            (r#"{a="b"} / x"#, 8, "found `/`"),
            (r#"{a=~"\d"}"#, 5, r"invalid escape `\d` in a string; write `\\`"),
            (r#"{a="\'"}"#, 4, r"invalid escape `\'`"),
            (r#"{a="\xg0"}"#, 4, r"invalid escape `\x`"),
            (r#"{a="\400"}"#, 4, r"invalid escape `\400`"),
            (r#"{a="\18"}"#, 4, r"invalid escape `\1`"),
            (r#"{a="\ud800"}"#, 4, r"invalid escape `\ud800`"),
            (r#"{a="\U00110000"}"#, 4, r"invalid escape `\U00110000`"),
            (r#"{a=~"["}"#, 4, "missing closing ]: `[`"),
            (r#"{a="b"} !~ "[]""#, 11, "missing closing ]: `[]`"),
            (r#"{a="b"} |~ "\xff""#, 11, "must be valid UTF-8"),
        ];
        for (text, offset, piece) in cases {
            let (at, problem) = refusal(text);
            assert!(at == offset && problem.contains(piece), "{text}: {at}: {problem}");
        }
    }

    #[test]
    fn selectors_that_promtail_takes_are_taken() {
        let taken = [
            r#"{source="t"}"#,
            r#"{foo="bar"} |= "fo""#,
            r#"{foo="bar"} |~ "^f.o""#,
            r#"{foo="bar"} != "bar""#,
            r#"{foo=""}"#,
            r#"{foo!="bar"}"#,
            r#"{foo="bar",bar!="test"}"#,
            r#"{drop="true"}"#,
        ];
        for text in taken {
            parse(text);
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange_to_parse_or_refuse(
            noise in any::<String>(),
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "{", "}", "a", ",", "=", "!=", "=~", "|~", "|", "\"x\"", "\"", "\\", "\\x4", "`", "/*", "//", "\n", "é",
                ]),
                0..12,
            ),
        ) {
            let _noise = Selector::parse(&noise);
            let _pieces = Selector::parse(&pieces.concat());
        }

        #[test]
        fn any_value_survives_quoting(value in any::<String>()) {
            let quoted: String = value.chars().map(|c| format!("\\U{:08x}", u32::from(c))).collect();
            let selector = Selector::parse(&["{a=\"", &quoted, "\"}"].concat()).unwrap();
            proptest::prop_assert!(selector.matchers[0].matches(value.as_bytes()));
        }
    }
}
