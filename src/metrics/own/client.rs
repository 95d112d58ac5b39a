//! What is counted of one client.
//! In: outcomes of its entries and requests.  Out: its series.  Owns: nothing.

use crate::metrics::own::{ClientMetrics, REQUEST_BOUNDS};
use crate::metrics::registry::pairs;
use crate::metrics::registry::{Family, Pairs};

impl ClientMetrics {
    /// Counts entries Loki refused for good.
    pub(crate) fn refused(&self, reason: &str, entries: u64) {
        self.refused_entries.series(self.reason(reason)).add(entries as f64);
    }

    /// Counts entries that are not tried any more.
    pub(crate) fn dropped(&self, reason: &str, entries: u64) {
        self.dropped_entries.series(self.reason(reason)).add(entries as f64);
    }

    /// Counts a push that will be tried again.
    pub(crate) fn retried(&self, reason: &str) {
        self.retries.series(self.reason(reason)).add(1.0);
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
