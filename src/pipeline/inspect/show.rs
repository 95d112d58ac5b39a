//! Shows what stages did to a line, to people and to machines.
//! In: a trace.  Out: text with or without colours, or JSON.  Owns: nothing.

use serde_json::{Value as Json, json};

use crate::pipeline::inspect::{Change, Outcome, Report, Snapshot, Trace};

const GREEN: &str = "\u{1b}[32m";
const RED: &str = "\u{1b}[31m";
const YELLOW: &str = "\u{1b}[33m";
const BOLD: &str = "\u{1b}[1m";
const PLAIN: &str = "\u{1b}[0m";

/// Lines for people: what came in, under a title, every stage in order, what came out.
pub(crate) fn show_text(title: &str, input: &str, trace: &Trace, coloured: bool) -> String {
    let paint = |colour: &str, text: &str| match coloured {
        true => format!("{colour}{text}{PLAIN}"),
        false => text.to_owned(),
    };
    let mut out = format!("{} {}", paint(BOLD, &format!("{title}:")), safe(input)).trim_end().to_owned();
    out.push('\n');
    for report in &trace.reports {
        let indent = "  ".repeat(report.depth + 1);
        out.push_str(&format!("{indent}{}{}\n", report.stage, paint(YELLOW, &outcome(report))));
        for change in &report.changes {
            text_change(change, &indent, &paint, &mut out);
        }
        for failure in &report.failures {
            out.push_str(&format!("{indent}  {}\n", paint(RED, &format!("failed: {}", safe(failure)))));
        }
    }
    for entry in &trace.emitted {
        let labels: Vec<String> =
            entry.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        let labels = format!("{{{}}}", labels.join(", "));
        out.push_str(&format!("  = {} {labels} {}\n", entry.timestamp, safe(&entry.line)));
    }
    out
}

fn outcome(report: &Report) -> String {
    match &report.outcome {
        Outcome::Continued if report.changes.is_empty() && report.failures.is_empty() => "  -".to_owned(),
        Outcome::Continued => String::new(),
        Outcome::NotPicked => "  not picked".to_owned(),
        Outcome::Held => "  held back".to_owned(),
        Outcome::Released => "  let go on".to_owned(),
        Outcome::Dropped(reason) => format!("  dropped: {reason}"),
    }
}

fn text_change(change: &Change, indent: &str, paint: &impl Fn(&str, &str) -> String, out: &mut String) {
    let Change { what, name, before, after } = change;
    let name = name.as_deref().map(|name| format!(" {name}")).unwrap_or_default();
    let shown = |value: &Json| match (*what, value) {
        ("timestamp", Json::String(time)) => time.clone(),
        _ => value.to_string(),
    };
    let line = match (before, after) {
        (None, Some(after)) => paint(GREEN, &format!("+ {what}{name} = {}", shown(after))),
        (Some(before), None) => paint(RED, &format!("- {what}{name} = {}", shown(before))),
        (Some(before), Some(after)) => {
            paint(YELLOW, &format!("~ {what}{name} = {} (was {})", shown(after), shown(before)))
        }
        (None, None) => return,
    };
    out.push_str(&format!("{indent}  {line}\n"));
}

/// One object, for machines.
pub(crate) fn show_json(number: Option<u64>, input: Option<&str>, trace: &Trace) -> String {
    let stages: Vec<Json> = trace.reports.iter().map(json_report).collect();
    let entries: Vec<Json> = trace.emitted.iter().map(json_entry).collect();
    json!({"number": number, "input": input, "stages": stages, "entries": entries}).to_string() + "\n"
}

fn json_report(report: &Report) -> Json {
    let (outcome, reason) = match &report.outcome {
        Outcome::Continued => ("continued", None),
        Outcome::NotPicked => ("not picked", None),
        Outcome::Held => ("held", None),
        Outcome::Released => ("released", None),
        Outcome::Dropped(reason) => ("dropped", Some(reason)),
    };
    let changes: Vec<Json> = report
        .changes
        .iter()
        .map(|change| {
            json!({"what": change.what, "name": change.name, "before": change.before, "after": change.after})
        })
        .collect();
    json!({
        "stage": report.stage,
        "depth": report.depth,
        "outcome": outcome,
        "reason": reason,
        "changes": changes,
        "failures": report.failures,
    })
}

fn json_entry(entry: &Snapshot) -> Json {
    json!({
        "timestamp": entry.timestamp.to_string(),
        "labels": entry.labels,
        "line": entry.line,
        "metadata": entry.metadata,
    })
}

/// A text on one line that cannot steer the terminal it is shown on.
fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_control() && c != '\t' => safe.extend(c.escape_default()),
            c => safe.push(c),
        }
    }
    safe
}
