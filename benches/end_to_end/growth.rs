//! What more work costs.
//! In: more lines, more targets, more streams.  Out: whether time grows with them and memory does not.  Owns: files.

use crate::carry::Carried;
use crate::job::{FILES, STAGES};
use crate::memory::write_streams;
use crate::report::Row;
use crate::{carry, lines};

/// Of each run that has more targets or streams than the one before.
const LINES: u64 = 200_000;

/// From one size to the next.
const SIZES: [u64; 3] = [100, 1000, 10_000];

/// A target or stream may cost so many times what it does where there are few of them.
const DEARER: f64 = 1.5;

/// And where that is less than this, in microseconds, it is not measured well enough to say.
const CHEAP: f64 = 100.0;

pub fn run() -> Vec<Row> {
    let targets = SIZES.map(|count| files(count, LINES / count));
    let streams = SIZES.map(streams);
    vec![more_lines(), more("targets", &targets), more("streams", &streams)]
}

fn more_lines() -> Row {
    let each = crate::lines_per_file() / 4;
    let runs = [1, 2, 4].map(|times| files(FILES, each * times));
    let [one, two, four] = runs.each_ref().map(|run| run.seconds / runs[0].seconds);
    let peaks = runs.each_ref().map(|run| run.peak_mib);
    Row {
        what: format!("lines × 1, 2, 4 of {} k", FILES * each / 1000),
        target: "time linear, memory flat",
        measured: format!(
            "time × {one:.2}, {two:.2}, {four:.2}; peak {:.1}, {:.1}, {:.1} MiB",
            peaks[0], peaks[1], peaks[2]
        ),
        met: Some(four <= 4.4 && peaks[2] <= peaks[0] * 1.25),
        figures: vec![
            ("time_x2", two),
            ("time_x4", four),
            ("peak_mib_x1", peaks[0]),
            ("peak_mib_x4", peaks[2]),
        ],
    }
}

/// The same lines, in more of something.
fn more(what: &'static str, runs: &[Carried; 3]) -> Row {
    let each = |few: usize, many: usize| {
        (runs[many].cpu_seconds - runs[few].cpu_seconds) * 1e6 / (SIZES[many] - SIZES[few]) as f64
    };
    let (few, many) = (each(0, 1), each(1, 2));
    let [a, b, c] = runs.each_ref().map(|run| run.seconds);
    let peaks = runs.each_ref().map(|run| run.peak_mib);
    Row {
        what: format!("{what}: 100, 1,000, 10,000, with {} k lines", LINES / 1000),
        target: "near linear",
        measured: format!(
            "{a:.2}, {b:.2}, {c:.2} s; {few:.0} µs CPU each up to 1,000, {many:.0} up to 10,000; peak {:.1}, {:.1}, {:.1} MiB",
            peaks[0], peaks[1], peaks[2]
        ),
        met: Some(many <= (few * DEARER).max(CHEAP)),
        figures: match what {
            "targets" => {
                vec![("us_per_target_1000", few), ("us_per_target_10000", many), ("s_10000_targets", c)]
            }
            _ => vec![("us_per_stream_1000", few), ("us_per_stream_10000", many), ("s_10000_streams", c)],
        },
    }
}

fn files(count: u64, each: u64) -> Carried {
    let directory = tempfile::tempdir().unwrap();
    for file in 0..count {
        lines::generate(directory.path(), file, each, lines::EVERY_MILLISECOND);
    }
    carry::files(directory.path(), STAGES, count * each)
}

fn streams(count: u64) -> Carried {
    let directory = tempfile::tempdir().unwrap();
    write_streams(directory.path(), count, LINES);
    carry::files(directory.path(), STAGES, LINES)
}
