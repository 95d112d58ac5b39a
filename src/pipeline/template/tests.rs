//! What templates do, row by row; every function and every control structure has rows.

mod errors;
mod generated;
mod limits;
mod promtail;
mod properties;
mod reads;
mod recorded;
mod recorded_failures;
mod sprig;
mod sprig_collections;

use std::collections::BTreeMap;

use super::{Fields, Template};

/// Names and texts.
pub(super) struct Line(BTreeMap<&'static str, &'static str>);

impl Fields for Line {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).copied()
    }

    fn for_each(&self, show: &mut dyn FnMut(&str, &str)) {
        self.0.iter().for_each(|(name, text)| show(name, text));
    }
}

/// The data of the rows.
const DATA: [(&str, &str); 6] =
    [("Value", "Hello World"), ("a", "x"), ("b", ""), ("n", "42"), ("lvl", "WARN"), ("a-b", "dash")];

pub(super) fn line(data: &[(&'static str, &'static str)]) -> Line {
    Line(data.iter().copied().collect())
}

/// Parses and renders; the error is the sentence of whichever failed.
pub(super) fn rendered(template: &str, data: &Line) -> Result<String, String> {
    let parsed = Template::parse(template).map_err(|error| error.to_string())?;
    let mut out = String::new();
    parsed.render(data, &mut out).map_err(|error| error.to_string())?;
    Ok(out)
}

/// Runs a table of templates and outputs, and shows all that differ.
fn hold(rows: &[(&str, &str)]) {
    let data = line(&DATA);
    let mut wrong = Vec::new();
    for (template, expected) in rows {
        let got = rendered(template, &data);
        if got.as_deref() != Ok(*expected) {
            wrong.push(format!("{template}\n  expected {expected:?}\n  got      {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} rows differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Runs a table of templates that parse but fail, and of what their errors say.
fn fail(rows: &[(&str, &str)]) {
    let data = line(&DATA);
    for (template, part) in rows {
        let parsed = Template::parse(template).unwrap_or_else(|error| panic!("{template}: {error}"));
        let mut out = "before".to_owned();
        match parsed.render(&data, &mut out) {
            Ok(()) => panic!("{template} renders {out:?}"),
            Err(error) => assert!(error.to_string().contains(part), "{template}: {error}"),
        }
        assert_eq!(out, "before", "{template} leaves the output alone");
    }
}

#[test]
fn output_is_what_go_was_seen_to_write() {
    hold(recorded::RENDERED);
}

#[test]
fn what_go_was_seen_to_fail_on_fails_here() {
    let rows: Vec<_> = recorded_failures::FAILING.iter().map(|template| (*template, "")).collect();
    fail(&rows);
}

#[test]
fn what_go_was_seen_to_refuse_is_refused_here() {
    for text in recorded_failures::REFUSED {
        assert!(Template::parse(text).is_err(), "{text}");
    }
}

#[test]
fn what_go_learned_since_works() {
    hold(&[
        ("{{ range 3 }}{{ . }},{{ end }}", "0,1,2,"),
        ("{{ range $i := 2 }}{{ $i }}{{ end }}{{ range 0 }}x{{ else }}none{{ end }}", "01none"),
        ("{{ with .b }}1{{ else with .a }}{{ . }}{{ else }}3{{ end }}", "x"),
        ("{{ $x := 0 }}{{ range $x = list 7 8 }}{{ $x }}{{ end }}{{ $x }}", "788"),
        ("{{ $i := 9 }}{{ range $i, $x := list 7 8 }}{{ $i }}{{ $x }}{{ end }}{{ $i }}", "07189"),
    ]);
}

#[test]
fn a_template_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + std::fmt::Debug>() {}
    shared::<Template>();
}
