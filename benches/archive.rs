//! What archiving costs, how small lines become, and how much of an archive a question reads.
//! In: the job of `end_to_end`, with and without an archive; a day of lines.  Out: tables of figures.  Owns: files, an endpoint
//! that takes every push.
//!
//! `cargo bench --bench archive`; `TAILWATER_BENCH_LINES` sets the lines per file of the first part, `TAILWATER_BENCH_MB` the size of the
//! day (2000). The agent has one core where `taskset` is there, and then as many as there are.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "it measures by the real clock")]
#![allow(unreachable_pub, missing_docs, reason = "one program: `pub` means for the other file")]

#[path = "support/agent.rs"]
#[allow(dead_code, reason = "each benchmark uses its part")]
mod agent;
#[path = "support/job.rs"]
#[allow(dead_code, reason = "each benchmark uses its part")]
mod job;
#[path = "support/lines.rs"]
#[allow(dead_code, reason = "each benchmark uses its part")]
mod lines;
#[path = "support/sink.rs"]
mod sink;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use agent::Cores;
use job::FILES;

/// Bytes of a line, about.
const LINE: u64 = 350;

/// Each figure is the median of so many runs.
const RUNS: usize = 3;

fn main() {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
    };
    cost(number("TAILWATER_BENCH_LINES", 200_000));
    reading(number("TAILWATER_BENCH_MB", 2000));
}

#[derive(Clone, Copy, Debug)]
struct Figures {
    rate: f64,
    cpu: f64,
    peak: f64,
    /// Of all lines, in percent.
    sealed: f64,
}

/// The same lines with and without an archive, in turns.
fn cost(lines: u64) {
    println!(
        "| cores | archive | lines/s | CPU per line | peak memory | sealed by then |\n|---|---|---|---|---|---|"
    );
    for cores in [Cores::One, Cores::All] {
        let mut runs = [Vec::new(), Vec::new()];
        for _ in 0..RUNS {
            for archived in [false, true] {
                runs[usize::from(archived)].push(carry(lines, archived, cores));
            }
        }
        let [without, with] = runs.map(median);
        for (archive, Figures { rate, cpu, peak, sealed }) in [("no", without), ("yes", with)] {
            println!("| {cores} | {archive} | {rate:.0} | {cpu:.2} µs | {peak:.1} MiB | {sealed:.0} % |");
        }
        println!(
            "| {cores} | | {:.0} % less | {:+.2} µs | | |",
            (1.0 - with.rate / without.rate) * 100.0,
            with.cpu - without.cpu
        );
    }
}

fn carry(lines: u64, archived: bool, cores: Cores) -> Figures {
    let directory = tempfile::tempdir().unwrap();
    for file in 0..FILES {
        lines::generate(directory.path(), file, lines, lines::EVERY_MILLISECOND);
    }
    let retention = if archived { retention(directory.path()) } else { String::new() };
    let sink = sink::serve(|_| Some("204 No Content"));
    let mut agent = job::start(directory.path(), Some(sink), &retention, cores);
    let (started, total) = (Instant::now(), FILES * lines);
    agent.wait_for("tailwater_sent_entries_total", total);
    if archived {
        agent.wait_for("tailwater_archive_received_entries_total", total);
    }
    let seconds = started.elapsed().as_secs_f64();
    Figures {
        rate: total as f64 / seconds,
        cpu: agent.cpu_seconds() * 1e6 / total as f64,
        peak: agent.peak_mib(),
        sealed: agent.metric("tailwater_archive_entries_total") * 100.0 / total as f64,
    }
}

fn retention(directory: &Path) -> String {
    let store = directory.join("archive");
    let tier = format!("{{name: a, until: 36500d, store: '{}'}}", store.display());
    format!("retention: {{tiers: [{tier}], host: bench, seal_age: 5s}}\n")
}

fn median(mut runs: Vec<Figures>) -> Figures {
    runs.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    runs[runs.len() / 2]
}

/// A day of six services, and a question for an hour of one of them.
fn reading(megabytes: u64) {
    let directory = tempfile::tempdir().unwrap();
    let lines = megabytes * 1_000_000 / FILES / LINE;
    let pause = 24 * 3600 * 1_000_000_000 / lines;
    let bytes: u64 = (0..FILES).map(|file| lines::generate(directory.path(), file, lines, pause)).sum();
    let mut agent = job::start(directory.path(), None, &retention(directory.path()), Cores::All);
    agent.wait_for("tailwater_archive_entries_total", FILES * lines);
    agent.terminate();
    let store = directory.path().join("archive");
    let ask = |arguments: &[&str]| {
        let started = Instant::now();
        let output = Command::new(env!("CARGO_BIN_EXE_tailwater"))
            .args(["archive", "query", "-count", "-stats"])
            .arg(format!("-store={}", store.display()))
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = |bytes| String::from_utf8(bytes).unwrap().trim().to_owned();
        (text(output.stdout), text(output.stderr), started.elapsed().as_secs_f64())
    };
    let archived = size(&store);
    println!(
        "\n{} lines, {:.0} MB as files, {:.1} MB archived: 1/{:.1}",
        FILES * lines,
        bytes as f64 / 1e6,
        archived as f64 / 1e6,
        bytes as f64 / archived as f64
    );
    let hour = ["-from=2026-11-24T10:00:00Z", "-to=2026-11-24T11:00:00Z"];
    for (what, question) in [
        ("one service, one hour", vec![r#"{service="redis"}"#, hour[0], hour[1]]),
        ("all services, one hour", vec![hour[0], hour[1]]),
        ("one service, all day, a text", vec![r#"{service="redis"} |= "order 77777""#]),
        ("everything", vec![]),
    ] {
        let (count, read, seconds) = ask(&question);
        println!("{what}: {count} lines in {seconds:.2} s; {read} of {archived}");
    }
}

/// Bytes of all objects below a directory.
fn size(directory: &Path) -> u64 {
    let size = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        let is_object = path.extension().is_some_and(|extension| extension == "parquet");
        if path.is_dir() {
            size(&path)
        } else if is_object {
            fs::metadata(path).unwrap().len()
        } else {
            0
        }
    };
    fs::read_dir(directory).unwrap().map(size).sum()
}
