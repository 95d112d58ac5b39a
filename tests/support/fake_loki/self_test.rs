//! Holds the fake to `loki-behaviour.md`, row by row, and to its own script.
//! In: pushes made by hand.  Out: assertions.  Owns: nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use prost::Message;
use tokio::net::TcpStream;

use super::wire::{Entry, LabelPair, PushRequest, Stream, Timestamp};
use super::{FakeLoki, Fault, FaultKind, Limits, PUSH_PATH};

const NOW_S: i64 = 1_795_000_000;
const SOON: Duration = Duration::from_secs(10);

fn loki(limits: Limits) -> FakeLoki {
    FakeLoki::start_at(limits, Arc::new(|| NOW_S * 1_000_000_000))
}

fn entry(age_s: i64, line: impl Into<Bytes>) -> Entry {
    let timestamp = Some(Timestamp { seconds: NOW_S - age_s, nanos: 0 });
    Entry { timestamp, line: line.into(), ..Entry::default() }
}

fn stream(labels: impl Into<Bytes>, entries: Vec<Entry>) -> Stream {
    Stream { labels: labels.into(), entries, hash: 0 }
}

fn one(labels: impl Into<Bytes>) -> Stream {
    stream(labels, vec![entry(0, "x")])
}

fn good() -> Stream {
    stream(r#"{good="1"}"#, vec![entry(0, "good")])
}

fn encode(streams: Vec<Stream>) -> Vec<u8> {
    let push = PushRequest { streams, format: Bytes::new() };
    snap::raw::Encoder::new().compress_vec(&push.encode_to_vec()).unwrap()
}

struct Answer {
    status: u16,
    body: String,
    headers: HeaderMap,
}

/// `Err` when the connection was refused or broke off.
async fn send(loki: &FakeLoki, content_type: &str, tenant: &str, body: Vec<u8>) -> Result<Answer, String> {
    let stream = TcpStream::connect(loki.address()).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.unwrap();
    let driving = tokio::spawn(connection);
    let request = Request::post(PUSH_PATH)
        .header("host", "fake")
        .header("content-type", content_type)
        .header("x-scope-orgid", tenant)
        .body(Full::from(body))
        .unwrap();
    let answer = sender.send_request(request).await;
    let answer = match answer {
        Ok(response) => {
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
            let body = String::from_utf8(body.to_vec()).unwrap();
            Ok(Answer { status: head.status.as_u16(), body, headers: head.headers })
        }
        Err(error) => Err(format!("{error:?}")),
    };
    driving.abort();
    answer
}

async fn push(loki: &FakeLoki, streams: Vec<Stream>) -> Answer {
    send(loki, "application/x-protobuf", "", encode(streams)).await.unwrap()
}

#[tokio::test]
async fn pushes_are_answered_and_stored_as_recorded() {
    let long = "v".repeat(3_000);
    let many = (0..16).map(|i| format!(r#"l{i:02}="v""#)).collect::<Vec<_>>().join(", ");
    let twice = || stream("{}", vec![entry(0, "x"), entry(0, "x")]);
    let (min, day) = (60, 86_400);
    #[rustfmt::skip]
    let rows: Vec<(&str, Vec<Stream>, u16, String, usize)> = vec![
        ("one good line", vec![good()], 204, "".into(), 1),
        ("empty push", vec![], 422, "error at least one valid stream is required for ingestion".into(), 0),
        ("no entries", vec![stream(r#"{a="1"}"#, vec![])], 204, "".into(), 0),
        ("labels without braces", vec![good(), one("app=x")], 400, "couldn't parse labels: 1:4: parse error: ".into(), 0),
        ("unterminated quote", vec![good(), one(r#"{a="x}"#)], 400, "couldn't parse labels: 1:".into(), 0),
        ("dash in a name", vec![good(), one(r#"{a-b="x"}"#)], 400, "couldn't parse labels: 1:".into(), 0),
        ("invalid UTF-8 in a value", vec![good(), one(&b"{a=\"\xff\"}"[..])], 400, "couldn't parse labels: 1:".into(), 0),
        ("no labels", vec![one("{}")], 204, "".into(), 1),
        ("an empty value", vec![one(r#"{a=""}"#)], 204, "".into(), 1),
        ("not sorted, no space", vec![one(r#"{b="1",a="2"}"#)], 204, "".into(), 1),
        ("a name twice", vec![one(r#"{a="1", a="2"}"#), good()], 400, r#"stream '{a="1", a="2"}' has duplicate label name: 'a'"#.into(), 1),
        ("16 labels", vec![one(format!("{{{many}}}")), good()], 400, format!("entry for stream '{{{many}}}' has 16 label names; limit 15"), 1),
        ("long value", vec![one(format!(r#"{{a="{long}"}}"#)), good()], 400, format!("stream '{{a=\"{long}\"}}' has label value too long"), 1),
        ("8 days old", vec![stream("{}", vec![entry(8 * day, "x"), entry(0, "y")])], 400, "entry for stream '{}' has timestamp too old: 2026-11-".into(), 1),
        ("15 min ahead", vec![stream("{}", vec![entry(-15 * min, "x"), entry(0, "y")])], 400, "entry for stream '{}' has timestamp too new: 2026-11-".into(), 1),
        ("30 min behind", vec![stream("{}", vec![entry(0, "x"), entry(30 * min, "y")])], 204, "".into(), 2),
        ("70 min behind", vec![stream("{}", vec![entry(0, "x"), entry(70 * min, "y")])], 400, "entry with timestamp 2026-11-".into(), 1),
        ("twice in one push", vec![twice()], 204, "".into(), 1),
        ("same time, other line", vec![stream("{}", vec![entry(0, "x"), entry(0, "y")])], 204, "".into(), 2),
        ("a long line", vec![stream("{}", vec![entry(0, "x".repeat(300_000)), entry(0, "y")])], 400, "max entry size '262144' bytes exceeded for stream '{}' while adding an entry with length '300000' bytes".into(), 1),
        ("not UTF-8", vec![stream("{}", vec![entry(0, &b"\xff\xfe"[..])])], 204, "".into(), 1),
        ("empty, NUL, newline", vec![stream("{}", vec![entry(0, ""), entry(0, "\0"), entry(0, "a\nb")])], 204, "".into(), 3),
        ("timestamp 0", vec![stream("{}", vec![entry(NOW_S, "x")]), good()], 400, "entry for stream '{}' has timestamp too old: 1970-01-01T00:00:00Z".into(), 1),
    ];
    for (row, streams, status, body, stored) in rows {
        let loki = loki(Limits::default());
        let answer = push(&loki, streams).await;
        assert_eq!(answer.status, status, "{row}: {}", answer.body);
        assert!(answer.body.starts_with(&body), "{row}: {} does not begin with {body}", answer.body);
        assert_eq!(loki.entries().len(), stored, "{row}");
        assert!(!answer.headers.contains_key("retry-after"), "{row}");
        let content_type = answer.headers.get("content-type").map(|value| value.to_str().unwrap());
        assert_eq!(content_type.is_some_and(|text| text.starts_with("text/plain")), status != 204, "{row}");
    }
}

#[tokio::test]
async fn bodies_that_are_no_push_are_refused_as_recorded() {
    let compressed = |raw: &[u8]| snap::raw::Encoder::new().compress_vec(raw).unwrap();
    let (protobuf, json) = ("application/x-protobuf", "application/json");
    let rows = [
        (protobuf, b"not snappy".to_vec(), 400, "snappy: corrupt input"),
        (protobuf, compressed(b"\x0f nonsense"), 400, "proto: illegal wireType 7"),
        (json, encode(vec![good()]), 400, "readObjectStart: expect { or n"),
    ];
    for (content_type, bytes, status, body) in rows {
        let loki = loki(Limits::default());
        let answer = send(&loki, content_type, "", bytes).await.unwrap();
        assert_eq!((answer.status, answer.body.starts_with(body)), (status, true), "{}", answer.body);
        assert!(loki.entries().is_empty());
    }
}

#[tokio::test]
async fn what_is_too_much_at_once_is_refused_whole() {
    let lines =
        |n: i64| stream(r#"{big="1"}"#, (0..n).map(|i| entry(-i % 60, format!("{i:01000}"))).collect());
    let loki = loki(Limits::default());
    let answer = push(&loki, vec![lines(5_000), good()]).await;
    assert_eq!(answer.status, 500);
    assert!(
        answer.body.starts_with("rpc error: code = ResourceExhausted desc = grpc: received message larger")
    );
    let answer = push(&loki, vec![lines(7_000), good()]).await;
    assert_eq!(answer.status, 429);
    let body = "ingestion rate limit exceeded for user fake (limit: 4194304 bytes/sec) while attempting to ingest '7001' lines";
    assert!(answer.body.starts_with(body), "{}", answer.body);
    assert!(loki.entries().is_empty());
}

#[tokio::test]
async fn streams_above_the_limit_are_refused_and_the_others_stored() {
    let loki = loki(Limits { max_streams: 50, ..Limits::default() });
    let streams = |from, to| (from..to).map(|i| one(format!(r#"{{i="{i}"}}"#))).collect::<Vec<_>>();
    assert_eq!(push(&loki, streams(0, 19)).await.status, 204);
    let answer = push(&loki, streams(19, 79)).await;
    assert_eq!(answer.status, 429);
    assert!(
        answer
            .body
            .starts_with("maximum active stream limit exceeded when trying to create stream {i=\"78\"}")
    );
    assert_eq!(loki.entries().len(), 50);
    // Only the last stream's fate is reported: here 29 are refused under a 204.
    assert_eq!(push(&loki, [streams(50, 79), streams(0, 1)].concat()).await.status, 204);
    assert_eq!(loki.store().refused["stream_limit"], 29 + 29);
}

#[tokio::test]
async fn a_repetition_is_stored_once_for_each_tenant() {
    let loki = loki(Limits::default());
    let mut with_metadata = good();
    with_metadata.entries[0].structured_metadata = vec![LabelPair { name: "m".into(), value: "1".into() }];
    for (tenant, stream) in [("", good()), ("", with_metadata), ("b", good())] {
        send(&loki, "application/x-protobuf", tenant, encode(vec![stream])).await.unwrap();
    }
    let tenants: Vec<_> = loki.entries().iter().map(|entry| entry.tenant.clone()).collect();
    assert_eq!(tenants, [None, Some("b".into())]);
    assert_eq!((loki.duplicates().len(), loki.store().received), (1, 3));
    assert_eq!(loki.requests()[2].tenant(), Some("b"));
    loki.assert_no_violations();
}

#[tokio::test]
async fn what_is_too_far_behind_is_counted_in_the_answer() {
    let loki = loki(Limits::default());
    let answer = push(&loki, vec![stream("{}", vec![entry(0, "x"), entry(4_200, "y")])]).await;
    assert!(
        answer.body.ends_with("user 'fake', total ignored: 1 out of 2 for stream: {}\n"),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn faults_come_in_the_order_of_the_script() {
    let loki = loki(Limits::default());
    loki.answer_next(1, Fault::Status(503, "later".into()));
    loki.answer_next(1, Fault::RateLimit429 { retry_after: Some(7) });
    loki.answer_next(1, Fault::StoreThenStatus(502));
    loki.answer_next(1, Fault::Delay(Duration::from_millis(5)));
    loki.answer_all(Fault::Status(500, "always".into()));
    let mut statuses = Vec::new();
    for _ in 0..6 {
        let answer = push(&loki, vec![good()]).await;
        assert_eq!(answer.headers.contains_key("retry-after"), answer.status == 429);
        statuses.push(answer.status);
    }
    assert_eq!(statuses, [503, 429, 502, 204, 500, 500]);
    assert_eq!((loki.entries().len(), loki.duplicates().len()), (1, 1));
    assert_eq!(loki.faults_met(FaultKind::Status), 3);
    loki.heal();
    assert_eq!(push(&loki, vec![good()]).await.status, 204);
}

#[tokio::test]
async fn a_reset_breaks_the_connection_before_or_after_storing() {
    let loki = loki(Limits::default());
    let body = || encode(vec![good()]);
    for (fault, stored) in [(Fault::Reset, 0), (Fault::ResetBeforeReading, 0), (Fault::StoreThenReset, 1)] {
        loki.answer_next(1, fault.clone());
        let broken = send(&loki, "application/x-protobuf", "", body()).await;
        let error = broken.err().expect("no answer");
        assert!(error.contains("ConnectionReset") || error.contains("IncompleteMessage"), "{error}");
        assert_eq!((loki.faults_met(fault.kind()), loki.entries().len()), (1, stored));
    }
    assert!(loki.requests().iter().all(|request| request.status.is_none()));
}

#[tokio::test]
async fn a_push_outlives_the_client_that_gave_up() {
    let loki = loki(Limits::default());
    loki.answer_next(1, Fault::Delay(Duration::from_millis(50)));
    let gave_up = tokio::select! {
        _ = push(&loki, vec![good()]) => false,
        met = loki.wait_for(|store| store.faults_met(FaultKind::Delay) == 1, SOON) => met.is_ok(),
    };
    assert!(gave_up);
    loki.wait_for(|store| store.entries.len() == 1, SOON).await.unwrap();
}

#[tokio::test]
async fn a_hanging_push_never_gets_an_answer() {
    let loki = loki(Limits::default());
    loki.answer_next(1, Fault::Hang);
    let answered = tokio::select! {
        _ = push(&loki, vec![good()]) => true,
        hung = loki.wait_for(|store| store.requests.len() == 1, SOON) => hung.is_err(),
    };
    assert!(!answered && loki.entries().is_empty());
    loki.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_refuses_connections_and_ends_on_the_same_port() {
    let loki = loki(Limits::default());
    for round in 1..=20 {
        assert_eq!(push(&loki, vec![stream("{}", vec![entry(-round, "x")])]).await.status, 204);
        loki.stop().await;
        let refused = send(&loki, "application/x-protobuf", "", encode(vec![good()])).await;
        assert!(refused.err().unwrap().contains("refused"));
        loki.restart_on_same_port().await;
    }
    assert_eq!(loki.entries().len(), 20);
}

#[tokio::test]
async fn a_wait_in_vain_tells_what_arrived() {
    let loki = loki(Limits::default());
    push(&loki, vec![good()]).await;
    let error = loki.wait_for(|store| store.entries.len() == 2, Duration::from_millis(1)).await.unwrap_err();
    assert!(format!("{error:?}").contains("1 stored") && error.to_string().contains("good"), "{error}");
}

#[tokio::test]
async fn what_loki_tolerates_is_still_a_violation() {
    for (content_type, streams) in
        [("text/plain", vec![good()]), ("application/x-protobuf", vec![one(r#"{b="1", a="2"}"#)])]
    {
        let loki = loki(Limits::default());
        assert_eq!(send(&loki, content_type, "", encode(streams)).await.unwrap().status, 204);
        assert_eq!(loki.store().violations.len(), 1);
    }
}
