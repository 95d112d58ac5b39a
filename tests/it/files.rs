//! Files that grow, rotate, shrink and vanish.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use crate::agent::{Agent, PATIENCE, client, configuration, file_job};
use crate::support::fake_loki::{FakeLoki, Fault, Limits, Store};
use crate::support::ledger::{Expected, entry_key, verify};
use crate::writer::{Writer, append};

fn start(directory: &Path, loki: &FakeLoki, pattern: &str) -> Agent {
    let job = file_job(&format!("{}/{pattern}", directory.display()));
    Agent::start(directory, &configuration(directory, &client(&loki.url()), &job))
}

fn whole(expected: &Expected) -> impl FnMut(&Store) -> bool + '_ {
    |store| store.entries.len() >= expected.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_by_rename_with_the_agent_stopped_and_started_in_between_loses_and_doubles_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    let mut writer = Writer::new(&directory.path().join("app.log"), "app");
    let mut agent = start(directory.path(), &loki, "app.log");
    for round in 0..12 {
        for _ in 0..5 {
            writer.lines(300);
            // The agent may be one file behind when the next rotation comes, not more: two files whose times are equal
            // to the millisecond cannot be put in order while they are being renamed.
            let before = writer.expected.len() - 350.min(writer.expected.len());
            loki.wait_for(|store| store.entries.len() >= before, PATIENCE).await.unwrap();
            writer.rotate(50);
            writer.lines(50);
        }
        // Every third round the agent is stopped, and the log rotates several times without it.
        if round % 3 == 2 {
            assert!(agent.terminate().0.success());
            for _ in 0..3 {
                writer.lines(100);
                writer.rotate(50);
            }
            agent = start(directory.path(), &loki, "app.log");
        }
    }
    let seen = loki.wait_for(whole(&writer.expected), PATIENCE).await;
    agent.terminate();
    verify(&writer.expected, &loki.entries(), entry_key).assert_whole_once_in_order();
    seen.unwrap();
    assert_eq!(loki.entries().len(), writer.expected.len(), "nothing is stored under two times");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_glob_that_matches_rotated_files_reads_them_once() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    let mut writer = Writer::new(&directory.path().join("app.log"), "app");
    let agent = start(directory.path(), &loki, "app.log*");
    for _ in 0..5 {
        writer.lines(200);
        writer.rotate(20);
        loki.wait_for(whole(&writer.expected), PATIENCE).await.unwrap();
    }
    agent.terminate();
    // Whoever starts anew finds six files, all read.
    let agent = start(directory.path(), &loki, "app.log*");
    writer.lines(1);
    loki.wait_for(whole(&writer.expected), PATIENCE).await.unwrap();
    agent.terminate();
    let report = verify(&writer.expected, &loki.entries(), entry_key);
    assert_eq!(loki.entries().len(), writer.expected.len(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_last_line_without_a_newline_is_sent_when_nothing_follows() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    let path = directory.path().join("app.log");
    append(&path, "first\nunfinished");
    let agent = start(directory.path(), &loki, "*.log");
    loki.wait_for(|store| store.entries.len() == 2, PATIENCE).await.unwrap();
    append(&path, " rest\nlast\n");
    loki.wait_for(|store| store.entries.len() == 4, PATIENCE).await.unwrap();
    agent.terminate();
    let lines: Vec<String> = loki.entries().iter().map(|entry| entry.text()).collect();
    assert_eq!(lines, ["first", "unfinished", " rest", "last"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_file_is_read_from_its_beginning() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    let path = directory.path().join("app.log");
    append(&path, "one\ntwo\nthree\n");
    let agent = start(directory.path(), &loki, "*.log");
    loki.wait_for(|store| store.entries.len() == 3, PATIENCE).await.unwrap();
    // As `cp app.log app.log.1 && : > app.log` does.
    fs::write(&path, "").unwrap();
    append(&path, "four\n");
    loki.wait_for(|store| store.entries.len() == 4, PATIENCE).await.unwrap();
    agent.terminate();
    assert_eq!(loki.entries().last().unwrap().text(), "four");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_truncated_and_filled_again_beyond_its_old_length_is_read_from_its_beginning() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    let path = directory.path().join("app.log");
    append(&path, "one\ntwo\n");
    let agent = start(directory.path(), &loki, "*.log");
    loki.wait_for(|store| store.entries.len() == 2, PATIENCE).await.unwrap();
    // The agent sees only the result: it is stopped while the file is truncated and grows.
    agent.signal("STOP");
    fs::write(&path, "three is longer\nthan what was there\n").unwrap();
    agent.signal("CONT");
    loki.wait_for(|store| store.entries.len() == 4, PATIENCE).await.unwrap();
    agent.terminate();
    assert_eq!(loki.entries()[2].text(), "three is longer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_still_written_to_after_its_rotation_is_read_on() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    let path = directory.path().join("app.log");
    append(&path, "before\n");
    let writer = OpenOptions::new().append(true).open(&path).unwrap();
    let agent = start(directory.path(), &loki, "app.log");
    loki.wait_for(|store| store.entries.len() == 1, PATIENCE).await.unwrap();
    fs::rename(&path, directory.path().join("app.log.1")).unwrap();
    append(&path, "of the new file\n");
    loki.wait_for(|store| store.entries.len() == 2, PATIENCE).await.unwrap();
    // The writer has not noticed yet.
    (&writer).write_all(b"late\n").unwrap();
    loki.wait_for(|store| store.entries.len() == 3, PATIENCE).await.unwrap();
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_empty_lines_does_not_take_the_memory() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    let lines = 3_000_000;
    fs::write(directory.path().join("app.log"), vec![b'\n'; lines]).unwrap();
    let job = format!(
        "- job_name: files\n  static_configs: [{{labels: {{__path__: '{}/app.log'}}}}]\n  pipeline_stages:\n  \
         - drop: {{expression: '^$'}}\n",
        directory.path().display()
    );
    let agent = Agent::start(directory.path(), &configuration(directory.path(), &client(&loki.url()), &job));
    append(&directory.path().join("app.log"), "end\n");
    loki.wait_for(|store| store.entries.len() == 1, PATIENCE).await.unwrap();
    let peak = agent.peak_memory_kib();
    agent.terminate();
    assert!(peak < 64 * 1024, "{peak} KiB at the peak");
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_files_with_a_backlog_are_read_by_turns_and_not_all_at_once_into_memory() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    let (files, lines) = (300, 100);
    for file in 0..files {
        let line = |number| format!("{file} {number} {}\n", "x".repeat(4000));
        let text: String = (0..lines).map(line).collect();
        fs::write(directory.path().join(format!("{file}.log")), text).unwrap();
    }
    let agent = start(directory.path(), &loki, "*.log");
    loki.wait_for(|store| store.entries.len() == files * lines, PATIENCE).await.unwrap();
    let peak = agent.peak_memory_kib();
    agent.terminate();
    assert!(peak < 96 * 1024, "{peak} KiB at the peak");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_directories_that_appear_later_are_found() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    let agent = start(directory.path(), &loki, "**/*.log");
    append(&directory.path().join("a.log"), "a\n");
    loki.wait_for(|store| store.entries.len() == 1, PATIENCE).await.unwrap();
    fs::create_dir_all(directory.path().join("x/y")).unwrap();
    append(&directory.path().join("x/y/b.log"), "b\n");
    loki.wait_for(|store| store.entries.len() == 2, PATIENCE).await.unwrap();
    // Removed and made again: another file under the same name.
    fs::remove_file(directory.path().join("a.log")).unwrap();
    append(&directory.path().join("a.log"), "c\n");
    loki.wait_for(|store| store.entries.len() == 3, PATIENCE).await.unwrap();
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_bytes_arrive_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    let lines: [&[u8]; 4] = [b"nul \0 inside", b"not utf-8: \xff\xfe\xc3(", b"", b"carriage return\r"];
    let content: Vec<u8> = lines.iter().flat_map(|line| [line, b"\n".as_slice()].concat()).collect();
    fs::write(directory.path().join("app.log"), content).unwrap();
    let agent = start(directory.path(), &loki, "*.log");
    loki.wait_for(|store| store.entries.len() == 4, PATIENCE).await.unwrap();
    agent.terminate();
    let arrived: Vec<Vec<u8>> = loki.entries().iter().map(|entry| entry.line.to_vec()).collect();
    assert_eq!(arrived, lines);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_line_is_cut_marked_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    append(&directory.path().join("app.log"), &format!("{}\nshort\n", "x".repeat(1_000_000)));
    let agent = start(directory.path(), &loki, "*.log");
    loki.wait_for(|store| store.entries.len() == 2, PATIENCE).await.unwrap();
    assert_eq!(agent.metric("tailwater_lines_truncated_total"), 1.0);
    agent.terminate();
    let entries = loki.entries();
    assert_eq!(entries[0].line.len(), 256 * 1024);
    assert!(entries[0].text().ends_with("x [cut by tailwater]"));
    assert_eq!(entries[1].text(), "short");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_jobs_on_one_file_each_keep_their_place() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    let path = directory.path().join("app.log");
    let job = |name: &str| {
        format!(
            "- {{job_name: {name}, static_configs: [{{labels: {{job: {name}, __path__: '{}'}}}}]}}\n",
            path.display()
        )
    };
    let text = configuration(directory.path(), &client(&loki.url()), &(job("a") + &job("b")));
    append(&path, "one\n");
    let agent = Agent::start(directory.path(), &text);
    loki.wait_for(|store| store.entries.len() == 2, PATIENCE).await.unwrap();
    agent.terminate();
    append(&path, "two\n");
    let agent = Agent::start(directory.path(), &text);
    loki.wait_for(|store| store.entries.len() == 4, PATIENCE).await.unwrap();
    agent.terminate();
    for job in ["a", "b"] {
        let of_job: Vec<String> = loki
            .entries()
            .iter()
            .filter(|entry| entry.label("job") == job)
            .map(|entry| entry.text())
            .collect();
        assert_eq!(of_job, ["one", "two"], "job {job}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_was_begun_when_it_was_read_stays_whole_however_long_what_is_before_it_has_to_wait() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    loki.answer_all(Fault::Status(503, "the ingesters are away".to_owned()));
    let mut many = Writer::new(&directory.path().join("many.log"), "many");
    many.lines(80_000);
    let clients = client(&loki.url()).replace("{url:", "{batchsize: 20000, spool: {enabled: false}, url:");
    let job = file_job(&format!("{}/*.log", directory.path().display()));
    let agent = Agent::start(directory.path(), &configuration(directory.path(), &clients, &job));
    let waited = "tailwater_handover_wait_seconds_total";
    // By then all stands still that there is room for.
    agent.wait_for_metric(waited, |seconds| seconds >= 3.0);
    let before = agent.metric_sum("tailwater_lines_read_total");
    append(&directory.path().join("few.log"), "first\nsecond\nbegun");
    agent.wait_for_metric("tailwater_lines_read_total", |lines| lines == before + 2.0);
    // Both files wait, for far longer than a line without an end is waited for.
    let so_far = agent.metric_sum(waited);
    agent.wait_for_metric(waited, |seconds| seconds >= so_far + 5.0);
    append(&directory.path().join("few.log"), " and ended\n");
    loki.heal();
    loki.wait_for(|store| store.entries.len() >= 80_003, PATIENCE).await.unwrap();
    let lines = loki.entries();
    let of_few = lines.iter().filter(|entry| !entry.line.starts_with(b"{"));
    let of_few: Vec<String> = of_few.map(|entry| String::from_utf8_lossy(&entry.line).into_owned()).collect();
    assert_eq!(of_few, ["first", "second", "begun and ended"]);
}
