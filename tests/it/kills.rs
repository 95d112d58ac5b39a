//! The agent killed again and again at any moment, over files that rotate and containers that restart, with a Loki that
//! does everything a Loki and what stands before it can do: nothing is lost, and nothing is stored twice.
//!
//! `TAILWATER_KILL_SECONDS` says for how long (20 unless it is set, 120 in CI), `TAILWATER_TEST_SEED` repeats the choices.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::agent::Agent;
use crate::docker::Random;
use crate::support::docker::{self, Engine};
use crate::support::fake_loki::{FakeLoki, Fault, FaultKind, Limits, StoredEntry};
use crate::support::ledger::{Expected, Report, entry_key, verify};
use crate::writer::Writer;

/// How long the last agent may take for what the others left.
const CATCH_UP: Duration = Duration::from_secs(120);

const FAULTS: [FaultKind; 8] = [
    FaultKind::Status,
    FaultKind::Delay,
    FaultKind::Hang,
    FaultKind::Reset,
    FaultKind::ResetBeforeReading,
    FaultKind::StoreThenReset,
    FaultKind::StoreThenStatus,
    FaultKind::RateLimit429,
];

fn for_how_long() -> Duration {
    let seconds = std::env::var("TAILWATER_KILL_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(20))
}

/// Two clients: one whose Loki misbehaves, one whose Loki does not. `STAGES` take times from the lines.
fn configuration(directory: &Path, jobs: &str, lokis: &[FakeLoki; 2]) -> String {
    let stages = "[{json: {expressions: {timestamp: , service: }}}, {labels: {service: }}, \
                  {timestamp: {source: timestamp, format: RFC3339Nano}}]";
    let backoff = "batchwait: 50ms, timeout: 700ms, backoff_config: {min_period: 20ms, max_period: 300ms}";
    let clients = lokis.each_ref().map(|loki| format!("- {{url: '{}', {backoff}}}\n", loki.url())).concat();
    format!(
        "server: {{http_listen_address: 127.0.0.1, http_listen_port: 0}}\n\
         positions: {{filename: '{}/state/positions.yaml', sync_period: 150ms}}\n\
         target_config: {{sync_period: 150ms}}\nclients:\n{clients}scrape_configs:\n{}",
        directory.display(),
        jobs.replace("STAGES", stages)
    )
}

/// An application that writes and rotates until it is told to stop.
fn application(
    path: &Path,
    source: &str,
    pause: Duration,
    stop: Arc<AtomicBool>,
) -> thread::JoinHandle<Expected> {
    let mut writer = Writer::new(path, source);
    let poison = format!("{}\n", "poison ".repeat(700));
    thread::spawn(move || {
        for round in 1u64.. {
            writer.lines(20);
            if round % 50 == 0 {
                writer.raw(&poison);
            }
            if round % 150 == 0 {
                writer.rotate(10);
            }
            if stop.load(Ordering::Relaxed) {
                break;
            }
            thread::sleep(pause);
        }
        writer.expected
    })
}

/// Faults for the next pushes, each kind first; then an outage longer than this agent lives, if it is time for one.
fn misbehave(loki: &FakeLoki, random: &mut Random, outage: bool) {
    loki.heal();
    for number in 0..60 {
        let fault = match if number < 10 { number } else { random.below(14) } {
            0 => Fault::Status(500, "internal error".to_owned()),
            1 => Fault::Status([401, 404, 503][random.below(3)], String::new()),
            2 => Fault::RateLimit429 { retry_after: None },
            3 => Fault::RateLimit429 { retry_after: Some(1) },
            4 => Fault::Hang,
            5 => Fault::Reset,
            6 => Fault::ResetBeforeReading,
            7 => Fault::StoreThenReset,
            8 => Fault::StoreThenStatus(502),
            9 => Fault::Delay(Duration::from_millis(random.below(300) as u64)),
            _ => Fault::Delay(Duration::ZERO),
        };
        loki.answer_next(1, fault);
    }
    if outage {
        loki.answer_all(Fault::Status(503, "an outage".to_owned()));
    }
}

struct Kills {
    directory: tempfile::TempDir,
    /// The first misbehaves.
    lokis: [FakeLoki; 2],
    random: Random,
    killed: usize,
    spooled: f64,
    recovered: f64,
}

impl Kills {
    fn new() -> Kills {
        // Poison lines are refused with a 400 while the others of their push are stored.
        let limits = Limits { max_line_size_bytes: 4000, ..Limits::any_time() };
        let lokis = [FakeLoki::start(limits.clone()), FakeLoki::start(limits)];
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("state")).unwrap();
        Kills { directory, lokis, random: Random::seeded(), killed: 0, spooled: 0.0, recovered: 0.0 }
    }

    /// Starts and kills agents for so long; `meanwhile` disturbs what they read.
    fn run(&mut self, jobs: &str, mut meanwhile: impl FnMut(&mut Random)) {
        let text = configuration(self.directory.path(), jobs, &self.lokis);
        let until = Instant::now() + for_how_long();
        while Instant::now() < until {
            let outage = self.killed % 3 == 1;
            misbehave(&self.lokis[0], &mut self.random, outage);
            let agent = Agent::start(self.directory.path(), &text);
            // Long enough for lines to be put on disk.
            let at_least = if outage { 3000 } else { 500 };
            let dies = (at_least + self.random.below(5000 - at_least)) as u64;
            let dies = Instant::now() + Duration::from_millis(dies);
            meanwhile(&mut self.random);
            thread::sleep(dies.saturating_duration_since(Instant::now()));
            self.spooled += agent.metric_sum("tailwater_spooled_entries_total");
            self.recovered += agent.metric_sum("tailwater_spool_recovered_entries_total");
            agent.kill();
            self.killed += 1;
        }
    }

    /// Everything is well again: what was written is there, at both, once. Gives what was sent again.
    async fn check(self, jobs: &str, expected: Expected) -> Vec<StoredEntry> {
        self.lokis[0].heal();
        let agent =
            Agent::start(self.directory.path(), &configuration(self.directory.path(), jobs, &self.lokis));
        let mut poisoned = 0;
        let mut reports: Vec<Report> = Vec::new();
        for loki in &self.lokis {
            let all = |store: &crate::support::fake_loki::Store| store.entries.len() >= expected.len();
            let seen = loki.wait_for(all, CATCH_UP).await;
            let refused = loki.store().refused.values().sum::<usize>();
            reports.push(verify(&expected, &loki.entries(), entry_key));
            println!(
                "{} lines, {} kills, {} pushes, {} entries put on disk, {} found there, {} sent again, {} refused entries",
                expected.len(),
                self.killed,
                loki.requests().len(),
                self.spooled,
                self.recovered,
                loki.duplicates().len(),
                refused
            );
            poisoned += refused;
            println!("{}", loki.store().summary());
            if let Err(missing) = seen {
                println!("{missing}");
            }
        }
        agent.assert_nothing_is_missing();
        let (_, log) = agent.terminate();
        for mut report in reports {
            // A replay from the spool may come after newer lines; read back by time, they are in order.
            report.out_of_order_per_stream.clear();
            assert!(report.is_whole_once_in_order(), "{report}\n{log}");
        }
        // A run that has not met everything proves little.
        for fault in FAULTS {
            assert!(self.lokis[0].faults_met(fault) > 0, "{fault:?} was never met");
        }
        assert!(self.spooled > 0.0 && self.recovered > 0.0 && poisoned > 0 && self.killed > 3, "{log}");
        self.lokis.iter().flat_map(FakeLoki::duplicates).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_over_files_that_rotate_lose_nothing_and_double_nothing() {
    let mut kills = Kills::new();
    let directory = kills.directory.path().to_owned();
    let stop = Arc::new(AtomicBool::new(false));
    // Lines of the last one have the time at which they are read.
    let applications = [("slow", 50), ("quick", 10), ("busy", 2), ("timeless/timeless", 10)];
    std::fs::create_dir(directory.join("timeless")).unwrap();
    let applications = applications.map(|(name, pause)| {
        let pause = Duration::from_millis(pause);
        application(&directory.join(format!("{name}.log")), name, pause, stop.clone())
    });
    let jobs = format!(
        "- {{job_name: files, static_configs: [{{labels: {{job: files, __path__: '{directory}/*.log'}}}}], pipeline_stages: STAGES}}\n\
         - {{job_name: timeless, static_configs: [{{labels: {{job: timeless, __path__: '{directory}/timeless/*.log'}}}}]}}",
        directory = directory.display()
    );
    kills.run(&jobs, |_| {});
    stop.store(true, Ordering::Relaxed);
    let mut expected = Expected::new();
    for application in applications {
        expected.join(application.join().unwrap());
    }
    let again = kills.check(&jobs, expected).await;
    let is_timeless = |entry: &StoredEntry| entry.label("job") == "timeless";
    assert!(again.iter().any(is_timeless), "no kill has made one of them be sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_over_containers_that_restart_lose_nothing_and_double_nothing() {
    let Some(engine) = docker::engine_or_skip() else { return };
    let mut kills = Kills::new();
    let names: Vec<String> = (0..5).map(|number| format!("kills-{number}-{}", engine.mark())).collect();
    for name in &names {
        let arguments =
            ["--source", name, "--until-signal", "--rate", "400", "--stderr-every", "5", "--state", "/boots"];
        engine.create(&["--name", name], engine.loggen_image(), &arguments);
        engine.start(name);
    }
    let jobs = format!(
        "- {{job_name: containers, docker_sd_configs: [{{host: '{}', refresh_interval: 1s, filters: \
         [{{name: label, values: [tailwater-test={}]}}]}}], pipeline_stages: STAGES}}",
        engine.host(),
        engine.mark()
    );
    // Its poison line is refused; it is not among the expected.
    let poison = poison_container(&engine);
    kills.run(&jobs, |random| {
        let chosen = &names[random.below(names.len())];
        engine.stop(chosen);
        engine.start(chosen);
        engine.start(&poison);
    });
    let mut expected = Expected::new();
    for name in &names {
        engine.stop(name);
        let logs = engine.logs(name);
        expected.printed(&logs.stdout);
        expected.printed(&logs.stderr);
    }
    kills.check(&jobs, expected).await;
}

/// A container that prints one line too long for Loki at each start.
fn poison_container(engine: &Engine) -> String {
    let name = format!("poison-{}", engine.mark());
    let arguments = ["--source", "poison", "--lines", "1", "--mode", "long100k"];
    engine.create(&["--name", &name], engine.loggen_image(), &arguments);
    name
}
