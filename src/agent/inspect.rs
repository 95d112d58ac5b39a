//! Runs sample lines through one job's stages and shows what each of them does.
//! In: a configuration, lines.  Out: text or JSON, whether any stage failed.  Owns: nothing that outlives it.

use std::io::{self, BufRead, Write};

use futures_util::FutureExt as _;

use crate::agent::load::Loaded;
use crate::agent::settings::Job;
use crate::clock;
use crate::config::nearest;
use crate::custody::{Cursor, Head, Ledger, Outcome};
use crate::flow::Budget;
use crate::pipeline::{Incoming, Inspector, Lane, Output, Scratch, Trace, show_json, show_text};
use crate::record::{ByteCount, Labels, Metadata};

/// How traces are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text { coloured: bool },
    Json,
}

/// Lines cannot be inspected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InspectError {
    #[error("there is no job `{0}`{1}")]
    NoJob(String, String),
    #[error("the configuration has several jobs\n  = help: name one with -job: {0}")]
    WhichJob(String),
    #[error("the configuration has no job")]
    NoJobs,
    #[error("the sample cannot be read: {0}")]
    Read(#[source] io::Error),
    #[error("the traces cannot be written: {0}")]
    Write(#[source] io::Error),
}

/// Shows what the stages of `job` do to each line of `input`; true when a stage could not do its work on any of them.
/// Lines start with the labels of the job's `static_configs`, and those of `labels`.
pub(crate) fn inspect(
    loaded: Loaded,
    job: Option<&str>,
    labels: &[(String, String)],
    format: Format,
    mut input: impl BufRead,
    mut out: impl Write,
) -> Result<bool, InspectError> {
    let job = choose(loaded.settings.jobs, job)?;
    let mut start: Labels = labels.iter().map(|(name, value)| (name, value.as_str())).collect();
    start = start.with_defaults(&job.static_labels);
    let mut lane = Lane::new(job.pipeline.clone(), &start);
    let (mut scratch, mut inspector, mut output) = (Scratch::default(), Inspector::default(), Output::new(1));
    lane.enter(&mut scratch);
    let cursor = Cursor::File { offset: 0, head: Head::default() };
    let share = Budget::new(ByteCount::mib(1)).take(1).now_or_never().unwrap_or_default();
    let ticket = [Ledger::default().track("sample", "sample").admit(cursor, share)];
    let mut failed = false;
    let mut show = |number: Option<u64>, line: Option<&str>, trace: &Trace| {
        failed |= trace.reports.iter().any(|report| !report.failures.is_empty());
        let text = match format {
            Format::Text { coloured } => {
                let title = number.map_or("end of input".to_owned(), |number| format!("line {number}"));
                show_text(&title, line.unwrap_or_default(), trace, coloured)
            }
            Format::Json => show_json(number, line, trace),
        };
        out.write_all(text.as_bytes()).map_err(InspectError::Write)
    };
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if input.read_until(b'\n', &mut line).map_err(InspectError::Read)? == 0 {
            break;
        }
        while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            line.pop();
        }
        let moment = clock::moment();
        let incoming = Incoming { bytes: &line, timestamp: moment.wall, metadata: Metadata::default() };
        lane.run(incoming, moment, &ticket, &mut scratch, &mut output, &mut inspector);
        show(Some(number), Some(&String::from_utf8_lossy(&line)), &inspector.take())?;
        // What came out is shown, and needed no more.
        output = Output::new(number + 1);
    }
    lane.let_go(None, clock::moment(), &mut scratch, &mut output, &mut inspector);
    let trace = inspector.take();
    if !trace.reports.is_empty() {
        show(None, None, &trace)?;
    }
    ticket.into_iter().chain(output.tickets).for_each(|ticket| ticket.settle(Outcome::DroppedByRule));
    Ok(failed)
}

fn choose(jobs: Vec<Job>, wanted: Option<&str>) -> Result<Job, InspectError> {
    let names: Vec<String> = jobs.iter().map(|job| job.name.clone()).collect();
    let mut fitting: Vec<Job> =
        jobs.into_iter().filter(|job| wanted.is_none_or(|wanted| job.name == wanted)).collect();
    match (fitting.pop(), wanted) {
        (None, None) => Err(InspectError::NoJobs),
        (None, Some(wanted)) => {
            let near = nearest(wanted, names.iter().map(String::as_str));
            let help = near.map(|near| format!("\n  = help: did you mean `{near}`?"));
            Err(InspectError::NoJob(wanted.to_owned(), help.unwrap_or_default()))
        }
        (Some(_), _) if !fitting.is_empty() => Err(InspectError::WhichJob(names.join(", "))),
        (Some(job), _) => Ok(job),
    }
}
