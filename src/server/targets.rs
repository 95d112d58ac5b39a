//! What is read, and what is not: `/targets` and `/service-discovery`, for people and as JSON.
//! In: the board.  Out: pages.  Owns: nothing.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::metrics::TargetReading;
use crate::record::Labels;
use crate::server::html::{escape, page, table, wants_json};
use crate::server::{View, controls};
use crate::targets::{self, LeftOutJob, Reading, Shown};

/// Everything that is read, and how far that is behind.
pub(super) async fn targets(
    State(view): State<View>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let readings = view.targets.readings();
    if wants_json(query.as_deref(), &headers) {
        let targets: Vec<Value> = readings.iter().map(target_json).collect();
        return controls::in_json(&json!({ "targets": targets }));
    }
    let jobs: BTreeSet<&str> = readings.iter().map(|reading| reading.job.as_str()).collect();
    let mut body = String::new();
    for job in jobs {
        let rows = readings.iter().filter(|reading| reading.job == job).map(target_row);
        body.push_str(&format!("<h2>{}</h2>\n", escape(job)));
        body.push_str(&table(
            &[
                "kind",
                "target",
                "state",
                "labels",
                "lines",
                "bytes",
                "dropped",
                "bytes behind",
                "behind",
                "read to",
            ],
            rows,
        ));
    }
    page("targets", &body)
}

/// Everything that discovery finds: what is read, with its labels before relabelling, and what is left out.
pub(super) async fn service_discovery(
    State(view): State<View>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let (readings, left_out) = (view.targets.readings(), view.targets.left_out());
    let jobs: BTreeSet<&str> = readings
        .iter()
        .map(|reading| reading.job.as_str())
        .chain(left_out.keys().map(String::as_str))
        .collect();
    let of = |job: &str| -> Vec<(&Reading, &Shown)> {
        let readings = readings.iter().filter(|reading| reading.job == job);
        readings.flat_map(|reading| reading.shown.iter().map(move |shown| (reading, shown))).collect()
    };
    let none = LeftOutJob::default();
    let left_out = |job: &str| left_out.get(job).unwrap_or(&none);
    if wants_json(query.as_deref(), &headers) {
        let jobs: Map<String, Value> =
            jobs.iter().map(|job| ((*job).to_owned(), discovery_json(&of(job), left_out(job)))).collect();
        return controls::in_json(&json!({ "jobs": jobs }));
    }
    let mut body = String::new();
    for job in jobs {
        let (read, left_out) = (of(job), left_out(job));
        let (name, total) = (escape(job), read.len() + left_out.count);
        body.push_str(&format!("<h2>{name} ({} of {total} are read)</h2>\n", read.len()));
        let read = read.iter().map(|(reading, shown)| {
            vec![
                escape(&reading.name),
                labels_cell(shown.discovered.iter()),
                labels_cell(shown.labels.iter()),
            ]
        });
        body.push_str(&table(&["target", "discovered labels", "labels"], read));
        if left_out.count > 0 {
            body.push_str(&format!("<p>{} left out, of these the first:</p>\n", left_out.count));
            let rows = left_out
                .first
                .iter()
                .map(|target| vec![escape(&target.reason), labels_cell(target.discovered.iter())]);
            body.push_str(&table(&["reason", "discovered labels"], rows));
        }
    }
    page("service discovery", &body)
}

/// For `/metrics`.
pub(super) fn metrics_of(reading: &Reading) -> TargetReading {
    TargetReading {
        job: reading.job.clone(),
        kind: reading.kind,
        name: reading.name.clone(),
        lines: reading.lines,
        bytes: reading.bytes,
        dropped: reading.dropped.clone(),
        bytes_behind: reading.bytes_behind(),
        seconds_behind: reading.behind.as_secs_f64(),
        unreadable: reading.shown.iter().any(|shown| matches!(shown.state, targets::State::Unreadable(_))),
        file: reading.shown.last().and_then(|shown| shown.file),
    }
}

fn target_json(reading: &Reading) -> Value {
    let dropped: BTreeMap<&str, u64> =
        reading.dropped.iter().map(|(reason, lines)| (reason.as_str(), *lines)).collect();
    let shown: Vec<Value> = reading.shown.iter().map(shown_json).collect();
    json!({
        "job": reading.job,
        "kind": reading.kind,
        "target": reading.name,
        "lines_read": reading.lines,
        "bytes_read": reading.bytes,
        "lines_dropped": dropped,
        "bytes_unread": reading.unread,
        "bytes_unsettled": reading.unsettled,
        "seconds_behind": reading.behind.as_secs_f64(),
        "instances": shown,
    })
}

fn shown_json(shown: &Shown) -> Value {
    let (state, error) = state(&shown.state);
    let file = shown.file.map(|(offset, length)| json!({"offset": offset, "length": length}));
    json!({
        "state": state,
        "error": error,
        "labels": labels_json(&shown.labels),
        "discovered_labels": *shown.discovered,
        "file": file,
    })
}

fn discovery_json(read: &[(&Reading, &Shown)], left_out: &LeftOutJob) -> Value {
    let read: Vec<Value> = read
        .iter()
        .map(|(reading, shown)| {
            json!({
                "target": reading.name,
                "labels": labels_json(&shown.labels),
                "discovered_labels": *shown.discovered,
            })
        })
        .collect();
    let first: Vec<Value> = left_out
        .first
        .iter()
        .map(|target| json!({"reason": target.reason, "discovered_labels": target.discovered}))
        .collect();
    json!({"read": read, "left_out": first, "left_out_count": left_out.count})
}

fn labels_json(labels: &Labels) -> BTreeMap<&str, &str> {
    labels.iter().collect()
}

fn target_row(reading: &Reading) -> Vec<String> {
    let each = |cell: fn(&Shown) -> String| reading.shown.iter().map(cell).collect::<Vec<_>>().join("<br>");
    let dropped: Vec<String> =
        reading.dropped.iter().map(|(reason, lines)| format!("{}: {lines}", escape(reason))).collect();
    let behind = match reading.unread {
        Some(_) => reading.bytes_behind().to_string(),
        None => format!("{} and what is not read", reading.bytes_behind()),
    };
    vec![
        reading.kind.to_owned(),
        escape(&reading.name),
        match reading.shown.is_empty() {
            true => "gone".to_owned(),
            false => each(|shown| match state(&shown.state) {
                (state, Some(error)) => format!("<b>{state}</b>: {}", escape(error)),
                (state, None) => state.to_owned(),
            }),
        },
        each(|shown| labels_cell(shown.labels.iter())),
        reading.lines.to_string(),
        reading.bytes.to_string(),
        dropped.join("<br>"),
        behind,
        format!("{:.1} s", reading.behind.as_secs_f64()),
        each(|shown| shown.file.map_or_else(String::new, |(offset, length)| format!("{offset} of {length}"))),
    ]
}

fn state(state: &targets::State) -> (&'static str, Option<&str>) {
    match state {
        targets::State::Reading => ("reading", None),
        targets::State::Unreadable(error) => ("unreadable", Some(error)),
        targets::State::Ending => ("ending", None),
    }
}

fn labels_cell<N: AsRef<str>, V: AsRef<str>>(labels: impl Iterator<Item = (N, V)>) -> String {
    let pairs =
        labels.map(|(name, value)| format!("{}=\"{}\"", escape(name.as_ref()), escape(value.as_ref())));
    format!("<code>{}</code>", pairs.collect::<Vec<_>>().join("\n"))
}
