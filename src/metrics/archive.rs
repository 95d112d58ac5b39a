//! Metrics of the archive.
//! In: nothing.  Out: handles to count with.  Owns: their families.

use std::sync::Arc;

use crate::metrics::registry::{Family, Kind, Series, pairs};

/// What comes into the archive, is in it, and is lost on the way.
#[derive(Clone, Debug)]
pub(crate) struct ArchiveMetrics {
    pub(crate) received: Arc<Series>,
    /// In memory.
    pub(crate) in_flight: Arc<Series>,
    /// In the log at start.
    pub(crate) recovered: Arc<Series>,
    pub(crate) log_entries: Arc<Series>,
    pub(crate) log_bytes: Arc<Series>,
    /// When the oldest entry of the log came in, in seconds since 1970; 0 where there is none.
    pub(crate) oldest_unsealed: Arc<Series>,
    pub(crate) entries: Arc<Series>,
    pub(crate) objects: Arc<Series>,
    pub(crate) bytes: Arc<Series>,
    seal_seconds: Arc<Series>,
    /// By `reason` (duplicate, rule, damaged).
    dropped: Arc<Family>,
    /// By `reason` (log_full, log, seal, lifecycle).
    errors: Arc<Family>,
    /// 1 while the clock is not believed.
    pub(crate) held: Arc<Series>,
    /// Objects of others in the last pass.
    pub(crate) foreign: Arc<Series>,
    /// When a pass was done, in seconds since 1970.
    pub(crate) last_pass: Arc<Series>,
    /// By `action` (expire, move, compact, clear).
    steps: Arc<Family>,
    step_bytes: Arc<Family>,
    /// By `operation` (list, read, put, remove) and `result` (ok, not_found, failed).
    requests: Arc<Family>,
    /// By `operation`.
    request_seconds: Arc<Family>,
}

/// Bounds of `tailwater_archive_seal_duration_seconds`.
const BOUNDS: [f64; 8] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Bounds of `tailwater_archive_store_request_duration_seconds`.
const REQUEST_BOUNDS: [f64; 7] = [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

impl ArchiveMetrics {
    pub(super) fn register(family: impl Fn(&str, &str, Kind) -> Arc<Family>) -> ArchiveMetrics {
        let counter = |name: &str, help: &str| family(name, help, Kind::Counter);
        let gauge = |name: &str, help: &str| family(name, help, Kind::Gauge);
        ArchiveMetrics {
            received: counter("tailwater_archive_received_entries_total", "Entries handed to the archive")
                .single(),
            in_flight: gauge(
                "tailwater_archive_in_flight_entries",
                "Entries for the archive that are in memory, not in its log yet",
            )
            .single(),
            recovered: counter(
                "tailwater_archive_recovered_entries_total",
                "Entries found in the archive's log at start",
            )
            .single(),
            log_entries: gauge("tailwater_archive_log_entries", "Entries that are not sealed yet").single(),
            log_bytes: gauge("tailwater_archive_log_bytes", "Bytes of the archive's log on disk").single(),
            oldest_unsealed: gauge(
                "tailwater_archive_oldest_unsealed_timestamp_seconds",
                "When the oldest entry that is not sealed yet came in; 0 where there is none",
            )
            .single(),
            entries: counter("tailwater_archive_entries_total", "Entries written to objects").single(),
            objects: counter("tailwater_archive_objects_total", "Objects written").single(),
            bytes: counter("tailwater_archive_bytes_total", "Bytes of objects written").single(),
            seal_seconds: family(
                "tailwater_archive_seal_duration_seconds",
                "Duration of sealing a part of the log",
                Kind::Histogram(BOUNDS.to_vec()),
            )
            .single(),
            dropped: counter(
                "tailwater_archive_dropped_entries_total",
                "Entries of the log that are in no object",
            ),
            errors: counter("tailwater_archive_errors_total", "Failed attempts to write to the archive"),
            held: gauge(
                "tailwater_archive_lifecycle_held",
                "1 while nothing moves or expires because the clock is ahead of what it was",
            )
            .single(),
            foreign: gauge(
                "tailwater_archive_foreign_objects",
                "Objects under this agent's hosts that it has not written, left as they are",
            )
            .single(),
            last_pass: gauge(
                "tailwater_archive_lifecycle_last_pass_timestamp_seconds",
                "When all objects were looked at last without a failure",
            )
            .single(),
            steps: counter(
                "tailwater_archive_lifecycle_steps_total",
                "Objects that were moved, compacted, removed",
            ),
            step_bytes: counter("tailwater_archive_lifecycle_bytes_total", "Bytes of these objects"),
            requests: counter(
                "tailwater_archive_store_requests_total",
                "What was asked of the stores, each with all its attempts",
            ),
            request_seconds: family(
                "tailwater_archive_store_request_duration_seconds",
                "How long that took",
                Kind::Histogram(REQUEST_BOUNDS.to_vec()),
            ),
        }
    }

    /// Sealing took so long.
    pub(crate) fn sealed(&self, seconds: f64) {
        self.seal_seconds.observe(seconds, &BOUNDS);
    }

    /// Entries that go into no object.
    pub(crate) fn dropped(&self, reason: &str, entries: u64) {
        if entries > 0 {
            self.dropped.with("reason", reason).add(entries as f64);
        }
    }

    /// Something was done to objects.
    pub(crate) fn lifecycle_step(&self, action: &str, bytes: u64) {
        self.steps.with("action", action).add(1.0);
        self.step_bytes.with("action", action).add(bytes as f64);
    }

    /// A store was asked something.
    pub(crate) fn asked(&self, operation: &str, result: &str, seconds: f64) {
        self.requests.series(pairs([("operation", operation), ("result", result)])).add(1.0);
        self.request_seconds.with("operation", operation).observe(seconds, &REQUEST_BOUNDS);
    }

    /// Something failed, and is tried again.
    pub(crate) fn failed(&self, reason: &str) {
        self.errors.with("reason", reason).add(1.0);
    }

    /// Entries that came in and are nowhere.
    pub(super) fn gap(&self) -> f64 {
        let settled = self.entries.value() + self.dropped.sum();
        let under_way = self.in_flight.value() + self.log_entries.value();
        self.received.value() + self.recovered.value() - settled - under_way
    }
}
