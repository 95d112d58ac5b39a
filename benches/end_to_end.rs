//! How fast the whole agent carries lines, what it costs, how much memory it takes: the table of docs/performance.md.
//! In: `TAILWATER_BENCH_ONLY` (scenarios, such as `idle,steady`), `TAILWATER_BENCH_LINES` (of each file of the job).  Out: a table
//! with targets, and all figures as JSON.  Owns: files, daemons, an endpoint that looks into every push.
//!
//! `cargo bench --bench end_to_end`. Where there is `taskset`, the agent has the first core and everything else the second.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "it measures by the real clock")]
#![allow(unreachable_pub, missing_docs, reason = "one program: `pub` means for the other file")]

#[path = "support/agent.rs"]
#[allow(dead_code, reason = "each benchmark uses its part")]
mod agent;
#[path = "support/bare.rs"]
mod bare;
#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/endpoint.rs"]
mod endpoint;
#[path = "support/job.rs"]
#[allow(dead_code, reason = "each benchmark uses its part")]
mod job;
#[path = "support/lines.rs"]
#[allow(dead_code, reason = "each benchmark uses its part")]
mod lines;
#[path = "support/report.rs"]
mod report;
#[path = "support/sink.rs"]
#[allow(dead_code, reason = "each benchmark uses its part")]
mod sink;

#[path = "end_to_end/api.rs"]
mod api;
#[path = "end_to_end/carry.rs"]
mod carry;
#[path = "end_to_end/engine.rs"]
mod engine;
#[path = "end_to_end/files.rs"]
mod files;
#[path = "end_to_end/growth.rs"]
mod growth;
#[path = "end_to_end/idle.rs"]
mod idle;
#[path = "end_to_end/memory.rs"]
mod memory;
#[path = "end_to_end/start.rs"]
mod start;
#[path = "end_to_end/steady.rs"]
mod steady;
#[path = "end_to_end/throughput.rs"]
mod throughput;
#[path = "end_to_end/typical.rs"]
mod typical;

use std::path::Path;
use std::process::{Command, Stdio};

use report::{Report, Row};

type Scenario = (&'static str, fn() -> Vec<Row>);

const SCENARIOS: [Scenario; 10] = [
    ("throughput", throughput::run),
    ("steady", steady::run),
    ("idle", idle::run),
    ("memory", memory::run),
    ("api", api::run),
    ("engine", engine::run),
    ("files", files::run),
    ("typical", typical::run),
    ("growth", growth::run),
    ("start", start::run),
];

fn main() {
    let mut arguments = std::env::args();
    if arguments.any(|argument| argument == bare::FLAG) {
        return bare::run(Path::new(&arguments.next().unwrap()));
    }
    if std::env::args().any(|argument| argument == endpoint::FLAG) {
        return endpoint::run();
    }
    leave_the_first_core();
    let only = std::env::var("TAILWATER_BENCH_ONLY").unwrap_or_default();
    let known = |name: &str| SCENARIOS.iter().any(|(scenario, _)| *scenario == name);
    let strange = only.split(',').find(|name| !name.is_empty() && !known(name));
    assert!(strange.is_none(), "there is no scenario {strange:?}");
    let mut report = Report::begin();
    for (name, run) in SCENARIOS {
        if only.is_empty() || only.split(',').any(|wanted| wanted == name) {
            report.add(name, run());
        }
    }
    report.finish();
}

/// To the agent. Whatever this program starts stays where it is, too.
fn leave_the_first_core() {
    let second = ["-a", "-c", "-p", "1", &std::process::id().to_string()].map(str::to_owned);
    let taskset = Command::new("taskset").args(second).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !taskset.is_ok_and(|status| status.success()) {
        println!("without taskset, or a second core: the agent shares its core\n");
    }
}

/// Lines of each file of the job.
fn lines_per_file() -> u64 {
    std::env::var("TAILWATER_BENCH_LINES").ok().and_then(|lines| lines.parse().ok()).unwrap_or(200_000)
}
