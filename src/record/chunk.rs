//! A chunk: what a source read at once from one target, as whole lines.
//! In: bytes a source appends.  Out: lines with their times.  Owns: one buffer, reused from chunk to chunk.
//!
//! Work, queues, custody and accounting go by the chunk; only the pipeline looks at single lines.

use std::ops::Range;

use crate::record::UnixNanos;

/// The longest line that is carried, in bytes: Loki's own default limit (`max_line_size`). What exceeds it is cut and
/// counted, so that one endless line cannot take the memory of the agent.
pub(crate) const LONGEST_LINE: usize = 256 * 1024;

/// Which of the label sets its target's lines start with a line has. The target's intake gives the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin(pub(crate) u32);

/// Which of a container's two outputs a line came from. A target whose lines all start with the same labels says
/// `Stdout`.
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
    /// What labels it starts with.
    pub(crate) origin: Origin,
}

/// A name and a value of structured metadata that a line came with.
#[derive(Debug)]
struct Pair {
    line: u32,
    name: Range<u32>,
    value: Range<u32>,
}

/// Structured metadata that one line came with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Metadata<'c> {
    pairs: &'c [Pair],
    texts: &'c str,
}

/// Whole lines read together from one target.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    bytes: Vec<u8>,
    lines: Vec<Line>,
    /// In the order of their lines.
    pairs: Vec<Pair>,
    texts: String,
    /// What sources read into; no part of what is in the chunk.
    block: Vec<u8>,
}

impl From<Output> for Origin {
    fn from(output: Output) -> Origin {
        Origin(output as u32)
    }
}

impl Chunk {
    /// Sources stop adding lines at about this size: large enough that a chunk's fixed costs vanish, small enough
    /// that a hundred targets reading at once stay far below the byte budget.
    pub(crate) const TARGET_SIZE: usize = 256 * 1024;

    /// Adds one line, its line end already removed.
    pub(crate) fn push(&mut self, line: &[u8], timestamp: UnixNanos, origin: impl Into<Origin>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(line);
        // Sources cap a line far below 4 GiB and a chunk at TARGET_SIZE plus one line.
        let range = start as u32..self.bytes.len() as u32;
        self.lines.push(Line { range, timestamp, origin: origin.into() });
    }

    /// A block of so many bytes to read into, of whatever content: a new one for each chunk would be cleared first, and a request of
    /// this size makes the allocator tidy up.
    pub(crate) fn take_block(&mut self, size: usize) -> Vec<u8> {
        let mut block = std::mem::take(&mut self.block);
        block.resize(size, 0);
        block
    }

    /// Keeps the block for the next time.
    pub(crate) fn give_back(&mut self, block: Vec<u8>) {
        self.block = block;
    }

    /// Adds structured metadata to the line added last.
    pub(crate) fn push_metadata(&mut self, name: &str, value: &str) {
        let mut text = |text: &str| {
            let start = self.texts.len() as u32;
            self.texts.push_str(text);
            start..self.texts.len() as u32
        };
        let (name, value) = (text(name), text(value));
        self.pairs.push(Pair { line: self.lines.len().saturating_sub(1) as u32, name, value });
    }

    /// What the line with this number came with.
    pub(crate) fn metadata(&self, number: usize) -> Metadata<'_> {
        let before = |limit: usize| self.pairs.partition_point(|pair| (pair.line as usize) < limit);
        if self.pairs.is_empty() {
            return Metadata::default();
        }
        Metadata { pairs: &self.pairs[before(number)..before(number + 1)], texts: &self.texts }
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
        let lines = self.bytes.len() + self.lines.len() * size_of::<Line>();
        lines + self.texts.len() + self.pairs.len() * size_of::<Pair>()
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
        self.pairs.clear();
        self.texts.clear();
        self.bytes.shrink_to(2 * Self::TARGET_SIZE);
        self.lines.shrink_to(Self::TARGET_SIZE / size_of::<Line>());
        self.pairs.shrink_to(Self::TARGET_SIZE / size_of::<Pair>());
        self.texts.shrink_to(Self::TARGET_SIZE);
    }
}

impl<'c> Metadata<'c> {
    /// Names and values, in the order added.
    pub(crate) fn iter(self) -> impl Iterator<Item = (&'c str, &'c str)> {
        let text = |range: &Range<u32>| &self.texts[range.start as usize..range.end as usize];
        self.pairs.iter().map(move |pair| (text(&pair.name), text(&pair.value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_the_metadata_it_came_with() {
        let mut chunk = Chunk::default();
        for (line, pairs) in [("a", vec![("k", "1"), ("l", "2")]), ("b", vec![]), ("c", vec![("k", "")])] {
            chunk.push(line.as_bytes(), UnixNanos(0), Output::Stdout);
            pairs.into_iter().for_each(|(name, value)| chunk.push_metadata(name, value));
        }
        let shown = |number| chunk.metadata(number).iter().collect::<Vec<_>>();
        assert_eq!(shown(0), [("k", "1"), ("l", "2")]);
        assert_eq!(shown(1), []);
        assert_eq!(shown(2), [("k", "")]);
        chunk.clear();
        assert!(chunk.metadata(0).iter().next().is_none());
    }
}
