//! Metrics of the bound on streams and label values.
//! In: nothing.  Out: handles to count with.  Owns: their families.

use std::sync::Arc;

use crate::metrics::registry::{Family, Series};

/// Handles on what is known of streams and label values.
#[derive(Clone, Debug)]
pub(crate) struct Cardinality {
    /// Streams written to lately.
    pub(crate) streams_active: Arc<Series>,
    pub(crate) streams_limit: Arc<Series>,
    /// Streams let through although there were too many.
    pub(crate) streams_over_limit: Arc<Series>,
    values_active: Arc<Family>,
    values_moved: Arc<Family>,
}

impl Cardinality {
    pub(super) fn register(
        counter: impl Fn(&str, &str) -> Arc<Family>,
        gauge: impl Fn(&str, &str) -> Arc<Family>,
    ) -> Cardinality {
        Cardinality {
            streams_active: gauge("tailwater_streams_active", "Streams written to in the last hour").single(),
            streams_limit: gauge("tailwater_streams_limit", "Streams there may be").single(),
            streams_over_limit: counter(
                "tailwater_streams_over_limit_total",
                "Streams let through above the limit, because no label of theirs could move",
            )
            .single(),
            values_active: gauge(
                "tailwater_label_values_active",
                "Values, met in the last hour, of a label that comes from lines",
            ),
            values_moved: counter(
                "tailwater_label_values_moved_total",
                "Entries whose value of the label was taken off their stream",
            ),
        }
    }

    /// Values of a label; `None` for the labels that are counted together.
    pub(crate) fn values_active(&self, label: Option<&str>) -> Arc<Series> {
        of_label(&self.values_active, label)
    }

    /// Entries whose value of a label moved.
    pub(crate) fn values_moved(&self, label: Option<&str>) -> Arc<Series> {
        of_label(&self.values_moved, label)
    }
}

fn of_label(family: &Family, label: Option<&str>) -> Arc<Series> {
    match label {
        Some(label) => family.with("label", label),
        None => family.with("overflow", "true"),
    }
}
