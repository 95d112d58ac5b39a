//! Reads and writes the timestamps recorded from Go in `tests/conformance/go_time.jsonl`, which `go_time_oracle.go`
//! there makes.
//! In: layouts, places, texts and moments.  Out: where we disagree.  Owns: nothing.
//!
//! `TAILWATER_GO_TIME_CASES=file` takes a larger recording instead.

use std::fs;

use serde_json::Value;

use super::{TimeFormat, location};
use crate::pipeline::fuzzing::written;

#[test]
fn generated_layouts_read_and_write_what_go_does() {
    let recorded = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/go_time.jsonl").to_owned();
    let file = std::env::var("TAILWATER_GO_TIME_CASES").unwrap_or(recorded);
    let (mut rows, mut wrong) = (0, Vec::new());
    for line in fs::read_to_string(file).unwrap().lines() {
        let row: Vec<Value> = serde_json::from_str(line).unwrap();
        let text = |at: usize| row[at].as_str().unwrap();
        let (layout, place, moment) = (text(0), text(1), row[2].as_i64().unwrap());
        let shown = written(layout, moment);
        if shown != text(3) {
            wrong.push(format!("{moment} by {layout:?} is written {shown:?}, recorded {:?}", text(3)));
        }
        let read = TimeFormat::compile(layout, location(place).ok()).parse(text(4), 0);
        if read.clone().ok() != row[5].as_i64() {
            wrong.push(format!("{:?} by {layout:?} in {place} is {read:?}, recorded {:?}", text(4), row[5]));
        }
        rows += 1;
    }
    assert!(rows > 4000, "only {rows} rows were run");
    wrong.sort_by_key(String::len);
    let shown = wrong[..wrong.len().min(40)].join("\n");
    assert!(wrong.is_empty(), "{} of {rows} rows differ, the shortest:\n{shown}", wrong.len());
}
