//! Lines that others push: agents in a chain, scripts with curl.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::agent::{Agent, PATIENCE, client, configuration, file_job, send};
use crate::support::fake_loki::{FakeLoki, Fault, Limits, Store};
use crate::support::ledger::{entry_key, verify};
use crate::writer::Writer;

const PUSH: &str = "/loki/api/v1/push";
const RAW: &str = "/promtail/api/v1/raw";

/// A job `gate` on this port of the loopback, with more keys of its block, and of the job.
fn gate(port: u16, block: &str, job: &str) -> String {
    format!(
        "- job_name: gate\n  loki_push_api:\n    server: {{http_listen_address: 127.0.0.1, http_listen_port: {port}}}\n\
         {block}{job}"
    )
}

fn start(directory: &Path, loki: &FakeLoki, block: &str, job: &str) -> (Agent, SocketAddr) {
    let text = configuration(directory, &client(&loki.url()), &gate(0, block, job));
    let agent = Agent::start(directory, &text);
    let address = agent.listening("gate");
    (agent, address)
}

fn push_json(address: SocketAddr, body: &str) -> (u16, String) {
    send(address, "POST", PUSH, "Content-Type: application/json\r\n", body.as_bytes()).unwrap()
}

/// A push of numbered lines of one stream.
fn numbered(stream: &str, lines: std::ops::Range<u64>) -> String {
    let values: Vec<String> =
        lines.map(|line| format!(r#"["{}", "{stream} line {line}"]"#, line + 1)).collect();
    format!(r#"{{"streams": [{{"stream": {{"from": "{stream}"}}, "values": [{}]}}]}}"#, values.join(","))
}

#[tokio::test(flavor = "multi_thread")]
async fn b_push_1_labels_are_merged_and_filtered_and_the_rest_of_a_line_is_kept() {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    let block = "    labels: {pushserver: a, from: gate, __hidden: b}\n    use_incoming_timestamp: true\n";
    let job = "  relabel_configs:\n  - {action: labeldrop, regex: dropme}\n  - {source_labels: [__hidden], target_label: seen}\n";
    let (agent, address) = start(directory.path(), &loki, block, job);
    let body = r#"{"streams": [{"stream": {"from": "x", "dropme": "1", "__secret": "2", "app": "y"},
        "values": [["1000000000000000001", "one", {"trace_id": "t1"}], ["1000000000000000002", "two"]]}]}"#;
    assert_eq!(push_json(address, body), (204, String::new()));
    // The answer came when Loki had them, not before.
    let entries = loki.entries();
    assert_eq!(entries.len(), 2);
    assert_eq!(&*entries[0].label_text, r#"{app="y", from="gate", pushserver="a", seen="b"}"#);
    assert_eq!(entries.iter().map(|entry| entry.text()).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(entries[0].timestamp_ns, 1_000_000_000_000_000_001);
    assert_eq!(entries[0].metadata, [("trace_id".to_owned(), "t1".to_owned())]);
    assert!(entries[1].metadata.is_empty());
    agent.assert_nothing_is_missing();
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn b_push_2_plain_text_is_taken_line_by_line_without_relabelling() {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    let (block, job) = (
        "    labels: {pushserver: a}\n",
        "  relabel_configs: [{action: drop, source_labels: [], regex: ''}]\n",
    );
    let (agent, address) = start(directory.path(), &loki, block, job);
    for number in 0..100 {
        let body = format!("line {number}\r\n\r\n\nagain\n");
        assert_eq!(send(address, "POST", RAW, "", body.as_bytes()).unwrap(), (204, String::new()));
    }
    let entries = loki.entries();
    assert!(entries.iter().all(|entry| &*entry.label_text == r#"{pushserver="a"}"#));
    let lines: Vec<String> = entries.iter().map(|entry| entry.text()).collect();
    let expected: Vec<String> =
        (0..100).flat_map(|number| [format!("line {number}"), "again".to_owned()]).collect();
    assert_eq!(lines, expected);
    assert!(
        entries.windows(2).all(|pair| pair[0].timestamp_ns < pair[1].timestamp_ns),
        "equal lines stay apart"
    );
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn b_push_3_it_says_that_it_is_ready_and_why_it_takes_something_not() {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    let (agent, address) = start(directory.path(), &loki, "    max_send_msg_size: 1000\n", "");
    let ask = |method: &str, path: &str, headers: &str, body: &[u8]| {
        send(address, method, path, headers, body).unwrap()
    };
    assert_eq!(ask("GET", "/ready", "", b""), (200, "ready\n".to_owned()));
    assert_eq!(ask("POST", PUSH, "", b"noise").0, 400);
    assert_eq!(ask("POST", PUSH, "Content-Type: application/json\r\n", b"{\"streams\": 1}").0, 400);
    assert_eq!(ask("POST", PUSH, "Content-Encoding: br\r\n", b"x").0, 415);
    let (status, why) = ask("POST", RAW, "", &[b'x'; 1001]);
    assert_eq!((status, why.as_str()), (413, "the message has more than 1000 bytes\n"));
    assert_eq!(ask("POST", PUSH, "Content-Type: application/json\r\n", b"{}"), (204, String::new()));
    assert_eq!(agent.metric("tailwater_push_answers_total{status=\"400\"}"), 2.0);
    assert_eq!(agent.metric("tailwater_push_answers_total{status=\"204\"}"), 1.0);
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_relabelling_drops_does_not_take_the_others_along() {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    let job = "  relabel_configs: [{source_labels: [app], regex: noise, action: drop}]\n";
    let (agent, address) = start(directory.path(), &loki, "", job);
    let body = r#"{"streams": [{"stream": {"app": "noise"}, "values": [["1", "a"]]},
        {"stream": {"app": "api"}, "values": [["2", "b"]]}]}"#;
    assert_eq!(push_json(address, body).0, 204);
    assert_eq!(loki.store().lines(), ["b"]);
    assert_eq!(agent.metric("tailwater_lines_dropped_total{reason=\"relabel\"}"), 1.0);
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_while_loki_is_away_is_on_disk_and_outlives_a_kill() {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    loki.answer_all(Fault::Status(503, "away".to_owned()));
    let (agent, address) = start(directory.path(), &loki, "    use_incoming_timestamp: true\n", "");
    assert_eq!(push_json(address, &numbered("a", 0..100)).0, 204, "the spool has them");
    assert_eq!(agent.metric_sum("tailwater_spool_entries"), 100.0);
    agent.kill();
    loki.heal();
    let (agent, _) = start(directory.path(), &loki, "", "");
    loki.wait_for(|store| store.entries.len() >= 100, PATIENCE).await.unwrap();
    assert_eq!(loki.entries().len(), 100);
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_an_answer_at_the_end_gets_it_from_the_disk() {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    loki.answer_all(Fault::Hang);
    let (agent, address) = start(directory.path(), &loki, "    use_incoming_timestamp: true\n", "");
    let pushing = thread::spawn(move || push_json(address, &numbered("a", 0..10)));
    agent.wait_for_metric("tailwater_lines_read_total", |lines| lines == 10.0);
    let (_, log) = agent.terminate();
    assert_eq!(pushing.join().unwrap().0, 204, "{log}");
    loki.heal();
    let (agent, _) = start(directory.path(), &loki, "", "");
    loki.wait_for(|store| store.entries.len() >= 10, PATIENCE).await.unwrap();
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_senders_at_once_share_pushes_and_each_gets_its_answer() {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    // Nobody waits for a batch to become old.
    let clients = client(&loki.url()).replace("batchwait: 50ms", "batchwait: 1h");
    let text = configuration(directory.path(), &clients, &gate(0, "    use_incoming_timestamp: true\n", ""));
    let agent = Agent::start(directory.path(), &text);
    let address = agent.listening("gate");
    let senders = (0..20).map(|sender| {
        thread::spawn(move || {
            (0..20).for_each(|push| {
                let body = numbered(&format!("s{sender}"), push * 10..(push + 1) * 10);
                assert_eq!(push_json(address, &body), (204, String::new()));
            });
        })
    });
    senders.collect::<Vec<_>>().into_iter().for_each(|sender| sender.join().unwrap());
    let entries = loki.entries();
    assert_eq!(entries.len(), 4000);
    for sender in 0..20 {
        let own: Vec<i64> = entries
            .iter()
            .filter(|entry| entry.label("from") == format!("s{sender}"))
            .map(|entry| entry.timestamp_ns)
            .collect();
        assert_eq!(own, (1..=200).collect::<Vec<_>>(), "in order");
    }
    agent.assert_nothing_is_missing();
    agent.terminate();
}

/// A host's agent, a gateway that is killed again and again, and Loki, which is away now and then.
#[tokio::test(flavor = "multi_thread")]
async fn agents_in_a_chain_lose_nothing_and_store_nothing_twice() {
    let loki = FakeLoki::start(Limits::any_time());
    let (host, gateway) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let block = "    use_incoming_timestamp: true\n    labels: {gateway: g1}\n";
    let text = configuration(gateway.path(), &client(&loki.url()), &gate(port, block, ""));
    let mut forwarding = Agent::start(gateway.path(), &text);
    let path = host.path().join("app.log");
    let mut writer = Writer::new(&path, "app");
    let to_gateway = client(&format!("http://127.0.0.1:{port}{PUSH}"));
    let stages = "pipeline_stages: [{regex: {expression: '^(?P<head>.)'}}, {structured_metadata: {head: }}]";
    let job = file_job(&format!("{}/*.log", host.path().display()));
    let job = job.replace("{job_name:", &format!("{{{stages}, job_name:"));
    let sending = Agent::start(host.path(), &configuration(host.path(), &to_gateway, &job));
    for round in 0..6 {
        writer.lines(2000);
        let arrived = loki.entries().len();
        if round % 3 == 1 {
            loki.answer_next(3, Fault::Status(500, "away".to_owned()));
        }
        loki.wait_for(|store| store.entries.len() > arrived, PATIENCE).await.unwrap();
        writer.lines(2000);
        forwarding.kill();
        forwarding = Agent::start(gateway.path(), &text);
    }
    let expected = &writer.expected;
    loki.wait_for(|store| store.entries.len() >= expected.len(), PATIENCE).await.unwrap();
    sending.assert_nothing_is_missing();
    verify(expected, &loki.entries(), entry_key).assert_whole_once_in_order();
    assert!(loki.entries().iter().all(|entry| entry.metadata.len() == 1 && entry.label("gateway") == "g1"));
    assert_eq!(sending.metric_sum("tailwater_refused_entries_total"), 0.0);
    sending.terminate();
    forwarding.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_keeps_the_port_and_whoever_pushes_meanwhile() {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = |round: usize| {
        let block = format!("    use_incoming_timestamp: true\n    labels: {{round: '{round}'}}\n");
        configuration(directory.path(), &client(&loki.url()), &gate(port, &block, ""))
    };
    let agent = Agent::start(directory.path(), &text(0));
    let address = agent.listening("gate");
    let sender = thread::spawn(move || {
        for push in 0..200 {
            let body = numbered("a", push * 10..(push + 1) * 10);
            let started = Instant::now();
            // Refused connections and 503s in between are pushed again, as every client does it.
            while !send(address, "POST", PUSH, "Content-Type: application/json\r\n", body.as_bytes())
                .is_ok_and(|answer| answer.0 == 204)
            {
                assert!(started.elapsed() < PATIENCE);
                thread::sleep(Duration::from_millis(5));
            }
        }
    });
    for round in 1..=10 {
        let arrived = loki.entries().len();
        fs::write(directory.path().join("tailwater.yaml"), text(round)).unwrap();
        agent.signal("HUP");
        agent.wait_for_metric("tailwater_config_reloads_total", |reloads| reloads == round as f64);
        if arrived < 2000 {
            loki.wait_for(|store| store.entries.len() > arrived, PATIENCE).await.unwrap();
        }
    }
    sender.join().unwrap();
    // Some may have been answered for once they were on disk.
    let lines =
        |store: &Store| store.lines().into_iter().collect::<std::collections::BTreeSet<String>>().len();
    loki.wait_for(|store| lines(store) == 2000, PATIENCE).await.unwrap();
    agent.assert_nothing_is_missing();
    agent.terminate();
}

#[test]
fn a_port_that_is_taken_is_refused_at_start() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let text = configuration(directory.path(), &client("http://127.0.0.1:1"), &gate(port, "", ""));
    let file = directory.path().join("tailwater.yaml");
    fs::write(&file, text).unwrap();
    let (status, log) = Agent::spawn(&[&format!("-config.file={}", file.display())]).wait();
    assert_eq!(status.code(), Some(1));
    assert!(
        log.contains(&format!("job `gate` cannot listen on 127.0.0.1:{port} (tcp): Address already in use")),
        "{log}"
    );
}
