//! What hops took when somebody last looked.
//! In: instructions a line, by hop.  Out: whether any takes more than it did.  Owns: `instructions.json`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use serde::{Deserialize, Serialize};

/// How the program is told to compare.
pub const FLAG: &str = "--hold";

/// A hop may take so much more.
const MORE: f64 = 0.05;

/// And a hop of few instructions so many more: what the compiler does to its neighbours moves it as much.
const FEW: f64 = 25.0;

#[derive(Default, Serialize, Deserialize)]
struct Baseline {
    /// Other compilers make other instructions.
    rustc: String,
    /// Of the processor, as libraries choose by it.
    processor: String,
    instructions_per_line: BTreeMap<String, f64>,
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.json")
}

fn read() -> Baseline {
    let text = std::fs::read_to_string(path()).unwrap_or_default();
    if text.is_empty() { Baseline::default() } else { serde_json::from_str(&text).unwrap() }
}

/// What a hop took.
pub fn of(hop: &str) -> Option<f64> {
    read().instructions_per_line.get(hop).copied()
}

/// Compares; or writes a new baseline, where that is wanted.
pub fn hold(found: &[(String, f64)]) -> ExitCode {
    let mut baseline = read();
    let (rustc, processor) = (rustc(), processor());
    if std::env::var_os("TAILWATER_UPDATE_BASELINE").is_some() {
        let rounded = found.iter().map(|(hop, count)| (hop.clone(), (count * 10.0).round() / 10.0));
        baseline.instructions_per_line.extend(rounded);
        (baseline.rustc, baseline.processor) = (rustc, processor);
        std::fs::write(path(), serde_json::to_string_pretty(&baseline).unwrap() + "\n").unwrap();
        println!("benches/instructions.json is written");
        return ExitCode::SUCCESS;
    }
    let mut status = ExitCode::SUCCESS;
    for (hop, count) in found {
        let before = baseline.instructions_per_line.get(hop).copied().unwrap_or_default();
        let (most, least) =
            ((before * (1.0 + MORE)).max(before + FEW), (before * (1.0 - MORE)).min(before - FEW));
        if *count > most {
            println!("FAILED: {hop} takes {count:.0} instructions a line, {before:.0} before: over 5 % more");
            status = ExitCode::FAILURE;
        } else if *count < least {
            println!("{hop} takes {count:.0} instructions a line, {before:.0} before: worth a new baseline");
        }
    }
    if status == ExitCode::FAILURE {
        if (&rustc, &processor) != (&baseline.rustc, &baseline.processor) {
            println!(
                "The baseline is of {}, {}; this is {rustc}, {processor}.",
                baseline.rustc, baseline.processor
            );
        }
        println!("Where it is as it should be: TAILWATER_UPDATE_BASELINE=1 .ci/instructions");
    }
    status
}

fn rustc() -> String {
    let output = Command::new("rustc").arg("--version").output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Which wide instructions there are for libraries to choose from.
fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = info.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let known = ["sse4_2", "avx2", "bmi2"];
    let there: Vec<&str> =
        known.into_iter().filter(|flag| flags.split(' ').any(|found| found == *flag)).collect();
    format!("{} {}", std::env::consts::ARCH, there.join(" "))
}
