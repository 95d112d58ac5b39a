//! Promtail's own functions, and the template cases of the conformance set.

use super::{Line, fail, hold, line, rendered};

#[test]
fn functions_take_the_subject_first() {
    hold(&[
        ("{{ ToLower .Value }}", "hello world"),
        ("{{ .Value | ToUpper }}", "HELLO WORLD"),
        ("{{ ToUpper \"ß\" }}", "ß"),
        ("{{ Replace .Value \"o\" \"0\" 1 }}", "Hell0 World"),
        ("{{ Replace .Value \"o\" \"0\" -1 }}", "Hell0 W0rld"),
        ("{{ Trim \"xxaxx\" \"x\" }}", "a"),
        ("{{ TrimLeft \"xyaxy\" \"yx\" }}", "axy"),
        ("{{ TrimRight \"xyaxy\" \"yx\" }}", "xya"),
        ("{{ TrimPrefix .Value \"Hello \" }}", "World"),
        ("{{ TrimSuffix .Value \" World\" }}", "Hello"),
        ("{{ TrimSuffix .Value \"nope\" }}", "Hello World"),
        ("{{ TrimSpace \" \\t a b\\n\" }}", "a b"),
        ("{{ regexReplaceAll \"(l+)o\" .Value \"<$1>\" }}", "He<ll> World"),
        ("{{ .Value | regexReplaceAllLiteral \"o\" \"Foo\" }}", "FHello WorldHello World"),
        ("{{ regexReplaceAllLiteral \"l+\" .Value \"$0\" }}", "He$0o Wor$0d"),
        ("{{ regexReplaceAll \"x*\" \"éa\" \"-\" }}", "-é-a-"),
        (
            "{{ $r := \"o\" }}{{ regexReplaceAll $r .Value \"0\" }}{{ regexReplaceAll $r .a \"0\" }}",
            "Hell0 W0rldx",
        ),
    ]);
}

#[test]
fn hashes_are_of_both_texts_in_a_row() {
    let data = line(&[("Value", "pii")]);
    let sha2 = "c3e043ecb185498ab8bbdfcc0f3236edff3edb01723f2a59635bc4e465f635ae";
    assert_eq!(rendered("{{ Sha2Hash .Value \"salt\" }}", &data).unwrap(), sha2);
    let sha3 = "7e848b4b2565116ac8e8960cf91ce3e096f4d0eb846ac680dea260a959e17626";
    assert_eq!(rendered("{{ Hash .Value \"salt\" }}", &data).unwrap(), sha3);
}

#[test]
fn a_missing_name_renders_no_value_and_no_function_takes_it_for_text() {
    hold(&[("{{ .missing }}", "<no value>"), ("{{ if .missing }}1{{ else }}2{{ end }}", "2")]);
    fail(&[
        ("{{ .missing | ToLower }}", "no value where string is expected"),
        ("{{ Replace .Value \"a\" .missing 1 }}", "no value"),
        ("{{ regexReplaceAll \"(\" .Value \"x\" }}", "invalid regular expression"),
        ("{{ regexReplaceAll \"\\\\K\" .Value \"x\" }}", "invalid regular expression"),
        ("{{ Replace .Value \"a\" \"b\" }}", "wrong number of arguments for Replace: wants 4, got 3"),
        ("{{ ToLower 5 }}", "expected string, got int"),
        ("{{ Replace .Value \"a\" \"b\" (add 1 1) }}", "expected int, got int64"),
    ]);
}

#[test]
fn conformance_cases_hold() {
    let holds = |template: &str, data: &Line, expected: &str| {
        assert_eq!(rendered(template, data).as_deref(), Ok(expected), "{template}");
    };
    let level = "{{ if eq \"7\" .Value }}debug{{ else }}sev-{{ .Value }}{{ end }}";
    holds("[{{ ToLower .Value }}]", &line(&[("Value", "PAY")]), "[pay]");
    holds(level, &line(&[("Value", "7")]), "debug");
    holds(level, &line(&[("Value", "3")]), "sev-3");
    holds("made up", &line(&[]), "made up");
    holds("{{.Value}} in {{.module}}", &line(&[]), "<no value> in <no value>");
    let words = line(&[("Value", "One Two Three Four")]);
    holds("{{ Replace .Value \" \" \"_\" 2 | ToLower }}", &words, "one_two_three four");
    holds("{{ .b }}: {{ .Entry }}", &line(&[("b", "1"), ("Entry", "line")]), "1: line");
    let warning = line(&[("Value", "Warning")]);
    holds("{{ Replace .Value \"Warning\" \"warn\" 1 }}{{ .t }}", &warning, "warn<no value>");
    holds("/p/", &line(&[("Value", "/a/b")]), "/p/");
    holds("[{{ .Value }}]", &line(&[("Value", "1")]), "[1]");
    assert!(rendered("{{ .Value | ToLower }}", &line(&[])).is_err());
    assert!(super::Template::parse("{{ .Value ").is_err());
}
