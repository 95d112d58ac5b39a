//! Metrics of the agent's own log.
//! In: nothing.  Out: handles to count with.  Owns: their families.

use std::sync::Arc;

use crate::metrics::registry::{Family, Series};

/// Handles on what the agent says about itself.
#[derive(Clone, Debug)]
pub(crate) struct LogLines {
    written: Arc<Family>,
    /// Lines left out, because there were too many like them.
    pub(crate) suppressed: Arc<Series>,
}

impl LogLines {
    pub(super) fn register(counter: impl Fn(&str, &str) -> Arc<Family>) -> LogLines {
        let written = counter("tailwater_log_lines_total", "Lines the agent wrote into its own log");
        let suppressed = counter(
            "tailwater_log_lines_suppressed_total",
            "Lines the agent left out of its own log, because it had just said the same",
        );
        LogLines { written, suppressed: suppressed.single() }
    }

    /// A line was written.
    pub(crate) fn written(&self, level: &str) {
        self.written.with("level", level).add(1.0);
    }
}
