//! Lines on standard input: carried to Loki, or shown stage by stage.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};

use crate::agent::{client, configuration, program};
use crate::support::fake_loki::{FakeLoki, Fault, FaultKind, Limits};

/// Runs the program with this configuration to its end.
fn run(directory: &Path, arguments: &[&str], configuration: &str, input: &[u8]) -> Output {
    let file = directory.join("tailwater.yaml");
    fs::write(&file, configuration).unwrap();
    let (verbs, flags): (Vec<&str>, Vec<&str>) =
        arguments.iter().partition(|argument| !argument.starts_with('-'));
    let mut child = program()
        .args(verbs)
        .arg(format!("-config.file={}", file.display()))
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A program that refuses its arguments reads nothing, and leaves before all is written.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn carried(loki: &FakeLoki, input: &[u8], scrape_configs: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let text = configuration(directory.path(), &client(&loki.url()), scrape_configs);
    let output = run(directory.path(), &["-stdin"], &text, input);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!directory.path().join("positions.state").exists(), "an input has no position");
    output
}

#[tokio::test(flavor = "multi_thread")]
async fn b_stdin_1_lines_are_carried_to_the_end_of_the_input() {
    for (input, expected) in [
        ("bar", vec!["bar"]),
        ("\nfoo\r\nbar", vec!["foo", "bar"]),
        ("", vec![]),
        ("a\n\n\nb\n", vec!["a", "b"]),
    ] {
        let loki = FakeLoki::start(Limits::any_time());
        carried(&loki, input.as_bytes(), " []");
        assert_eq!(loki.store().lines(), expected, "{input:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b_stdin_2_without_a_job_lines_say_what_they_are_and_where_from() {
    let loki = FakeLoki::start(Limits::any_time());
    carried(&loki, b"hello\n", " []");
    let entry = loki.entries().remove(0);
    assert_eq!((entry.label("job"), entry.label("hostname").is_empty()), ("stdin", false));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_job_gives_labels_and_stages_and_no_line_is_lost_to_a_loki_that_fails() {
    let loki = FakeLoki::start(Limits::any_time());
    loki.answer_next(3, Fault::Status(500, String::new()));
    loki.answer_next(1, Fault::StoreThenReset);
    let job = "- job_name: a\n  static_configs: [{labels: {app: x, __path__: /none}}, {labels: {zone: y}}]\n  \
               pipeline_stages: [{match: {selector: '{app=\"x\"} |= \"drop me\"', action: drop}}]\n\
               - {job_name: b, static_configs: [{labels: {app: z, __path__: /none}}]}";
    let lines: String = (0..20_000)
        .map(|number| if number % 10 == 9 { "drop me\n".to_owned() } else { format!("line {number}\n") })
        .collect();
    let output = carried(&loki, lines.as_bytes(), job);
    assert_eq!(loki.faults_met(FaultKind::Status), 3, "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(loki.entries().len(), 18_000);
    assert_eq!(&*loki.entries()[0].label_text, r#"{app="x", zone="y"}"#);
}

const STAGES: &str = "[{json: {expressions: {level: , at: }}}, {labels: {level: }},
    {drop: {source: level, value: debug, drop_counter_reason: noise}}, {timestamp: {source: at, format: Unix}}]";

fn inspected(arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let directory = tempfile::tempdir().unwrap();
    let text = format!(
        "scrape_configs:\n- {{job_name: one, static_configs: [{{labels: {{app: x, __path__: /none}}}}], pipeline_stages: {STAGES}}}\n\
         - {{job_name: two, static_configs: [{{labels: {{__path__: /none}}}}]}}\n"
    );
    let arguments = [&["inspect"], arguments].concat();
    let output = run(directory.path(), &arguments, &text, input.as_bytes());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn inspect_shows_what_each_stage_does_to_a_line() {
    let (code, shown, _) = inspected(&["-job=one"], "{\"level\":\"info\",\"at\":5}\n{\"level\":\"debug\"}\n");
    assert_eq!(code, Some(0));
    let changed = shown.lines().filter(|line| !line.contains("timestamp ="));
    let changed: Vec<&str> = changed.collect();
    assert_eq!(
        changed,
        [
            "line 1: {\"level\":\"info\",\"at\":5}",
            "  json",
            "    + extracted at = 5.0",
            "    + extracted level = \"info\"",
            "  labels",
            "    + label level = \"info\"",
            "  drop  -",
            "  timestamp",
            "  = 1970-01-01T00:00:05Z {app=\"x\", level=\"info\"} {\"level\":\"info\",\"at\":5}",
            "line 2: {\"level\":\"debug\"}",
            "  json",
            "    + extracted at = null",
            "    + extracted level = \"debug\"",
            "  labels",
            "    + label level = \"debug\"",
            "  drop  dropped: noise",
        ]
    );
}

#[test]
fn inspect_fails_when_a_stage_cannot_do_its_work() {
    let (code, shown, _) = inspected(&["-job=one"], "no json\n{\"at\":\"soon\"}\n");
    assert_eq!(code, Some(1));
    assert!(shown.contains("    failed: no JSON object"), "{shown}");
    assert!(shown.contains("    failed: \"soon\" is in none of its formats"), "{shown}");
}

#[test]
fn inspect_speaks_to_machines_an_object_a_line() {
    let (code, shown, _) =
        inspected(&["-job=one", "-format=json", "-labels=zone=eu"], "{\"level\":\"info\",\"at\":1}\n");
    assert_eq!(code, Some(0));
    let object: serde_json::Value = serde_json::from_str(shown.trim_end()).unwrap();
    let stages: Vec<&str> =
        object["stages"].as_array().unwrap().iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["json", "labels", "drop", "timestamp"]);
    assert_eq!(object["entries"][0]["labels"]["zone"], "eu");
    assert_eq!(object["stages"][1]["changes"][0]["after"], "info");
}

#[test]
fn inspect_wants_to_know_which_job() {
    let (code, _, said) = inspected(&[], "x\n");
    assert!(code == Some(1) && said.contains("-job: one, two"), "{said}");
    let (code, _, said) = inspected(&["-job=onne"], "x\n");
    assert!(code == Some(1) && said.contains("did you mean `one`?"), "{said}");
}

#[test]
fn a_run_may_print_what_stages_do_beside_its_work() {
    let directory = tempfile::tempdir().unwrap();
    let job = "- {job_name: a, static_configs: [{labels: {__path__: /none}}], pipeline_stages: [{static_labels: {a: b}}]}";
    let text = configuration(directory.path(), "- {url: 'http://127.0.0.1:9/push'}", job);
    let output = run(directory.path(), &["-stdin", "-dry-run", "-inspect"], &text, b"hello\n");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("line: hello\n  static_labels\n    + label a = \"b\"\n"), "{said}");
    assert!(String::from_utf8(output.stdout).unwrap().ends_with("\t{a=\"b\"}\thello\n"));
}

#[test]
fn the_configuration_in_effect_is_shown_without_its_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let text = "server: {disable: true}\nclients:\n- {url: 'http://me:hunter2@127.0.0.1:9/push', batchwait: 5, headers: {X-Key: hunter2},\n   \
                oauth2: {client_id: i, client_secret: hunter2, token_url: 'http://127.0.0.1:9/', endpoint_params: {a: hunter2}}}\n";
    let flags =
        ["-stdin", "-dry-run", "-print-config-stderr", "-log-config-reverse-order", "-client.timeout=3s"];
    let output = run(directory.path(), &flags, text, b"");
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(said.contains("  batchwait: 5ns\n") && said.contains("client_secret: <secret>"), "{said}");
    assert!(said.contains("# tailwater ") && said.contains("disable: true"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}
