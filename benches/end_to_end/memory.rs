//! What a target and a stream take.
//! In: the same lines in few targets and in many, of few streams and of many.  Out: the difference.  Owns: files.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use crate::report::Row;
use crate::{carry, job, lines};

/// Each line of them comes once, so that it is not lines that make the difference.
const LINES: u64 = 100_000;
const TARGETS: u64 = 1000;
const STREAMS: u64 = 10_000;
const FEW: u64 = 10;

pub fn run() -> Vec<Row> {
    let few = targets(FEW);
    let many = targets(TARGETS);
    let quiet = kib(many.quiet_mib - few.quiet_mib, TARGETS - FEW);
    let peak = kib(many.peak_mib - few.peak_mib, TARGETS - FEW);
    let targets = Row {
        what: "memory with 1,000 targets".to_owned(),
        target: "≤ 24 KiB per target",
        measured: format!(
            "{quiet:.1} KiB each while they are silent ({:.1} MiB, {:.1} MiB with ten); at the peak {peak:.1} KiB ({:.1} MiB)",
            many.quiet_mib, few.quiet_mib, many.peak_mib
        ),
        met: Some(quiet <= 24.0),
        figures: vec![("kib_per_target", quiet), ("kib_per_target_at_peak", peak)],
    };
    let (few, many) = (streams(FEW), streams(STREAMS));
    let quiet = kib(many.quiet_mib - few.quiet_mib, STREAMS - FEW);
    let peak = kib(many.peak_mib - few.peak_mib, STREAMS - FEW);
    let streams = Row {
        what: "memory with 10,000 streams".to_owned(),
        target: "≤ 4 KiB per stream",
        measured: format!(
            "{peak:.2} KiB each at the peak ({:.1} MiB, {:.1} MiB with ten), {quiet:.2} KiB behind it",
            many.peak_mib, few.peak_mib
        ),
        met: Some(peak <= 4.0),
        figures: vec![("kib_per_stream", quiet), ("kib_per_stream_at_peak", peak)],
    };
    vec![targets, streams]
}

fn kib(mib: f64, count: u64) -> f64 {
    mib * 1024.0 / count as f64
}

fn targets(count: u64) -> carry::Carried {
    let directory = tempfile::tempdir().unwrap();
    for file in 0..count {
        lines::generate(directory.path(), file, LINES / count, lines::EVERY_MILLISECOND);
    }
    carry::files_and_rest(directory.path(), job::STAGES, LINES)
}

fn streams(count: u64) -> carry::Carried {
    let directory = tempfile::tempdir().unwrap();
    write_streams(directory.path(), count, LINES);
    carry::files_and_rest(directory.path(), job::STAGES, LINES)
}

/// One file whose lines are of so many streams in turn, by `level` and `service`.
pub fn write_streams(directory: &Path, count: u64, lines: u64) {
    let mut out = BufWriter::new(File::create(directory.join("c0.log")).unwrap());
    // Below the limit of values that a label may have.
    let levels = count.isqrt();
    for number in 0..lines {
        let stream = number % count;
        let (level, service) = (format!("L{}", stream % levels), format!("s{}", stream / levels));
        let time = lines::time(number * lines::EVERY_MILLISECOND);
        lines::write(&mut out, &service, &level, number, &time).unwrap();
    }
    out.flush().unwrap();
}
