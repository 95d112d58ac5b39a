//! A line without what it says, so that the kind of line can be recognised on a page that more people see than logs.
//! In: a line, the names that stages speak of.  Out: as much of it as is shown, letters as `x`, digits as `0`.  Owns:
//! nothing.

use std::sync::Arc;

/// Bytes of a line that are shown.
const SHOWN: usize = 256;

/// The beginning of a line, redacted. Punctuation and blanks stay, and so does a name that a stage speaks of where it
/// stands as a key: in quotes before a colon, or before an equals sign.
pub(crate) fn redact(line: &[u8], names: &[Arc<str>]) -> String {
    let text = String::from_utf8_lossy(&line[..line.len().min(SHOWN)]);
    // A character that was cut is no part of what is shown.
    let text = if line.len() > SHOWN { text.trim_end_matches('\u{fffd}') } else { &text };
    let mut redacted = String::with_capacity(text.len() + 4);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = &rest[..rest.find(|c| !is_of_word(c)).unwrap_or(rest.len())];
        let before = text[..text.len() - rest.len()].chars().next_back();
        let length = word.len().max(first.len_utf8());
        let after = &rest[length..];
        match word {
            "" => redacted.push(symbol(first)),
            word if is_key(before, after) && names.iter().any(|name| **name == *word) => {
                redacted.push_str(word);
            }
            word => redacted.extend(word.chars().map(symbol)),
        }
        rest = after;
    }
    if line.len() > SHOWN {
        redacted.push('…');
    }
    redacted
}

/// What a name may be made of.
fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '@')
}

/// Whether a word between these stands as a key.
fn is_key(before: Option<char>, after: &str) -> bool {
    match before {
        Some('"') => after.strip_prefix('"').is_some_and(|after| after.trim_start().starts_with(':')),
        None | Some(' ' | '\t') => after.starts_with('='),
        _ => false,
    }
}

/// What is shown for one character.
fn symbol(c: char) -> char {
    match c {
        c if c.is_ascii_digit() => '0',
        c if c.is_ascii_punctuation() || matches!(c, ' ' | '\t' | '\n' | '\u{fffd}') => c,
        c if c.is_numeric() => '0',
        c if c.is_uppercase() => 'X',
        c if c.is_control() => '\u{fffd}',
        // Letters, and whatever else has a meaning of its own.
        _ => 'x',
    }
}

/// Of the letters and digits of a line only names that are allowed survive, where they are keys.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz(line: &[u8]) {
    let names = ["level", "id"];
    let redacted = redact(line, &names.map(Arc::from));
    for word in redacted.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let is_redacted = word.chars().all(|c| matches!(c, 'x' | 'X' | '0'));
        assert!(is_redacted || names.contains(&word), "{word:?} survives in {redacted:?}");
    }
    // What stays is one character for one, and bytes that are no text become longer.
    assert!(redacted.chars().count() <= SHOWN + 1, "{redacted:?} is too long");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(line: &str, names: &[&str]) -> String {
        let names: Vec<Arc<str>> = names.iter().map(|name| (*name).into()).collect();
        redact(line.as_bytes(), &names)
    }

    #[test]
    fn the_make_of_a_line_stays_and_what_it_says_does_not() {
        assert_eq!(
            shown(
                r#"{"level": "INFO","user" :"Ann Böll 7","n":-1.5e3,"a\"b":[true]}"#,
                &["level", "user", "INFO", "b"]
            ),
            r#"{"level": "XXXX","user" :"Xxx Xxxx 0","x":-0.0x0,"x\"b":[xxxx]}"#
        );
        assert_eq!(
            shown("level=info msg=\"level=x\" level:", &["level"]),
            "level=xxxx xxx=\"xxxxx=x\" xxxxx:"
        );
        assert_eq!(shown("trace.id=5 a", &["id", "trace.id"]), "trace.id=0 x");
        assert_eq!(shown("١٢ Ω 字😀\u{1b}[31m\u{0}", &[]), "00 X xx\u{fffd}[00x\u{fffd}");
        assert_eq!(redact(b"ab\xff\xfe1", &[]), "xx\u{fffd}\u{fffd}0");
    }

    #[test]
    fn only_the_beginning_is_shown() {
        assert_eq!(shown(&"a".repeat(256), &[]), "x".repeat(256));
        assert_eq!(shown(&"a".repeat(257), &[]), format!("{}…", "x".repeat(256)));
        assert_eq!(shown(&format!("{}€€", "a".repeat(254)), &[]), format!("{}…", "x".repeat(254)));
        let cut = shown(&format!("{} id=5", "a".repeat(253)), &["id"]);
        assert!(cut.ends_with(" xx…"), "who knows what this name is: {cut}");
    }

    proptest! {
        #[test]
        fn of_letters_and_digits_only_allowed_names_survive(
            parts in prop::collection::vec(
                prop_oneof![
                    "[ -~]{0,8}".prop_map(String::into_bytes),
                    ".{0,4}".prop_map(String::into_bytes),
                    Just(b"\"level\":".to_vec()),
                    Just(b" id=".to_vec()),
                    "(level|id)".prop_map(String::into_bytes),
                    prop::collection::vec(any::<u8>(), 0..9),
                ],
                0..60,
            ),
        ) {
            fuzz(&parts.concat());
        }
    }
}
