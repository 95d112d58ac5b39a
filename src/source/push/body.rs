//! What is in a push: Loki's protobuf or JSON, compressed or not.
//! In: a body and what its headers say of it.  Out: streams.  Owns: nothing.

use std::borrow::Cow;
use std::fmt;
use std::io::Read;

use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use prost::Message as _;
use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};

use crate::batch::{EntryMessage, PushRequest};
use crate::pipeline::label_set;
use crate::record::UnixNanos;

/// One stream of a push.
#[derive(Debug, PartialEq)]
pub(super) struct Pushed {
    pub(super) labels: Vec<(String, String)>,
    pub(super) entries: Vec<Entry>,
}

/// One line of it.
#[derive(Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) time: UnixNanos,
    pub(super) line: Vec<u8>,
    pub(super) metadata: Vec<(String, String)>,
}

/// Why a body is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("{0}")]
    Malformed(String),
    #[error("the message has more than {0} bytes")]
    TooLarge(usize),
    #[error("`{0}` is no encoding of this endpoint: none, snappy, gzip or deflate")]
    Encoding(String),
}

/// Takes a push apart, which may have `limit` bytes once it is not compressed any more.
pub(super) fn decode(
    content_type: &str,
    encoding: &str,
    body: &[u8],
    limit: usize,
) -> Result<Vec<Pushed>, BodyError> {
    let body = inflate(encoding, body, limit)?;
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        return json(&body);
    }
    protobuf(&body, limit)
}

/// Undoes `Content-Encoding`. Snappy is part of the protobuf form whether the header says so or not.
pub(super) fn inflate<'b>(encoding: &str, body: &'b [u8], limit: usize) -> Result<Cow<'b, [u8]>, BodyError> {
    match encoding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" | "snappy" => Ok(Cow::Borrowed(body)),
        "gzip" => read(MultiGzDecoder::new(body), limit),
        // By the letter of HTTP this is the format of zlib; some senders leave its frame out.
        "deflate" => read(ZlibDecoder::new(body), limit)
            .or_else(|_| read(flate2::bufread::DeflateDecoder::new(body), limit)),
        other => Err(BodyError::Encoding(other.to_owned())),
    }
}

fn read<'b>(input: impl Read, limit: usize) -> Result<Cow<'b, [u8]>, BodyError> {
    let mut bytes = Vec::new();
    // One byte more shows that there is more.
    let mut input = input.take(limit as u64 + 1);
    input.read_to_end(&mut bytes).map_err(|error| malformed("cannot be decompressed", &error))?;
    if bytes.len() > limit { Err(BodyError::TooLarge(limit)) } else { Ok(Cow::Owned(bytes)) }
}

fn malformed(what: &str, error: &dyn fmt::Display) -> BodyError {
    BodyError::Malformed(format!("the message {what}: {error}"))
}

fn protobuf(body: &[u8], limit: usize) -> Result<Vec<Pushed>, BodyError> {
    let length = snap::raw::decompress_len(body).map_err(|error| malformed("is not snappy", &error))?;
    if length > limit {
        return Err(BodyError::TooLarge(limit));
    }
    let bytes =
        snap::raw::Decoder::new().decompress_vec(body).map_err(|error| malformed("is not snappy", &error))?;
    let request =
        PushRequest::decode(bytes.as_slice()).map_err(|error| malformed("is not a push", &error))?;
    let streams = request.streams.into_iter().map(|stream| {
        let labels = label_set(&stream.labels)
            .map_err(|error| malformed(&format!("has labels `{}`", shown(&stream.labels)), &error))?;
        Ok(Pushed { labels, entries: stream.entries.into_iter().map(entry).collect() })
    });
    streams.collect()
}

/// The beginning of what a sender wrote.
fn shown(text: &str) -> &str {
    &text[..text.floor_char_boundary(200)]
}

fn entry(message: EntryMessage) -> Entry {
    let time = message.timestamp.unwrap_or_default();
    let nanos = time.seconds.saturating_mul(1_000_000_000).saturating_add(time.nanos.into());
    let metadata = message.structured_metadata.into_iter().map(|pair| (pair.name, pair.value)).collect();
    Entry { time: UnixNanos(nanos), line: message.line.into(), metadata }
}

#[derive(serde::Deserialize)]
struct JsonPush {
    #[serde(default)]
    streams: Vec<JsonStream>,
}

#[derive(serde::Deserialize)]
struct JsonStream {
    #[serde(default)]
    stream: Pairs,
    #[serde(default)]
    values: Vec<Entry>,
}

fn json(body: &[u8]) -> Result<Vec<Pushed>, BodyError> {
    let push: JsonPush =
        serde_json::from_slice(body).map_err(|error| malformed("is not a push in JSON", &error))?;
    let streams = push.streams.into_iter();
    Ok(streams.map(|stream| Pushed { labels: stream.stream.0, entries: stream.values }).collect())
}

/// A mapping of texts to texts.
#[derive(Default)]
struct Pairs(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pairs, D::Error> {
        let pairs = std::collections::BTreeMap::deserialize(deserializer)?;
        Ok(Pairs(pairs.into_iter().collect()))
    }
}

impl<'de> Deserialize<'de> for Entry {
    /// `["<nanoseconds>", "<line>"]`, with an object of structured metadata behind.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Entry, D::Error> {
        struct Value;
        impl<'de> Visitor<'de> for Value {
            type Value = Entry;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of nanoseconds as a text, a line, and perhaps metadata")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Entry, A::Error> {
                use serde::de::Error as _;
                let short = |length| A::Error::invalid_length(length, &self);
                let time: Cow<'_, str> = list.next_element()?.ok_or_else(|| short(0))?;
                let time = time.parse().map_err(|_| A::Error::custom("a time that is no number"))?;
                let line: String = list.next_element()?.ok_or_else(|| short(1))?;
                let metadata = list.next_element::<Pairs>()?.unwrap_or_default().0;
                while list.next_element::<serde::de::IgnoredAny>()?.is_some() {}
                Ok(Entry { time: UnixNanos(time), line: line.into_bytes(), metadata })
            }
        }
        deserializer.deserialize_seq(Value)
    }
}

/// Takes any body of a few sizes and packings; the first byte says which. What is taken fits in the limit.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz(input: &[u8]) {
    const LIMIT: usize = 1 << 20;
    let Some((choice, body)) = input.split_first() else { return };
    let content_type = if choice & 1 == 0 { "application/json" } else { "" };
    let encoding = ["", "gzip", "deflate"][usize::from(choice >> 1) % 3];
    if let Ok(streams) = decode(content_type, encoding, body, LIMIT) {
        let lines = streams.iter().flat_map(|stream| &stream.entries).map(|entry| entry.line.len());
        assert!(lines.sum::<usize>() <= LIMIT);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;
    use crate::batch::{LabelPair, StreamMessage, TimestampMessage as Timestamp};

    const JSON: &str = r#"{"streams": [
        {"stream": {"job": "a"}, "values": [["1", "x"], ["2000000001", "é\n", {"trace": "t"}]]},
        {"stream": {"job": "b"}, "values": []}
    ], "other": 1}"#;

    fn expected() -> Vec<Pushed> {
        let pairs = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        let entry = |time, line: &str, metadata| Entry { time: UnixNanos(time), line: line.into(), metadata };
        vec![
            Pushed {
                labels: pairs("job", "a"),
                entries: vec![entry(1, "x", vec![]), entry(2_000_000_001, "é\n", pairs("trace", "t"))],
            },
            Pushed { labels: pairs("job", "b"), entries: vec![] },
        ]
    }

    fn as_protobuf() -> Vec<u8> {
        let entry = |seconds, nanos, line: &str, metadata: &[(&str, &str)]| EntryMessage {
            timestamp: Some(Timestamp { seconds, nanos }),
            line: line.to_owned().into(),
            structured_metadata: metadata
                .iter()
                .map(|(name, value)| LabelPair { name: name.to_string(), value: value.to_string() })
                .collect(),
        };
        let entries = vec![entry(0, 1, "x", &[]), entry(2, 1, "é\n", &[("trace", "t")])];
        let streams = vec![
            StreamMessage { labels: r#"{job="a"}"#.to_owned(), entries },
            StreamMessage { labels: r#"{job="b"}"#.to_owned(), entries: vec![] },
        ];
        snap::raw::Encoder::new().compress_vec(&PushRequest { streams }.encode_to_vec()).unwrap()
    }

    fn packed(encoding: &str, body: &[u8]) -> Vec<u8> {
        let level = Compression::default();
        match encoding {
            "gzip" => {
                let mut encoder = GzEncoder::new(Vec::new(), level);
                encoder.write_all(body).unwrap();
                encoder.finish().unwrap()
            }
            "deflate" => {
                let mut encoder = ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(body).unwrap();
                encoder.finish().unwrap()
            }
            "raw deflate" => {
                let mut encoder = DeflateEncoder::new(Vec::new(), level);
                encoder.write_all(body).unwrap();
                encoder.finish().unwrap()
            }
            _ => body.to_vec(),
        }
    }

    #[test]
    fn protobuf_and_json_say_the_same_however_they_are_packed() {
        for packing in ["", "snappy", "gzip", "deflate", "raw deflate"] {
            let encoding = packing.trim_start_matches("raw ");
            let bodies = [
                ("application/json; charset=utf-8", JSON.as_bytes().to_vec()),
                ("application/x-protobuf", as_protobuf()),
                ("", as_protobuf()),
            ];
            for (content_type, body) in bodies {
                let decoded = decode(content_type, encoding, &packed(packing, &body), 10_000);
                assert_eq!(decoded.unwrap(), expected(), "{content_type} {packing}");
            }
        }
    }

    #[test]
    fn what_is_no_push_is_refused_with_a_reason() {
        let refusal = |content_type: &str, encoding: &str, body: &[u8]| {
            decode(content_type, encoding, body, 100).unwrap_err().to_string()
        };
        assert!(refusal("", "", b"\xff\xff").starts_with("the message is not snappy"));
        let noise = snap::raw::Encoder::new().compress_vec(b"\xff\xff\xff").unwrap();
        assert!(refusal("", "", &noise).starts_with("the message is not a push"));
        assert!(refusal("application/json", "", b"{").starts_with("the message is not a push in JSON"));
        let late = br#"{"streams":[{"stream":{},"values":[["now","x"]]}]}"#;
        assert!(refusal("application/json", "", late).contains("a time that is no number"));
        assert!(refusal("application/json", "gzip", b"{}").starts_with("the message cannot be decompressed"));
        assert!(refusal("application/json", "br", b"{}").starts_with("`br` is no encoding"));
        let labels = PushRequest { streams: vec![StreamMessage { labels: "{a=1}".into(), entries: vec![] }] };
        let labels = snap::raw::Encoder::new().compress_vec(&labels.encode_to_vec()).unwrap();
        assert!(refusal("", "", &labels).starts_with("the message has labels `{a=1}`"));
    }

    #[test]
    fn a_body_that_grows_without_bound_is_given_up() {
        let large = vec![b' '; 1000];
        let bomb = packed("gzip", &large);
        assert!(matches!(decode("application/json", "gzip", &bomb, 100), Err(BodyError::TooLarge(100))));
        let bomb = snap::raw::Encoder::new().compress_vec(&large).unwrap();
        assert!(matches!(decode("", "", &bomb, 100), Err(BodyError::TooLarge(100))));
    }

    proptest! {
        #[test]
        fn no_body_is_too_strange_to_take_or_refuse(
            body in proptest::collection::vec(any::<u8>(), 0..200),
            json in any::<bool>(),
        ) {
            let content_type = if json { "application/json" } else { "" };
            for encoding in ["", "gzip", "deflate"] {
                drop(decode(content_type, encoding, &body, 1000));
            }
        }
    }
}
