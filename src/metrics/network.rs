//! Metrics of sources that others send to.
//! In: nothing.  Out: handles to count with.  Owns: their families.

use std::sync::Arc;

use crate::metrics::registry::{Family, Series};

/// Handles on what happens between a socket and the pipeline.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    messages_dropped: Arc<Family>,
    connections_active: Arc<Family>,
    connections_ended: Arc<Family>,
    datagrams_lost: Arc<Family>,
}

impl Network {
    pub(super) fn register(
        counter: impl Fn(&str, &str) -> Arc<Family>,
        gauge: impl Fn(&str, &str) -> Arc<Family>,
    ) -> Network {
        Network {
            messages_dropped: counter(
                "tailwater_messages_dropped_total",
                "Messages from the network that made no line",
            ),
            connections_active: gauge("tailwater_connections_active", "Connections of senders"),
            connections_ended: counter(
                "tailwater_connections_ended_total",
                "Connections of senders that ended",
            ),
            datagrams_lost: counter("tailwater_datagrams_lost_total", "Datagrams the kernel had no room for"),
        }
    }

    /// Messages that made no line.
    pub(crate) fn messages_dropped(&self, source: &str, reason: &str) -> Arc<Series> {
        self.messages_dropped.with_two([("source", source), ("reason", reason)])
    }

    /// Connections there are.
    pub(crate) fn connections_active(&self, source: &str) -> Arc<Series> {
        self.connections_active.with("source", source)
    }

    /// Connections there are no more.
    pub(crate) fn connections_ended(&self, source: &str, reason: &str) -> Arc<Series> {
        self.connections_ended.with_two([("source", source), ("reason", reason)])
    }

    /// A connection begins, or has ended for a reason.
    pub(crate) fn connection(&self, source: &str, ended: Option<&str>) {
        self.connections_active(source).add(if ended.is_some() { -1.0 } else { 1.0 });
        if let Some(reason) = ended {
            self.connections_ended(source, reason).add(1.0);
        }
    }

    /// Datagrams the kernel had no room for.
    pub(crate) fn datagrams_lost(&self, source: &str) -> Arc<Series> {
        self.datagrams_lost.with("source", source)
    }
}
