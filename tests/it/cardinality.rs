//! Labels whose values have no bound: Loki gets a bounded number of streams, and every line once with all it had.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use crate::agent::{Agent, PATIENCE, client, configuration, send};
use crate::support::fake_loki::{FakeLoki, Fault, Limits, StoredEntry};

struct Bench {
    directory: tempfile::TempDir,
    loki: FakeLoki,
    log: File,
    written: usize,
}

impl Bench {
    fn new() -> Bench {
        let directory = tempfile::tempdir().unwrap();
        let log =
            OpenOptions::new().create(true).append(true).open(directory.path().join("app.log")).unwrap();
        Bench {
            directory,
            loki: FakeLoki::start(Limits { max_streams: 100_000, ..Limits::any_time() }),
            log,
            written: 0,
        }
    }

    /// A job on the file, with these stages behind one that extracts `a`, `b` and `level`.
    fn configuration(&self, cardinality: &str, stages: &str) -> String {
        let job = format!(
            "- job_name: app\n  static_configs: [{{labels: {{job: app, __path__: '{}/app.log'}}}}]\n  pipeline_stages:\n  \
             - json: {{expressions: {{a: , b: , level: }}}}\n{stages}",
            self.directory.path().display()
        );
        let text = configuration(self.directory.path(), &client(&self.loki.url()), &job);
        let text = text.replace("http_listen_port: 0", "http_listen_port: 0, enable_runtime_reload: true");
        format!("cardinality: {{{cardinality}}}\n{text}")
    }

    fn start(&self, cardinality: &str, stages: &str) -> Agent {
        Agent::start(self.directory.path(), &self.configuration(cardinality, stages))
    }

    fn reload(&self, agent: &Agent, cardinality: &str, stages: &str) {
        let text = self.configuration(cardinality, stages);
        std::fs::write(self.directory.path().join("tailwater.yaml"), text).unwrap();
        assert_eq!(agent.post("/reload"), (200, String::new()));
    }

    /// Writes lines with these values, and waits until Loki has them.
    async fn lines(&mut self, values: impl Iterator<Item = (String, String)>) {
        let mut text = String::new();
        for (a, b) in values {
            let (level, number) = (["debug", "info", "warn"][self.written % 3], self.written);
            writeln!(text, r#"{{"a":"{a}","b":"{b}","level":"{level}","number":{number}}}"#).unwrap();
            self.written += 1;
        }
        self.log.write_all(text.as_bytes()).unwrap();
        let written = self.written;
        self.loki.wait_for(|store| store.entries.len() >= written, 3 * PATIENCE).await.unwrap();
    }

    /// All lines written, in order, each once. What it is asked for of a line may be a label or structured metadata of it,
    /// and is not both.
    fn check(&self, names: &[&str]) -> Vec<StoredEntry> {
        assert!(self.loki.duplicates().is_empty());
        let mut entries: BTreeMap<u64, StoredEntry> = BTreeMap::new();
        for entry in self.loki.entries() {
            let line: serde_json::Value = serde_json::from_slice(&entry.line).unwrap();
            for name in names {
                let moved: Vec<&str> = of_metadata(&entry, name);
                let found: Vec<&str> =
                    entry.labels.get(*name).map(String::as_str).into_iter().chain(moved).collect();
                assert_eq!(found, [line[*name].as_str().unwrap()], "{name} of {line}");
            }
            let number = line["number"].as_u64().unwrap();
            assert!(entries.insert(number, entry).is_none(), "line {number} is there twice");
        }
        assert_eq!(entries.len(), self.written);
        self.loki.assert_no_violations();
        entries.into_values().collect()
    }
}

fn of_metadata<'e>(entry: &'e StoredEntry, name: &str) -> Vec<&'e str> {
    entry.metadata.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
}

fn streams(entries: &[StoredEntry]) -> usize {
    entries.iter().map(|entry| &entry.label_text).collect::<BTreeSet<_>>().len()
}

/// A value as ids of traces are.
fn trace(number: usize) -> (String, String) {
    (
        format!("{:032x}", (number as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)),
        "x".to_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_values_of_a_label_are_few_streams_and_series_and_little_memory() {
    const GROWTH_KIB: u64 = 24 * 1024;
    let mut bench = Bench::new();
    let metric = "{type: Counter, labels: [a], max_series: 50, config: {match_all: true, action: inc}}";
    let stages = format!("  - labels: {{a: , level: }}\n  - metrics: {{traced_total: {metric}}}\n");
    let agent = bench.start("enabled: true", &stages);
    bench.lines((0..20_000).map(trace)).await;
    let early = agent.resident_kib();
    for part in 1..5 {
        bench.lines((part * 20_000..(part + 1) * 20_000).map(trace)).await;
    }
    let late = agent.resident_kib();
    assert!(late < early + GROWTH_KIB, "{early} KiB after 20,000 lines, {late} KiB after 100,000");
    let entries = bench.check(&["a"]);
    // The values that came first, and each level without one.
    assert_eq!(streams(&entries), 2003);
    assert!(entries.iter().all(|entry| entry.labels.contains_key("level") && entry.label("job") == "app"));
    assert_eq!(agent.metric("tailwater_streams_active"), 2003.0);
    assert_eq!(agent.metric("tailwater_streams_limit"), 10_000.0);
    assert_eq!(agent.metric("tailwater_streams_over_limit_total"), 0.0);
    assert_eq!(agent.metric("tailwater_label_values_active{label=\"a\"}"), 2000.0);
    assert_eq!(agent.metric("tailwater_label_values_active{label=\"level\"}"), 3.0);
    assert_eq!(agent.metric("tailwater_label_values_moved_total{label=\"a\"}"), 98_000.0);
    let (_, page) = agent.get("/metrics");
    let samples = |name: &str| page.lines().filter(|line| line.starts_with(name)).count();
    assert_eq!(samples("promtail_custom_traced_total{"), 51);
    assert_eq!(agent.metric("promtail_custom_traced_total{overflow=\"true\"}"), 99_950.0);
    assert!(page.lines().count() < 1000, "{page}");
    agent.assert_nothing_is_missing();
    let (status, log) = agent.terminate();
    assert!(status.success());
    let warnings: Vec<&str> =
        log.lines().filter(|line| line.contains("a label has too many values")).collect();
    // One a minute.
    assert!((1..=5).contains(&warnings.len()), "{log}");
    let says = |part: &str| assert!(warnings[0].contains(part), "{part}: {}", warnings[0]);
    ["label=a ", "job=app ", "values=2000 ", "limit=2000 "].iter().for_each(|part| says(part));
    says(&format!("samples=\"{}, {}, {}\"", trace(1998).0, trace(1999).0, trace(2000).0));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_two_labels_over_their_limits_the_others_stay_and_streams_too() {
    let mut bench = Bench::new();
    let agent = bench.start("max_streams: 50, max_label_values: 20", "  - labels: {a: , b: , level: }\n");
    bench.lines((0..3000).map(|number| ((number % 300).to_string(), number.to_string()))).await;
    let entries = bench.check(&["a", "b", "level"]);
    assert!(streams(&entries) <= 50, "{}", streams(&entries));
    assert!(entries.iter().all(|entry| entry.labels.contains_key("level")));
    // What comes of both is in the order of the configuration.
    let names = |entry: &StoredEntry| entry.metadata.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&entries[2999]), ["a", "b"]);
    assert!(entries.iter().filter(|entry| entry.label("a") == "7").count() > 1, "known values stay");
    for label in ["a", "b"] {
        assert_eq!(agent.metric(&format!("tailwater_label_values_active{{label=\"{label}\"}}")), 20.0);
    }
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_combinations_of_few_values_are_bounded_by_streams() {
    let mut bench = Bench::new();
    let agent = bench.start("max_streams: 100", "  - labels: {a: , b: , level: }\n");
    // 40 times 41 pairs, and a level with each.
    bench.lines((0..4920).map(|number| ((number % 40).to_string(), (number % 41).to_string()))).await;
    let entries = bench.check(&["a", "b", "level"]);
    assert_eq!(streams(&entries), 98);
    assert!(entries.iter().all(|entry| entry.labels.contains_key("level")), "the narrowest label stays");
    assert_eq!(agent.metric("tailwater_streams_active"), 98.0);
    assert_eq!(agent.metric("tailwater_streams_over_limit_total"), 0.0);
    assert!(agent.log().contains("there are too many streams, values of a label go to structured metadata"));
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_keeps_what_is_known_and_takes_over_what_is_done_with_it() {
    let mut bench = Bench::new();
    let stages = "  - labels: {a: }\n";
    let value = |name: &str| std::iter::once((name.to_owned(), String::new()));
    let agent = bench.start("max_label_values: 3", stages);
    for name in ["v0", "v1", "v2", "v3"] {
        bench.lines(value(name)).await;
    }
    // The job is another, the labels' values are the same.
    bench.reload(&agent, "max_label_values: 3", &format!("{stages}  - static_labels: {{version: two}}\n"));
    bench.lines(value("v0")).await;
    bench.lines(value("v4")).await;
    bench.reload(&agent, "max_label_values: 3, above: discard", stages);
    bench.lines(value("v1")).await;
    bench.lines(value("v5")).await;
    assert_eq!(agent.metric("tailwater_label_values_active{label=\"a\"}"), 3.0);
    assert_eq!(agent.metric("tailwater_label_values_moved_total{label=\"a\"}"), 3.0);
    bench.reload(&agent, "enabled: false", stages);
    bench.lines(value("v6")).await;
    agent.wait_for_metric("tailwater_streams_active", |streams| streams == 0.0);
    assert_eq!(agent.metric_sum("tailwater_streams_limit"), 0.0);
    assert_eq!(agent.metric_sum("tailwater_label_values_active"), 0.0);
    let shown = |entry: &StoredEntry| format!("{}{:?}", entry.label("a"), of_metadata(entry, "a"));
    let shown: Vec<String> = bench.check(&[]).iter().map(shown).collect();
    assert_eq!(
        shown,
        ["v0[]", "v1[]", "v2[]", "[\"v3\"]", "v0[]", "[\"v4\"]", "v1[]", "[]", "v6[]"],
        "v5 is discarded, its line is not"
    );
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_a_kill_repeats_has_lost_the_labels_it_had_lost_before() {
    let mut bench = Bench::new();
    let (limits, stages) = ("max_label_values: 10", "  - labels: {a: , level: }\n");
    let agent = bench.start(limits, stages);
    bench.lines((0..30).map(trace)).await;
    // Twice: the first may have begun before the lines were there.
    let saved = agent.metric_sum("tailwater_positions_written_total");
    bench.lines((0..30).map(trace)).await;
    agent.wait_for_metric("tailwater_positions_written_total", |count| count > saved);
    // Stored, and the agent does not know.
    bench.loki.answer_all(Fault::StoreThenReset);
    bench.lines((0..60).map(trace)).await;
    agent.kill();
    bench.loki.heal();
    let agent = bench.start(limits, stages);
    agent.wait_for_metric("tailwater_sent_entries_total", |entries| entries >= 60.0);
    assert!(bench.loki.duplicates().len() >= 60, "they were sent again");
    bench.loki.store().duplicates.clear();
    bench.lines((0..60).map(trace)).await;
    let entries = bench.check(&["a", "level"]);
    assert_eq!(streams(&entries), 10 + 3, "the values that came first, and each level");
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_guard_there_are_as_many_streams_as_values() {
    let mut bench = Bench::new();
    let agent = bench.start("enabled: false, max_label_values: 5", "  - labels: {a: }\n");
    bench.lines((0..3000).map(trace)).await;
    let entries = bench.check(&["a"]);
    assert_eq!(streams(&entries), 3000);
    assert!(entries.iter().all(|entry| entry.metadata.is_empty()));
    assert_eq!(agent.metric("tailwater_streams_active"), 0.0);
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn structured_metadata_of_that_name_is_kept_and_a_long_value_is_cut_as_a_label_is() {
    let mut bench = Bench::new();
    let agent = bench.start(
        "max_label_values: 1",
        "  - structured_metadata: {a: b}\n  - labels: {a: , level: }\n  - match: {selector: '{job=\"app\"}', stages: [{labels: {b: }}]}\n",
    );
    let long = "é".repeat(2000);
    bench
        .lines([("1", "x"), ("2", "y"), ("3", &long)].map(|(a, b)| (a.to_owned(), b.to_owned())).into_iter())
        .await;
    let entries = bench.check(&[]);
    assert_eq!((entries[0].label("a"), of_metadata(&entries[0], "a")), ("1", vec!["x"]));
    assert_eq!((entries[1].label("a"), of_metadata(&entries[1], "a")), ("", vec!["y"]));
    assert_eq!(of_metadata(&entries[2], "b"), ["é".repeat(1024)]);
    assert_eq!(agent.metric("tailwater_label_values_cut_total"), 1.0);
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_that_lines_come_with_are_bounded_too_and_one_is_left() {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    let (agent, address) = start_gate(directory.path(), &loki);
    for number in 0..1500 {
        let body = format!(
            r#"{{"streams": [{{"stream": {{"pid": "{number}", "app": "x"}}, "values": [["{0}", "with {number}"]]}},
                {{"stream": {{"pid": "{number}"}}, "values": [["{0}", "without {number}"]]}}]}}"#,
            number + 1
        );
        let header = "Content-Type: application/json\r\n";
        let answer = send(address, "POST", "/loki/api/v1/push", header, body.as_bytes()).unwrap();
        assert_eq!(answer, (204, String::new()));
    }
    let entries = loki.entries();
    assert_eq!(entries.len(), 3000);
    assert_eq!(streams(&entries), 10 + 10 + 2);
    for entry in &entries {
        let number = entry.text().split(' ').nth(1).unwrap().parse::<usize>().unwrap();
        let has_label = !entry.label("pid").is_empty();
        assert_eq!(has_label, number < 10);
        let pid = if has_label { vec![entry.label("pid")] } else { of_metadata(entry, "pid") };
        assert_eq!(pid, [number.to_string()]);
        let other = if entry.text().starts_with("with ") { "app=\"x\"" } else { "job=\"gate\"" };
        assert!(has_label || *entry.label_text == *format!("{{{other}}}"), "{}", entry.label_text);
    }
    agent.terminate();
}

fn start_gate(directory: &Path, loki: &FakeLoki) -> (Agent, std::net::SocketAddr) {
    let job = "- job_name: gate\n  loki_push_api: {server: {http_listen_address: 127.0.0.1, http_listen_port: 0}, \
               use_incoming_timestamp: true}\n";
    let text = configuration(directory, &client(&loki.url()), job);
    let agent = Agent::start(directory, &format!("cardinality: {{max_label_values: 10}}\n{text}"));
    let address = agent.listening("gate");
    (agent, address)
}
