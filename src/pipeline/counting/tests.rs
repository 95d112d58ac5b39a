//! What counts as a failure, stage by stage, and what is kept of it.

use std::sync::Arc;
use std::time::Duration;

use super::Counting;
use crate::config::parse_yaml;
use crate::metrics::{Own, Registry, Report};
use crate::pipeline::compile::Pipeline;
use crate::pipeline::inspect::Inspector;
use crate::pipeline::lane::{Incoming, Lane, Output, Scratch};
use crate::pipeline::limits::Limits;
use crate::record::{Labels, Metadata};

struct Bench {
    pipeline: Arc<Pipeline>,
    moment: crate::clock::Moment,
    inspector: Inspector,
}

impl Bench {
    fn new(stages: &str) -> Bench {
        let registry = Registry::default();
        let own = Own::register(&registry);
        let node = parse_yaml(stages).unwrap();
        let pipeline = Pipeline::compile(Some(&node), &Limits::default(), &registry, &own).unwrap();
        Bench {
            pipeline: Arc::new(pipeline),
            moment: crate::clock::moment(),
            inspector: Inspector::default(),
        }
    }

    /// Takes these lines through as one chunk; what the stages say after it.
    fn run(&mut self, lines: &[&[u8]]) -> Report {
        let labels: Labels = [("job", "j")].into_iter().collect();
        let mut lane = Lane::new(self.pipeline.clone(), &labels);
        let (mut scratch, mut output) = (Scratch::default(), Output::new(1));
        lane.enter(&mut scratch);
        let mut counting = Counting::new(&self.pipeline, self.moment.wall);
        for bytes in lines {
            let line = Incoming { bytes, timestamp: self.moment.wall, metadata: Metadata::default() };
            let mut both = (&mut self.inspector, &mut counting);
            lane.run(line, self.moment, &[], &mut scratch, &mut output, &mut both);
        }
        counting.finish();
        self.pipeline.totals.report()
    }
}

/// Stages after a `regex` that extracts `v` from the line, and what the last one says of a line.
const CASES: [(&str, &[u8], Option<&str>); 24] = [
    ("json: {expressions: {a: }}", b"no", Some("no JSON object")),
    ("json: {expressions: {a: }}", b"{}", None),
    ("json: {expressions: {a: }, source: missing}", b"no", None),
    ("json: {expressions: {a: 'abs(v)'}}", b"{\"v\":\"x\"}", Some("an expression cannot be evaluated")),
    ("logfmt: {mapping: {a: }}", b"a=b=c", Some("no logfmt from some place on")),
    ("logfmt: {mapping: {a: }}", b"a=b \xff", Some("no logfmt from some place on")),
    ("logfmt: {mapping: {a: }}", b"b=c", None),
    ("regex: {expression: 'x(?P<y>y)'}", b"no", None),
    (
        "replace: {expression: '(o)', replace: '{{ .missing | ToLower }}'}",
        b"no",
        Some("no value where one is expected"),
    ),
    ("replace: {expression: '(x)', replace: ''}", b"no", None),
    (
        "template: {source: a, template: '{{ .missing | ToLower }}'}",
        b"no",
        Some("no value where one is expected"),
    ),
    ("timestamp: {source: v, format: RFC3339}", b"no", Some("in none of its formats")),
    ("timestamp: {source: missing, format: Unix}", b"no", Some("nothing is extracted under its `source`")),
    ("timestamp: {source: v, format: Unix}", b"1", None),
    ("labels: {missing: }", b"no", None),
    ("labels: {u: v}", b"caf\xe9", None),
    (
        "metrics: {a: {type: gauge, source: v, config: {action: set}}}",
        b"no",
        Some("a value is of no use to its metric"),
    ),
    ("metrics: {a: {type: gauge, source: missing, config: {action: set}}}", b"no", None),
    ("cri:", b"no", Some("no line of a container runtime")),
    ("docker:", b"no", Some("no JSON object")),
    ("eventlogmessage: {source: v}", b"no", Some("a line of the message has no key")),
    ("eventlogmessage: {source: v}", b"a: b\r\n\r\nc: d", None),
    ("tenant: {source: missing}", b"no", None),
    ("output: {source: missing}", b"no", None),
];

#[test]
fn a_stage_that_cannot_do_its_work_says_so_and_one_that_has_none_does_not() {
    for (stage, line, failure) in CASES {
        let mut bench = Bench::new(&format!("[{{regex: {{expression: '(?s)(?P<v>.*)'}}}}, {{{stage}}}]"));
        let report = bench.run(&[line, line]);
        let row = report.rows.last().unwrap();
        assert_eq!(row.sample.as_ref().map(|sample| sample.failure), failure, "{stage}");
        // Each line once, however many steps failed for it.
        assert_eq!(row.failed, if failure.is_some() { 2 } else { 0 }, "{stage}");
        let inspected =
            bench.inspector.take().reports.iter().filter(|report| !report.failures.is_empty()).count();
        assert_eq!(inspected as u64, row.failed, "inspect and the page agree on {stage}");
    }
}

#[test]
fn an_object_that_is_too_deep_for_expressions_is_a_failure() {
    let deep = "{\"v\":".repeat(200) + "1" + &"}".repeat(200);
    let report = Bench::new("[json: {expressions: {a: 'abs(v)'}}]").run(&[deep.as_bytes()]);
    assert_eq!(report.rows[0].failed, 1);
}

#[test]
fn a_line_that_fails_always_is_counted_always_and_sampled_now_and_then() {
    let mut bench = Bench::new(
        "[{json: {expressions: {user: }}}, {template: {source: a, template: '{{ .b | ToLower }}'}}]",
    );
    let sample = |report: &Report, stage: usize| {
        let row = &report.rows[stage];
        (row.failed, row.sample.as_ref().map(|sample| sample.line.clone()).unwrap_or_default())
    };
    let report = bench.run(&[b"first 1", b"2nd"]);
    assert_eq!(sample(&report, 0), (2, "xxxxx 0".to_owned()));
    assert_eq!(sample(&report, 1), (2, "xxxxx 0".to_owned()));
    bench.moment.wall = bench.moment.wall.plus(Duration::from_secs(9));
    let report = bench.run(&[b"{\"user\":\"Eve\"}", b"third!"]);
    assert_eq!(sample(&report, 0), (3, "xxxxx 0".to_owned()), "ten seconds are not over");
    bench.moment.wall = bench.moment.wall.plus(Duration::from_secs(2));
    let report = bench.run(&[b"{\"user\":\"Eve\"}", b"third!"]);
    assert_eq!(sample(&report, 0), (4, "xxxxx!".to_owned()));
    assert_eq!(sample(&report, 1), (6, "{\"user\":\"Xxx\"}".to_owned()));
    assert_eq!(report.rows[0].sample.as_ref().unwrap().time, bench.moment.wall);
}
