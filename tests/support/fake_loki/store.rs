//! What the fake Loki has seen. In: judged pushes.  Out: entries, requests, counts.  Owns: all of it, until dropped.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::HeaderMap;

use super::faults::FaultKind;

/// Cheap to clone: a test takes the whole list and looks at leisure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    pub tenant: Option<Arc<str>>,
    /// As sent, less those with an empty value. The `service_name` that Loki adds by itself is left out.
    pub labels: Arc<BTreeMap<String, String>>,
    /// The label string, byte for byte as sent.
    pub label_text: Arc<str>,
    pub timestamp_ns: i64,
    pub line: Bytes,
    /// In the order sent.
    pub metadata: Vec<(String, String)>,
}

impl StoredEntry {
    /// The line as a query shows it.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.line).into_owned()
    }

    /// The value of a label, or "" as in Loki.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// One push as it came over the wire.
#[derive(Debug, Clone)]
pub struct Request {
    pub at: tokio::time::Instant,
    pub headers: HeaderMap,
    /// Empty when the fault left it unread.
    pub body: Bytes,
    pub uncompressed_bytes: usize,
    pub streams: usize,
    /// Entries it carried, whether they were stored or not.
    pub entries: usize,
    /// `None`: no answer was given.
    pub status: Option<u16>,
    /// The first 512 bytes of the answer.
    pub answer: String,
    pub fault: Option<FaultKind>,
}

impl Request {
    /// A header's value, or "".
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    pub fn tenant(&self) -> Option<&str> {
        Some(self.header("x-scope-orgid")).filter(|tenant| !tenant.is_empty())
    }
}

#[derive(Debug, Default)]
pub struct Store {
    /// In order of arrival, each once.
    pub entries: Vec<StoredEntry>,
    /// Accepted again after they were stored.
    pub duplicates: Vec<StoredEntry>,
    pub requests: Vec<Request>,
    /// Entries in all pushes that reached the judge, refused ones and duplicates included.
    pub received: usize,
    /// Entries refused while judging, by Loki's name of the reason (`loki_discarded_samples_total{reason}`).
    pub refused: BTreeMap<&'static str, usize>,
    /// Things Loki puts up with (or refuses) that the reference sender never sends.
    pub violations: Vec<String>,
    streams: HashMap<StreamKey, StreamState>,
    streams_of_tenant: HashMap<Option<Arc<str>>, usize>,
    faults: HashMap<FaultKind, usize>,
}

type StreamKey = (Option<Arc<str>>, Arc<BTreeMap<String, String>>);

#[derive(Debug)]
struct StreamState {
    newest_ns: i64,
    /// Time and line; metadata is no part of an entry's identity.
    seen: HashSet<(i64, Bytes)>,
}

impl Store {
    pub fn faults_met(&self, kind: FaultKind) -> usize {
        self.faults.get(&kind).copied().unwrap_or(0)
    }

    pub fn lines(&self) -> Vec<String> {
        self.entries.iter().map(StoredEntry::text).collect()
    }

    /// A page for a failing test: how much of what, and the last few lines.
    pub fn summary(&self) -> String {
        let mut page = format!(
            "{} stored, {} duplicates, {} received in {} requests, {} streams\n",
            self.entries.len(),
            self.duplicates.len(),
            self.received,
            self.requests.len(),
            self.streams.len(),
        );
        let _infallible = writeln!(page, "faults met: {:?}; refused: {:?}", self.faults, self.refused);
        for request in self.requests.iter().rev().take(5).rev() {
            let _infallible = writeln!(
                page,
                "  request: {} entries, {} bytes, fault {:?}, status {:?} {}",
                request.entries,
                request.uncompressed_bytes,
                request.fault,
                request.status,
                request.answer.trim_end()
            );
        }
        for entry in self.entries.iter().rev().take(5).rev() {
            let cut: String = entry.text().chars().take(160).collect();
            let _infallible = writeln!(page, "  entry: {} {} {cut:?}", entry.label_text, entry.timestamp_ns);
        }
        for violation in self.violations.iter().take(5) {
            let _infallible = writeln!(page, "  violation: {violation}");
        }
        page
    }

    pub(super) fn meet(&mut self, fault: FaultKind) {
        *self.faults.entry(fault).or_default() += 1;
    }

    pub(super) fn refuse(&mut self, reason: &'static str, entries: usize) {
        *self.refused.entry(reason).or_default() += entries;
    }

    pub(super) fn streams_of(&self, tenant: Option<&Arc<str>>) -> usize {
        self.streams_of_tenant.get(&tenant.cloned()).copied().unwrap_or(0)
    }

    /// The newest timestamp of a stream, if there is such a stream.
    pub(super) fn newest(
        &self,
        tenant: Option<&Arc<str>>,
        labels: &Arc<BTreeMap<String, String>>,
    ) -> Option<i64> {
        self.streams.get(&(tenant.cloned(), Arc::clone(labels))).map(|stream| stream.newest_ns)
    }

    /// Adds accepted entries of one stream.
    pub(super) fn add(&mut self, entries: Vec<StoredEntry>) {
        let Some(first) = entries.first() else { return };
        let key = (first.tenant.clone(), Arc::clone(&first.labels));
        let stream = self.streams.entry(key).or_insert_with(|| {
            *self.streams_of_tenant.entry(first.tenant.clone()).or_default() += 1;
            StreamState { newest_ns: i64::MIN, seen: HashSet::new() }
        });
        for entry in entries {
            stream.newest_ns = stream.newest_ns.max(entry.timestamp_ns);
            if stream.seen.insert((entry.timestamp_ns, entry.line.clone())) {
                self.entries.push(entry);
            } else {
                self.duplicates.push(entry);
            }
        }
    }
}
