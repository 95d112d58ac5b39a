//! Notes what each stage does to an entry: the observer behind `inspect`.
//! In: the entry before and after each step.  Out: reports of stages, and the entries that came out.  Owns: those of
//! the line at hand.

mod show;

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::pipeline::compile::{Pipeline, Step};
use crate::pipeline::entry::{Entry, Symbol, Value};
use crate::pipeline::lane::Context;
use crate::pipeline::observe::Observer;
use crate::pipeline::stages::Flow;
use crate::record::{Labels, UnixNanos};

pub(crate) use show::{show_json, show_text};

/// What happened to one line, or at the end of the input.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(crate) reports: Vec<Report>,
    /// What came out.
    pub(crate) emitted: Vec<Snapshot>,
}

/// What one stage did to one entry.
#[derive(Debug)]
pub(crate) struct Report {
    /// As the configuration names the stage.
    pub(crate) stage: &'static str,
    /// How many `match` stages it is nested in.
    pub(crate) depth: usize,
    pub(crate) changes: Vec<Change>,
    /// What it could not do.
    pub(crate) failures: Vec<String>,
    pub(crate) outcome: Outcome,
}

/// What became of the entry at a stage.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    Continued,
    /// The nested stages were skipped.
    NotPicked,
    Held,
    /// An entry that was held back went on from here.
    Released,
    Dropped(String),
}

/// One thing that differs. `before` and `after` are absent where there was nothing, or is nothing.
#[derive(Debug)]
pub(crate) struct Change {
    /// `line`, `timestamp`, `label`, `extracted` or `metadata`.
    pub(crate) what: &'static str,
    /// Of the label, value or metadata.
    pub(crate) name: Option<String>,
    pub(crate) before: Option<Json>,
    pub(crate) after: Option<Json>,
}

/// An entry at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) line: String,
    pub(crate) timestamp: UnixNanos,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) extracted: BTreeMap<String, Json>,
    pub(crate) metadata: Vec<(String, String)>,
}

/// The observer. Stages made of several steps are reported as one.
#[derive(Debug, Default)]
pub(crate) struct Inspector {
    trace: Trace,
    /// The stage at work, and what the entry was before it.
    open: Option<(usize, Snapshot, Report)>,
    /// The entry as the last step left it.
    last: Snapshot,
}

impl Inspector {
    /// What was noted since the last time.
    pub(crate) fn take(&mut self) -> Trace {
        self.close(Outcome::Continued);
        std::mem::take(&mut self.trace)
    }

    fn close(&mut self, outcome: Outcome) {
        let Some((_, before, mut report)) = self.open.take() else { return };
        report.changes = changes(&before, &self.last);
        report.outcome = outcome;
        self.trace.reports.push(report);
    }
}

impl Observer for Inspector {
    fn begun(&mut self) {}

    fn before(&mut self, step: &Step, entry: &Entry, context: &mut Context<'_>) {
        context.failures = Some(Vec::new());
        if self.open.as_ref().is_some_and(|(site, ..)| *site == step.site) {
            return;
        }
        self.close(Outcome::Continued);
        let site = &context.pipeline.totals.sites[step.site];
        let report = Report {
            stage: site.name,
            depth: site.depth,
            changes: Vec::new(),
            failures: Vec::new(),
            outcome: Outcome::Continued,
        };
        self.last = snapshot(entry, context.pipeline, context.fixed);
        self.open = Some((step.site, self.last.clone(), report));
    }

    fn after(&mut self, _: &Step, entry: &Entry, context: &mut Context<'_>, flow: &Flow<'_>) {
        self.last = snapshot(entry, context.pipeline, context.fixed);
        if let Some((_, _, report)) = &mut self.open {
            report.failures.extend(context.failures.take().unwrap_or_default());
        }
        match flow {
            Flow::Continue => {}
            Flow::Skip(_) => self.close(Outcome::NotPicked),
            Flow::Drop(reason) => self.close(Outcome::Dropped(reason.name.to_string())),
            Flow::Held => self.close(Outcome::Held),
        }
    }

    fn resumed(
        &mut self,
        step: &Step,
        _: usize,
        entry: &Entry,
        pipeline: &Pipeline,
        fixed: &Labels,
        flow: &Flow<'_>,
    ) {
        self.close(Outcome::Continued);
        let site = &pipeline.totals.sites[step.site];
        let outcome = match flow {
            Flow::Drop(reason) => Outcome::Dropped(reason.name.to_string()),
            _ => Outcome::Released,
        };
        let line = snapshot(entry, pipeline, fixed).line;
        let change = Change { what: "line", name: None, before: None, after: Some(json!(line)) };
        self.trace.reports.push(Report {
            stage: site.name,
            depth: site.depth,
            changes: vec![change],
            failures: Vec::new(),
            outcome,
        });
    }

    fn emitted(&mut self, entry: &Entry, pipeline: &Pipeline, fixed: &Labels) {
        self.close(Outcome::Continued);
        self.trace.emitted.push(snapshot(entry, pipeline, fixed));
    }
}

fn snapshot(entry: &Entry, pipeline: &Pipeline, fixed: &Labels) -> Snapshot {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let name = |symbol: Symbol| pipeline.names[symbol.0 as usize].to_string();
    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    if !entry.without_fixed() {
        labels.extend(fixed.iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    labels.extend(entry.labels().map(|(symbol, value)| (name(symbol), text(value))));
    let symbols = (0..pipeline.names.len()).map(|symbol| Symbol(symbol as u16));
    let extracted = symbols.filter_map(|symbol| {
        let value = match entry.extracted(symbol) {
            Value::Absent => return None,
            Value::Null => Json::Null,
            Value::Bool(value) => json!(value),
            Value::Number(number) => json!(number),
            Value::Text(span) => json!(text(entry.bytes(span))),
        };
        Some((name(symbol), value))
    });
    Snapshot {
        line: text(entry.line_bytes()),
        timestamp: entry.timestamp,
        labels,
        extracted: extracted.collect(),
        metadata: entry
            .metadata(&pipeline.names)
            .map(|(name, value)| (name.to_owned(), text(value)))
            .collect(),
    }
}

fn changes(before: &Snapshot, after: &Snapshot) -> Vec<Change> {
    let mut changes = Vec::new();
    let single = |what, before: Json, after: Json| {
        (before != after).then_some(Change { what, name: None, before: Some(before), after: Some(after) })
    };
    changes.extend(single("line", json!(before.line), json!(after.line)));
    changes.extend(single(
        "timestamp",
        json!(before.timestamp.to_string()),
        json!(after.timestamp.to_string()),
    ));
    let as_json = |labels: &BTreeMap<String, String>| {
        labels.iter().map(|(name, value)| (name.clone(), json!(value))).collect::<BTreeMap<_, _>>()
    };
    named("label", &as_json(&before.labels), &as_json(&after.labels), &mut changes);
    named("extracted", &before.extracted, &after.extracted, &mut changes);
    for (name, value) in &after.metadata[before.metadata.len().min(after.metadata.len())..] {
        changes.push(Change {
            what: "metadata",
            name: Some(name.clone()),
            before: None,
            after: Some(json!(value)),
        });
    }
    changes
}

fn named(
    what: &'static str,
    before: &BTreeMap<String, Json>,
    after: &BTreeMap<String, Json>,
    changes: &mut Vec<Change>,
) {
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let (old, new) = (before.get(name), after.get(name));
        if old != new {
            changes.push(Change {
                what,
                name: Some(name.clone()),
                before: old.cloned(),
                after: new.cloned(),
            });
        }
    }
}
