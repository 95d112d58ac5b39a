//! Stages that hold lines back, make them wait or bound them, from file to Loki.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::agent::{Agent, PATIENCE, client, configuration};
use crate::support::fake_loki::{FakeLoki, Limits, StoredEntry};

struct Bench {
    directory: tempfile::TempDir,
    loki: FakeLoki,
    stages: String,
    /// More blocks of the configuration.
    extra: String,
}

impl Bench {
    /// `stages` stand in flow style.
    fn new(stages: &str) -> Bench {
        let directory = tempfile::tempdir().unwrap();
        let (stages, extra) = (stages.to_owned(), String::new());
        Bench { loki: FakeLoki::start(Limits::any_time()), directory, stages, extra }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn log(&self) -> PathBuf {
        self.path().join("app.log")
    }

    fn start(&self) -> Agent {
        let job = format!(
            "- job_name: j\n  static_configs: [{{labels: {{job: j, __path__: '{}'}}}}]\n  pipeline_stages: {}",
            self.log().display(),
            self.stages
        );
        let text = configuration(self.path(), &client(&self.loki.url()), &job) + &self.extra;
        Agent::start(self.path(), &text)
    }

    fn append(&self, text: &str) {
        let file = OpenOptions::new().create(true).append(true).open(self.log());
        file.unwrap().write_all(text.as_bytes()).unwrap();
    }

    async fn arrived(&self, count: usize) {
        self.loki.wait_for(|store| store.entries.len() >= count, PATIENCE).await.unwrap();
    }

    fn texts(&self) -> Vec<String> {
        self.loki.entries().iter().map(StoredEntry::text).collect()
    }
}

/// Number `number` of a program that fails, in three lines, with a time in the first.
fn failure(number: usize) -> String {
    format!("2026-11-18T10:30:00.{number:09}Z ERROR failure {number}\n  at main\n  caused by {number}\n")
}

const FAILURES: &str = r"[{multiline: {firstline: '^\d{4}-', max_wait_time: 1h}},
    {regex: {expression: '^(?P<time>\S+)'}}, {timestamp: {source: time, format: RFC3339Nano}}]";

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_several_lines_come_out_whole_through_kills_and_a_stop() {
    let bench = Bench::new(FAILURES);
    let mut written = 0;
    let mut write = |count: usize| {
        (written..written + count).for_each(|number| bench.append(&failure(number)));
        written += count;
        written
    };
    for _ in 0..4 {
        // More than a chunk of lines, so that entries lie across its ends.
        let count = write(5000);
        let agent = bench.start();
        // The last one is held back: there may be more of it.
        bench.arrived(count - 1).await;
        agent.kill();
    }
    let count = write(10);
    let agent = bench.start();
    bench.arrived(count - 1).await;
    assert!(agent.terminate().0.success());
    bench.arrived(count).await;
    let expected: BTreeSet<String> = (0..count).map(|number| failure(number).trim_end().to_owned()).collect();
    let seen: BTreeSet<String> = bench.texts().into_iter().collect();
    assert!(seen == expected, "torn or missing: {:?}", seen.symmetric_difference(&expected).next());
    assert_eq!(bench.loki.entries().len(), count, "repetitions are the same to the byte");
    let again = bench.start();
    bench.append(&failure(count));
    again.wait_for_metric("tailwater_lines_read_total", |lines| lines >= 3.0);
    assert!(again.terminate().0.success());
    assert_eq!(bench.loki.entries().len(), count + 1, "after a stop nothing is read again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_back_goes_on_after_a_quiet_time() {
    let bench = Bench::new("[{multiline: {firstline: '^BEGIN', max_wait_time: 50ms}}]");
    let agent = bench.start();
    bench.append("BEGIN a\n more\n");
    bench.arrived(1).await;
    assert_eq!(bench.texts(), ["BEGIN a\n more"]);
    assert_eq!(agent.metric("tailwater_lines_merged_total"), 1.0);
    assert!(agent.terminate().1.contains("remaining=0"), "its chunk is settled");
}

#[tokio::test(flavor = "multi_thread")]
async fn structured_metadata_of_the_first_line_stays_with_the_entry() {
    let bench = Bench::new(
        r"[{regex: {expression: '^BEGIN (?P<id>\w+)'}}, {structured_metadata: {id: }},
        {multiline: {firstline: '^BEGIN', max_wait_time: 50ms}}]",
    );
    let _agent = bench.start();
    bench.append("BEGIN a\n more\n");
    bench.arrived(1).await;
    assert_eq!(bench.loki.entries()[0].metadata, [("id".to_owned(), "a".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_a_runtime_cut_is_whole_though_the_agent_was_killed_between_its_parts() {
    let bench = Bench::new("[{cri: {}}]");
    bench.append("2026-11-18T10:30:00Z stdout F first\n2026-11-18T10:30:01Z stdout P one \n");
    let agent = bench.start();
    bench.arrived(1).await;
    agent.kill();
    bench.append("2026-11-18T10:30:01Z stderr F other\n2026-11-18T10:30:02Z stdout F two\n");
    let agent = bench.start();
    bench.arrived(3).await;
    agent.terminate();
    let mut texts = bench.texts();
    texts.sort();
    assert_eq!(texts, ["first", "one two", "other"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn match_keeps_the_order_of_lines() {
    let bench = Bench::new(
        "[{match: {selector: '{job=\"j\"} |= \"even\"', stages: [{template: {source: t, template: '{{ .Entry }} seen'}},
        {output: {source: t}}]}}]",
    );
    let line = |number: usize| format!("{number} {}", if number.is_multiple_of(2) { "even" } else { "odd" });
    bench.append(&(0..3000).map(|number| line(number) + "\n").collect::<String>());
    let _agent = bench.start();
    bench.arrived(3000).await;
    let expected = (0..3000).map(|number| line(number) + if number.is_multiple_of(2) { " seen" } else { "" });
    assert!(bench.texts().into_iter().eq(expected), "lines are out of order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_that_makes_lines_wait_loses_none() {
    let bench = Bench::new("[{limit: {rate: 500, burst: 10}}]");
    let lines: Vec<String> = (0..100).map(|number| format!("line {number}")).collect();
    bench.append(&(lines.join("\n") + "\n"));
    let agent = bench.start();
    bench.arrived(100).await;
    assert_eq!(bench.texts(), lines);
    assert_eq!(agent.metric_sum("tailwater_lines_dropped_total"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_over_all_jobs_are_kept_and_counted() {
    let mut bench = Bench::new("[]");
    bench.extra = "limits_config: {readline_rate_enabled: true, readline_rate: 0.001, readline_burst: 3, \
                   max_line_size: 5b, max_line_size_truncate: true}\n"
        .to_owned();
    bench.append("one\nlängere\nthree\nfour\nfive\n");
    let agent = bench.start();
    bench.arrived(3).await;
    assert_eq!(bench.texts(), ["one", "läng", "three"], "cut at 5 bytes, not inside a character");
    assert_eq!(agent.metric("tailwater_lines_dropped_total{reason=\"global_rate_limiter_drop\"}"), 2.0);
    assert_eq!(agent.metric("tailwater_lines_truncated_total"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_no_more_streams_than_it_may_and_no_line_is_lost_for_it() {
    let mut bench = Bench::new(r"[{regex: {expression: '^(?P<app>\w)'}}, {labels: {app: }}]");
    bench.extra = "limits_config: {max_streams: 2}\n".to_owned();
    let lines: Vec<String> = (0..50).map(|number| format!("{} {number}", number % 5)).collect();
    bench.append(&(lines.join("\n") + "\n"));
    let _agent = bench.start();
    bench.arrived(50).await;
    let most = bench.loki.requests().iter().map(|request| request.streams).max();
    assert_eq!(most, Some(2));
}

#[test]
fn a_state_directory_is_left_as_it_was_by_a_dry_run() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("app.log");
    fs::write(&log, "hello\n").unwrap();
    let job = format!(
        "- {{job_name: j, static_configs: [{{labels: {{job: j, __path__: '{}'}}}}], pipeline_stages: [{{tenant: {{value: t}}}}]}}",
        log.display()
    );
    let text = configuration(
        directory.path(),
        "- {url: 'http://me:hunter2@127.0.0.1:9/push', external_labels: {a: b}}",
        &job,
    );
    let file = directory.path().join("tailwater.yaml");
    fs::write(&file, text).unwrap();
    let agent = Agent::spawn(&["-dry-run", &format!("-config.file={}", file.display())]);
    let shown = agent.wait_for_output("hello");
    let clients = format!("Clients configured:\n{}\nurl: ", "-".repeat(22));
    assert!(shown.starts_with(&clients) && !shown.contains("hunter2"), "{shown}");
    let line = shown.lines().last().unwrap();
    let expected = format!("{{__tenant_id__=\"t\", filename=\"{}\", job=\"j\"}}\thello", log.display());
    assert_eq!(line.split_once('\t').unwrap().1, expected);
    assert!(agent.terminate().0.success());
    let left: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}
