//! How fast the whole agent carries lines, what it costs and how much memory it takes.
//! In: a job as bot-core has it, in generated files.  Out: figures, those of a bare loop beside them, and all as JSON.  Owns: files and
//! an endpoint that takes every push.
//!
//! `cargo bench --bench end_to_end`; `TAILWATER_BENCH_LINES` sets the lines per file. Pinned to one core where `taskset`
//! is there.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "it measures by the real clock")]
#![allow(unreachable_pub, missing_docs, reason = "one program: `pub` means for the other file")]

#[path = "support/bare.rs"]
mod bare;
#[path = "support/job.rs"]
#[allow(dead_code, reason = "each benchmark uses its part")]
mod job;
#[path = "support/sink.rs"]
mod sink;

use std::path::Path;
use std::time::Instant;

use job::{Cores, FILES, Job};

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != bare::FLAG).skip(1);
    if let Some(directory) = arguments.next() {
        return bare::run(Path::new(&directory));
    }
    let lines: u64 =
        std::env::var("TAILWATER_BENCH_LINES").ok().and_then(|lines| lines.parse().ok()).unwrap_or(200_000);
    let directory = tempfile::tempdir().unwrap();
    let files = 0..FILES;
    let bytes: u64 =
        files.map(|file| job::generate(directory.path(), file, lines, job::EVERY_MILLISECOND)).sum();
    let bare = bare::measure(directory.path());
    let sink = sink::serve(|_| Some("204 No Content"));
    let mut job = Job::start(directory.path(), Some(sink), "", Cores::One);
    let started = Instant::now();
    let total = FILES * lines;
    job.wait_for("tailwater_sent_entries_total", total);
    let seconds = started.elapsed().as_secs_f64();
    let (cpu, peak) = (job.cpu_seconds(), job.peak_mib());
    let rate = total as f64 / seconds;
    let per_line = cpu * 1e6 / total as f64;
    println!(
        "{rate:.0} lines/s, {:.0} MB/s, {per_line:.2} µs CPU per line, {peak:.1} MiB at the peak",
        bytes as f64 / 1e6 / seconds
    );
    println!("the bare loop: {bare:.0} lines/s; the agent has {:.2} of that", rate / bare);
    println!(
        r#"{{"lines":{total},"seconds":{seconds:.3},"lines_per_second":{rate:.0},"cpu_us_per_line":{per_line:.3},"peak_mib":{peak:.1},"bare_lines_per_second":{bare:.0}}}"#
    );
}
