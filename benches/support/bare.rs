//! The job of the benchmarks as a bare loop, with no agent around it: what the machine can do at most.
//! In: the same files.  Out: how long it took.  Owns: nothing.
//!
//! Read, split, unescape, find four fields, parse the time, group by labels, count, encode, compress; what comes out is thrown
//! away. It is right for these lines alone.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Instant;

use memchr::memmem::Finder;
use memchr::{memchr, memchr2};

use crate::agent::{Cores, command, cpu_seconds};

/// Bytes of lines that are compressed together.
const BATCH: usize = 1024 * 1024;

/// Bytes that are read at once.
const CHUNK: usize = 256 * 1024;

/// How the program is told that it is the loop.
pub const FLAG: &str = "--bare-loop";

/// What the loop did.
pub struct Measured {
    /// Lines a second.
    pub rate: f64,
    /// Of the processor, a line.
    pub micros: f64,
}

/// Runs the loop over the files of a directory in a process of its own, on the core that the agent has.
pub fn measure(directory: &Path) -> Measured {
    let program = std::env::current_exe().unwrap();
    let mut command = command(program.to_str().unwrap(), Cores::One);
    let output = command.arg(FLAG).arg(directory).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let (rate, micros) = text.trim().split_once(' ').unwrap();
    Measured { rate: rate.parse().unwrap(), micros: micros.parse().unwrap() }
}

/// The loop itself; prints what it did.
pub fn run(directory: &Path) {
    let started = Instant::now();
    let mut bare = Bare::default();
    let mut paths: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    for path in paths {
        let mut file = File::open(path).unwrap();
        let (mut buffer, mut filled) = (vec![0; CHUNK], 0);
        loop {
            let read = file.read(&mut buffer[filled..]).unwrap();
            if read == 0 {
                break;
            }
            filled += read;
            let mut begin = 0;
            while let Some(length) = memchr(b'\n', &buffer[begin..filled]) {
                bare.line(&buffer[begin..begin + length]);
                begin += length + 1;
            }
            buffer.copy_within(begin..filled, 0);
            filled -= begin;
        }
    }
    bare.flush();
    assert!(bare.compressed > 0);
    let lines = bare.lines as f64;
    println!("{} {}", lines / started.elapsed().as_secs_f64(), cpu_seconds(std::process::id()) * 1e6 / lines);
}

struct Bare {
    fields: [Finder<'static>; 4],
    line: Vec<u8>,
    groups: Vec<Group>,
    size: usize,
    lines: u64,
    durations: u64,
    encoder: snap::raw::Encoder,
    body: Vec<u8>,
    pushed: Vec<u8>,
    compressed: usize,
}

struct Group {
    level: Vec<u8>,
    service: Vec<u8>,
    entries: Vec<u8>,
}

impl Default for Bare {
    fn default() -> Bare {
        let names: [&[u8]; 4] =
            [b"\"timestamp\":\"", b"\"level\":\"", b"\"service\":\"", b"\"duration_ms\":"];
        Bare {
            fields: names.map(Finder::new),
            line: Vec::new(),
            groups: Vec::new(),
            size: 0,
            lines: 0,
            durations: 0,
            encoder: snap::raw::Encoder::new(),
            body: Vec::new(),
            pushed: Vec::new(),
            compressed: 0,
        }
    }
}

impl Bare {
    fn line(&mut self, envelope: &[u8]) {
        self.line.clear();
        let mut rest = &envelope[b"{\"log\":\"".len()..];
        loop {
            let at = memchr2(b'\\', b'"', rest).unwrap();
            self.line.extend_from_slice(&rest[..at]);
            if rest[at] == b'"' {
                break;
            }
            self.line.push(if rest[at + 1] == b'n' { b'\n' } else { rest[at + 1] });
            rest = &rest[at + 2..];
        }
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        let value = |field: usize, end: u8| {
            let begin = self.fields[field].find(line).unwrap() + self.fields[field].needle().len();
            &line[begin..begin + memchr(end, &line[begin..]).unwrap()]
        };
        let (time, level, service) = (value(0, b'"'), value(1, b'"'), value(2, b'"'));
        let duration = value(3, b'}').iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        let (seconds, nanos) = parse(time);
        let group = self.groups.iter().position(|group| group.level == level && group.service == service);
        let group = group.unwrap_or_else(|| {
            self.groups.push(Group { level: level.to_vec(), service: service.to_vec(), entries: Vec::new() });
            self.groups.len() - 1
        });
        let entries = &mut self.groups[group].entries;
        let stamp = 1 + varint_length(seconds) + 1 + varint_length(nanos);
        varint(entries, 2 << 3 | 2);
        varint(entries, (2 + stamp + 1 + varint_length(line.len() as u64) + line.len()) as u64);
        varint(entries, 1 << 3 | 2);
        varint(entries, stamp as u64);
        varint(entries, 1 << 3);
        varint(entries, seconds);
        varint(entries, 2 << 3);
        varint(entries, nanos);
        varint(entries, 2 << 3 | 2);
        varint(entries, line.len() as u64);
        entries.extend_from_slice(line);
        self.durations += duration;
        self.lines += 1;
        self.size += line.len();
        if self.size >= BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.body.clear();
        for Group { level, service, entries } in &mut self.groups {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let labels = format!("{{level=\"{}\", service=\"{}\"}}", text(level), text(service));
            let length = 1 + varint_length(labels.len() as u64) + labels.len() + entries.len();
            varint(&mut self.body, 1 << 3 | 2);
            varint(&mut self.body, length as u64);
            varint(&mut self.body, 1 << 3 | 2);
            varint(&mut self.body, labels.len() as u64);
            self.body.extend_from_slice(labels.as_bytes());
            self.body.append(entries);
        }
        self.pushed.resize(snap::raw::max_compress_len(self.body.len()), 0);
        self.compressed += self.encoder.compress(&self.body, &mut self.pushed).unwrap();
        self.size = 0;
    }
}

/// `2026-11-24T07:00:00.123456789Z` in seconds since 1970, and nanoseconds.
fn parse(time: &[u8]) -> (u64, u64) {
    let number = |from: usize, to: usize| {
        time[from..to].iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
    };
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    // Days since 1970, by a year that begins in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    let seconds = days * 86_400 + number(11, 13) * 3600 + number(14, 16) * 60 + number(17, 19);
    let end = time.len() - 1;
    let nanos = if end > 20 { number(20, end) * 10_u64.pow(29 - end as u32) } else { 0 };
    (seconds, nanos)
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint_length(value: u64) -> usize {
    (1 + (63 - (value | 1).leading_zeros()) / 7) as usize
}
