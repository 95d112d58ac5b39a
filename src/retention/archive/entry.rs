//! An entry as the archive knows it, whether it comes out of the log or out of a Parquet file.
//! In: sealed pushes.  Out: entries.  Owns: the label sets it has seen, up to a bound.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use crate::batch::{EntryMessage, Parcel, Undecodable};
use crate::custody::Record;
use crate::metrics::Tally;
use crate::pipeline::label_set;
use crate::record::UnixNanos;

/// Label sets that are remembered; beyond, all are forgotten and learned again.
const MOST_STREAMS: usize = 10_000;

/// One entry.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) time: UnixNanos,
    pub(crate) stream: Arc<Stream>,
    /// UTF-8. Out of the log it is a part of its whole record.
    pub(crate) line: Bytes,
    /// Structured metadata as a JSON object, sorted by name.
    pub(crate) metadata: Option<Arc<str>>,
}

/// What entries of one stream have in common.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stream {
    pub(crate) tenant: Option<Arc<str>>,
    pub(crate) labels: BTreeMap<String, String>,
    /// The same as a JSON object.
    pub(crate) text: String,
}

/// An entry without its time, for telling whether two are the same. Two different ones of one time have the same number with a
/// chance of one in 2^128.
pub(crate) type Identity = u128;

impl Entry {
    /// What it is besides its time.
    pub(crate) fn identity(&self) -> Identity {
        use std::hash::{BuildHasher as _, Hash as _, Hasher as _};
        let half = |seed| {
            let mut hasher = foldhash::quality::FixedState::with_seed(seed).build_hasher();
            (&self.stream.tenant, &self.stream.text, &self.metadata).hash(&mut hasher);
            hasher.write(&self.line);
            u128::from(hasher.finish())
        };
        half(1) << 64 | half(2)
    }
}

impl Stream {
    /// A label's value.
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// The label sets seen so far, each once.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    /// By tenant and what its labels are written as: Loki's way in the log, JSON in objects.
    known: HashMap<(Option<Arc<str>>, Bytes), Arc<Stream>>,
}

impl Streams {
    /// Gives all entries of a sealed push.
    pub(crate) fn entries(&mut self, record: Record, mut each: impl FnMut(Entry)) -> Result<(), Undecodable> {
        let tenant = record.tenant.clone();
        let request = Parcel::from_record(record, Tally::elsewhere(0)).request()?;
        for message in request.streams {
            let stream = self.known(tenant.clone(), message.labels.into(), of_push);
            for message in message.entries {
                each(entry(stream.clone(), message));
            }
        }
        Ok(())
    }

    /// The stream with these labels, as an object has them.
    pub(crate) fn of_object(&mut self, tenant: Option<Arc<str>>, labels: Bytes) -> Arc<Stream> {
        self.known(tenant, labels, |text| serde_json::from_str(text).unwrap_or_else(|_| unreadable(text)))
    }

    fn known(
        &mut self,
        tenant: Option<Arc<str>>,
        text: Bytes,
        read: impl FnOnce(&str) -> BTreeMap<String, String>,
    ) -> Arc<Stream> {
        if self.known.len() >= MOST_STREAMS {
            self.known.clear();
        }
        let key = (tenant, text);
        if let Some(stream) = self.known.get(&key) {
            return stream.clone();
        }
        let labels = read(&String::from_utf8_lossy(&key.1));
        let text = json(&labels);
        let stream = Arc::new(Stream { tenant: key.0.clone(), labels, text });
        // What is kept must not keep a whole page of the file it was read from.
        self.known.insert((key.0, Bytes::copy_from_slice(&key.1)), stream.clone());
        stream
    }
}

fn of_push(text: &str) -> BTreeMap<String, String> {
    label_set(text).map_or_else(|_| unreadable(text), |pairs| pairs.into_iter().collect())
}

/// Labels that do not read, which only a bug could write, stay visible.
fn unreadable(text: &str) -> BTreeMap<String, String> {
    [("labels".to_owned(), text.to_owned())].into()
}

fn entry(stream: Arc<Stream>, message: EntryMessage) -> Entry {
    let EntryMessage { timestamp, line, structured_metadata } = message;
    let time = timestamp.unwrap_or_default();
    let nanos = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    let line = match str::from_utf8(&line) {
        Ok(_) => line,
        Err(_) => String::from_utf8_lossy(&line).into_owned().into(),
    };
    let pairs: BTreeMap<String, String> =
        structured_metadata.into_iter().map(|pair| (pair.name, pair.value)).collect();
    Entry {
        // Between the least and the greatest `i64` nothing is lost.
        time: UnixNanos(nanos.clamp(i64::MIN.into(), i64::MAX.into()) as i64),
        stream,
        line,
        metadata: if pairs.is_empty() { None } else { Some(json(&pairs).into()) },
    }
}

/// Names are sorted, so equal sets give equal texts.
pub(super) fn json(pairs: &BTreeMap<String, String>) -> String {
    // Maps of texts always can be written.
    serde_json::to_string(pairs).unwrap_or_default()
}
