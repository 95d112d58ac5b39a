//! The push format, declared here a second time so that a mistake in the agent's declaration shows.
//! In: the body of a push.  Out: its streams, or the refusal Loki gives.  Owns: nothing.

use axum::body::Bytes;
use prost::Message;

use super::judge::Reply;

#[derive(Clone, PartialEq, Message)]
pub(super) struct PushRequest {
    #[prost(message, repeated, tag = "1")]
    pub(super) streams: Vec<Stream>,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) format: Bytes,
}

/// Strings of the schema are bytes here: neither Promtail nor Loki checks them for UTF-8.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Stream {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) labels: Bytes,
    #[prost(message, repeated, tag = "2")]
    pub(super) entries: Vec<Entry>,
    #[prost(uint64, tag = "3")]
    pub(super) hash: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Entry {
    #[prost(message, optional, tag = "1")]
    pub(super) timestamp: Option<Timestamp>,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) line: Bytes,
    #[prost(message, repeated, tag = "3")]
    pub(super) structured_metadata: Vec<LabelPair>,
    #[prost(message, repeated, tag = "4")]
    pub(super) parsed: Vec<LabelPair>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Timestamp {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(super) nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct LabelPair {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) name: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) value: Bytes,
}

/// A push as decoded, with its size before compression.
pub(super) struct Decoded {
    pub(super) push: PushRequest,
    pub(super) uncompressed_bytes: usize,
}

impl Decoded {
    pub(super) fn entries(&self) -> usize {
        self.push.streams.iter().map(|stream| stream.entries.len()).sum()
    }
}

pub(super) fn decode(content_type: &str, body: &[u8]) -> Result<Decoded, Reply> {
    if content_type.starts_with("application/json") {
        return Err(refuse_json(body));
    }
    let Ok(raw) = snap::raw::Decoder::new().decompress_vec(body) else {
        return Err(Reply::refusal(400, "snappy: corrupt input"));
    };
    let uncompressed_bytes = raw.len();
    let push =
        PushRequest::decode(Bytes::from(raw)).map_err(|error| Reply::refusal(400, go_wording(&error)))?;
    Ok(Decoded { push, uncompressed_bytes })
}

/// The agent sends no JSON, so a good JSON push is a gap of this double, and says so in place of inventing an answer.
fn refuse_json(body: &[u8]) -> Reply {
    if serde_json::from_slice::<serde_json::Value>(body).is_ok() {
        return Reply::refusal(501, "the fake Loki does not read JSON pushes");
    }
    let found = body.first().map_or('\0', |&byte| char::from(byte));
    Reply::refusal(
        400,
        format!("readObjectStart: expect {{ or n, but found {found}, error found in #1 byte of ..."),
    )
}

fn go_wording(error: &prost::DecodeError) -> String {
    let text = error.to_string();
    match text.split_once("invalid wire type value: ") {
        Some((_, wire_type)) => format!("proto: illegal wireType {wire_type}"),
        None => format!("proto: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by hand from the schema, so that encoding and decoding cannot agree on the same mistake.
    #[test]
    fn bytes_of_the_schema_are_understood() {
        let pair = b"\x0a\x01k\x12\x01v";
        let mut entry = b"\x0a\x04\x08\x07\x10\x09\x12\x02hi\x1a".to_vec();
        entry.push(pair.len() as u8);
        entry.extend_from_slice(pair);
        let mut stream = b"\x0a\x07{a=\"b\"}\x12".to_vec();
        stream.push(entry.len() as u8);
        stream.extend_from_slice(&entry);
        let mut push = vec![0x0a, stream.len() as u8];
        push.extend_from_slice(&stream);
        let body = snap::raw::Encoder::new().compress_vec(&push).unwrap();

        let decoded = decode("application/x-protobuf", &body).unwrap_or_else(|reply| panic!("{reply:?}"));
        let stream = &decoded.push.streams[0];
        assert_eq!(stream.labels, b"{a=\"b\"}"[..]);
        assert_eq!(stream.entries[0].timestamp, Some(Timestamp { seconds: 7, nanos: 9 }));
        assert_eq!(stream.entries[0].line, b"hi"[..]);
        assert_eq!(
            stream.entries[0].structured_metadata,
            [LabelPair { name: "k".into(), value: "v".into() }]
        );
    }
}
