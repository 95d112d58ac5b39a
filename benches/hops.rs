//! What each hop of a line's path costs, alone: wall time and, under valgrind, instructions.
//! In: the log of one container, `TAILWATER_BENCH_ONLY` (hops, such as `json,labels`).  Out: a table; with `--hold` an error where
//! a hop takes more instructions than `instructions.json` says.  Owns: the log.
//!
//! `.ci/instructions` counts and compares; `cargo bench --features hops --bench hops` times hops as they are in the program.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "it measures by the real clock")]
#![allow(unreachable_pub, missing_docs, reason = "one program: `pub` means for the other file")]

#[path = "support/baseline.rs"]
mod baseline;
#[path = "support/instructions.rs"]
mod instructions;
#[path = "support/lines.rs"]
mod lines;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use tailwater::hops::{HOPS, Hop};

/// Lines of the log: a little more than a batch holds.
const LINES: u64 = 4000;

/// Wall time is the least of so many rounds: each is short, so that some are not interrupted.
const ROUNDS: usize = 100;

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args().skip_while(|argument| argument != instructions::FLAG).collect();
    if let [_, name, rounds, log] = arguments.as_slice() {
        run(hop(name), rounds.parse().unwrap(), Path::new(log));
        return ExitCode::SUCCESS;
    }
    let only = std::env::var("TAILWATER_BENCH_ONLY").unwrap_or_default();
    let wanted = |hop: &&Hop| only.is_empty() || only.split(',').any(|name| name == hop.name);
    let directory = tempfile::tempdir().unwrap();
    lines::generate(directory.path(), 0, LINES, lines::EVERY_MILLISECOND);
    let log = directory.path().join("c0.log");
    let counts = instructions::are_countable();
    let (mut nanos, mut instructions) = (Measure::default(), Measure::default());
    println!("| hop | ns per line | instructions per line | baseline | |\n|---|---|---|---|---|");
    let mut found = Vec::new();
    for hop in HOPS.iter().filter(wanted) {
        let nanos = nanos.of(hop, |hop| time(hop, &log));
        let count = |hop: &Hop| instructions::per_line(hop.name, &log, LINES);
        let instructions = counts.then(|| instructions.of(hop, count));
        let before = baseline::of(hop.name);
        let shown = |number: Option<f64>| number.map_or("?".to_owned(), |number| format!("{number:.0}"));
        let Hop { name, about, .. } = hop;
        println!("| {name} | {nanos:.0} | {} | {} | {about} |", shown(instructions), shown(before));
        found.extend(instructions.map(|instructions| (name.to_string(), instructions)));
    }
    println!();
    if !counts {
        println!("valgrind is not there to count instructions");
    }
    match std::env::args().any(|argument| argument == baseline::FLAG) {
        true => baseline::hold(&found),
        false => ExitCode::SUCCESS,
    }
}

fn hop(name: &str) -> &'static Hop {
    HOPS.iter().find(|hop| hop.name == name).unwrap_or_else(|| panic!("there is no hop `{name}`"))
}

/// What was measured of rounds, by hop.
#[derive(Default)]
struct Measure(BTreeMap<&'static str, f64>);

impl Measure {
    /// Of a hop, less what its rounds hold beside it.
    fn of(&mut self, hop: &Hop, measure: impl Fn(&Hop) -> f64) -> f64 {
        let mut whole = |hop: &Hop| *self.0.entry(hop.name).or_insert_with(|| measure(hop));
        whole(hop) - hop.without.map_or(0.0, |name| whole(self::hop(name)))
    }
}

fn run(hop: &Hop, rounds: u64, log: &Path) {
    let mut round = hop.prepare(log).unwrap();
    for _ in 0..rounds {
        assert_eq!(round().unwrap(), LINES, "{} loses lines", hop.name);
    }
}

fn time(hop: &Hop, log: &Path) -> f64 {
    let mut round = hop.prepare(log).unwrap();
    round().unwrap();
    let times = (0..ROUNDS).map(|_| {
        let started = Instant::now();
        round().unwrap();
        started.elapsed().as_secs_f64()
    });
    times.fold(f64::INFINITY, f64::min) * 1e9 / LINES as f64
}
