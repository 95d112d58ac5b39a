//! The `limits_config` block.
//! In: the block.  Out: limits that every pipeline ends with, and that every client's batches keep.  Owns: its table.

use crate::config::{Block, Invalid, Kind, Node, Table, row};
use crate::delivery;
use crate::metrics::Own;
use crate::pipeline::{Limits as PipelineLimits, LineLimit, RateLimit};

/// What the block says.
#[derive(Debug)]
pub(crate) struct Limits {
    /// What every pipeline ends with.
    pub(super) pipeline: PipelineLimits,
    max_streams: Option<usize>,
}

pub(super) static LIMITS: Table = Table(&[
    row(
        "readline_rate_enabled",
        Kind::Boolean,
        "false",
        "Limit the rate of lines that leave all pipelines together",
    ),
    row("readline_rate", Kind::Number, "10000", "Lines a second"),
    row("readline_burst", Kind::Count, "10000", "Lines that may leave at once"),
    row(
        "readline_rate_drop",
        Kind::Boolean,
        "true",
        "Drop and count lines above the rate; if false, reading waits",
    ),
    row(
        "max_streams",
        Kind::Count,
        "0",
        "Streams in one batch: a batch that has so many is sent before the next one opens; 0 is no limit",
    ),
    row(
        "max_line_size",
        Kind::Bytes,
        "0",
        "A longer line is dropped and counted; 0 is no limit (256 KiB is, at the source)",
    ),
    row("max_line_size_truncate", Kind::Boolean, "false", "Cut it instead, at a character"),
]);

/// Reads the block; the rate that runs already stays in use where it is the same.
pub(super) fn decode(block: &Block<'_>, own: &Own, running: Option<&RateLimit>) -> Result<Limits, Invalid> {
    let rate = block.optional("readline_rate", positive)?.unwrap_or(10_000.0);
    let burst = block.optional("readline_burst", |node| match node.count()? {
        0 => Err(node.invalid("`readline_burst` must be above 0")),
        burst => Ok(burst),
    })?;
    let drops = block.optional("readline_rate_drop", Node::boolean)?.unwrap_or(true);
    let limited = block.optional("readline_rate_enabled", Node::boolean)?.unwrap_or(false);
    let truncate = block.optional("max_line_size_truncate", Node::boolean)?.unwrap_or(false);
    let max_line = block.optional("max_line_size", Node::bytes)?.filter(|size| *size > 0);
    let max_streams = block.optional("max_streams", Node::count)?.filter(|streams| *streams > 0);
    Ok(Limits {
        pipeline: PipelineLimits {
            rate: limited
                .then(|| RateLimit::over_all(rate, burst.unwrap_or(10_000), drops, own).or_running(running)),
            line: max_line.map(|size| LineLimit::new(size, truncate, own)),
            guard: None,
        },
        max_streams: max_streams.map(|streams| usize::try_from(streams).unwrap_or(usize::MAX)),
    })
}

fn positive(node: &Node) -> Result<f64, Invalid> {
    match node.number()? {
        rate if rate > 0.0 => Ok(rate),
        _ => Err(node.invalid("this rate must be above 0")),
    }
}

impl Limits {
    /// The clients, with what concerns them.
    pub(super) fn apply_to(&self, mut clients: Vec<delivery::Settings>) -> Vec<delivery::Settings> {
        for client in &mut clients {
            client.batch.max_streams = self.max_streams;
        }
        clients
    }
}
