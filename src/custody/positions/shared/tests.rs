//! Promtail's file beside our own, through starts, stops and damage of either.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::custody::positions::{Settings, Store};
use crate::custody::{DockerPoint, Head, RealDisk, Taken};

const ID: &str = "4f1c4f1c4f1c4f1c4f1c4f1c4f1c4f1c4f1c4f1c4f1c4f1c4f1c4f1c4f1c4f1c";

struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        let bench = Bench { directory: tempfile::tempdir().unwrap() };
        fs::write(bench.path("a.log"), vec![b'x'; 1000]).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn log(&self) -> String {
        self.path("a.log").display().to_string()
    }

    /// The ledger's key of a file.
    fn key(&self, name: &str) -> String {
        let metadata = fs::metadata(self.path(name)).unwrap();
        format!("file:{}:{}", metadata.dev(), metadata.ino())
    }

    fn taken(&self, name: &str) -> Taken {
        let metadata = fs::metadata(self.path(name)).unwrap();
        Taken { device: metadata.dev(), inode: metadata.ino(), head: Head { length: 3, crc: 5 } }
    }

    fn open(&self) -> (Store, Ledger) {
        let settings = Settings { file: self.path("positions.yaml"), sync_period: Duration::from_secs(1) };
        let ledger = Ledger::default();
        let store = Store::open(std::sync::Arc::new(RealDisk), &settings, &ledger).unwrap();
        (store, ledger)
    }

    /// Promtail's file, as Promtail writes it.
    fn promtail_writes(&self, entries: &[(&str, &str)]) {
        let lines = entries.iter().map(|(key, value)| format!("  {key}: \"{value}\"\n"));
        let text = format!("positions:\n{}", lines.collect::<String>());
        fs::write(self.path("positions.yaml"), text).unwrap();
    }

    fn written(&self) -> BTreeMap<String, String> {
        promtail::parse(&fs::read(self.path("positions.yaml")).unwrap()).unwrap().entries
    }
}

fn file(offset: u64) -> Cursor {
    Cursor::File { offset, head: Head::default() }
}

fn container(nanos: i64) -> Cursor {
    let all = DockerPoint { since: UnixNanos(nanos), frames: 2 };
    Cursor::Docker {
        all,
        stdout: None,
        stderr: Some(DockerPoint { since: UnixNanos(nanos - 600_000_000), frames: 0 }),
        file: None,
    }
}

fn position(ledger: &Ledger, key: &str) -> Option<Cursor> {
    ledger.find(key)?.read_position()
}

#[test]
fn what_promtail_knows_survives_our_saves_until_its_targets_are_found() {
    let bench = Bench::new();
    let log = bench.log();
    let cursor = format!("cursor-{ID}");
    bench.promtail_writes(&[
        (&log, "700"),
        (&cursor, "1795442401"),
        ("cursor-journal", "s=ab;i=5"),
        ("/gone", "x"),
    ]);
    let (store, ledger) = bench.open();
    assert!(store.saved_before().is_some(), "Promtail's time is the horizon");
    assert_eq!((ledger.len(), ledger.imported(&log).unwrap().offset), (0, 700));
    let before = bench.written();
    let (_, ledger) = bench.open();
    assert_eq!(ledger.imported(&log).unwrap().offset, 700);
    assert_eq!(bench.written(), before, "nobody has found anything yet");
    let Some(Cursor::Docker { all, .. }) = ledger.imported_container(ID) else { panic!("not known") };
    assert_eq!(all, DockerPoint { since: UnixNanos(1_795_442_401_000_000_000), frames: 0 });
    assert_eq!(before["cursor-journal"], "s=ab;i=5");
    assert_eq!(before["/gone"], "x", "whatever that is");
}

#[test]
fn promtails_file_holds_the_position_of_the_file_at_the_path_and_whole_seconds_of_containers() {
    let bench = Bench::new();
    let log = bench.log();
    fs::write(bench.path("a.log.1"), vec![b'x'; 2000]).unwrap();
    let (mut store, ledger) = bench.open();
    ledger.restore(bench.key("a.log"), &log, file(500));
    ledger.restore(bench.key("a.log.1"), &log, file(2000));
    ledger.restore(format!("{}#second", bench.key("a.log")), &log, file(3));
    ledger.restore(format!("docker:{ID}"), "api", container(1_795_442_401_500_000_000));
    assert!(store.save(&ledger, Vec::new).unwrap());
    let text = fs::read_to_string(bench.path("positions.yaml")).unwrap();
    assert!(
        text.ends_with(&format!("positions:\n  {log}: \"500\"\n  cursor-{ID}: \"1795442400\"\n")),
        "{text}"
    );
    let mode = fs::metadata(bench.path("positions.yaml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!store.save(&ledger, Vec::new).unwrap(), "nothing has changed");

    fs::rename(bench.path("a.log"), bench.path("a.log.2")).unwrap();
    fs::write(bench.path("a.log"), "another").unwrap();
    assert!(store.save(&ledger, Vec::new).unwrap());
    assert_eq!(bench.written().get(&log), None, "nothing of the new file has arrived");
}

#[test]
fn promtails_positions_replace_ours_where_it_has_run_since() {
    let bench = Bench::new();
    let (log, key, second) = (bench.log(), bench.key("a.log"), format!("{}#second", bench.key("a.log")));
    let (docker, cursor) = (format!("docker:{ID}"), format!("cursor-{ID}"));
    let (mut store, ledger) = bench.open();
    for key in [&key, &second] {
        ledger.restore(key.clone(), &log, file(500));
    }
    for key in [docker.clone(), format!("{docker}#second")] {
        ledger.restore(key, "api", container(1_795_442_401_500_000_000));
    }
    store.save(&ledger, Vec::new).unwrap();

    // Written again with the same content, as Promtail does when nothing happened: ours are more exact.
    bench.promtail_writes(&[(&log, "500"), (&cursor, "1795442400")]);
    let (_, ledger) = bench.open();
    assert!(ledger.imported(&log).is_none() && ledger.imported_container(ID).is_none());
    assert_eq!(position(&ledger, &docker), Some(container(1_795_442_401_500_000_000)));

    bench.promtail_writes(&[(&log, "800"), (&cursor, "1795442409")]);
    let (_, ledger) = bench.open();
    assert_eq!(position(&ledger, &docker), None);
    assert_eq!(position(&ledger, &format!("{docker}#second")), None, "it was at the same place");
    assert!(ledger.imported_container(ID).is_some());
    assert_eq!(bench.written()[&log], "800");
    ledger.settle_import(&log, Some(bench.taken("a.log")));
    let moved = Cursor::File { offset: 800, head: Head { length: 3, crc: 5 } };
    assert_eq!((position(&ledger, &key), position(&ledger, &second)), (Some(moved), Some(moved)));
}

#[test]
fn a_kill_between_our_file_and_promtails_leaves_ours_in_force() {
    let bench = Bench::new();
    let (log, key) = (bench.log(), bench.key("a.log"));
    let (mut store, ledger) = bench.open();
    ledger.restore(key.clone(), &log, file(500));
    store.save(&ledger, Vec::new).unwrap();
    let before = fs::read(bench.path("positions.yaml")).unwrap();
    ledger.restore(key.clone(), &log, file(800));
    store.save(&ledger, || vec![Value::from("what goes with 800")]).unwrap();
    fs::write(bench.path("positions.yaml"), before).unwrap();

    let (mut store, ledger) = bench.open();
    assert_eq!(position(&ledger, &key), Some(file(800)));
    assert_eq!(store.take_companions(), [Value::from("what goes with 800")]);
    assert!(ledger.imported(&log).is_none(), "nobody else has written it");
    assert_eq!(bench.written()[&log], "800", "it is made good");
}

#[test]
fn a_second_job_that_is_behind_is_not_moved_over_lines_that_nobody_has_sent() {
    let bench = Bench::new();
    let (log, key, second) = (bench.log(), bench.key("a.log"), format!("{}#second", bench.key("a.log")));
    let (mut store, ledger) = bench.open();
    ledger.restore(key.clone(), &log, file(500));
    ledger.restore(second.clone(), &log, file(300));
    store.save(&ledger, Vec::new).unwrap();
    bench.promtail_writes(&[(&log, "800")]);
    let (_, ledger) = bench.open();
    ledger.settle_import(&log, Some(bench.taken("a.log")));
    assert_eq!(position(&ledger, &second), Some(file(300)));
    assert_ne!(position(&ledger, &key), Some(file(500)));
}

#[test]
fn positions_of_a_version_before_are_not_replaced_by_what_promtail_left_before_them() {
    let bench = Bench::new();
    let (mut store, ledger) = bench.open();
    ledger.restore(bench.key("a.log"), &bench.log(), file(500));
    store.save(&ledger, Vec::new).unwrap();
    let state = fs::read_to_string(bench.path("positions.state")).unwrap();
    let (header, body) = state.split_once('\n').unwrap();
    let (header, _) = header.split_once(",\"promtail_crc32\"").unwrap();
    fs::write(bench.path("positions.state"), format!("{header}}}\n{body}")).unwrap();
    bench.promtail_writes(&[(&bench.log(), "20")]);
    let (_, ledger) = bench.open();
    assert!(ledger.imported(&bench.log()).is_none());
    assert_eq!(bench.written()[&bench.log()], "500");
}

#[test]
fn what_was_taken_over_is_forgotten_with_its_target_in_both_files() {
    let bench = Bench::new();
    bench.promtail_writes(&[(&bench.log(), "700"), (&format!("cursor-{ID}"), "5")]);
    let (mut store, ledger) = bench.open();
    ledger.restore(bench.key("a.log"), &bench.log(), file(500));
    assert_eq!(ledger.forget_unseen(Duration::from_secs(3600)), 0);
    let held = ledger.claim(&bench.key("a.log"), &bench.log());
    assert_eq!(ledger.forget_unseen(Duration::ZERO), 2);
    assert!(store.save(&ledger, Vec::new).unwrap());
    assert_eq!(
        bench.written(),
        BTreeMap::from([(bench.log(), "500".to_owned())]),
        "it is idle and still there"
    );
    drop(held);
    assert_eq!(ledger.forget_unseen(Duration::ZERO), 1);
    store.save(&ledger, Vec::new).unwrap();
    assert_eq!(bench.written(), BTreeMap::new());
    assert!(!fs::read_to_string(bench.path("positions.state")).unwrap().contains("a.log"));
}

#[test]
fn alloys_file_is_read_and_never_written() {
    let bench = Bench::new();
    let text = format!("positions:\n    ? path: {}\n      labels: '{{}}'\n    : \"700\"\n", bench.log());
    fs::write(bench.path("positions.yaml"), &text).unwrap();
    for _ in 0..2 {
        let (mut store, ledger) = bench.open();
        assert_eq!(ledger.imported(&bench.log()).unwrap().offset, 700);
        ledger.restore("file:1:2".to_owned(), "/b.log", file(5));
        store.save(&ledger, Vec::new).unwrap();
        assert_eq!(fs::read_to_string(bench.path("positions.yaml")).unwrap(), text);
    }
    // A run of Alloy in between counts as one of Promtail does.
    fs::write(bench.path("positions.yaml"), text.replace("700", "900")).unwrap();
    assert_eq!(bench.open().1.imported(&bench.log()).unwrap().offset, 900);
}

#[test]
fn a_file_for_promtail_that_cannot_be_written_keeps_nothing_else_from_being_saved() {
    let bench = Bench::new();
    let (mut store, ledger) = bench.open();
    fs::create_dir(bench.path("positions.yaml.tmp")).unwrap();
    ledger.restore(bench.key("a.log"), &bench.log(), file(500));
    assert!(store.save(&ledger, Vec::new).unwrap());
    assert_eq!((store.take_shared_failures(), store.take_shared_failures()), (1, 0));
    assert_eq!(position(&bench.open().1, &bench.key("a.log")), Some(file(500)));
}

#[test]
fn a_directory_is_refused_and_a_device_left_alone() {
    let bench = Bench::new();
    fs::create_dir(bench.path("positions.yaml")).unwrap();
    let settings = Settings { file: bench.path("positions.yaml"), sync_period: Duration::from_secs(1) };
    let error = Store::open(std::sync::Arc::new(RealDisk), &settings, &Ledger::default()).unwrap_err();
    assert!(error.to_string().contains("positions.yaml"), "{error}");
    fs::remove_dir(bench.path("positions.yaml")).unwrap();
    std::os::unix::fs::symlink("/dev/null", bench.path("positions.yaml")).unwrap();
    bench.open();
    assert!(fs::read_link(bench.path("positions.yaml")).is_ok());
}

/// The state that a stop in order leaves: offset 500, before it 400.
fn two_generations() -> (Bench, [(&'static str, Vec<u8>); 3]) {
    let bench = Bench::new();
    let (mut store, ledger) = bench.open();
    for offset in [400, 500] {
        ledger.restore(bench.key("a.log"), &bench.log(), file(offset));
        ledger.restore(format!("docker:{ID}"), "api", container(1_795_442_400_000_000_000 + offset as i64));
        store.save(&ledger, Vec::new).unwrap();
    }
    let names = ["positions.state", "positions.state.previous", "positions.yaml"];
    let files = names.map(|name| (name, fs::read(bench.path(name)).unwrap()));
    (bench, files)
}

/// Whatever is damaged, the file is begun where it was left or before.
fn check(bench: &Bench, what: &str) {
    let (_, ledger) = bench.open();
    let own = position(&ledger, &bench.key("a.log"));
    let imported = ledger.imported(&bench.log()).map(|imported| imported.offset);
    assert!(matches!(own, None | Some(Cursor::File { offset: 400 | 500, .. })), "{what}: {own:?}");
    assert!(matches!(imported, None | Some(500)), "{what}: {imported:?}");
    assert!(own.is_some() || imported.is_some(), "{what}: one of the other files has it");
    let since = position(&ledger, &format!("docker:{ID}")).or_else(|| ledger.imported_container(ID));
    let Some(Cursor::Docker { all, .. }) = since else { panic!("{what}: {since:?}") };
    assert!(all.since.seconds() <= 1_795_442_400, "{what}: {all:?}");
}

#[test]
fn no_damage_to_one_of_the_files_moves_a_position_forward_or_loses_it() {
    let (bench, files) = two_generations();
    let restore = || files.iter().for_each(|(name, whole)| fs::write(bench.path(name), whole).unwrap());
    for (name, whole) in &files {
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            let mut zeroed = whole.clone();
            zeroed[at..(at + 16).min(whole.len())].fill(0);
            for (what, damaged) in [("flipped", &flipped[..]), ("cut", &whole[..at]), ("zeroed", &zeroed)] {
                restore();
                fs::write(bench.path(name), damaged).unwrap();
                check(&bench, &format!("{name} {what} at {at}"));
            }
        }
    }
    let kept = RealDisk.list(bench.directory.path()).unwrap();
    assert!(kept.iter().filter(|name| name.contains(".damaged-")).count() <= 4, "{kept:?}");
}

#[test]
fn damage_is_counted_and_where_nothing_else_is_left_promtails_file_is_read() {
    let (bench, _) = two_generations();
    fs::write(bench.path("positions.state"), "{").unwrap();
    fs::write(bench.path("positions.state.previous"), [0; 100]).unwrap();
    let (store, ledger) = bench.open();
    assert_eq!(store.damaged(), 2);
    assert_eq!(ledger.imported(&bench.log()).unwrap().offset, 500);

    for name in ["positions.state", "positions.state.previous", "positions.yaml"] {
        fs::write(bench.path(name), "{").unwrap();
    }
    let (store, ledger) = bench.open();
    assert_eq!((store.damaged(), ledger.committed().len()), (3, 0));
}
