//! No text breaks the parser, no template the renderer.

use proptest::prelude::{Strategy, any, prop, prop_oneof, proptest};

use super::super::{Template, functions};
use super::{DATA, line, rendered};

/// An operand, a call or a pipeline of a few words.
fn pipeline() -> impl Strategy<Value = String> {
    let names: Vec<&'static str> = functions::all().map(|row| row.name).collect();
    let leaf = prop_oneof![
        prop::sample::select(vec![
            ".",
            ".a",
            ".b",
            ".Value",
            ".n",
            ".missing",
            "$",
            "$x",
            "$x.a",
            "1",
            "-3",
            "2.5",
            "\"\"",
            "\"a,b\"",
            "\"%v %5.2q %x\"",
            "`(a*)`",
            "'x'",
            "true",
            "nil",
            "1000000000",
            "\"1.2.3\"",
            "\"2006 Jan 15:04 MST\"",
            "(list 1 \"a\" nil)",
            "(dict \"a\" 1 \"b\" (list 2))",
            "(until 3)",
            "now",
            "\"é日\"",
            "(semver \"1.2\")",
        ])
        .prop_map(str::to_owned),
        prop::sample::select(names.clone()).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 12, 4, move |inner| {
        (prop::sample::select(names.clone()), prop::collection::vec(inner, 0..5), any::<bool>()).prop_map(
            |(name, operands, piped)| match operands.split_last() {
                Some((last, before)) if piped => format!("({last} | {name} {})", before.join(" ")),
                _ => format!("({name} {})", operands.join(" ")),
            },
        )
    })
}

fn template() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        pipeline().prop_map(|pipeline| format!("{{{{ {pipeline} }}}}")),
        pipeline().prop_map(|pipeline| format!("{{{{- $x = {pipeline} }}}}")),
        "[a-z {}]{0,5}",
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let body = prop::collection::vec(inner, 0..3).prop_map(|nodes| nodes.concat());
        let words = prop::sample::select(vec!["if", "with", "range", "range $i, $x :=", "range $x ="]);
        (words, pipeline(), body.clone(), body).prop_map(|(word, pipeline, body, otherwise)| {
            format!("{{{{ {word} {pipeline} }}}}{body}{{{{ else }}}}{otherwise}{{{{ end }}}}")
        })
    })
}

proptest! {
    #[test]
    fn no_text_panics_the_parser(text in any::<String>()) {
        let _ = Template::parse(&text);
        let _ = Template::parse(&format!("{{{{{text}}}}}"));
    }

    #[test]
    fn no_run_of_words_panics_anything(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "{{", "}}", "{{-", "-}}", " ", "if", "else", "end", "range", "with", "define", "template", "block",
                "break", "continue", "\"x\"", "$x", ":=", "=", ",", "|", "(", ")", ".", ".a", "1", "nil", "print",
                "/*", "*/", "'a'", "`", "\"", "\\", "é", "\n",
            ]),
            0..30,
        )
    ) {
        let _ = rendered(&words.concat(), &line(&DATA));
    }

    #[test]
    fn no_template_panics_the_renderer(template in template()) {
        let _ = rendered(&format!("{{{{ $x := . }}}}{template}"), &line(&DATA));
    }

    #[test]
    fn text_without_braces_comes_out_as_it_went_in(text in "[^{]*") {
        assert_eq!(rendered(&text, &line(&DATA)), Ok(text));
    }

    #[test]
    fn a_quoted_text_reads_back_as_itself(text in any::<String>()) {
        let quoted = rendered("{{ quote .Value }}", &super::Line([("Value", &*text.clone().leak())].into())).unwrap();
        assert_eq!(rendered(&format!("{{{{ {quoted} }}}}"), &line(&[])), Ok(text));
    }

    #[test]
    fn json_reads_back_as_itself(text in any::<String>()) {
        let data = super::Line([("Value", &*text.clone().leak())].into());
        let back = rendered("{{ (dict \"a\" (list .Value)) | toJson | fromJson | dig \"a\" 0 | first }}", &data);
        assert_eq!(back, Ok(text));
    }
}
