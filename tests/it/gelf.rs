//! GELF over UDP: chunks, compression, and what is neither.

use std::io::Write as _;
use std::net::{SocketAddr, UdpSocket};

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use crate::agent::{Agent, PATIENCE, client, configuration};
use crate::support::fake_loki::{FakeLoki, Limits};

struct Scene {
    _directory: tempfile::TempDir,
    loki: FakeLoki,
    agent: Agent,
    address: SocketAddr,
    socket: UdpSocket,
}

impl Scene {
    fn new() -> Scene {
        let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
        let job = "- job_name: net\n  gelf: {listen_address: '127.0.0.1:0', use_incoming_timestamp: true, labels: {job: gelf}}\n\
            \x20 relabel_configs:\n\
            \x20 - {action: labelmap, regex: '__gelf_message_(.*)'}\n";
        let agent =
            Agent::start(directory.path(), &configuration(directory.path(), &client(&loki.url()), job));
        let address = agent.listening("net");
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        Scene { _directory: directory, loki, agent, address, socket }
    }

    fn send(&self, datagram: &[u8]) {
        self.socket.send_to(datagram, self.address).unwrap();
    }

    async fn lines(&self, count: usize) -> Vec<String> {
        let arrived = self.loki.wait_for(|store| store.entries.len() >= count, PATIENCE).await;
        arrived.unwrap_or_else(|_| panic!("{:?}", self.loki.store().lines()));
        self.loki.store().lines()
    }

    fn end(self) {
        self.agent.assert_nothing_is_missing();
        self.loki.assert_no_violations();
        self.agent.terminate();
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn chunks(id: u8, message: &[u8], size: usize) -> Vec<Vec<u8>> {
    let parts: Vec<&[u8]> = message.chunks(size).collect();
    let head = |number: usize| [0x1e, 0x0f, id, 2, 3, 4, 5, 6, 7, 8, number as u8, parts.len() as u8];
    parts.iter().enumerate().map(|(number, part)| [&head(number)[..], part].concat()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn b_gelf_1_messages_keep_their_times_labels_and_fields() {
    let scene = Scene::new();
    let line = |number: u32| {
        format!(
            r#"{{"version":"1.1","host":"h1","short_message":"message {number}","timestamp":{}.{},"level":3,"facility":"test","_id":123456789012345678,"_n":{number}}}"#,
            1_385_053_862 + number / 4,
            ["0", "25", "5", "75"][number as usize % 4],
        )
    };
    for number in 0..10 {
        let message = line(number);
        match number % 3 {
            0 => scene.send(message.as_bytes()),
            1 => scene.send(&gzip(message.as_bytes())),
            _ => scene.send(&zlib(message.as_bytes())),
        }
    }
    assert_eq!(scene.lines(10).await, (0..10).map(line).collect::<Vec<_>>());
    for (number, entry) in scene.loki.entries().iter().enumerate() {
        assert_eq!(
            &*entry.label_text,
            r#"{facility="test", host="h1", job="gelf", level="error", version="1.1"}"#
        );
        assert_eq!(entry.timestamp_ns, 1_385_053_862_000_000_000 + 250_000_000 * number as i64);
    }
    scene.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn b_gelf_2_chunks_of_two_messages_are_put_together() {
    let scene = Scene::new();
    let message = |name: &str| {
        format!(r#"{{"version":"1.1","host":"{name}","short_message":"{}"}}"#, name.repeat(3000))
    };
    let (one, two) = (message("one"), message("two"));
    let (first, second) = (chunks(1, one.as_bytes(), 500), chunks(2, &gzip(two.as_bytes()), 20));
    for number in 0..first.len().max(second.len()) {
        // The second comes backwards.
        for part in [first.get(number), second.iter().rev().nth(number)].into_iter().flatten() {
            scene.send(part);
        }
    }
    let mut lines = scene.lines(2).await;
    lines.sort();
    assert_eq!(lines, [one, two]);
    scene.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_datagram_may_be_as_long_as_there_are_any() {
    let scene = Scene::new();
    let message = format!(r#"{{"version":"1.1","host":"h","short_message":"{}"}}"#, "x".repeat(60_000));
    scene.send(message.as_bytes());
    assert_eq!(scene.lines(1).await, [message]);
    scene.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_is_dropped_and_counted() {
    let scene = Scene::new();
    for datagram in [&b"noise"[..], b"[]", b"\x1e\x0fshort", &gzip(b"{}")[..12], &gzip(&vec![b' '; 40 << 20])]
    {
        scene.send(datagram);
    }
    // Half a message: nobody waits for the rest for longer than 5 s.
    scene.send(&chunks(1, b"{\"short_message\": 1}", 10)[0]);
    scene.send(br#"{"host":"h"}"#);
    assert_eq!(scene.lines(1).await, [r#"{"host":"h"}"#]);
    let dropped = |reason: &str| {
        scene
            .agent
            .metric(&format!("tailwater_messages_dropped_total{{reason=\"{reason}\",source=\"gelf\"}}"))
    };
    assert_eq!((dropped("malformed"), dropped("undecompressible")), (3.0, 2.0));
    scene.agent.wait_for_metric("tailwater_messages_dropped_total", |sum| sum == 6.0);
    assert_eq!(dropped("incomplete"), 1.0);
    scene.end();
}
