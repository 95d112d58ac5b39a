//! `/debug/pipeline`: what each stage of each job does to lines.
//! In: a request.  Out: a page for people, or JSON.  Owns: nothing.

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::metrics::{Report, Row};
use crate::server::controls::in_json;
use crate::server::{View, html};

const COLUMNS: [&str; 8] = ["stage", "in", "out", "not picked", "dropped", "held back", "merged", "failed"];

const LEGEND: &str = "<p>Of every stage: in = out + dropped + held back + merged. <i>Not picked</i> are those of out that pass \
by the nested stages. <i>Held back</i> are lines of entries that are not complete, <i>merged</i> those that went on as a part of \
another. A stage that failed let the entry go on as it was, or dropped it where it is told to; of the line last seen to fail, \
letters are shown as x and digits as 0.</p>\n";

pub(super) async fn page(
    State(view): State<View>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let reports = view.stages.reports();
    if html::wants_json(query.as_deref(), &headers) {
        let jobs: Vec<Value> = reports.iter().map(|(job, report)| json_job(job, report)).collect();
        return in_json(&json!({"jobs": jobs}));
    }
    let jobs: String = reports.iter().map(|(job, report)| html_job(job, report)).collect();
    let jobs = if jobs.is_empty() { "<p>No job runs.</p>\n".to_owned() } else { jobs };
    html::page("Pipelines", &format!("{LEGEND}{jobs}"))
}

fn json_job(job: &str, report: &Report) -> Value {
    let stages: Vec<Value> = report.rows.iter().map(json_row).collect();
    json!({
        "job": job,
        "since": format!("{:.0}", report.since),
        "lines": report.lines,
        "relabelled_away": report.relabelled_away,
        "entries": report.entries,
        "stages": stages,
    })
}

fn json_row(row: &Row) -> Value {
    let dropped: Map<String, Value> =
        row.dropped.iter().map(|(reason, count)| (reason.to_string(), json!(count))).collect();
    let sample = row.sample.as_ref().map(|sample| {
        json!({"time": format!("{:.0}", sample.time), "failure": sample.failure, "line": sample.line})
    });
    json!({
        "place": row.site.place,
        "name": row.site.name,
        "depth": row.site.depth,
        "config_line": row.site.line,
        "options": row.site.about,
        "in": row.came_in,
        "out": row.went_on,
        "not_picked": row.not_picked,
        "dropped": dropped,
        "held": row.held,
        "merged": row.merged,
        "failed": row.failed,
        "sample": sample,
    })
}

fn html_job(job: &str, report: &Report) -> String {
    let Report { since, lines, relabelled_away, entries, rows } = report;
    let sum = |of: fn(&Row) -> u64| rows.iter().map(of).sum::<u64>();
    let (dropped, held, merged) = (sum(dropped), sum(|row| row.held), sum(|row| row.merged));
    let read = lines + relabelled_away;
    let accounted = format!(
        "<p>Since {since:.0}: {read} lines read = {entries} entries made + {relabelled_away} dropped by relabelling + {dropped} \
         dropped by stages + {held} held back + {merged} merged.</p>\n"
    );
    let table = html::table(&COLUMNS, rows.iter().map(html_row));
    let table = if rows.is_empty() { "<p>No stages.</p>\n".to_owned() } else { table };
    format!("<h2>{}</h2>\n{accounted}{table}", html::escape(job))
}

fn html_row(row: &Row) -> Vec<String> {
    let site = &row.site;
    let indent = "&nbsp;&nbsp;&nbsp;".repeat(site.depth);
    let line = site.line.map(|line| format!(" (line {line})")).unwrap_or_default();
    let about = html::escape(&site.about);
    let stage = format!("{indent}{} <b>{}</b>{line} <code>{about}</code>", site.place, site.name);
    let reasons: Vec<String> =
        row.dropped.iter().map(|(reason, count)| format!("{count} {}", html::escape(reason))).collect();
    let not_picked = if site.nested > 0 { row.not_picked.to_string() } else { String::new() };
    let failed = match &row.sample {
        None => row.failed.to_string(),
        Some(sample) => format!(
            "{}<br>{:.0}: {}<br><code>{}</code>",
            row.failed,
            sample.time,
            html::escape(sample.failure),
            html::escape(&sample.line)
        ),
    };
    let dropped = if reasons.is_empty() { "0".to_owned() } else { reasons.join("<br>") };
    vec![
        stage,
        row.came_in.to_string(),
        row.went_on.to_string(),
        not_picked,
        dropped,
        row.held.to_string(),
        row.merged.to_string(),
        failed,
    ]
}

fn dropped(row: &Row) -> u64 {
    row.dropped.iter().map(|(_, count)| count).sum()
}
