//! Prints log lines whose every number is known. One file, std only: compiled statically, it is a whole Docker image.
//! In: arguments.  Out: lines on stdout and stderr.  Owns: the boot counter in `--state`.
//!
//! ```text
//! loggen [--source NAME] [--lines N | --until-signal] [--start SEQ] [--rate LINES_PER_SECOND] [--stderr-every K]
//!        [--json | --plain] [--mode seq|long100k|invalid-utf8|no-final-newline|tty] [--state FILE] [--linger SECONDS]
//! ```
//! `--rate 0` (the default) is flat out; `--lines` is 1000 unless given; every K-th line goes to stderr, K = 0 none;
//! `--linger` stays alive in silence after the last line.
//!
//! # Numbers that survive a SIGKILL
//! A counter of *lines* on disk cannot be exact: the kill may fall between printing a line and writing its number down,
//! in either order. So the disk holds a counter of *boots*: read and incremented (by rename, before the first line) at
//! each start with `--state FILE`, 0 without. A line's name is (`NAME/BOOT`, seq), seq starting at `--start` in each boot.
//! Names never repeat, and what a killed boot printed is a gapless run of numbers whose end only Docker knows.
//!
//! # What a verifier takes as the truth
//! `docker logs` of the container, whose json-file log outlives stops and restarts (not `docker rm`): every line there
//! was printed, and a line that is not there was lost before any agent could have read it. After the container has ended,
//! `Expected::printed` reads stdout and stderr of `docker logs` into the ledger. A last line cut off by a kill has no
//! newline and may lack its end; it has a name only if it is whole. Docker itself glues the first line of the next start
//! to it, and `printed` takes them apart. The json-file log keeps U+FFFD in place of bytes that are not UTF-8; only
//! `--log-driver local` keeps the bytes of `invalid-utf8` as they were printed.
//!
//! # Signals
//! None are handled: std cannot. As PID 1 of a container the program does not even die of SIGTERM, which the kernel
//! withholds from an init without a handler, so `docker stop` waits out its grace period and kills. Use `docker kill`, or
//! `docker stop -t 0`, or let it run to its end.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::process::exit;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Seq,
    Long100k,
    InvalidUtf8,
    NoFinalNewline,
    Tty,
}

struct Settings {
    source: String,
    /// `None`: until killed.
    lines: Option<u64>,
    start: u64,
    rate: u64,
    stderr_every: u64,
    json: bool,
    mode: Mode,
    state: Option<String>,
    linger: Duration,
}

fn main() -> io::Result<()> {
    let settings = Settings::from_arguments();
    let boot = settings.state.as_deref().map_or(Ok(0), next_boot)?;
    print_all(&settings, boot)?;
    sleep(settings.linger);
    Ok(())
}

impl Settings {
    fn from_arguments() -> Self {
        let mut settings = Self {
            source: "loggen".into(),
            lines: Some(1000),
            start: 0,
            rate: 0,
            stderr_every: 0,
            json: true,
            mode: Mode::Seq,
            state: None,
            linger: Duration::ZERO,
        };
        let mut arguments = env::args().skip(1);
        while let Some(name) = arguments.next() {
            match name.as_str() {
                "--json" => settings.json = true,
                "--plain" => settings.json = false,
                "--until-signal" => settings.lines = None,
                _ => settings.set(&name, &arguments.next().unwrap_or_else(|| usage(&name))),
            }
        }
        settings
    }

    fn set(&mut self, name: &str, value: &str) {
        let number = || value.parse::<u64>().unwrap_or_else(|_| usage(name));
        match name {
            "--source" => self.source = value.into(),
            "--lines" => self.lines = Some(number()),
            "--start" => self.start = number(),
            "--rate" => self.rate = number(),
            "--stderr-every" => self.stderr_every = number(),
            "--state" => self.state = Some(value.into()),
            "--linger" => self.linger = Duration::from_secs(number()),
            "--mode" => {
                self.mode = match value {
                    "seq" => Mode::Seq,
                    "long100k" => Mode::Long100k,
                    "invalid-utf8" => Mode::InvalidUtf8,
                    "no-final-newline" => Mode::NoFinalNewline,
                    "tty" => Mode::Tty,
                    _ => usage(name),
                }
            }
            _ => usage(name),
        }
    }
}

fn usage(name: &str) -> ! {
    eprintln!("loggen: cannot use {name}; the head of loggen.rs lists the arguments");
    exit(2)
}

/// The rename makes the increment whole or absent: a kill in between repeats no number, as no line is printed yet.
fn next_boot(file: &str) -> io::Result<u64> {
    let boot = match fs::read_to_string(file) {
        Ok(text) => text.trim().parse().map_err(|_| io::Error::other(format!("{file} holds no number")))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    let fresh = format!("{file}.new");
    fs::write(&fresh, (boot + 1).to_string())?;
    fs::rename(&fresh, file)?;
    Ok(boot)
}

fn print_all(settings: &Settings, boot: u64) -> io::Result<()> {
    let mut out = Printer { block: Vec::new() };
    let started = Instant::now();
    let mut count = 0;
    while settings.lines != Some(count) {
        if settings.rate > 0 {
            // Measured from the start, so that the rate does not sink by the cost of printing.
            let due = Duration::from_secs_f64(count as f64 / settings.rate as f64);
            sleep(due.saturating_sub(started.elapsed()));
        }
        let last = settings.lines == Some(count + 1);
        let mut line = Vec::with_capacity(320);
        write_line(&mut line, settings, boot, settings.start + count)?;
        if !(last && settings.mode == Mode::NoFinalNewline) {
            line.push(b'\n');
        }
        count += 1;
        if settings.stderr_every > 0 && count % settings.stderr_every == 0 {
            out.error(&line)?;
        } else {
            out.line(&line, settings.rate > 0 || last)?;
        }
    }
    out.flush()
}

/// Flat out, lines go out in blocks; at a rate, each in a write of its own (one below 4 KiB is never torn by a kill).
struct Printer {
    block: Vec<u8>,
}

impl Printer {
    fn line(&mut self, line: &[u8], now: bool) -> io::Result<()> {
        self.block.extend_from_slice(line);
        if now || self.block.len() >= 32 << 10 { self.flush() } else { Ok(()) }
    }

    /// Stdout first, so that the two streams are written in the order of their numbers.
    fn error(&mut self, line: &[u8]) -> io::Result<()> {
        self.flush()?;
        io::stderr().write_all(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        // Stdout of std keeps back an unfinished line, hence its own flush.
        let mut stdout = io::stdout().lock();
        stdout.write_all(&self.block)?;
        self.block.clear();
        stdout.flush()
    }
}

const MESSAGES: [&str; 6] = [
    "request served",
    "cache miss for key user:42:profile",
    r#"message \"quoted\" with a tab\t and a \\ backslash"#,
    "grüße aus der warteschlange ✓",
    "retrying upstream call",
    "job finished",
];

fn write_line(line: &mut Vec<u8>, settings: &Settings, boot: u64, seq: u64) -> io::Result<()> {
    let source = &settings.source;
    let level = level(seq);
    let message = message(settings.mode, seq);
    if settings.json && settings.mode != Mode::Tty {
        write!(line, r#"{{"timestamp":"{}","level":"{level}","service":"{source}","message":""#, Utc::now())?;
        line.extend_from_slice(&message);
        let (user, took) = (seq % 97, seq * 7 % 1000);
        write!(line, r#"","context":{{"seq":{seq},"boot":{boot},"user_id":{user}}},"duration_ms":{took}}}"#)
    } else {
        let level = if settings.mode == Mode::Tty { format!("\x1b[32m{level}\x1b[0m") } else { level.into() };
        write!(line, "{} {level} {source}/{boot} seq={seq} ", Utc::now())?;
        line.extend_from_slice(&message);
        Ok(())
    }
}

fn level(seq: u64) -> &'static str {
    match seq % 10 {
        3 => "WARN",
        7 => "ERROR",
        5 | 9 => "DEBUG",
        _ => "INFO",
    }
}

/// Ready to stand between the quotes of a JSON string, except for the bytes that `invalid-utf8` is about.
fn message(mode: Mode, seq: u64) -> Vec<u8> {
    let mut message = MESSAGES[(seq % MESSAGES.len() as u64) as usize].as_bytes().to_vec();
    match mode {
        Mode::Long100k => {
            // Numbered, so that a piece lost or repeated where Docker cuts (16 KiB) shows.
            let mut part = 0;
            while message.len() < 100_000 {
                message.extend_from_slice(format!(" part-{part:05}").as_bytes());
                part += 1;
            }
            message.truncate(100_000);
        }
        Mode::InvalidUtf8 => message.extend_from_slice(b" \xff\xfe \xc3( \xed\xa0\x80"),
        Mode::Seq | Mode::NoFinalNewline | Mode::Tty => {}
    }
    message
}

/// A moment that prints as RFC 3339 in UTC: nanoseconds, or milliseconds where these say the same.
struct Utc(Duration);

impl Utc {
    fn now() -> Self {
        Self(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}

impl std::fmt::Display for Utc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.0.as_secs();
        let (year, month, day) = civil(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.")?;
        match self.0.subsec_nanos() {
            nanos if nanos % 1_000_000 == 0 => write!(f, "{:03}Z", nanos / 1_000_000),
            nanos => write!(f, "{nanos:09}Z"),
        }
    }
}

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}
