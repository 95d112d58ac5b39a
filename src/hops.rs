//! Single hops of the path of a line, for `benches/hops.rs`. Compiled with the feature `hops` only.
//! In: Docker's json-file log of one container.  Out: hops, to be run round by round.  Owns: the table of hops.

mod job;
mod sending;

use std::error::Error;
use std::io;
use std::path::Path;

use crate::batch;
use crate::hops::job::Job;
use crate::record::Chunk;
use crate::source::{docker, file};

/// Carries all lines of the log once; how many they are.
pub type Round = Box<dyn FnMut() -> Result<u64, Failure>>;

/// A hop cannot be run.
pub type Failure = Box<dyn Error + Send + Sync>;

/// A part of the path.
#[derive(Clone, Copy, Debug)]
pub struct Hop {
    /// As it is asked for.
    pub name: &'static str,
    /// What it does, in half a sentence.
    pub about: &'static str,
    /// The hop that its rounds hold too: what a hop costs is the difference.
    pub without: Option<&'static str>,
    prepare: fn(&Path) -> Result<Round, Failure>,
}

/// Every hop there is, in the order a line travels. Those of the pipeline's stages are cumulative.
pub static HOPS: [Hop; 13] = [
    hop("read", "a file, read and split into lines", |log| fill(file::read(log)?)),
    hop("json_file", "a container's log file: read, split, unescaped", |log| fill(docker::read_log(log)?)),
    hop("api", "frames of a container's log stream", frames),
    hop("intake", "lines without stages: budget, ticket, stream, protobuf", |log| carry(log, 0)),
    hop("docker", "the stage that unwraps the envelope", |log| carry(log, 1)).behind("intake"),
    hop("json", "four keys of the line", |log| carry(log, 2)).behind("docker"),
    hop("labels", "two labels, and with them the stream", |log| carry(log, 3)).behind("json"),
    hop("timestamp", "RFC 3339 with nanoseconds", |log| carry(log, 4)).behind("labels"),
    hop("metrics", "a counter by stream", |log| carry(log, 5)).behind("timestamp"),
    hop("lane", "all of the pipeline, from chunk to groups", |log| carry(log, 5)),
    hop("press", "a megabyte of entries, compressed", sending::press),
    hop("batch", "the batcher, from groups to parcels", sending::batch),
    hop("path", "all of the above for a file, from reading to settling", sending::path),
];

const fn hop(name: &'static str, about: &'static str, prepare: fn(&Path) -> Result<Round, Failure>) -> Hop {
    Hop { name, about, without: None, prepare }
}

impl Hop {
    const fn behind(self, without: &'static str) -> Hop {
        Hop { without: Some(without), ..self }
    }

    /// Makes the hop ready for the lines of a log.
    ///
    /// # Errors
    ///
    /// Where the log cannot be read.
    pub fn prepare(&self, log: &Path) -> Result<Round, Failure> {
        (self.prepare)(log)
    }
}

/// Reads to the end, chunk by chunk.
fn fill(mut read: impl FnMut(&mut Chunk) -> io::Result<bool> + 'static) -> Result<Round, Failure> {
    let mut chunk = Chunk::default();
    Ok(Box::new(move || {
        let mut lines = 0;
        loop {
            let end = read(&mut chunk)?;
            lines += chunk.len() as u64;
            chunk.clear();
            if end {
                return Ok(lines);
            }
        }
    }))
}

/// The log as a daemon streams it: each message alone.
fn frames(log: &Path) -> Result<Round, Failure> {
    let mut frames = Vec::new();
    for chunk in chunks(docker::read_log(log)?)? {
        for (line, of) in chunk.lines() {
            let time = jiff::Timestamp::from_nanosecond(of.timestamp.0.into()).unwrap_or_default();
            let payload = [format!("{time:.9} ").as_bytes(), line, b"\n"].concat();
            let length = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
            frames.push([&[1, 0, 0, 0], &length[..], &payload].concat());
        }
    }
    let (mut decode, mut chunk) = (docker::decode(), Chunk::default());
    Ok(Box::new(move || {
        let mut lines = 0;
        for frame in &frames {
            decode(frame, &mut chunk)?;
            if chunk.is_full() {
                lines += chunk.len() as u64;
                chunk.clear();
            }
        }
        lines += chunk.len() as u64;
        chunk.clear();
        Ok(lines)
    }))
}

/// Chunks of the log through the first stages of the job.
fn carry(log: &Path, stages: usize) -> Result<Round, Failure> {
    let chunks = chunks(file::read(log)?)?;
    let mut job = Job::new(stages)?;
    Ok(Box::new(move || {
        let mut lines = 0;
        for chunk in &chunks {
            lines += job.accept(chunk)?.map_or(0, |handover| batch::entries(&handover.groups));
        }
        Ok(lines)
    }))
}

/// All of a log, as its source hands it on.
fn chunks(mut read: impl FnMut(&mut Chunk) -> io::Result<bool>) -> io::Result<Vec<Chunk>> {
    let mut chunks = Vec::new();
    loop {
        let mut chunk = Chunk::default();
        let end = read(&mut chunk)?;
        if !chunk.is_empty() {
            chunks.push(chunk);
        }
        if end {
            return Ok(chunks);
        }
    }
}
