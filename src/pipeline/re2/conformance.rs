//! Runs the expressions recorded from Go in `tests/conformance/re2.jsonl`, which `re2_oracle.py` there generates.
//! In: expressions, texts, what matched.  Out: where we disagree.  Owns: the list of what we accept beyond it.
//!
//! `TAILWATER_RE2_CASES=file` takes a larger recording instead.

use std::fs;

use serde_json::Value;

use super::{PatternError, compile};

/// Short names of scripts, which come with the engine and which Go refuses: nobody can have relied on that.
const SHORT_NAMES: [&str; 2] = ["grek", "latn"];

/// The spans of the whole match and of each group, as the recording has them; nothing where nothing matches.
fn spans(regex: &regex::bytes::Regex, text: &str) -> Vec<i64> {
    let place = |at: usize| i64::try_from(at).unwrap();
    let span = |group: Option<regex::bytes::Match<'_>>| {
        group.map_or([-1, -1], |group| [place(group.start()), place(group.end())])
    };
    let found = regex.captures(text.as_bytes());
    found.map_or_else(Vec::new, |captures| captures.iter().flat_map(span).collect())
}

/// What one recorded row says that we do otherwise; the number of its cases.
fn differences(row: &[Value], wrong: &mut Vec<String>) -> usize {
    let expression = row[0].as_str().unwrap();
    let regex = match compile(expression) {
        Ok(_) if row.len() == 1 => {
            let plain = expression.replace(['-', '_', ' '], "").to_lowercase();
            if SHORT_NAMES.iter().any(|name| plain.contains(name)) {
                return 0;
            }
            wrong.push(format!("{expression:?} is accepted"));
            return 1;
        }
        Err(error) if row.len() > 1 || matches!(error, PatternError::Engine { .. }) => {
            wrong.push(format!("{expression:?} is refused: {error}"));
            return 1;
        }
        Err(_) => return 1,
        Ok(regex) => regex,
    };
    for case in row[1..].chunks(2) {
        let text = case[0].as_str().unwrap();
        let expected: Vec<i64> = case[1].as_array().unwrap().iter().map(|at| at.as_i64().unwrap()).collect();
        let found = spans(&regex, text);
        // `\B` finds an empty match inside a character, as in RE2 but not in Go; see `re2`.
        let inside = found.first().is_some_and(|at| !text.is_char_boundary(usize::try_from(*at).unwrap()));
        if found != expected && !inside {
            wrong.push(format!("{expression:?} in {text:?}: {found:?}, recorded {expected:?}"));
        }
    }
    row.len() / 2
}

#[test]
fn generated_expressions_match_what_go_matches() {
    let recorded = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/re2.jsonl").to_owned();
    let file = std::env::var("TAILWATER_RE2_CASES").unwrap_or(recorded);
    let (mut cases, mut wrong) = (0, Vec::new());
    for line in fs::read_to_string(file).unwrap().lines() {
        let row: Vec<Value> = serde_json::from_str(line).unwrap();
        cases += differences(&row, &mut wrong);
    }
    assert!(cases > 15_000, "only {cases} cases were run");
    wrong.sort_by_key(String::len);
    let shown = wrong[..wrong.len().min(40)].join("\n");
    assert!(wrong.is_empty(), "{} of {cases} cases differ, the shortest:\n{shown}", wrong.len());
}
