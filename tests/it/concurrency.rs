//! Several pushes of one client under way at once, each stream in order all the same.
//!
//! `TAILWATER_TEST_SEED` repeats the choices of the last one.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::agent::{Agent, PATIENCE, client, configuration, file_job};
use crate::docker::Random;
use crate::support::fake_loki::{FakeLoki, Fault, Limits};
use crate::support::ledger::{Expected, entry_key, verify};
use crate::writer::Writer;

/// A client with small batches, and one more option.
fn client_with(loki: &FakeLoki, option: &str) -> String {
    client(&loki.url()).replace("{url:", &format!("{{batchsize: 20000, {option}url:"))
}

/// Each file is a stream by its name.
fn text(directory: &Path, clients: &str) -> String {
    configuration(directory, clients, &file_job(&format!("{}/*.log", directory.display())))
}

fn writers(directory: &Path, count: usize) -> Vec<Writer> {
    let names = (0..count).map(|number| format!("app{number}"));
    names.map(|name| Writer::new(&directory.join(format!("{name}.log")), &name)).collect()
}

fn expected(writers: Vec<Writer>) -> Expected {
    let mut expected = Expected::new();
    writers.into_iter().for_each(|writer| expected.join(writer.expected));
    expected
}

/// Everything arrives, each stream in order, and none of them in two pushes at once; the most pushes at once.
async fn arrives(directory: &Path, loki: &FakeLoki, clients: &str, writers: Vec<Writer>) -> usize {
    let agent = Agent::start(directory, &text(directory, clients));
    let expected = expected(writers);
    loki.wait_for(|store| store.entries.len() >= expected.len(), PATIENCE).await.unwrap();
    verify(&expected, &loki.entries(), entry_key).assert_whole_once_in_order();
    assert_eq!(loki.overlaps(), [""; 0]);
    agent.assert_nothing_is_missing();
    agent.terminate();
    loki.most_at_once()
}

#[tokio::test(flavor = "multi_thread")]
async fn where_answers_take_their_time_several_pushes_are_under_way_and_no_stream_is_in_two() {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    loki.answer_all(Fault::Delay(Duration::from_millis(100)));
    let mut writers = writers(directory.path(), 12);
    writers.iter_mut().for_each(|writer| writer.lines(2000));
    let clients = client_with(&loki, "");
    let most = arrives(directory.path(), &loki, &clients, writers).await;
    assert!((4..=8).contains(&most), "{most} at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_one_push_at_a_time_gets_that() {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    loki.answer_all(Fault::Delay(Duration::from_millis(10)));
    let mut writers = writers(directory.path(), 12);
    writers.iter_mut().for_each(|writer| writer.lines(500));
    let clients = client_with(&loki, "concurrency: 1, ");
    assert_eq!(arrives(directory.path(), &loki, &clients, writers).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loki_that_is_slow_by_itself_gets_one_push_at_a_time() {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    loki.answer_all(Fault::Delay(Duration::from_millis(1200)));
    let mut writers = writers(directory.path(), 12);
    writers.iter_mut().for_each(|writer| writer.lines(50));
    let clients = client_with(&loki, "");
    assert_eq!(arrives(directory.path(), &loki, &clients, writers).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_agent_sends_one_push_for_all_of_its_streams() {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    let mut writers = writers(directory.path(), 20);
    writers.iter_mut().for_each(|writer| writer.lines(3));
    let clients = client(&loki.url()).replace("batchwait: 50ms", "batchwait: 3s");
    arrives(directory.path(), &loki, &clients, writers).await;
    assert_eq!(loki.requests().iter().map(|request| request.entries).collect::<Vec<_>>(), [60]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_on_disk_goes_several_pushes_at_once_as_well() {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    loki.answer_all(Fault::Status(503, "the ingesters are away".to_owned()));
    let mut writers = writers(directory.path(), 12);
    let clients = client_with(&loki, "");
    let agent = Agent::start(directory.path(), &text(directory.path(), &clients));
    // A little of each in turn, so that records that follow each other are of different streams.
    for round in 1..=10 {
        writers.iter_mut().for_each(|writer| writer.lines(200));
        agent.wait_for_metric("tailwater_lines_read_total", |lines| lines == f64::from(round * 2400));
    }
    agent.wait_for_metric("tailwater_spool_entries", |entries| entries == 24_000.0);
    assert_eq!(loki.most_at_once(), 1, "while it refuses");
    agent.terminate();
    loki.heal();
    loki.answer_all(Fault::Delay(Duration::from_millis(100)));
    let most = arrives(directory.path(), &loki, &clients, writers).await;
    assert!((3..=8).contains(&most), "{most} at once");
}

/// Applications that write until they are told to stop, the first a lot more than the others.
fn applications(writers: Vec<Writer>, stop: &Arc<AtomicBool>) -> Vec<thread::JoinHandle<Writer>> {
    let spawn = |(number, mut writer): (usize, Writer)| {
        let stop = stop.clone();
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                writer.lines(if number == 0 { 40 } else { 5 });
                thread::sleep(Duration::from_millis(20));
            }
            writer
        })
    };
    writers.into_iter().enumerate().map(spawn).collect()
}

/// What is asked of a client's pace lasts for a minute, so only some agents meet it.
fn misbehave(loki: &FakeLoki, random: &mut Random, limits_rate: bool) {
    loki.heal();
    for _ in 0..1000 {
        let fault = match random.below(60) {
            0 => Fault::Status(500, "internal error".to_owned()),
            1 => Fault::Status(413, String::new()),
            2 => Fault::StoreThenReset,
            3 => Fault::StoreThenStatus(502),
            4 => Fault::Reset,
            5 => Fault::ResetBeforeReading,
            6 if limits_rate => Fault::RateLimit429 { retry_after: None },
            _ => Fault::Delay(Duration::from_millis(random.below(150) as u64)),
        };
        loki.answer_next(1, fault);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_stream_keeps_its_order_over_delays_failures_reloads_and_kills() {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    let mut random = Random::seeded();
    let stop = Arc::new(AtomicBool::new(false));
    let applications = applications(writers(directory.path(), 12), &stop);
    let configured = |concurrency: usize| {
        text(directory.path(), &client_with(&loki, &format!("concurrency: {concurrency}, ")))
    };
    let mut agent = Agent::start(directory.path(), &configured(8));
    for round in 0..12 {
        misbehave(&loki, &mut random, round % 3 == 2);
        thread::sleep(Duration::from_millis(500 + random.below(1000) as u64));
        let concurrency = 2 + random.below(7);
        if round % 3 == 1 {
            agent.kill();
            // It has no answers to give to the next one's requests.
            agent = Agent::start(directory.path(), &configured(concurrency));
        } else {
            std::fs::write(directory.path().join("tailwater.yaml"), configured(concurrency)).unwrap();
            agent.signal("HUP");
        }
    }
    stop.store(true, Ordering::Relaxed);
    let writers = applications.into_iter().map(|application| application.join().unwrap()).collect();
    let expected = expected(writers);
    loki.heal();
    loki.wait_for(|store| store.entries.len() >= expected.len(), PATIENCE).await.unwrap();
    agent.assert_nothing_is_missing();
    println!("{} lines in {} pushes, {} at once", expected.len(), loki.requests().len(), loki.most_at_once());
    verify(&expected, &loki.entries(), entry_key).assert_whole_once_in_order();
    assert!(loki.most_at_once() > 2, "a run without any at once proves little");
    agent.terminate();
}
