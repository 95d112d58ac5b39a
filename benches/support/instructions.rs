//! Counts the instructions of a hop with valgrind.
//! In: a hop.  Out: instructions a line.  Owns: two processes, one after the other.
//!
//! One runs twice as many rounds as the other, so that what is done once, such as starting, falls out.

use std::path::Path;
use std::process::{Command, Stdio};

/// How the program is told to run rounds of a hop.
pub const FLAG: &str = "--rounds";

/// In the shorter run: the first of them takes memory that the others have.
const ROUNDS: u64 = 8;

/// For glibc. Valgrind takes a copy by one instruction for as many as it has bytes; and whether a buffer grows where it is, is
/// moved or comes fresh from the system hangs on what the program did long before.
const TUNABLES: &str = "glibc.cpu.hwcaps=-ERMS,-FSRM:glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=1073741824";

/// True where there is a valgrind.
pub fn are_countable() -> bool {
    Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Instructions for each of the lines of a round.
pub fn per_line(hop: &str, log: &Path, lines: u64) -> f64 {
    let count = |rounds| count(hop, rounds, log) as f64;
    (count(2 * ROUNDS) - count(ROUNDS)) / (ROUNDS * lines) as f64
}

fn count(hop: &str, rounds: u64, log: &Path) -> u64 {
    let mut command = Command::new("valgrind");
    command.env("GLIBC_TUNABLES", TUNABLES);
    command.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]);
    command.arg(std::env::current_exe().unwrap()).args([FLAG, hop, &rounds.to_string()]).arg(log);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let total = text.lines().find_map(|line| line.split_once("refs:").map(|(_, number)| number));
    total.unwrap().trim().replace(',', "").parse().unwrap()
}
