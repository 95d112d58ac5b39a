//! What is counted of one client.
//! In: outcomes of its entries and requests.  Out: its series.  Owns: nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::metrics::own::{ClientPath, Own, REQUEST_BOUNDS};
use crate::metrics::promtail::Destination;
use crate::metrics::registry::{Family, Pairs, Series, pairs};

/// Why Loki refuses entries for good.
const REFUSED: [&str; 17] = [
    "above_burst",
    "bad_request",
    "duplicate_label",
    "ingestion_blocked",
    "label_too_long",
    "labels_invalid",
    "line_too_long",
    "other",
    "rate_limited",
    "stream_limit",
    "tenant_invalid",
    "too_far_behind",
    "too_large",
    "too_many_labels",
    "too_new",
    "too_old",
    "unprocessable",
];

/// Why a client gives entries up.
const DROPPED: [&str; 6] =
    ["client_removed", "ingester_error", "rate_limited", "spool_damaged", "spool_expired", "spool_full"];

/// Why pushes are tried again.
const RETRIED: [&str; 9] = [
    "connection",
    "credentials",
    "rate_limited",
    "server_error",
    "stream_limit",
    "timeout",
    "token",
    "unauthorized",
    "unexpected_status",
];

/// One client's share of the own metrics.
#[derive(Clone, Debug)]
pub(crate) struct ClientMetrics {
    refused_entries: Arc<Family>,
    dropped_entries: Arc<Family>,
    retries: Arc<Family>,
    request_seconds: Arc<Family>,
    client: String,
    destination: Arc<Mutex<Destination>>,
    /// Of its queues.
    pub(crate) path: ClientPath,
    /// Entries handed to the client.
    pub(crate) received_entries: Arc<Series>,
    /// Those of them in memory, not settled.
    pub(crate) in_flight_entries: Arc<Series>,
    /// Entries left to the client that took its place.
    pub(crate) left_entries: Arc<Series>,
    /// Entries Loki acknowledged.
    pub(crate) sent_entries: Arc<Series>,
    /// Compressed bytes of acknowledged pushes.
    pub(crate) sent_bytes: Arc<Series>,
    /// Pushes split in two because Loki cannot take that size.
    pub(crate) splits: Arc<Series>,
    /// Entries found in the spool at start.
    pub(crate) spool_recovered: Arc<Series>,
    /// Entries put into the spool.
    pub(crate) spooled_entries: Arc<Series>,
    /// Entries in the spool.
    pub(crate) spool_entries: Arc<Series>,
    /// Bytes of the spool's files.
    pub(crate) spool_bytes: Arc<Series>,
    /// Failed reads and writes of the spool.
    pub(crate) spool_errors: Arc<Series>,
}

impl Own {
    /// The metrics of the client called `client`.
    pub(crate) fn client(&self, client: &str) -> ClientMetrics {
        let labels = || pairs([("client", client)]);
        let metrics = ClientMetrics {
            refused_entries: self.refused_entries.clone(),
            dropped_entries: self.dropped_entries.clone(),
            retries: self.retries.clone(),
            request_seconds: self.request_seconds.clone(),
            client: client.to_owned(),
            destination: Arc::default(),
            path: self.path.client(client),
            received_entries: self.received_entries.series(labels()),
            in_flight_entries: self.in_flight_entries.series(labels()),
            left_entries: self.left_entries.series(labels()),
            sent_entries: self.sent_entries.series(labels()),
            sent_bytes: self.sent_bytes.series(labels()),
            splits: self.splits.series(labels()),
            spool_recovered: self.spool_recovered.series(labels()),
            spooled_entries: self.spooled_entries.series(labels()),
            spool_entries: self.spool_entries.series(labels()),
            spool_bytes: self.spool_bytes.series(labels()),
            spool_errors: self.spool_errors.series(labels()),
        };
        metrics.begin();
        self.clients().insert(client.to_owned(), metrics.clone());
        metrics
    }
}

impl ClientMetrics {
    /// What may be counted is there from the start, so that the first of it is seen as an increase.
    fn begin(&self) {
        for (family, reasons) in [
            (&self.refused_entries, REFUSED.as_slice()),
            (&self.dropped_entries, DROPPED.as_slice()),
            (&self.retries, RETRIED.as_slice()),
        ] {
            reasons.iter().for_each(|reason| drop(family.series(self.reason(reason))));
        }
    }

    /// Where it pushes.
    pub(crate) fn pushes_to(&self, destination: Destination) {
        *self.destination.lock().unwrap_or_else(PoisonError::into_inner) = destination;
    }

    pub(super) fn destination(&self) -> Destination {
        self.destination.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts entries Loki refused for good.
    pub(crate) fn refused(&self, reason: &str, entries: u64) {
        debug_assert!(REFUSED.contains(&reason), "`{reason}` is not in the list");
        self.refused_entries.series(self.reason(reason)).add(entries as f64);
    }

    /// Counts entries that are not tried any more.
    pub(crate) fn dropped(&self, reason: &str, entries: u64) {
        debug_assert!(DROPPED.contains(&reason), "`{reason}` is not in the list");
        self.dropped_entries.series(self.reason(reason)).add(entries as f64);
    }

    /// Counts a push that will be tried again.
    pub(crate) fn retried(&self, reason: &str) {
        debug_assert!(RETRIED.contains(&reason), "`{reason}` is not in the list");
        self.retries.series(self.reason(reason)).add(1.0);
    }

    /// Entries Loki refused for good, by reason.
    pub(crate) fn refused_by_reason(&self) -> BTreeMap<String, u64> {
        self.by_reason(&self.refused_entries)
    }

    /// Pushes that were tried again, by reason.
    pub(crate) fn retries_by_reason(&self) -> BTreeMap<String, u64> {
        self.by_reason(&self.retries)
    }

    fn by_reason(&self, family: &Family) -> BTreeMap<String, u64> {
        let of = |pairs: &Pairs, name: &str| {
            pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.clone()).unwrap_or_default()
        };
        let series = family.all().into_iter().filter(|(pairs, _)| of(pairs, "client") == self.client);
        let counts = series.map(|(pairs, series)| (of(&pairs, "reason"), series.value() as u64));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// A spool with so many entries is the client's from now on. What it had on disk before may be the same, or not all.
    pub(crate) fn opened_spool(&self, entries: u64) {
        let (found, known) = (entries as f64, self.spool_entries.value());
        self.spool_recovered.add((found - known).max(0.0));
        self.left_entries.add((known - found).max(0.0));
        self.spool_entries.set(found);
    }

    /// Counts one request; `status` is the code, or `error` when there was no answer.
    pub(crate) fn requested(&self, status: &str, seconds: f64) {
        let labels = pairs([("client", &self.client), ("status", status)]);
        self.request_seconds.series(labels).observe(seconds, &REQUEST_BOUNDS);
    }

    fn reason(&self, reason: &str) -> Pairs {
        pairs([("client", &self.client), ("reason", reason)])
    }

    /// Entries that nobody has an answer for.
    pub(super) fn gap(&self) -> f64 {
        let given_up = |family: &Family| family.sum_where("client", &self.client);
        let settled =
            self.sent_entries.value() + given_up(&self.refused_entries) + given_up(&self.dropped_entries);
        let settled = settled + self.left_entries.value();
        let under_way = self.spool_entries.value() + self.in_flight_entries.value();
        self.received_entries.value() + self.spool_recovered.value() - settled - under_way
    }
}
