//! The other end of a benchmark in a process of its own: takes pushes, and looks into each.
//! In: pushes.  Out: how many entries came, and how late.  Owns: its process, on the second core.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::UNIX_EPOCH;

/// How the program is told that it is the endpoint.
pub const FLAG: &str = "--endpoint";

/// An entry that is older has no time of this run.
const OLDEST_MILLIS: u64 = 3_600_000;

/// An endpoint that runs; dropping it ends it.
pub struct Endpoint {
    child: Child,
    pub port: u16,
}

/// What came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    pub entries: u64,
    /// When the first push came, in microseconds since 1970.
    pub first: u64,
    /// From the time of an entry to its push, in milliseconds: median, 99th percentile, most.
    pub delays: [u64; 3],
}

impl Endpoint {
    pub fn start() -> Endpoint {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut child = command.arg(FLAG).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Endpoint { child, port: line.trim().parse().unwrap() }
    }

    pub fn taken(&self) -> Taken {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        socket.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        let numbers: Vec<u64> = text.split_whitespace().map(|number| number.parse().unwrap()).collect();
        let [entries, first, delays @ ..] = numbers.as_slice() else { panic!("{text}") };
        Taken { entries: *entries, first: *first, delays: delays.try_into().unwrap() }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[derive(Default)]
struct State {
    entries: u64,
    first: u64,
    /// Entries by their delay in milliseconds.
    delays: Vec<u64>,
}

/// Serves until it is killed.
pub fn run() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    let state = Arc::new(Mutex::new(State::default()));
    for socket in listener.incoming() {
        let (socket, state) = (socket.unwrap(), state.clone());
        thread::spawn(move || serve(socket, &state));
    }
}

/// Until the connection ends.
fn serve(socket: TcpStream, state: &Mutex<State>) -> Option<()> {
    let mut out = socket.try_clone().ok()?;
    let mut input = BufReader::with_capacity(64 * 1024, socket);
    let (mut decoder, mut body, mut request) = (snap::raw::Decoder::new(), Vec::new(), Vec::new());
    loop {
        let Some(length) = head(&mut input)? else {
            out.write_all(state.lock().ok()?.to_string().as_bytes()).ok()?;
            return None;
        };
        body.resize(length, 0);
        input.read_exact(&mut body).ok()?;
        let arrived = now();
        request.resize(snap::raw::decompress_len(&body).unwrap(), 0);
        decoder.decompress(&body, &mut request).unwrap();
        let mut state = state.lock().ok()?;
        if state.entries == 0 {
            state.first = arrived;
        }
        for (_, stream) in fields(&request) {
            let entries = fields(stream).filter(|(tag, _)| *tag == ENTRIES);
            entries.for_each(|(_, entry)| state.take(entry, arrived / 1000));
        }
        drop(state);
        out.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").ok()?;
    }
}

/// The length of a push, or nothing where somebody asks what came; `None` at the end.
fn head(input: &mut BufReader<TcpStream>) -> Option<Option<usize>> {
    let (mut length, mut line) = (None, String::new());
    loop {
        line.clear();
        if input.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            return Some(length);
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = Some(value.trim().parse().ok()?);
        }
    }
}

/// In a stream, and the time in an entry.
const ENTRIES: u64 = 2;
const TIMESTAMP: u64 = 1;

impl State {
    fn take(&mut self, entry: &[u8], now: u64) {
        self.entries += 1;
        let time = fields(entry).find(|(tag, _)| *tag == TIMESTAMP).map_or(0, |(_, time)| millis(time));
        let delay = now.saturating_sub(time);
        if delay < OLDEST_MILLIS {
            let delay = delay as usize;
            self.delays.resize(self.delays.len().max(delay + 1), 0);
            self.delays[delay] += 1;
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let total: u64 = self.delays.iter().sum();
        let at = |share: f64| {
            let (mut left, wanted) = (self.delays.iter().enumerate(), (total as f64 * share) as u64);
            let mut seen = 0;
            let found = left.find(|(_, count)| {
                seen += **count;
                seen > wanted
            });
            found.map_or(self.delays.len().saturating_sub(1), |(millis, _)| millis)
        };
        let State { entries, first, .. } = self;
        write!(f, "{entries} {first} {} {} {}", at(0.5), at(0.99), at(1.0))
    }
}

/// Milliseconds since 1970 of a `Timestamp`.
fn millis(mut time: &[u8]) -> u64 {
    let (mut seconds, mut nanos) = (0, 0);
    while !time.is_empty() {
        let (tag, value) = (varint(&mut time), varint(&mut time));
        if tag >> 3 == 1 { seconds = value } else { nanos = value }
    }
    seconds * 1000 + nanos / 1_000_000
}

/// The fields of a message that has none but those with a length.
fn fields(mut message: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    std::iter::from_fn(move || {
        if message.is_empty() {
            return None;
        }
        let (tag, length) = (varint(&mut message), varint(&mut message) as usize);
        let (field, rest) = message.split_at(length);
        message = rest;
        Some((tag >> 3, field))
    })
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    while let Some((byte, rest)) = bytes.split_first() {
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
        shift += 7;
    }
    value
}

/// Now, in microseconds since 1970.
pub fn now() -> u64 {
    UNIX_EPOCH.elapsed().unwrap().as_micros() as u64
}
