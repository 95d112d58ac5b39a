//! Carrying files that are there already, all of them.
//! In: a directory of logs, a pipeline.  Out: what it took.  Owns: an agent, an endpoint and the agent's state.

use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::agent::{Agent, Cores};
use crate::endpoint::Endpoint;
use crate::job;

/// After it, what is freed is given back.
const QUIET: Duration = Duration::from_secs(3);

/// Lines of the last batch at most. It waits for its age, which says nothing about speed.
const LAST: u64 = 5000;

/// What it took to carry lines, all but the last of them.
pub struct Carried {
    pub lines: u64,
    pub seconds: f64,
    pub cpu_seconds: f64,
    pub peak_mib: f64,
    /// While nothing happens any more; where that was waited for.
    pub quiet_mib: f64,
}

impl Carried {
    pub fn rate(&self) -> f64 {
        self.lines as f64 / self.seconds
    }

    /// Of the processor, a line.
    pub fn micros(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.lines as f64
    }
}

/// Carries logs through `docker` and these stages, until so many entries have come.
pub fn files(logs: &Path, stages: &str, lines: u64) -> Carried {
    run(&job::files(logs, stages), lines, Duration::ZERO)
}

/// The same, and waits for quiet.
pub fn files_and_rest(logs: &Path, stages: &str, lines: u64) -> Carried {
    run(&job::files(logs, stages), lines, QUIET)
}

/// Carries what a configuration says.
pub fn run(configuration: &str, lines: u64, quiet: Duration) -> Carried {
    let (endpoint, state) = (Endpoint::start(), tempfile::tempdir().unwrap());
    let mut agent = Agent::start(state.path(), Some(endpoint.port), configuration, Cores::One);
    let mut until = |wanted: u64| loop {
        let entries = endpoint.taken().entries;
        if entries >= wanted {
            return (entries, agent.started.elapsed().as_secs_f64(), agent.cpu_seconds());
        }
        agent.wait_a_moment();
    };
    let (carried, seconds, cpu_seconds) = until(lines - LAST.min(lines));
    until(lines);
    thread::sleep(quiet);
    assert_eq!(endpoint.taken().entries, lines, "some came twice");
    let (peak_mib, quiet_mib) = (agent.peak_mib(), agent.resident_mib());
    Carried { lines: carried, seconds, cpu_seconds, peak_mib, quiet_mib }
}
