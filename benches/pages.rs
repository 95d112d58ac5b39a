//! How soon the agent answers on its own pages while its path is saturated, and what that costs.
//! In: `TAILWATER_BENCH_LINES` (per file), `TAILWATER_BENCH_SCRAPERS`, `TAILWATER_BENCH_PAUSE_MS` (between two requests
//! of a scraper).  Out: lines of figures.  Owns: 1,000 files, an endpoint that takes every push, those who ask.
//!
//! `cargo bench --bench pages`. The agent is pinned to one core; everything else has the others.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "it measures by the real clock")]
#![allow(unreachable_pub, missing_docs, reason = "one program: `pub` means for the other file")]

#[path = "support/sink.rs"]
mod sink;

use std::fs::{self, File};
use std::io::{BufWriter, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Each is a target, and a series of each metric.
const FILES: usize = 1000;

const METRICS: usize = 10;

fn main() {
    let lines = number("TAILWATER_BENCH_LINES", 6000);
    let scrapers = number("TAILWATER_BENCH_SCRAPERS", 8);
    let pause = Duration::from_millis(number("TAILWATER_BENCH_PAUSE_MS", 100));
    let directory = tempfile::tempdir().unwrap();
    (0..FILES).for_each(|file| generate(directory.path(), file, lines));
    let total = FILES as u64 * lines;
    let (alone, _) = run(directory.path(), total, 0, pause);
    println!("nobody asks: {alone:.0} lines/s");
    let (rate, answers) = run(directory.path(), total, scrapers, pause);
    println!("{scrapers} ask, {} ms after each answer: {rate:.0} lines/s", pause.as_millis());
    for path in ["/metrics", "/ready"] {
        let mut times: Vec<f64> =
            answers.iter().filter(|answer| answer.path == path).map(|answer| answer.millis).collect();
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        let size = answers.iter().filter(|answer| answer.path == path).map(|answer| answer.size).max();
        println!(
            "{path}: {} answers of up to {} bytes, median {:.1} ms, 99 % within {:.1} ms, all within {:.1} ms",
            times.len(),
            size.unwrap_or(0),
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
}

/// Has the agent read everything, while so many ask; lines a second, and how they were answered.
fn run(directory: &Path, total: u64, scrapers: u64, pause: Duration) -> (f64, Vec<Answer>) {
    let state = tempfile::tempdir().unwrap();
    let sink = sink::serve(|_| Some("204 No Content"));
    let port = sink::free_port();
    let mut agent = start(directory, state.path(), sink, port);
    let sent = || sink::metric(port, "tailwater_sent_entries_total") as u64;
    // Until every target has its series.
    while sent() < total / 20 {
        assert!(agent.try_wait().unwrap().is_none(), "the agent ended");
        thread::sleep(Duration::from_millis(100));
    }
    let (started, before, stop) = (Instant::now(), sent(), AtomicBool::new(false));
    let answers = thread::scope(|scope| {
        let ask = |_| scope.spawn(|| ask(port, pause, &stop));
        let asking: Vec<_> = (0..scrapers).map(ask).collect();
        // What comes last is no full load any more.
        while sent() < total - total / 10 {
            thread::sleep(Duration::from_millis(500));
        }
        stop.store(true, Ordering::Relaxed);
        asking.into_iter().flat_map(|asking| asking.join().unwrap()).collect()
    });
    let rate = (sent() - before) as f64 / started.elapsed().as_secs_f64();
    agent.kill().unwrap();
    agent.wait().unwrap();
    (rate, answers)
}

struct Answer {
    path: &'static str,
    millis: f64,
    size: usize,
}

fn ask(port: u16, pause: Duration, stop: &AtomicBool) -> Vec<Answer> {
    let mut answers = Vec::new();
    for path in ["/metrics", "/ready"].into_iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let (asked, mut text) = (Instant::now(), Vec::new());
        let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").unwrap();
        socket.read_to_end(&mut text).unwrap();
        assert!(text.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&text));
        answers.push(Answer { path, millis: asked.elapsed().as_secs_f64() * 1e3, size: text.len() });
        thread::sleep(pause);
    }
    answers
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// One json-file log, the same in every run.
fn generate(directory: &Path, file: usize, lines: u64) {
    let mut out = BufWriter::new(File::create(directory.join(format!("c{file}.log"))).unwrap());
    for line in 0..lines {
        let level = ["INFO", "INFO", "INFO", "INFO", "WARN", "ERROR"][line as usize % 6];
        let time = format!("2026-11-24T07:00:{:02}.{:03}000000Z", line / 1000 % 60, line % 1000);
        writeln!(
            out,
            r#"{{"log":"{{\"timestamp\":\"{time}\",\"level\":\"{level}\",\"service\":\"s{file}\",\"message\":\"Trade executed successfully for order {line}\",\"context\":{{\"trade_id\":\"abc{line}\",\"symbol\":\"BTCUSDT\",\"quantity\":0.01,\"price\":45000.0}},\"duration_ms\":{line}}}\n","stream":"stdout","time":"{time}"}}"#
        )
        .unwrap();
    }
    out.flush().unwrap();
}

fn start(directory: &Path, state: &Path, sink: u16, port: u16) -> Child {
    let metrics: String = (0..METRICS)
        .map(|metric| {
            format!("lines_{metric}_total: {{type: Counter, config: {{match_all: true, action: inc}}}}, ")
        })
        .collect();
    let configuration = format!(
        r#"
server: {{http_listen_address: 127.0.0.1, http_listen_port: {port}}}
positions: {{filename: '{state}/positions.yaml'}}
clients: [{{url: 'http://127.0.0.1:{sink}/loki/api/v1/push'}}]
scrape_configs:
- job_name: bench
  static_configs: [{{labels: {{job: bench, __path__: '{directory}/c*.log'}}}}]
  pipeline_stages:
  - docker: {{}}
  - json: {{expressions: {{timestamp: , level: , service: , duration_ms: }}}}
  - metrics: {{{metrics}}}
  - labels: {{level: , service: }}
  - timestamp: {{source: timestamp, format: RFC3339Nano}}
"#,
        state = state.display(),
        directory = directory.display()
    );
    let file = state.join("tailwater.yaml");
    fs::write(&file, configuration).unwrap();
    let mut command = Command::new("taskset");
    command.args(["-c", "0", env!("CARGO_BIN_EXE_tailwater")]);
    command.arg(format!("-config.file={}", file.display())).stderr(Stdio::null()).spawn().unwrap()
}
