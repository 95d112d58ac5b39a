//! Logs of containers read from the json-file driver's files, and what is left when they cannot be.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::agent::{Agent, PATIENCE, client};
use crate::docker::configuration;
use crate::support::docker::{self, Engine};
use crate::support::docker_host::{Container, DockerHost, Manners, id};
use crate::support::fake_loki::{FakeLoki, Limits, Store};
use crate::support::ledger::{Expected, entry_key, verify};

fn from_environment(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// A configuration for a scripted daemon; `logs` are the item's further keys.
fn scripted(directory: &Path, docker: &DockerHost, loki: &FakeLoki, logs: &str) -> String {
    format!(
        "server: {{http_listen_address: 127.0.0.1, http_listen_port: 0}}\n\
         positions: {{filename: '{0}/positions.yaml', sync_period: 100ms}}\n\
         clients:\n{1}\n\
         scrape_configs:\n- {{job_name: d, docker_sd_configs: [{{host: '{2}', refresh_interval: 100ms{logs}}}]}}\n",
        directory.display(),
        client(&loki.url()),
        docker.host()
    )
}

fn logging_to(path: &Path) -> Container {
    Container { log_driver: "json-file", log_path: path.display().to_string(), ..Container::default() }
}

/// dockerd's writer, which rotates when it is told to.
struct Writer {
    path: PathBuf,
    file: File,
    max_files: usize,
    line: u64,
    /// Of the lines.
    length: usize,
    time: i64,
}

impl Writer {
    fn new(path: PathBuf, max_files: usize) -> Writer {
        let file = File::create(&path).unwrap();
        let time = jiff::Timestamp::now().as_nanosecond() as i64;
        Writer { path, file, max_files, line: 0, length: 300, time }
    }

    fn write(&mut self, lines: u64) {
        let mut block = Vec::new();
        for _ in 0..lines {
            self.time += 1;
            let time = jiff::Timestamp::from_nanosecond(self.time.into()).unwrap();
            let filler = "x".repeat(self.length);
            let line = self.line;
            writeln!(block, r#"{{"log":"{line} {filler}\n","stream":"stdout","time":"{time}"}}"#).unwrap();
            self.line += 1;
        }
        self.file.write_all(&block).unwrap();
    }

    fn rotate(&mut self) {
        let rotated = |number: usize| format!("{}.{number}", self.path.display());
        drop(fs::remove_file(rotated(self.max_files - 1)));
        for number in (2..self.max_files).rev() {
            drop(fs::rename(rotated(number - 1), rotated(number)));
        }
        fs::rename(&self.path, rotated(1)).unwrap();
        self.file = File::create(&self.path).unwrap();
    }
}

/// The lines a writer wrote, each once and in order.
fn assert_whole(loki: &FakeLoki, lines: u64) {
    let entries = loki.entries();
    let numbers = entries.iter().map(|entry| entry.text().split(' ').next().unwrap().parse::<u64>().unwrap());
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..lines), "{} of {lines} lines", numbers.len());
    assert!(loki.duplicates().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_rotated_every_half_second_loses_and_doubles_nothing() {
    // A minute at 20 MB/s is 2400 blocks of 25 ms, each of 250 lines of 2000 bytes; by default a few seconds at less.
    let blocks = from_environment("TAILWATER_ROTATION_BLOCKS", 120);
    let lines = from_environment("TAILWATER_ROTATION_LINES", 100) as u64;
    for max_files in [3, 10] {
        let directory = tempfile::tempdir().unwrap();
        let loki = FakeLoki::start(Limits::any_time());
        let docker = DockerHost::start(directory.path(), Manners::default());
        let mut writer = Writer::new(directory.path().join("a-json.log"), max_files);
        writer.length = from_environment("TAILWATER_ROTATION_LENGTH", 300);
        docker.add(&id(1), logging_to(&writer.path));
        let agent =
            Agent::start(directory.path(), &scripted(directory.path(), &docker, &loki, ", logs: file"));
        agent.wait_for_metric("tailwater_docker_files_opened_total", |opened| opened == 1.0);
        // The writer's own pace, which is what is tried here.
        let mut tick = tokio::time::interval(Duration::from_millis(25));
        // A test that was held up does not make up for it: then files would live for milliseconds.
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for block in 1..=blocks {
            tick.tick().await;
            writer.write(lines);
            if block % 20 == 0 {
                writer.rotate();
            }
        }
        let patience = Duration::from_secs(60);
        let all = loki.wait_for(|store| store.entries.len() as u64 >= writer.line, patience).await;
        println!("{max_files} files, {} lines: {}", writer.line, loki.store().summary());
        assert_eq!(agent.metric("tailwater_docker_log_gaps_total"), 0.0);
        agent.assert_nothing_is_missing();
        agent.terminate();
        all.unwrap();
        assert_whole(&loki, writer.line);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_containers_last_lines_are_read_from_the_file_that_is_open() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    let docker = DockerHost::start(directory.path(), Manners::default());
    let mut writer = Writer::new(directory.path().join("a-json.log"), 2);
    docker.add(&id(1), logging_to(&writer.path));
    let agent = Agent::start(directory.path(), &scripted(directory.path(), &docker, &loki, ", logs: file"));
    agent.wait_for_metric("tailwater_docker_files_opened_total", |opened| opened == 1.0);
    fs::remove_file(&writer.path).unwrap();
    writer.write(10_000);
    docker.remove(&id(1));
    loki.wait_for(|store| store.entries.len() == 10_000, PATIENCE).await.unwrap();
    agent.wait_for_metric("tailwater_targets_active", |active| active == 0.0);
    assert_eq!(docker.opened(&id(1)), 0, "the daemon was not asked for a log");
    agent.terminate();
    assert_whole(&loki, writer.line);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_goes_on_in_its_file_over_a_restart_of_the_agent_and_while_the_daemon_is_away() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    let docker = DockerHost::start(directory.path(), Manners::default());
    let mut writer = Writer::new(directory.path().join("a-json.log"), 5);
    docker.add(&id(1), logging_to(&writer.path));
    let text = scripted(directory.path(), &docker, &loki, "");
    for round in 1..=3 {
        let agent = Agent::start(directory.path(), &text);
        agent.wait_for_metric("tailwater_docker_files_opened_total", |opened| opened == 1.0);
        writer.write(500);
        writer.rotate();
        writer.write(500);
        loki.wait_for(|store| store.entries.len() == round * 1500 - 500, PATIENCE).await.unwrap();
        agent.terminate();
        writer.rotate();
        writer.write(500);
    }
    let agent = Agent::start(directory.path(), &text);
    loki.wait_for(|store| store.entries.len() == 4500, PATIENCE).await.unwrap();
    drop(docker);
    writer.write(500);
    loki.wait_for(|store| store.entries.len() == 5000, PATIENCE).await.unwrap();
    agent.terminate();
    assert_whole(&loki, writer.line);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_file_that_is_not_visible_is_read_through_the_api_or_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("later-json.log");
    for (logs, waits) in [(", logs: auto", false), (", logs: file", true), (", logs: api", false)] {
        let state = tempfile::tempdir().unwrap();
        let loki = FakeLoki::start(Limits::any_time());
        let docker = DockerHost::start(state.path(), Manners::default());
        docker.add(&id(1), logging_to(&path));
        docker.print(&id(1), 1, "0 through the API");
        let agent = Agent::start(state.path(), &scripted(state.path(), &docker, &loki, logs));
        if waits {
            agent.wait_for_metric("tailwater_docker_logs_unreadable_total", |count| count > 1.0);
            Writer::new(path.clone(), 2).write(1);
        }
        loki.wait_for(|store| store.entries.len() == 1, PATIENCE).await.unwrap();
        let (_, log) = agent.terminate();
        assert_eq!(docker.opened(&id(1)), usize::from(!waits), "{logs}");
        assert_eq!(log.contains("logs come through the API"), logs.contains("auto"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_logs_nowhere_is_said_once() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    let docker = DockerHost::start(directory.path(), Manners::default());
    docker.add(&id(1), Container { log_driver: "none", ..Container::default() });
    docker.add(&id(2), Container::default());
    let agent = Agent::start(directory.path(), &scripted(directory.path(), &docker, &loki, ""));
    agent.wait_for_metric("tailwater_docker_logs_unreadable_total", |count| count == 1.0);
    let lists = docker.lists();
    while docker.lists() < lists + 5 {
        tokio::task::yield_now().await;
    }
    assert_eq!(agent.metric("tailwater_docker_logs_unreadable_total{reason=\"driver\"}"), 1.0);
    let (_, log) = agent.terminate();
    assert_eq!(log.matches("there is nothing to read").count(), 1, "{log}");
    assert_eq!(docker.opened(&id(1)), 0);
}

/// Runs containers that are removed as they end; how many lines each printed.
fn run_short_lived(engine: &Engine, containers: usize) -> BTreeMap<String, u64> {
    let names = (0..containers).map(|number| {
        let lines = 1 + (number as u64 * 7919) % 1000;
        (format!("short-{number}-{}", engine.mark()), lines)
    });
    let all: BTreeMap<String, u64> = names.collect();
    let list: Vec<(&String, &u64)> = all.iter().collect();
    let image = engine.loggen_image();
    std::thread::scope(|scope| {
        for part in list.chunks(containers.div_ceil(4)) {
            scope.spawn(move || {
                for (name, lines) in part {
                    let lines = lines.to_string();
                    let options = ["--rm", "--network", "none", "--name", name];
                    engine.run(&options, image, &["--source", name, "--lines", &lines]);
                }
            });
        }
    });
    all
}

/// How many there are; a thousand take some minutes.
fn short_lived() -> usize {
    from_environment("TAILWATER_SHORT_CONTAINERS", 60)
}

#[tokio::test(flavor = "multi_thread")]
async fn all_lines_of_short_lived_containers_arrive_from_their_files() {
    let Some(engine) = docker::engine_or_skip() else { return };
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits { max_streams: 20_000, ..Limits::default() });
    let text = configuration(&engine, directory.path(), &loki)
        .replace("refresh_interval", "logs: file, refresh_interval");
    let agent = Agent::start(directory.path(), &text);
    let printed = run_short_lived(&engine, short_lived());
    let mut expected = Expected::new();
    for (name, lines) in &printed {
        expected.lines(&format!("{name}/0"), 0..*lines);
    }
    let enough = |store: &Store| store.entries.len() >= expected.len();
    let seen = loki.wait_for(enough, PATIENCE).await;
    let (_, log) = agent.terminate();
    println!("{log}");
    seen.unwrap();
    verify(&expected, &loki.entries(), entry_key).assert_whole_once_in_order();
    assert!(loki.duplicates().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn short_lived_containers_whose_lines_are_missing_through_the_api_are_counted() {
    let Some(engine) = docker::engine_or_skip() else { return };
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits { max_streams: 20_000, ..Limits::default() });
    let text = configuration(&engine, directory.path(), &loki)
        .replace("refresh_interval", "logs: api, refresh_interval");
    let agent = Agent::start(directory.path(), &text);
    let printed = run_short_lived(&engine, short_lived());
    while !engine
        .docker(&["ps", "-aq", "--filter", &format!("label=tailwater-test={}", engine.mark())])
        .is_empty()
    {
        tokio::task::yield_now().await;
    }
    let last = format!("short-{}-{}", short_lived() - 1, engine.mark());
    agent.wait_for_metric("tailwater_targets_active", |active| active == 0.0);
    let (_, page) = agent.get("/metrics");
    let missed: f64 = page
        .lines()
        .filter(|line| line.starts_with("tailwater_docker_containers_missed_total"))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum();
    let (_, log) = agent.terminate();
    let mut arrived: BTreeMap<String, u64> = BTreeMap::new();
    for entry in loki.entries() {
        *arrived.entry(entry.label("container").to_owned()).or_default() += 1;
    }
    let short: Vec<_> =
        printed.iter().filter(|(name, lines)| arrived.get(*name).copied().unwrap_or(0) != **lines).collect();
    println!(
        "{} of {} containers miss lines, {missed} are counted; the last was {last}",
        short.len(),
        printed.len()
    );
    assert_eq!(short.len() as f64, missed, "{short:?}\n{log}");
    assert!(loki.duplicates().is_empty());
}
