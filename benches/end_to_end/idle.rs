//! Idle beside silent containers.
//! In: twenty of them, of a daemon.  Out: memory, CPU.  Owns: an agent.

use std::thread;
use std::time::Duration;

use crate::agent::{Agent, Cores};
use crate::daemon;
use crate::endpoint::Endpoint;
use crate::job;
use crate::report::Row;

const CONTAINERS: usize = 20;

/// Until all are followed.
const BEFORE: Duration = Duration::from_secs(5);
const MEASURED: Duration = Duration::from_secs(30);

pub fn run() -> Vec<Row> {
    let (directory, endpoint) = (tempfile::tempdir().unwrap(), Endpoint::start());
    let socket = daemon::start(directory.path(), CONTAINERS, &[]);
    let job = job::containers(&socket, job::STAGES);
    let agent = Agent::start(directory.path(), Some(endpoint.port), &job, Cores::One);
    thread::sleep(BEFORE);
    assert_eq!(agent.metric("tailwater_targets_active"), CONTAINERS as f64);
    let cpu = agent.cpu_seconds();
    thread::sleep(MEASURED);
    let percent = (agent.cpu_seconds() - cpu) / MEASURED.as_secs_f64() * 100.0;
    let resident = agent.resident_mib();
    vec![Row {
        what: "idle beside 20 silent containers, 30 s".to_owned(),
        target: "≤ 12 MiB, < 0.2 % of a core",
        measured: format!("{resident:.1} MiB, {percent:.2} %"),
        met: Some(resident <= 12.0 && percent < 0.2),
        figures: vec![("resident_mib", resident), ("cpu_percent", percent)],
    }]
}
