//! The agent's own metrics, each named once.
//! In: nothing.  Out: handles the other modules count with.  Owns: the `tailwater_*` families.

use std::sync::Arc;

use crate::metrics::registry::{Family, Kind, Pairs, Registry, Series};

/// Handles on every own metric.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    /// Lines read from sources, by `source` (docker, file).
    pub(crate) lines_read: Arc<Family>,
    /// Bytes of those lines.
    pub(crate) bytes_read: Arc<Family>,
    /// Lines removed by a rule of the pipeline, by `reason`.
    pub(crate) lines_dropped: Arc<Family>,
    /// Lines that a `limit` by label dropped, by its value.
    pub(crate) lines_dropped_by_label: Arc<Family>,
    /// Lines that became part of another entry.
    pub(crate) lines_merged: Arc<Series>,
    /// Lines cut because they were too long, by `source`.
    pub(crate) lines_truncated: Arc<Series>,
    /// Label values cut because they were too long.
    pub(crate) label_values_cut: Arc<Series>,
    /// Frames of Docker's log stream that could not be understood.
    pub(crate) frames_malformed: Arc<Series>,
    /// Derived values that did not parse or that a counter cannot take, by `metric`.
    pub(crate) values_unusable: Arc<Family>,
    /// Addresses that `geoip` could not look up, by `reason` (address, database).
    pub(crate) geoip_lookups_failed: Arc<Family>,
    /// Log streams opened from Docker.
    pub(crate) docker_streams_opened: Arc<Series>,
    /// Failed calls to the Docker API, by `operation`.
    pub(crate) docker_errors: Arc<Family>,
    /// Files and globs that could not be read.
    pub(crate) file_errors: Arc<Series>,
    /// Targets read right now, by `source`.
    pub(crate) targets_active: Arc<Family>,
    /// Bytes read and not yet settled.
    pub(crate) in_flight_bytes: Arc<Series>,
    /// Chunks read and not yet settled.
    pub(crate) open_chunks: Arc<Series>,
    /// Targets whose position is remembered.
    pub(crate) positions_tracked: Arc<Series>,
    /// Positions files written.
    pub(crate) positions_written: Arc<Series>,
    /// Positions files that could not be written.
    pub(crate) positions_failed: Arc<Series>,
    /// Configurations read again, by `result` (success, failure).
    pub(crate) config_reloads: Arc<Family>,
    /// 1 when the configuration that was read last is in force.
    pub(crate) config_last_reload_successful: Arc<Series>,
    sent_entries: Arc<Family>,
    sent_bytes: Arc<Family>,
    refused_entries: Arc<Family>,
    retries: Arc<Family>,
    splits: Arc<Family>,
    request_seconds: Arc<Family>,
}

/// One client's share of the own metrics.
#[derive(Clone, Debug)]
pub(crate) struct ClientMetrics {
    own: Own,
    client: String,
    /// Entries Loki acknowledged.
    pub(crate) sent_entries: Arc<Series>,
    /// Compressed bytes of acknowledged pushes.
    pub(crate) sent_bytes: Arc<Series>,
    /// Pushes split in two because Loki cannot take that size.
    pub(crate) splits: Arc<Series>,
}

/// Bounds of `tailwater_request_duration_seconds`: Prometheus' default ones.
const REQUEST_BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

impl Own {
    /// Registers everything in `registry`.
    pub(crate) fn register(registry: &Registry) -> Own {
        let family = |name: &str, help: &str, kind: Kind| {
            // The names here are distinct, so the only way to fail is to edit this file badly; then the second
            // family counts unseen rather than panicking a production agent.
            registry.family(name, help, kind.clone(), None).unwrap_or_else(|_| {
                let apart = Registry::default();
                apart
                    .family(name, help, kind, None)
                    .unwrap_or_else(|_| unreachable!("an empty registry has no names"))
            })
        };
        let counter = |name: &str, help: &str| family(name, help, Kind::Counter);
        let gauge = |name: &str, help: &str| family(name, help, Kind::Gauge);
        let build = gauge("tailwater_build_info", "Always 1; the version is in the label");
        build.series(pairs([("version", env!("CARGO_PKG_VERSION"))])).set(1.0);
        Own {
            lines_read: counter("tailwater_lines_read_total", "Lines read from sources"),
            bytes_read: counter("tailwater_bytes_read_total", "Bytes of lines read from sources"),
            lines_dropped: counter(
                "tailwater_lines_dropped_total",
                "Lines removed by a rule of the configuration",
            ),
            lines_dropped_by_label: counter(
                "tailwater_lines_dropped_by_label_total",
                "Lines above the rate of a label value",
            ),
            lines_merged: counter(
                "tailwater_lines_merged_total",
                "Lines that became part of another line's entry",
            )
            .single(),
            lines_truncated: counter("tailwater_lines_truncated_total", "Lines cut at the length limit")
                .single(),
            label_values_cut: counter(
                "tailwater_label_values_cut_total",
                "Label values cut at the length limit, once for each stream",
            )
            .single(),
            frames_malformed: counter(
                "tailwater_docker_frames_malformed_total",
                "Pieces of Docker log streams without a readable time or header",
            )
            .single(),
            values_unusable: counter(
                "tailwater_metric_values_unusable_total",
                "Values for derived metrics that are no number, or negative for a counter",
            ),
            geoip_lookups_failed: counter(
                "tailwater_geoip_lookups_failed_total",
                "Values that are no address, and records that cannot be read",
            ),
            docker_streams_opened: counter(
                "tailwater_docker_streams_opened_total",
                "Docker log streams opened",
            )
            .single(),
            docker_errors: counter("tailwater_docker_errors_total", "Failed calls to the Docker API"),
            file_errors: counter(
                "tailwater_file_errors_total",
                "Failed attempts to list, open or read files",
            )
            .single(),
            targets_active: gauge("tailwater_targets_active", "Containers and files being read"),
            in_flight_bytes: gauge("tailwater_in_flight_bytes", "Bytes read and not yet settled").single(),
            open_chunks: gauge("tailwater_open_chunks", "Chunks read and not yet settled").single(),
            positions_tracked: gauge("tailwater_positions_tracked", "Targets whose position is remembered")
                .single(),
            positions_written: counter("tailwater_positions_written_total", "Positions files written")
                .single(),
            positions_failed: counter(
                "tailwater_positions_failed_total",
                "Positions files that could not be written",
            )
            .single(),
            config_reloads: counter(
                "tailwater_config_reloads_total",
                "Times the configuration was read again",
            ),
            config_last_reload_successful: gauge(
                "tailwater_config_last_reload_successful",
                "1 when the configuration that was read last is in force",
            )
            .single(),
            sent_entries: counter("tailwater_sent_entries_total", "Entries Loki acknowledged"),
            sent_bytes: counter("tailwater_sent_bytes_total", "Compressed bytes of acknowledged pushes"),
            refused_entries: counter("tailwater_refused_entries_total", "Entries Loki refused for good"),
            retries: counter("tailwater_push_retries_total", "Pushes tried again"),
            splits: counter(
                "tailwater_push_splits_total",
                "Pushes split because Loki cannot take their size",
            ),
            request_seconds: family(
                "tailwater_request_duration_seconds",
                "Duration of push requests",
                Kind::Histogram(REQUEST_BOUNDS.to_vec()),
            ),
        }
    }

    /// The metrics of the client called `client`.
    pub(crate) fn client(&self, client: &str) -> ClientMetrics {
        let labels = || pairs([("client", client)]);
        ClientMetrics {
            own: self.clone(),
            client: client.to_owned(),
            sent_entries: self.sent_entries.series(labels()),
            sent_bytes: self.sent_bytes.series(labels()),
            splits: self.splits.series(labels()),
        }
    }
}

impl ClientMetrics {
    /// Counts entries Loki refused for good.
    pub(crate) fn refused(&self, reason: &str, entries: u64) {
        self.own
            .refused_entries
            .series(pairs([("client", &self.client), ("reason", reason)]))
            .add(entries as f64);
    }

    /// Counts a push that will be tried again.
    pub(crate) fn retried(&self, reason: &str) {
        self.own.retries.series(pairs([("client", &self.client), ("reason", reason)])).add(1.0);
    }

    /// Counts one request; `status` is the code, or `error` when there was no answer.
    pub(crate) fn requested(&self, status: &str, seconds: f64) {
        let labels = pairs([("client", &self.client), ("status", status)]);
        self.own.request_seconds.series(labels).observe(seconds, &REQUEST_BOUNDS);
    }
}

/// Label pairs from string slices.
fn pairs<const N: usize>(labels: [(&str, &str); N]) -> Pairs {
    labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

impl Family {
    /// The series with one label.
    pub(crate) fn with(&self, name: &str, value: &str) -> Arc<Series> {
        self.series(pairs([(name, value)]))
    }
}
