//! Runs the cases recorded from Promtail 3.6.15 in `tests/conformance/promtail.json` through the pipeline.
//! In: configuration and lines.  Out: entries and metrics, compared with what Promtail sent.  Owns: nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::batch::Groups;
use crate::config::parse_yaml;
use crate::metrics::{Own, Registry};
use crate::pipeline::compile::Pipeline;
use crate::pipeline::lane::{Lane, Scratch};
use crate::record::{Labels, UnixNanos};

/// The time the recorded entries came in with.
const INCOMING: UnixNanos = UnixNanos(1_767_323_045_000_000_000);

/// Cases that need stages or options which do not exist yet. The number may only go down.
const NOT_YET: usize = 18;

/// Cases in which we do better on purpose, and why.
const DIFFERENT: [(&str, &str); 2] = [
    (
        "replace-9",
        "a template that does not parse is refused at start, and does not switch the stage off in silence",
    ),
    ("static-2", "a label name that Loki would refuse is made valid, so that the push is not lost"),
];

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    pipeline_stages: String,
    extra_yaml: String,
    entries: Vec<Input>,
    expected: Expected,
}

#[derive(Deserialize)]
struct Input {
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Absent where the entry is only a pause.
    line: Option<String>,
    /// `in`, `now` or nanoseconds.
    ts: Option<String>,
}

#[derive(Deserialize)]
struct Expected {
    startup: String,
    #[serde(default)]
    entries: Vec<Output>,
    /// Absent where they were not recorded.
    metrics: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Output {
    labels: String,
    line: String,
    ts: String,
    structured_metadata: Vec<(String, String)>,
    tenant: Option<String>,
}

/// What a case came to, in the terms of the recording.
#[derive(Debug, PartialEq)]
struct Seen {
    /// Entries per stream and tenant, in order.
    streams: BTreeMap<String, Vec<String>>,
    metrics: BTreeSet<String>,
}

enum Run {
    NotYet,
    Refused(String),
    Ran(Seen),
}

fn run(case: &Case) -> Run {
    if !case.extra_yaml.is_empty() {
        return Run::NotYet;
    }
    let registry = Registry::default();
    let own = Own::register(&registry);
    let node = match parse_yaml(&case.pipeline_stages) {
        Ok(node) => node,
        Err(invalid) => return Run::Refused(invalid.to_string()),
    };
    let pipeline = match Pipeline::compile(Some(&node), &registry, &own) {
        Ok(pipeline) => Arc::new(pipeline),
        Err(invalid) if invalid.to_string().contains("not supported by this version") => return Run::NotYet,
        Err(invalid) => return Run::Refused(invalid.to_string()),
    };
    let mut lanes: BTreeMap<&BTreeMap<String, String>, Lane> = BTreeMap::new();
    let mut scratch = Scratch::default();
    let mut groups = Groups::new(1);
    for input in &case.entries {
        let labels: Labels = input.labels.iter().collect();
        let lane = lanes.entry(&input.labels).or_insert_with(|| Lane::new(pipeline.clone(), &labels));
        lane.enter(&mut scratch);
        let Some(line) = &input.line else { return Run::NotYet };
        let time = if input.ts.as_deref() == Some("now") { crate::clock::now() } else { INCOMING };
        lane.run(line.as_bytes(), time, crate::clock::now(), &mut scratch, &mut groups);
    }
    let mut streams: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for group in groups.iter() {
        let key = format!("{} {:?}", pairs(&group.stream.text), group.stream.tenant);
        let mut request = Vec::new();
        crate::batch::encode_stream(&group.stream.text, &group.encoded, &mut request);
        let request: crate::batch::PushRequest = prost::Message::decode(request.as_slice()).unwrap();
        for entry in &request.streams[0].entries {
            let time = entry.timestamp.unwrap();
            let nanos = time.seconds * 1_000_000_000 + i64::from(time.nanos);
            let recent = UnixNanos(nanos) > crate::clock::now().minus(Duration::from_secs(60))
                && nanos < crate::clock::now().0;
            let time = if recent { "now".to_owned() } else { nanos.to_string() };
            let metadata =
                entry.structured_metadata.iter().map(|pair| (pair.name.clone(), pair.value.clone()));
            let text = String::from_utf8_lossy(&entry.line);
            let seen = format!("{time} {text} {:?}", sorted(metadata.collect()));
            streams.entry(key.clone()).or_default().push(seen);
        }
    }
    Run::Ran(Seen { streams, metrics: metrics(&registry.render(crate::clock::now())) })
}

/// Label pairs in a canonical order: the recording's order is its own.
fn pairs(labels: &str) -> String {
    let inner = labels.trim_start_matches('{').trim_end_matches('}');
    let mut pairs: Vec<&str> = inner.split(", ").collect();
    pairs.sort_unstable();
    pairs.join(",")
}

/// The order of metadata is free.
fn sorted(mut metadata: Vec<(String, String)>) -> Vec<(String, String)> {
    metadata.sort();
    metadata
}

fn metrics(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let named =
        lines.map(|line| line.replace("tailwater_lines_dropped_total", "logentry_dropped_lines_total"));
    let ours = named.filter(|line| !line.starts_with("tailwater_"));
    // The recording leaves out what is zero, buckets aside.
    ours.filter(|line| line.contains("_bucket{") || !line.ends_with(" 0")).map(|line| sample(&line)).collect()
}

fn sample(line: &str) -> String {
    let Some((name, rest)) = line.split_once('{') else { return line.to_owned() };
    let Some((labels, value)) = rest.rsplit_once('}') else { return line.to_owned() };
    let mut labels: Vec<&str> = labels.split(',').collect();
    labels.sort_unstable();
    format!("{name}{{{}}}{value}", labels.join(","))
}

fn expected(case: &Case) -> Seen {
    let mut streams: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for output in &case.expected.entries {
        let key = format!("{} {:?}", pairs(&output.labels), output.tenant);
        let nanos = if output.ts == "in" { INCOMING.0.to_string() } else { output.ts.clone() };
        let metadata = sorted(output.structured_metadata.clone());
        streams.entry(key).or_default().push(format!("{nanos} {} {metadata:?}", output.line));
    }
    let lines = case.expected.metrics.iter().flatten().filter(|line| !line.starts_with("promtail_dropped"));
    Seen { streams, metrics: lines.map(|line| sample(line)).collect() }
}

#[test]
fn the_pipeline_does_what_promtail_was_recorded_doing() {
    let text = include_str!("../../tests/conformance/promtail.json");
    let file: File = serde_json::from_str(text).unwrap();
    let (mut not_yet, mut wrong) = (Vec::new(), Vec::new());
    for case in &file.cases {
        match (run(case), case.expected.startup.as_str()) {
            (Run::NotYet, _) => not_yet.push(case.id.as_str()),
            (Run::Refused(_), "error" | "panic") => {}
            (Run::Refused(_), _) if DIFFERENT.iter().any(|(id, _)| *id == case.id) => {}
            (Run::Refused(why), _) => wrong.push(format!("{}: refused: {why}", case.id)),
            (Run::Ran(_), "error" | "panic") => {
                wrong.push(format!("{}: accepted, Promtail refuses it", case.id))
            }
            (Run::Ran(seen), _) => {
                let wanted = expected(case);
                let same_metrics = case.expected.metrics.is_none() || seen.metrics == wanted.metrics;
                let deliberate = DIFFERENT.iter().any(|(id, _)| *id == case.id);
                if (seen.streams == wanted.streams && same_metrics) == deliberate {
                    wrong.push(format!("{}:\n  seen   {seen:?}\n  wanted {wanted:?}", case.id));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases differ:\n{}", wrong.len(), file.cases.len(), wrong.join("\n"));
    assert_eq!(not_yet.len(), NOT_YET, "cases not run: {not_yet:?}");
}
