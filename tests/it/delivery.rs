//! What the agent does with Loki's answers.

use std::fs;
use std::time::Duration;

use crate::agent::{Agent, PATIENCE, client, configuration, file_job};
use crate::support::fake_loki::{FakeLoki, Fault, FaultKind, Limits, Store};
use crate::support::ledger::{entry_key, verify};
use crate::writer::Writer;

fn job(directory: &tempfile::TempDir) -> String {
    file_job(&format!("{}/app.log", directory.path().display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_that_passes_is_outlived_without_loss() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    let mut writer = Writer::new(&directory.path().join("app.log"), "app");
    let faults = [
        Fault::Status(500, "internal error".to_owned()),
        Fault::Status(503, String::new()),
        Fault::Status(401, "no org id".to_owned()),
        Fault::Status(404, "404 page not found".to_owned()),
        Fault::RateLimit429 { retry_after: None },
        Fault::Reset,
        Fault::ResetBeforeReading,
        Fault::StoreThenReset,
        Fault::StoreThenStatus(502),
    ];
    for fault in &faults {
        loki.answer_next(2, fault.clone());
    }
    writer.lines(2000);
    let agent = Agent::start(
        directory.path(),
        &configuration(directory.path(), &client(&loki.url()), &job(&directory)),
    );
    // Some faults store the push, so that having all lines does not mean that every fault was met.
    let outlived = |store: &Store| {
        let last = store.requests.last().is_some_and(|request| request.status == Some(204));
        store.entries.len() == 2000 && store.faults_met(FaultKind::StoreThenStatus) == 2 && last
    };
    loki.wait_for(outlived, PATIENCE).await.unwrap();
    for fault in faults {
        assert!(loki.faults_met(fault.kind()) > 0, "{:?} was never reached", fault.kind());
    }
    verify(&writer.expected, &loki.entries(), entry_key).assert_whole_once_in_order();
    loki.assert_no_violations();
    assert!(agent.metric_sum("tailwater_push_retries_total") >= 18.0);
    assert_eq!(agent.metric_sum("tailwater_refused_entries_total"), 0.0);
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loki_that_is_down_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    loki.stop().await;
    let mut writer = Writer::new(&directory.path().join("app.log"), "app");
    writer.lines(500);
    let agent = Agent::start(
        directory.path(),
        &configuration(directory.path(), &client(&loki.url()), &job(&directory)),
    );
    agent.wait_for_log("its lines are kept and tried again");
    loki.restart_on_same_port().await;
    loki.wait_for(|store| store.entries.len() == 500, PATIENCE).await.unwrap();
    verify(&writer.expected, &loki.entries(), entry_key).assert_whole_once_in_order();
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_entries_are_counted_and_the_others_arrive() {
    let directory = tempfile::tempdir().unwrap();
    let limits = Limits { max_line_size_bytes: 100, ..Limits::any_time() };
    let loki = FakeLoki::start(limits);
    let long = "x".repeat(200);
    let lines: String = (0..50)
        .map(|number| if number == 20 { format!("{long}\n") } else { format!("line {number}\n") })
        .collect();
    fs::write(directory.path().join("app.log"), lines).unwrap();
    let agent = Agent::start(
        directory.path(),
        &configuration(directory.path(), &client(&loki.url()), &job(&directory)),
    );
    loki.wait_for(|store| store.entries.len() == 49, PATIENCE).await.unwrap();
    agent.wait_for_log("Loki refused entries for good");
    let client = loki.address();
    let refused = format!("tailwater_refused_entries_total{{client=\"{client}\",reason=\"line_too_long\"}}");
    assert_eq!(agent.metric(&refused), 1.0);
    assert_eq!(agent.metric_sum("tailwater_sent_entries_total"), 49.0);
    agent.terminate();
    assert_eq!(loki.requests().len(), 1, "a partly stored push is never sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_too_large_for_loki_is_split_until_it_passes() {
    let directory = tempfile::tempdir().unwrap();
    // Far below one batch of 1 MiB.
    let limits = Limits { max_message_bytes: 100_000, ..Limits::any_time() };
    let loki = FakeLoki::start(limits);
    let mut writer = Writer::new(&directory.path().join("app.log"), "app");
    writer.lines(5000);
    let agent = Agent::start(
        directory.path(),
        &configuration(directory.path(), &client(&loki.url()), &job(&directory)),
    );
    loki.wait_for(|store| store.entries.len() == 5000, PATIENCE).await.unwrap();
    verify(&writer.expected, &loki.entries(), entry_key).assert_whole_once_in_order();
    assert!(agent.metric_sum("tailwater_push_splits_total") > 0.0);
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_tenants_and_external_labels_are_as_configured() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    fs::write(directory.path().join("app.log"), "aaaaa\nbbbbb\nccccc\n").unwrap();
    let client = format!(
        "- {{url: '{}', tenant_id: team-a, batchwait: 50ms, batchsize: 10, external_labels: {{host: web-1, job: external}}}}",
        loki.url()
    );
    let agent = Agent::start(directory.path(), &configuration(directory.path(), &client, &job(&directory)));
    loki.wait_for(|store| store.entries.len() == 3, PATIENCE).await.unwrap();
    agent.terminate();
    let requests = loki.requests();
    let sizes: Vec<usize> = requests.iter().map(|request| request.entries).collect();
    assert_eq!(sizes, [2, 1], "two five-byte lines fill a batch of ten bytes");
    assert!(requests.iter().all(|request| request.tenant() == Some("team-a")));
    let filename = directory.path().join("app.log").display().to_string();
    let labels = format!("{{filename=\"{filename}\", host=\"web-1\", job=\"files\"}}");
    assert!(loki.entries().iter().all(|entry| *entry.label_text == *labels), "{:?}", loki.entries());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_loki_does_not_keep_the_agent_from_stopping_nor_cost_a_line() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    loki.answer_all(Fault::Hang);
    let mut writer = Writer::new(&directory.path().join("app.log"), "app");
    writer.lines(3000);
    let text = configuration(directory.path(), &client(&loki.url()), &job(&directory));
    let agent = Agent::start(directory.path(), &text);
    loki.wait_for(|store| store.faults_met(FaultKind::Hang) > 0, PATIENCE).await.unwrap();
    let (status, log) = agent.terminate();
    assert!(status.success());
    assert!(log.contains("flushed=0"), "{log}");
    loki.heal();
    let agent = Agent::start(directory.path(), &text);
    loki.wait_for(|store| store.entries.len() == 3000, PATIENCE).await.unwrap();
    verify(&writer.expected, &loki.entries(), entry_key).assert_whole_once_in_order();
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_stop_that_waits() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    loki.answer_all(Fault::Hang);
    fs::write(directory.path().join("app.log"), "line\n").unwrap();
    let agent = Agent::start(
        directory.path(),
        &configuration(directory.path(), &client(&loki.url()), &job(&directory)),
    );
    loki.wait_for(|store| store.faults_met(FaultKind::Hang) > 0, PATIENCE).await.unwrap();
    agent.signal("TERM");
    agent.wait_for_log("stopping");
    agent.signal("TERM");
    let (status, log) = agent.wait();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("second signal"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_each_get_every_line() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (FakeLoki::start(Limits::any_time()), FakeLoki::start(Limits::any_time()));
    two.answer_next(3, Fault::Status(500, String::new()));
    let mut writer = Writer::new(&directory.path().join("app.log"), "app");
    writer.lines(1000);
    let clients = format!("{}\n{}", client(&one.url()), client(&two.url()));
    let agent = Agent::start(directory.path(), &configuration(directory.path(), &clients, &job(&directory)));
    for loki in [&one, &two] {
        loki.wait_for(|store| store.entries.len() == 1000, PATIENCE).await.unwrap();
        verify(&writer.expected, &loki.entries(), entry_key).assert_whole_once_in_order();
    }
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_down_does_not_hold_up_another() {
    let directory = tempfile::tempdir().unwrap();
    let (up, down) = (FakeLoki::start(Limits::any_time()), FakeLoki::start(Limits::any_time()));
    down.answer_all(Fault::Status(500, String::new()));
    let clients = format!("{}\n{}", client(&down.url()), client(&up.url()));
    let mut writer = Writer::new(&directory.path().join("app.log"), "app");
    let agent = Agent::start(directory.path(), &configuration(directory.path(), &clients, &job(&directory)));
    // Each line arrives before the next is written, so each is a chunk of its own.
    for count in 1..=100 {
        writer.lines(1);
        up.wait_for(|store| store.entries.len() == count, PATIENCE).await.unwrap();
    }
    down.heal();
    down.wait_for(|store| store.entries.len() == 100, PATIENCE).await.unwrap();
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_to_a_login_page_is_no_delivery() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    let login = axum::Router::new()
        .route("/push", axum::routing::post(|| async { axum::response::Redirect::to("/login") }))
        .route("/login", axum::routing::get(|| async { "please log in" }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/push", listener.local_addr().unwrap());
    let proxy = tokio::spawn(async move { axum::serve(listener, login).await });
    let mut writer = Writer::new(&directory.path().join("app.log"), "app");
    writer.lines(10);
    let agent =
        Agent::start(directory.path(), &configuration(directory.path(), &client(&url), &job(&directory)));
    agent.wait_for_log("unexpected_status");
    assert_eq!(agent.metric_sum("tailwater_sent_entries_total"), 0.0);
    agent.terminate();
    proxy.abort();
    let agent = Agent::start(
        directory.path(),
        &configuration(directory.path(), &client(&loki.url()), &job(&directory)),
    );
    loki.wait_for(|store| store.entries.len() == 10, PATIENCE).await.unwrap();
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_no_header_can_hold_does_not_stop_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    let lines = "{\"t\":\"bad\\u0001\"}\n{\"t\":\"good\"}\n{\"x\":1}\n";
    fs::write(directory.path().join("app.log"), lines).unwrap();
    let job = format!(
        "- job_name: files\n  static_configs: [{{labels: {{__path__: '{}/app.log'}}}}]\n  pipeline_stages:\n  \
         - json: {{expressions: {{t: }}}}\n  - labels: {{__tenant_id__: t}}\n",
        directory.path().display()
    );
    let agent = Agent::start(directory.path(), &configuration(directory.path(), &client(&loki.url()), &job));
    loki.wait_for(|store| store.entries.len() == 2, PATIENCE).await.unwrap();
    agent.wait_for_log("tenant_invalid");
    assert_eq!(agent.metric_sum("tailwater_refused_entries_total"), 1.0);
    agent.terminate();
    let tenants: Vec<Option<String>> =
        loki.entries().iter().map(|entry| entry.tenant.as_deref().map(str::to_owned)).collect();
    assert!(tenants.contains(&Some("good".to_owned())) && tenants.contains(&None), "{tenants:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_tell_the_state_and_the_numbers() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    let mut writer = Writer::new(&directory.path().join("app.log"), "app");
    writer.lines(10);
    let job = format!(
        "- job_name: files\n  static_configs: [{{labels: {{__path__: '{}/app.log'}}}}]\n  pipeline_stages:\n  \
         - json: {{expressions: {{service: , duration_ms: }}}}\n  - labels: {{service: }}\n  - metrics:\n      \
         lines_total: {{type: counter, prefix: log_, labels: [service], config: {{match_all: true, action: inc}}}}\n",
        directory.path().display()
    );
    let agent = Agent::start(directory.path(), &configuration(directory.path(), &client(&loki.url()), &job));
    loki.wait_for(|store| store.entries.len() == 10, PATIENCE).await.unwrap();
    assert_eq!(agent.get("/ready"), (200, "ready\n".to_owned()));
    assert_eq!(agent.metric("log_lines_total{service=\"app\"}"), 10.0);
    assert_eq!(agent.metric("tailwater_lines_read_total{source=\"file\"}"), 10.0);
    assert_eq!(agent.get("/none").0, 404);
    agent.terminate();
}

#[test]
fn a_port_that_is_taken_is_said_at_start() {
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let file = directory.path().join("c.yaml");
    fs::write(&file, format!("server: {{http_listen_address: 127.0.0.1, http_listen_port: {port}}}\n"))
        .unwrap();
    let (status, log) = Agent::spawn(&[&format!("-config.file={}", file.display())]).wait();
    assert_eq!(status.code(), Some(1));
    assert!(
        log.contains(&format!("cannot listen on 127.0.0.1:{port}")) && log.contains("http_listen_port"),
        "{log}"
    );
}

#[test]
fn without_clients_lines_are_archived_and_where_that_cannot_be_or_on_trial_shown_on_the_terminal() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("app.log"), "hello\n").unwrap();
    let text = configuration(directory.path(), " []", &job(&directory)).replace("clients:\n", "clients:");
    let filename = directory.path().join("app.log").display().to_string();
    let assert_shown = |agent: Agent| {
        let shown = agent.wait_for_output("hello");
        let fields: Vec<&str> =
            shown.trim_end().rsplit_once('\n').map_or(&*shown, |(_, last)| last).trim().split('\t').collect();
        assert_eq!(fields[1..], [&format!("{{filename=\"{filename}\", job=\"files\"}}"), "hello"]);
        agent.terminate();
        assert!(!directory.path().join("positions.state").exists(), "what was only shown is not remembered");
    };
    let file = format!("-config.file={}/tailwater.yaml", directory.path().display());
    fs::write(directory.path().join("tailwater.yaml"), &text).unwrap();
    assert_shown(Agent::spawn(&["-dry-run", &file]));
    // A file is where the archive would be.
    fs::write(directory.path().join("archive"), "").unwrap();
    let agent = Agent::spawn(&[&file]);
    agent.wait_for_log("without clients lines would be archived, but they cannot be");
    assert_shown(agent);
    fs::remove_file(directory.path().join("archive")).unwrap();

    let agent = Agent::start(directory.path(), &text);
    agent.wait_for_metric("tailwater_archive_log_entries", |entries| entries == 1.0);
    agent.assert_nothing_is_missing();
    assert!(agent.terminate().0.success());
    let asked = crate::agent::program().args(["archive", "query", &file]).output().unwrap();
    let found = String::from_utf8(asked.stdout).unwrap();
    assert!(found.ends_with(&format!("\t{{filename=\"{filename}\", job=\"files\"}}\thello\n")), "{found}");
    assert!(directory.path().join("positions.state").exists(), "what is archived is done");
}

#[test]
fn a_terminal_that_nobody_reads_does_not_keep_the_agent_from_stopping() {
    let directory = tempfile::tempdir().unwrap();
    // More than a pipe holds.
    Writer::new(&directory.path().join("app.log"), "app").lines(5000);
    let file = directory.path().join("c.yaml");
    let text = configuration(directory.path(), " []", &job(&directory)).replace("clients:\n", "clients:");
    fs::write(&file, text).unwrap();
    let mut child = crate::agent::program()
        .args(["-dry-run", &format!("-config.file={}", file.display())])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("following file") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut log, &mut line).unwrap() > 0);
    }
    let sent = std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(sent.success() && child.wait().unwrap().success());
}

#[test]
fn a_reader_that_leaves_ends_the_agent() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.log");
    let mut writer = Writer::new(&path, "app");
    writer.lines(100);
    let file = directory.path().join("c.yaml");
    let text = configuration(directory.path(), " []", &job(&directory)).replace("clients:\n", "clients:");
    fs::write(&file, text).unwrap();
    // A file is where the archive would be.
    fs::write(directory.path().join("archive"), "").unwrap();
    let mut child = crate::agent::program()
        .arg(format!("-config.file={}", file.display()))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let started = std::time::Instant::now();
    assert!(child.wait().unwrap().success());
    assert!(started.elapsed() < Duration::from_secs(30));
}
