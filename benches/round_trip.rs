//! Lines a second over a link with a round trip: the job of `end_to_end`, to an endpoint that answers late, several pushes at once
//! and one at a time.
//! In: `TAILWATER_BENCH_LINES` per file (200,000), `TAILWATER_BENCH_ROUND_TRIP_MS` (50).  Out: a line of figures for each.
//! Owns: the files and one agent after the other.
//!
//! `cargo bench --bench round_trip`
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "it measures by the real clock")]
#![allow(unreachable_pub, missing_docs, dead_code, reason = "one program: `pub` means for the other files")]

#[path = "support/agent.rs"]
mod agent;
#[path = "support/job.rs"]
mod job;
#[path = "support/lines.rs"]
mod lines;
#[path = "support/sink.rs"]
mod sink;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use agent::Cores;
use job::FILES;

fn main() {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
    };
    let lines = number("TAILWATER_BENCH_LINES", 200_000);
    let round_trip = Duration::from_millis(number("TAILWATER_BENCH_ROUND_TRIP_MS", 50));
    let delay = Arc::new(AtomicU64::new(0));
    let pushes = Arc::new(AtomicU64::new(0));
    let (late, counted) = (delay.clone(), pushes.clone());
    // Each connection has a thread of its own, so those who wait do not wait for each other.
    let port = sink::serve(move |_| {
        thread::sleep(Duration::from_millis(late.load(Ordering::Relaxed)));
        counted.fetch_add(1, Ordering::Relaxed);
        Some("204 No Content")
    });
    for (delay_ms, concurrency) in
        [(Duration::ZERO, 8), (Duration::ZERO, 1), (round_trip, 8), (round_trip, 1)]
    {
        delay.store(delay_ms.as_millis() as u64, Ordering::Relaxed);
        pushes.store(0, Ordering::Relaxed);
        let directory = tempfile::tempdir().unwrap();
        for file in 0..FILES {
            lines::generate(directory.path(), file, lines, lines::EVERY_MILLISECOND);
        }
        let started = Instant::now();
        let client = format!(
            "clients: [{{url: 'http://127.0.0.1:{port}/loki/api/v1/push', concurrency: {concurrency}}}]\n"
        );
        let mut agent = job::start(directory.path(), None, &client, Cores::One);
        agent.wait_for("tailwater_sent_entries_total", FILES * lines);
        let rate = (FILES * lines) as f64 / started.elapsed().as_secs_f64();
        println!(
            "{:>4} ms, concurrency {concurrency}: {rate:.0} lines/s, {} pushes, {:.2} µs CPU per line, peak memory {:.1} MiB",
            delay_ms.as_millis(),
            pushes.load(Ordering::Relaxed),
            agent.cpu_seconds() * 1e6 / (FILES * lines) as f64,
            agent.peak_mib()
        );
        agent.terminate();
    }
}
