//! Files in other encodings, compressed, listed by other files, unreadable, with holes, and very many of them.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

use bzip2::write::BzEncoder;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::agent::{Agent, PATIENCE, client, configuration, file_job, program};
use crate::support::fake_loki::{FakeLoki, Fault, FaultKind, Limits};

struct Bench {
    directory: tempfile::TempDir,
    loki: FakeLoki,
}

impl Bench {
    fn new() -> Bench {
        Bench { directory: tempfile::tempdir().unwrap(), loki: FakeLoki::start(Limits::any_time()) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A job on files that a pattern matches, with more keys.
    fn job(&self, pattern: &str, more: &str) -> String {
        let labels = format!("{{labels: {{job: files, __path__: '{}'}}}}", self.path(pattern).display());
        format!("- {{job_name: files, static_configs: [{labels}]{more}}}")
    }

    fn configuration(&self, jobs: &str) -> String {
        configuration(self.directory.path(), &client(&self.loki.url()), jobs)
    }

    fn start(&self, jobs: &str) -> Agent {
        Agent::start(self.directory.path(), &self.configuration(jobs))
    }

    fn append(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(bytes.as_ref()).unwrap();
    }

    /// Puts a file in its place all at once.
    fn place(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path("temporary"), bytes).unwrap();
        fs::rename(self.path("temporary"), self.path(name)).unwrap();
    }

    /// Waits for so many lines; all that have arrived.
    async fn arrived(&self, count: usize) -> Vec<String> {
        self.loki.wait_for(|store| store.entries.len() >= count, PATIENCE).await.unwrap();
        self.loki.entries().iter().map(|entry| entry.text()).collect()
    }
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn utf_16le(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn numbered(range: std::ops::Range<u32>) -> String {
    range.map(|number| format!("line {number}\n")).collect()
}

const UNPACK: &str = ", decompression: {enabled: true}";

#[tokio::test(flavor = "multi_thread")]
async fn utf_16_is_split_after_decoding_and_resumed_in_the_middle() {
    let bench = Bench::new();
    bench.append("a.log", [&[0xFF, 0xFE][..], &utf_16le("größer\nzwei 😀\nhal")].concat());
    let job = bench.job("*.log", ", encoding: utf-16");
    let agent = bench.start(&job);
    assert_eq!(bench.arrived(3).await, ["größer", "zwei 😀", "hal"]);
    agent.terminate();
    // Half a character: the rest comes later.
    bench.append("a.log", &utf_16le("drei 😀\n")[..13]);
    let agent = bench.start(&job);
    bench.append("a.log", &utf_16le("drei 😀\n")[13..]);
    assert_eq!(bench.arrived(4).await[3], "drei 😀");
    agent.terminate();
    assert_eq!(bench.loki.entries().len(), 4);
}

#[test]
fn an_encoding_that_is_not_known_is_refused_at_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("c.yaml");
    let job = "- {job_name: a, encoding: utf-32, static_configs: [{labels: {__path__: /x}}]}";
    fs::write(&file, configuration(directory.path(), &client("http://127.0.0.1:9/push"), job)).unwrap();
    let (status, log) = Agent::spawn(&[&format!("-config.file={}", file.display())]).wait();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("c.yaml:7:") && log.contains("`utf-32` is no encoding that can be read"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_files_are_read_once_and_what_is_appended_or_replaced_too() {
    let bench = Bench::new();
    bench.place("a.gz", [gzip("one\ntwo\n"), gzip("three")].concat());
    let mut bz = BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bz.write_all(b"of bzip2").unwrap();
    bench.place("b.bz2", bz.finish().unwrap());
    let job = bench.job("*.{gz,bz2}", UNPACK);
    let agent = bench.start(&job);
    let mut lines = bench.arrived(4).await;
    lines.sort();
    assert_eq!(lines, ["of bzip2", "one", "three", "two"]);
    // A member more, and another file under the name.
    bench.append("a.gz", gzip("four\n"));
    assert_eq!(bench.arrived(5).await[4], "four");
    bench.place("b.bz2", gzip("of gzip\n"));
    assert_eq!(bench.arrived(6).await[5], "of gzip");
    agent.terminate();
    let agent = bench.start(&job);
    bench.append("a.gz", gzip("five\n"));
    assert_eq!(bench.arrived(7).await[6], "five");
    agent.terminate();
    assert_eq!(bench.loki.entries().len(), 7);
    let positions = fs::read_to_string(bench.path("positions.yaml")).unwrap();
    let a = format!("\n  {}: \"5\"\n", bench.path("a.gz").display());
    assert!(positions.contains(&a), "lines, as Promtail counts:\n{positions}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_file_is_read_on_after_a_kill_and_nothing_is_stored_twice() {
    let bench = Bench::new();
    bench.place("a.gz", gzip(&numbered(0..100_000)));
    let job = bench.job("a.gz", UNPACK);
    for _ in 0..3 {
        // Loki stores a push, and its answer gets lost.
        let hung = bench.loki.faults_met(FaultKind::Hang);
        bench.loki.heal();
        bench.loki.answer_next(1, Fault::StoreThenReset);
        bench.loki.answer_all(Fault::Hang);
        let client =
            client(&bench.loki.url()).replace("{url:", "{spool: {enabled: false}, batchsize: 100000, url:");
        let agent =
            Agent::start(bench.directory.path(), &configuration(bench.directory.path(), &client, &job));
        bench.loki.wait_for(|store| store.faults_met(FaultKind::Hang) > hung, PATIENCE).await.unwrap();
        agent.kill();
    }
    bench.loki.heal();
    let agent = bench.start(&job);
    let lines = bench.arrived(100_000).await;
    agent.terminate();
    assert!(lines.join("\n") + "\n" == numbered(0..100_000), "{} lines", lines.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_file_in_the_making_is_read_to_its_end_and_a_damaged_one_as_far_as_it_goes() {
    let bench = Bench::new();
    let packed = gzip(&numbered(0..50_000));
    bench.append("a.gz", &packed[..packed.len() / 2]);
    let agent = bench.start(&bench.job("*.gz", UNPACK));
    bench.arrived(10_000).await;
    bench.append("a.gz", &packed[packed.len() / 2..]);
    let lines = bench.arrived(50_000).await;
    assert!(lines.join("\n") + "\n" == numbered(0..50_000), "{} lines", lines.len());
    assert_eq!(agent.metric("tailwater_files_damaged_total"), 0.0);
    let mut damaged = gzip(&numbered(0..100));
    let length = damaged.len();
    // Its checksum.
    damaged[length - 8] ^= 1;
    bench.place("b.gz", damaged);
    bench.arrived(50_100).await;
    agent.wait_for_metric("tailwater_files_damaged_total", |count| count == 1.0);
    let (_, log) = agent.terminate();
    assert!(log.contains("compressed file is damaged"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_file_goes_on_after_the_lines_that_promtail_has_sent() {
    let bench = Bench::new();
    bench.place("a.gz", gzip("one\ntwo\nthree\n"));
    fs::write(
        bench.path("positions.yaml"),
        format!("positions:\n  {}: \"2\"\n", bench.path("a.gz").display()),
    )
    .unwrap();
    let agent = bench.start(&bench.job("*.gz", UNPACK));
    assert_eq!(bench.arrived(1).await, ["three"]);
    agent.terminate();
    assert_eq!(bench.loki.entries().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_a_few_bytes_that_unpacks_to_gigabytes_takes_no_memory() {
    let bench = Bench::new();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for _ in 0..300 {
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
    }
    encoder.write_all(b"\nlast\n").unwrap();
    bench.place("a.gz", encoder.finish().unwrap());
    let agent = bench.start(&bench.job("*.gz", UNPACK));
    assert_eq!(bench.arrived(2).await[1], "last");
    assert_eq!(agent.metric("tailwater_lines_truncated_total"), 1.0);
    let peak = agent.peak_memory_kib();
    agent.terminate();
    assert!(peak < 64 * 1024, "{peak} KiB at the peak");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_other_files_list_are_followed_as_those_say() {
    let bench = Bench::new();
    fs::create_dir(bench.path("targets")).unwrap();
    for name in ["a", "b", "c"] {
        bench.append(&format!("{name}.log"), format!("{name} 1\n"));
    }
    let list = |names: &str, label: &str| {
        let target = |name: &str| {
            let path = bench.path(&format!("{name}.log"));
            format!("- targets: [localhost]\n  labels: {{__path__: '{}', l: {label}}}\n", path.display())
        };
        names.split(' ').filter(|name| !name.is_empty()).map(target).collect::<String>()
    };
    let rule = "{source_labels: [__meta_filepath], regex: '.*/(.*)', target_label: from}";
    let job = format!(
        "- {{job_name: files, file_sd_configs: [{{files: ['{}']}}], relabel_configs: [{rule}]}}",
        bench.path("targets/*.yml").display()
    );
    let agent = bench.start(&job);
    bench.place("targets/t.yml", list("a b", "x"));
    bench.arrived(2).await;
    // One less, one more, noticed by the event: the interval is five minutes.
    bench.place("targets/t.yml", list("b c", "x"));
    bench.arrived(3).await;
    agent.wait_for_metric("tailwater_targets_active", |count| count == 2.0);
    bench.append("a.log", "a 2\n");
    // What is not understood changes nothing.
    bench.place("targets/t.yml", "- targets: [");
    agent.wait_for_metric("tailwater_target_files_failed_total", |count| count >= 1.0);
    bench.append("b.log", "b 2\n");
    bench.arrived(4).await;
    // Another label: the same place, another stream.
    bench.place("targets/t.yml", list("b c", "y"));
    agent.wait_for_log("groups=2");
    bench.append("c.log", "c 2\n");
    bench.arrived(5).await;
    agent.terminate();
    let entries = bench.loki.entries();
    let mut shown: Vec<String> = entries
        .iter()
        .map(|entry| format!("{} {} {}", entry.text(), entry.label("from"), entry.label("l")))
        .collect();
    shown.sort();
    assert_eq!(&shown[..3], ["a 1 t.yml x", "b 1 t.yml x", "b 2 t.yml x"]);
    assert_eq!(shown[3], "c 1 t.yml x");
    assert!(shown[4].starts_with("c 2 t.yml"), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_with_other_labels_go_on_where_the_file_was_read_to() {
    let bench = Bench::new();
    bench.append("a.log", "one\n");
    let list = |label: &str| {
        format!(
            r#"[{{"targets": ["x"], "labels": {{"__path__": "{}", "l": "{label}"}}}}]"#,
            bench.path("a.log").display()
        )
    };
    bench.place("t.json", list("x"));
    let job = format!(
        "- {{job_name: files, file_sd_configs: [{{files: ['{}']}}]}}",
        bench.path("*.json").display()
    );
    let agent = bench.start(&job);
    bench.arrived(1).await;
    bench.place("t.json", list("y"));
    let two = |log: &str| log.matches("msg=\"following file\"").count() == 2;
    while !two(&agent.log()) {
        agent.wait_for_metric("tailwater_targets_active", |count| count == 1.0);
    }
    bench.append("a.log", "two\n");
    bench.arrived(2).await;
    agent.terminate();
    let entries = bench.loki.entries();
    let shown: Vec<String> =
        entries.iter().map(|entry| format!("{} {}", entry.text(), entry.label("l"))).collect();
    assert_eq!(shown, ["one x", "two y"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_files_are_followed_with_few_descriptors() {
    let bench = Bench::new();
    let (files, limit) = (2000, 200);
    fs::create_dir(bench.path("logs")).unwrap();
    let name = |number: usize| format!("logs/{number}.log");
    for number in 0..files {
        bench.append(&name(number), format!("{number} first\n"));
    }
    let job = bench.job("logs/*.log", "");
    let agent = Agent::start_with_open_files(bench.directory.path(), &bench.configuration(&job), limit);
    bench.arrived(files).await;
    assert!(agent.open_inodes().len() < limit as usize, "{}", agent.open_inodes().len());
    // Those that were closed meanwhile are written to, and some are rotated at once.
    for number in 0..files {
        bench.append(&name(number), format!("{number} second\n"));
        if number % 10 == 0 {
            fs::rename(bench.path(&name(number)), bench.path(&format!("{}.1", name(number)))).unwrap();
            bench.append(&name(number), format!("{number} third\n"));
        }
    }
    let mut lines = bench.arrived(2 * files + files / 10).await;
    assert!(agent.metric("tailwater_open_files") <= agent.metric("tailwater_open_files_limit"));
    let threads = fs::read_dir(format!("/proc/{}/task", agent.id())).unwrap().count();
    assert!(threads < 40, "{threads} threads");
    agent.terminate();
    lines.sort();
    lines.dedup();
    assert_eq!((lines.len(), bench.loki.entries().len()), (2 * files + files / 10, 2 * files + files / 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_may_not_be_read_is_told_counted_and_read_when_it_may() {
    let bench = Bench::new();
    bench.append("a.log", "secret\n");
    let mode = |mode| fs::set_permissions(bench.path("a.log"), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o000);
    fs::set_permissions(bench.directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let file = bench.path("tailwater.yaml");
    fs::write(&file, bench.configuration(&bench.job("*.log", ""))).unwrap();
    let mut command = program();
    command.arg(format!("-config.file={}", file.display()));
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        // Root may read everything.
        command.uid(65534).gid(65534);
    }
    let agent = Agent::of(command);
    agent.wait_for_metric("tailwater_file_errors_total", |count| count >= 2.0);
    assert_eq!(agent.log().matches("file cannot be read").count(), 1, "{}", agent.log());
    mode(0o644);
    assert_eq!(bench.arrived(1).await, ["secret"]);
    // Who has it open goes on reading it.
    mode(0o000);
    bench.append("a.log", "more\n");
    assert_eq!(bench.arrived(2).await, ["secret", "more"]);
    agent.wait_for_log("file can be read again");
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_of_ten_gigabytes_is_one_line_that_is_cut() {
    let bench = Bench::new();
    bench.append("a.log", "first\n");
    File::options().write(true).open(bench.path("a.log")).unwrap().set_len(10 << 30).unwrap();
    bench.append("a.log", "\nlast\n");
    let agent = bench.start(&bench.job("*.log", ""));
    let lines = bench.arrived(3).await;
    assert_eq!((lines[0].as_str(), lines[2].as_str()), ("first", "last"));
    assert!(lines[1].starts_with("\0\0\0") && lines[1].ends_with("[cut by tailwater]"));
    assert_eq!(agent.metric("tailwater_lines_truncated_total"), 1.0);
    let peak = agent.peak_memory_kib();
    agent.terminate();
    assert!(peak < 64 * 1024, "{peak} KiB at the peak");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_pointed_elsewhere_is_followed_under_its_own_name() {
    let bench = Bench::new();
    let (link, temporary) = (bench.path("app.log"), bench.path("app.tmp"));
    let point = |target: &str| {
        symlink(bench.path(target), &temporary).unwrap();
        fs::rename(&temporary, &link).unwrap();
    };
    bench.append("1.txt", numbered(0..100));
    point("1.txt");
    let agent = bench.start(&bench.job("app.log", ""));
    bench.arrived(100).await;
    bench.append("2.txt", numbered(100..150));
    bench.append("1.txt", numbered(150..160));
    point("2.txt");
    bench.append("2.txt", numbered(160..200));
    let mut lines = bench.arrived(200).await;
    agent.terminate();
    lines.sort_by_key(|line| line[5..].parse::<u32>().unwrap());
    assert_eq!(lines.join("\n") + "\n", numbered(0..200));
    let name = link.display().to_string();
    assert!(bench.loki.entries().iter().all(|entry| entry.label("filename") == name));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_replaced_while_the_agent_is_down_is_read_from_its_beginning() {
    for replacement in ["much longer than what was there before\n", "1\n"] {
        let bench = Bench::new();
        bench.append("a.log", "one\ntwo\n");
        let job = bench.job("a.log", "");
        let agent = bench.start(&job);
        bench.arrived(2).await;
        agent.terminate();
        bench.place("a.log", replacement);
        let agent = bench.start(&job);
        assert_eq!(bench.arrived(3).await[2], replacement.trim_end());
        agent.terminate();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_last_line_without_a_newline_survives_the_rotation_and_a_removed_file_is_no_target_any_more() {
    let bench = Bench::new();
    bench.append("app.log", "one\r\nunfinished");
    let agent = bench.start(&file_job(&bench.path("app.log").display().to_string()));
    fs::rename(bench.path("app.log"), bench.path("app.log.1")).unwrap();
    bench.append("app.log", "two\n");
    let mut lines = bench.arrived(3).await;
    lines.sort();
    assert_eq!(lines, ["one\r", "two", "unfinished"]);
    fs::remove_file(bench.path("app.log")).unwrap();
    agent.wait_for_metric("tailwater_targets_active", |count| count == 0.0);
    agent.terminate();
}
