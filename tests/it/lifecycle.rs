//! The life of archived lines with the real program: they move to the next tier, go when their time is over, and nothing goes
//! because of a clock that is wrong.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::agent::{Agent, configuration, program};
use crate::writer::append;

const STAGES: &str = "  pipeline_stages: [{json: {expressions: {service: , level: , time: }}}, {labels: {service: , level: }}, \
                      {timestamp: {source: time, format: RFC3339Nano}}]";

struct Scene {
    directory: tempfile::TempDir,
}

impl Scene {
    fn new() -> Scene {
        Scene { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn configuration(&self, more: &str) -> String {
        let retention = format!(
            "retention:\n  tiers: [{{name: hot, until: 30d}}, {{name: warm, until: 60d, store: '{}'}}, {{name: cold, until: 90d, store: '{}'}}]\n  \
             rules: [{{match: '{{level=\"DEBUG\"}}', until: 7d}}]\n  host: web-1\n  seal_age: 20ms\n  {more}\n",
            self.path("warm").display(),
            self.path("cold").display()
        );
        let job = format!(
            "- job_name: files\n  static_configs: [{{labels: {{__path__: '{}'}}}}]\n{STAGES}\n",
            self.path("app.log").display()
        );
        configuration(self.directory.path(), "", &job) + &retention
    }

    fn start(&self, more: &str) -> Agent {
        Agent::start(self.directory.path(), &self.configuration(more))
    }

    /// Writes a line of so many days ago.
    fn line(&self, days: i64, level: &str) {
        let time = jiff::Timestamp::now() - jiff::Span::new().hours(24 * days);
        let text =
            format!("{{\"time\":\"{time}\",\"service\":\"api\",\"level\":\"{level}\",\"days\":{days}}}\n");
        append(&self.path("app.log"), &text);
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let file = format!("-config.file={}", self.path("tailwater.yaml").display());
        program().arg("archive").args(arguments).arg(file).output().unwrap()
    }

    #[track_caller]
    fn ask(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// How old the lines are that are found, in days, by tier.
    fn days(&self, store: &str) -> Vec<i64> {
        let store = format!("-store={}", self.path(store).display());
        let output = program().args(["archive", "export", &store]).output().unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        let day = |line: &str| {
            let entry: serde_json::Value = serde_json::from_str(line).unwrap();
            let line: serde_json::Value = serde_json::from_str(entry["line"].as_str().unwrap()).unwrap();
            line["days"].as_i64().unwrap()
        };
        lines.lines().map(day).collect()
    }
}

/// A line for each object and what is done to it, without times and names.
fn steps(text: &str) -> Vec<String> {
    let step = |line: &str| {
        let action = line.split(' ').next().unwrap().to_owned();
        let reason = line.split_once(": ").map_or("", |(_, reason)| reason.split(',').next().unwrap());
        format!("{action} {reason}")
    };
    let mut steps: Vec<String> = text.lines().filter(|line| line.contains(".parquet: ")).map(step).collect();
    steps.sort();
    steps
}

fn everything(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(everything(&path));
        } else {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_move_to_the_next_tier_and_go_when_their_time_is_over_after_a_preview() {
    let scene = Scene::new();
    let agent = scene.start("lifecycle_interval: 0");
    let refused = scene.run(&["lifecycle"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("another process"), "{said}");
    for (days, level) in [(100, "INFO"), (70, "INFO"), (40, "INFO"), (0, "INFO"), (10, "DEBUG"), (3, "DEBUG")]
    {
        scene.line(days, level);
    }
    let sealed = |agent: &Agent, lines: f64| {
        agent.wait_for_metric("tailwater_archive_entries_total", |entries| entries == lines);
        agent.wait_for_metric("tailwater_archive_log_entries", |entries| entries == 0.0);
    };
    sealed(&agent, 6.0);
    // A second object of a day that is over.
    scene.line(40, "INFO");
    sealed(&agent, 7.0);
    let cold = scene.path("cold").display().to_string();
    let due = [
        "compact 2 objects".to_owned(),
        "expire its latest entry is 10 days old".to_owned(),
        "expire its latest entry is 100 days old".to_owned(),
        format!("move to {cold} in tier cold"),
    ];
    let previewed = scene.ask(&["lifecycle", "-dry-run"]);
    assert_eq!(steps(&previewed), due, "{previewed}");
    assert!(agent.terminate().0.success());

    // Somebody else's, in the same directory.
    let partition = fs::read_dir(scene.path("warm")).unwrap().map(|entry| entry.unwrap().path());
    let partition = partition.filter(|path| path.to_string_lossy().contains("date=")).min().unwrap();
    let foreign = partition.join("host=web-1/service=api/0123456789abcdef-0000000000000000.parquet");
    fs::write(&foreign, "theirs").unwrap();

    let before = everything(&scene.path("warm"));
    let previewed = scene.ask(&["lifecycle", "-dry-run"]);
    assert_eq!(steps(&previewed), due, "{previewed}");
    assert!(
        previewed.ends_with("7 objects, 4 steps due, 0 failed, 1 objects of others left alone"),
        "{previewed}"
    );
    assert_eq!(everything(&scene.path("warm")), before, "a preview changes nothing");
    let done = scene.ask(&["lifecycle"]);
    assert_eq!(steps(&done), due);
    assert!(done.ends_with("7 objects, 4 steps done, 0 failed, 1 objects of others left alone"), "{done}");
    assert_eq!(scene.days("warm"), [40, 40, 3, 0]);
    assert_eq!(scene.days("cold"), [70]);
    assert_eq!(scene.ask(&["query", "-count"]), "5");
    assert!(foreign.exists());
    fs::remove_file(foreign).unwrap();
    assert!(scene.ask(&["verify"]).ends_with("4 objects with 5 lines are whole, 0 are not"));
    assert!(steps(&scene.ask(&["lifecycle"])).is_empty(), "nothing is left to do");
    let wrong = scene.run(&["lifecycle", "-store=/x"]);
    assert_eq!(wrong.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_looks_after_its_archive_itself_while_it_is_asked() {
    let scene = Scene::new();
    let agent = scene.start("lifecycle_interval: 20ms");
    for round in 0..15 {
        for days in [100, 70, 40, 2, 1] {
            scene.line(days, "INFO");
        }
        agent.wait_for_metric("tailwater_archive_entries_total", |entries| entries >= f64::from(round * 5));
        assert_eq!(scene.run(&["query", "-count"]).status.code(), Some(0));
    }
    let step = |action: &str| format!("tailwater_archive_lifecycle_steps_total{{action=\"{action}\"}}");
    agent.wait_for_metric("tailwater_archive_entries_total", |entries| entries == 75.0);
    for action in ["expire", "move", "compact"] {
        agent.wait_for_metric(&step(action), |steps| steps > 0.0);
    }
    agent.wait_for_metric("tailwater_archive_log_entries", |entries| entries == 0.0);
    // Once nothing is due any more each line is there once.
    let started = std::time::Instant::now();
    while steps(&scene.ask(&["lifecycle", "-dry-run"])) != Vec::<String>::new() {
        assert!(started.elapsed() < crate::agent::PATIENCE, "something stays due");
    }
    let (mut warm, cold) = (scene.days("warm"), scene.days("cold"));
    warm.sort();
    assert_eq!(warm, [vec![1; 15], vec![2; 15], vec![40; 15]].concat());
    assert_eq!(cold, [70; 15]);
    let (status, ready) = agent.get("/ready");
    assert_eq!(status, 200, "{ready}");
    assert!(!ready.contains("lifecycle"), "{ready}");
    assert_eq!(agent.metric_sum("tailwater_archive_errors_total"), 0.0);
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn by_a_manifest_that_is_wrong_nothing_goes() {
    let scene = Scene::new();
    let agent = scene.start("lifecycle_interval: 0");
    for lines in [1.0, 2.0] {
        scene.line(40, "INFO");
        agent.wait_for_metric("tailwater_archive_entries_total", |entries| entries == lines);
    }
    assert!(agent.terminate().0.success());
    let files = everything(&scene.path("warm"));
    let manifests: Vec<_> =
        files.iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "json")).collect();
    assert_eq!(manifests.len(), 2);
    let (path, manifest) = manifests[1];
    let manifest: serde_json::Value = serde_json::from_slice(manifest).unwrap();
    for (key, value) in [
        ("last_time", serde_json::json!("2001-01-01T00:00:00Z")),
        ("object", serde_json::json!("date=2001-01-01/host=web-1/service=api/x.parquet")),
        ("lines", serde_json::json!(2)),
        ("first_time", manifest["last_time"].as_str().unwrap().replace('Z', "1Z").into()),
    ] {
        let mut wrong = manifest.clone();
        wrong[key] = value;
        fs::write(path, serde_json::to_vec(&wrong).unwrap()).unwrap();
        let output = scene.run(&["lifecycle"]);
        assert_eq!(output.status.code(), Some(1), "{key}: {output:?}");
        fs::write(path, serde_json::to_vec(&manifest).unwrap()).unwrap();
        assert_eq!(scene.days("warm"), [40, 40], "{key}");
    }
    assert_eq!(steps(&scene.ask(&["lifecycle"])), ["compact 2 objects"]);
    assert_eq!(scene.days("warm"), [40, 40]);
}

#[test]
fn loki_is_told_what_the_hot_tier_is() {
    let scene = Scene::new();
    let say = |configuration: &str| {
        fs::write(scene.path("tailwater.yaml"), configuration).unwrap();
        let file = format!("-config.file={}", scene.path("tailwater.yaml").display());
        let output = program().args(["retention", "loki", &file]).output().unwrap();
        let text = if output.status.success() { output.stdout } else { output.stderr };
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    };
    let (code, yaml) = say(&scene.configuration(""));
    assert_eq!(code, 0, "{yaml}");
    assert!(yaml.contains("limits_config:\n  retention_period: 30d\n"), "{yaml}");
    assert!(
        yaml.contains("- selector: '{level=\"DEBUG\"}'\n      priority: 1\n      period: 7d\n"),
        "{yaml}"
    );
    let (code, said) = say("scrape_configs: []\nclients: [{url: 'http://127.0.0.1:1/'}]\n");
    assert!(code == 1 && said.contains("has no `retention` block"), "{code} {said}");
    let (code, said) = say("retention: {tiers: [{name: a, until: 1d, store: /x}]}\n");
    assert!(code == 1 && said.contains("has no tier without a `store`"), "{code} {said}");
    assert_eq!(program().args(["retention", "mimir"]).output().unwrap().status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_by_a_clock_that_is_ahead_of_what_it_was() {
    let scene = Scene::new();
    let agent = scene.start("lifecycle_interval: 0");
    scene.line(100, "INFO");
    agent.wait_for_metric("tailwater_archive_entries_total", |entries| entries == 1.0);
    assert!(agent.terminate().0.success());
    // When it looked last it was 1970.
    fs::write(scene.path("warm/.wal/clock"), "{\"believed\": 0}").unwrap();
    let held = scene.run(&["lifecycle"]);
    assert_eq!(held.status.code(), Some(1));
    let said = String::from_utf8(held.stdout).unwrap();
    assert!(said.starts_with("nothing is done yet: the clock is ahead"), "{said}");
    let agent = scene.start("lifecycle_interval: 20ms");
    agent.wait_for_metric("tailwater_archive_lifecycle_held", |held| held == 1.0);
    let (status, ready) = agent.get("/ready");
    assert_eq!(status, 200, "{ready}");
    assert!(ready.contains("lifecycle of the archive: the clock is ahead of what it was"), "{ready}");
    assert_eq!(scene.days("warm"), [100]);
    agent.terminate();
}
