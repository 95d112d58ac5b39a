//! What a stop, a kill and damaged state leave behind.

use std::fs;
use std::time::Duration;

use crate::agent::{Agent, PATIENCE, client, configuration, file_job};
use crate::support::fake_loki::{FakeLoki, Fault, FaultKind, Limits, Store};
use crate::support::ledger::{entry_key, verify};
use crate::writer::Writer;

struct Bench {
    directory: tempfile::TempDir,
    loki: FakeLoki,
    writer: Writer,
}

impl Bench {
    fn new() -> Bench {
        let directory = tempfile::tempdir().unwrap();
        let writer = Writer::new(&directory.path().join("app.log"), "app");
        Bench { loki: FakeLoki::start(Limits::any_time()), writer, directory }
    }

    fn start(&self) -> Agent {
        self.start_with("batchsize: 1048576")
    }

    /// Without a spool, lines wait where they are.
    fn start_without_spool(&self) -> Agent {
        self.start_with("spool: {enabled: false}")
    }

    /// Starts the agent with one more option of the client.
    fn start_with(&self, option: &str) -> Agent {
        let path = self.directory.path();
        let job = file_job(&format!("{}/app.log", path.display()));
        let client = client(&self.loki.url()).replace("{url:", &format!("{{{option}, url:"));
        Agent::start(path, &configuration(path, &client, &job))
    }

    async fn arrived(&self, count: usize) {
        self.loki.wait_for(|store| store.lines().len() >= count, PATIENCE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_stop_nothing_is_sent_twice_and_nothing_is_missing() {
    let mut bench = Bench::new();
    for round in 1..=5 {
        bench.writer.lines(200);
        let agent = bench.start();
        bench.arrived(round * 200).await;
        let (status, log) = agent.terminate();
        assert!(status.success() && log.contains("remaining=0"), "{log}");
    }
    assert!(bench.loki.duplicates().is_empty());
    verify(&bench.writer.expected, &bench.loki.entries(), entry_key).assert_whole_once_in_order();
    assert_eq!(bench.loki.entries().len(), 1000, "read again would be stored under another time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_two_pushes_loses_and_doubles_nothing() {
    let mut bench = Bench::new();
    for round in 1..=5 {
        bench.writer.lines(500);
        // Some pushes of the round are answered, the next one never is: there the agent is killed.
        let hung = bench.loki.faults_met(FaultKind::Hang);
        bench.loki.answer_next(round, Fault::Delay(Duration::ZERO));
        bench.loki.answer_next(1, Fault::Hang);
        let agent = bench.start_with("batchsize: 10000");
        bench.loki.wait_for(|store| store.faults_met(FaultKind::Hang) > hung, PATIENCE).await.unwrap();
        agent.kill();
    }
    let agent = bench.start_with("batchsize: 10000");
    let all = |store: &Store| verify(&bench.writer.expected, &store.entries, entry_key).missing.is_empty();
    bench.loki.wait_for(all, PATIENCE).await.unwrap();
    agent.terminate();
    verify(&bench.writer.expected, &bench.loki.entries(), entry_key).assert_whole_once_in_order();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_kill_repeats_is_the_same_byte_for_byte_and_stored_once() {
    let mut bench = Bench::new();
    for round in 1..=4 {
        bench.writer.lines(3000);
        // Loki stores a push, the answer gets lost, and the agent has not tried again when it is killed.
        let hung = bench.loki.faults_met(FaultKind::Hang);
        bench.loki.answer_next(1, Fault::StoreThenReset);
        bench.loki.answer_all(Fault::Hang);
        let agent = bench.start_without_spool();
        bench.loki.wait_for(|store| store.faults_met(FaultKind::Hang) > hung, PATIENCE).await.unwrap();
        agent.kill();
        // The file goes on, and is rotated away, while nobody looks.
        bench.writer.lines(10);
        bench.writer.rotate(10);
        if round % 2 == 0 {
            bench.loki.heal();
            let agent = bench.start_without_spool();
            bench.arrived(bench.writer.expected.len()).await;
            agent.kill();
        }
    }
    assert!(!bench.loki.duplicates().is_empty());
    assert_eq!(bench.loki.entries().len(), bench.writer.expected.len());
    verify(&bench.writer.expected, &bench.loki.entries(), entry_key).assert_whole_once_in_order();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_line_that_was_handed_on_is_cut_at_the_same_place_after_a_kill() {
    let bench = Bench::new();
    let path = bench.directory.path().join("app.log");
    fs::write(&path, "first\nunfinished").unwrap();
    bench.loki.answer_next(1, Fault::Delay(Duration::ZERO));
    bench.loki.answer_all(Fault::StoreThenReset);
    let agent = bench.start_without_spool();
    bench.arrived(2).await;
    agent.kill();
    fs::write(&path, "first\nunfinished rest\nlast\n").unwrap();
    bench.loki.heal();
    let agent = bench.start_without_spool();
    bench.arrived(4).await;
    agent.terminate();
    assert_eq!(bench.loki.store().lines(), ["first", "unfinished", " rest", "last"]);
    assert!(bench.loki.duplicates().iter().any(|entry| entry.text() == "unfinished"));
}

#[tokio::test(flavor = "multi_thread")]
async fn times_of_a_file_are_not_those_of_another_in_its_place() {
    let bench = Bench::new();
    let path = bench.directory.path().join("app.log");
    for (before, after) in [("one\ntwo\n", "three\nfour is longer\n"), ("five\nsix\n", "five\n")] {
        fs::write(&path, before).unwrap();
        bench.loki.answer_all(Fault::Hang);
        let hung = bench.loki.faults_met(FaultKind::Hang);
        let agent = bench.start_without_spool();
        bench.loki.wait_for(|store| store.faults_met(FaultKind::Hang) > hung, PATIENCE).await.unwrap();
        agent.kill();
        fs::write(&path, after).unwrap();
        bench.loki.heal();
        let agent = bench.start_without_spool();
        bench
            .loki
            .wait_for(
                |store| store.lines().ends_with(&after.lines().map(str::to_owned).collect::<Vec<_>>()),
                PATIENCE,
            )
            .await
            .unwrap();
        agent.terminate();
    }
    assert_eq!(bench.loki.store().lines(), ["three", "four is longer", "five"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_does_not_pass_lines_that_loki_does_not_have() {
    let mut bench = Bench::new();
    bench.loki.answer_all(Fault::Status(500, String::new()));
    bench.writer.lines(100);
    let agent = bench.start_without_spool();
    agent.wait_for_log("its lines are kept and tried again");
    agent.terminate();
    let state = fs::read_to_string(bench.directory.path().join("positions.state")).unwrap();
    assert!(!state.contains("app.log"), "nothing is acknowledged, nothing is recorded:\n{state}");
    bench.loki.heal();
    let agent = bench.start();
    bench.arrived(100).await;
    verify(&bench.writer.expected, &bench.loki.entries(), entry_key).assert_whole_once_in_order();
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_positions_do_not_keep_the_agent_from_starting() {
    let mut bench = Bench::new();
    bench.writer.lines(100);
    let agent = bench.start();
    bench.arrived(100).await;
    agent.terminate();
    let path = bench.directory.path();
    fs::write(path.join("positions.state"), vec![0u8; 300]).unwrap();
    fs::write(path.join("positions.state.previous"), "{").unwrap();
    fs::write(path.join("positions.yaml"), "positions: {").unwrap();
    bench.writer.lines(100);
    let agent = bench.start();
    assert!(agent.log().contains("positions are damaged"), "{}", agent.log());
    assert_eq!(agent.metric("tailwater_state_damaged_total"), 3.0);
    // Without positions the file is read from its beginning: repeated, not lost.
    bench.arrived(300).await;
    agent.terminate();
}

#[test]
fn positions_that_cannot_be_written_are_said_at_start() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("c.yaml");
    let text = configuration("/proc/none".as_ref(), &client("http://127.0.0.1:9/push"), "  []")
        .replace("scrape_configs:\n", "scrape_configs:");
    fs::write(&file, text).unwrap();
    let (status, log) = Agent::spawn(&[&format!("-config.file={}", file.display())]).wait();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("/proc/none") && log.contains("positions"), "{log}");
}
