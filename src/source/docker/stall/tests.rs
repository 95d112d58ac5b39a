//! Streams that stand still, and streams that are only silent.

use std::path::Path;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

use super::*;
use crate::custody::{Cursor, DockerPoint};
use crate::http;
use crate::source::docker::host::Host;

const SOON: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(20);

/// A daemon whose follow streams say nothing, or, where it is told, something once they were asked about; its answers
/// to questions are a message of the year `last`.
async fn daemon(socket: &Path, last: &'static str, late: bool) {
    let listener = UnixListener::bind(socket).unwrap();
    let asked = Arc::new(tokio::sync::Notify::new());
    loop {
        let (mut wire, _) = listener.accept().await.unwrap();
        let asked = asked.clone();
        tokio::spawn(async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(wire.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            wire.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").await.unwrap();
            if head.contains("follow=0") {
                assert!(head.contains("tail=1") && head.contains("since=1763461800.000000000"), "{head}");
                let text = format!("{last}-11-18T10:30:00.000000000Z hello\n");
                let frame = [&[1, 0, 0, 0, 0, 0, 0, u8::try_from(text.len()).unwrap()], text.as_bytes()];
                wire.write_all(&frame.concat()).await.unwrap();
                asked.notify_one();
            } else {
                if late {
                    asked.notified().await;
                    wire.write_all(b"late").await.unwrap();
                }
                std::future::pending::<()>().await;
            }
        });
    }
}

/// What is heard in a stream of that daemon within `patience`.
async fn heard(last: &'static str, late: bool, grace: Duration, patience: Duration) -> Option<Heard> {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("docker.sock");
    let served = tokio::spawn({
        let socket = socket.clone();
        async move { daemon(&socket, last, late).await }
    });
    while !socket.exists() {
        tokio::task::yield_now().await;
    }
    let host = Host::Unix(socket);
    let endpoint = Endpoint::new(&host, &http::Settings::plain(LONG)).unwrap();
    let point = DockerPoint { since: UnixNanos(1_763_461_800_000_000_000), frames: 1 };
    let place =
        Place::from_cursor(Cursor::Docker { all: point, stdout: None, stderr: None, file: None }).unwrap();
    let subject = Subject { endpoint: &endpoint, version: "1.41", id: "x", tty: false, place };
    let mut stream = LogStream::open(&endpoint, "1.41", "x", "0").await.unwrap();
    let questions = Arc::new(Questions::new(SOON, grace));
    let mut listener = Listener::new(&questions);
    let heard = timeout(patience, listener.next(&mut stream, &subject)).await.ok();
    served.abort();
    heard
}

#[tokio::test]
async fn a_stream_that_stays_silent_while_its_log_goes_on_stands_still() {
    assert_eq!(heard("2026", false, SOON, LONG).await, Some(Heard::Stalled));
}

#[tokio::test]
async fn a_stream_whose_log_says_no_more_than_was_read_is_only_silent() {
    assert_eq!(heard("2025", false, SOON, SOON * 20).await, None);
}

#[tokio::test]
async fn what_is_on_its_way_is_waited_for() {
    assert_eq!(heard("2026", true, LONG, LONG).await, Some(Heard::Bytes(Bytes::from("late"))));
}

#[test]
fn the_more_streams_are_silent_the_less_often_each_is_asked_about() {
    let questions = Arc::new(Questions::default());
    let listeners = |count: usize| (0..count).map(|_| Listener::new(&questions)).collect::<Vec<_>>();
    let long = Duration::from_secs(3600);
    let few = listeners(60);
    assert_eq!(questions.pause(long), SILENCE);
    let more = listeners(40);
    assert!(questions.pause(long) + GRACE <= Duration::from_secs(30));
    let many = listeners(900);
    assert_eq!(questions.pause(long), Duration::from_secs(250));
    assert_eq!(questions.pause(Duration::from_secs(59)), SILENCE, "where something was heard lately");
    drop((few, more, many));
    assert_eq!(questions.streams.load(Ordering::Relaxed), 0);
}

#[test]
fn the_time_of_a_message_is_read_with_and_without_a_frame() {
    let time = Some(UnixNanos(1_763_461_800_000_000_001));
    let text = b"2025-11-18T10:30:00.000000001Z hello\n";
    assert_eq!(last_time(text, true), time);
    assert_eq!(last_time(&[&[2, 0, 0, 0, 0, 0, 0, 38], &text[..]].concat(), false), time);
    assert_eq!(last_time(b"", false), None);
    assert_eq!(last_time(b"\x01\0\0\0\0\0\0\x05hello", false), None);
}
