//! Metrics derived from lines: each line counts once, whatever becomes of the process that counts.

use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::agent::{Agent, client, configuration};
use crate::docker::Random;
use crate::support::fake_loki::{FakeLoki, Fault, Limits};
use crate::writer::Writer;

const METRICS: &str = "{metrics: {
    lines_total: {prefix: app_, type: Counter, labels: [service], config: {match_all: true, action: inc}},
    length_total: {prefix: app_, type: Counter, labels: [], config: {match_all: true, action: add, count_entry_bytes: true}},
    last: {prefix: app_, type: Gauge, labels: [], source: duration_ms, config: {action: set}},
    balance: {prefix: app_, type: Gauge, labels: [], source: duration_ms, config: {action: sub}},
    duration: {prefix: app_, type: Histogram, labels: [service], source: duration_ms, config: {buckets: [100, 400]}}}}";

/// Two files: one line by line, the other with entries that wait for the line behind them.
fn jobs(directory: &Path) -> String {
    let job = |name: &str, first: &str| {
        format!(
            "- job_name: {name}\n  static_configs: [{{labels: {{__path__: '{}/{name}.log'}}}}]\n  \
             pipeline_stages: [{first}{{json: {{expressions: {{service: , duration_ms: }}}}}}, {{labels: {{service: }}}}, {METRICS}]\n",
            directory.display()
        )
    };
    job("plain", "") + &job("held", "{multiline: {firstline: '^\\{', max_wait_time: 100ms}}, ")
}

fn start(directory: &Path, loki: &FakeLoki) -> Agent {
    let text = configuration(directory, &client(&loki.url()), &jobs(directory));
    Agent::start(directory, &text.replace("sync_period: 100ms", "sync_period: 30ms"))
}

/// What both files' lines come to, of which there are so many in each.
fn assert_each_counted_once(agent: &Agent, count: u64, bytes: u64) {
    // Too many would never become as many again.
    agent.wait_for_metric("app_lines_total", |lines| lines >= 2.0 * count as f64);
    for service in ["plain", "held"] {
        let of =
            |name: &str, bound: &str| agent.metric(&format!("app_{name}{{service=\"{service}\"{bound}}}"));
        assert_eq!(of("lines_total", ""), count as f64, "{service}");
        assert_eq!(of("duration_count", ""), count as f64, "{service}");
        let up_to_100 = (0..count).filter(|line| line % 500 <= 100).count() as f64;
        assert_eq!(of("duration_bucket", ",le=\"100\""), up_to_100, "{service}");
    }
    let durations: u64 = (0..count).map(|line| line % 500).sum();
    assert_eq!(agent.metric_sum("app_duration_sum"), 2.0 * durations as f64);
    assert_eq!(agent.metric_sum("app_balance"), -2.0 * durations as f64);
    assert_eq!(agent.metric_sum("app_length_total"), bytes as f64);
    assert_eq!(agent.metric_sum("app_last"), ((count - 1) % 500) as f64);
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_neither_lose_nor_double_what_was_counted() {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    let mut random = Random::seeded();
    let mut writers =
        ["plain", "held"].map(|name| Writer::new(&directory.path().join(format!("{name}.log")), name));
    let mut bytes = 0;
    let mut count = 0;
    for round in 1..=8 {
        for kill in 0..6 {
            let agent = start(directory.path(), &loki);
            for _ in 0..10 {
                let lines = random.below(60) as u64;
                for writer in &mut writers {
                    bytes += writer.lines_measured(lines);
                }
                count += lines;
                thread::sleep(Duration::from_millis(random.below(12) as u64));
            }
            match kill {
                2 => loki.answer_all(Fault::Status(503, "away".to_owned())),
                4 => loki.heal(),
                _ => loki.answer_next(2, Fault::StoreThenReset),
            }
            agent.kill();
        }
        let agent = start(directory.path(), &loki);
        println!("round {round}");
        assert_each_counted_once(&agent, count, bytes);
        if round % 2 == 0 {
            agent.terminate();
            assert_each_counted_once(&start(directory.path(), &loki), count, bytes);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn they_go_on_counting_while_loki_is_away() {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    loki.answer_all(Fault::Hang);
    let mut writer = Writer::new(&directory.path().join("plain.log"), "plain");
    let agent = start(directory.path(), &loki);
    writer.lines(100);
    agent.wait_for_metric("app_lines_total", |lines| lines == 100.0);
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_persistence_they_begin_at_nothing_as_in_promtail() {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    let mut writer = Writer::new(&directory.path().join("plain.log"), "plain");
    let text = configuration(directory.path(), &client(&loki.url()), &jobs(directory.path()));
    let text = format!("metrics: {{persist: false}}\n{text}");
    for round in 0..2 {
        let agent = Agent::start(directory.path(), &text);
        writer.lines(10 + round);
        agent.wait_for_metric("app_lines_total", |lines| lines == (10 + round) as f64);
        loki.wait_for(|store| store.entries.len() as u64 == 10 * (round + 1) + round, crate::agent::PATIENCE)
            .await
            .unwrap();
        agent.terminate();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn declared_series_are_there_at_0_and_what_is_above_the_bound_counts_together() {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    let job = format!(
        "- job_name: a\n  static_configs: [{{labels: {{__path__: '{}/a.log'}}}}]\n  pipeline_stages:\n  \
         - regex: {{expression: '^(?P<user>.*)$'}}\n  - labels: {{user: }}\n  - metrics: {{logins_total: {{prefix: app_, \
         type: Counter, labels: [user], series: [{{user: anna}}, {{user: ben}}], max_series: 5, \
         config: {{match_all: true, action: inc}}}}}}\n",
        directory.path().display()
    );
    let agent = Agent::start(directory.path(), &configuration(directory.path(), &client(&loki.url()), &job));
    let (_, page) = agent.get("/metrics");
    for user in ["anna", "ben"] {
        assert!(page.contains(&format!("\napp_logins_total{{user=\"{user}\"}} 0\n")), "{page}");
    }
    let mut writer = Writer::new(&directory.path().join("a.log"), "a");
    (0..100).for_each(|user| writer.raw(&format!("u{user}\n")));
    writer.raw("ben\n");
    agent.wait_for_metric("app_logins_total", |logins| logins == 101.0);
    assert_eq!(agent.metric("app_logins_total{user=\"ben\"}"), 1.0);
    assert_eq!(agent.metric("app_logins_total{overflow=\"true\"}"), 97.0);
    let (_, page) = agent.get("/metrics");
    assert_eq!(page.lines().filter(|line| line.starts_with("app_logins_total{")).count(), 6);
    agent.terminate();
}
