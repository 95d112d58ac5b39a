//! Nothing a template says can hang the agent or fill its memory.

use super::super::Template;
use super::{fail, hold, line};

#[test]
fn endless_work_ends() {
    fail(&[
        ("{{ until 1000000000 }}", "steps"),
        ("{{ untilStep 0 1000000000 1 | len }}", "steps"),
        ("{{ seq 1000000000 }}", "steps"),
        ("{{ range 1000000000 }}{{ end }}", "steps"),
        ("{{ range until 1000 }}{{ range until 1000 }}{{ end }}{{ end }}", "steps"),
        ("{{ $l := until 9000 }}{{ uniq $l | len }}", "steps"),
        ("{{ define \"x\" }}{{ template \"x\" }}{{ end }}{{ template \"x\" }}", "levels"),
        ("{{ template \"pipeline_template\" . }}", "levels"),
        ("{{ define \"x\" }}{{ if 1 }}{{ template \"x\" }}{{ end }}{{ end }}{{ template \"x\" }}", "levels"),
        ("{{ define \"x\" }}{{ template \"x\" }}{{ template \"x\" }}{{ end }}{{ template \"x\" }}", "levels"),
        ("{{ regexReplaceAll \"\" (repeat 1000000 \"y\") (repeat 300000 \"$9\") }}", "steps"),
        ("{{ range 9 }}{{ regexReplaceAll \"y\" (repeat 1000000 \"y\") \"\" }}{{ end }}", "steps"),
        ("{{ range 90000 }}{{ $x := regexMatch (print .) \"x\" }}{{ end }}", "steps"),
    ]);
}

#[test]
fn endless_text_ends() {
    let text = "bytes in one text";
    fail(&[
        ("{{ repeat 1000000000 \"x\" }}", text),
        ("{{ repeat 9223372036854775807 \"xx\" }}", text),
        ("{{ repeat 1000000 \"x\" | repeat 1000000 }}", text),
        ("{{ indent 1000000000 \"x\" }}", text),
        ("{{ indent 1000 (repeat 10000 \"\\n\") }}", text),
        ("{{ replace \"\" (repeat 10000 \"x\") (repeat 10000 \"y\") }}", text),
        ("{{ Replace (repeat 10000 \"y\") \"\" (repeat 10000 \"x\") -1 }}", text),
        ("{{ regexReplaceAll \"\" (repeat 10000 \"y\") (repeat 10000 \"x\") }}", text),
        ("{{ regexReplaceAll \".*\" (repeat 10000 \"y\") (repeat 10000 \"$0\") }}", text),
        ("{{ regexReplaceAll \".*\" (repeat 1000000 \"y\") (repeat 10000 \"$0\") }}", text),
        ("{{ join (repeat 10000 \"x\") (until 10000) }}", text),
        ("{{ wrapWith 1 (repeat 10000 \"x\") (repeat 10000 \"y\") }}", text),
        ("{{ printf \"%1000000d%1000000d\" 1 2 }}", text),
        ("{{ printf \"%.1000000f%.1000000f\" 1.0 1.0 }}", text),
        ("{{ printf \"%.9000000d\" 1 }}", text),
        ("{{ $x := repeat 1000000 \"x\" }}{{ $x }}{{ $x }}", text),
        ("{{ randAlpha 1000000000 }}", text),
        ("{{ range until 1000 }}{{ repeat 10000 \"x\" }}{{ end }}", text),
        ("{{ $l := list 1 }}{{ range until 60 }}{{ $l = list $l $l }}{{ end }}{{ $l }}", text),
        ("{{ $l := list 1 }}{{ range until 60 }}{{ $l = list $l $l }}{{ end }}{{ toJson $l }}", text),
    ]);
}

#[test]
fn endless_memory_ends() {
    fail(&[
        ("{{ range until 1000 }}{{ $x := repeat 1000000 \"x\" }}{{ end }}", "intermediate"),
        ("{{ $l := list }}{{ range until 9000 }}{{ $l = append $l 1 }}{{ end }}", ""),
        ("{{ $s := \"x\" }}{{ range until 30 }}{{ $s = print $s $s }}{{ end }}", ""),
        ("{{ $l := list 1 }}{{ range until 200 }}{{ $l = list $l }}{{ end }}", "lists in each other"),
        ("{{ $l := list 1 }}{{ range until 60 }}{{ $l = list $l $l }}{{ end }}{{ deepCopy $l }}", ""),
        (
            "{{ $l := list 1 }}{{ range until 60 }}{{ $l = list $l $l }}{{ end }}{{ deepEqual $l (deepCopy $l) }}",
            "",
        ),
        (
            "{{ $d := dict }}{{ range until 9000 }}{{ $_ := set $d (repeat 10000 \"x\" | print .) 1 }}{{ end }}",
            "",
        ),
    ]);
}

#[test]
fn long_chains_of_dicts_come_apart_without_recursion() {
    hold(&[("{{ $d := dict }}{{ range until 9000 }}{{ $d = dict \"d\" $d }}{{ end }}{{ len $d }}", "1")]);
    hold(&[(
        "{{ $d := dict }}{{ $e := $d }}{{ range until 9000 }}{{ $n := dict }}{{ $_ := set $e \"n\" (list $n) }}\
         {{ $e = $n }}{{ end }}{{ len $d }}",
        "1",
    )]);
}

#[test]
fn deep_nesting_is_refused_before_it_is_run() {
    let nested = |levels: usize| format!("{}1{}", "{{ if 1 }}".repeat(levels), "{{ end }}".repeat(levels));
    assert!(Template::parse(&nested(90)).is_ok());
    assert!(Template::parse(&nested(100_000)).is_err());
    let parens = format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(Template::parse(&parens).is_err());
    let chain = format!("{{{{ if 0 }}}}{}{{{{ end }}}}", "{{ else if 0 }}".repeat(100_000));
    assert!(Template::parse(&chain).is_err());
    assert!(Template::parse(&format!("{{{{ .a{} }}}}", ".b".repeat(100_000))).is_ok());
}

#[test]
fn the_deepest_template_fits_a_small_stack() {
    let run = || {
        let levels = 99;
        let text = format!("{}1{}", "{{ if (print 1) }}".repeat(levels), "{{ end }}".repeat(levels));
        let parsed = Template::parse(&text).unwrap();
        let mut out = String::new();
        parsed.render(&line(&[]), &mut out).unwrap();
        assert_eq!(out, "1");
        let recursive = "{{ define \"x\" }}{{ with (list (template_free)) }}{{ end }}{{ end }}";
        assert!(Template::parse(recursive).is_err());
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap().join().unwrap();
}

#[test]
fn output_before_a_failure_is_taken_back() {
    let parsed = Template::parse("abc{{ fail \"x\" }}").unwrap();
    let mut out = "kept".to_owned();
    assert!(parsed.render(&line(&[]), &mut out).is_err());
    assert_eq!(out, "kept");
}
