//! What a lane remembers for its stages between lines.
//! In: what a stage asks for.  Out: places by label set.  Owns: them; the lane bounds them.

use std::sync::Arc;

use crate::metrics::Series;
use crate::pipeline::held::Holds;
use crate::pipeline::lane::label_sets::BySet;
use crate::record::UnixNanos;

/// What a stage asks a lane to remember for it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MemoryKind {
    Times,
    Series,
    Holds,
}

/// What a lane remembers for one stage, by label set.
#[derive(Debug)]
pub(crate) enum Memory {
    Times(BySet<UnixNanos>),
    Series(BySet<Arc<Series>>),
    Holds(Holds),
}

impl Memory {
    pub(super) fn new(kind: MemoryKind) -> Memory {
        match kind {
            MemoryKind::Times => Memory::Times(BySet::default()),
            MemoryKind::Series => Memory::Series(BySet::default()),
            MemoryKind::Holds => Memory::Holds(Holds::default()),
        }
    }
}
