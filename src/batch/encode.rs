//! Writes push messages straight into buffers: no message is built in between.
//! In: entries, encoded streams.  Out: protobuf bytes.  Owns: nothing. No clock: equal input gives equal bytes.

use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use crate::record::UnixNanos;

const REQUEST_STREAMS: u32 = 1;
const STREAM_LABELS: u32 = 1;
const STREAM_ENTRIES: u32 = 2;
const ENTRY_TIMESTAMP: u32 = 1;
const ENTRY_LINE: u32 = 2;
const ENTRY_METADATA: u32 = 3;
const PAIR_NAME: u32 = 1;
const PAIR_VALUE: u32 = 2;
const TIME_SECONDS: u32 = 1;
const TIME_NANOS: u32 = 2;

/// Appends one `entries` field of a stream, tag and length included. Gives the bytes that count towards a batch's size,
/// as in Promtail: those of the line, and of the metadata as encoded.
pub(super) fn entry<'m>(
    timestamp: UnixNanos,
    line: &[u8],
    metadata: impl Iterator<Item = (&'m str, &'m [u8])> + Clone,
    buffer: &mut Vec<u8>,
) -> usize {
    let (seconds, nanos) = (timestamp.seconds(), timestamp.subsec_nanos());
    let time = varint_field_len(TIME_SECONDS, seconds as u64) + varint_field_len(TIME_NANOS, nanos as u64);
    let line_len = text_field_len(ENTRY_LINE, line);
    let pairs = metadata.clone().map(|(name, value)| pair_len(name, value));
    let metadata_len: usize = pairs.map(|pair| bytes_field_len(ENTRY_METADATA, pair)).sum();
    encode_key(STREAM_ENTRIES, WireType::LengthDelimited, buffer);
    encode_varint((bytes_field_len(ENTRY_TIMESTAMP, time) + line_len + metadata_len) as u64, buffer);
    encode_key(ENTRY_TIMESTAMP, WireType::LengthDelimited, buffer);
    encode_varint(time as u64, buffer);
    varint_field(TIME_SECONDS, seconds as u64, buffer);
    varint_field(TIME_NANOS, nanos as u64, buffer);
    text_field(ENTRY_LINE, line, buffer);
    let mut counted = line.len();
    for (name, value) in metadata {
        let length = pair_len(name, value);
        encode_key(ENTRY_METADATA, WireType::LengthDelimited, buffer);
        encode_varint(length as u64, buffer);
        text_field(PAIR_NAME, name.as_bytes(), buffer);
        text_field(PAIR_VALUE, value, buffer);
        counted += length;
    }
    counted
}

fn pair_len(name: &str, value: &[u8]) -> usize {
    text_field_len(PAIR_NAME, name.as_bytes()) + text_field_len(PAIR_VALUE, value)
}

/// proto3 leaves out empty fields.
fn text_field(tag: u32, text: &[u8], buffer: &mut Vec<u8>) {
    if !text.is_empty() {
        bytes_field(tag, text, buffer);
    }
}

fn text_field_len(tag: u32, text: &[u8]) -> usize {
    if text.is_empty() { 0 } else { bytes_field_len(tag, text.len()) }
}

/// Appends one `streams` field of a push request: labels, then entries encoded before, in pieces.
pub(crate) fn stream<'e>(
    labels: &str,
    entries: impl Iterator<Item = &'e [u8]> + Clone,
    buffer: &mut Vec<u8>,
) {
    let entries_len: usize = entries.clone().map(<[u8]>::len).sum();
    let length = bytes_field_len(STREAM_LABELS, labels.len()) + entries_len;
    encode_key(REQUEST_STREAMS, WireType::LengthDelimited, buffer);
    encode_varint(length as u64, buffer);
    bytes_field(STREAM_LABELS, labels.as_bytes(), buffer);
    entries.for_each(|piece| buffer.extend_from_slice(piece));
}

fn bytes_field(tag: u32, bytes: &[u8], buffer: &mut Vec<u8>) {
    encode_key(tag, WireType::LengthDelimited, buffer);
    encode_varint(bytes.len() as u64, buffer);
    buffer.extend_from_slice(bytes);
}

fn bytes_field_len(tag: u32, length: usize) -> usize {
    key_len(tag) + encoded_len_varint(length as u64) + length
}

fn varint_field(tag: u32, value: u64, buffer: &mut Vec<u8>) {
    if value != 0 {
        encode_key(tag, WireType::Varint, buffer);
        encode_varint(value, buffer);
    }
}

fn varint_field_len(tag: u32, value: u64) -> usize {
    if value == 0 { 0 } else { key_len(tag) + encoded_len_varint(value) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::batch::push::{EntryMessage, LabelPair, PushRequest, StreamMessage, Timestamp};

    proptest! {
        #[test]
        fn the_direct_encoder_writes_what_prost_writes(
            labels in "\\PC{1,40}",
            entries in proptest::collection::vec(
                (
                    any::<i64>(),
                    proptest::collection::vec(any::<u8>(), 0..300),
                    proptest::collection::vec(("\\PC{0,9}", "\\PC{0,200}"), 0..4),
                ),
                0..20,
            ),
        ) {
            let mut encoded = Vec::new();
            let mut messages = Vec::new();
            for (nanos, line, metadata) in entries {
                let time = UnixNanos(nanos);
                let pairs = metadata.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
                let counted = entry(time, &line, pairs, &mut encoded);
                let structured_metadata: Vec<LabelPair> =
                    metadata.into_iter().map(|(name, value)| LabelPair { name, value }).collect();
                let pairs: usize = structured_metadata.iter().map(Message::encoded_len).sum();
                prop_assert_eq!(counted, line.len() + pairs);
                let timestamp = Some(Timestamp { seconds: time.seconds(), nanos: time.subsec_nanos() });
                messages.push(EntryMessage { timestamp, line: line.into(), structured_metadata });
            }
            let mut direct = Vec::new();
            let (first, second) = encoded.split_at(encoded.len() / 3);
            stream(&labels, [first, second].into_iter(), &mut direct);
            let request = PushRequest { streams: vec![StreamMessage { labels, entries: messages }] };
            prop_assert_eq!(direct, request.encode_to_vec());
        }
    }

    /// The published schema, compiled, must describe the same wire as the types in `push.rs`.
    #[test]
    fn the_schema_in_proto_describes_the_same_bytes() {
        let files = protox::compile(["push.proto"], [concat!(env!("CARGO_MANIFEST_DIR"), "/proto")]).unwrap();
        let file = files.file.iter().find(|file| file.name() == "push.proto").unwrap();
        let fields: Vec<String> = file
            .message_type
            .iter()
            .flat_map(|message| {
                let name = message.name().to_owned();
                message.field.iter().map(move |field| {
                    format!(
                        "{name}.{}={} {:?} {:?} {}",
                        field.name(),
                        field.number(),
                        field.label(),
                        field.r#type(),
                        field.type_name()
                    )
                })
            })
            .collect();
        assert_eq!(
            fields,
            [
                "PushRequest.streams=1 Repeated Message .logproto.StreamAdapter",
                "StreamAdapter.labels=1 Optional String ",
                "StreamAdapter.entries=2 Repeated Message .logproto.EntryAdapter",
                "EntryAdapter.timestamp=1 Optional Message .google.protobuf.Timestamp",
                "EntryAdapter.line=2 Optional String ",
                "EntryAdapter.structuredMetadata=3 Repeated Message .logproto.LabelPairAdapter",
                "LabelPairAdapter.name=1 Optional String ",
                "LabelPairAdapter.value=2 Optional String ",
            ]
        );
    }
}
