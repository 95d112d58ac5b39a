//! A steady pace: what lines cost when there are few of them, and how late they are.
//! In: four files that grow.  Out: CPU, delays.  Owns: a writer.

use std::fs::File;
use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use crate::agent::Cores;
use crate::endpoint::Endpoint;
use crate::report::Row;
use crate::{job, lines};

const FILES: usize = 4;
const RATE: u64 = 10_000;
const TICK: Duration = Duration::from_millis(10);

/// The agent has started, and its first lines have gone, before it is measured.
const BEFORE: Duration = Duration::from_secs(3);
const MEASURED: Duration = Duration::from_secs(20);

/// `batchwait` unless configured, in milliseconds.
const WAIT: u64 = 1000;

pub fn run() -> Vec<Row> {
    let (directory, endpoint) = (tempfile::tempdir().unwrap(), Endpoint::start());
    let file = |number| File::create(directory.path().join(format!("c{number}.log"))).unwrap();
    let mut files: Vec<File> = (0..FILES).map(file).collect();
    let mut agent = job::start(directory.path(), Some(endpoint.port), "", Cores::One);
    let (mut written, mut measured_from) = (0, None);
    let started = Instant::now();
    for tick in 1.. {
        // By the clock, so that a late tick is made up for.
        thread::sleep((started + TICK * tick).saturating_duration_since(Instant::now()));
        let due = (started.elapsed().as_secs_f64() * RATE as f64) as u64;
        let time = format!("{:.9}", jiff::Timestamp::now());
        let mut text = vec![Vec::new(); FILES];
        for number in written..due {
            let of = number as usize % FILES;
            lines::write(&mut text[of], lines::SERVICES[of], lines::level(number), number, &time).unwrap();
        }
        written = due;
        files.iter_mut().zip(text).for_each(|(file, text)| file.write_all(&text).unwrap());
        if started.elapsed() >= BEFORE + MEASURED {
            break;
        }
        if measured_from.is_none() && started.elapsed() >= BEFORE {
            measured_from = Some((written, agent.cpu_seconds()));
        }
    }
    let (lines_before, cpu_before) = measured_from.unwrap();
    let micros = (agent.cpu_seconds() - cpu_before) * 1e6 / (written - lines_before) as f64;
    while endpoint.taken().entries < written {
        agent.wait_a_moment();
    }
    let [median, p99, most] = endpoint.taken().delays;
    let resident = agent.resident_mib();
    vec![
        Row {
            what: "CPU at a steady 10 k lines/s, four files".to_owned(),
            target: "≤ 2.5 µs per line",
            measured: format!("{micros:.2} µs per line, {resident:.1} MiB"),
            met: Some(micros <= 2.5),
            figures: vec![("cpu_us_per_line", micros), ("resident_mib", resident)],
        },
        Row {
            what: "delay from write to push at that pace, `batchwait` 1 s".to_owned(),
            target: "p99 ≤ batchwait + 100 ms",
            measured: format!("median {median} ms, p99 {p99} ms, at most {most} ms"),
            met: Some(p99 <= WAIT + 100),
            figures: vec![("p50_ms", median as f64), ("p99_ms", p99 as f64), ("most_ms", most as f64)],
        },
    ]
}
