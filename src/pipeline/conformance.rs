//! Runs the cases recorded from Promtail 3.6.15 in `tests/conformance/promtail.json` through the pipeline.
//! In: configuration and lines.  Out: entries and metrics, compared with what Promtail sent.  Owns: nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde::Deserialize;

use crate::config::{Kind, Node, Table, parse_yaml, row};
use crate::custody::{Cursor, Head, Ledger};
use crate::flow::Budget;
use crate::metrics::{Own, Registry};
use crate::pipeline::compile::Pipeline;
use crate::pipeline::counting::{Counting, Naive};
use crate::pipeline::lane::{Incoming, Lane, Output, Scratch};
use crate::pipeline::limits::{Limits, LineLimit};
use crate::record::{ByteCount, Labels, Metadata, UnixNanos};

/// The time the recorded entries came in with.
const INCOMING: UnixNanos = UnixNanos(1_767_323_045_000_000_000);

/// Cases in which we do better on purpose, and why.
const DIFFERENT: [(&str, &str); 3] = [
    ("cri-8", "partial lines are bounded for each target: those of one are not torn by another's"),
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
    /// A pause.
    sleep_s: Option<f64>,
}

#[derive(Deserialize)]
struct Expected {
    startup: String,
    #[serde(default)]
    entries: Vec<Recorded>,
    /// Absent where they were not recorded.
    metrics: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Recorded {
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
    Refused(String),
    /// What it came to, and whether what stages did was counted right.
    Ran(Seen, Result<(), String>),
}

/// The only block that cases have beside their stages.
fn limits(extra_yaml: &str, own: &Own) -> Limits {
    static LIMITS: Table = Table(&[
        row("max_line_size", Kind::Bytes, "", ""),
        row("max_line_size_truncate", Kind::Boolean, "", ""),
    ]);
    static ROOT: Table = Table(&[row("limits_config", Kind::Block(&LIMITS), "", "")]);
    let node = parse_yaml(extra_yaml).unwrap();
    let block = node.block(&ROOT).unwrap().block("limits_config").unwrap();
    let truncate = block.optional("max_line_size_truncate", Node::boolean).unwrap().unwrap_or(false);
    let size = block.optional("max_line_size", Node::bytes).unwrap();
    Limits { line: size.map(|size| LineLimit::new(size, truncate, own)), ..Limits::default() }
}

fn run(case: &Case) -> Run {
    let registry = Registry::default();
    let own = Own::register(&registry);
    let compiled = parse_yaml(&case.pipeline_stages)
        .and_then(|node| Pipeline::compile(Some(&node), &limits(&case.extra_yaml, &own), &registry, &own));
    let pipeline = match compiled {
        Ok(pipeline) => Arc::new(pipeline),
        Err(invalid) => return Run::Refused(invalid.to_string()),
    };
    let mut lanes: BTreeMap<&BTreeMap<String, String>, Lane> = BTreeMap::new();
    let mut scratch = Scratch::default();
    let mut output = Output::new(1);
    let share = Budget::new(ByteCount::mib(1)).take(1).now_or_never().unwrap();
    let cursor = Cursor::File { offset: 1, head: Head::default() };
    let ticket = [Ledger::default().track("file:1:1", "a.log").admit(cursor, share)];
    let mut moment = crate::clock::moment();
    let (mut naive, mut counting) = (Naive::new(&pipeline), Counting::new(&pipeline, moment.wall));
    let mut observer = (&mut naive, &mut counting);
    for input in &case.entries {
        if let Some(seconds) = input.sleep_s {
            moment.instant += Duration::from_secs_f64(seconds);
            for lane in lanes.values_mut() {
                lane.let_go(Some(moment.instant), moment, &mut scratch, &mut output, &mut observer);
            }
        }
        let Some(line) = &input.line else { continue };
        let labels: Labels = input.labels.iter().collect();
        let lane = lanes.entry(&input.labels).or_insert_with(|| Lane::new(pipeline.clone(), &labels));
        lane.enter(&mut scratch);
        let time = if input.ts.as_deref() == Some("now") { crate::clock::now() } else { INCOMING };
        let line = Incoming { bytes: line.as_bytes(), timestamp: time, metadata: Metadata::default() };
        lane.run(line, moment, &ticket, &mut scratch, &mut output, &mut observer);
    }
    for lane in lanes.values_mut() {
        lane.let_go(None, moment, &mut scratch, &mut output, &mut observer);
    }
    counting.finish();
    let counted = naive.compare(&pipeline.totals.report());
    let mut streams: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for group in output.groups.finish().iter() {
        let key = format!("{} {:?}", pairs(&group.stream.text), group.stream.tenant);
        let mut request = Vec::new();
        crate::batch::encode_stream(&group.stream.text, iter::once(&group.encoded[..]), &mut request);
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
    let page = crate::metrics::text(&registry.shown(crate::clock::now()));
    Run::Ran(Seen { streams, metrics: metrics(&page) }, counted)
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
    let named = lines.map(|line| line.replace("tailwater_lines_dropped", "logentry_dropped_lines"));
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
    let lines = case.expected.metrics.iter().flatten().filter_map(|line| counted_by_clients(line));
    Seen { streams, metrics: lines.map(|line| sample(&line)).collect() }
}

/// Promtail's clients count what the limits drop and cut; here pipelines do, as they count other lines.
fn counted_by_clients(line: &str) -> Option<String> {
    let bytes_or_cut = line.starts_with("promtail_dropped_bytes") || line.starts_with("promtail_mutated");
    let line = line.replace("promtail_dropped_entries_total", "logentry_dropped_lines_total");
    (!bytes_or_cut).then(|| line.replace(",tenant=\"\"", ""))
}

#[test]
fn the_pipeline_does_what_promtail_was_recorded_doing() {
    compare(include_str!("../../tests/conformance/promtail.json"));
}

#[test]
fn the_pipeline_does_what_promtail_is_known_to_do() {
    compare(include_str!("../../tests/conformance/more.json"));
}

fn compare(text: &str) {
    let file: File = serde_json::from_str(text).unwrap();
    let mut wrong = Vec::new();
    for case in &file.cases {
        match (run(case), case.expected.startup.as_str()) {
            (Run::Refused(_), "error" | "panic") => {}
            (Run::Refused(_), _) if DIFFERENT.iter().any(|(id, _)| *id == case.id) => {}
            (Run::Refused(why), _) => wrong.push(format!("{}: refused: {why}", case.id)),
            (Run::Ran(..), "error" | "panic") => {
                wrong.push(format!("{}: accepted, Promtail refuses it", case.id))
            }
            (Run::Ran(seen, counted), _) => {
                wrong.extend(counted.err().map(|why| format!("{}: {why}", case.id)));
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
}
