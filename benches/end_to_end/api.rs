//! Docker's API: one container whose log comes as fast as it is read.
//! In: a daemon that does nothing else.  Out: lines a second, CPU.  Owns: the daemon.

use std::time::Duration;

use crate::report::Row;
use crate::{carry, daemon, job, lines};

const LINES: u64 = 500_000;

pub fn run() -> Vec<Row> {
    let directory = tempfile::tempdir().unwrap();
    let log: Vec<_> = (0..LINES).map(message).collect();
    let socket = daemon::start(directory.path(), 1, &log);
    drop(log);
    let carried = carry::run(&job::containers(&socket, job::STAGES), LINES, Duration::ZERO);
    let (rate, micros, peak) = (carried.rate(), carried.micros(), carried.peak_mib);
    vec![Row {
        what: "Docker API, one container, a daemon that is never late".to_owned(),
        target: "≥ 90 k lines/s, ≤ 4 µs per line",
        measured: format!("{rate:.0} lines/s, {micros:.2} µs per line, {peak:.1} MiB at the peak"),
        met: Some(rate >= 90_000.0 && micros <= 4.0),
        figures: vec![("lines_per_second", rate), ("cpu_us_per_line", micros), ("peak_mib", peak)],
    }]
}

/// A message, with its time.
pub fn message(number: u64) -> (String, String) {
    let time = lines::time(number * lines::EVERY_MILLISECOND);
    let line = lines::plain(lines::SERVICES[0], lines::level(number), number, &time);
    (time, line)
}
