//! All stages that a typical configuration of Promtail has.
//! In: the files of the job.  Out: lines a second.  Owns: the files.

use crate::job::FILES;
use crate::report::Row;
use crate::{carry, lines};

/// Behind `docker`. Of ten lines one is dropped.
const STAGES: &str = r#"  - json: {expressions: {timestamp: , level: , service: , message: , duration_ms: , symbol: context.symbol}}
  - regex: {source: message, expression: 'executed (?P<result>\w+) for order (?P<order>\d+)$'}
  - template: {source: level, template: '{{ ToLower .Value }}'}
  - labels: {level: , service: , result: }
  - timestamp: {source: timestamp, format: RFC3339Nano}
  - drop: {source: level, value: warn}
  - match:
      selector: '{level="error"} |= "order"'
      stages:
      - metrics: {errors_total: {type: Counter, config: {match_all: true, action: inc}}}
  - metrics:
      lines_total: {type: Counter, config: {match_all: true, action: inc}}
      duration_ms: {type: Histogram, source: duration_ms, config: {buckets: [10, 100, 500, 1000]}}
"#;

pub fn run() -> Vec<Row> {
    let (directory, each) = (tempfile::tempdir().unwrap(), crate::lines_per_file());
    for file in 0..FILES {
        lines::generate(directory.path(), file, each, lines::EVERY_MILLISECOND);
    }
    let kept = (0..each).filter(|number| lines::level(*number) != "WARN").count() as u64;
    let carried = carry::files(directory.path(), STAGES, FILES * kept);
    // Lines that came in.
    let (rate, micros) =
        (carried.rate() * each as f64 / kept as f64, carried.micros() * kept as f64 / each as f64);
    vec![Row {
        what: "typical Promtail configuration, one core".to_owned(),
        target: "≥ 5 × Promtail on the same configuration",
        measured: format!(
            "{rate:.0} lines/s, {micros:.2} µs per line; what Promtail does on it is not known here"
        ),
        met: None,
        figures: vec![("lines_per_second", rate), ("cpu_us_per_line", micros)],
    }]
}
