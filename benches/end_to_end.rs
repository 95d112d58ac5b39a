//! How fast the whole agent carries lines, what it costs and how much memory it takes.
//! In: a job as bot-core has it, in generated files.  Out: one line of figures, and the same as JSON.  Owns: files and
//! an endpoint that takes every push.
//!
//! `cargo bench --bench end_to_end`; `TAILWATER_BENCH_LINES` sets the lines per file. Pinned to one core where `taskset`
//! is there.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "it measures by the real clock")]
#![allow(unreachable_pub, missing_docs, reason = "one program: `pub` means for the other file")]

#[path = "support/sink.rs"]
mod sink;

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const FILES: u64 = 6;
const SERVICES: [&str; 6] =
    ["rust-core-engine", "python-ai-service", "nextjs-dashboard", "mongodb", "redis", "rabbitmq"];
const LEVELS: [&str; 10] = ["INFO", "INFO", "INFO", "INFO", "INFO", "INFO", "INFO", "INFO", "WARN", "ERROR"];

fn main() {
    let lines: u64 =
        std::env::var("TAILWATER_BENCH_LINES").ok().and_then(|lines| lines.parse().ok()).unwrap_or(200_000);
    let directory = tempfile::tempdir().unwrap();
    let bytes: u64 = (0..FILES).map(|file| generate(directory.path(), file, lines)).sum();
    let sink = sink::serve(|_| Some("204 No Content"));
    let port = sink::free_port();
    let mut agent = start(directory.path(), sink, port);
    let started = Instant::now();
    let total = FILES * lines;
    while (sink::metric(port, "tailwater_sent_entries_total") as u64) < total {
        assert!(agent.try_wait().unwrap().is_none(), "the agent ended");
        thread::sleep(Duration::from_millis(20));
    }
    let seconds = started.elapsed().as_secs_f64();
    let (cpu, peak) = (cpu_seconds(&agent), peak_kib(&agent));
    agent.kill().unwrap();
    agent.wait().unwrap();
    let rate = total as f64 / seconds;
    let per_line = cpu * 1e6 / total as f64;
    let (megabytes, peak) = (bytes as f64 / 1e6, peak as f64 / 1024.0);
    println!(
        "{rate:.0} lines/s, {:.0} MB/s, {per_line:.2} µs CPU per line, {peak:.1} MiB at the peak",
        megabytes / seconds
    );
    println!(
        r#"{{"lines":{total},"seconds":{seconds:.3},"lines_per_second":{rate:.0},"cpu_us_per_line":{per_line:.3},"peak_mib":{peak:.1}}}"#
    );
}

/// One json-file log, the same in every run; its size.
fn generate(directory: &Path, file: u64, lines: u64) -> u64 {
    let path = directory.join(format!("c{file}.log"));
    let mut out = BufWriter::new(File::create(&path).unwrap());
    for line in 0..lines {
        let (service, level) = (SERVICES[file as usize % SERVICES.len()], LEVELS[(line * 7 % 10) as usize]);
        let time = format!(
            "2026-11-24T07:{:02}:{:02}.{:03}000000Z",
            line / 60_000 % 60,
            line / 1000 % 60,
            line % 1000
        );
        let duration = line * 7919 % 1500;
        writeln!(
            out,
            r#"{{"log":"{{\"timestamp\":\"{time}\",\"level\":\"{level}\",\"service\":\"{service}\",\"message\":\"Trade executed successfully for order {line}\",\"context\":{{\"trade_id\":\"abc{line}\",\"symbol\":\"BTCUSDT\",\"quantity\":0.01,\"price\":45000.0}},\"duration_ms\":{duration}}}\n","stream":"stdout","time":"{time}"}}"#
        )
        .unwrap();
    }
    out.flush().unwrap();
    fs::metadata(path).unwrap().len()
}

fn start(directory: &Path, sink: u16, port: u16) -> Child {
    let directory_text = directory.display();
    let configuration = format!(
        r#"
server: {{http_listen_address: 127.0.0.1, http_listen_port: {port}}}
positions: {{filename: '{directory_text}/positions.yaml'}}
clients: [{{url: 'http://127.0.0.1:{sink}/loki/api/v1/push'}}]
scrape_configs:
- job_name: bench
  static_configs: [{{labels: {{job: bench, __path__: '{directory_text}/c*.log'}}}}]
  pipeline_stages:
  - docker: {{}}
  - json: {{expressions: {{timestamp: , level: , service: , duration_ms: }}}}
  - labels: {{level: , service: }}
  - timestamp: {{source: timestamp, format: RFC3339Nano}}
  - metrics: {{lines_total: {{type: Counter, config: {{match_all: true, action: inc}}}}}}
"#
    );
    let file = directory.join("tailwater.yaml");
    fs::write(&file, configuration).unwrap();
    let program = env!("CARGO_BIN_EXE_tailwater");
    let argument = format!("-config.file={}", file.display());
    let pinned = Command::new("taskset").arg("--version").stdout(Stdio::null()).status().is_ok();
    let mut command = if pinned { Command::new("taskset") } else { Command::new(program) };
    if pinned {
        command.args(["-c", "0", program]);
    }
    command.arg(argument).stderr(Stdio::null()).spawn().unwrap()
}

/// User and system time of the process, in clock ticks of 10 ms.
fn cpu_seconds(agent: &Child) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", agent.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn peak_kib(agent: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
