//! The job of the benchmarks: Docker json-file logs as bot-core writes them, and an agent that carries them.
//! In: how many lines, where to.  Out: files, a running agent and what it took.  Owns: the agent's process.

use std::fmt;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::sink;

pub const FILES: u64 = 6;
pub const SERVICES: [&str; 6] =
    ["rust-core-engine", "python-ai-service", "nextjs-dashboard", "mongodb", "redis", "rabbitmq"];
const LEVELS: [&str; 10] = ["INFO", "INFO", "INFO", "INFO", "INFO", "INFO", "INFO", "INFO", "WARN", "ERROR"];

/// Nanoseconds between two lines of a file.
pub const EVERY_MILLISECOND: u64 = 1_000_000;

/// The cores of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cores {
    /// Where `taskset` is there.
    One,
    All,
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Cores::One { "one" } else { "all" })
    }
}

/// One json-file log of a service, the same in every run, from 2026-11-24 on; its size.
pub fn generate(directory: &Path, file: u64, lines: u64, pause: u64) -> u64 {
    let path = directory.join(format!("c{file}.log"));
    let mut out = BufWriter::new(File::create(&path).unwrap());
    for line in 0..lines {
        let (service, level) = (SERVICES[file as usize % SERVICES.len()], LEVELS[(line * 7 % 10) as usize]);
        let nanos = line * pause;
        let second = nanos / 1_000_000_000;
        let time = format!(
            "2026-11-24T{:02}:{:02}:{:02}.{:09}Z",
            second / 3600,
            second / 60 % 60,
            second % 60,
            nanos % 1_000_000_000
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

/// An agent that carries the logs of a directory.
pub struct Job {
    agent: Child,
    port: u16,
}

impl Job {
    /// Starts one that pushes to `sink`, if there is one; `more` is added to its configuration.
    pub fn start(directory: &Path, sink: Option<u16>, more: &str, cores: Cores) -> Job {
        let (text, port) = (directory.display(), sink::free_port());
        let clients =
            sink.map(|sink| format!("clients: [{{url: 'http://127.0.0.1:{sink}/loki/api/v1/push'}}]\n"));
        let configuration = format!(
            r#"
server: {{http_listen_address: 127.0.0.1, http_listen_port: {port}}}
positions: {{filename: '{text}/positions.yaml'}}
{}{more}
scrape_configs:
- job_name: bench
  static_configs: [{{labels: {{job: bench, __path__: '{text}/c*.log'}}}}]
  pipeline_stages:
  - docker: {{}}
  - json: {{expressions: {{timestamp: , level: , service: , duration_ms: }}}}
  - labels: {{level: , service: }}
  - timestamp: {{source: timestamp, format: RFC3339Nano}}
  - metrics: {{lines_total: {{type: Counter, config: {{match_all: true, action: inc}}}}}}
"#,
            clients.unwrap_or_default()
        );
        let file = directory.join("tailwater.yaml");
        fs::write(&file, configuration).unwrap();
        let program = env!("CARGO_BIN_EXE_tailwater");
        let pinned = cores == Cores::One
            && Command::new("taskset").arg("--version").stdout(Stdio::null()).status().is_ok();
        let mut command = if pinned { Command::new("taskset") } else { Command::new(program) };
        if pinned {
            command.args(["-c", "0", program]);
        }
        let argument = format!("-config.file={}", file.display());
        Job { agent: command.arg(argument).stderr(Stdio::null()).spawn().unwrap(), port }
    }

    /// Waits until a counter is at `total`.
    pub fn wait_for(&mut self, counter: &str, total: u64) {
        while (sink::metric(self.port, counter) as u64) < total {
            assert!(self.agent.try_wait().unwrap().is_none(), "the agent ended");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The sum over all series of a metric.
    pub fn metric(&self, name: &str) -> f64 {
        sink::metric(self.port, name)
    }

    /// User and system time of the process, which is counted in ticks of 10 ms.
    pub fn cpu_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.agent.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
    }

    pub fn peak_mib(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.agent.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }

    /// Ends it as somebody would who stops it, and waits for that.
    pub fn terminate(mut self) {
        Command::new("kill").arg(self.agent.id().to_string()).status().unwrap();
        assert!(self.agent.wait().unwrap().success());
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        drop(self.agent.kill());
        drop(self.agent.wait());
    }
}
