//! The program itself: its size, and how soon it is at work.
//! In: 100 containers that have printed something.  Out: bytes, time to the first push.  Owns: a daemon.

use std::fs;
use std::path::Path;

use crate::agent::{Agent, Cores};
use crate::endpoint::{self, Endpoint};
use crate::report::Row;
use crate::{api, daemon, job};

const CONTAINERS: u64 = 100;

/// Of each: together more than a batch, so that none waits for its age.
const LINES: u64 = 100;

/// What `packaging/docker/build.sh` builds, where `.ci/run` has it do so.
const STATIC: &str = "target/static/x86_64-unknown-linux-gnu/release/tailwater";

pub fn run() -> Vec<Row> {
    let megabytes = |path: &Path| fs::metadata(path).map(|metadata| metadata.len() as f64 / 1e6).ok();
    let built = megabytes(Path::new(env!("CARGO_BIN_EXE_tailwater"))).unwrap();
    let fixed = megabytes(&Path::new(env!("CARGO_MANIFEST_DIR")).join(STATIC));
    let shown = match fixed {
        Some(fixed) => format!("{fixed:.1} MB; with libraries of the system {built:.1} MB"),
        None => format!("not built here; with libraries of the system {built:.1} MB"),
    };
    let size = Row {
        what: "static program, stripped".to_owned(),
        target: "≤ 15 MB",
        measured: shown,
        met: fixed.map(|fixed| fixed <= 15.0),
        figures: [Some(("dynamic_mb", built)), fixed.map(|fixed| ("static_mb", fixed))]
            .into_iter()
            .flatten()
            .collect(),
    };
    let (directory, endpoint) = (tempfile::tempdir().unwrap(), Endpoint::start());
    let log: Vec<_> = (0..LINES).map(api::message).collect();
    let socket = daemon::start(directory.path(), CONTAINERS as usize, &log);
    let job = job::containers(&socket, job::STAGES);
    let started = endpoint::now();
    let mut agent = Agent::start(directory.path(), Some(endpoint.port), &job, Cores::One);
    while endpoint.taken().entries < CONTAINERS * LINES {
        agent.wait_a_moment();
    }
    let all = agent.started.elapsed().as_secs_f64();
    let first = (endpoint.taken().first - started) as f64 / 1e6;
    let start = Row {
        what: "start to first push with 100 containers".to_owned(),
        target: "≤ 1 s",
        measured: format!("{first:.2} s; {all:.2} s until all is pushed, `batchwait` (1 s) included"),
        met: Some(first <= 1.0),
        figures: vec![("first_push_s", first), ("all_pushed_s", all)],
    };
    vec![size, start]
}
