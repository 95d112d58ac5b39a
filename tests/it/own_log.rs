//! The agent's own log: what it says while things go wrong again and again, and what it never says.

use std::fs;
use std::io::Write as _;
use std::net::UdpSocket;
use std::path::Path;

use regex::Regex;

use crate::agent::{Agent, PATIENCE, client, configuration};
use crate::support::fake_loki::{FakeLoki, Fault, Limits};

/// How many events these lines stand for: one each, where they are no summary, and what they say was left out.
fn events(log: &str, message: &str) -> u64 {
    let lines = log.lines().filter(|line| line.contains(&format!(" msg={message}")));
    let of_line = |line: &str| {
        let repeated = line.split(" repeated=").nth(1).map_or("0", |rest| rest.split(' ').next().unwrap());
        u64::from(!line.contains(" last=")) + repeated.parse::<u64>().unwrap()
    };
    lines.map(of_line).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_again_and_again_is_said_now_and_then_with_how_often_it_did() {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    let status = |text: &str| Fault::Status(500, text.to_owned());
    loki.answer_all(status("no\n\u{1b}[31mway"));
    let path = directory.path().join("a.log");
    let jobs = format!(
        "- {{job_name: files, static_configs: [{{labels: {{job: files, __path__: '{}'}}}}]}}\n\
         - {{job_name: gelf, gelf: {{listen_address: '127.0.0.1:0', labels: {{job: gelf}}}}}}\n\
         - {{job_name: syslog, syslog: {{listen_address: '127.0.0.1:0', listen_protocol: udp, labels: {{job: syslog}}}}}}\n",
        path.display()
    );
    let text = configuration(directory.path(), &client(&loki.url()), &jobs);
    let agent = Agent::start(directory.path(), &text);
    writeln!(fs::File::create(&path).unwrap(), "the password is hunter2").unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for sent in 1..=100 {
        socket.send_to(b"\"the password is hunter2\"", agent.listening("gelf")).unwrap();
        socket.send_to(b"the password is hunter2", agent.listening("syslog")).unwrap();
        // One at a time: the kernel has room for so many only.
        agent.wait_for_metric("tailwater_messages_dropped_total", |dropped| dropped == f64::from(2 * sent));
    }
    agent.wait_for_metric("tailwater_push_retries_total", |retries| retries >= 30.0);
    assert!(agent.metric("tailwater_log_lines_suppressed_total") >= 200.0);
    assert!(agent.metric("tailwater_log_lines_total{level=\"info\"}") >= 3.0);
    loki.heal();
    loki.wait_for(|store| store.entries.len() == 1, PATIENCE).await.unwrap();
    let retries = agent.metric_sum("tailwater_push_retries_total");
    let (_, log) = agent.terminate();
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains("level=warn")).collect();
    // Each is said at once, and at the end how often it was; a slow machine takes more than a minute.
    assert!(warnings.len() <= 12, "{warnings:#?}");
    assert!(warnings.iter().any(|line| line.contains(" repeated=")), "{warnings:#?}");
    assert_eq!(events(&log, "\"not a GELF message"), 100, "{warnings:#?}");
    assert_eq!(events(&log, "\"not a message of RFC 5424"), 100, "{warnings:#?}");
    assert_eq!(events(&log, "\"push failed") as f64, retries, "{warnings:#?}");
    assert!(log.contains("answer=\"no\\n\\u001b[31mway\""), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
    assert!(log.lines().last().unwrap().contains("msg=\"stopped: "), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_all_of_it_gets_all_of_it() {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    let job = "- {job_name: syslog, syslog: {listen_address: '127.0.0.1:0', listen_protocol: udp}}\n";
    let text = configuration(directory.path(), &client(&loki.url()), job);
    let agent = Agent::start(directory.path(), &text);
    assert_eq!(agent.post("/log_level?log_level=debug").0, 200);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for sent in 1..=20 {
        socket.send_to(b"whatever", agent.listening("syslog")).unwrap();
        agent.wait_for_metric("tailwater_messages_dropped_total", |dropped| dropped == f64::from(sent));
    }
    let (_, log) = agent.terminate();
    assert_eq!(log.matches("level=debug msg=\"malformed message\"").count(), 20, "{log}");
}

/// Every call that logs, with its level: fields and message, as they are written.
fn calls() -> Vec<(String, String, String)> {
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let call = Regex::new(r#"(?s)\b(warn|info|error|debug)!\(([^"]*?)"((?:[^"\\]|\\.)*)""#).unwrap();
    let mut calls = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if !path.ends_with("tests.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let found = call.captures_iter(&text).map(|found| found.extract().1);
                calls.extend(found.map(|[level, fields, message]| {
                    (level.to_owned(), fields.to_owned(), message.to_owned())
                }));
            }
        }
    }
    assert!(calls.len() > 100, "{}", calls.len());
    calls
}

#[test]
fn the_same_things_have_the_same_names_in_every_line() {
    let field = Regex::new(r"(?:^|,)\s*[%?]?([a-z_]+)").unwrap();
    let names = [
        ("err", "error"),
        ("cause", "error"),
        ("end", "error"),
        ("trouble", "error"),
        ("file", "path"),
        ("filename", "path"),
        ("dir", "directory"),
        ("peer", "sender"),
        ("addr", "address"),
        ("who", "client"),
        ("name", "job, client or container"),
        ("target", "container or path"),
        ("url", "client: it may hold a password"),
    ];
    // What lines and those who send them say, and what nobody else may know.
    let content = ["text", "body", "labels", "headers", "value", "password", "token"];
    for (level, fields, message) in calls() {
        for name in field.captures_iter(&fields).map(|found| found.get(1).unwrap().as_str()) {
            if let Some((_, better)) = names.iter().find(|(other, _)| *other == name) {
                panic!("\"{message}\" has a field `{name}`: call it {better}");
            }
            assert!(level == "debug" || !content.contains(&name), "\"{message}\" says `{name}` at {level}");
        }
    }
}

#[test]
fn messages_begin_small_and_have_no_full_stop() {
    let names = ["Docker", "Loki", "TLS"];
    for (_, _, message) in calls() {
        let small =
            !message.starts_with(char::is_uppercase) || names.iter().any(|name| message.starts_with(name));
        assert!(small && !message.ends_with(['.', '!']), "\"{message}\"");
    }
}
