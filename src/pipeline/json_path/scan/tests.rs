//! What the scanner finds is what serde_json finds.
//! In: JSON as it is, and as it is not.  Out: verdicts.  Owns: nothing.

use proptest::prelude::*;

use super::*;

/// JSON as it is, and as it is not.
fn json() -> impl Strategy<Value = String> {
    let string = prop_oneof![
        "[a-z \u{e9}\u{10ffff}\u{7f}]{0,20}",
        "(\\\\[\"\\\\/bfnrtu0x]|[a-z]{0,9}|\\\\u00e9|\u{1}){0,6}",
        // Across the blocks that are looked at together.
        "([a-zé]{0,40}\\\\[\"\\\\/bfnrt]){0,8}",
    ];
    let string = string.prop_map(|text| format!("\"{text}\""));
    let number = prop_oneof!["-?[0-9]{1,18}", "-?[0-9]{1,3}\\.[0-9]{0,3}", "-?[0-9]{1,2}[eE][+-]?[0-9]{0,2}"];
    let word = prop_oneof![Just("null"), Just("true"), Just("false"), Just("nul"), Just("-"), Just("+1")];
    let leaf = prop_oneof![3 => string, 2 => number, 1 => word.prop_map(str::to_owned)];
    let space = || prop_oneof![4 => Just(""), 1 => Just(" "), 1 => Just("\t\r\n")];
    let key = prop_oneof![
        Just("log"),
        Just("stream"),
        Just("time"),
        Just("a"),
        Just("é"),
        Just("b"),
        Just("\\u0061")
    ];
    let value = leaf.prop_recursive(3, 16, 4, move |inner| {
        let item = (space(), inner, space()).prop_map(|(before, inner, after)| format!("{before}{inner}{after}"));
        let field = (key.clone(), space(), item.clone()).prop_map(|(key, space, item)| format!("\"{key}\"{space}:{item}"));
        prop_oneof![
            1 => proptest::collection::vec(item, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            3 => proptest::collection::vec(field, 0..5).prop_map(|fields| format!("{{{}}}", fields.join(","))),
        ]
    });
    (space(), value, prop_oneof![6 => Just(""), 1 => Just(" "), 1 => Just("x"), 1 => Just(",")])
        .prop_map(|(before, value, after)| format!("{before}{value}{after}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_found_is_what_serde_finds(text in json(), cut in any::<prop::sample::Index>(), letter in "[\"\\\\{}\\[\\],:0-9a-z\u{0}]") {
        compare(&text);
        let cuts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        if !cuts.is_empty() {
            let at = cuts[cut.index(cuts.len())];
            compare(&text[..at]);
            compare(&format!("{}{letter}{}", &text[..at], &text[at..]));
        }
    }
}

#[test]
fn lines_of_docker_and_of_applications_are_read_here_and_odd_ones_are_left() {
    for plain in [
        r#"{"log":"{\"level\":\"INFO\",\"message\":\"a\\nb\"}\n","stream":"stdout","time":"2026-11-24T07:00:00.000000000Z"}"#,
        r#"{"a":-12,"b":{"c":[1.5,"x\"",null,{}]},"log":true,"time":false,"stream":null}"#,
        " {} ",
        "{\"a\" : 123456789012345 ,\n\"é\":\"\"}\r\n",
    ] {
        assert!(compare(plain), "{plain}");
    }
    for odd in [
        "",
        "null",
        "[]",
        "{",
        "{}}",
        "{\"a\":1.5}",
        "{\"a\":[]}",
        "{\"a\":-0}",
        "{\"a\":1234567890123456}",
        "{\"b\":01}",
        r#"{"a":"\u0041"}"#,
        r#"{"b":"\u0041"}"#,
        r#"{"b":"\x"}"#,
        "{\"b\":\"\n\"}",
        "{\"b\":1,}",
        "{\"a\" 1}",
        r#"{"\u0061":1}"#,
    ] {
        assert!(!compare(odd), "{odd}");
    }
}
