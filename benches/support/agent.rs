//! The agent that a benchmark looks at.
//! In: a configuration.  Out: a running agent, what it takes.  Owns: its process.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::sink;

/// The cores of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cores {
    /// The first, where `taskset` is there.
    One,
    All,
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Cores::One { "one" } else { "all" })
    }
}

/// A running agent; dropping it ends it.
pub struct Agent {
    child: Child,
    port: u16,
    pub started: Instant,
}

impl Agent {
    /// Starts one that keeps its state in a directory and pushes to `sink`, if there is one; `more` is the rest of its
    /// configuration.
    pub fn start(state: &Path, sink: Option<u16>, more: &str, cores: Cores) -> Agent {
        let port = sink::free_port();
        let clients =
            sink.map(|sink| format!("clients: [{{url: 'http://127.0.0.1:{sink}/loki/api/v1/push'}}]\n"));
        let configuration = format!(
            "server: {{http_listen_address: 127.0.0.1, http_listen_port: {port}}}\n\
             positions: {{filename: '{}/positions.yaml'}}\n{}{more}",
            state.display(),
            clients.unwrap_or_default()
        );
        let file = state.join("tailwater.yaml");
        fs::write(&file, configuration).unwrap();
        let mut command = command(&program(), cores);
        command.arg(format!("-config.file={}", file.display()));
        let started = Instant::now();
        Agent { child: command.stderr(Stdio::null()).spawn().unwrap(), port, started }
    }

    /// Waits until a counter is at `total`.
    pub fn wait_for(&mut self, counter: &str, total: u64) {
        while (sink::metric(self.port, counter) as u64) < total {
            self.wait_a_moment();
        }
    }

    /// Lets a little time pass, unless the agent has ended.
    pub fn wait_a_moment(&mut self) {
        assert!(self.child.try_wait().unwrap().is_none(), "the agent ended");
        thread::sleep(Duration::from_millis(10));
    }

    /// The sum over all series of a metric.
    pub fn metric(&self, name: &str) -> f64 {
        sink::metric(self.port, name)
    }

    /// User and system time of the process, which is counted in ticks of 10 ms.
    pub fn cpu_seconds(&self) -> f64 {
        cpu_seconds(self.child.id())
    }

    /// The most memory that it has had.
    pub fn peak_mib(&self) -> f64 {
        self.memory("VmHWM:")
    }

    /// The memory that it has now.
    pub fn resident_mib(&self) -> f64 {
        self.memory("VmRSS:")
    }

    fn memory(&self, what: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }

    /// Ends it as somebody would who stops it, and waits for that.
    pub fn terminate(mut self) {
        Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The program that is measured: another build, where `TAILWATER_BENCH_PROGRAM` names one.
fn program() -> String {
    std::env::var("TAILWATER_BENCH_PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_tailwater").to_owned())
}

/// A program on these cores.
pub fn command(program: &str, cores: Cores) -> Command {
    let pinned = Command::new("taskset").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !pinned {
        return Command::new(program);
    }
    let count = fs::read_to_string("/proc/cpuinfo").unwrap_or_default().matches("processor\t").count().max(1);
    let list = if cores == Cores::One { "0".to_owned() } else { format!("0-{}", count - 1) };
    let mut command = Command::new("taskset");
    command.args(["-c", &list, program]);
    command
}

/// User and system time of a process.
pub fn cpu_seconds(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}
