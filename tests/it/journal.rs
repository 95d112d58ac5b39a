//! The systemd journal, read by the real program from directories that are written as journald does it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::agent::{Agent, PATIENCE, client, configuration, program};
use crate::support::fake_loki::{FakeLoki, Limits};
use crate::support::journal::{JournalWriter, Stamp};

const ID: u128 = 0x5eed;
const HOUR: u64 = 3_600_000_000;

/// Relabelling as most configurations have it.
const BY_UNIT: &str =
    "  relabel_configs:\n  - {source_labels: [__journal__systemd_unit], target_label: unit}\n";

struct Host {
    directory: tempfile::TempDir,
    loki: FakeLoki,
    /// Microseconds since 1970 when the test began.
    now: u64,
}

impl Host {
    fn new() -> Host {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
        Host { directory: tempfile::tempdir().unwrap(), loki: FakeLoki::start(Limits::any_time()), now }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("journal").join(name)
    }

    fn file(&self, name: &str) -> JournalWriter {
        JournalWriter::create(&self.path(name), ID << 64 | u128::from(name.len() as u64), ID)
    }

    fn configuration(&self, block: &str, job: &str) -> String {
        let path = self.path("").display().to_string();
        let job = format!("- job_name: logs\n  journal:\n    path: '{path}'\n{block}{job}");
        configuration(self.directory.path(), &client(&self.loki.url()), &job)
    }

    fn start(&self, block: &str, job: &str) -> Agent {
        Agent::start(self.directory.path(), &self.configuration(block, job))
    }

    fn stamp(&self, seqnum: u64) -> Stamp {
        Stamp { seqnum, boot: 7, monotonic: seqnum * 1000, realtime: self.now + seqnum }
    }

    /// An entry of a unit, with a message that is its number.
    fn add(&self, file: &mut JournalWriter, seqnum: u64) {
        let message = format!("MESSAGE={seqnum}");
        let unit = format!("_SYSTEMD_UNIT=u{}.service", seqnum % 3);
        file.append(self.stamp(seqnum), &[message.as_bytes(), unit.as_bytes(), b"PRIORITY=4"]);
    }

    /// systemd's text for the place of such an entry.
    fn cursor(&self, seqnum: u64, realtime: u64) -> String {
        format!(
            "s={ID:032x};i={seqnum:x};b={:032x};m={:x};t={realtime:x};x={:x}",
            7,
            seqnum * 1000,
            seqnum ^ realtime
        )
    }

    async fn arrived(&self, count: usize) -> Vec<String> {
        self.loki.wait_for(|store| store.entries.len() >= count, PATIENCE).await.unwrap();
        let mut entries: Vec<_> =
            self.loki.entries().iter().map(|entry| (entry.timestamp_ns, entry.text())).collect();
        entries.sort();
        entries.into_iter().map(|(_, text)| text).collect()
    }

    fn positions(&self) -> String {
        fs::read_to_string(self.directory.path().join("positions.yaml")).unwrap_or_default()
    }
}

fn numbers(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn b_jour_1_entries_that_relabelling_keeps_arrive_with_the_labels_it_gives() {
    let host = Host::new();
    let mut file = host.file("system.journal");
    for number in 0..10 {
        let code = format!("CODE_FILE=journaltarget_test.go{}", if number == 9 { "x" } else { "" });
        file.append(
            host.stamp(number),
            &[b"MESSAGE=ping", code.as_bytes(), format!("N={number}").as_bytes()],
        );
    }
    let job = "  relabel_configs:\n  - {source_labels: [__journal_code_file], action: keep, regex: journaltarget_test\\.go}\n\
               \x20 - {source_labels: [__journal_code_file], target_label: code_file}\n";
    let agent = host.start("    labels: {job: journal}\n", job);
    assert_eq!(host.arrived(9).await, ["ping"; 9]);
    let entry = &host.loki.entries()[0];
    assert_eq!(&*entry.label_text, r#"{code_file="journaltarget_test.go", job="journal"}"#);
    assert_eq!(entry.timestamp_ns, host.now as i64 * 1000);
    agent.wait_for_metric("tailwater_lines_read_total", |read| read == 10.0);
    assert_eq!(agent.metric("tailwater_lines_dropped_total{reason=\"relabel\"}"), 1.0);
    agent.assert_nothing_is_missing();
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn b_jour_2_entries_without_a_message_or_without_labels_are_dropped_and_counted() {
    let host = Host::new();
    let mut file = host.file("system.journal");
    for number in 0..20 {
        let name = if number % 2 == 0 { "MESSAGE" } else { "OTHER" };
        file.append(host.stamp(number), &[format!("{name}={number}").as_bytes(), b"CODE_FILE=a"]);
    }
    let agent = host.start("", "");
    assert!(agent.log().contains("all of them will be dropped"), "{}", agent.log());
    agent.wait_for_metric("tailwater_lines_dropped_total", |dropped| dropped == 20.0);
    assert_eq!(agent.metric("tailwater_lines_dropped_total{reason=\"no_message\"}"), 10.0);
    assert_eq!(agent.metric("tailwater_lines_dropped_total{reason=\"empty_labels\"}"), 10.0);
    agent.assert_nothing_is_missing();
    // The place moves over them all the same.
    let cursor = host.cursor(19, host.now + 19);
    agent.terminate();
    assert!(host.positions().contains(&cursor), "{}", host.positions());
    assert!(host.loki.entries().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn b_jour_3_lines_are_all_fields_where_json_is_wanted() {
    let host = Host::new();
    let mut file = host.file("system.journal");
    let fields: [&[u8]; 3] = [b"OTHER_FIELD=foobar", b"CODE_FILE=a.go", b"MESSAGE=ping \xff<"];
    file.append(host.stamp(1), &fields);
    file.append(host.stamp(2), &fields[..1]);
    let agent = host.start("    json: true\n    labels: {job: journal}\n", "");
    let expected = [
        r#"{"CODE_FILE":"a.go","MESSAGE":"ping \ufffd\u003c","OTHER_FIELD":"foobar"}"#,
        r#"{"OTHER_FIELD":"foobar"}"#,
    ];
    assert_eq!(host.arrived(2).await, expected);
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn b_jour_5_a_position_of_promtail_is_used_unless_it_is_older_than_max_age() {
    for (hours, expected) in [(1, 6..9), (8, 3..9)] {
        let host = Host::new();
        let mut file = host.file("system.journal");
        for number in 1..9 {
            // The first of them 20 hours ago, the third 6 hours, the fifth when Promtail stopped.
            let age = match number {
                1 | 2 => 20 * HOUR,
                3 | 4 => 6 * HOUR,
                _ => HOUR,
            };
            let realtime = host.now - age + number;
            let stamp = Stamp { realtime, ..host.stamp(number) };
            file.append(stamp, &[format!("MESSAGE={number}").as_bytes(), b"PRIORITY=3"]);
        }
        let cursor = host.cursor(5, host.now - hours * HOUR + if hours == 1 { 5 } else { 0 });
        fs::write(
            host.directory.path().join("positions.yaml"),
            format!("positions:\n  cursor-logs: {cursor}\n"),
        )
        .unwrap();
        let job = "  relabel_configs: [{source_labels: [__journal_priority_keyword], target_label: level}]\n";
        let agent = host.start("    max_age: 7h\n", job);
        assert_eq!(host.arrived(expected.clone().count()).await, numbers(expected));
        assert_eq!(&*host.loki.entries()[0].label_text, r#"{level="error"}"#);
        assert!(agent.terminate().0.success());
        let left = host.cursor(8, host.now - HOUR + 8);
        assert!(host.positions().contains(&format!("cursor-logs: \"{left}\"")), "{}", host.positions());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_repeats_no_entry_and_loses_none_and_rotation_neither() {
    let host = Host::new();
    let mut file = host.file("system.journal");
    let mut next = 1;
    for round in 0..4 {
        let agent = host.start("", BY_UNIT);
        (next..next + 10).for_each(|number| host.add(&mut file, number));
        host.arrived(next as usize + 9).await;
        // While it runs, and a user's file comes along.
        (next + 10..next + 15).for_each(|number| host.add(&mut file, number));
        fs::rename(host.path("system.journal"), host.path(&format!("system@{round}.journal"))).unwrap();
        file.archive();
        file = host.file("system.journal");
        let mut user = host.file(&format!("user-{round}.journal"));
        host.add(&mut user, next + 15);
        host.add(&mut file, next + 16);
        assert_eq!(host.arrived(next as usize + 16).await, numbers(1..next + 17));
        agent.assert_nothing_is_missing();
        agent.terminate();
        // While it does not run.
        (next + 17..next + 20).for_each(|number| host.add(&mut file, number));
        next += 20;
    }
    let agent = host.start("", BY_UNIT);
    assert_eq!(host.arrived(next as usize - 1).await, numbers(1..next));
    assert_eq!(agent.metric("tailwater_source_errors_total{source=\"journal\"}"), 0.0);
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_moment_loses_nothing_and_leaves_nothing_twice_at_loki() {
    let host = Host::new();
    let mut file = host.file("system.journal");
    (1..30_001).for_each(|number| host.add(&mut file, number));
    for count in [1, 5000, 12_000, 20_000] {
        let agent = host.start("", BY_UNIT);
        host.arrived(count).await;
        agent.kill();
    }
    let agent = host.start("", BY_UNIT);
    host.arrived(30_000).await;
    host.add(&mut file, 30_001);
    let entries = host.arrived(30_001).await;
    assert!(entries == numbers(1..30_002), "{} entries", entries.len());
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_goes_on_where_the_job_was() {
    let host = Host::new();
    let mut file = host.file("system.journal");
    (1..2000).for_each(|number| host.add(&mut file, number));
    let agent = host.start("", BY_UNIT);
    host.arrived(1).await;
    let text = host.configuration("    labels: {more: 'yes'}\n", BY_UNIT);
    fs::write(host.directory.path().join("tailwater.yaml"), text).unwrap();
    agent.signal("HUP");
    agent.wait_for_log("the configuration is in force");
    host.add(&mut file, 2000);
    assert_eq!(host.arrived(2000).await, numbers(1..2001));
    let last = host.loki.entries().into_iter().find(|entry| entry.text() == "2000").unwrap();
    assert_eq!(&*last.label_text, r#"{more="yes", unit="u2.service"}"#);
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hosts_journal_that_is_mounted_read_only_is_read_whatever_machine_it_is_of() {
    let host = Host::new();
    let machine = "00112233445566778899aabbccddeeff";
    let mut file = host.file(&format!("{machine}/system.journal"));
    host.add(&mut file, 1);
    let directory = host.path(machine);
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(directory.join("system.journal"), fs::Permissions::from_mode(0o444)).unwrap();
    let agent = host.start("", BY_UNIT);
    host.arrived(1).await;
    host.add(&mut file, 2);
    assert_eq!(host.arrived(2).await, numbers(1..3));
    agent.terminate();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_comes_later_is_read_and_one_that_is_damaged_stops_nothing() {
    let host = Host::new();
    let agent = host.start("", BY_UNIT);
    agent.wait_for_log("the journal cannot be read, trying again");
    fs::create_dir_all(host.path("")).unwrap();
    fs::write(host.path("system@bad.journal"), vec![b'x'; 10_000]).unwrap();
    let mut file = host.file("system.journal");
    host.add(&mut file, 1);
    assert_eq!(host.arrived(1).await, ["1"]);
    agent.wait_for_log("no journal file at byte 0");
    assert!(agent.metric("tailwater_source_errors_total{source=\"journal\"}") > 0.0);
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_term_of_matches_that_makes_no_sense_is_refused_with_its_place() {
    let host = Host::new();
    let file = host.directory.path().join("wrong.yaml");
    for (matches, message) in [
        ("PRIORITY", "`PRIORITY` is no term of the form FIELD=VALUE"),
        ("PRIORITY=3 A=B=C", "`A=B=C` is no term of the form FIELD=VALUE"),
    ] {
        fs::write(&file, host.configuration(&format!("    matches: {matches}\n"), "")).unwrap();
        let output =
            program().args(["-check-syntax", &format!("-config.file={}", file.display())]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(message) && text.contains("wrong.yaml:"), "{text}");
    }
}
