//! dockerd as the tests know it: what it writes of a message, and how it rotates.
//! In: messages.  Out: records and frames; files.  Owns: nothing.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// One message: output, nanoseconds, text.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) stderr: bool,
    pub(super) time: i64,
    pub(super) text: String,
}

impl Message {
    pub(super) fn record(&self) -> String {
        let time = jiff::Timestamp::from_nanosecond(i128::from(self.time)).unwrap();
        let stream = if self.stderr { "stderr" } else { "stdout" };
        let log = serde_json::to_string(&self.text).unwrap();
        format!("{{\"log\":{log},\"stream\":\"{stream}\",\"time\":\"{time}\"}}\n")
    }

    pub(super) fn frame(&self) -> Vec<u8> {
        let time = jiff::Timestamp::from_nanosecond(i128::from(self.time)).unwrap();
        let payload = format!("{time:.9} {}", self.text);
        let length = (payload.len() as u32).to_be_bytes();
        [&[1 + u8::from(self.stderr), 0, 0, 0], &length[..], payload.as_bytes()].concat()
    }

    pub(super) fn of_tty(&self) -> Vec<u8> {
        let time = jiff::Timestamp::from_nanosecond(i128::from(self.time)).unwrap();
        format!("{time:.9} {}", self.text).into_bytes()
    }
}

/// dockerd's writer.
pub(super) struct Writer {
    pub(super) path: PathBuf,
    pub(super) max_files: usize,
    pub(super) compress: bool,
}

impl Writer {
    pub(super) fn new(directory: &Path, max_files: usize, compress: bool) -> Writer {
        let path = directory.join("4f1c-json.log");
        File::create(&path).unwrap();
        Writer { path, max_files, compress }
    }

    pub(super) fn write(&self, message: &Message) {
        self.write_bytes(message.record().as_bytes());
    }

    pub(super) fn write_bytes(&self, bytes: &[u8]) {
        OpenOptions::new().append(true).open(&self.path).unwrap().write_all(bytes).unwrap();
    }

    pub(super) fn rotated(&self, number: usize, extension: &str) -> PathBuf {
        PathBuf::from(format!("{}.{number}{extension}", self.path.display()))
    }

    pub(super) fn rotate(&self) {
        if self.max_files < 2 {
            File::create(&self.path).unwrap();
            return;
        }
        let extension = if self.compress { ".gz" } else { "" };
        drop(fs::remove_file(self.rotated(self.max_files - 1, extension)));
        for number in (2..self.max_files).rev() {
            drop(fs::rename(self.rotated(number - 1, extension), self.rotated(number, extension)));
        }
        fs::rename(&self.path, self.rotated(1, "")).unwrap();
        File::create(&self.path).unwrap();
        if self.compress {
            let content = fs::read(self.rotated(1, "")).unwrap();
            let file = File::create(self.rotated(1, ".gz")).unwrap();
            let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
            encoder.write_all(&content).unwrap();
            encoder.finish().unwrap();
            fs::remove_file(self.rotated(1, "")).unwrap();
        }
    }
}
