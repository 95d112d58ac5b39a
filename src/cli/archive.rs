//! The command `archive`: what is asked of an archive, on the terminal.
//! In: what was given.  Out: entries, tables, an exit code.  Owns: nothing.

mod lifecycle;
mod replay;
mod show;

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::agent::Loaded;
use crate::cli::archive::show::Format;
use crate::cli::checks;
use crate::cli::flags::Given;
use crate::cli::wrong;
use crate::clock::{self, Instant};
use crate::config::{go_duration, prometheus_duration};
use crate::pipeline::Selector;
use crate::record::UnixNanos;
use crate::retention::{Answer, Filter, Location, Place, Settings, check, stock, unsealed_entries};

/// What takes longer than this tells how far it is, on a terminal.
const PATIENCE: Duration = Duration::from_secs(1);

/// What ended a command early.
enum End {
    /// What was asked for makes no sense.
    Wrong(String),
    /// It is already said.
    Exit(ExitCode),
    /// The archive cannot be read.
    Broken(String),
    /// Whoever read the output has seen enough, or cannot be written to.
    Output(io::Error),
}

/// Where the archive is.
struct Archive {
    places: Vec<Place>,
    /// Of the configuration, for its rules.
    settings: Option<Arc<Settings>>,
}

/// Answers the question.
pub(super) fn run(given: &Given) -> ExitCode {
    let mut words = given.positional.iter().map(String::as_str);
    let action = words.next();
    let selector = words.next();
    let mut out = BufWriter::new(io::stdout().lock());
    let done = match (action, selector, words.next()) {
        (Some(action), ..) if let Some(flag) = in_vain(given, action) => {
            Err(End::Wrong(format!("-{flag} has no meaning for {action}")))
        }
        (_, _, Some(word)) => Err(End::Wrong(format!("`{word}` is one word too many"))),
        (Some("query"), selector, None) => query(given, selector, &mut out),
        (Some("export"), selector, None) => export(given, selector, &mut out),
        (Some("replay"), selector, None) => replay::replay(given, selector, &mut out),
        (Some("ls"), None, None) => list(given, &mut out),
        (Some("verify"), None, None) => verify(given, &mut out),
        (Some("lifecycle"), None, None) => look_after(given, &mut out),
        (Some("ls" | "verify" | "lifecycle"), Some(word), None) => {
            Err(End::Wrong(format!("`{word}` is one word too many")))
        }
        (Some(word), _, None) => Err(End::Wrong(format!("the command archive cannot `{word}`"))),
        (None, _, None) => Err(End::Wrong("the command archive needs a word".to_owned())),
    };
    let done = done.and_then(|code| out.flush().map(|()| code).map_err(End::Output));
    match done {
        Ok(code) => code,
        Err(End::Wrong(problem)) => wrong(&format!(
            "{problem}\n  = help: one of query, ls, verify, export, replay, lifecycle; see `tailwater help archive`"
        )),
        Err(End::Exit(code)) => code,
        Err(End::Broken(problem)) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
        Err(End::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(End::Output(error)) => {
            eprintln!("the answer cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A flag that means nothing to a command.
fn in_vain(given: &Given, action: &str) -> Option<&'static str> {
    let flags = if action == "replay" { &replay::FLAGS_OF_OTHERS[..] } else { &replay::FLAGS };
    flags.iter().find(|flag| given.text(flag).is_some()).copied()
}

fn query(given: &Given, selector: Option<&str>, out: &mut impl Write) -> Result<ExitCode, End> {
    let limit = given.text("limit").and_then(|limit| limit.parse::<u64>().ok()).unwrap_or(100);
    let limit = if limit == 0 || given.is_true("count") { u64::MAX } else { limit };
    let format = if given.is_true("count") { None } else { Some(Format::named(given.text("o"))) };
    answer(given, selector, (limit, given.is_true("forward"), format), out)
}

fn export(given: &Given, selector: Option<&str>, out: &mut impl Write) -> Result<ExitCode, End> {
    answer(given, selector, (u64::MAX, true, Some(Format::Json)), out)
}

/// Shows entries, or without a format how many there are.
fn answer(
    given: &Given,
    selector: Option<&str>,
    (limit, forward, format): (u64, bool, Option<Format>),
    out: &mut impl Write,
) -> Result<ExitCode, End> {
    let filter = filter(given, selector)?;
    let archive = open(given)?;
    let rules = archive.settings.as_ref().map(|settings| settings.rules.as_slice()).unwrap_or_default();
    let broken = |error: &dyn std::fmt::Display| End::Broken(error.to_string());
    let mut answer =
        Answer::begin(&archive.places, &filter, rules, forward).map_err(|error| broken(&error))?;
    let (mut count, mut code) = (0, ExitCode::SUCCESS);
    let mut progress = Progress::start();
    while count < limit {
        let shown = count;
        let mut tell = |read, of| progress.tell(&format!("{read} of {of} parts, {shown} entries"));
        match answer.next(&mut tell) {
            None => break,
            Some(Ok(entry)) => {
                count += 1;
                if let Some(format) = format {
                    progress.clear();
                    show::entry(&entry, format, out).map_err(End::Output)?;
                }
            }
            // The rest can still be had.
            Some(Err(error)) => {
                progress.clear();
                eprintln!("{error}");
                code = ExitCode::FAILURE;
            }
        }
    }
    progress.clear();
    if given.is_true("stats") {
        let read = answer.read_so_far();
        eprintln!("read {} bytes: {} manifests, {} objects", read.bytes, read.manifests, read.objects);
    }
    if format.is_none() {
        writeln!(out, "{count}").map_err(End::Output)?;
    }
    Ok(code)
}

fn list(given: &Given, out: &mut impl Write) -> Result<ExitCode, End> {
    let archive = open(given)?;
    let broken = |error: &dyn std::fmt::Display| End::Broken(error.to_string());
    let (stocks, problems) = stock(&archive.places).map_err(|error| broken(&error))?;
    let waiting = unsealed_entries(&archive.places).map_err(|error| broken(&error))?;
    let shown = match Format::named(given.text("o")) {
        Format::Json => show::stocks_as_json(&stocks, waiting, out),
        _ => show::stocks(&stocks, waiting, out),
    };
    shown.map_err(End::Output)?;
    problems.iter().for_each(|problem| eprintln!("{problem}"));
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn verify(given: &Given, out: &mut impl Write) -> Result<ExitCode, End> {
    let archive = open(given)?;
    let mut progress = Progress::start();
    let mut tell = |done, of| progress.tell(&format!("{done} of {of} objects"));
    let checked = check(&archive.places, &mut tell).map_err(|error| End::Broken(error.to_string()))?;
    progress.clear();
    for (file, problem) in &checked.damage {
        writeln!(out, "{file}: {problem}").map_err(End::Output)?;
    }
    let (objects, lines) = (checked.objects, checked.lines);
    writeln!(out, "{objects} objects with {lines} lines are whole, {} are not", checked.damage.len())
        .map_err(End::Output)?;
    Ok(if checked.damage.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn look_after(given: &Given, out: &mut impl Write) -> Result<ExitCode, End> {
    if given.text("store").is_some() {
        let problem = "lifecycle goes by the tiers of the configuration, not by -store";
        return Err(End::Wrong(problem.to_owned()));
    }
    let settings = settings(&mut checks::load(given).map_err(End::Exit)?)?;
    lifecycle::run(settings, given.is_true("dry-run"), out).map_err(End::Output)?.map_err(End::Broken)
}

fn settings(loaded: &mut Loaded) -> Result<Arc<Settings>, End> {
    loaded.settings.archive_by_default();
    let Some(settings) = loaded.settings.retention.clone() else {
        let problem = format!("{} has no archive\n  = help: name one with -store DIR", loaded.name);
        return Err(End::Broken(problem));
    };
    Ok(settings)
}

fn open(given: &Given) -> Result<Archive, End> {
    match given.text("store") {
        Some(store) => of_store(store),
        None => of_settings(settings(&mut checks::load(given).map_err(End::Exit)?)?),
    }
}

fn of_store(store: &str) -> Result<Archive, End> {
    Ok(Archive { places: vec![Place::directory("", existing(store.as_ref())?)], settings: None })
}

fn of_settings(settings: Arc<Settings>) -> Result<Archive, End> {
    if let Some((_, Location::Directory(first))) = settings.stores().next() {
        existing(first)?;
    }
    let places = Place::all(&settings).map_err(|error| End::Broken(error.to_string()))?;
    Ok(Archive { places, settings: Some(settings) })
}

fn existing(store: &Path) -> Result<&Path, End> {
    let missing = || End::Broken(format!("there is no archive in {}", store.display()));
    if store.is_dir() { Ok(store) } else { Err(missing()) }
}

fn filter(given: &Given, selector: Option<&str>) -> Result<Filter, End> {
    let selector = selector.map(Selector::parse).transpose().map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        End::Wrong(format!("{error}{cause}"))
    })?;
    let mut filter = Filter { selector, ..Filter::everything() };
    if let Some(since) = given.text("since") {
        let age = prometheus_duration(since).or_else(|| go_duration(since));
        let age =
            age.ok_or_else(|| End::Wrong(format!("-since={since} is no duration such as 30m, 24h or 7d")))?;
        filter.from = clock::now().minus(age);
    }
    for (flag, is_begin) in [("from", true), ("to", false), ("until", false)] {
        let Some(text) = given.text(flag) else { continue };
        let time = time(text).ok_or_else(|| {
            End::Wrong(format!("-{flag}={text} is no time such as 2026-11-18T10:30:00Z or 2026-11-18"))
        })?;
        if is_begin {
            filter.from = time;
        } else {
            filter.to = time.minus(Duration::from_nanos(1));
        }
    }
    Ok(filter)
}

/// A time of RFC 3339, or a day in UTC.
fn time(text: &str) -> Option<UnixNanos> {
    let day = || {
        let day: Date = text.parse().ok()?;
        TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok()
    };
    let time = text.parse::<Timestamp>().ok().or_else(day)?;
    // Between the least and the greatest `i64` nothing is lost.
    Some(UnixNanos(time.as_nanosecond().clamp(i64::MIN.into(), i64::MAX.into()) as i64))
}

/// Tells how far it is, once it takes long, where somebody looks.
struct Progress {
    watched: bool,
    since: Instant,
    shown: bool,
}

impl Progress {
    fn start() -> Progress {
        Progress { watched: io::stderr().is_terminal(), since: Instant::now(), shown: false }
    }

    fn tell(&mut self, what: &str) {
        if self.watched && self.since.elapsed() >= PATIENCE {
            // What is logged meanwhile writes over it.
            eprint!("\r\u{1b}[K{what}\r");
            self.shown = true;
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            eprint!("\r\u{1b}[K");
        }
    }
}
