//! Metrics of queues on the path of a line, of waiting for them, and of ages.
//! In: nothing.  Out: handles to count with.  Owns: their families.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::clock;
use crate::metrics::registry::{Family, Series};
use crate::record::UnixNanos;

/// Handles on what all sources share, and the families of the clients' ones.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    /// What may be read and not settled.
    pub(crate) budget_limit: Arc<Series>,
    /// How long sources waited for a share of that.
    pub(crate) budget_wait: Arc<Series>,
    positions_seconds: Arc<Series>,
    positions_written_at: Arc<Series>,
    discovered_at: Arc<Family>,
    discovery_errors: Arc<Family>,
    handovers: Arc<Family>,
    handovers_limit: Arc<Family>,
    handover_wait: Arc<Family>,
    parcels: Arc<Family>,
    parcel_wait: Arc<Family>,
    encoded_bytes: Arc<Family>,
    compressed_bytes: Arc<Family>,
    under_way: Arc<Family>,
    acknowledged_at: Arc<Family>,
    spool_limit: Arc<Family>,
    spool_oldest: Arc<Family>,
}

/// Those of one client, or of the archive.
#[derive(Clone, Debug)]
pub(crate) struct Queues {
    /// Handovers that wait for the batcher.
    pub(crate) handovers: Arc<Series>,
    /// How many may.
    pub(crate) handovers_limit: Arc<Series>,
    /// How long sources waited for a place.
    pub(crate) handover_wait: Arc<Series>,
    /// How long the batcher waited for a place behind it.
    pub(crate) parcel_wait: Arc<Series>,
}

/// One client's.
#[derive(Clone, Debug)]
pub(crate) struct ClientPath {
    pub(crate) queues: Queues,
    /// Parcels in memory that wait for those being sent.
    pub(crate) parcels: Arc<Series>,
    encoded_bytes: Arc<Series>,
    compressed_bytes: Arc<Series>,
    /// Requests without an answer so far.
    pub(crate) under_way: Arc<Series>,
    acknowledged_at: Arc<Series>,
    /// What may be on disk.
    pub(crate) spool_limit: Arc<Series>,
    spool_oldest: Arc<Series>,
    /// The time of the oldest entry on disk, where there is one.
    oldest: Arc<AtomicI64>,
}

/// There is nothing on disk.
const NOTHING: i64 = i64::MAX;

impl Path {
    pub(super) fn register(
        counter: impl Fn(&str, &str) -> Arc<Family>,
        gauge: impl Fn(&str, &str) -> Arc<Family>,
    ) -> Path {
        Path {
            budget_limit: gauge("tailwater_in_flight_limit_bytes", "Bytes that may be read and not settled")
                .single(),
            budget_wait: counter(
                "tailwater_in_flight_wait_seconds_total",
                "Time sources waited because too many bytes were read and not settled",
            )
            .single(),
            positions_seconds: gauge(
                "tailwater_positions_write_duration_seconds",
                "How long it took to write positions the last time",
            )
            .single(),
            positions_written_at: gauge(
                "tailwater_positions_last_success_timestamp_seconds",
                "When positions were last written or found to be as they were, since 1970",
            )
            .single(),
            discovered_at: gauge(
                "tailwater_discovery_last_success_timestamp_seconds",
                "When targets of a kind were last looked for with success, since 1970",
            ),
            discovery_errors: counter(
                "tailwater_discovery_errors_total",
                "Failed attempts to look for targets of a kind",
            ),
            handovers: gauge(
                "tailwater_handovers_waiting",
                "Chunks that wait for a client's batcher, or for a place in its queue",
            ),
            handovers_limit: gauge(
                "tailwater_handovers_waiting_limit",
                "Chunks that may wait for a client's batcher",
            ),
            handover_wait: counter(
                "tailwater_handover_wait_seconds_total",
                "Time sources waited because so many chunks waited for a client's batcher",
            ),
            parcels: gauge("tailwater_parcels_waiting", "Pushes in memory behind those under way"),
            parcel_wait: counter(
                "tailwater_parcel_wait_seconds_total",
                "Time a client's batcher waited because so many pushes were in memory",
            ),
            encoded_bytes: counter(
                "tailwater_encoded_bytes_total",
                "Bytes of pushes before they were compressed, once for each",
            ),
            compressed_bytes: counter(
                "tailwater_compressed_bytes_total",
                "Compressed bytes of pushes, once for each",
            ),
            under_way: gauge("tailwater_pushes_under_way", "Requests that wait for their answer"),
            acknowledged_at: gauge(
                "tailwater_last_acknowledged_timestamp_seconds",
                "When Loki last acknowledged a push, since 1970; 0 before the first",
            ),
            spool_limit: gauge("tailwater_spool_limit_bytes", "Bytes a client's spool may have on disk"),
            spool_oldest: gauge(
                "tailwater_spool_oldest_entry_age_seconds",
                "Age of the oldest entry in a client's spool, 0 when it is empty",
            ),
        }
    }

    /// Positions are on disk, which took so long.
    pub(crate) fn positions_saved(&self, took: Duration) {
        self.positions_seconds.set(took.as_secs_f64());
        self.positions_written_at.set(seconds(clock::now()));
    }

    /// Targets of this kind were looked for.
    pub(crate) fn discovered(&self, kind: &str) {
        self.discovered_at.with("kind", kind).set(seconds(clock::now()));
    }

    /// Targets of this kind could not be looked for, or not all of them.
    pub(crate) fn discovery_failed(&self, kind: &str) {
        self.discovery_errors.with("kind", kind).add(1.0);
    }

    /// What may be counted is there from the start.
    pub(super) fn begin(&self) {
        for kind in ["docker", "files", "file_sd"] {
            drop((self.discovery_errors.with("kind", kind), self.discovered_at.with("kind", kind)));
        }
    }

    /// Those of the client called `client`, or of the archive.
    pub(crate) fn queues(&self, client: &str) -> Queues {
        let of = |family: &Family| family.with("client", client);
        Queues {
            handovers: of(&self.handovers),
            handovers_limit: of(&self.handovers_limit),
            handover_wait: of(&self.handover_wait),
            parcel_wait: of(&self.parcel_wait),
        }
    }

    pub(super) fn client(&self, client: &str) -> ClientPath {
        let of = |family: &Family| family.with("client", client);
        ClientPath {
            queues: self.queues(client),
            parcels: of(&self.parcels),
            encoded_bytes: of(&self.encoded_bytes),
            compressed_bytes: of(&self.compressed_bytes),
            under_way: of(&self.under_way),
            acknowledged_at: of(&self.acknowledged_at),
            spool_limit: of(&self.spool_limit),
            spool_oldest: of(&self.spool_oldest),
            oldest: Arc::new(AtomicI64::new(NOTHING)),
        }
    }
}

impl ClientPath {
    /// A push was made of so many bytes.
    pub(crate) fn sealed(&self, encoded: usize, compressed: usize) {
        self.encoded_bytes.add(encoded as f64);
        self.compressed_bytes.add(compressed as f64);
    }

    /// Loki has stored something.
    pub(crate) fn acknowledged(&self) {
        self.acknowledged_at.set(seconds(clock::now()));
    }

    /// The time of the oldest entry on disk, where there is one.
    pub(crate) fn spool_holds(&self, oldest: Option<UnixNanos>) {
        self.oldest.store(oldest.map_or(NOTHING, |oldest| oldest.0), Ordering::Relaxed);
    }

    /// Brings ages up to date.
    pub(super) fn look(&self) {
        let age = match self.oldest.load(Ordering::Relaxed) {
            NOTHING => 0.0,
            oldest => (seconds(clock::now()) - seconds(UnixNanos(oldest))).max(0.0),
        };
        self.spool_oldest.set(age);
    }
}

fn seconds(time: UnixNanos) -> f64 {
    time.0 as f64 / 1e9
}
