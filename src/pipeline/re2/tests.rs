//! The dialect, case by case. Every expected match and every refusal but the marked ones was recorded from Go.

use proptest::prelude::{Strategy, any, prop, proptest};

use super::{PatternError, Replacement, compile, compile_anchored, compile_anchored_dotall};

/// Expression, text, what the whole match and the groups captured; `-` is a group that took no part.
type Match = (&'static str, &'static str, Option<&'static [&'static str]>);

#[rustfmt::skip]
const MATCHES: &[Match] = &[
    (r"\d+", "٣7", Some(&["7"])),
    (r"\w+", "café", Some(&["caf"])),
    (r"\s", "\u{a0}\u{b}\t", Some(&["\t"])),
    (r"\S+", " \u{a0}a ", Some(&["\u{a0}a"])),
    (r"\bcaf\b", "café", Some(&["caf"])),
    (r"\W+", "aéb", Some(&["é"])),
    (r"[\w]+", "é_1", Some(&["_1"])),
    (r"[^\d]+", "1٣2", Some(&["٣"])),
    (r"[\W\d]+", "aé1b", Some(&["é1"])),
    (r"[\s\S]", "\n", Some(&["\n"])),
    (r"\s+{(?P<p>[^}]+)}", "a  {x}", Some(&["  {x}", "x"])),
    (r"{", "{", Some(&["{"])),
    (r"a{,5}", "a{,5}", Some(&["a{,5}"])),
    (r"a{2", "a{2", Some(&["a{2"])),
    (r"a{01}", "a{01}", Some(&["a{01}"])),
    (r"{foo}", "{foo}", Some(&["{foo}"])),
    (r"a{2}{", "aa{", Some(&["aa{"])),
    (r"x{2,}", "xxx", Some(&["xxx"])),
    (r"(a){0}(b)", "ab", Some(&["b", "-", "b"])),
    (r"\-\>", "a->", Some(&["->"])),
    (r"\<a\>", "<a>", Some(&["<a>"])),
    (r#"\_\/\"\ "#, "_/\" ", Some(&["_/\" "])),
    (r"\012", "\n", Some(&["\n"])),
    (r"\0", "\0", Some(&["\0"])),
    (r"\101\x42\x{43}", "ABC", Some(&["ABC"])),
    (r"\x{10FFFF}", "\u{10ffff}", Some(&["\u{10ffff}"])),
    (r"\a\f\t\n\r\v", "\u{7}\u{c}\t\n\r\u{b}", Some(&["\u{7}\u{c}\t\n\r\u{b}"])),
    (r"\x{D800}|a", "a", Some(&["a"])),
    (r"\Qa.b*\E+", "a.b***", Some(&["a.b***"])),
    (r"\Q[x", "[x", Some(&["[x"])),
    (r"a*\Q\E*", "aaa", Some(&["aaa"])),
    (r"a\z", "a\n", None),
    (r"[]a]+", "a]", Some(&["a]"])),
    (r"[^]a]+", "a]b", Some(&["b"])),
    (r"[T\d-:.Z]+", "2021-01-02T03:04:05.6Z", Some(&["2021-01-02T03:04:05.6Z"])),
    (r"[[a]+", "[a", Some(&["[a"])),
    (r"[a&&b]+", "a&b", Some(&["a&b"])),
    (r"[!--a]+", "a-,!.", Some(&["a-,!"])),
    (r"[a~~b]+", "a~b", Some(&["a~b"])),
    (r"[a-]+", "a-b", Some(&["a-"])),
    (r"[+--]+", "+,-.", Some(&["+,-"])),
    (r"[[:alpha:]]+", "aé", Some(&["a"])),
    (r"[[:^alpha:]_]+", "a_é", Some(&["_é"])),
    (r"[[:alpha]+", "[:alp", Some(&["[:alp"])),
    (r"[\[\]\\^-]+", "[\\]^-", Some(&["[\\]^-"])),
    (r"[\x{D7FF}-\x{DFFF}a]", "a", Some(&["a"])),
    (r"[#\x20(?{]+", "#( ?{", Some(&["#( ?{"])),
    (r"\pN+", "a1٣", Some(&["1٣"])),
    (r"\p{Greek}+", "aλω", Some(&["λω"])),
    (r"\P{Greek}+", "λab", Some(&["ab"])),
    (r"\p{^Greek}+", "λab", Some(&["ab"])),
    (r"[^\pL]+", "aé12", Some(&["12"])),
    (r"(?i)straße", "STRAßE", Some(&["STRAßE"])),
    (r"(?i)k", "K", Some(&["K"])),
    (r"(?i)\w+", "ſK", Some(&["ſK"])),
    (r"a(?i)b|c", "C", Some(&["C"])),
    (r"(?:(?i)a)b", "AB", None),
    (r"a(?i)*", "aaaA", Some(&["aaa"])),
    (r"(?s).", "\n", Some(&["\n"])),
    (r".+", "a\nb", Some(&["a"])),
    (r"^b$", "a\nb", None),
    (r"(?m)^b$", "a\nb\nc", Some(&["b"])),
    (r"a$", "a\n", None),
    (r"(?U)a+?b*", "aab", Some(&["aa"])),
    (r"(?ii-i)a|()", "A", Some(&["", ""])),
    (r"(?P<a>x)|(?P<b_1>y)", "y", Some(&["y", "-", "y"])),
    (r"(a|ab)(c|bcd)?", "abcd", Some(&["abcd", "a", "bcd"])),
    (r"(|a)*", "aa", Some(&["", ""])),
    (r"(a*)+", "b", Some(&["", ""])),
    (r"(?:)*x", "x", Some(&["x"])),
    (r"(a+?)(a*)", "aaa", Some(&["aaa", "a", "aa"])),
    (r"x*|b", "b", Some(&[""])),
];

/// Expression, byte offset of the trouble, a piece of the sentence.
#[rustfmt::skip]
const REFUSALS: &[(&str, usize, &str)] = &[
    (r"ab[a-", 2, "missing closing ]: `[a-`"),
    (r"[]", 0, "missing closing ]"),
    (r"[^]", 0, "missing closing ]"),
    (r"x(a(b)", 1, "missing closing ): `(a(b)`"),
    (r"ab)", 2, "unexpected )"),
    (r"*a", 0, "missing argument to repetition operator: `*`"),
    (r"a|+", 2, "missing argument to repetition operator: `+`"),
    (r"(?i)?", 4, "missing argument to repetition operator: `?`"),
    (r"({2})", 1, "missing argument to repetition operator: `{2}`"),
    (r"xa**", 2, "invalid nested repetition operator: `**`"),
    (r"a{2}{3}", 1, "invalid nested repetition operator: `{2}{3}`"),
    (r"a*???", 1, "invalid nested repetition operator: `*???`"),
    (r"x{1001}", 1, "invalid repeat count: `{1001}`"),
    (r"x{3,2}", 1, "invalid repeat count: `{3,2}`"),
    (r"x{99999999999}", 1, "invalid repeat count"),
    (r"(x{100}){11}", 8, "invalid repeat count: `{11}`"),
    (r"((a{2}|b){0,26}){20}", 16, "invalid repeat count: `{20}`"),
    (r"a\Z", 1, r"`\Z` is not supported by RE2; use `\z`"),
    (r"\C", 0, r"`\C`"),
    (r"\E", 0, r"invalid escape sequence: `\E`"),
    (r"\é", 0, r"invalid escape sequence: `\é`"),
    (r"(a)\1", 3, r"`\1` is a backreference"),
    (r"\8", 0, r"`\8` is a backreference"),
    (r"\x1", 0, r"invalid escape sequence: `\x1`"),
    (r"\x{110000}", 0, "invalid escape sequence"),
    (r"\u0041", 0, r"use `\x{..}`"),
    (r"a\", 1, "trailing backslash"),
    (r"[\b]", 1, r"invalid escape sequence: `\b`"),
    (r"[a-\d]", 3, r"invalid escape sequence: `\d`"),
    (r"[\Qa]", 1, r"invalid escape sequence: `\Q`"),
    (r"[bz-a]", 2, "invalid character class range: `z-a`"),
    (r"[[:foo:]]", 1, "unknown character class: `[:foo:]`"),
    (r"\p{Foo}", 0, r"unknown Unicode category or script: `\p{Foo}`"),
    (r"\pé", 0, r"unknown Unicode category or script: `\pé`"),
    (r"\p{Alphabetic}", 0, "unknown Unicode category or script"),
    (r"\p{L", 0, r"missing closing }: `\p{L`"),
    (r"a(?=b)", 1, "`(?=` looks around, which RE2 does not support"),
    (r"(?<!a)", 0, "looks around"),
    (r"(?P=n)", 0, "refers to another group"),
    (r"(?>a)", 0, "atomic group"),
    (r"(?#a)", 0, "comment"),
    (r"(?x)a", 0, "invalid or unsupported Perl syntax: `(?x`"),
    (r"(?i-)a", 0, "invalid or unsupported Perl syntax: `(?i-)`"),
    (r"(?u:a)", 0, "invalid or unsupported Perl syntax: `(?u`"),
    (r"(?R)a", 0, "invalid or unsupported Perl syntax: `(?R`"),
    (r"(?P<a.b>x)", 0, "invalid group name: `(?P<a.b>`"),
    (r"(?P<>x)", 0, "invalid group name"),
    (r"(?P<n", 0, "missing > after the group name"),
    // Go takes these two.
    (r"(?P<n>a)(?P<n>b)", 8, "another group is named `n` already"),
    (r"(?P<1x>a)", 0, "begins with a digit"),
];

#[test]
fn expressions_match_what_go_matches() {
    for &(expression, text, expected) in MATCHES {
        let regex = compile(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
        let captures = regex.captures(text.as_bytes());
        let found: Option<Vec<&str>> = captures.as_ref().map(|captures| {
            captures
                .iter()
                .map(|group| group.map_or("-", |g| str::from_utf8(g.as_bytes()).unwrap()))
                .collect()
        });
        assert_eq!(found.as_deref(), expected, "{expression} on {text:?}");
    }
}

#[test]
fn what_go_refuses_is_refused_where_it_goes_wrong() {
    for &(expression, offset, piece) in REFUSALS {
        match compile(expression) {
            Err(PatternError::Syntax { offset: at, problem }) => {
                assert_eq!(at, offset, "{expression}: {problem}");
                assert!(problem.contains(piece), "{expression}: {problem}");
            }
            other => panic!("{expression}: {other:?}"),
        }
    }
}

#[test]
fn groups_are_named_in_both_notations() {
    let regex = compile("(?P<a>x)(y)(?<b_2>z)").unwrap();
    let names: Vec<_> = regex.capture_names().collect();
    assert_eq!(names, [None, Some("a"), None, Some("b_2")]);
}

#[test]
fn categories_and_scripts_are_found_by_loose_names_and_surrogates_are_empty() {
    assert!(compile(r"^\p{lowercase letter}\p{GREEK}\p{Any}$").unwrap().is_match("aλ!".as_bytes()));
    assert!(!compile(r"\p{Cs}").unwrap().is_match(b"a"));
    assert!(compile(r"[\P{Cs}]").unwrap().is_match(b"a"));
    assert!(
        compile(r"\p{^-cs}").unwrap().is_match(b"a") && !compile(r"\p{Surrogate}").unwrap().is_match(b"a")
    );
}

#[test]
fn anchored_expressions_cover_the_whole_text() {
    let relabel = compile_anchored_dotall("a.c|b").unwrap();
    assert!(relabel.is_match(b"a\nc") && relabel.is_match(b"b"));
    assert!(!relabel.is_match(b"xb") && !relabel.is_match(b"b\n"));
    let matcher = compile_anchored("a.c|b").unwrap();
    assert!(matcher.is_match(b"abc") && !matcher.is_match(b"a\nc") && !matcher.is_match(b"bb"));
    assert!(compile_anchored("").unwrap().is_match(b"") && !compile_anchored("").unwrap().is_match(b"a"));
}

#[test]
fn anchoring_happens_before_parsing_as_in_go() {
    let odd = compile_anchored_dotall("a)|(b").unwrap();
    assert!(odd.is_match(b"ax") && odd.is_match(b"xb") && !odd.is_match(b"x"));
}

#[test]
fn errors_of_anchored_expressions_speak_of_the_expression_alone() {
    let offset = |expression| match compile_anchored_dotall(expression) {
        Err(PatternError::Syntax { offset, .. }) => offset,
        other => panic!("{other:?}"),
    };
    assert_eq!([offset("ab["), offset("a(b"), offset(r"ab\"), offset(r"\Qab")], [2, 1, 2, 0]);
}

#[test]
fn what_would_take_too_much_memory_or_stack_is_refused() {
    let nested = |levels: usize| format!("{}x{}", "(?:".repeat(levels), ")*".repeat(levels));
    assert!(compile(&nested(250)).is_ok());
    assert!(matches!(compile(&nested(251)), Err(PatternError::Syntax { offset: 750, .. })));
    assert!(compile(&"(?i)*".repeat(400).replacen("(?i)", "a", 1)).is_err(), "stacked repetitions nest too");
    assert!(matches!(compile(r"\pL{1000}\pL{1000}"), Err(PatternError::TooLarge { .. })));
}

#[test]
fn replacements_expand_as_in_go() {
    let regex = compile(r"(?P<all>(a)(b)?(?P<c_1>c))").unwrap();
    let captures = regex.captures(b"xac").unwrap();
    let cases = [
        ("$1-$2", "ac-a"),
        ("${2}x$2x", "ax"),
        ("$c_1.$all/${all}", "c.ac/ac"),
        ("[$3$9$none${none}]", "[]"),
        ("$$1 $$", "$1 $"),
        ("$ $- ${ ${} ${a-b} ${2 $", "$ $- ${ ${} ${a-b} ${2 $"),
        ("$02${02}|$0", "|ac"),
        ("$2é|$2²|$2٣", "|a²|"),
        ("/var/log/pods/*$2/*.log", "/var/log/pods/*a/*.log"),
        ("$99999999999999999999", ""),
        ("", ""),
    ];
    for (template, expected) in cases {
        let mut out = b"<".to_vec();
        Replacement::parse(template).expand(&captures, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("<{expected}"), "{template}");
    }
}

/// Texts that look like expressions often enough to get past the first character.
fn expression_like() -> impl Strategy<Value = String> {
    let pieces = [
        "(",
        ")",
        "(?:",
        "(?i)",
        "(?P<n",
        ">",
        "[",
        "[^",
        "]",
        "[:alpha:]",
        "-",
        "{",
        "}",
        "{2,3}",
        "{0}",
        ",",
        "*",
        "+",
        "?",
        "|",
        "^",
        "$",
        ".",
        "\\",
        "\\Q",
        "\\E",
        "\\d",
        "\\W",
        "\\b",
        "\\pL",
        "\\p{",
        "Greek}",
        "\\x{D800}",
        "\\01",
        "a",
        "B",
        "7",
        "é",
        "&&",
        "\n",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn whatever_the_translation_accepts_the_engine_accepts(text in expression_like()) {
        for compiled in [compile(&text), compile_anchored(&text), compile_anchored_dotall(&text)] {
            let refused = matches!(compiled, Err(PatternError::Engine { .. }));
            proptest::prop_assert!(!refused, "{compiled:?}");
        }
    }

    #[test]
    fn no_text_is_too_strange_to_compile_or_refuse(text in any::<String>()) {
        let _verdict = compile(&text);
        let _template = Replacement::parse(&text);
    }

    #[test]
    fn quoted_text_matches_itself(text in any::<String>()) {
        proptest::prop_assume!(!text.contains("\\E") && !text.ends_with('\\'));
        let regex = compile_anchored(&["\\Q", &text, "\\E"].concat()).unwrap();
        proptest::prop_assert!(regex.is_match(text.as_bytes()));
    }
}
