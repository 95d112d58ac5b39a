//! `archive replay`: what is archived goes into a Loki again.
//! In: what was given, a yes where somebody is there to say it.  Out: what became of each entry, an exit code.  Owns: the
//! runtime.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::agent::{Caps, Destination, Ended, LokiLimits, MOST_STREAMS, Outlook, Question, Replay, Report};
use crate::cli::archive::{End, Progress, filter, of_settings, of_store, settings};
use crate::cli::checks;
use crate::cli::flags::{self, Given};
use crate::cli::use_ring;
use crate::config::bytes;
use crate::record::{Labels, valid_label_name};
use crate::retention::Place;

/// Half of what Loki takes of a tenant by default (4 MB a second), as the lines of now need some of it; and below what it takes
/// of a single stream (3 MB).
const RATE: u64 = 2 * 1024 * 1024;

/// Flags that mean nothing to the other commands.
pub(super) const FLAGS: [&str; 6] = ["client", "label", "rate", "max-bytes", "state", "yes"];

/// Flags of the other commands, which mean nothing here.
pub(super) const FLAGS_OF_OTHERS: [&str; 4] = ["o", "forward", "count", "stats"];

/// What is part of the question, beside the selector: another value makes another replay of it.
const OF_THE_QUESTION: [&str; 6] = ["since", "from", "to", "until", "limit", "max-bytes"];

/// Replays.
pub(super) fn replay(given: &Given, selector: Option<&str>, out: &mut impl Write) -> Result<ExitCode, End> {
    let filter = filter(given, selector)?;
    let labels = labels(given)?;
    let caps = Caps {
        entries: number(given, "limit")?.filter(|limit| *limit > 0).unwrap_or(u64::MAX),
        bytes: size(given, "max-bytes").filter(|size| *size > 0).unwrap_or(u64::MAX),
    };
    let rate = size(given, "rate").unwrap_or(RATE);
    if rate == 0 {
        return Err(End::Wrong("-rate=0 would never end".to_owned()));
    }
    let mut loaded = checks::load(given).map_err(End::Exit)?;
    // An agent without clients has an archive that need not be configured; that there is a client now does not matter.
    let clients = std::mem::take(&mut loaded.settings.clients);
    let archive = match given.text("store") {
        Some(store) => of_store(store)?,
        None => of_settings(settings(&mut loaded)?)?,
    };
    loaded.settings.clients = clients;
    let destination = Destination::of(&loaded.settings, given.text("client")).map_err(broken)?;
    let text = text_of(given, selector, destination.name(), &archive.places);
    let state = state_path(given, &text, &loaded.settings.positions.file);
    let question =
        Question { text, stores: archive.places, filter, settings: archive.settings, labels, caps };

    use_ring();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| End::Broken(format!("cannot start the runtime: {error}")))?;
    let name = destination.name().to_owned();
    let is_apart = question.labels != Labels::default();
    let limits = runtime.block_on(destination.limits());
    let mut replay = Replay::open(question, destination, &state).map_err(broken)?;
    let mut progress = Progress::start();
    let mut tell = |read, of| progress.tell(&format!("looking: {read} of {of} parts"));
    let outlook = replay.look(limits, &mut tell).map_err(broken)?;
    progress.clear();
    announce(&name, &replay, &outlook, rate);
    warnings(&outlook, limits, rate, is_apart).iter().for_each(|warning| eprintln!("warning: {warning}"));
    if given.is_true("dry-run") || outlook.entries > 0 && !confirmed(given) {
        replay.decline().map_err(broken)?;
        eprintln!("nothing was sent");
        return Ok(if given.is_true("dry-run") { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let state = replay.state_path().display().to_string();
    let mut progress = Progress::start();
    let mut tell = |report: &Report| {
        let passed = report.place.entries.saturating_sub(report.before.0);
        let retries: u64 = report.retries.values().sum();
        progress.tell(&format!("{passed} of {} lines, {retries} pushes tried again", outlook.entries));
    };
    let ended = runtime.block_on(replay.run(rate, &mut tell));
    // Does not wait for a reader that hangs.
    runtime.shutdown_background();
    progress.clear();
    let (ended, report) = ended.map_err(broken)?;
    summary(&report, out).map_err(End::Output)?;
    Ok(code(&ended, &report, &outlook, &state))
}

fn broken(error: impl std::fmt::Display) -> End {
    End::Broken(error.to_string())
}

fn number(given: &Given, flag: &str) -> Result<Option<u64>, End> {
    let Some(text) = given.text(flag) else { return Ok(None) };
    let wrong = || End::Wrong(format!("-{flag}={text} is no number of entries"));
    text.parse().map(Some).map_err(|_| wrong())
}

/// The flag's kind has seen to it that it is a size.
fn size(given: &Given, flag: &str) -> Option<u64> {
    given.text(flag).and_then(bytes)
}

fn labels(given: &Given) -> Result<Labels, End> {
    let mut labels = BTreeMap::new();
    for text in given.all("label") {
        for (name, value) in flags::external_labels(text).unwrap_or_default() {
            if valid_label_name(&name) != name || name.starts_with("__") || value.is_empty() {
                return Err(End::Wrong(format!("-label={text} is no label such as replay=incident-42")));
            }
            labels.insert(name, value);
        }
    }
    Ok(labels.into_iter().collect())
}

/// The question in words. Two commands with the same words are one replay.
fn text_of(given: &Given, selector: Option<&str>, client: &str, places: &[Place]) -> String {
    let mut text = format!("{} to {client}", selector.unwrap_or("{}"));
    for flag in OF_THE_QUESTION {
        text.extend(given.text(flag).map(|value| format!(" -{flag}={value}")));
    }
    given.all("label").for_each(|label| text.push_str(&format!(" -label={label}")));
    places.iter().for_each(|place| text.push_str(&format!(" of {}", place.objects.name())));
    text
}

/// Beside the positions, unless it is given.
fn state_path(given: &Given, question: &str, positions: &Path) -> PathBuf {
    match given.text("state") {
        Some(path) => path.into(),
        None => {
            let digest = HEXLOWER.encode(&Sha256::digest(question)[..8]);
            positions.with_extension(format!("replay-{digest}"))
        }
    }
}

fn announce(name: &str, replay: &Replay, outlook: &Outlook, rate: u64) {
    let begin = replay.begin();
    if begin.entries > 0 {
        eprintln!("going on behind {} lines ({})", begin.entries, replay.state_path().display());
    }
    outlook.problems.iter().for_each(|problem| eprintln!("{problem}"));
    let Some((first, last)) = outlook.span else {
        eprintln!("there is nothing to replay");
        return;
    };
    let Outlook { entries, bytes, streams, .. } = outlook;
    let or_more = if *streams == MOST_STREAMS { " or more" } else { "" };
    eprintln!("to replay to {name}: {entries} lines with {bytes} bytes, of {streams}{or_more} streams");
    eprintln!("from {first} to {last}, each stream in order of time");
    eprintln!("at {rate} bytes a second this takes {} s at least", bytes.div_ceil(rate));
    if outlook.is_capped {
        eprintln!("more is left out, by -limit or -max-bytes");
    }
}

/// What may go otherwise than one thinks.
fn warnings(outlook: &Outlook, limits: LokiLimits, rate: u64, is_apart: bool) -> Vec<String> {
    let says = if limits.are_known { "this Loki says that it" } else { "Loki, unless it is told otherwise," };
    let mut warnings = Vec::new();
    if outlook.entries == 0 {
        return warnings;
    }
    if !is_apart {
        warnings.push(
            "without -label the lines join the streams of now, and those that are an hour behind the newest line of their \
             stream are refused (too_far_behind); -label=replay=NAME makes streams of their own"
                .to_owned(),
        );
    }
    if let Some(age) = limits.max_age.filter(|_| outlook.too_old > 0) {
        warnings.push(format!(
            "{} of {} lines are older than {} h, and {says} refuses such lines (reject_old_samples_max_age)",
            outlook.too_old,
            outlook.entries,
            age.as_secs() / 3600
        ));
    }
    if rate > limits.rate {
        warnings.push(format!("{says} takes {} bytes a second of a tenant (ingestion_rate_mb)", limits.rate));
    }
    if limits.streams > 0 && outlook.streams as u64 > limits.streams {
        warnings.push(format!("{says} takes {} streams (max_global_streams_per_user)", limits.streams));
    }
    if outlook.most_labels as u64 > limits.labels {
        warnings.push(format!(
            "there are streams with {} labels, and {says} takes {} (max_label_names_per_series)",
            outlook.most_labels, limits.labels
        ));
    }
    warnings
}

/// Whether it may begin. Where nobody is there to ask it may.
fn confirmed(given: &Given) -> bool {
    if given.is_true("yes") || !io::stdin().is_terminal() {
        return true;
    }
    eprint!("begin? [y/N] ");
    let mut answer = String::new();
    // Who cannot answer has not said yes.
    let read = io::stdin().lock().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

/// Every entry that was read is sent or refused, or left to the next run.
fn summary(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let Report { before, read, sent, refused, retries, .. } = report;
    let sum = |reasons: &BTreeMap<String, u64>| reasons.values().sum::<u64>();
    let (lost, again) = (sum(refused), sum(retries));
    let left = read.saturating_sub(sent + lost);
    writeln!(out, "read {read}, sent {sent}, refused {lost}, left {left}; pushes tried again {again}")?;
    if before.0 > 0 {
        writeln!(out, "earlier runs: sent {}, refused {}", before.0.saturating_sub(before.1), before.1)?;
    }
    for (what, reasons) in [("refused", refused), ("tried again", retries)] {
        reasons.iter().for_each(|(reason, count)| eprintln!("{what}: {count} {reason}"));
    }
    if report.dead_letters_left_out > 0 {
        eprintln!("{} refused lines are not in the dead-letter file", report.dead_letters_left_out);
    }
    Ok(())
}

fn code(ended: &Ended, report: &Report, outlook: &Outlook, state: &str) -> ExitCode {
    match ended {
        Ended::Done if report.refused_in_all() == 0 && outlook.problems.is_empty() => ExitCode::SUCCESS,
        Ended::Done => ExitCode::FAILURE,
        Ended::Interrupted(signal) => {
            eprintln!("{signal}: the same command goes on here ({state})");
            // As a shell says it.
            ExitCode::from(match *signal {
                "SIGHUP" => 129,
                "SIGINT" => 130,
                _ => 143,
            })
        }
        Ended::Stuck(problem) => {
            eprintln!("{problem}\n  = help: the same command goes on here ({state})");
            ExitCode::FAILURE
        }
    }
}
