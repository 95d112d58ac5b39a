//! Standard input, read to its end.
//! In: a stream of bytes.  Out: chunks into the intake.  Owns: a thread that waits for input.

use std::io::{self, BufRead as _, BufReader, Read};
use std::pin::pin;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::custody::Track;
use crate::metrics::Own;
use crate::pipeline::Intake;
use crate::record::{Chunk, LONGEST_LINE, Output, UnixNanos};
use crate::source::{cut, fresh};

/// Chunks that wait for the pipeline.
const QUEUE: usize = 2;

/// The kind of source, as metrics and the log call it.
pub(crate) const KIND: &str = "stdin";

/// The input as a source.
pub(crate) struct Stdin {
    pub(crate) intake: Intake,
    pub(crate) own: Arc<Own>,
    pub(crate) stop: CancellationToken,
}

impl Stdin {
    /// Runs until the input ends, or until it is told to stop.
    pub(crate) async fn run(mut self) {
        let stop = self.stop.clone();
        tokio::select! {
            () = self.read() => {}
            () = stop.cancelled() => {}
        }
        // Nobody takes them: the agent is stopping in a hurry, and has said so.
        drop(self.intake.finish().await);
    }

    async fn read(&mut self) {
        let (chunks, mut read) = mpsc::channel(QUEUE);
        let own = self.own.clone();
        // A thread that hangs in a read keeps neither the runtime nor the process from ending.
        drop(spawn_blocking(move || {
            let ended = Lines::new(BufReader::new(io::stdin())).run(&chunks, &own);
            ended.inspect_err(|error| warn!(%error, "standard input cannot be read"))
        }));
        // An input cannot be read twice, so its position is of use to nobody.
        let track = Track::passing();
        while let Some(chunk) = self.intake.meanwhile(pin!(read.recv())).await {
            if self.intake.accept(&chunk, Track::NO_PLACE, &track).await.is_err() {
                return;
            }
        }
    }
}

/// Cuts an input into lines.
struct Lines<R> {
    input: BufReader<R>,
    line: Vec<u8>,
    stamp: UnixNanos,
}

impl<R: Read> Lines<R> {
    fn new(input: BufReader<R>) -> Lines<R> {
        Lines { input, line: Vec::new(), stamp: UnixNanos(0) }
    }

    /// Hands on what is there, and waits for more, until the input or its reader ends.
    fn run(mut self, chunks: &mpsc::Sender<Chunk>, own: &Own) -> io::Result<()> {
        loop {
            let mut chunk = Chunk::default();
            let end = self.fill(&mut chunk, own)?;
            if !chunk.is_empty() && chunks.blocking_send(chunk).is_err() {
                return Ok(());
            }
            if end {
                return Ok(());
            }
        }
    }

    /// Reads lines until nothing is left without waiting. True at the end of the input.
    fn fill(&mut self, chunk: &mut Chunk, own: &Own) -> io::Result<bool> {
        loop {
            let block = self.input.fill_buf()?;
            if block.is_empty() {
                self.push(chunk, own);
                return Ok(true);
            }
            let end = memchr::memchr(b'\n', block);
            let part = &block[..end.unwrap_or(block.len())];
            // One byte more than fits shows that there was more.
            let room = (LONGEST_LINE + 1).saturating_sub(self.line.len()).min(part.len());
            self.line.extend_from_slice(&part[..room]);
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            if end.is_some() {
                self.push(chunk, own);
            }
            if !chunk.is_empty() && (chunk.is_full() || self.input.buffer().is_empty()) {
                return Ok(false);
            }
        }
    }

    /// Ends a line. Promtail leaves out empty ones here, and all that end a line.
    fn push(&mut self, chunk: &mut Chunk, own: &Own) {
        own.lines_truncated.add(f64::from(u8::from(cut(&mut self.line))));
        while self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        if !self.line.is_empty() {
            self.stamp = fresh(self.stamp);
            chunk.push(&self.line, self.stamp, Output::Stdout);
        }
        self.line.clear();
        self.line.shrink_to(64 * 1024);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Registry;

    fn lines(input: &[u8]) -> Vec<String> {
        let own = Own::register(&Registry::default());
        let mut lines = Lines::new(BufReader::with_capacity(7, input));
        let mut all = Vec::new();
        loop {
            let mut chunk = Chunk::default();
            let end = lines.fill(&mut chunk, &own).unwrap();
            all.extend(chunk.lines().map(|(line, _)| String::from_utf8_lossy(line).into_owned()));
            if end {
                return all;
            }
        }
    }

    #[test]
    fn lines_are_cut_as_promtail_cuts_them() {
        assert_eq!(lines(b"bar"), ["bar"]);
        assert_eq!(lines(b"\nfoo\r\nbar"), ["foo", "bar"]);
        assert_eq!(lines(b"one longer line\r\r\n\r\nlast\n"), ["one longer line", "last"]);
        assert!(lines(b"").is_empty());
    }

    #[test]
    fn an_endless_line_is_cut_and_the_next_one_is_whole() {
        let input = [vec![b'x'; 3 * LONGEST_LINE], b"\nlast".to_vec()].concat();
        let read = lines(&input);
        assert_eq!((read.len(), read[0].len(), read[1].as_str()), (2, LONGEST_LINE, "last"));
    }
}
