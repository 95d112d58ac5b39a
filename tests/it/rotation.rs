//! Logs that are rotated as fast as Docker's json-file driver can: what was opened before it was deleted arrives, once.
//!
//! `TAILWATER_ROTATION_SECONDS` says for how long (4 unless it is set), at 20 MB/s with a rotation every half second.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::agent::{Agent, PATIENCE, client, configuration, file_job, open_inodes};
use crate::support::fake_loki::{FakeLoki, Limits, Store};
use crate::support::ledger::{Expected, entry_key, verify};
use crate::writer::line;

const BYTES_A_SECOND: usize = 20_000_000;
const LINE_LENGTH: usize = 2000;
const LINES_A_TICK: u64 = (BYTES_A_SECOND / LINE_LENGTH / 20) as u64;
const TICK: Duration = Duration::from_millis(50);
const TICKS_A_FILE: u32 = 10;

fn ticks() -> u32 {
    let seconds =
        std::env::var("TAILWATER_ROTATION_SECONDS").ok().and_then(|seconds| seconds.parse::<u32>().ok());
    seconds.unwrap_or(4) * 20
}

/// One file, and which lines are in it.
struct Written {
    inode: u64,
    lines: Range<u64>,
    /// The agent has had it open.
    opened: bool,
}

/// A log as Docker's json-file driver keeps it.
struct Driver {
    path: PathBuf,
    file: File,
    max_file: usize,
    next: u64,
    /// All files there have been, the newest last.
    written: Arc<Mutex<Vec<Written>>>,
    agent: u32,
    /// Lines of files that the agent has never had open when they were deleted.
    unseen: Vec<Range<u64>>,
}

impl Driver {
    fn new(path: &Path, max_file: usize, agent: u32) -> Driver {
        let mut driver = Driver {
            path: path.to_owned(),
            file: OpenOptions::new().create(true).append(true).open(path).unwrap(),
            max_file,
            next: 0,
            written: Arc::default(),
            agent,
            unseen: Vec::new(),
        };
        driver.begin();
        driver
    }

    fn begin(&mut self) {
        self.file = OpenOptions::new().create(true).append(true).open(&self.path).unwrap();
        let inode = self.file.metadata().unwrap().ino();
        let written = Written { inode, lines: self.next..self.next, opened: false };
        self.written.lock().unwrap().push(written);
    }

    fn tick(&mut self) {
        let mut bytes = Vec::with_capacity(LINES_A_TICK as usize * LINE_LENGTH);
        for _ in 0..LINES_A_TICK {
            let line = line("app", self.next).replace("trade executed", &"x".repeat(LINE_LENGTH - 160));
            bytes.extend_from_slice(line.as_bytes());
            bytes.push(b'\n');
            self.next += 1;
        }
        self.file.write_all(&bytes).unwrap();
        self.written.lock().unwrap().last_mut().unwrap().lines.end = self.next;
    }

    fn rotate(&mut self) {
        let name = |number: usize| PathBuf::from(format!("{}.{number}", self.path.display()));
        if name(self.max_file - 1).exists() {
            // The next rename deletes it.
            see_open(self.agent, &self.written);
            let written = self.written.lock().unwrap();
            let deleted = &written[written.len() - self.max_file];
            assert_eq!(fs::metadata(name(self.max_file - 1)).unwrap().ino(), deleted.inode);
            if !deleted.opened {
                self.unseen.push(deleted.lines.clone());
            }
        }
        for number in (1..self.max_file - 1).rev() {
            if name(number).exists() {
                fs::rename(name(number), name(number + 1)).unwrap();
            }
        }
        fs::rename(&self.path, name(1)).unwrap();
        self.begin();
    }
}

/// Notes which of the files the agent has open. An inode is given to another file only when nobody has it open.
fn see_open(agent: u32, written: &Mutex<Vec<Written>>) {
    for inode in open_inodes(agent) {
        let mut written = written.lock().unwrap();
        if let Some(file) = written.iter_mut().rfind(|file| file.inode == inode) {
            file.opened = true;
        }
    }
}

async fn rotates(max_file: usize) {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    let job = file_job(&format!("{}/app.log", directory.path().display()));
    let agent = Agent::start(directory.path(), &configuration(directory.path(), &client(&loki.url()), &job));
    let mut driver = Driver::new(&directory.path().join("app.log"), max_file, agent.id());
    let (stop, written, process) = (Arc::new(AtomicBool::new(false)), driver.written.clone(), agent.id());
    let stopped = stop.clone();
    let watcher = thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            see_open(process, &written);
            thread::sleep(Duration::from_millis(20));
        }
    });
    let driver = tokio::task::spawn_blocking(move || {
        let started = Instant::now();
        for tick in 1..=ticks() {
            driver.tick();
            if tick % TICKS_A_FILE == 0 {
                driver.rotate();
            }
            thread::sleep((TICK * tick).saturating_sub(started.elapsed()));
        }
        driver
    });
    let driver = driver.await.unwrap();
    stop.store(true, Ordering::Relaxed);
    watcher.join().unwrap();
    let mut expected = Expected::new();
    expected.lines("app/0", 0..driver.next);
    let is_unseen = |seq: u64| driver.unseen.iter().any(|lines| lines.contains(&seq));
    let unseen: u64 = driver.unseen.iter().map(|lines| lines.end - lines.start).sum();
    let all = |store: &Store| store.entries.len() as u64 >= driver.next - unseen;
    let seen = loki.wait_for(all, PATIENCE * 3).await;
    let files_lost = agent.metric("tailwater_files_lost_total");
    let peak = agent.peak_memory_kib();
    agent.terminate();
    let report = verify(&expected, &loki.entries(), entry_key);
    let lost = report.missing.iter().filter(|(_, seq)| !is_unseen(*seq)).count();
    println!(
        "max-file {max_file}: {} lines in {} files, {} files ({unseen} lines) never open before they were deleted, \
         {lost} lines of others lost, {} doubled, {files_lost} files counted as lost, {peak} KiB at the peak",
        driver.next,
        driver.written.lock().unwrap().len(),
        driver.unseen.len(),
        report.duplicated.len()
    );
    assert!(lost == 0 && report.duplicated.is_empty(), "{report}");
    assert!(report.out_of_order_per_stream.is_empty(), "{report}");
    seen.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_docker_rotates_over_3_files_arrives_once_if_it_could_be_opened() {
    rotates(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_docker_rotates_over_10_files_arrives_once_if_it_could_be_opened() {
    rotates(10).await;
}

/// As logrotate's `copytruncate` does.
fn copy_and_truncate(path: &Path) {
    let name = |number: u32| PathBuf::from(format!("{}.{number}", path.display()));
    for number in (1..20).rev().filter(|number| name(*number).exists()) {
        fs::rename(name(number), name(number + 1)).unwrap();
    }
    fs::copy(path, format!("{}.1", path.display())).unwrap();
    OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_read_of_a_truncated_file_is_read_from_its_copy() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    let path = directory.path().join("app.log");
    let job = file_job(&path.display().to_string());
    let text = configuration(directory.path(), &client(&loki.url()), &job);
    let mut writer = crate::writer::Writer::new(&path, "app");
    let mut agent = Agent::start(directory.path(), &text);
    for round in 0..6 {
        writer.lines(200);
        let count = writer.expected.len();
        loki.wait_for(|store| store.entries.len() >= count, PATIENCE).await.unwrap();
        // The agent does not see what is written now, until it is truncated; every other time because it is down.
        if round % 2 == 0 {
            agent.signal("STOP");
        } else {
            assert!(agent.terminate().0.success());
            agent = Agent::of(Command::new("true"));
        }
        writer.lines(300);
        copy_and_truncate(&path);
        writer.lines(100);
        if round % 2 == 0 {
            agent.signal("CONT");
        } else {
            agent = Agent::start(directory.path(), &text);
        }
    }
    let count = writer.expected.len();
    let seen = loki.wait_for(|store| store.entries.len() >= count, PATIENCE).await;
    agent.terminate();
    verify(&writer.expected, &loki.entries(), entry_key).assert_whole_once_in_order();
    seen.unwrap();
    assert_eq!(loki.entries().len(), count, "nothing is stored under two times");
}

#[tokio::test(flavor = "multi_thread")]
async fn copytruncate_under_load_loses_nothing_that_is_in_a_copy() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    let path = directory.path().join("app.log");
    let job = file_job(&path.display().to_string());
    let agent = Agent::start(directory.path(), &configuration(directory.path(), &client(&loki.url()), &job));
    let mut writer = crate::writer::Writer::new(&path, "app");
    // Nothing is written between the copy and the truncation, so nothing is destroyed.
    for _ in 0..10 {
        writer.lines(3000);
        copy_and_truncate(&path);
    }
    writer.lines(10);
    let count = writer.expected.len();
    let seen = loki.wait_for(|store| store.entries.len() >= count, PATIENCE).await;
    agent.terminate();
    let report = verify(&writer.expected, &loki.entries(), entry_key);
    assert!(report.missing.is_empty() && report.duplicated.is_empty(), "{report}");
    seen.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn three_rotations_while_the_agent_is_down_lose_nothing_that_still_exists() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    let path = directory.path().join("app.log");
    let job = file_job(&path.display().to_string());
    let text = configuration(directory.path(), &client(&loki.url()), &job);
    let mut writer = crate::writer::Writer::new(&path, "app");
    for _ in 0..3 {
        let agent = Agent::start(directory.path(), &text);
        writer.lines(500);
        let half = writer.expected.len() - 250;
        loki.wait_for(|store| store.entries.len() >= half, PATIENCE).await.unwrap();
        agent.terminate();
        for _ in 0..3 {
            writer.lines(100);
            writer.rotate(10);
        }
        writer.lines(50);
    }
    let agent = Agent::start(directory.path(), &text);
    let count = writer.expected.len();
    let seen = loki.wait_for(|store| store.entries.len() >= count, PATIENCE).await;
    agent.terminate();
    verify(&writer.expected, &loki.entries(), entry_key).assert_whole_once_in_order();
    seen.unwrap();
    assert_eq!(loki.entries().len(), count, "nothing is stored under two times");
}
