//! What is known of an object without opening it, beside it as `<name>.json`.
//! In: entries, or bytes of any kind.  Out: the other of the two.  Owns: the format.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::record::UnixNanos;
use crate::retention::archive::entry::{Entry, Stream};
use crate::retention::archive::schema::VERSION;

/// Label sets that are listed. Of an object with more it is only said how many.
const MOST_STREAMS: usize = 1_000;

/// A manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Of the object's columns.
    pub(crate) schema: u32,
    /// The object's path below the store.
    pub(crate) object: String,
    pub(crate) date: String,
    pub(crate) host: String,
    /// Empty where entries have none.
    pub(crate) service: String,
    /// Of the earliest entry and the latest, in UTC.
    #[serde(with = "time")]
    pub(crate) first_time: UnixNanos,
    #[serde(with = "time")]
    pub(crate) last_time: UnixNanos,
    pub(crate) lines: u64,
    /// Of all lines, as they came.
    pub(crate) line_bytes: u64,
    /// Of the object.
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    /// Distinct label sets.
    pub(crate) streams: u64,
    /// All of them, or none where there are too many.
    pub(crate) labels: Vec<BTreeMap<String, String>>,
    /// What a rule says of the entries, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until_seconds: Option<u64>,
    /// Whose log it was sealed from, and which numbers of it; none where others were compacted into it.
    pub(crate) agent: String,
    pub(crate) first: u64,
    pub(crate) end: u64,
    /// The objects that were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) replaces: Vec<String>,
}

/// What an object was sealed from.
#[derive(Clone, Debug)]
pub(crate) struct Origin<'o> {
    pub(crate) object: String,
    pub(crate) date: String,
    pub(crate) host: &'o str,
    pub(crate) service: &'o str,
    pub(crate) kept_for: Option<Duration>,
    pub(crate) agent: &'o str,
    pub(crate) span: std::ops::Range<u64>,
}

impl Manifest {
    /// Of an object with these entries, in order of time, and these bytes.
    pub(crate) fn of(origin: Origin<'_>, entries: &[Entry], object: &[u8]) -> Manifest {
        let known: HashMap<*const Stream, &Stream> =
            entries.iter().map(|entry| (Arc::as_ptr(&entry.stream), &*entry.stream)).collect();
        let sets: BTreeSet<&BTreeMap<String, String>> =
            known.into_values().map(|stream| &stream.labels).collect();
        let streams = sets.len() as u64;
        let listed = if sets.len() <= MOST_STREAMS { sets } else { BTreeSet::new() };
        let time = |entry: Option<&Entry>| entry.map_or(UnixNanos(0), |entry| entry.time);
        Manifest {
            schema: VERSION,
            object: origin.object,
            date: origin.date,
            host: origin.host.to_owned(),
            service: origin.service.to_owned(),
            first_time: time(entries.first()),
            last_time: time(entries.last()),
            lines: entries.len() as u64,
            line_bytes: entries.iter().map(|entry| entry.line.len() as u64).sum(),
            bytes: object.len() as u64,
            sha256: digest_of(object),
            streams,
            labels: listed.into_iter().cloned().collect(),
            until_seconds: origin.kept_for.map(|kept_for| kept_for.as_secs()),
            agent: origin.agent.to_owned(),
            first: origin.span.start,
            end: origin.span.end,
            replaces: Vec::new(),
        }
    }

    /// As it is written.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads one.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Manifest, serde_json::Error> {
        let manifest: Manifest = serde_json::from_slice(bytes)?;
        if manifest.schema > VERSION {
            let problem = format!("schema {} is of a later version", manifest.schema);
            return Err(serde::de::Error::custom(problem));
        }
        Ok(manifest)
    }

    /// What tells whether the object is whole.
    pub(crate) fn seal(&self) -> Seal {
        Seal { bytes: self.bytes, sha256: self.sha256.clone() }
    }

    /// The label sets, if all are known.
    pub(crate) fn label_sets(&self) -> Option<&[BTreeMap<String, String>]> {
        (self.labels.len() as u64 == self.streams).then_some(&self.labels)
    }
}

/// How an object is known to be what was written.
#[derive(Clone, Debug)]
pub(crate) struct Seal {
    pub(crate) bytes: u64,
    /// In hexadecimal.
    pub(crate) sha256: String,
}

/// SHA-256, as a manifest has it.
pub(super) fn digest_of(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// A time with all its digits: `2026-11-18T10:30:00.123456789Z`.
pub(crate) fn show_time(time: UnixNanos) -> String {
    Timestamp::from_nanosecond(time.0.into()).map(|time| format!("{time:.9}")).unwrap_or_default()
}

mod time {
    use jiff::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::record::UnixNanos;

    pub(super) fn serialize<S: Serializer>(time: &UnixNanos, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::show_time(*time))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UnixNanos, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time: Timestamp = text.parse().map_err(D::Error::custom)?;
        i64::try_from(time.as_nanosecond()).map(UnixNanos).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_time_is_read_back_to_the_nanosecond(nanos in any::<i64>()) {
            let parsed: Timestamp = show_time(UnixNanos(nanos)).parse().unwrap();
            prop_assert_eq!(parsed.as_nanosecond(), i128::from(nanos));
        }

        #[test]
        fn bytes_of_any_kind_are_a_manifest_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Manifest::decode(&bytes).is_err());
        }
    }
}
