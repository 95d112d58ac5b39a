//! The limits a Loki is configured with. In: nothing.  Out: numbers for the judge.  Owns: nothing.

use std::time::Duration;

/// Names are Loki's, with their units written out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    pub max_line_size_bytes: usize,
    pub max_label_names: usize,
    pub max_label_value_bytes: usize,
    /// `None`: any age is accepted (`reject_old_samples: false`).
    pub reject_old_samples_max_age: Option<Duration>,
    /// How far ahead of now a line may be; `None`: any.
    pub creation_grace_period: Option<Duration>,
    /// How far a line may be behind the newest of its stream; `None`: any. Loki: half of `max_chunk_age`.
    pub too_far_behind: Option<Duration>,
    /// gRPC message limit between distributor and ingester, on the uncompressed push.
    pub max_message_bytes: usize,
    /// The largest push, in bytes of lines and metadata. The rate itself is not simulated: wall time would decide tests.
    pub ingestion_burst_bytes: usize,
    /// Only printed, in the body of the burst's 429.
    pub ingestion_rate_bytes: usize,
    pub max_streams: usize,
}

/// The server of `loki-behaviour.md`, except that it has Loki's default of 5,000 streams in place of 50.
impl Default for Limits {
    fn default() -> Self {
        Self {
            max_line_size_bytes: 256 << 10,
            max_label_names: 15,
            max_label_value_bytes: 2048,
            reject_old_samples_max_age: Some(Duration::from_hours(168)),
            creation_grace_period: Some(Duration::from_mins(10)),
            too_far_behind: Some(Duration::from_hours(1)),
            max_message_bytes: 4 << 20,
            ingestion_burst_bytes: 6 << 20,
            ingestion_rate_bytes: 4 << 20,
            max_streams: 5_000,
        }
    }
}

impl Limits {
    /// Takes a line of any time, for tests whose lines carry fixed dates. Sizes are limited as usual.
    pub fn any_time() -> Self {
        Self {
            reject_old_samples_max_age: None,
            creation_grace_period: None,
            too_far_behind: None,
            ..Self::default()
        }
    }
}
