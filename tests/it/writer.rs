//! Writes numbered lines to files, as applications and their log rotation do.
//! In: how many.  Out: files.  Owns: the open file.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::support::ledger::Expected;

/// Appends to a file, made where there is none. Written anew it could be seen truncated.
pub fn append(path: &Path, text: &str) {
    OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// An application that logs to one path.
pub struct Writer {
    path: PathBuf,
    file: File,
    source: String,
    next: u64,
    pub expected: Expected,
}

impl Writer {
    pub fn new(path: &Path, source: &str) -> Writer {
        let file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        Writer { path: path.to_owned(), file, source: source.to_owned(), next: 0, expected: Expected::new() }
    }

    /// Writes so many lines, each in a write of its own.
    pub fn lines(&mut self, count: u64) {
        for _ in 0..count {
            self.line(line(&self.source, self.next));
        }
    }

    /// The same; the length of the lines together, without their ends.
    pub fn lines_measured(&mut self, count: u64) -> u64 {
        let length = (self.next..self.next + count).map(|seq| line(&self.source, seq).len() as u64).sum();
        self.lines(count);
        length
    }

    /// The same, with about 300 bytes in each that do not compress well.
    pub fn noisy_lines(&mut self, count: u64) {
        for _ in 0..count {
            let noise: String = (0..16).map(|part| mixed(self.next * 16 + part)).collect();
            let line = line(&self.source, self.next).replace("trade executed", &noise);
            self.line(line);
        }
    }

    /// Writes something that nobody expects to arrive.
    pub fn raw(&mut self, text: &str) {
        self.file.write_all(text.as_bytes()).unwrap();
    }

    fn line(&mut self, line: String) {
        self.file.write_all(format!("{line}\n").as_bytes()).unwrap();
        self.expected.exact(&format!("{}/0", self.source), self.next, line);
        self.next += 1;
    }

    /// Rotation by rename, keeping `keep` old files: `app.log` → `app.log.1` → `app.log.2` …
    pub fn rotate(&mut self, keep: u32) {
        let numbered = |number: u32| PathBuf::from(format!("{}.{number}", self.path.display()));
        for number in (1..keep).rev() {
            if numbered(number).exists() {
                fs::rename(numbered(number), numbered(number + 1)).unwrap();
            }
        }
        fs::rename(&self.path, numbered(1)).unwrap();
        self.file = OpenOptions::new().create(true).append(true).open(&self.path).unwrap();
    }
}

/// A number's bits, mixed (the finalizer of SplitMix64).
fn mixed(number: u64) -> String {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    format!("{:016x}", z ^ (z >> 31))
}

/// A line of the bot-core schema with a number.
pub fn line(source: &str, seq: u64) -> String {
    format!(
        r#"{{"timestamp":"2026-11-18T10:30:00.{:09}Z","level":"INFO","service":"{source}","message":"trade executed","context":{{"seq":{seq},"boot":0}},"duration_ms":{}}}"#,
        seq,
        seq % 500
    )
}
