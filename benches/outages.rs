//! What the agent does while Loki does not do its part: whether anything is lost, how late lines are, what it takes.
//! In: `TAILWATER_BENCH_SCENARIO` (outage, drop_oldest, black_hole, uneven), `TAILWATER_BENCH_SECONDS` (of the trouble),
//! `TAILWATER_BENCH_MB_PER_SECOND`.  Out: lines of figures.  Owns: files that grow, endpoints that look at every line.
//!
//! `TAILWATER_BENCH_SCENARIO=outage TAILWATER_BENCH_SECONDS=600 cargo bench --bench outages`
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "it measures by the real clock")]
#![allow(unreachable_pub, missing_docs, reason = "one program: `pub` means for the other file")]

#[path = "support/sink.rs"]
mod sink;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use sink::metric;

/// Bytes of a line, nearly.
const LINE: f64 = 256.0;

/// Between two writes of an application.
const TICK: Duration = Duration::from_millis(10);

/// What an endpoint does now.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Well,
    Refusing,
    Hanging,
    /// Takes so many bytes a second.
    Slow(f64),
}

/// An endpoint that keeps account of every line.
struct Loki {
    port: u16,
    mood: Arc<Mutex<Mood>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// Lines of one source.
#[derive(Default)]
struct Seen {
    bits: Vec<u64>,
    stored: u64,
    again: u64,
    /// Milliseconds from writing to arriving.
    delays: Vec<u32>,
}

impl Loki {
    fn start(sources: usize) -> Loki {
        let mood = Arc::new(Mutex::new(Mood::Well));
        let seen: Vec<Seen> = (0..sources).map(|_| Seen::default()).collect();
        let seen = Arc::new(Mutex::new(seen));
        let (mood_now, seen_by) = (mood.clone(), seen.clone());
        let port = sink::serve(move |body| {
            let mood = *mood_now.lock().unwrap();
            match mood {
                Mood::Refusing => return Some("503 Service Unavailable"),
                Mood::Hanging => return None,
                Mood::Slow(rate) => {
                    let size = snap::raw::decompress_len(&body).unwrap() as f64;
                    thread::sleep(Duration::from_secs_f64(size / rate));
                }
                Mood::Well => {}
            }
            take(&body, &mut seen_by.lock().unwrap());
            Some("204 No Content")
        });
        Loki { port, mood, seen }
    }

    fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn stored(&self) -> u64 {
        self.seen.lock().unwrap().iter().map(|seen| seen.stored).sum()
    }

    fn again(&self) -> u64 {
        self.seen.lock().unwrap().iter().map(|seen| seen.again).sum()
    }

    /// Median, 99th percentile and maximum of the delays of these sources, in seconds; forgets them.
    fn delays(&self, sources: std::ops::Range<usize>) -> [f64; 3] {
        let mut seen = self.seen.lock().unwrap();
        let mut all: Vec<u32> =
            seen[sources].iter_mut().flat_map(|seen| std::mem::take(&mut seen.delays)).collect();
        all.sort_unstable();
        let at = |share: f64| {
            all.get(((all.len() as f64 - 1.0) * share) as usize).copied().unwrap_or(0) as f64 / 1000.0
        };
        [at(0.5), at(0.99), at(1.0)]
    }
}

/// Finds the lines in a push without decoding it: `"s":<source>,"n":<number>,"at":<milliseconds>`.
fn take(body: &[u8], seen: &mut [Seen]) {
    let raw = snap::raw::Decoder::new().decompress_vec(body).unwrap();
    let now = now();
    for at in memchr::memmem::find_iter(&raw, b"{\"s\":") {
        let text = std::str::from_utf8(&raw[at..at + 70]).unwrap();
        let mut numbers = text.split([':', ',']).filter_map(|part| part.parse::<u64>().ok());
        let [source, number, written] = [(); 3].map(|()| numbers.next().unwrap());
        let seen = &mut seen[source as usize];
        let (word, bit) = (number as usize / 64, number % 64);
        if seen.bits.len() <= word {
            seen.bits.resize(word + 1, 0);
        }
        if seen.bits[word] >> bit & 1 == 1 {
            seen.again += 1;
        } else {
            seen.bits[word] |= 1 << bit;
            seen.stored += 1;
            seen.delays.push(u32::try_from(now.saturating_sub(written)).unwrap_or(u32::MAX));
        }
    }
}

fn now() -> u64 {
    UNIX_EPOCH.elapsed().unwrap().as_millis() as u64
}

/// Applications that write at a pace of their own.
struct Applications {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Applications {
    /// One for each rate, in lines a second.
    fn start(directory: &Path, rates: &[f64]) -> Applications {
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads = rates.iter().enumerate().map(|(source, rate)| {
            let (path, rate) = (directory.join(format!("a{source}.log")), *rate);
            let (stop, written) = (stop.clone(), written.clone());
            thread::spawn(move || write(&path, source, rate, &stop, &written))
        });
        Applications { threads: threads.collect(), stop, written }
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        self.written.load(Ordering::Relaxed)
    }
}

fn write(path: &Path, source: usize, rate: f64, stop: &AtomicBool, written: &AtomicU64) {
    let mut file = File::create(path).unwrap();
    let (started, mut number, mut text) = (Instant::now(), 0u64, String::new());
    while !stop.load(Ordering::Relaxed) {
        let due = (started.elapsed().as_secs_f64() * rate) as u64;
        let (before, at) = (number, now());
        text.clear();
        while number < due {
            // Half of it compresses as logs do, half does not.
            let noise = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            text += &format!(
                "{{\"s\":{source},\"n\":{number},\"at\":{at},\"level\":\"INFO\",\"message\":\"trade executed for \
                 an order of some customer or other\",\"id\":\"{:016x}{:016x}{:016x}{:016x}\",\"symbol\":\"BTCUSDT\"}}\n",
                noise,
                noise.rotate_left(17) ^ number,
                noise.wrapping_mul(noise | 1),
                noise.rotate_left(41).wrapping_mul(31)
            );
            number += 1;
        }
        file.write_all(text.as_bytes()).unwrap();
        written.fetch_add(number - before, Ordering::Relaxed);
        thread::sleep(TICK);
    }
}

struct Agent {
    child: Child,
    port: u16,
}

impl Agent {
    fn start(directory: &Path, clients: &str) -> Agent {
        let port = sink::free_port();
        let text = format!(
            "server: {{http_listen_address: 127.0.0.1, http_listen_port: {port}}}\n\
             positions: {{filename: '{0}/state/positions.yaml'}}\nclients:\n{clients}\
             scrape_configs: [{{job_name: bench, static_configs: [{{labels: {{job: bench, __path__: '{0}/*.log'}}}}]}}]\n",
            directory.display()
        );
        let file: PathBuf = directory.join("tailwater.yaml");
        fs::write(&file, text).unwrap();
        let log = File::create(directory.join("agent.txt")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tailwater"));
        let command = command.arg(format!("-config.file={}", file.display()));
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let agent = Agent { child, port };
        while sink::metrics(port).is_none() {
            thread::sleep(TICK);
        }
        agent
    }

    fn memory(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }

    /// Lets time pass; the highest memory met, in MiB, and the largest spool, in MB.
    fn watch(&self, name: &str, until: impl Fn() -> bool) -> Duration {
        let (started, mut memory, mut spool) = (Instant::now(), 0f64, 0f64);
        while !until() {
            thread::sleep(Duration::from_millis(200));
            memory = memory.max(self.memory());
            spool = spool.max(metric(self.port, "tailwater_spool_bytes") / 1e6);
        }
        let took = started.elapsed();
        println!(
            "{name}: {:.1} s, memory up to {memory:.1} MiB, spool up to {spool:.0} MB",
            took.as_secs_f64()
        );
        took
    }

    fn let_pass(&self, name: &str, time: Duration) {
        let end = Instant::now() + time;
        self.watch(name, || Instant::now() >= end);
    }

    fn gaps(&self) -> String {
        let text = sink::metrics(self.port).unwrap();
        text.lines()
            .filter(|line| line.starts_with("tailwater_conservation_gap{"))
            .map(|line| format!("{line}\n"))
            .collect()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn number(name: &str, default: f64) -> f64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() {
    let seconds = Duration::from_secs_f64(number("TAILWATER_BENCH_SECONDS", 30.0));
    let rate = number("TAILWATER_BENCH_MB_PER_SECOND", 5.0) * 1e6 / LINE;
    let scenario = std::env::var("TAILWATER_BENCH_SCENARIO").unwrap_or_else(|_| "outage".to_owned());
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("state")).unwrap();
    println!("{scenario}, {} s", seconds.as_secs());
    match scenario.as_str() {
        "outage" => outage(directory.path(), seconds, rate, "max_size: 4GB"),
        "drop_oldest" => outage(directory.path(), seconds, rate, "max_size: 64MB, when_full: drop_oldest"),
        "black_hole" => black_hole(directory.path(), seconds, rate),
        "uneven" => uneven(directory.path(), seconds),
        other => panic!("there is no scenario `{other}`"),
    }
}

fn client(loki: &Loki, spool: &str) -> String {
    format!("- {{url: 'http://127.0.0.1:{}/loki/api/v1/push', spool: {{{spool}}}}}\n", loki.port)
}

/// Loki is away; then it is back. Lines come all the time, from ten files.
fn outage(directory: &Path, seconds: Duration, rate: f64, spool: &str) {
    let loki = Loki::start(10);
    let agent = Agent::start(directory, &client(&loki, spool));
    let applications = Applications::start(directory, &[rate / 10.0; 10]);
    agent.let_pass("before", Duration::from_secs(5));
    loki.be(Mood::Refusing);
    agent.let_pass("outage", seconds);
    loki.be(Mood::Well);
    agent.watch("catching up", || metric(agent.port, "tailwater_spool_entries") == 0.0);
    agent.let_pass("after", Duration::from_secs(5));
    let written = applications.stop();
    finish(&agent, &[&loki], written);
}

/// One of two Lokis swallows everything.
fn black_hole(directory: &Path, seconds: Duration, rate: f64) {
    let (dark, bright) = (Loki::start(10), Loki::start(10));
    let clients = client(&dark, "max_size: 4GB") + &client(&bright, "max_size: 4GB");
    let agent = Agent::start(directory, &clients);
    let applications = Applications::start(directory, &[rate / 10.0; 10]);
    agent.let_pass("before", Duration::from_secs(5));
    let delays = |name: &str| {
        let [median, p99, most] = bright.delays(0..10);
        println!(
            "delay at the other, {name}: median {median:.2} s, 99 % within {p99:.2} s, at most {most:.2} s"
        );
    };
    delays("before");
    dark.be(Mood::Hanging);
    agent.let_pass("black hole", seconds);
    delays("meanwhile");
    dark.be(Mood::Well);
    agent.watch("catching up", || metric(agent.port, "tailwater_spool_entries") == 0.0);
    delays("while the first catches up");
    let written = applications.stop();
    finish(&agent, &[&dark, &bright], written);
}

/// One target writes a hundred times as much as each of 49 others, and more than Loki takes.
fn uneven(directory: &Path, seconds: Duration) {
    let loki = Loki::start(50);
    let agent = Agent::start(directory, &client(&loki, "max_size: 4GB"));
    let mut rates = [10.0; 50];
    rates[0] = 40_000.0;
    loki.be(Mood::Slow(4e6));
    let applications = Applications::start(directory, &rates);
    agent.let_pass("overload", seconds);
    let [median, p99, most] = loki.delays(1..50);
    println!("delay of the 49: median {median:.2} s, 99 % within {p99:.2} s, at most {most:.2} s");
    let [median, _, most] = loki.delays(0..1);
    println!("delay of the one: median {median:.2} s, at most {most:.2} s");
    loki.be(Mood::Well);
    let written = applications.stop();
    finish(&agent, &[&loki], written);
}

/// Waits for what is still on its way, and says what is missing.
fn finish(agent: &Agent, lokis: &[&Loki], written: u64) {
    let dropped = || metric(agent.port, "tailwater_dropped_entries_total") as u64;
    for loki in lokis {
        agent.watch("the rest", || loki.stored() + dropped() >= written);
        thread::sleep(Duration::from_secs(2));
        println!(
            "{written} lines written, {} stored, {} missing, {} counted as dropped, {} sent again",
            loki.stored(),
            written - loki.stored(),
            dropped(),
            loki.again()
        );
    }
    print!("{}", agent.gaps());
}
