//! The agent's own metrics, each named once.
//! In: nothing.  Out: handles the other modules count with.  Owns: the `tailwater_*` families.

mod client;
mod path;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::metrics::archive::ArchiveMetrics;
use crate::metrics::cardinality::Cardinality;
use crate::metrics::log_lines::LogLines;
use crate::metrics::network::Network;
use crate::metrics::own::path::Path;
use crate::metrics::process::Process;
use crate::metrics::promtail::Destination;
use crate::metrics::registry::{Family, Kind, Registry, Series, pairs};

pub(crate) use client::ClientMetrics;
pub(crate) use path::{ClientPath, Queues};

/// Handles on every own metric.
#[derive(Debug)]
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
    /// Entries that stages hold back.
    pub(crate) entries_held: Arc<Series>,
    /// Entries that left the pipelines.
    pub(crate) entries_made: Arc<Series>,
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
    /// Log streams that stood still while their log went on.
    pub(crate) docker_streams_stalled: Arc<Series>,
    pub(crate) docker_files_opened: Arc<Series>,
    /// Rotations that were missed.
    pub(crate) docker_log_gaps: Arc<Series>,
    /// By `reason` (driver, file).
    pub(crate) docker_logs_unreadable: Arc<Family>,
    /// By `reason` (gone, broken).
    pub(crate) docker_containers_missed: Arc<Family>,
    /// Failed calls to the Docker API, by `operation`.
    pub(crate) docker_errors: Arc<Family>,
    /// What a source could not do, by `source`.
    pub(crate) source_errors: Arc<Family>,
    /// Answers to pushes, by `status`.
    pub(crate) push_answers: Arc<Family>,
    /// Of sources that others send to.
    pub(crate) network: Network,
    /// Of streams and label values.
    pub(crate) cardinality: Cardinality,
    /// Of the wall clock, by `direction` (forward, backward).
    pub(crate) clock_jumps: Arc<Family>,
    pub(crate) log_lines: LogLines,
    process: Process,
    /// Files and globs that could not be read.
    pub(crate) file_errors: Arc<Series>,
    /// Rotated files that were deleted before there was room to open them.
    pub(crate) files_lost: Arc<Series>,
    /// Compressed files that are damaged, or that end too early.
    pub(crate) files_damaged: Arc<Series>,
    /// Files of `file_sd_configs` that cannot be read or understood.
    pub(crate) target_files_failed: Arc<Series>,
    /// Followed files that are open.
    pub(crate) open_files: Arc<Series>,
    /// How many of them may be.
    pub(crate) open_files_limit: Arc<Series>,
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
    /// Entries kept in the dead-letter file, or left out of it, by `result`.
    pub(crate) dead_letters: Arc<Family>,
    received_entries: Arc<Family>,
    in_flight_entries: Arc<Family>,
    /// Files of the agent's own that were damaged and set aside.
    pub(crate) state_damaged: Arc<Series>,
    /// Configurations read again, by `result` (success, failure).
    pub(crate) config_reloads: Arc<Family>,
    /// 1 when the configuration that was read last is in force.
    pub(crate) config_last_reload_successful: Arc<Series>,
    sent_entries: Arc<Family>,
    sent_bytes: Arc<Family>,
    refused_entries: Arc<Family>,
    dropped_entries: Arc<Family>,
    left_entries: Arc<Family>,
    retries: Arc<Family>,
    splits: Arc<Family>,
    request_seconds: Arc<Family>,
    spool_recovered: Arc<Family>,
    spooled_entries: Arc<Family>,
    spool_entries: Arc<Family>,
    spool_bytes: Arc<Family>,
    spool_errors: Arc<Family>,
    pub(crate) archive: ArchiveMetrics,
    gap: Arc<Family>,
    /// Of queues and waiting.
    pub(crate) path: Path,
    /// Of all clients there have been, by name.
    clients: Arc<Mutex<BTreeMap<String, ClientMetrics>>>,
}

/// Bounds of `tailwater_request_duration_seconds`: Prometheus' default ones.
const REQUEST_BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

impl Own {
    /// Registers everything in `registry`.
    pub(crate) fn register(registry: &Registry) -> Arc<Own> {
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
        let own = Own {
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
            entries_held: gauge(
                "tailwater_entries_held",
                "Entries that stages hold back until they are complete",
            )
            .single(),
            entries_made: counter("tailwater_entries_total", "Entries that left the pipelines").single(),
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
            docker_streams_stalled: counter(
                "tailwater_docker_streams_stalled_total",
                "Docker log streams that stood still while their log went on, and were opened again",
            )
            .single(),
            docker_files_opened: counter("tailwater_docker_files_opened_total", "Docker log files opened")
                .single(),
            docker_log_gaps: counter(
                "tailwater_docker_log_gaps_total",
                "Docker log files that were rotated away before they could be opened",
            )
            .single(),
            docker_logs_unreadable: counter(
                "tailwater_docker_logs_unreadable_total",
                "Containers without a log, and failed attempts to open a log file",
            ),
            docker_containers_missed: counter(
                "tailwater_docker_containers_missed_total",
                "Containers removed before their log was read to the end",
            ),
            docker_errors: counter("tailwater_docker_errors_total", "Failed calls to the Docker API"),
            source_errors: counter(
                "tailwater_source_errors_total",
                "Failed attempts of sources to listen or to read",
            ),
            push_answers: counter("tailwater_push_answers_total", "Answers to pushes that came in"),
            network: Network::register(counter, gauge),
            cardinality: Cardinality::register(counter, gauge),
            clock_jumps: counter(
                "tailwater_clock_jumps_total",
                "Jumps of the wall clock by more than a second",
            ),
            log_lines: LogLines::register(counter),
            process: Process::register(counter, gauge),
            file_errors: counter(
                "tailwater_file_errors_total",
                "Failed attempts to list, open or read files",
            )
            .single(),
            files_lost: counter(
                "tailwater_files_lost_total",
                "Rotated files that were deleted before there was room to open them",
            )
            .single(),
            files_damaged: counter(
                "tailwater_files_damaged_total",
                "Compressed files that are damaged or end too early",
            )
            .single(),
            target_files_failed: counter(
                "tailwater_target_files_failed_total",
                "Failed attempts to read files that list targets",
            )
            .single(),
            open_files: gauge("tailwater_open_files", "Followed files that are open").single(),
            open_files_limit: gauge("tailwater_open_files_limit", "Followed files that may be open").single(),
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
            dead_letters: counter(
                "tailwater_dead_letters_total",
                "Refused entries kept in the dead-letter file, or left out of it",
            ),
            received_entries: counter("tailwater_received_entries_total", "Entries handed to a client"),
            in_flight_entries: gauge(
                "tailwater_in_flight_entries",
                "Entries a client has in memory, neither settled nor in its spool",
            ),
            state_damaged: counter(
                "tailwater_state_damaged_total",
                "Files of positions and remembered times that were damaged at start",
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
            dropped_entries: counter(
                "tailwater_dropped_entries_total",
                "Entries a client gave up because the configuration says so, or lost in its spool",
            ),
            left_entries: counter(
                "tailwater_left_entries_total",
                "Entries a client left to the one that took its place",
            ),
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
            spool_recovered: counter(
                "tailwater_spool_recovered_entries_total",
                "Entries found in a client's spool at start",
            ),
            spooled_entries: counter("tailwater_spooled_entries_total", "Entries put into a client's spool"),
            spool_entries: gauge("tailwater_spool_entries", "Entries in a client's spool"),
            spool_bytes: gauge("tailwater_spool_bytes", "Bytes of a client's spool on disk"),
            spool_errors: counter("tailwater_spool_errors_total", "Failed reads and writes of a spool"),
            archive: ArchiveMetrics::register(family),
            gap: gauge(
                "tailwater_conservation_gap",
                "Entries that came in and are neither settled nor under way: 0 unless some were lost",
            ),
            path: Path::register(counter, gauge),
            clients: Arc::default(),
        };
        own.begin();
        Arc::new(own)
    }

    /// What may be counted is there from the start, so that the first of it is seen as an increase.
    fn begin(&self) {
        for (family, label, values) in [
            (&self.config_reloads, "result", ["success", "failure"].as_slice()),
            (&self.docker_errors, "operation", &["list", "events", "inspect", "logs", "stream"]),
            (&self.docker_logs_unreadable, "reason", &["driver", "file"]),
            (&self.docker_containers_missed, "reason", &["gone", "broken"]),
            (&self.geoip_lookups_failed, "reason", &["address", "database"]),
            (&self.dead_letters, "result", &["kept", "left_out"]),
            (&self.clock_jumps, "direction", &["forward", "backward"]),
        ] {
            values.iter().for_each(|value| drop(family.with(label, value)));
        }
        self.path.begin();
    }

    /// Looks at the process, and takes stock: what came in must be settled or under way. Right at any quiet moment; while
    /// lines flow it is off by what moves between two readings.
    pub(crate) fn take_stock(&self) {
        self.process.look();
        let dropped = self.lines_dropped.sum() + self.lines_merged.value();
        let lines = self.lines_read.sum() - dropped - self.entries_held.value() - self.entries_made.value();
        self.gap.series(pairs([("hop", "pipeline"), ("client", "")])).set(lines);
        self.gap.series(pairs([("hop", "archive"), ("client", "")])).set(self.archive.gap());
        for (name, client) in self.clients().iter() {
            let labels = pairs([("hop", "delivery"), ("client", name)]);
            self.gap.series(labels).set(client.gap());
            client.path.look();
        }
    }

    /// Where clients push, by their names.
    pub(crate) fn destinations(&self) -> BTreeMap<String, Destination> {
        self.clients().iter().map(|(name, client)| (name.clone(), client.destination())).collect()
    }

    fn clients(&self) -> MutexGuard<'_, BTreeMap<String, ClientMetrics>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
