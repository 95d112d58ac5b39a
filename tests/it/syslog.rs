//! Syslog from the network: framings, formats, TLS, senders that do not behave.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::agent::{Agent, PATIENCE, client, configuration};
use crate::support::fake_loki::{FakeLoki, Fault, Limits};

/// Rules that show what a message is known by.
const SHOW: &str = "  relabel_configs:\n\
    \x20 - {source_labels: [__syslog_message_severity], target_label: severity}\n\
    \x20 - {source_labels: [__syslog_message_facility], target_label: facility}\n\
    \x20 - {source_labels: [__syslog_message_hostname], target_label: host}\n\
    \x20 - {source_labels: [__syslog_message_app_name], target_label: app}\n\
    \x20 - {source_labels: [__syslog_message_proc_id], target_label: proc}\n\
    \x20 - {source_labels: [__syslog_message_msg_id], target_label: msg}\n\
    \x20 - {source_labels: [__syslog_message_sd_custom_32473_exkey], target_label: exkey}\n\
    \x20 - {source_labels: [__syslog_connection_ip_address], target_label: ip}\n";

/// A job that listens on this port of the loopback, with more keys of its block, and of the job.
pub fn listener(port: u16, block: &str, job: &str) -> String {
    format!(
        "- job_name: net\n  syslog:\n    listen_address: 127.0.0.1:{port}\n    labels: {{job: net}}\n{block}{job}"
    )
}

struct Scene {
    loki: FakeLoki,
    agent: Agent,
    address: SocketAddr,
    directory: tempfile::TempDir,
}

impl Scene {
    fn new(block: &str, job: &str) -> Scene {
        let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
        let text = configuration(directory.path(), &client(&loki.url()), &listener(0, block, job));
        let agent = Agent::start(directory.path(), &text);
        let address = agent.listening("net");
        Scene { loki, agent, address, directory }
    }

    fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// A connection that says this and ends.
    fn say(&self, bytes: &[u8]) {
        self.connect().write_all(bytes).unwrap();
    }

    fn send(&self, datagram: &[u8]) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(datagram, self.address).unwrap();
    }

    async fn lines(&self, count: usize) -> Vec<String> {
        let arrived = self.loki.wait_for(|store| store.entries.len() >= count, PATIENCE).await;
        arrived.unwrap_or_else(|_| panic!("{:?}", self.loki.store().lines()));
        self.loki.store().lines()
    }

    fn dropped(&self, reason: &str) -> f64 {
        let labels = format!("{{reason=\"{reason}\",source=\"syslog\"}}");
        self.agent.metric(&format!("tailwater_messages_dropped_total{labels}"))
    }

    fn ended(&self, reason: &str) -> f64 {
        let labels = format!("{{reason=\"{reason}\",source=\"syslog\"}}");
        self.agent.metric(&format!("tailwater_connections_ended_total{labels}"))
    }

    /// Nothing is missing, and the end is in order.
    fn end(self) {
        self.agent.assert_nothing_is_missing();
        self.loki.assert_no_violations();
        self.agent.terminate();
    }
}

/// Whether the other side has closed the connection.
fn is_closed(socket: &mut TcpStream) -> bool {
    !matches!(socket.read(&mut [0]), Ok(1..))
}

const MESSAGES: [&str; 3] = [
    "<165>1 2018-10-11T22:14:15.003Z host5 e - id1 [custom@32473 exkey=\"1\"] An application event log entry...",
    "<165>1 2018-10-11T22:14:15.005Z host5 e - id2 [custom@32473 exkey=\"2\"] An application event log entry...",
    "<165>1 2018-10-11T22:14:15.007Z host5 e - id3 [custom@32473 exkey=\"3\"] An application event log entry...",
];

fn framed(octets: bool) -> Vec<String> {
    let frame = |text: &&str| if octets { format!("{} {text}", text.len()) } else { format!("{text}\n") };
    MESSAGES.iter().map(frame).collect()
}

async fn assert_messages(scene: &Scene) {
    scene.lines(3).await;
    let entries = scene.loki.entries();
    for (number, entry) in entries.iter().enumerate() {
        assert_eq!(entry.text(), "An application event log entry...");
        let number = number + 1;
        assert_eq!(
            &*entry.label_text,
            format!(
                r#"{{app="e", exkey="{number}", facility="local4", host="host5", ip="127.0.0.1", job="net", msg="id{number}", severity="notice"}}"#
            )
        );
        assert_eq!(entry.timestamp_ns, 1_539_296_055_001_000_000 + 2_000_000 * number as i64);
    }
}

const KEEP: &str = "    label_structured_data: yes\n    use_incoming_timestamp: true\n";

#[tokio::test(flavor = "multi_thread")]
async fn b_sys_1_messages_come_over_tcp_and_udp_in_both_framings() {
    for octets in [false, true] {
        let scene = Scene::new(KEEP, SHOW);
        scene.say(framed(octets).concat().as_bytes());
        assert_messages(&scene).await;
        scene.end();
        let scene = Scene::new(&format!("    listen_protocol: udp\n{KEEP}"), SHOW);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for message in framed(octets) {
            socket.send_to(message.as_bytes(), scene.address).unwrap();
        }
        assert_messages(&scene).await;
        scene.end();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b_sys_2_lines_are_whole_messages_where_that_is_wanted() {
    let scene = Scene::new("    use_rfc5424_message: true\n", "");
    scene.say(framed(true).concat().as_bytes());
    assert_eq!(scene.lines(3).await, MESSAGES);
    scene.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn b_sys_4_a_connection_that_begins_otherwise_is_closed() {
    let scene = Scene::new("", "");
    let mut socket = scene.connect();
    socket.write_all(b"xxx").unwrap();
    assert!(is_closed(&mut socket));
    scene.agent.wait_for_metric("tailwater_connections_active{source=\"syslog\"}", |open| open == 0.0);
    assert_eq!(scene.ended("framing"), 1.0);
    scene.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn b_sys_5_bytes_that_are_no_utf8_are_kept() {
    let scene = Scene::new("", "");
    scene.say(b"<165>1 - - - - - - \xf8\xf7\xe3\xe4\n");
    scene.lines(1).await;
    assert_eq!(&*scene.loki.entries()[0].line, b"\xf8\xf7\xe3\xe4");
    scene.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn b_sys_6_a_silent_connection_is_closed() {
    let scene = Scene::new("    idle_timeout: 1ms\n", "");
    let mut socket = scene.connect();
    assert!(is_closed(&mut socket));
    scene.agent.wait_for_metric("tailwater_connections_active{source=\"syslog\"}", |open| open == 0.0);
    assert_eq!(scene.ended("idle"), 1.0);
    scene.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn b_sys_7_what_is_malformed_is_counted_and_the_connection_goes_on() {
    let scene = Scene::new("", "");
    scene.say(
        b"<165>1 - - - - - - one\n<165>Oct 11 22:14:15 host app: old\n<165>1 - - - - - -\n<999>1 - - - - - - x\n\
          <165>1 - - - - - - two\n",
    );
    assert_eq!(scene.lines(2).await, ["one", "two"]);
    assert_eq!((scene.dropped("malformed"), scene.dropped("empty")), (2.0, 1.0));
    let log = scene.agent.wait_for_log("not a message of RFC 5424");
    assert!(log.contains("a version such as 1 at byte 5"), "{log}");
    scene.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn b_sys_8_a_length_above_the_limit_ends_the_connection() {
    let scene = Scene::new("", "");
    let mut socket = scene.connect();
    socket.write_all(b"22 <165>1 - - - - - - one8193 <165>1 -").unwrap();
    assert!(is_closed(&mut socket));
    assert_eq!(scene.lines(1).await, ["one"]);
    assert_eq!((scene.ended("framing"), scene.dropped("too_long")), (1.0, 1.0));
    scene.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_there_when_its_line_ends_and_not_when_the_next_begins() {
    let scene = Scene::new("", "");
    let mut socket = scene.connect();
    for line in ["one", "two", "three"] {
        socket.write_all(format!("<165>1 - - - - - - {line}\n").as_bytes()).unwrap();
        let expected = scene.loki.entries().len() + 1;
        assert_eq!(scene.lines(expected).await.last().unwrap(), line);
    }
    socket.write_all(b"<165>1 - - - - - - four\n  at first\n  at last\n<165>1 - - - - - - five").unwrap();
    assert_eq!(scene.lines(4).await[3], "four\n  at first\n  at last");
    drop(socket);
    assert_eq!(scene.lines(5).await[4], "five", "what has no line end is there at the end");
    scene.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_is_cut_and_counted() {
    for block in ["", "    listen_protocol: udp\n"] {
        let scene = Scene::new(&format!("    max_message_length: 100\n{block}"), "");
        let message = format!("<165>1 - - - - - - {}\n", "x".repeat(200));
        if block.is_empty() {
            scene.say(format!("{message}<165>1 - - - - - - two\n").as_bytes());
        } else {
            scene.send(message.as_bytes());
            scene.lines(1).await;
            scene.send(b"<165>1 - - - - - - two");
        }
        let lines = scene.lines(2).await;
        assert_eq!(lines, [format!("{} [cut by tailwater]", "x".repeat(62)), "two".to_owned()]);
        assert_eq!(scene.agent.metric("tailwater_lines_truncated_total"), 1.0);
        scene.end();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_messages_are_taken_whatever_they_look_like() {
    let block = "    listen_protocol: udp\n    syslog_format: rfc3164\n    use_incoming_timestamp: true\n";
    let scene = Scene::new(block, SHOW);
    let now =
        || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64;
    let before = now();
    for (number, message) in [
        "<34>Oct 11 22:14:15 mymachine su[42]: 'su root' failed",
        "<189>45: *Oct 11 22:14:15.003: %SYS-5-CONFIG_I: Configured",
        "no header at all",
        "<165>1 2018-10-11T22:14:15.003Z host5 e - id1 - new",
    ]
    .into_iter()
    .enumerate()
    {
        scene.send(message.as_bytes());
        scene.lines(number + 1).await;
    }
    let entries = scene.loki.entries();
    let seen: Vec<String> =
        entries.iter().map(|entry| format!("{} {}", entry.label_text, entry.text())).collect();
    assert_eq!(
        seen,
        [
            r#"{app="su", facility="auth", host="mymachine", ip="127.0.0.1", job="net", proc="42", severity="critical"} 'su root' failed"#,
            r#"{app="%SYS-5-CONFIG_I", facility="local7", ip="127.0.0.1", job="net", severity="notice"} Configured"#,
            r#"{ip="127.0.0.1", job="net"} no header at all"#,
            r#"{app="e", facility="local4", host="host5", ip="127.0.0.1", job="net", msg="id1", severity="notice"} new"#,
        ]
    );
    let half_a_year = 184 * 86_400 * 1_000_000_000;
    assert!((entries[0].timestamp_ns - before).abs() < half_a_year, "not the year 0");
    assert_eq!(entries[1].timestamp_ns, entries[0].timestamp_ns + 3_000_000);
    assert!(entries[2].timestamp_ns >= before && entries[2].timestamp_ns <= now());
    assert_eq!(entries[3].timestamp_ns, 1_539_296_055_003_000_000);
    scene.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_messages_without_a_time_of_their_own_are_all_kept() {
    let scene = Scene::new("", "");
    scene.say("<165>1 2018-10-11T22:14:15.003Z - - - - - same\n".repeat(1000).as_bytes());
    scene.lines(1000).await;
    assert!(scene.loki.duplicates().is_empty());
    scene.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_nothing_gives_a_label_have_that_of_their_job() {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    let job = "- {job_name: net, syslog: {listen_address: '127.0.0.1:0'}}";
    let agent = Agent::start(directory.path(), &configuration(directory.path(), &client(&loki.url()), job));
    TcpStream::connect(agent.listening("net")).unwrap().write_all(b"<165>1 - - - - - - one\n").unwrap();
    loki.wait_for(|store| store.entries.len() == 1, PATIENCE).await.unwrap();
    assert_eq!(&*loki.entries()[0].label_text, r#"{job="net"}"#);
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_has_a_name_where_a_rule_wants_to_know() {
    let rules = "  relabel_configs: [{source_labels: [__syslog_connection_hostname], target_label: name}]\n";
    let scene = Scene::new("", rules);
    scene.say(b"<165>1 - - - - - - one\n");
    scene.lines(1).await;
    let name = scene.loki.entries()[0].label("name").to_owned();
    assert!(name.split(',').any(|name| name.trim_end_matches('.') == "localhost"), "{name}");
    scene.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_above_the_limit_are_closed_at_once_and_counted() {
    let scene = Scene::new("    max_connections: 2\n", "");
    let mut first = scene.connect();
    let _second = scene.connect();
    scene.agent.wait_for_metric("tailwater_connections_active{source=\"syslog\"}", |open| open == 2.0);
    assert!(is_closed(&mut scene.connect()));
    assert_eq!(scene.ended("limit"), 1.0);
    first.write_all(b"<165>1 - - - - - - one\n").unwrap();
    assert_eq!(scene.lines(1).await, ["one"]);
    drop(first);
    scene.agent.wait_for_metric("tailwater_connections_active{source=\"syslog\"}", |open| open == 1.0);
    scene.say(b"<165>1 - - - - - - two\n");
    assert_eq!(scene.lines(2).await[1], "two");
    scene.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_senders_at_once_keep_their_order_while_loki_fails() {
    let scene = Scene::new("", SHOW);
    scene.loki.answer_next(5, Fault::Status(500, "away".to_owned()));
    let address = scene.address;
    let senders = (0..20).map(|sender| {
        thread::spawn(move || {
            let mut socket = TcpStream::connect(address).unwrap();
            for line in 0..500 {
                let message = format!("<165>1 - s{sender} - - - - line {line}");
                // Odd ones count octets, and all write in pieces that end anywhere.
                let framed = if sender % 2 == 0 {
                    format!("{message}\n")
                } else {
                    format!("{} {message}", message.len())
                };
                let (head, tail) = framed.split_at(line % framed.len());
                socket.write_all(head.as_bytes()).unwrap();
                socket.write_all(tail.as_bytes()).unwrap();
            }
        })
    });
    senders.collect::<Vec<_>>().into_iter().for_each(|sender| sender.join().unwrap());
    scene.lines(10_000).await;
    let entries = scene.loki.entries();
    for sender in 0..20 {
        let of_sender = entries.iter().filter(|entry| entry.label("host") == format!("s{sender}"));
        let lines: Vec<String> = of_sender.map(|entry| entry.text()).collect();
        let expected: Vec<String> = (0..500).map(|line| format!("line {line}")).collect();
        assert_eq!(lines, expected, "sender {sender}");
    }
    scene.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_breaks_off_loses_its_last_message_only_and_it_is_counted() {
    let scene = Scene::new("", "");
    scene.say(b"22 <165>1 - - - - - - one22 <165>1 - - - - ");
    scene.agent.wait_for_metric("tailwater_messages_dropped_total", |dropped| dropped == 1.0);
    assert_eq!((scene.dropped("incomplete"), scene.ended("framing")), (1.0, 1.0));
    scene.say(b"<165>1 - - - - - - two\n<165>1 - - - - - - thr");
    assert_eq!(scene.lines(3).await, ["one", "two", "thr"], "where lines are the framing nobody can know");
    // A reset in the middle of everything.
    let socket = scene.connect();
    socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
    (&socket).write_all(b"<165>1 - - - - - - four\n").unwrap();
    assert_eq!(scene.lines(4).await[3], "four");
    drop(socket);
    scene.agent.wait_for_metric("tailwater_connections_active{source=\"syslog\"}", |open| open == 0.0);
    assert_eq!(scene.ended("error"), 1.0);
    scene.end();
}

/// 30 MB come while Loki is away and the spool holds one: TCP holds the sender up, and all of it arrives later.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_is_held_up_while_nothing_can_be_kept_and_loses_nothing() {
    const LINES: usize = 30_000;
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    loki.answer_all(Fault::Status(503, "away".to_owned()));
    let small = client(&loki.url()).replace("batchwait", "spool: {max_size: 1MB}, batchwait");
    let agent =
        Agent::start(directory.path(), &configuration(directory.path(), &small, &listener(0, "", "")));
    let mut socket = TcpStream::connect(agent.listening("net")).unwrap();
    let sender = thread::spawn(move || {
        let mut state = 1u64;
        for number in 0..LINES {
            let mut line = format!("<165>1 - - - - - - {number}");
            while line.len() < 1000 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                line += &format!(" {:012x}", state >> 16);
            }
            socket.write_all((line + "\n").as_bytes()).unwrap();
        }
    });
    agent.wait_for_log("it is full, lines wait in memory and at their sources");
    assert!(!sender.is_finished());
    loki.heal();
    loki.wait_for(|store| store.entries.len() >= LINES, PATIENCE).await.unwrap();
    sender.join().unwrap();
    let mut entries = loki.entries();
    entries.sort_by_key(|entry| entry.timestamp_ns);
    assert!(
        entries.iter().enumerate().all(|(number, entry)| entry.text().starts_with(&format!("{number} ")))
    );
    assert!(agent.peak_memory_kib() < 150 * 1024, "{} KiB", agent.peak_memory_kib());
    agent.assert_nothing_is_missing();
    agent.terminate();
}

/// What the kernel has no room for is lost; the agent says how much.
#[tokio::test(flavor = "multi_thread")]
async fn every_datagram_of_a_flood_is_taken_or_counted_as_lost() {
    const COUNT: usize = 200_000;
    let scene = Scene::new("    listen_protocol: udp\n", "");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..COUNT {
        socket.send_to(format!("<165>1 - - - - - - line {number}").as_bytes(), scene.address).unwrap();
    }
    let started = Instant::now();
    loop {
        let (read, lost) = (
            scene.agent.metric("tailwater_lines_read_total{source=\"syslog\"}"),
            scene.agent.metric("tailwater_datagrams_lost_total{source=\"syslog\"}"),
        );
        if read + lost == COUNT as f64 {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{read} read, {lost} lost");
        thread::sleep(Duration::from_millis(20));
    }
    scene.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_is_delivered_at_the_end_or_is_on_disk() {
    for away in [false, true] {
        let scene = Scene::new("", "");
        if away {
            scene.loki.answer_all(Fault::Hang);
        }
        let mut socket = scene.connect();
        socket.write_all("<165>1 - - - - - - line\n".repeat(1000).as_bytes()).unwrap();
        socket.write_all(b"<165>1 - - - - - - unfinished").unwrap();
        scene.agent.wait_for_metric("tailwater_lines_read_total", |lines| lines >= 900.0);
        let (status, log) = scene.agent.terminate();
        assert!(status.success(), "{log}");
        scene.loki.heal();
        let text = configuration(scene.directory.path(), &client(&scene.loki.url()), &listener(0, "", ""));
        let agent = Agent::start(scene.directory.path(), &text);
        scene.loki.wait_for(|store| store.entries.len() >= 1001, PATIENCE).await.unwrap();
        assert_eq!(scene.loki.store().lines().last().unwrap(), "unfinished");
        agent.terminate();
    }
}

/// A sender's connection, and the port, outlive ten reloads that change what becomes of its messages.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_loses_no_message_and_no_connection() {
    for protocol in ["tcp", "udp"] {
        let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
        let text = |round: usize| {
            let block = format!("    listen_protocol: {protocol}\n");
            let job = format!("  pipeline_stages: [{{static_labels: {{round: '{round}'}}}}]\n");
            configuration(directory.path(), &client(&loki.url()), &listener(0, &block, &job))
        };
        let agent = Agent::start(directory.path(), &text(0));
        let address = agent.listening("net");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let sender = thread::spawn(move || {
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            let mut tcp = (protocol == "tcp").then(|| TcpStream::connect(address).unwrap());
            let mut sent = 0;
            while !stopped.load(Ordering::Relaxed) {
                let message = format!("<165>1 - - - - - - line {sent}\n");
                match &mut tcp {
                    Some(tcp) => tcp.write_all(message.as_bytes()).unwrap(),
                    None => assert_eq!(udp.send_to(message.as_bytes(), address).unwrap(), message.len()),
                }
                sent += 1;
                thread::sleep(Duration::from_micros(200));
            }
            sent
        });
        for round in 0..=10usize {
            if round > 0 {
                std::fs::write(directory.path().join("tailwater.yaml"), text(round)).unwrap();
                agent.signal("HUP");
                agent.wait_for_metric("tailwater_config_reloads_total", |reloads| reloads == round as f64);
            }
            let arrived = loki.wait_for(
                |store| store.entries.iter().any(|entry| entry.label("round") == round.to_string()),
                PATIENCE,
            );
            arrived.await.unwrap_or_else(|_| panic!("{protocol}, round {round}:\n{}", agent.log()));
        }
        stop.store(true, Ordering::Relaxed);
        let sent = sender.join().unwrap();
        agent.wait_for_metric("tailwater_lines_read_total", |read| {
            read + agent.metric_sum("tailwater_datagrams_lost_total") == f64::from(sent)
        });
        agent.assert_nothing_is_missing();
        if protocol == "tcp" {
            loki.wait_for(|store| store.entries.len() >= sent as usize, PATIENCE).await.unwrap();
            let mut entries = loki.entries();
            entries.sort_by_key(|entry| entry.timestamp_ns);
            let all_in_order =
                entries.iter().enumerate().all(|(line, entry)| entry.text() == format!("line {line}"));
            assert!(all_in_order && entries.len() == sent as usize, "{} of {sent}", entries.len());
            agent.wait_for_metric("tailwater_connections_active{source=\"syslog\"}", |open| open == 0.0);
        }
        assert_eq!(agent.metric("tailwater_targets_active{source=\"syslog\"}"), 1.0);
        agent.terminate();
    }
}

/// Where the port or how connections are kept changes, the port is opened again.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_changes_how_is_listened_opens_the_port_again() {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = |longest: usize| {
        let block = format!("    max_message_length: {longest}\n");
        configuration(directory.path(), &client(&loki.url()), &listener(port, &block, ""))
    };
    let agent = Agent::start(directory.path(), &text(1000));
    let mut before = TcpStream::connect(("127.0.0.1", port)).unwrap();
    before.set_read_timeout(Some(PATIENCE)).unwrap();
    before.write_all(b"<165>1 - - - - - - from before").unwrap();
    agent.wait_for_metric("tailwater_connections_active{source=\"syslog\"}", |open| open == 1.0);
    std::fs::write(directory.path().join("tailwater.yaml"), text(2000)).unwrap();
    agent.signal("HUP");
    assert!(is_closed(&mut before));
    let started = Instant::now();
    while agent.log().matches("msg=listening job=net ").count() < 2 {
        assert!(started.elapsed() < PATIENCE, "{}", agent.log());
        thread::sleep(Duration::from_millis(5));
    }
    let mut after = TcpStream::connect(("127.0.0.1", port)).unwrap();
    after.write_all(b"<165>1 - - - - - - from after\n").unwrap();
    loki.wait_for(|store| store.entries.len() >= 2, PATIENCE).await.unwrap();
    assert_eq!(loki.store().lines(), ["from before", "from after"]);
    agent.assert_nothing_is_missing();
    agent.terminate();
}

fn refusal(directory: &Path, block: &str) -> String {
    let text = configuration(directory, &client("http://127.0.0.1:1"), &listener(0, block, ""));
    let file = directory.join("refused.yaml");
    std::fs::write(&file, text).unwrap();
    let (status, log) = Agent::spawn(&[&format!("-config.file={}", file.display())]).wait();
    assert_eq!(status.code(), Some(1), "{log}");
    log
}

#[test]
fn what_cannot_work_is_refused_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    for (block, says) in [
        ("    syslog_format: rfc5425\n", "unknown format `rfc5425`"),
        ("    listen_protocol: sctp\n", "unknown protocol `sctp`"),
        ("    max_message_length: 99999999\n", "a message of more than 16777216 bytes is not taken"),
        ("    tls_config: {cert_file: /none.pem}\n", "`cert_file` needs `key_file`"),
        ("    tls_config: {key_file: /none.pem}\n", "`key_file` needs `cert_file`"),
        ("    tls_config: {ca_file: /none.pem}\n", "`ca_file` needs `cert_file`"),
        ("    tls_config: {cert_file: /none.pem, key_file: /none.pem}\n", "cannot read /none.pem"),
    ] {
        let log = refusal(directory.path(), block);
        assert!(log.contains(says) && log.contains("refused.yaml:"), "{log}");
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let text =
        configuration(directory.path(), &client("http://127.0.0.1:1"), &listener(address.port(), "", ""));
    std::fs::write(directory.path().join("taken.yaml"), text).unwrap();
    let file = format!("-config.file={}", directory.path().join("taken.yaml").display());
    let (status, log) = Agent::spawn(&[&file]).wait();
    assert_eq!(status.code(), Some(1));
    assert!(
        log.contains(&format!("job `net` cannot listen on {address} (tcp): Address already in use")),
        "{log}"
    );
}
