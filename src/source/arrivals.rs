//! What senders on the network have sent, on its way from a socket to the pipeline.
//! In: messages as they were found.  Out: lines into the intake.  Owns: a chunk that is not full.
//!
//! Sockets are read on tasks of their own, which only find where messages end, so that a pipeline at work does not keep
//! them from being read. When the queue between the two is full reading waits: TCP then holds up the sender, and what a
//! UDP socket has no room for is lost and counted.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::clock;
use crate::custody::Track;
use crate::metrics::Own;
use crate::pipeline::{Intake, IntakeClosed};
use crate::record::{Chunk, LONGEST_LINE, UnixNanos};
use crate::source::{after, cut_to};

/// When a source ends, what has reached this host is read still: until nothing more comes for a moment, or for so long.
pub(crate) const SILENCE: Duration = Duration::from_millis(20);
pub(crate) const LAST_WORDS_WITHIN: Duration = Duration::from_millis(500);

/// Messages that were read at once from one socket.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    bytes: Vec<u8>,
    marks: Vec<Mark>,
    /// When the first was read.
    time: UnixNanos,
}

#[derive(Debug)]
struct Mark {
    range: Range<u32>,
    sender: IpAddr,
    is_cut: bool,
}

/// One message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) sender: IpAddr,
    /// It was longer.
    pub(crate) is_cut: bool,
}

/// What makes lines of messages.
pub(crate) trait Decode {
    /// Pushes the lines of one message.
    fn decode(&mut self, arrival: Arrival<'_>, lines: &mut Lines);

    /// About a second has passed.
    fn tick(&mut self) {}

    /// Nothing arrives any more.
    fn end(&mut self) {}
}

/// Where a decoder pushes lines.
pub(crate) struct Lines {
    intake: Intake,
    chunk: Chunk,
    track: Arc<Track>,
    own: Arc<Own>,
    /// When what is being decoded arrived.
    arrived: UnixNanos,
    /// The time given last.
    stamp: UnixNanos,
}

impl Arrivals {
    /// A batch is handed on at about this size.
    const ENOUGH: usize = 128 * 1024;

    pub(crate) fn push(&mut self, bytes: &[u8], sender: IpAddr, is_cut: bool) {
        if self.marks.is_empty() {
            self.time = clock::now();
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        // A batch is a few hundred kilobytes.
        let range = start as u32..self.bytes.len() as u32;
        // An IPv4 address is one also where it comes over a socket for both.
        self.marks.push(Mark { range, sender: sender.to_canonical(), is_cut });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() + self.marks.len() * size_of::<Mark>() >= Self::ENOUGH
    }

    fn iter(&self) -> impl Iterator<Item = Arrival<'_>> {
        self.marks.iter().map(|mark| Arrival {
            bytes: &self.bytes[mark.range.start as usize..mark.range.end as usize],
            sender: mark.sender,
            is_cut: mark.is_cut,
        })
    }
}

impl Lines {
    pub(crate) fn new(intake: Intake, own: &Arc<Own>) -> Lines {
        let (arrived, stamp) = (UnixNanos(0), UnixNanos(0));
        // What was sent once cannot be read again, so its position is of use to nobody.
        Lines { intake, chunk: Chunk::default(), track: Track::passing(), own: own.clone(), arrived, stamp }
    }

    /// Adds a line with these labels, hidden ones included; one without a time has that of its arrival.
    pub(crate) fn push<N: AsRef<str>, V: AsRef<str>>(
        &mut self,
        line: &[u8],
        time: Option<UnixNanos>,
        labels: impl Iterator<Item = (N, V)> + Clone,
    ) {
        let origin = self.intake.origin(labels);
        let time = time.unwrap_or_else(|| {
            // No two lines of equal text have the same, or Loki takes them for one.
            self.stamp = self.arrived.max(after(self.stamp));
            self.stamp
        });
        if line.len() <= LONGEST_LINE {
            return self.chunk.push(line, time, origin);
        }
        let mut line = line.to_vec();
        cut_to(LONGEST_LINE, &mut line);
        self.own.lines_truncated.add(1.0);
        self.chunk.push(&line, time, origin);
    }

    /// Has a decoder push the lines of a batch.
    pub(crate) async fn take(
        &mut self,
        arrivals: &Arrivals,
        decoder: &mut impl Decode,
    ) -> Result<(), IntakeClosed> {
        self.arrived = arrivals.time;
        for arrival in arrivals.iter() {
            decoder.decode(arrival, self);
            if self.chunk.is_full() {
                self.hand_on().await?;
            }
        }
        Ok(())
    }

    /// Awaits something, which its caller has pinned, and meanwhile lets go on what stages have held back for long enough.
    pub(crate) async fn meanwhile<F: Future + Unpin>(&mut self, what: F) -> F::Output {
        self.intake.meanwhile(what).await
    }

    /// Lets go on all that stages hold back.
    pub(crate) async fn finish(&mut self) -> Result<(), IntakeClosed> {
        self.intake.finish().await
    }

    /// Gives the lines there are to the pipeline.
    pub(crate) async fn hand_on(&mut self) -> Result<(), IntakeClosed> {
        if !self.chunk.is_empty() {
            self.intake.accept(&self.chunk, Track::NO_PLACE, &self.track).await?;
            self.chunk.clear();
        }
        Ok(())
    }
}
