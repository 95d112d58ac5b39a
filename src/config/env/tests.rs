//! What every form of reference gives, and what is refused.
//! In: nothing.  Out: nothing.  Owns: the table of forms.

use proptest::prelude::*;

use super::{MAX_DEPTH, expand, suspicious};

/// `E` is set and empty, `U` is not set.
fn lookup(name: &str) -> Option<String> {
    let value = match name {
        "A" => "value",
        "B" => "abcABC123ABCabc",
        "C" => "bash.string.txt",
        "E" => "",
        "F" => "/path/to/file",
        "N" => "-3",
        "P" => "ABC",
        "S" => "foo/bar/baz",
        "W" => "élan straße",
        "1A" => "digits may lead",
        "Ä_1" => "any letter",
        "LONG" => return Some("x".repeat(1 << 17)),
        _ => return None,
    };
    Some(value.to_owned())
}

#[track_caller]
fn gives(rows: &[(&str, &str)]) {
    for (text, expected) in rows {
        assert_eq!(expand(text, &lookup).as_deref(), Ok(*expected), "{text}");
    }
}

#[test]
fn b_env_1_a_default_stands_for_unset_and_for_empty() {
    gives(&[("${U:-x}", "x"), ("${E:-x}", "x"), ("${A:-x}", "value")]);
}

#[test]
fn b_env_2_what_stays_and_what_is_an_escape() {
    gives(&[("$A", "$A"), ("$${A}", "${A}"), (r"a\\b", r"a\b"), (r"\d", r"\d"), (r"sla\/sh", "sla/sh")]);
}

#[test]
fn b_env_3_a_number_is_a_name() {
    gives(&[
        ("rhinometric-${1}", "rhinometric-"),
        ("$1", "$1"),
        ("$${1}", "${1}"),
        ("${1A}", "digits may lead"),
    ]);
}

#[test]
fn b_env_4_what_is_no_reference_is_an_error() {
    for (text, at, words) in [
        ("${A-x}", 0, "goes on with '-'; a default is written `${A:-default}`"),
        ("${A+x}", 0, "goes on with '+'; a default is written `${A:-default}`"),
        ("a ${A?x}", 2, "goes on with '?'; a default is written `${A:-default}`"),
        ("${A.x}", 0, "missing closing brace: `${A` goes on with '.'"),
        ("${A", 0, "missing closing brace: `${A` is never closed"),
        ("é: ${", 4, "missing closing brace"),
        ("${}", 0, "no variable name"),
        ("${-x}", 0, "no variable name"),
        ("${#}", 0, "no variable name"),
        ("${#A:1}", 0, "missing closing brace"),
        ("${ A}", 0, "no variable name"),
        ("${A }", 0, "missing closing brace"),
        ("${!A}", 0, "no variable name"),
        ("${A:-x", 0, "never closed"),
        ("${A:-x${B}", 0, "never closed"),
        ("${A:-x${B", 6, "never closed"),
        ("${A:}", 0, "`${A:` must be followed by something"),
        ("${A::2}", 0, "must be followed by something"),
        ("${A:1:}", 0, "must be followed by something"),
        ("${A:1:-2}", 0, "negative length"),
        ("${A:1${B}}", 0, "missing closing brace"),
        ("${W:1}", 0, "cuts a character"),
        ("${A^^^}", 0, "missing closing brace"),
        ("${A#}", 0, "must be followed by something"),
        ("${A%%}", 0, "must be followed by something"),
        ("${A#a${B}}", 0, "missing closing brace"),
        ("${A/}", 0, "lacks the `/`"),
        ("${A/x}", 0, "lacks the `/`"),
        ("${A///x}", 0, "must be followed by something"),
    ] {
        let error = expand(text, &lookup).unwrap_err();
        assert_eq!(error.at, at, "{text}: {error}");
        assert!(error.to_string().contains(words), "{text}: {error}");
    }
}

#[test]
fn b_env_5_a_default_may_hold_references() {
    gives(&[
        ("${N:-${A}}", "-3"),
        ("${U:-${A}}", "value"),
        ("${U:-pre-${A}-${U:-${P}}-post}", "pre-value-ABC-post"),
        ("${A:-${U:-never}}", "value"),
    ]);
}

#[test]
fn all_five_spellings_of_a_default_mean_the_same() {
    for operator in [":-", ":=", "=", ":?", ":+"] {
        for (name, expected) in [("U", "d-1"), ("E", "d-1"), ("A", "value")] {
            let text = format!("<${{{name}{operator}d-1}}>");
            assert_eq!(expand(&text, &lookup), Ok(format!("<{expected}>")), "{text}");
        }
    }
    gives(&[("${U:-}", ""), ("${U==x}", "=x"), ("${U:-a:b/c#d%e}", "a:b/c#d%e"), ("${U:-a}b}", "ab}")]);
}

#[test]
fn escapes_do_not_count_in_defaults_and_patterns() {
    gives(&[
        (r"${U:-a\\b\/c$$d}", r"a\\b\/c$$d"),
        ("${U:-$${A}}", "$value"),
        ("${U:-$A $}", "$A $"),
        (r"${C#bash\.}", "string.txt"),
    ]);
}

#[test]
fn dollars_and_backslashes_in_plain_text() {
    gives(&[
        ("", ""),
        ("$", "$"),
        ("$$", "$"),
        ("$$$", "$$"),
        ("$$$$", "$$"),
        ("$$${A}", "$value"),
        ("$ {A}", "$ {A}"),
        ("{A}", "{A}"),
        ("100%$", "100%$"),
        (r"\\\\", r"\\"),
        (r"\$A", r"\$A"),
        (r"\${A}", r"\value"),
        (r#"expression: "^\\d+\/\S""#, r#"expression: "^\d+/\S""#),
        ("# ${A} in a comment\n", "# value in a comment\n"),
        ("${A}${A}${U}é${A}", "valuevalueévalue"),
        ("${Ä_1}", "any letter"),
    ]);
}

#[test]
fn lengths_and_letters() {
    gives(&[
        ("${#B}", "15"),
        ("${#U}", "0"),
        ("${#W}", "13"),
        ("${A^}", "Value"),
        ("${A^^}", "VALUE"),
        ("${P,}", "aBC"),
        ("${P,,}", "abc"),
        ("${W^}", "Élan straße"),
        ("${W^^}", "ÉLAN STRAßE"),
        ("${U^}${U^^}${U,}${U,,}", ""),
        ("${A^,}", "value"),
    ]);
}

#[test]
fn parts_are_counted_in_bytes() {
    gives(&[
        ("${A:1}", "alue"),
        ("${A:0}", "value"),
        ("${A:5}", ""),
        ("${A:99}", ""),
        ("${A:1:2}", "al"),
        ("${A:1:99}", "alue"),
        ("${A:1:9223372036854775807}", "alue"),
        ("${A:99:1}", ""),
        ("${A:2:0}", ""),
        ("${A:1::2}", "al"),
        ("${W:2:3}", "lan"),
        ("${A:${N}}", "lue"),
        ("${A:${N}:2}", "lu"),
        ("${A:${U:--99}}", "value"),
        ("${A:x}", "value"),
        ("${A:1:x}", "value"),
        // As Go reads numbers, and unlike a shell.
        ("${A: -2}", "value"),
        ("${U:3:4}", ""),
    ]);
}

#[test]
fn trims_are_globs_that_cross_slashes() {
    gives(&[
        ("${C#*.}", "string.txt"),
        ("${C##*.}", "txt"),
        ("${C%.*}", "bash.string"),
        ("${C%%.*}", "bash"),
        ("${F#*/}", "path/to/file"),
        ("${F##*/}", "file"),
        ("${F%/*}", "/path/to"),
        ("${F%%/*}", ""),
        ("${F#/path}", "/to/file"),
        ("${F#path}", "/path/to/file"),
        ("${C#?ash?}", "string.txt"),
        ("${C#[a-c]*[^a-z]}", "string.txt"),
        ("${C%[a-z]xt}", "bash.string."),
        (r"${C%\.txt}", "bash.string"),
        ("${B##*[0-9]}", "ABCabc"),
        ("${C#*}", "ash.string.txt"),
        ("${C##*}", ""),
        ("${C#[}", "bash.string.txt"),
        ("${C#[]a]}", "bash.string.txt"),
        ("${C#${U:-bash.}}", "string.txt"),
        ("${C##bash}", ".string.txt"),
        ("${W#?}", "lan straße"),
        ("${E#*}${U%%*}", ""),
        ("${C###}", "bash.string.txt"),
    ]);
}

#[test]
fn replacements_are_literal() {
    gives(&[
        ("${B/abc/xyz}", "xyzABC123ABCabc"),
        ("${B//abc/xyz}", "xyzABC123ABCxyz"),
        ("${B/#abc/XYZ}", "XYZABC123ABCabc"),
        ("${B/#ABC/XYZ}", "abcABC123ABCabc"),
        ("${B/%abc/XYZ}", "abcABC123ABCXYZ"),
        ("${B/%ABC/XYZ}", "abcABC123ABCabc"),
        ("${B//ABC/}", "abc123abc"),
        ("${B/ABC/}", "abc123ABCabc"),
        ("${B/#abc/}", "abcABC123ABCabc"),
        ("${B/%abc/}", "abcABC123ABCabc"),
        (r"${S/\//-}", "foo-bar/baz"),
        (r"${S//\//-}", "foo-bar-baz"),
        (r"${S//\//\\}", r"foo\bar\baz"),
        ("${S/foo//}", "/bar/baz"),
        ("${S/foo/x/y}", "x/y/bar/baz"),
        ("${B//${P}/${A}}", "abcvalue123valueabc"),
        ("${A//${U}/-}", "-v-a-l-u-e-"),
        ("${A/./}", "value"),
        ("${S/o/$$}", "f$o/bar/baz"),
    ]);
}

#[test]
fn a_missing_replacement_slash_reads_on_as_upstream_does() {
    gives(&[("${S/foo} x/y}", "foo/bar/baz")]);
}

#[test]
fn nesting_and_size_have_limits() {
    let nested = |depth| format!("{}{}{}", "${U:-".repeat(depth), "x", "}".repeat(depth));
    assert_eq!(expand(&nested(MAX_DEPTH), &lookup).as_deref(), Ok("x"));
    let error = expand(&nested(MAX_DEPTH + 1), &lookup).unwrap_err();
    assert!(error.to_string().contains("nested more than 32 deep"), "{error}");
    assert_eq!(error.at, 5 * MAX_DEPTH);

    for text in
        ["${LONG//x/${LONG}}".to_owned(), "${LONG}".repeat(129), format!("${{U:-{}}}", "${LONG}".repeat(129))]
    {
        let error = expand(&text, &lookup).unwrap_err();
        assert!(error.to_string().contains("over 16 MiB"), "{error}");
    }
    let error = expand(&format!("${{A#{}}}", "*".repeat(2000)), &lookup).unwrap_err();
    assert!(error.to_string().contains("longer than 1024 bytes"), "{error}");
}

#[test]
fn references_that_look_like_regex_groups_are_told() {
    let found = |text| {
        suspicious(text).into_iter().map(|(at, reference)| format!("{at}:{reference}")).collect::<Vec<_>>()
    };
    assert_eq!(found("a: ${1}\nb: $1 $${2} ${A}-${12}"), ["3:${1}", "25:${12}"]);
    assert_eq!(found("${U:-${1}} ${1A} ${1:-x} ${10"), ["5:${1}"]);
    assert_eq!(found("é ${0}"), ["3:${0}"]);
    assert!(found("nothing").is_empty());
}

fn reference_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("${"),
        Just("}"),
        Just("$"),
        Just("\\"),
        Just("/"),
        Just("#"),
        Just("%"),
        Just(":"),
        Just(":-"),
        Just("="),
        Just("^"),
        Just(","),
        Just("*"),
        Just("["),
        Just("]"),
        Just("-"),
        Just("?"),
        Just("A"),
        Just("B"),
        Just("W"),
        Just("U"),
        Just("N"),
        Just("1"),
        Just("-2"),
        Just("é"),
        Just(" "),
        Just("\0"),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn nothing_panics(text in ".*", like in reference_like()) {
        for text in [text, like] {
            if let Err(error) = expand(&text, &lookup) {
                prop_assert!(text[error.at..].starts_with("${"), "{error:?}");
            }
            for (at, reference) in suspicious(&text) {
                prop_assert!(text[at..].starts_with(&reference));
            }
        }
    }

    #[test]
    fn text_without_dollar_and_backslash_is_unchanged(text in r"[^$\\]*") {
        prop_assert_eq!(expand(&text, &lookup), Ok(text));
    }

    #[test]
    fn text_with_both_doubled_comes_back(text in ".*", like in reference_like()) {
        for text in [text, like] {
            let escaped = text.replace('\\', r"\\").replace('$', "$$");
            prop_assert_eq!(expand(&escaped, &lookup), Ok(text));
        }
    }

    #[test]
    fn a_trimmed_value_is_the_end_or_the_start_of_it(value in ".{0,12}", pattern in "[a-c*?\\[\\]^é.-]{1,6}") {
        let own = |name: &str| (name == "V").then(|| value.clone());
        for (operator, keeps_end) in [("#", true), ("##", true), ("%", false), ("%%", false)] {
            let trimmed = expand(&format!("${{V{operator}{pattern}}}"), &own).unwrap();
            let kept = if keeps_end { value.ends_with(&trimmed) } else { value.starts_with(&trimmed) };
            prop_assert!(kept);
        }
    }
}
