//! The reference job on one core, and the same as a bare loop.
//! In: six files.  Out: lines a second, the ratio, memory.  Owns: the files.

use crate::job::{FILES, STAGES};
use crate::report::{Row, median};
use crate::{bare, carry, lines};

/// Figures are medians of so many runs.
const RUNS: usize = 3;

pub fn run() -> Vec<Row> {
    let (directory, each) = (tempfile::tempdir().unwrap(), crate::lines_per_file());
    let sizes =
        (0..FILES).map(|file| lines::generate(directory.path(), file, each, lines::EVERY_MILLISECOND));
    let bytes: u64 = sizes.sum();
    let (mut loops, mut carried) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        loops.push(bare::measure(directory.path()));
        carried.push(carry::files(directory.path(), STAGES, FILES * each));
    }
    let loop_micros = median(loops.iter().map(|run: &bare::Measured| run.micros).collect());
    let of = |figure: fn(&carry::Carried) -> f64| median(carried.iter().map(figure).collect());
    let (bare, rate, micros, peak) = (
        median(loops.iter().map(|run| run.rate).collect()),
        of(carry::Carried::rate),
        of(carry::Carried::micros),
        of(|carried| carried.peak_mib),
    );
    let megabytes = rate * bytes as f64 / (FILES * each) as f64 / 1e6;
    // Where others use the cores too, this is nearer to the truth.
    let (ratio, by_cpu) = (rate / bare, loop_micros / micros);
    vec![
        Row {
            what: "throughput, reference job, one core".to_owned(),
            target: "≥ 0.5 × the bare loop of the same run",
            measured: format!(
                "{ratio:.2}: {rate:.0} lines/s, {megabytes:.0} MB/s, {micros:.2} µs CPU per line; the loop {bare:.0} lines/s, \
                 {loop_micros:.2} µs; by CPU {by_cpu:.2}"
            ),
            met: Some(ratio >= 0.5),
            figures: vec![
                ("lines_per_second", rate),
                ("cpu_us_per_line", micros),
                ("bare_lines_per_second", bare),
                ("bare_us_per_line", loop_micros),
                ("ratio", ratio),
                ("ratio_by_cpu", by_cpu),
            ],
        },
        Row {
            what: "peak memory at saturation".to_owned(),
            target: "≤ 32 MiB",
            measured: format!("{peak:.1} MiB"),
            met: Some(peak <= 32.0),
            figures: vec![("peak_mib", peak)],
        },
    ]
}
