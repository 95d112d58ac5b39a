//! Loki's push message, as `proto/push.proto` has it; a test holds the two together.
//! In: bytes or fields.  Out: the other of the two.  Owns: nothing.
//!
//! `line` is `bytes` here and `string` there: the wire is the same, and lines need not be UTF-8. Decoded from
//! `Bytes`, they are parts of these.

use bytes::Bytes;
use prost::Message;

/// `logproto.PushRequest`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PushRequest {
    #[prost(message, repeated, tag = "1")]
    pub(crate) streams: Vec<StreamMessage>,
}

/// `logproto.StreamAdapter`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StreamMessage {
    #[prost(string, tag = "1")]
    pub(crate) labels: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) entries: Vec<EntryMessage>,
}

/// `logproto.EntryAdapter`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct EntryMessage {
    #[prost(message, optional, tag = "1")]
    pub(crate) timestamp: Option<Timestamp>,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) line: Bytes,
    #[prost(message, repeated, tag = "3")]
    pub(crate) structured_metadata: Vec<LabelPair>,
}

/// `google.protobuf.Timestamp`.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Timestamp {
    #[prost(int64, tag = "1")]
    pub(crate) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(crate) nanos: i32,
}

/// `logproto.LabelPairAdapter`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct LabelPair {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
}
