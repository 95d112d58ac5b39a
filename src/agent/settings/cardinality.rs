//! The `cardinality` block.
//! In: the block, the guard that runs.  Out: what keeps labels from making too many streams.  Owns: its table.

use crate::config::{Block, Invalid, Kind, Node, Table, row};
use crate::metrics::Own;
use crate::pipeline::{Above, Guard, GuardSettings};

/// Streams there may be.
const MAX_STREAMS: usize = 10_000;

/// Values of a label. Those that are meant as labels (services, hosts, containers, routes) stay far below; and one label
/// without bound stays below the 5,000 streams that Loki takes of a tenant unless it is told otherwise.
const MAX_LABEL_VALUES: usize = 2000;

pub(super) static CARDINALITY: Table = Table(&[
    row("enabled", Kind::Boolean, "true", "`false` is what Promtail does: a stream of every label set"),
    row(
        "max_streams",
        Kind::Count,
        "10000",
        "Streams written to in an hour; at this many, labels with the most values move until their stream is one there is",
    ),
    row(
        "max_label_values",
        Kind::Count,
        "2000",
        "Values, met in an hour, of each label that comes from lines; new ones move. At most `max_streams`",
    ),
    row(
        "above",
        Kind::Text,
        "structured_metadata",
        "Where they move: `structured_metadata`; or `discard`, which takes the label off and leaves the line as it is",
    ),
]);

/// Reads the block; what the guard that runs knows is taken over. One that is not enabled is there too, so that a reload can.
pub(super) fn decode(block: &Block<'_>, own: &Own, running: Option<&Guard>) -> Result<Guard, Invalid> {
    let enabled = block.optional("enabled", Node::boolean)?.unwrap_or(true);
    let max_streams = block.optional("max_streams", above_zero)?.unwrap_or(MAX_STREAMS);
    let max_label_values = block.optional("max_label_values", above_zero)?.unwrap_or(MAX_LABEL_VALUES);
    let above = block.optional("above", above)?.unwrap_or(Above::StructuredMetadata);
    let max_label_values = max_label_values.min(max_streams);
    let settings = GuardSettings { enabled, max_streams, max_label_values, above };
    Ok(Guard::beside(running, settings, own))
}

fn above_zero(node: &Node) -> Result<usize, Invalid> {
    match node.count()? {
        0 => Err(node.invalid("this number must be above 0").help("`enabled: false` is no limit")),
        count => Ok(usize::try_from(count).unwrap_or(usize::MAX)),
    }
}

fn above(node: &Node) -> Result<Above, Invalid> {
    match node.text()? {
        "structured_metadata" => Ok(Above::StructuredMetadata),
        "discard" => Ok(Above::Discard),
        other => {
            let invalid = node.invalid(format!("`{other}` is no place for values above the limits"));
            Err(invalid.help("write `structured_metadata` or `discard`"))
        }
    }
}
