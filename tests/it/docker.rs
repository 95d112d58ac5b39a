//! Real containers on a real engine: every line they print arrives, once, in order, with the right labels.

use std::path::Path;

use crate::agent::{Agent, PATIENCE, client};
use crate::support::docker::{self, Engine};
use crate::support::fake_docker::{FakeDocker, Script, frame};
use crate::support::fake_loki::{FakeLoki, Fault, Limits, Store};
use crate::support::ledger::{Expected, entry_key, verify};

/// Containers of the random scenario, and lines each prints in a start that nobody interrupts.
const CONTAINERS: usize = 20;
const LINES: &str = "10000";
/// Lines a second of each, so that they run for some seconds and are interrupted in the middle.
const RATE: &str = "2500";
/// Random stops and starts.
const ACTIONS: usize = 60;

/// The user's labels on the containers of one test.
pub fn configuration(engine: &Engine, state: &Path, loki: &FakeLoki) -> String {
    let (host, mark, state) = (engine.host(), engine.mark(), state.display());
    format!(
        r#"
server: {{http_listen_address: 127.0.0.1, http_listen_port: 0}}
positions: {{filename: '{state}/positions.yaml', sync_period: 200ms}}
clients:
{client}
scrape_configs:
- job_name: containers
  docker_sd_configs: [{{host: '{host}', refresh_interval: 1s, filters: [{{name: label, values: [tailwater-test={mark}]}}]}}]
  relabel_configs:
  - {{source_labels: [__meta_docker_container_name], regex: '/(.*)', target_label: container}}
  - {{source_labels: [__meta_docker_container_log_stream], target_label: stream}}
  - {{target_label: level, replacement: unknown}}
  pipeline_stages:
  - json: {{expressions: {{timestamp: , level: , service: }}}}
  - labels: {{level: , service: }}
  - timestamp: {{source: timestamp, format: RFC3339Nano, action_on_failure: skip}}
"#,
        client = client(&loki.url()),
    )
}

/// A generator of pseudo-random numbers whose seed is printed, so that a failure can be repeated.
pub struct Random(u64);

impl Random {
    pub fn seeded() -> Random {
        let seed = std::env::var("TAILWATER_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64);
        println!("TAILWATER_TEST_SEED={seed}");
        Random(seed)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

/// Containers that print numbered lines, stopped and started at random.
pub struct Crowd<'e> {
    engine: &'e Engine,
    names: Vec<String>,
}

impl<'e> Crowd<'e> {
    pub fn create(engine: &'e Engine, containers: usize) -> Crowd<'e> {
        let image = engine.loggen_image();
        let names: Vec<String> =
            (0..containers).map(|number| format!("crowd-{number}-{}", engine.mark())).collect();
        for name in &names {
            let arguments = [
                "--source",
                name,
                "--lines",
                LINES,
                "--rate",
                RATE,
                "--stderr-every",
                "7",
                "--state",
                "/boots",
            ];
            engine.create(&["--name", name, "--network", "none"], image, &arguments);
        }
        Crowd { engine, names }
    }

    pub fn act(&self, random: &mut Random) {
        let chosen = &self.names[random.below(self.names.len())];
        // Stopping one that has just ended is no error, as killing it would be.
        match self.engine.inspect(chosen, "{{.State.Running}}").as_str() {
            "true" if random.below(2) == 0 => self.engine.restart(chosen),
            "true" => self.engine.stop(chosen),
            _ => self.engine.start(chosen),
        }
    }

    /// Lets everything run to its end; what was printed in all.
    pub fn finish(&self) -> Expected {
        for name in &self.names {
            self.engine.start(name);
        }
        let mut expected = Expected::new();
        for name in &self.names {
            self.engine.wait(name);
            let logs = self.engine.logs(name);
            expected.printed(&logs.stdout);
            expected.printed(&logs.stderr);
        }
        expected
    }
}

pub fn arrived(expected: &Expected) -> impl FnMut(&Store) -> bool + '_ {
    |store| store.entries.len() >= expected.len()
}

/// Every line once, in order, under the labels of its container.
pub fn check(loki: &FakeLoki, expected: &Expected) {
    let entries = loki.entries();
    verify(expected, &entries, entry_key).assert_whole_once_in_order();
    let mut twice = std::collections::BTreeMap::new();
    for entry in loki.duplicates() {
        *twice.entry(entry_key(&entry).unwrap().0).or_insert(0) += 1;
    }
    assert!(twice.is_empty(), "lines sent twice, by container and start: {twice:?}");
    loki.assert_no_violations();
    for entry in &entries {
        let line: serde_json::Value = serde_json::from_slice(&entry.line).unwrap();
        assert_eq!(entry.label("container"), line["service"].as_str().unwrap());
        assert_eq!(entry.label("service"), entry.label("container"));
        assert_eq!(entry.label("level"), line["level"].as_str().unwrap());
        let seq = line["context"]["seq"].as_u64().unwrap();
        assert_eq!(entry.label("stream"), if seq % 7 == 6 { "stderr" } else { "stdout" }, "line {seq}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_started_and_stopped_at_random_lose_and_double_nothing_over_a_restart_of_the_agent() {
    let Some(engine) = docker::engine_or_skip() else { return };
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::default());
    let text = configuration(&engine, directory.path(), &loki);
    let mut random = Random::seeded();
    let crowd = Crowd::create(&engine, CONTAINERS);
    let agent = Agent::start(directory.path(), &text);
    for _ in 0..ACTIONS / 3 {
        crowd.act(&mut random);
    }
    let (status, log) = agent.terminate();
    // Shown when the test fails.
    println!("{log}");
    assert!(status.success());
    for _ in 0..ACTIONS / 3 {
        crowd.act(&mut random);
    }
    let agent = Agent::start(directory.path(), &text);
    for _ in 0..ACTIONS / 3 {
        crowd.act(&mut random);
    }
    let expected = crowd.finish();
    assert!(expected.len() > 100_000, "{} lines prove little", expected.len());
    let seen = loki.wait_for(arrived(&expected), PATIENCE).await;
    println!("{}", agent.terminate().1);
    check(&loki, &expected);
    seen.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_while_containers_start_and_stop_at_random_lose_and_double_nothing() {
    let Some(engine) = docker::engine_or_skip() else { return };
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::default());
    let text = configuration(&engine, directory.path(), &loki)
        .replace("http_listen_port: 0", "http_listen_port: 0, enable_runtime_reload: true");
    // Another job, another stage, another client of the same name.
    let other = text
        .replace("job_name: containers", "job_name: others")
        .replace("batchwait: 50ms", "batchwait: 20ms");
    let stage = text
        .replace("  - timestamp:", "  - static_labels: {reloaded: yes}\n  - timestamp:")
        .replace(": yes", ": 'yes'");
    let mut random = Random::seeded();
    let crowd = Crowd::create(&engine, CONTAINERS / 2);
    let agent = Agent::start(directory.path(), &text);
    for round in 0..ACTIONS {
        crowd.act(&mut random);
        std::fs::write(directory.path().join("tailwater.yaml"), [&other, &stage, &text][round % 3]).unwrap();
        assert_eq!(agent.post("/reload"), (200, String::new()));
    }
    let expected = crowd.finish();
    let seen = loki.wait_for(arrived(&expected), PATIENCE).await;
    println!("{}", agent.terminate().1);
    check(&loki, &expected);
    seen.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_the_agent_lose_nothing_and_what_they_repeat_loki_stores_once() {
    let Some(engine) = docker::engine_or_skip() else { return };
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::default());
    let text = configuration(&engine, directory.path(), &loki);
    let mut random = Random::seeded();
    let crowd = Crowd::create(&engine, 6);
    for _ in 0..6 {
        let agent = Agent::start(directory.path(), &text);
        for _ in 0..6 {
            crowd.act(&mut random);
        }
        // It is killed while it works: something has just arrived that it may not have recorded yet.
        engine.stop(&crowd.names[0]);
        engine.start(&crowd.names[0]);
        let before = loki.store().entries.len();
        loki.wait_for(|store| store.entries.len() > before, PATIENCE).await.unwrap();
        agent.kill();
    }
    let agent = Agent::start(directory.path(), &text);
    let expected = crowd.finish();
    let seen = loki.wait_for(arrived(&expected), PATIENCE).await;
    println!("{}", agent.terminate().1);
    verify(&expected, &loki.entries(), entry_key).assert_whole_once_in_order();
    loki.assert_no_violations();
    seen.unwrap();
    assert!(
        !loki.duplicates().is_empty(),
        "no kill fell between an answer and its record: this proves little"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_lines_of_a_container_that_is_removed_outlive_a_kill_of_the_agent() {
    let Some(engine) = docker::engine_or_skip() else { return };
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::default());
    loki.answer_all(Fault::Hang);
    // Otherwise they would wait for their batch to be full.
    let text = configuration(&engine, directory.path(), &loki).replace("batchwait: 50ms", "batchwait: 1h");
    let agent = Agent::start(directory.path(), &text);
    let name = format!("gone-{}", engine.mark());
    let arguments = ["--source", &name, "--lines", "500", "--linger", "3"];
    engine.run(&["--rm", "--name", &name], engine.loggen_image(), &arguments);
    agent.wait_for_metric("tailwater_spool_entries", |entries| entries == 500.0);
    agent.kill();
    loki.heal();
    let agent = Agent::start(directory.path(), &text);
    let mut expected = Expected::new();
    expected.lines(&format!("{name}/0"), 0..500);
    loki.wait_for(arrived(&expected), PATIENCE).await.unwrap();
    verify(&expected, &loki.entries(), entry_key).assert_whole_once_in_order();
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_running_from_its_image_as_a_sidecar_does_the_same() {
    let Some(engine) = docker::engine_or_skip() else { return };
    let Some(image) = std::env::var("TAILWATER_TEST_IMAGE").ok().filter(|image| !image.is_empty()) else {
        assert!(std::env::var("TAILWATER_REQUIRE_DOCKER").is_err(), "TAILWATER_TEST_IMAGE names no image");
        eprintln!("SKIPPED: needs the agent's image; set TAILWATER_TEST_IMAGE");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::default());
    let socket = engine.host().strip_prefix("unix://").unwrap().to_owned();
    let text = configuration(&engine, Path::new("/var/lib/tailwater"), &loki)
        .replace(engine.host(), "unix:///var/run/docker.sock");
    std::fs::write(directory.path().join("tailwater.yaml"), text).unwrap();
    let mount_config = format!("{}:/etc/tailwater:ro", directory.path().display());
    let mount_socket = format!("{socket}:/var/run/docker.sock:ro");
    let volume = format!("tailwater-{}", engine.mark());
    let mount_state = format!("{volume}:/var/lib/tailwater");
    let group = std::os::unix::fs::MetadataExt::gid(&std::fs::metadata(&socket).unwrap()).to_string();
    let name = format!("agent-{}", engine.mark());
    let options = [
        "--name",
        &name,
        "--network",
        "host",
        "--read-only",
        "--cap-drop",
        "ALL",
        "--group-add",
        &group,
        "-v",
        &mount_config,
        "-v",
        &mount_socket,
        "-v",
        &mount_state,
    ];
    let mut random = Random::seeded();
    let crowd = Crowd::create(&engine, CONTAINERS);
    let agent = engine.run(&options, &image, &[]);
    for _ in 0..ACTIONS / 3 {
        crowd.act(&mut random);
    }
    // SIGTERM, and the 5 s that are promised.
    engine.docker(&["stop", "-t", "6", &agent]);
    assert_eq!(engine.inspect(&agent, "{{.State.ExitCode}}"), "0", "{:?}", engine.logs(&agent));
    for _ in 0..ACTIONS / 3 {
        crowd.act(&mut random);
    }
    engine.start(&agent);
    for _ in 0..ACTIONS / 3 {
        crowd.act(&mut random);
    }
    let expected = crowd.finish();
    let seen = loki.wait_for(arrived(&expected), PATIENCE).await;
    engine.docker(&["stop", "-t", "6", &agent]);
    let log = engine.logs(&agent);
    engine.rm(&agent);
    engine.docker(&["volume", "rm", &volume]);
    println!("{}", String::from_utf8_lossy(&log.stderr));
    check(&loki, &expected);
    seen.unwrap();
}

/// Runs one container to its end and gives what arrived from it: (stream, line).
async fn run(options: &[&str], arguments: &[&str], lines: usize) -> Option<Vec<(String, Vec<u8>)>> {
    let engine = docker::engine_or_skip()?;
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::default());
    let agent = Agent::start(directory.path(), &configuration(&engine, directory.path(), &loki));
    let container = engine.create(options, engine.loggen_image(), arguments);
    engine.start(&container);
    engine.wait(&container);
    let seen = loki.wait_for(|store| store.entries.len() >= lines, PATIENCE).await;
    agent.terminate();
    seen.unwrap();
    assert!(loki.duplicates().is_empty());
    loki.assert_no_violations();
    assert_eq!(loki.entries().len(), lines, "{}", loki.store().summary());
    // With a TTY Docker's own log has carriage returns, which are not the application's.
    if !options.contains(&"--tty") {
        let logs = engine.logs(&container);
        let mut expected = Expected::new();
        expected.printed(&logs.stdout);
        assert_eq!(expected.len(), lines);
        verify(&expected, &loki.entries(), entry_key).assert_whole_once_in_order();
    }
    Some(loki.entries().iter().map(|entry| (entry.label("stream").to_owned(), entry.line.to_vec())).collect())
}

/// Arguments of the generator: JSON lines of one kind.
fn loggen<'a>(mode: &'a str, lines: &'a str) -> Vec<&'a str> {
    vec!["--source", "odd", "--mode", mode, "--lines", lines]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_with_a_tty_arrives_as_stdout_without_carriage_returns() {
    let Some(lines) = run(&["--tty"], &loggen("tty", "500"), 500).await else { return };
    for (number, (stream, line)) in lines.iter().enumerate() {
        assert_eq!(stream, "stdout");
        assert!(!line.contains(&b'\r'));
        let text = String::from_utf8_lossy(line);
        assert!(text.contains(&format!("odd/0 seq={number} ")), "{text}");
        assert!(text.contains("\x1b[32m"), "colours are the application's own");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_100_kib_arrive_whole() {
    let Some(lines) = run(&[], &loggen("long100k", "20"), 20).await else { return };
    assert!(lines.iter().all(|(_, line)| line.len() > 100_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tty_line_of_100_kib_arrives_whole() {
    let arguments = [&loggen("long100k", "5")[..], &["--json"]].concat();
    let Some(lines) = run(&["--tty"], &arguments, 5).await else { return };
    for (_, line) in lines {
        serde_json::from_slice::<serde_json::Value>(&line).expect("a line cut or glued is no JSON");
        assert!(line.len() > 100_000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_utf8_arrive_as_they_were_printed() {
    // json-file stores JSON, which cannot hold such bytes; the local driver can.
    let Some(lines) = run(&["--log-driver", "local"], &loggen("invalid-utf8", "100"), 100).await else {
        return;
    };
    for (_, line) in lines {
        assert!(line.windows(4).any(|bytes| bytes == b" \xff\xfe "), "{}", String::from_utf8_lossy(&line));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_dockerd_rotates_and_compresses_arrives_whole() {
    let options = ["--log-opt", "max-size=200k", "--log-opt", "max-file=12", "--log-opt", "compress=true"];
    let arguments = ["--source", "odd", "--lines", "6000", "--rate", "3000"];
    let Some(lines) = run(&options, &arguments, 6000).await else { return };
    assert!(lines.iter().all(|(stream, _)| stream == "stdout"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_last_line_without_a_newline_arrives() {
    let Some(lines) = run(&[], &loggen("no-final-newline", "100"), 100).await else { return };
    let last = lines.iter().filter(|(_, line)| String::from_utf8_lossy(line).contains(r#""seq":99,"#));
    assert_eq!(last.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_several_lines_come_out_whole_though_the_agent_is_killed() {
    let Some(engine) = docker::engine_or_skip() else { return };
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::default());
    // Each line whose number ends in 0 or 5 begins an entry.
    let multiline = r#"- multiline: {firstline: '"seq":\d*[05],', max_wait_time: 1h}"#;
    let text = configuration(&engine, directory.path(), &loki);
    let text = text.replace("  pipeline_stages:\n", &format!("  pipeline_stages:\n  {multiline}\n"));
    let lines = 20_000;
    let count = lines.to_string();
    let container = engine.create(&[], engine.loggen_image(), &["--lines", &count, "--rate", "5000"]);
    engine.start(&container);
    for round in 1..=4 {
        let agent = Agent::start(directory.path(), &text);
        let enough = |store: &Store| store.entries.len() >= round * lines / 5 / 6;
        loki.wait_for(enough, PATIENCE).await.unwrap();
        agent.kill();
    }
    let agent = Agent::start(directory.path(), &text);
    engine.wait(&container);
    // The last one may go on until the log is read to its end.
    let seen = loki.wait_for(|store| store.entries.len() >= lines / 5, PATIENCE).await;
    agent.terminate();
    seen.unwrap();
    let logs = String::from_utf8(engine.logs(&container).stdout).unwrap();
    let printed: Vec<&str> = logs.lines().collect();
    let mut expected: Vec<String> = printed.chunks(5).map(|entry| entry.join("\n")).collect();
    let mut stored = loki.store().lines();
    expected.sort();
    stored.sort();
    assert_eq!(stored.len(), lines / 5);
    assert!(stored == expected, "an entry is torn");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_on_three_networks_arrives_once() {
    let Some(engine) = docker::engine_or_skip() else { return };
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::default());
    let networks = ["a", "b", "c"].map(|name| engine.create_network(name));
    let arguments = ["--source", "net", "--lines", "1000", "--linger", "60"];
    let ports = ["--network", &networks[0], "--expose", "80", "--expose", "443"];
    let container = engine.create(&ports, engine.loggen_image(), &arguments);
    for network in &networks[1..] {
        engine.connect(network, &container);
    }
    let agent = Agent::start(directory.path(), &configuration(&engine, directory.path(), &loki));
    engine.start(&container);
    loki.wait_for(|store| store.entries.len() >= 1000, PATIENCE).await.unwrap();
    assert_eq!(
        agent.metric("tailwater_docker_streams_opened_total")
            + agent.metric("tailwater_docker_files_opened_total"),
        1.0
    );
    agent.terminate();
    assert!(loki.duplicates().is_empty());
    let mut expected = Expected::new();
    expected.printed(&engine.logs(&container).stdout);
    verify(&expected, &loki.entries(), entry_key).assert_whole_once_in_order();
}

/// A configuration for a scripted daemon.
fn scripted(directory: &Path, docker: &FakeDocker, loki: &FakeLoki) -> String {
    format!(
        "server: {{http_listen_address: 127.0.0.1, http_listen_port: 0}}\n\
         positions: {{filename: '{0}/positions.yaml'}}\n\
         clients:\n{1}\n\
         scrape_configs:\n- {{job_name: d, docker_sd_configs: [{{host: '{2}', refresh_interval: 50ms}}]}}\n",
        directory.display(),
        client(&loki.url()),
        docker.host()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_words_of_a_container_that_is_removed_at_its_end_arrive() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    let log = [
        frame(1, "2026-11-18T10:30:00.000000001Z all is well\n"),
        frame(2, "2026-11-18T10:30:00.000000002Z panic: at the disco"),
    ];
    let script = Script { log: log.concat(), removed: true, without_events: false };
    let docker = FakeDocker::start(directory.path(), script);
    let agent = Agent::start(directory.path(), &scripted(directory.path(), &docker, &loki));
    loki.wait_for(|store| store.entries.len() == 2, PATIENCE).await.unwrap();
    agent.terminate();
    let lines: Vec<String> = loki.entries().iter().map(|entry| entry.text()).collect();
    assert!(lines.contains(&"panic: at the disco".to_owned()), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_gives_no_events_is_listed_and_not_asked_again_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    let log = frame(1, "2026-11-18T10:30:00.000000001Z all is well\n");
    let docker = FakeDocker::start(directory.path(), Script { log, removed: false, without_events: true });
    let agent = Agent::start(directory.path(), &scripted(directory.path(), &docker, &loki));
    agent.wait_for_log("Docker gives no events");
    loki.wait_for(|store| store.entries.len() == 1, PATIENCE).await.unwrap();
    assert_eq!(agent.metric("tailwater_docker_errors_total{operation=\"events\"}"), 1.0);
    agent.terminate();
    assert_eq!(docker.event_requests(), 1);
    assert!(loki.duplicates().is_empty(), "each time the stream ends, it goes on where it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_docker_socket_that_is_not_there_is_said_once_and_looked_for() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::default());
    let socket = directory.path().join("docker.sock");
    let text = format!(
        "server: {{http_listen_address: 127.0.0.1, http_listen_port: 0}}\n\
         positions: {{filename: '{0}/positions.yaml'}}\n\
         clients:\n{1}\n\
         scrape_configs:\n- {{job_name: d, docker_sd_configs: [{{host: 'unix://{2}', refresh_interval: 50ms}}]}}\n",
        directory.path().display(),
        client(&loki.url()),
        socket.display()
    );
    let agent = Agent::start(directory.path(), &text);
    agent.wait_for_log("no answer from Docker");
    // It looks again and again: each look is a connection, which here ends without an answer.
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    for _ in 0..5 {
        tokio::time::timeout(PATIENCE, listener.accept()).await.expect("it does not look again").unwrap();
    }
    let (_, log) = agent.terminate();
    assert_eq!(log.matches("no answer from Docker").count(), 1, "{log}");
}
