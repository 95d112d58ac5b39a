//! A chunk: what a source read at once from one target, as whole lines.
//! In: bytes a source appends.  Out: lines with their times.  Owns: one buffer, reused from chunk to chunk.
//!
//! Work, queues, custody and accounting go by the chunk; only the pipeline looks at single lines.

use std::ops::Range;

use crate::record::UnixNanos;

/// The longest line that is carried, in bytes: Loki's own default limit (`max_line_size`). What exceeds it is cut and
/// counted, so that one endless line cannot take the memory of the agent.
pub(crate) const LONGEST_LINE: usize = 256 * 1024;

/// Which of a container's two outputs a line came from. Everything that is no container says `Stdout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// File descriptor 1, and all of a TTY.
    Stdout,
    /// File descriptor 2.
    Stderr,
}

/// One line of a chunk, without its line end.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    range: Range<u32>,
    /// When the line was written (Docker) or read (files).
    pub(crate) timestamp: UnixNanos,
    /// Where it was written to.
    pub(crate) output: Output,
}

/// Whole lines read together from one target.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    bytes: Vec<u8>,
    lines: Vec<Line>,
}

impl Chunk {
    /// Sources stop adding lines at about this size: large enough that a chunk's fixed costs vanish, small enough
    /// that a hundred targets reading at once stay far below the byte budget.
    pub(crate) const TARGET_SIZE: usize = 256 * 1024;

    /// Adds one line, its line end already removed.
    pub(crate) fn push(&mut self, line: &[u8], timestamp: UnixNanos, output: Output) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(line);
        // Sources cap a line far below 4 GiB and a chunk at TARGET_SIZE plus one line.
        self.lines.push(Line { range: start as u32..self.bytes.len() as u32, timestamp, output });
    }

    /// The lines in the order they were read.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&[u8], &Line)> {
        self.lines.iter().map(|line| (&self.bytes[line.range.start as usize..line.range.end as usize], line))
    }

    /// How many lines there are.
    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    /// What the chunk takes in memory, nearly: many empty lines are not free.
    pub(crate) fn cost(&self) -> usize {
        self.bytes.len() + self.lines.len() * size_of::<Line>()
    }

    /// Bytes of all lines together.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// True when no line was added since the last `clear`.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// True when the source should hand the chunk on before reading more.
    pub(crate) fn is_full(&self) -> bool {
        self.cost() >= Self::TARGET_SIZE
    }

    /// Makes the chunk empty; one huge line does not keep its memory for ever.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.lines.clear();
        self.bytes.shrink_to(2 * Self::TARGET_SIZE);
        self.lines.shrink_to(Self::TARGET_SIZE / size_of::<Line>());
    }
}
