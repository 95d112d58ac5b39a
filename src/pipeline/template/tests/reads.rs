//! Which fields a template is known to read.

use super::super::Template;

fn reads(template: &str) -> (Vec<String>, bool) {
    let parsed = Template::parse(template).unwrap();
    (parsed.fields().to_vec(), parsed.reads_everything())
}

fn only(names: &[&str]) -> (Vec<String>, bool) {
    (names.iter().map(|name| (*name).to_owned()).collect(), false)
}

#[test]
fn names_are_found_wherever_they_stand() {
    assert_eq!(reads("text"), only(&[]));
    assert_eq!(reads("{{ .b }}{{ .a.x }}{{ .b }}"), only(&["a", "b"]));
    assert_eq!(reads("{{ if eq .a \"x\" }}{{ .b }}{{ else }}{{ .c }}{{ end }}"), only(&["a", "b", "c"]));
    assert_eq!(reads("{{ $x := .a }}{{ $.b }}{{ printf \"%s\" (.c | ToLower) }}"), only(&["a", "b", "c"]));
    assert_eq!(reads("{{ index . \"a-b\" }}{{ get $ \"c\" }}{{ hasKey . \"d\" }}"), only(&["a-b", "c", "d"]));
    assert_eq!(reads("{{ define \"t\" }}{{ .a }}{{ end }}{{ template \"t\" . }}"), only(&["a"]));
    assert_eq!(reads("{{ with .a }}{{ . }}{{ $.b }}{{ end }}"), only(&["a", "b"]));
    assert_eq!(reads("{{ range splitList \",\" .a }}{{ . }}{{ end }}"), only(&["a"]));
    assert_eq!(reads("{{ (index . \"a\") | ToLower }}"), only(&["a"]));
}

#[test]
fn reading_the_whole_is_noticed() {
    let everything = [
        "{{ . }}",
        "{{ range . }}{{ end }}",
        "{{ toJson . }}",
        "{{ . | toJson }}",
        "{{ index . $.a }}",
        "{{ $x := . }}{{ $x.a }}",
        "{{ with . }}{{ .a }}{{ end }}",
        "{{ range $k, $v := $ }}{{ $k }}{{ end }}",
        "{{ define \"t\" }}{{ toJson . }}{{ end }}{{ template \"t\" . }}",
        "{{ if . }}{{ end }}",
        "{{ keys $ }}",
        "{{ list . }}",
        "{{ range list 1 }}{{ $ }}{{ end }}",
        "{{ block \"b\" . }}{{ len . }}{{ end }}",
        "{{ \"a\" | index . }}",
    ];
    for template in everything {
        assert!(reads(template).1, "{template}");
    }
}
