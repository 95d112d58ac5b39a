//! Runs the templates recorded from Go in `tests/conformance/go_template.jsonl`, which `go_template_oracle.go` there
//! makes.
//! In: templates and their texts.  Out: where we disagree.  Owns: nothing.
//!
//! `TAILWATER_GO_TEMPLATE_CASES=file` takes a larger recording instead.

use std::fs;

use super::{DATA, line, rendered};

#[test]
fn generated_templates_give_what_go_gives() {
    let recorded = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/go_template.jsonl").to_owned();
    let file = std::env::var("TAILWATER_GO_TEMPLATE_CASES").unwrap_or(recorded);
    let (data, mut rows, mut wrong) = (line(&DATA), 0, Vec::new());
    for row in fs::read_to_string(file).unwrap().lines() {
        let (template, text): (String, Option<String>) = serde_json::from_str(row).unwrap();
        let got = rendered(&template, &data);
        if got.as_deref().ok() != text.as_deref() {
            wrong.push(format!("{template:?}\n  recorded {text:?}\n  got      {got:?}"));
        }
        rows += 1;
    }
    assert!(rows > 4000, "only {rows} rows were run");
    wrong.sort_by_key(String::len);
    let shown = wrong[..wrong.len().min(60)].join("\n");
    assert!(wrong.is_empty(), "{} of {rows} rows differ, the shortest:\n{shown}", wrong.len());
}
