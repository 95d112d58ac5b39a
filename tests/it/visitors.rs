//! Those who connect to the agent's pages and do not behave: they take little, and nobody's place.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use crate::agent::{Agent, PATIENCE, client, configuration, send};
use crate::support::fake_loki::{FakeLoki, Limits};

fn start(directory: &Path, server: &str) -> Agent {
    let text = configuration(directory, "", "");
    Agent::start(directory, &text.replace("http_listen_port: 0", &format!("http_listen_port: 0, {server}")))
}

fn connect(agent: &Agent) -> TcpStream {
    let socket = TcpStream::connect(agent.address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Reads until the other end closes the connection, in whichever way; everything read.
fn read_to_the_end(mut socket: &TcpStream) -> String {
    let (mut text, mut buffer) = (Vec::new(), [0; 65536]);
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => text.extend_from_slice(&buffer[..length]),
            Err(error) => {
                let timed_out = [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut];
                assert!(!timed_out.contains(&error.kind()), "the connection is kept");
                break;
            }
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn ended(agent: &Agent, reason: &str) -> f64 {
    agent.metric(&format!("tailwater_connections_ended_total{{reason=\"{reason}\",source=\"server\"}}"))
}

#[test]
fn connections_that_say_nothing_are_closed_and_keep_nobody_from_an_answer() {
    let directory = tempfile::tempdir().unwrap();
    let agent = start(directory.path(), "http_server_read_timeout: 3s");
    let before = agent.descriptors();
    let silent: Vec<TcpStream> = (0..200).map(|_| connect(&agent)).collect();
    assert_eq!(agent.get("/ready"), (200, "ready\n".to_owned()));
    assert!(agent.descriptors() <= before + 100, "{} descriptors, {before} before", agent.descriptors());
    assert!(agent.metric("tailwater_connections_active{source=\"server\"}") <= 100.0);
    for socket in &silent {
        assert_eq!(read_to_the_end(socket), "");
    }
    assert!(ended(&agent, "limit") >= 100.0, "{}", agent.get("/metrics").1);
    assert!(ended(&agent, "slow") >= 90.0, "{}", agent.get("/metrics").1);
    agent.terminate();
}

#[test]
fn a_request_that_never_ends_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let agent = start(directory.path(), "http_server_read_timeout: 1s, http_server_write_timeout: 1s");
    let mut head = connect(&agent);
    head.write_all(b"GET /ready HTTP/1.1\r\nHost: test\r\n").unwrap();
    let mut body = connect(&agent);
    body.write_all(b"POST /log_level HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\nlog_").unwrap();
    assert_eq!(read_to_the_end(&head), "");
    assert_eq!(read_to_the_end(&body), "");
    assert_eq!(ended(&agent, "slow"), 2.0);
    agent.terminate();
}

#[test]
fn who_does_not_take_an_answer_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let agent = start(directory.path(), "http_server_write_timeout: 1s");
    let mut socket = connect(&agent);
    let request = b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n".repeat(5000);
    // What is not read any more cannot be written in the end.
    drop(socket.write_all(&request));
    agent.wait_for_metric("tailwater_connections_ended_total", |_| ended(&agent, "slow") == 1.0);
    agent.terminate();
}

#[test]
fn a_connection_serves_many_requests_and_is_closed_once_there_are_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let agent = start(directory.path(), "http_server_idle_timeout: 2s, http_server_read_timeout: 1s");
    let socket = connect(&agent);
    for _ in 0..3 {
        (&socket).write_all(b"GET /ready HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nready\n") {
            let mut byte = [0];
            (&socket).read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
    }
    assert_eq!(read_to_the_end(&socket), "");
    assert_eq!(ended(&agent, "idle"), 1.0, "{}", agent.get("/metrics").1);
    agent.terminate();
}

#[test]
fn who_asks_for_nothing_in_particular_is_shown_the_targets() {
    for prefix in ["", "/logs"] {
        let directory = tempfile::tempdir().unwrap();
        let agent = start(directory.path(), &format!("http_path_prefix: '{prefix}'"));
        let socket = connect(&agent);
        let request = format!("GET {prefix}/ HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        (&socket).write_all(request.as_bytes()).unwrap();
        let answer = read_to_the_end(&socket);
        let location = format!("location: {prefix}/targets\r\n");
        assert!(answer.starts_with("HTTP/1.1 303") && answer.contains(&location), "{answer}");
        assert_eq!(agent.get(&format!("{prefix}/targets")).0, 200);
        agent.terminate();
    }
}

#[test]
fn requests_that_are_too_large_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let agent = start(directory.path(), "");
    // The connection may be closed before all of it is sent, and nobody hears why then.
    let body = format!("log_level=debug&{}", "x".repeat(2000));
    if let Ok((status, _)) = send(agent.address(), "POST", "/log_level", "", body.as_bytes()) {
        assert_eq!(status, 413);
    }
    assert!(agent.get("/log_level").1.contains("level is info"));
    let header = format!("X: {}\r\n", "x".repeat(20_000));
    if let Ok((status, _)) = send(agent.address(), "POST", "/log_level?log_level=debug", &header, b"") {
        assert_eq!(status, 431);
    }
    assert!(agent.get("/log_level").1.contains("level is info"));
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_push_api_keeps_nobody_either() {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    let job = "- job_name: push\n  loki_push_api: {labels: {job: push}, server: {http_listen_address: 127.0.0.1, \
               http_listen_conn_limit: 10, http_server_read_timeout: 1s}}\n";
    let text = configuration(directory.path(), &client(&loki.url()), job);
    let agent = Agent::start(directory.path(), &text);
    let address = agent.listening("push");
    let silent: Vec<TcpStream> = (0..30).map(|_| TcpStream::connect(address).unwrap()).collect();
    let push = || send(address, "POST", "/promtail/api/v1/raw", "", b"a line\n").unwrap().0;
    assert_eq!(tokio::task::block_in_place(push), 204);
    for socket in &silent {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(read_to_the_end(socket), "");
    }
    agent.wait_for_metric("tailwater_connections_ended_total", |ended| ended >= 31.0);
    agent.assert_nothing_is_missing();
    agent.terminate();
}
