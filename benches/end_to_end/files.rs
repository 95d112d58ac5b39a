//! Many short files.
//! In: 500 of them, and six with as many lines.  Out: whether a line costs more.  Owns: the files.

use crate::report::Row;
use crate::{carry, job, lines};

const MANY: u64 = 500;
const FEW: u64 = 6;
const LINES: u64 = 500_000;

pub fn run() -> Vec<Row> {
    let [few, many] = [FEW, MANY].map(|count| {
        let directory = tempfile::tempdir().unwrap();
        for file in 0..count {
            lines::generate(directory.path(), file, LINES / count, lines::EVERY_MILLISECOND);
        }
        carry::files(directory.path(), job::STAGES, LINES / count * count)
    });
    let (more, peak) = (few.rate() / many.rate() - 1.0, many.peak_mib);
    vec![Row {
        what: "500 files × 1,000 lines".to_owned(),
        target: "no slower per line than six files; ≤ 40 MiB",
        measured: format!(
            "{:.0} lines/s, six files {:.0} ({:+.0} % time a line); {peak:.1} MiB at the peak",
            many.rate(),
            few.rate(),
            more * 100.0
        ),
        // The start is in it, which files make longer.
        met: Some(more <= 0.05 && peak <= 40.0),
        figures: vec![
            ("lines_per_second", many.rate()),
            ("lines_per_second_six", few.rate()),
            ("cpu_us_per_line", many.micros()),
            ("peak_mib", peak),
        ],
    }]
}
