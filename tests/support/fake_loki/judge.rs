//! Decides about a push as Loki does: in the order of its stages, storing the good part where it stores the good part.
//! In: a push, the limits, the time.  Out: the answer; accepted entries go to the store.  Owns: nothing.
//!
//! Bodies are those recorded in `loki-behaviour.md` (3.6.15). Where that is silent the source rules, above all in this:
//! an ingester reports only what became of *the last stream of a push* (`pkg/ingester/instance.go`, `Push`), so a stream
//! refused for being new, or for entries too far behind, is answered 204 when a good stream follows it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;

use super::labels::{self, LabelSet};
use super::limits::Limits;
use super::store::{Store, StoredEntry};
use super::wire::{self, PushRequest};
use super::wording::{grouped, rate_limited, rfc3339, too_far_behind};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: String,
    pub(super) retry_after: Option<u32>,
}

impl Reply {
    pub(super) fn stored() -> Self {
        Self { status: 204, body: String::new(), retry_after: None }
    }

    pub(super) fn refusal(status: u16, body: impl Into<String>) -> Self {
        Self { status, body: body.into(), retry_after: None }
    }
}

pub(super) struct Judge<'a> {
    pub(super) store: &'a mut Store,
    pub(super) limits: &'a Limits,
    pub(super) now_ns: i64,
    pub(super) tenant: Option<Arc<str>>,
}

/// A stream whose label string was understood.
struct Stream {
    set: LabelSet,
    identity: Arc<BTreeMap<String, String>>,
    text: Arc<str>,
    wire: wire::Stream,
    /// Entries that passed validation.
    entries: Vec<StoredEntry>,
}

impl Judge<'_> {
    pub(super) fn judge(mut self, push: PushRequest) -> Reply {
        self.store.received += push.streams.iter().map(|stream| stream.entries.len()).sum::<usize>();
        let size_of_push = push.encoded_len();
        let mut streams = match self.parse(push) {
            Ok(streams) if streams.is_empty() => {
                return Reply::refusal(422, "error at least one valid stream is required for ingestion");
            }
            Ok(streams) => streams,
            Err(reply) => return reply,
        };
        let mut complaints = Vec::new();
        let mut refused_bytes = 0;
        for stream in &mut streams {
            let before = stream.wire.encoded_len();
            self.validate(stream, &mut complaints);
            refused_bytes += before - stream.wire.encoded_len();
        }
        streams.retain(|stream| !stream.entries.is_empty());
        if let Some(reply) = self.too_much_at_once(&streams, size_of_push - refused_bytes) {
            return reply;
        }
        let ingested = streams.into_iter().map(|stream| self.ingest(stream)).last();
        match ingested {
            Some(Err(reply)) => reply,
            _ if !complaints.is_empty() => Reply::refusal(400, grouped(&complaints)),
            _ => Reply::stored(),
        }
    }

    /// One label string that does not parse refuses the push whole.
    fn parse(&mut self, push: PushRequest) -> Result<Vec<Stream>, Reply> {
        let mut streams = Vec::with_capacity(push.streams.len());
        for wire in push.streams {
            let text: Arc<str> = String::from_utf8_lossy(&wire.labels).into();
            let set = labels::parse(&wire.labels).map_err(|error| {
                self.violation(format!("labels do not parse: {text}"));
                Reply::refusal(400, error.body())
            })?;
            if wire.hash != 0 || wire.entries.iter().any(|entry| !entry.parsed.is_empty()) {
                self.violation(format!("a field that senders leave empty is set in {text}"));
            }
            if !set.canonical {
                self.violation(format!("labels are not sorted or not spaced as usual: {text}"));
            }
            for timestamp in wire.entries.iter().filter_map(|entry| entry.timestamp) {
                if !(0..1_000_000_000).contains(&timestamp.nanos) {
                    self.violation(format!("nanos out of range: {timestamp:?}"));
                    return Err(Reply::refusal(
                        400,
                        format!("timestamp: {timestamp:?}: nanos not in range [0, 1e9)"),
                    ));
                }
            }
            let identity = Arc::new(set.identity());
            streams.push(Stream { set, identity, text, wire, entries: Vec::new() });
        }
        Ok(streams)
    }

    /// Moves what passes from `stream.wire` to `stream.entries`; refused entries leave `stream.wire`.
    fn validate(&mut self, stream: &mut Stream, complaints: &mut Vec<String>) {
        if stream.wire.entries.is_empty() {
            return;
        }
        if let Some((reason, complaint)) = self.bad_labels(stream) {
            self.store.refuse(reason, stream.wire.entries.len());
            complaints.push(complaint);
            stream.wire.entries.clear();
            return;
        }
        let mut entries = std::mem::take(&mut stream.wire.entries);
        entries.retain(|entry| match self.accept(stream, entry) {
            Ok(accepted) => {
                stream.entries.push(accepted);
                true
            }
            Err((reason, complaint)) => {
                self.store.refuse(reason, 1);
                complaints.push(complaint);
                false
            }
        });
        stream.wire.entries = entries;
    }

    fn bad_labels(&self, stream: &Stream) -> Option<(&'static str, String)> {
        let text = &stream.text;
        // Loki does not count the `service_name` that it may have added itself.
        let names = stream.identity.keys().filter(|name| *name != "service_name").count();
        if names > self.limits.max_label_names {
            let complaint = format!(
                "entry for stream '{text}' has {names} label names; limit {}",
                self.limits.max_label_names
            );
            return Some(("max_label_names_per_series", complaint));
        }
        let too_long = |(_, value): &&(String, String)| value.len() > self.limits.max_label_value_bytes;
        if let Some((_, value)) = stream.set.pairs.iter().find(too_long) {
            return Some((
                "label_value_too_long",
                format!("stream '{text}' has label value too long: '{value}'"),
            ));
        }
        let name = stream.set.duplicate_name()?;
        Some(("duplicate_label_names", format!("stream '{text}' has duplicate label name: '{name}'")))
    }

    fn accept(
        &mut self,
        stream: &Stream,
        entry: &wire::Entry,
    ) -> Result<StoredEntry, (&'static str, String)> {
        let text = &stream.text;
        let Some(at) = entry.timestamp.and_then(nanoseconds) else {
            self.violation(format!("an entry of {text} has no timestamp, or one outside of 1677..2262"));
            return Err((
                "greater_than_max_sample_age",
                format!("entry for stream '{text}' has timestamp too old: 0001-01-01T00:00:00Z"),
            ));
        };
        let oldest = self.limits.reject_old_samples_max_age.map(|age| self.now_ns.saturating_sub(ns(age)));
        if let Some(oldest) = oldest.filter(|&oldest| at < oldest) {
            let (at, oldest) = (rfc3339(at), rfc3339(oldest));
            return Err((
                "greater_than_max_sample_age",
                format!(
                    "entry for stream '{text}' has timestamp too old: {at}, oldest acceptable timestamp is: {oldest}"
                ),
            ));
        }
        let newest = self.limits.creation_grace_period.map(|grace| self.now_ns.saturating_add(ns(grace)));
        if newest.is_some_and(|newest| at > newest) {
            let at = rfc3339(at);
            return Err((
                "too_far_in_future",
                format!("entry for stream '{text}' has timestamp too new: {at}"),
            ));
        }
        let (length, limit) = (entry.line.len(), self.limits.max_line_size_bytes);
        if length > limit {
            return Err((
                "line_too_long",
                format!(
                    "max entry size '{limit}' bytes exceeded for stream '{text}' while adding an entry with length '{length}' bytes"
                ),
            ));
        }
        Ok(StoredEntry {
            tenant: self.tenant.clone(),
            labels: Arc::clone(&stream.identity),
            label_text: Arc::clone(text),
            timestamp_ns: at,
            line: entry.line.clone(),
            metadata: entry.structured_metadata.iter().map(metadata).collect(),
        })
    }

    /// Refusals that no waiting cures: this body can only pass in smaller pieces.
    fn too_much_at_once(&mut self, streams: &[Stream], message_bytes: usize) -> Option<Reply> {
        let lines: usize = streams.iter().map(|stream| stream.entries.len()).sum();
        let bytes: usize = streams.iter().flat_map(|stream| &stream.entries).map(size_for_rate).sum();
        if bytes > self.limits.ingestion_burst_bytes {
            self.store.refuse("rate_limited", lines);
            return Some(rate_limited(&self.user(), self.limits.ingestion_rate_bytes, lines, bytes));
        }
        let limit = self.limits.max_message_bytes;
        (message_bytes > limit).then(|| {
            Reply::refusal(
                500,
                format!(
                    "rpc error: code = ResourceExhausted desc = grpc: received message larger than max ({message_bytes} vs. {limit})"
                ),
            )
        })
    }

    fn ingest(&mut self, stream: Stream) -> Result<(), Reply> {
        let text = stream.text;
        let mut newest = self.store.newest(self.tenant.as_ref(), &stream.identity);
        if newest.is_none() && self.store.streams_of(self.tenant.as_ref()) >= self.limits.max_streams {
            self.store.refuse("stream_limit", stream.entries.len());
            let user = self.user();
            return Err(Reply::refusal(
                429,
                format!(
                    "maximum active stream limit exceeded when trying to create stream {text}, reduce the number of active streams (reduce labels or reduce label values), or contact your Loki administrator to see if the limit can be increased, user: '{user}'"
                ),
            ));
        }
        let total = stream.entries.len();
        let mut behind = Vec::new();
        let mut accepted = stream.entries;
        accepted.retain(|entry| {
            let oldest =
                self.limits.too_far_behind.zip(newest).map(|(far, newest)| newest.saturating_sub(ns(far)));
            if let Some(oldest) = oldest.filter(|&oldest| entry.timestamp_ns < oldest) {
                behind.push((entry.timestamp_ns, oldest));
                return false;
            }
            newest = newest.max(Some(entry.timestamp_ns));
            true
        });
        self.store.add(accepted);
        if behind.is_empty() {
            return Ok(());
        }
        self.store.refuse("too_far_behind", behind.len());
        Err(Reply::refusal(400, too_far_behind(&behind, &self.user(), total, &text)))
    }

    fn user(&self) -> String {
        self.tenant.as_deref().unwrap_or("fake").to_owned()
    }

    fn violation(&mut self, what: String) {
        self.store.violations.push(what);
    }
}

fn size_for_rate(entry: &StoredEntry) -> usize {
    let metadata: usize = entry.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    entry.line.len() + metadata
}

fn metadata(pair: &wire::LabelPair) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&pair.name), text(&pair.value))
}

fn nanoseconds(timestamp: wire::Timestamp) -> Option<i64> {
    timestamp.seconds.checked_mul(1_000_000_000)?.checked_add(timestamp.nanos.into())
}

fn ns(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
