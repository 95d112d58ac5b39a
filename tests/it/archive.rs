//! The archive as its users see it: lines go in by the agent, and come out by the command `archive`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::agent::{Agent, PATIENCE, client, configuration, program};
use crate::support::fake_loki::{FakeLoki, Limits};
use crate::writer::Writer;

/// Lines with a service and a level, as bot-core writes them.
const STAGES: &str =
    "  pipeline_stages: [{json: {expressions: {service: , level: }}}, {labels: {service: , level: }}]";

struct Scene {
    directory: tempfile::TempDir,
    loki: FakeLoki,
    writer: Writer,
}

impl Scene {
    fn new() -> Scene {
        let directory = tempfile::tempdir().unwrap();
        let writer = Writer::new(&directory.path().join("app.log"), "app");
        Scene { loki: FakeLoki::start(Limits::any_time()), writer, directory }
    }

    fn store(&self) -> PathBuf {
        self.directory.path().join("archive")
    }

    /// A configuration with an archive; `more` are further keys of its block.
    fn configuration(&self, more: &str) -> String {
        let client = client(&self.loki.url());
        let retention = format!(
            "retention: {{tiers: [{{name: hot, until: 30d}}, {{name: warm, until: 60d, store: '{}'}}], host: web-1, {more}}}\n",
            self.store().display()
        );
        let path = self.directory.path().join("app.log");
        let job = format!(
            "- job_name: files\n  static_configs: [{{labels: {{job: files, __path__: '{}'}}}}]\n{STAGES}\n",
            path.display()
        );
        configuration(self.directory.path(), &client, &job) + &retention
    }

    fn start(&self, more: &str) -> Agent {
        Agent::start(self.directory.path(), &self.configuration(more))
    }

    /// What `archive` says, which must be all right.
    fn ask(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let store = format!("-store={}", self.store().display());
        program().arg("archive").args(arguments).arg(store).output().unwrap()
    }

    /// Asks until the archive has as many entries as lines were written.
    fn wait_for_all(&self) {
        let started = std::time::Instant::now();
        let wanted = self.writer.expected.len();
        loop {
            let found = self.ask(&["query", "-count"]);
            if found == wanted.to_string() {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{found} entries are found, {wanted} were written");
        }
    }

    /// Everything that was written is there once, and nothing else.
    #[track_caller]
    fn assert_whole(&self) {
        let exported = self.ask(&["export"]);
        let lines: Vec<String> = exported
            .lines()
            .map(|line| {
                let entry: serde_json::Value = serde_json::from_str(line).unwrap();
                entry["line"].as_str().unwrap().to_owned()
            })
            .collect();
        let written = fs::read_to_string(self.directory.path().join("app.log")).unwrap();
        let written: BTreeSet<&str> = written.lines().collect();
        let found: BTreeSet<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(lines.len(), found.len(), "some are there twice");
        assert_eq!(found, written);
    }
}

fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_found_while_the_agent_runs_when_it_has_stopped_and_after_a_kill() {
    let mut scene = Scene::new();
    let agent = scene.start("seal_age: 1h");
    scene.writer.lines(300);
    scene.wait_for_all();
    agent.wait_for_metric("tailwater_archive_log_entries", |entries| entries == 300.0);
    agent.assert_nothing_is_missing();
    assert_eq!(files(&scene.store(), "parquet"), Vec::<PathBuf>::new(), "nothing is sealed yet");
    scene.assert_whole();

    assert!(agent.terminate().0.success());
    assert!(scene.ask(&["ls"]).ends_with("not sealed yet: 0 lines"), "{}", scene.ask(&["ls"]));
    assert_eq!(files(&scene.store(), "parquet").len(), 1, "one day, one service");
    scene.assert_whole();

    // Objects are made all the time while it is killed again and again.
    for round in 0..6 {
        let agent = scene.start("seal_age: 20ms");
        scene.writer.lines(200);
        agent.wait_for_metric("tailwater_archive_received_entries_total", |entries| {
            entries >= f64::from(round) * 30.0
        });
        agent.kill();
    }
    let agent = scene.start("seal_age: 20ms");
    scene.wait_for_all();
    agent.wait_for_metric("tailwater_archive_log_entries", |entries| entries == 0.0);
    agent.assert_nothing_is_missing();
    assert!(agent.terminate().0.success());
    scene.assert_whole();
    assert!(scene.ask(&["verify"]).ends_with("are whole, 0 are not"));
    assert_eq!(files(&scene.store().join(".tmp"), "parquet"), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_are_answered_by_labels_line_time_and_number() {
    let mut scene = Scene::new();
    let agent = scene.start("seal_age: 50ms");
    for (service, level, text) in [
        ("api", "INFO", "started"),
        ("api", "ERROR", "failed: x"),
        ("db", "ERROR", "failed: y"),
        ("db", "INFO", "idle"),
    ] {
        scene
            .writer
            .raw(&format!("{{\"service\":\"{service}\",\"level\":\"{level}\",\"message\":\"{text}\"}}\n"));
    }
    agent.wait_for_metric("tailwater_archive_entries_total", |entries| entries == 4.0);
    let raw = |arguments: &[&str]| {
        let mut all = vec!["query", "-o", "raw"];
        all.extend(arguments);
        let mut messages = Vec::new();
        for line in scene.ask(&all).lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            messages.push(line["message"].as_str().unwrap().to_owned());
        }
        messages
    };
    assert_eq!(raw(&[]), ["idle", "failed: y", "failed: x", "started"], "the newest first");
    assert_eq!(raw(&["-forward", "-limit=3"]), ["started", "failed: x", "failed: y"]);
    assert_eq!(raw(&[r#"{level="ERROR"} |= "failed""#, "--limit", "1"]), ["failed: y"]);
    assert_eq!(raw(&[r#"{service="api"} != "started""#]), ["failed: x"]);
    assert_eq!(raw(&[r#"{service=~"api|db"} |~ "x|idle" !~ "idle""#, "--since", "1h"]), ["failed: x"]);
    assert_eq!(raw(&["--to", "2020-01-01"]), Vec::<String>::new());
    assert_eq!(raw(&["--from", "2020-01-01", "--until", "2999-01-01T00:00:00Z"]).len(), 4);
    assert_eq!(scene.ask(&["query", r#"{level="ERROR"}"#, "-count"]), "2");
    let json: serde_json::Value =
        serde_json::from_str(&scene.ask(&["query", "-o=json", "-limit=1"])).unwrap();
    assert_eq!(json["labels"]["service"], "db");
    assert_eq!(json["labels"]["job"], "files");
    let logfmt = scene.ask(&["query", "-o", "logfmt", "-limit", "1"]);
    assert!(logfmt.contains(" level=INFO service=db line=\"{"), "{logfmt}");
    let paths: Vec<String> = files(&scene.store(), "parquet")
        .iter()
        .map(|path| path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert!(
        paths.contains(&"service=api".to_owned()) && paths.contains(&"service=db".to_owned()),
        "{paths:?}"
    );
    let listed: serde_json::Value = serde_json::from_str(&scene.ask(&["ls", "-o", "json"])).unwrap();
    let lines: u64 =
        listed["objects"].as_array().unwrap().iter().map(|row| row["lines"].as_u64().unwrap()).sum();
    assert_eq!((lines, listed["unsealed_lines"].as_u64()), (4, Some(0)));
    // Where the configuration is named, the store need not be.
    let file = format!("-config.file={}/tailwater.yaml", scene.directory.path().display());
    let output = program().args(["archive", "ls", &file]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("warm   "), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_keeps_streams_out_of_the_archive_or_in_objects_of_their_own() {
    let mut scene = Scene::new();
    let rules =
        r#"rules: [{match: '{level="TRACE"}', until: 0}, {match: '{level=~"DEBUG|TRACE"}', until: 7d}]"#;
    let agent = scene.start(rules);
    for level in ["INFO", "DEBUG", "TRACE"] {
        scene.writer.raw(&format!("{{\"service\":\"api\",\"level\":\"{level}\"}}\n"));
    }
    agent.wait_for_metric("tailwater_archive_log_entries", |entries| entries == 3.0);
    let file = format!("-config.file={}/tailwater.yaml", scene.directory.path().display());
    let counted = program().args(["archive", "query", "-count", &file]).output().unwrap();
    assert_eq!(counted.stdout, b"2\n", "also of what is not sealed");
    assert!(agent.terminate().0.success());
    let names: Vec<String> = files(&scene.store(), "parquet")
        .iter()
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(names.len(), 2);
    assert!(names.iter().any(|name| name.ends_with("-604800s")), "{names:?}");
    assert_eq!(scene.ask(&["query", "-count"]), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_wait_for_an_archive_that_cannot_be_written_and_loki_gets_what_was_read() {
    let mut scene = Scene::new();
    let agent = scene.start("seal_age: 50ms");
    scene.writer.lines(100);
    agent.wait_for_metric("tailwater_archive_entries_total", |entries| entries == 100.0);
    let (log, away) = (scene.store().join(".wal"), scene.store().join(".away"));
    fs::rename(&log, &away).unwrap();
    scene.writer.lines(100);
    agent.wait_for_page_within(PATIENCE, "/ready", |(status, body)| {
        *status == 503 && body.contains("log of the archive")
    });
    scene.loki.wait_for(|store| store.entries.len() == 200, PATIENCE).await.unwrap();
    assert!(agent.metric_sum("tailwater_archive_errors_total") >= 1.0);
    assert_eq!(agent.metric("tailwater_archive_in_flight_entries"), 100.0);
    fs::rename(&away, &log).unwrap();
    agent.wait_for_page_within(PATIENCE, "/ready", |(status, _)| *status == 200);
    scene.wait_for_all();

    // Objects cannot be written: entries stay in the log, and are found.
    let partial = scene.store().join(".tmp");
    agent.wait_for_metric("tailwater_archive_log_entries", |entries| entries == 0.0);
    fs::remove_dir(&partial).unwrap();
    fs::write(&partial, "").unwrap();
    scene.writer.lines(100);
    agent.wait_for_page_within(PATIENCE, "/ready", |(status, body)| {
        *status == 503 && body.contains("archive: lines wait in its log")
    });
    scene.wait_for_all();
    assert_eq!(agent.metric("tailwater_archive_in_flight_entries"), 0.0, "sources do not wait for that");
    fs::remove_file(&partial).unwrap();
    fs::create_dir(&partial).unwrap();
    agent.wait_for_page_within(PATIENCE, "/ready", |(status, _)| *status == 200);
    agent.wait_for_metric("tailwater_archive_log_entries", |entries| entries == 0.0);
    agent.assert_nothing_is_missing();
    assert!(agent.terminate().0.success());
    scene.assert_whole();
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_named_and_what_is_left_is_still_found() {
    let mut scene = Scene::new();
    let agent = scene.start("seal_age: 1h");
    for service in ["a", "b", "c", "d", "e"] {
        (0..50)
            .for_each(|number| scene.writer.raw(&format!("{{\"service\":\"{service}\",\"n\":{number}}}\n")));
    }
    agent.wait_for_metric("tailwater_archive_log_entries", |entries| entries == 250.0);
    assert!(agent.terminate().0.success());
    assert!(scene.ask(&["verify"]).ends_with("5 objects with 250 lines are whole, 0 are not"));
    let objects = files(&scene.store(), "parquet");
    let mut bytes = fs::read(&objects[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&objects[0], &bytes).unwrap();
    fs::write(&objects[1], b"short").unwrap();
    fs::remove_file(objects[2].with_extension("json")).unwrap();
    fs::write(objects[3].with_extension("json"), "{}").unwrap();
    let said = scene.run(&["verify"]);
    assert_eq!(said.status.code(), Some(1));
    let said = String::from_utf8(said.stdout).unwrap();
    for (object, problem) in objects.iter().zip(["its SHA-256 is", "it has 5 bytes", "it has no manifest"]) {
        assert!(said.contains(&format!("{}: {problem}", object.display())), "{said}");
    }
    assert!(said.contains(&format!("{}: ", objects[3].with_extension("json").display())), "{said}");
    let said = scene.run(&["query", "-count"]);
    assert_eq!((said.status.code(), said.stdout.as_slice()), (Some(1), b"50\n".as_slice()));
    let said = String::from_utf8(said.stderr).unwrap();
    for broken in [&objects[0], &objects[1], &objects[3].with_extension("json")] {
        assert!(said.contains(&broken.display().to_string()), "{said}");
    }
}

#[test]
fn what_cannot_be_asked_is_refused_in_words() {
    let directory = tempfile::tempdir().unwrap();
    let store = format!("-store={}", directory.path().display());
    let say = |arguments: &[&str]| {
        let output = program().arg("archive").args(arguments).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    for (arguments, code, piece) in [
        (vec![], 2, "needs a word"),
        (vec!["find"], 2, "cannot `find`"),
        (vec!["query", "{a=b}", &store], 2, "expected a double-quoted string"),
        (vec!["query", "a", "b"], 2, "one word too many"),
        (vec!["query", "-since=x", &store], 2, "no duration"),
        (vec!["query", "-from=x", &store], 2, "no time"),
        (vec!["query", "-o=yaml"], 2, "one of text, json, raw, logfmt"),
        (vec!["query", "-store=/nowhere/at/all"], 1, "there is no archive in /nowhere/at/all"),
        (vec!["-store=x", "-job=y"], 2, "-job is a flag of the command inspect"),
    ] {
        let (status, said) = say(&arguments);
        assert!(status == code && said.contains(piece), "{arguments:?}: {status} {said}");
    }
    let (code, said) = {
        let output = program().args(["-limit=1"]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert!(code == Some(2) && said.contains("-limit is a flag of the command archive"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_of_one_agent_and_a_reader_that_goes_away_ends_it_quietly() {
    let mut scene = Scene::new();
    let agent = scene.start("seal_age: 1h");
    scene.writer.lines(3000);
    scene.wait_for_all();
    let other = tempfile::tempdir().unwrap();
    let file = other.path().join("tailwater.yaml");
    let text = scene.configuration("").replace(
        &format!("'{}/positions.yaml'", scene.directory.path().display()),
        &format!("'{}/positions.yaml'", other.path().display()),
    );
    fs::write(&file, text).unwrap();
    let (status, log) = Agent::spawn(&[&format!("-config.file={}", file.display())]).wait();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("is in use by another process") && log.contains("no other agent has"), "{log}");

    let mut command: Command = program();
    command.args(["archive", "export", &format!("-store={}", scene.store().display())]);
    let mut export = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::with_capacity(64, export.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let output = export.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert!(agent.terminate().0.success());
}

/// What DuckDB and pyarrow make of a store, in one line of JSON.
const OTHER_ENGINES: &str = r#"
import sys, json, duckdb, pyarrow.parquet as pq, pyarrow.dataset as ds
store = sys.argv[1]
files = store + "/**/*.parquet"
con = duckdb.connect()
table = f"read_parquet('{files}', hive_partitioning = true)"
one = lambda sql: con.execute(sql).fetchone()
out = {}
out["count"], out["first"], out["last"] = one(f"select count(*), epoch_ns(min(timestamp)), epoch_ns(max(timestamp)) from {table}")
out["errors"] = one(f"select count(*) from {table} where service = 'api' and level = 'ERROR' and line like '%number 1%'")[0]
out["hosts"] = [row[0] for row in con.execute(f"select distinct host from {table}").fetchall()]
out["job"] = one(f"select distinct labels->>'$.job' from {table}")[0]
out["type"] = one(f"select typeof(timestamp) from {table} limit 1")[0]
table = ds.dataset(store, format="parquet", exclude_invalid_files=True, partitioning=None).to_table(columns=["timestamp", "line"])
out["arrow_count"], out["arrow_type"] = table.num_rows, str(table.schema.field("timestamp").type)
print(json.dumps(out))
"#;

#[tokio::test(flavor = "multi_thread")]
async fn other_engines_read_the_same_from_the_files() {
    let python = std::env::var("TAILWATER_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let able = Command::new(&python).args(["-c", "import duckdb, pyarrow"]).output();
    if !able.is_ok_and(|output| output.status.success()) {
        eprintln!(
            "SKIPPED: {python} has no duckdb and pyarrow; name one that has with TAILWATER_TEST_PYTHON"
        );
        return;
    }
    let mut scene = Scene::new();
    let agent = scene.start("seal_age: 100ms");
    for number in 0..2000 {
        let (service, level) = (["api", "a/b=c", "\u{e4} %"][number % 3], ["ERROR", "INFO"][number % 2]);
        let line =
            format!("{{\"service\":\"{service}\",\"level\":\"{level}\",\"message\":\"number {number}\"}}\n");
        scene.writer.raw(&line);
    }
    agent.wait_for_metric("tailwater_archive_entries_total", |entries| entries == 2000.0);
    assert!(agent.terminate().0.success());
    let output = Command::new(&python).args(["-c", OTHER_ENGINES]).arg(scene.store()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let exported: Vec<serde_json::Value> =
        scene.ask(&["export"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let nanos = |entry: Option<&serde_json::Value>| {
        let time: jiff::Timestamp = entry.unwrap()["timestamp"].as_str().unwrap().parse().unwrap();
        i64::try_from(time.as_nanosecond()).unwrap()
    };
    assert_eq!(found["count"], 2000);
    assert_eq!(found["first"], nanos(exported.first()));
    assert_eq!(found["last"], nanos(exported.last()));
    let errors = scene.ask(&["query", r#"{service="api", level="ERROR"} |= "number 1""#, "-count"]);
    assert_eq!(found["errors"].to_string(), errors);
    assert_eq!(found["hosts"], serde_json::json!(["web-1"]));
    assert_eq!(found["job"], "files");
    assert!(found["type"].as_str().unwrap().starts_with("TIMESTAMP"), "{found}");
    assert_eq!(
        (&found["arrow_count"], &found["arrow_type"]),
        (&2000.into(), &"timestamp[ns, tz=UTC]".into())
    );
}
