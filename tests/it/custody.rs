//! Lines that Loki does not take at once: on disk, in memory, at their source, and never nowhere.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::agent::{Agent, PATIENCE, client, configuration, file_job};
use crate::support::fake_loki::{FakeLoki, Fault, FaultKind, Limits, Store};
use crate::support::ledger::{Expected, entry_key, verify};
use crate::writer::{Writer, append};

fn refusing() -> Fault {
    Fault::Status(503, "the ingesters are away".to_owned())
}

/// A client with one more option.
fn client_with(loki: &FakeLoki, option: &str) -> String {
    client(&loki.url()).replace("{url:", &format!("{{{option}, url:"))
}

fn start(directory: &Path, clients: &str) -> Agent {
    let job = file_job(&format!("{}/*.log", directory.display()));
    Agent::start(directory, &configuration(directory, clients, &job))
}

/// Waits until all is well.
fn until_ready(agent: &Agent) {
    let started = Instant::now();
    loop {
        let (status, why) = agent.get("/ready");
        if status == 200 {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{why}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn whole(expected: &Expected) -> impl FnMut(&Store) -> bool + '_ {
    |store| store.entries.len() >= expected.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_on_disk_outlives_a_kill_and_its_source() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    loki.answer_all(refusing());
    let path = directory.path().join("app.log");
    let mut writer = Writer::new(&path, "app");
    writer.lines(1000);
    let agent = start(directory.path(), &client(&loki.url()));
    agent.wait_for_metric("tailwater_spool_entries", |entries| entries == 1000.0);
    // What comes later waits behind it.
    writer.lines(500);
    agent.wait_for_metric("tailwater_spool_entries", |entries| entries == 1500.0);
    agent.assert_nothing_is_missing();
    let written = agent.metric_sum("tailwater_positions_written_total");
    agent.wait_for_metric("tailwater_positions_written_total", |count| count > written || count >= 2.0);
    agent.kill();
    fs::remove_file(&path).unwrap();
    loki.heal();
    let agent = start(directory.path(), &client(&loki.url()));
    assert!(agent.log().contains("lines from before wait on disk"), "{}", agent.log());
    loki.wait_for(whole(&writer.expected), PATIENCE).await.unwrap();
    verify(&writer.expected, &loki.entries(), entry_key).assert_whole_once_in_order();
    agent.wait_for_metric("tailwater_spool_entries", |entries| entries == 0.0);
    agent.assert_nothing_is_missing();
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_puts_on_disk_what_a_hanging_loki_does_not_answer() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    loki.answer_all(Fault::Hang);
    let path = directory.path().join("app.log");
    let mut writer = Writer::new(&path, "app");
    writer.lines(3000);
    let agent = start(directory.path(), &client_with(&loki, "batchsize: 50000"));
    loki.wait_for(|store| store.faults_met(FaultKind::Hang) > 0, PATIENCE).await.unwrap();
    let (status, log) = agent.terminate();
    assert!(status.success());
    assert!(log.contains("flushed=0 spooled=3000 remaining=0"), "{log}");
    fs::remove_file(&path).unwrap();
    loki.heal();
    let agent = start(directory.path(), &client(&loki.url()));
    loki.wait_for(whole(&writer.expected), PATIENCE).await.unwrap();
    verify(&writer.expected, &loki.entries(), entry_key).assert_whole_once_in_order();
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_in_a_black_hole_does_not_delay_another_and_gets_everything_later() {
    let directory = tempfile::tempdir().unwrap();
    let (dark, bright) = (FakeLoki::start(Limits::any_time()), FakeLoki::start(Limits::any_time()));
    dark.answer_all(Fault::Hang);
    // More than a target may have in flight: without the spool the other would stop here.
    let mut writer = Writer::new(&directory.path().join("app.log"), "app");
    writer.lines(100_000);
    let clients = format!("{}\n{}", client(&dark.url()), client(&bright.url()));
    let agent = start(directory.path(), &clients);
    bright.wait_for(whole(&writer.expected), PATIENCE).await.unwrap();
    agent.wait_for_metric("tailwater_spool_entries", |entries| entries == 100_000.0);
    agent.assert_nothing_is_missing();
    assert_eq!(dark.entries().len(), 0);
    dark.heal();
    dark.wait_for(whole(&writer.expected), PATIENCE).await.unwrap();
    for loki in [&dark, &bright] {
        verify(&writer.expected, &loki.entries(), entry_key).assert_whole_once_in_order();
    }
    agent.wait_for_metric("tailwater_spool_entries", |entries| entries == 0.0);
    agent.assert_nothing_is_missing();
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_full_spool_drops_is_counted_exactly() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    loki.answer_all(refusing());
    let mut writer = Writer::new(&directory.path().join("app.log"), "app");
    // Several times what 1 MiB holds, compressed.
    writer.noisy_lines(20_000);
    let options = "batchsize: 100000, spool: {max_size: 1MB, when_full: drop_oldest}";
    let agent = start(directory.path(), &client_with(&loki, options));
    let all_in = |agent: &Agent| {
        agent.metric_sum("tailwater_spool_entries") + agent.metric_sum("tailwater_dropped_entries_total")
    };
    agent.wait_for_metric("tailwater_spooled_entries_total", |entries| entries == 20_000.0);
    assert_eq!(all_in(&agent), 20_000.0);
    let dropped = agent.metric_sum("tailwater_dropped_entries_total");
    assert!(dropped > 0.0 && agent.metric_sum("tailwater_spool_bytes") <= 1024.0 * 1024.0);
    agent.assert_nothing_is_missing();
    loki.heal();
    agent.wait_for_metric("tailwater_spool_entries", |entries| entries == 0.0);
    let dropped = agent.metric_sum("tailwater_dropped_entries_total");
    let report = verify(&writer.expected, &loki.entries(), entry_key);
    assert_eq!(report.missing.len() as f64, dropped, "{report}");
    assert!(report.duplicated.is_empty() && report.out_of_order_per_stream.is_empty(), "{report}");
    agent.assert_nothing_is_missing();
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_makes_sources_wait_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    loki.answer_all(refusing());
    let mut writer = Writer::new(&directory.path().join("app.log"), "app");
    writer.noisy_lines(20_000);
    let agent = start(directory.path(), &client_with(&loki, "batchsize: 100000, spool: {max_size: 1MB}"));
    agent.wait_for_log("it is full, lines wait in memory and at their sources");
    let (status, why) = agent.get("/ready");
    assert!(status == 503 && why.contains("it is full"), "{status} {why}");
    loki.heal();
    loki.wait_for(whole(&writer.expected), PATIENCE).await.unwrap();
    // What waited in memory takes turns with what waited on disk.
    let mut report = verify(&writer.expected, &loki.entries(), entry_key);
    report.out_of_order_per_stream.clear();
    report.assert_whole_once_in_order();
    agent.wait_for_metric("tailwater_spool_entries", |entries| entries == 0.0);
    agent.assert_nothing_is_missing();
    until_ready(&agent);
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_that_cannot_be_written_keeps_nothing_from_working() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    loki.answer_all(refusing());
    let mut writer = Writer::new(&directory.path().join("app.log"), "app");
    writer.lines(1000);
    let spool = directory.path().join("elsewhere");
    let option = format!("spool: {{directory: '{}'}}", spool.display());
    let agent = start(directory.path(), &client_with(&loki, &option));
    // Whoever removes it under the agent.
    fs::remove_dir_all(&spool).unwrap();
    agent.wait_for_log("it cannot be written");
    let (status, why) = agent.get("/ready");
    assert!(status == 503 && why.contains("cannot be written"), "{status} {why}");
    let errors_before = agent.wait_for_metric("tailwater_spool_errors_total", |errors| errors > 0.0);
    agent.assert_nothing_is_missing();
    // Nobody needs it while Loki takes everything.
    loki.heal();
    loki.wait_for(whole(&writer.expected), PATIENCE).await.unwrap();
    until_ready(&agent);
    loki.answer_all(refusing());
    writer.lines(1000);
    agent.wait_for_metric("tailwater_spool_errors_total", |errors| errors > errors_before);
    fs::create_dir(&spool).unwrap();
    agent.wait_for_metric("tailwater_spool_entries", |entries| entries == 1000.0);
    assert!(agent.log().contains("the spool is of use again"), "{}", agent.log());
    loki.heal();
    loki.wait_for(whole(&writer.expected), PATIENCE).await.unwrap();
    verify(&writer.expected, &loki.entries(), entry_key).assert_whole_once_in_order();
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_spool_is_set_aside_and_the_rest_of_it_delivered() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    loki.answer_all(refusing());
    let mut writer = Writer::new(&directory.path().join("app.log"), "app");
    writer.lines(2000);
    let spool = directory.path().join("elsewhere");
    let option = format!("batchsize: 20000, spool: {{directory: '{}'}}", spool.display());
    let agent = start(directory.path(), &client_with(&loki, &option));
    agent.wait_for_metric("tailwater_spool_entries", |entries| entries == 2000.0);
    agent.terminate();
    let names = fs::read_dir(&spool).unwrap().map(|entry| entry.unwrap().path());
    let segment = names.filter(|path| path.extension().is_some_and(|name| name == "spool")).min().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 100].fill(0);
    fs::write(&segment, bytes).unwrap();
    loki.heal();
    let agent = start(directory.path(), &client_with(&loki, &option));
    agent.wait_for_metric("tailwater_spool_entries", |entries| entries == 0.0);
    let damaged = agent.metric_sum("tailwater_dropped_entries_total");
    let report = verify(&writer.expected, &loki.entries(), entry_key);
    assert!(damaged > 0.0 && damaged < 1000.0, "{damaged}");
    assert_eq!(report.missing.len() as f64, damaged, "{report}");
    agent.assert_nothing_is_missing();
    let kept = fs::read_dir(&spool).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(kept.into_iter().any(|name| name.to_string_lossy().ends_with(".damaged")));
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_agent_does_not_take_the_spool_of_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    fs::write(directory.path().join("app.log"), "").unwrap();
    let first = start(directory.path(), &client(&loki.url()));
    let file = format!("-config.file={}", directory.path().join("tailwater.yaml").display());
    let (status, log) = Agent::spawn(&[&file]).wait();
    assert!(!status.success() && log.contains("in use by another process"), "{log}");
    first.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_poison_line_in_ten_thousand_is_refused_alone_and_kept_for_a_look() {
    let directory = tempfile::tempdir().unwrap();
    let limits = Limits { max_line_size_bytes: 1000, ..Limits::any_time() };
    let loki = FakeLoki::start(limits);
    let poison = "x".repeat(2000);
    let line = |number| if number == 7000 { format!("{poison}\n") } else { format!("line {number}\n") };
    fs::write(directory.path().join("app.log"), (0..10_000).map(line).collect::<String>()).unwrap();
    let agent = start(directory.path(), &client(&loki.url()));
    loki.wait_for(|store| store.entries.len() == 9999, PATIENCE).await.unwrap();
    agent.wait_for_metric("tailwater_refused_entries_total", |entries| entries == 1.0);
    assert_eq!(agent.metric_sum("tailwater_sent_entries_total"), 9999.0);
    agent.assert_nothing_is_missing();
    agent.terminate();
    let letters = fs::read_to_string(directory.path().join("positions.dead-letter.jsonl")).unwrap();
    let letter: serde_json::Value = serde_json::from_str(letters.trim_end()).unwrap();
    assert_eq!((letter["line"].as_str(), letter["reason"].as_str()), (Some(&*poison), Some("line_too_long")));
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_too_old_are_counted_to_the_last_and_the_others_stay_stored() {
    let directory = tempfile::tempdir().unwrap();
    let limits = Limits { reject_old_samples_max_age: Some(Duration::from_hours(1)), ..Limits::any_time() };
    let loki = FakeLoki::start(limits);
    let lines: String = (0..3000)
        .map(|number| {
            let time = if number % 3 == 0 { "2026-01-01T00:00:00Z" } else { "not a time" };
            format!("{{\"t\":\"{time}\",\"number\":{number}}}\n")
        })
        .collect();
    fs::write(directory.path().join("app.log"), lines).unwrap();
    let job = format!(
        "- job_name: files\n  static_configs: [{{labels: {{__path__: '{}/app.log'}}}}]\n  pipeline_stages:\n  \
         - json: {{expressions: {{t: }}}}\n  - timestamp: {{source: t, format: RFC3339, action_on_failure: skip}}\n",
        directory.path().display()
    );
    let agent = Agent::start(directory.path(), &configuration(directory.path(), &client(&loki.url()), &job));
    loki.wait_for(|store| store.entries.len() == 2000, PATIENCE).await.unwrap();
    agent.wait_for_metric("tailwater_refused_entries_total", |entries| entries == 1000.0);
    agent.assert_nothing_is_missing();
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_above_lokis_limit_wait_while_the_others_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits { max_streams: 2, ..Limits::any_time() });
    let lines = |from: usize| -> String {
        (from..from + 100).map(|number| format!("{{\"s\":\"s{}\",\"n\":{number}}}\n", number % 5)).collect()
    };
    let path = directory.path().join("app.log");
    fs::write(&path, lines(0)).unwrap();
    let job = format!(
        "- job_name: files\n  static_configs: [{{labels: {{__path__: '{}'}}}}]\n  pipeline_stages:\n  \
         - json: {{expressions: {{s: }}}}\n  - labels: {{s: }}\n",
        path.display()
    );
    let agent = Agent::start(directory.path(), &configuration(directory.path(), &client(&loki.url()), &job));
    loki.wait_for(|store| store.entries.len() == 40, PATIENCE).await.unwrap();
    append(&path, &lines(100));
    loki.wait_for(|store| store.entries.len() == 80, PATIENCE).await.unwrap();
    agent.assert_nothing_is_missing();
    assert_eq!(agent.metric_sum("tailwater_refused_entries_total"), 0.0, "there is patience with them");
    loki.set_limits(Limits::any_time());
    loki.wait_for(|store| store.entries.len() == 200, PATIENCE).await.unwrap();
    agent.assert_nothing_is_missing();
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_it_has_lines_dropped_after_so_many_attempts_as_promtail_does() {
    for (fault, reason) in
        [(refusing(), "ingester_error"), (Fault::RateLimit429 { retry_after: None }, "rate_limited")]
    {
        let directory = tempfile::tempdir().unwrap();
        let loki = FakeLoki::start(Limits::any_time());
        loki.answer_all(fault);
        fs::write(directory.path().join("app.log"), "line\n").unwrap();
        let client =
            client(&loki.url()).replace("min_period:", "max_retries: 3, on_giveup: drop, min_period:");
        let agent = start(directory.path(), &client);
        agent.wait_for_metric("tailwater_dropped_entries_total", |entries| entries == 1.0);
        let text = agent.get("/metrics").1;
        assert!(text.contains(&format!("reason=\"{reason}\"}} 1")), "{text}");
        agent.assert_nothing_is_missing();
        let (_, log) = agent.terminate();
        assert!(!log.contains("pushes are answered again"), "{log}");
        assert_eq!(loki.requests().len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_writes_a_hundred_times_as_much_does_not_starve_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    let mut heavy = Writer::new(&directory.path().join("heavy.log"), "heavy");
    heavy.lines(200_000);
    // A slow Loki, which settles its backlog push by push.
    loki.answer_next(10_000, Fault::Delay(Duration::from_millis(20)));
    let agent = start(directory.path(), &client_with(&loki, "batchsize: 500000"));
    loki.wait_for(|store| !store.entries.is_empty(), PATIENCE).await.unwrap();
    let mut light = Writer::new(&directory.path().join("light.log"), "light");
    light.lines(1);
    loki.wait_for(|store| store.lines().iter().any(|line| line.contains("light")), PATIENCE).await.unwrap();
    let ahead = loki.entries().len();
    assert!(ahead < 150_000, "{ahead} of 200,000 lines had to go first");
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_another_address_takes_over_what_waits_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let (wrong, right) = (FakeLoki::start(Limits::any_time()), FakeLoki::start(Limits::any_time()));
    wrong.answer_all(Fault::Status(404, "404 page not found".to_owned()));
    let path = directory.path().join("app.log");
    let mut writer = Writer::new(&path, "app");
    writer.lines(100);
    let agent = start(directory.path(), &client(&wrong.url()));
    agent.wait_for_metric("tailwater_spool_entries", |entries| entries == 100.0);
    agent.terminate();
    let agent = start(directory.path(), &client(&right.url()));
    right.wait_for(whole(&writer.expected), PATIENCE).await.unwrap();
    verify(&writer.expected, &right.entries(), entry_key).assert_whole_once_in_order();
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_of_a_deleted_file_goes_to_disk_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    loki.answer_all(Fault::Hang);
    let path = directory.path().join("app.log");
    let mut writer = Writer::new(&path, "app");
    writer.lines(100);
    // Otherwise it would wait for its batch to be full.
    let patient = client(&loki.url()).replace("batchwait: 50ms", "batchwait: 1h");
    let agent = start(directory.path(), &patient);
    agent.wait_for_metric("tailwater_in_flight_entries", |entries| entries == 100.0);
    fs::remove_file(&path).unwrap();
    agent.wait_for_metric("tailwater_spool_entries", |entries| entries == 100.0);
    agent.kill();
    loki.heal();
    let agent = start(directory.path(), &patient);
    loki.wait_for(whole(&writer.expected), PATIENCE).await.unwrap();
    verify(&writer.expected, &loki.entries(), entry_key).assert_whole_once_in_order();
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piece_that_makes_room_for_newer_lines_takes_no_other_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    // Of a push that is split the second half waits, on disk after a while.
    loki.answer_next(1, Fault::Status(413, String::new()));
    loki.answer_all(refusing());
    let mut writer = Writer::new(&directory.path().join("app.log"), "app");
    writer.lines(100);
    let options = "batchsize: 100000, spool: {max_size: 1MB, when_full: drop_oldest}";
    let agent = start(directory.path(), &client_with(&loki, options));
    agent.wait_for_metric("tailwater_spool_entries", |entries| entries == 100.0);
    loki.answer_next(1, Fault::Delay(Duration::ZERO));
    agent.wait_for_metric("tailwater_sent_entries_total", |entries| entries == 50.0);
    writer.noisy_lines(20_000);
    agent.wait_for_metric("tailwater_spooled_entries_total", |entries| entries == 20_100.0);
    loki.heal();
    agent.wait_for_metric("tailwater_spool_entries", |entries| entries == 0.0);
    let dropped = agent.metric_sum("tailwater_dropped_entries_total");
    let report = verify(&writer.expected, &loki.entries(), entry_key);
    assert!(dropped > 0.0);
    assert_eq!(report.missing.len() as f64, dropped, "{report}");
    agent.assert_nothing_is_missing();
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_asks_for_no_pause_is_not_hammered() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    loki.answer_next(3, Fault::RateLimit429 { retry_after: Some(0) });
    fs::write(directory.path().join("app.log"), "line\n").unwrap();
    let agent =
        start(directory.path(), &client(&loki.url()).replace("20ms", "123ms").replace("200ms", "123ms"));
    loki.wait_for(|store| store.entries.len() == 1, PATIENCE).await.unwrap();
    let (_, log) = agent.terminate();
    assert!(log.contains("reason=rate_limited") && log.contains("pause=123ms"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_is_its_clients_however_its_directory_is_spelled() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (FakeLoki::start(Limits::any_time()), FakeLoki::start(Limits::any_time()));
    first.answer_all(refusing());
    fs::create_dir(directory.path().join("spool")).unwrap();
    symlink(directory.path().join("spool"), directory.path().join("link")).unwrap();
    let option = format!("spool: {{directory: '{}/link/first'}}", directory.path().display());
    let mut writer = Writer::new(&directory.path().join("app.log"), "app");
    writer.lines(100);
    let agent = start(directory.path(), &client_with(&first, &option));
    agent.wait_for_metric("tailwater_spool_entries", |entries| entries == 100.0);
    agent.terminate();
    first.heal();
    let both = format!("{}\n{}", client_with(&first, &option), client(&second.url()));
    let agent = start(directory.path(), &both);
    first.wait_for(whole(&writer.expected), PATIENCE).await.unwrap();
    let (_, log) = agent.terminate();
    assert!(second.entries().is_empty() && !log.contains("is not configured"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_hangs_under_the_dead_letters_holds_up_one_client_alone() {
    let directory = tempfile::tempdir().unwrap();
    let strict = FakeLoki::start(Limits { max_line_size_bytes: 10, ..Limits::any_time() });
    let loki = FakeLoki::start(Limits::any_time());
    let mut writer = Writer::new(&directory.path().join("app.log"), "app");
    writer.lines(100);
    // Opening it waits for a reader who never comes.
    let letters = directory.path().join("dead-letter.jsonl");
    assert!(Command::new("mkfifo").arg(&letters).status().unwrap().success());
    let clients = format!("{}\n{}", client(&strict.url()), client(&loki.url()));
    let job = file_job(&format!("{}/*.log", directory.path().display()));
    let file = directory.path().join("tailwater.yaml");
    fs::write(&file, configuration(directory.path(), &clients, &job)).unwrap();
    let arguments = format!("-config.file={}", file.display());
    let agent = Agent::spawn_with(&[&arguments], &[("TOKIO_WORKER_THREADS", "1")]);
    strict.wait_for(|store| !store.requests.is_empty(), PATIENCE).await.unwrap();
    loki.wait_for(whole(&writer.expected), PATIENCE).await.unwrap();
    writer.lines(100);
    loki.wait_for(whole(&writer.expected), PATIENCE).await.unwrap();
    assert!(agent.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_does_not_wait_for_the_age_of_a_batch_because_stages_leave_little_of_its_lines() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    // About 40 MB, of which a batch would have to hold more than a target may have in flight.
    Writer::new(&directory.path().join("app.log"), "app").lines(200_000);
    let job = format!(
        "- job_name: files\n  static_configs: [{{labels: {{__path__: '{}/app.log'}}}}]\n  pipeline_stages:\n  \
         - json: {{expressions: {{level: }}}}\n  - output: {{source: level}}\n",
        directory.path().display()
    );
    let patient = client(&loki.url()).replace("batchwait: 50ms", "batchwait: 1h");
    let agent = Agent::start(directory.path(), &configuration(directory.path(), &patient, &job));
    loki.wait_for(|store| store.requests.len() >= 5, PATIENCE).await.unwrap();
    agent.terminate();
}

/// Longer than the minute of patience that these two are about.
const OVER_A_MINUTE: Duration = Duration::from_secs(150);

#[tokio::test(flavor = "multi_thread")]
async fn patience_with_streams_above_lokis_limit_ends_and_what_is_refused_is_counted_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits { max_streams: 2, ..Limits::any_time() });
    let lines = |from: usize| -> String {
        (from..from + 100).map(|number| format!("{{\"s\":\"s{}\",\"n\":{number}}}\n", number % 5)).collect()
    };
    let path = directory.path().join("app.log");
    fs::write(&path, lines(0)).unwrap();
    let job = format!(
        "- job_name: files\n  static_configs: [{{labels: {{__path__: '{}'}}}}]\n  pipeline_stages:\n  \
         - json: {{expressions: {{s: }}}}\n  - labels: {{s: }}\n",
        path.display()
    );
    let agent = Agent::start(directory.path(), &configuration(directory.path(), &client(&loki.url()), &job));
    agent.wait_for_metric_within(OVER_A_MINUTE, "tailwater_refused_entries_total", |entries| entries == 60.0);
    // Later ones are not waited for again.
    append(&path, &lines(100));
    agent.wait_for_metric("tailwater_refused_entries_total", |entries| entries == 120.0);
    agent.wait_for_metric("tailwater_sent_entries_total", |entries| entries == 80.0);
    agent.assert_nothing_is_missing();
    let (_, metrics) = agent.get("/metrics");
    assert!(metrics.contains("reason=\"stream_limit\"} 120"), "{metrics}");
    agent.terminate();
    assert_eq!(loki.entries().len(), 80);
    let letters = fs::read_to_string(directory.path().join("positions.dead-letter.jsonl")).unwrap();
    assert_eq!(letters.lines().filter(|letter| letter.contains("\"stream_limit\"")).count(), 120);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_gets_nothing_through_for_long_makes_the_agent_not_ready_until_it_does() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    loki.answer_all(Fault::Status(401, "no org id".to_owned()));
    let mut writer = Writer::new(&directory.path().join("app.log"), "app");
    writer.lines(100);
    let job = file_job(&format!("{}/*.log", directory.path().display()));
    let text = configuration(directory.path(), &client(&loki.url()), &job);
    let text = text.replace("http_listen_port: 0", "http_listen_port: 0, stalled_after: 5s");
    let agent = Agent::start(directory.path(), &text);
    agent.wait_for_metric("tailwater_push_retries_total", |pushes| pushes > 0.0);
    let (status, body) = agent.get("/ready");
    assert!(status == 200 && body.contains("warning: ") && body.contains("unauthorized"), "{body}");
    agent.wait_for_page_within(PATIENCE, "/ready", |(status, why)| {
        *status == 503 && why.contains("nothing gets through: unauthorized")
    });
    loki.heal();
    loki.wait_for(whole(&writer.expected), PATIENCE).await.unwrap();
    agent.wait_for_page_within(PATIENCE, "/ready", |(status, _)| *status == 200);
    agent.assert_nothing_is_missing();
    agent.terminate();
}
