//! The lines of the benchmarks: Docker json-file logs as bot-core writes them.
//! In: how many, how often.  Out: files, the same in every run.  Owns: nothing.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

pub const SERVICES: [&str; 6] =
    ["rust-core-engine", "python-ai-service", "nextjs-dashboard", "mongodb", "redis", "rabbitmq"];
const LEVELS: [&str; 10] = ["INFO", "INFO", "INFO", "INFO", "INFO", "INFO", "INFO", "INFO", "WARN", "ERROR"];

/// Nanoseconds between two lines of a file.
pub const EVERY_MILLISECOND: u64 = 1_000_000;

/// One json-file log of a service, the same in every run, from 2026-11-24 on; its size.
pub fn generate(directory: &Path, file: u64, lines: u64, pause: u64) -> u64 {
    let path = directory.join(format!("c{file}.log"));
    let mut out = BufWriter::new(File::create(&path).unwrap());
    let service = SERVICES[file as usize % SERVICES.len()];
    for number in 0..lines {
        write(&mut out, service, level(number), number, &time(number * pause)).unwrap();
    }
    out.flush().unwrap();
    fs::metadata(path).unwrap().len()
}

/// Of the line with that number.
pub fn level(number: u64) -> &'static str {
    LEVELS[(number * 7 % 10) as usize]
}

/// So many nanoseconds after the beginning of 2026-11-24.
pub fn time(nanos: u64) -> String {
    let second = nanos / 1_000_000_000;
    format!(
        "2026-11-24T{:02}:{:02}:{:02}.{:09}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        nanos % 1_000_000_000
    )
}

/// One line, with its envelope.
pub fn write(out: &mut impl Write, service: &str, level: &str, number: u64, time: &str) -> io::Result<()> {
    let line = plain(service, level, number, time).replace('"', "\\\"");
    writeln!(out, r#"{{"log":"{line}\n","stream":"stdout","time":"{time}"}}"#)
}

/// The same line as a container prints it.
pub fn plain(service: &str, level: &str, number: u64, time: &str) -> String {
    let duration = number * 7919 % 1500;
    format!(
        r#"{{"timestamp":"{time}","level":"{level}","service":"{service}","message":"Trade executed successfully for order {number}","context":{{"trade_id":"abc{number}","symbol":"BTCUSDT","quantity":0.01,"price":45000.0}},"duration_ms":{duration}}}"#
    )
}
