//! Another configuration while lines flow: what changed is replaced, what did not is not touched, and no line is lost or
//! doubled.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::agent::{Agent, PATIENCE, client, configuration};
use crate::support::fake_docker::{FakeDocker, Script, frame};
use crate::support::fake_loki::{FakeLoki, Fault, FaultKind, Limits, StoredEntry};
use crate::support::ledger::{entry_key, verify};
use crate::writer::{Writer, append};

/// Reloads under load. A configuration that changes often has a line in more hands than one that does not.
const RELOADS: u64 = 500;

struct Bench {
    directory: tempfile::TempDir,
    loki: FakeLoki,
}

impl Bench {
    fn new() -> Bench {
        Bench { directory: tempfile::tempdir().unwrap(), loki: FakeLoki::start(Limits::any_time()) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn writer(&self, name: &str) -> Writer {
        Writer::new(&self.path(&format!("{name}.log")), name)
    }

    /// A configuration with these jobs, for the one Loki.
    fn with(&self, jobs: &[String]) -> String {
        self.with_clients(&client(&self.loki.url()), jobs)
    }

    fn with_clients(&self, clients: &str, jobs: &[String]) -> String {
        let text = configuration(self.directory.path(), clients, &jobs.join("\n"));
        text.replace("http_listen_port: 0", "http_listen_port: 0, enable_runtime_reload: true")
    }

    /// A job on one file, with a label that says how it is configured.
    fn job(&self, name: &str, version: &str) -> String {
        let path = self.path(&format!("{name}.log"));
        format!(
            "- {{job_name: {name}, static_configs: [{{labels: {{job: {name}, __path__: '{}'}}}}], \
             pipeline_stages: [{{static_labels: {{version: '{version}'}}}}]}}",
            path.display()
        )
    }

    /// As an editor does it: a new file takes the place of the old one.
    fn configure(&self, text: &str) {
        fs::write(self.path("new.yaml"), text).unwrap();
        fs::rename(self.path("new.yaml"), self.path("tailwater.yaml")).unwrap();
    }

    fn reload(&self, agent: &Agent, text: &str) {
        self.configure(text);
        assert_eq!(agent.post("/reload"), (200, String::new()));
    }

    async fn arrived(&self, count: usize) {
        self.loki.wait_for(|store| store.entries.len() >= count, PATIENCE).await.unwrap();
    }

    fn entries_of(&self, job: &str) -> Vec<StoredEntry> {
        self.loki.entries().into_iter().filter(|entry| entry.label("job") == job).collect()
    }

    /// All that was written is there, once and in order.
    fn check(&self, name: &str, writer: &Writer) {
        verify(&writer.expected, &self.entries_of(name), entry_key).assert_whole_once_in_order();
    }
}

/// An application that writes without a break.
struct Busy {
    enough: Arc<AtomicBool>,
    writing: JoinHandle<Writer>,
}

impl Busy {
    fn start(mut writer: Writer) -> Busy {
        let enough = Arc::new(AtomicBool::new(false));
        let told = enough.clone();
        let writing = thread::spawn(move || {
            while !told.load(Ordering::SeqCst) {
                writer.lines(10);
                thread::sleep(Duration::from_millis(3));
            }
            writer
        });
        Busy { enough, writing }
    }

    fn stop(self) -> Writer {
        self.enough.store(true, Ordering::SeqCst);
        self.writing.join().unwrap()
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "never seen: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

const SUCCESS: &str = "tailwater_config_reloads_total{result=\"success\"}";
const FAILURE: &str = "tailwater_config_reloads_total{result=\"failure\"}";
const LAST: &str = "tailwater_config_last_reload_successful";

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_is_taken_over_and_what_did_not_is_not_touched() {
    let bench = Bench::new();
    let (mut app, mut other) = (bench.writer("app"), bench.writer("other"));
    let agent = start(&bench, &bench.with(&[bench.job("app", "one"), bench.job("other", "one")]));
    app.lines(100);
    other.lines(100);
    bench.arrived(200).await;
    bench.configure(&bench.with(&[bench.job("app", "two"), bench.job("other", "one")]));
    assert_eq!(agent.post("/reload"), (200, String::new()));
    assert_eq!(agent.get("/reload"), (200, String::new()), "unchanged, and no error");
    assert_eq!((agent.metric(SUCCESS), agent.metric(FAILURE), agent.metric(LAST)), (2.0, 0.0, 1.0));
    app.lines(100);
    other.lines(100);
    bench.arrived(400).await;
    assert!(bench.loki.duplicates().is_empty());
    bench.check("app", &app);
    bench.check("other", &other);
    let versions = |job: &str| -> Vec<String> {
        let mut all: Vec<String> =
            bench.entries_of(job).iter().map(|entry| entry.label("version").to_owned()).collect();
        all.dedup();
        all
    };
    assert_eq!(versions("app"), ["one", "two"]);
    assert_eq!(versions("other"), ["one"]);
    let (status, log) = agent.terminate();
    assert!(status.success() && log.contains("remaining=0"), "{log}");
    let followed = |job: &str| log.matches(&format!("msg=\"following file\" job={job} ")).count();
    assert_eq!((followed("app"), followed("other")), (2, 1), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_is_refused_leaves_the_old_one_running() {
    let bench = Bench::new();
    let mut app = bench.writer("app");
    let counting = bench.job("app", "one").replace(
        "[{static_labels",
        "[{metrics: {seen: {type: counter, config: {match_all: true, action: inc}}}}, {static_labels",
    );
    let good = bench.with(&[counting]);
    let agent = start(&bench, &good);
    for (bad, reason) in [
        (good.replace("static_labels", "static_lables"), "unknown stage `static_lables`"),
        (good.replace("type: counter", "type: gauge"), "`promtail_custom_seen` exists already"),
        (good.replace("clients:\n-", "clients: []\nnobody:\n-"), "unknown key `nobody`"),
        (
            good.replace(&format!("clients:\n{}", client(&bench.loki.url())), "clients: []"),
            "at a restart only",
        ),
        (good.replace("url: 'http", "tls_config: {ca_file: /none/ca.pem}, url: 'https"), "/none/ca.pem"),
    ] {
        bench.configure(&bad);
        let (status, said) = agent.post("/reload");
        assert!(status == 500 && said.contains(reason), "{status} {said}");
        app.lines(10);
    }
    assert_eq!((agent.metric(SUCCESS), agent.metric(FAILURE), agent.metric(LAST)), (0.0, 5.0, 0.0));
    fs::remove_file(bench.path("tailwater.yaml")).unwrap();
    assert_eq!(agent.get("/reload").0, 500);
    // Promtail would collect nothing any more, and call the file it started with unchanged.
    bench.reload(&agent, &good);
    assert_eq!((agent.metric(SUCCESS), agent.metric(LAST)), (1.0, 1.0));
    app.lines(10);
    bench.arrived(60).await;
    bench.check("app", &app);
    assert_eq!(agent.metric("promtail_custom_seen{filename"), 0.0);
    let (status, log) = agent.terminate();
    assert!(status.success() && log.contains("the one before stays in force"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_reloads_in_any_case_and_there_is_no_page_unless_it_is_asked_for() {
    let bench = Bench::new();
    let mut app = bench.writer("app");
    let without =
        |version: &str| bench.with(&[bench.job("app", version)]).replace(", enable_runtime_reload: true", "");
    let agent = start(&bench, &without("one"));
    assert_eq!(agent.post("/reload").0, 404);
    bench
        .configure(&without("two").replace("server: {", "server: {log_level: debug, http_path_prefix: /x, "));
    agent.signal("HUP");
    agent.wait_for_log("the configuration is in force");
    let log = agent.wait_for_log("at a restart only");
    assert!(log.contains("part=server") && !log.contains("part=positions"), "{log}");
    app.lines(10);
    bench.arrived(10).await;
    assert!(bench.entries_of("app").iter().all(|entry| entry.label("version") == "two"));
    assert_eq!(agent.get("/ready").0, 200, "where the pages are is changed by a restart");
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_is_taken_over_and_a_wrong_one_is_named_once() {
    let bench = Bench::new();
    let mut app = bench.writer("app");
    let agent = start(&bench, &bench.with(&[bench.job("app", "one")]));
    bench.configure("clients: [{urll: x}]\n");
    agent.wait_for_log("cannot be taken over");
    fs::write(bench.path("tailwater.yaml"), bench.with(&[bench.job("app", "two")])).unwrap();
    agent.wait_for_log("the configuration is in force");
    app.lines(10);
    bench.arrived(10).await;
    assert!(bench.entries_of("app").iter().all(|entry| entry.label("version") == "two"));
    assert_eq!((agent.metric(SUCCESS), agent.metric(FAILURE)), (1.0, 1.0));
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_reloads_under_load_lose_and_double_nothing() {
    let bench = Bench::new();
    let busy = ["app", "steady", "extra"].map(|name| (name, Busy::start(bench.writer(name))));
    let one = bench.with(&[bench.job("app", "one"), bench.job("steady", "one")]);
    // Another stage, another job in front of the others, another client of the same name.
    let two = bench
        .with(&[bench.job("extra", "one"), bench.job("app", "two"), bench.job("steady", "one")])
        .replace("batchwait: 50ms", "batchwait: 20ms");
    let agent = start(&bench, &one);
    let started = Instant::now();
    for round in 1..=RELOADS {
        bench.loki.answer_next(1, Fault::Delay(Duration::from_millis(round % 5 * 5)));
        if round % 10 == 0 {
            bench.loki.answer_next(1, Fault::Status(500, String::new()));
        }
        // So that some fall into a push, a pause, a chunk.
        thread::sleep(Duration::from_millis(round % 7 * 4));
        bench.reload(&agent, if round % 2 == 1 { &two } else { &one });
    }
    println!("{RELOADS} reloads took {:?}", started.elapsed());
    bench.reload(&agent, &two);
    let written = busy.map(|(name, busy)| (name, busy.stop()));
    let count: usize = written.iter().map(|(_, writer)| writer.expected.len()).sum();
    println!("{count} lines");
    let seen = bench.loki.wait_for(|store| store.entries.len() >= count, PATIENCE).await;
    for (name, writer) in &written {
        bench.check(name, writer);
    }
    seen.unwrap();
    assert!(bench.loki.duplicates().is_empty());
    for name in ["app", "extra"] {
        let versions =
            |version: &str| bench.entries_of(name).iter().any(|entry| entry.label("version") == version);
        assert!(versions("one") && (versions("two") || name == "extra"), "{name}");
    }
    // Now and then the watch of the file is faster.
    assert!(agent.metric(SUCCESS) > RELOADS as f64 && agent.metric(FAILURE) == 0.0);
    assert_eq!(agent.metric("tailwater_targets_active{source=\"file\"}"), 3.0);
    let (status, log) = agent.terminate();
    assert!(status.success() && log.contains("remaining=0"), "{log}");
    assert_eq!(log.matches("msg=\"following file\" job=steady ").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_rotated_meanwhile_are_read_to_their_ends() {
    let bench = Bench::new();
    let mut app = bench.writer("app");
    let agent = start(&bench, &bench.with(&[bench.job("app", "0")]));
    for round in 1..=60 {
        app.lines(30);
        app.rotate(100);
        app.lines(30);
        bench.reload(&agent, &bench.with(&[bench.job("app", &round.to_string())]));
        app.lines(30);
    }
    bench.arrived(60 * 90).await;
    bench.check("app", &app);
    let (status, log) = agent.terminate();
    assert!(status.success() && log.contains("remaining=0"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_has_not_noticed_a_rotation_is_still_read() {
    let bench = Bench::new();
    let path = bench.path("app.log");
    fs::write(&path, "one\n").unwrap();
    let agent = start(&bench, &bench.with(&[bench.job("app", "1")]));
    bench.arrived(1).await;
    fs::rename(&path, bench.path("app.log.1")).unwrap();
    fs::write(&path, "three\n").unwrap();
    bench.arrived(2).await;
    bench.reload(&agent, &bench.with(&[bench.job("app", "2")]));
    append(&path, "four\n");
    bench.arrived(3).await;
    append(&bench.path("app.log.1"), "two\n");
    bench.arrived(4).await;
    agent.terminate();
    assert_eq!(bench.loki.store().lines(), ["one", "three", "four", "two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loki_that_fails_or_hangs_holds_up_no_reload_and_gets_every_line_when_it_heals() {
    for fault in [Fault::Status(500, String::new()), Fault::Hang] {
        let bench = Bench::new();
        let hasty = |text: String| text.replace("batchwait: 50ms", "timeout: 300ms, batchwait: 50ms");
        let mut app = bench.writer("app");
        // More than the queues take: the source waits within a chunk.
        app.lines(40_000);
        bench.loki.answer_all(fault);
        let agent = start(&bench, &hasty(bench.with(&[bench.job("app", "0")])));
        until("much is read", || agent.metric("tailwater_lines_read_total{source=\"file\"}") > 10_000.0);
        for round in 1..=10 {
            app.lines(500);
            let batch = if round % 2 == 0 { "batchwait: 50ms" } else { "batchwait: 60ms, batchsize: 5000" };
            let text = hasty(bench.with(&[bench.job("app", &round.to_string())]));
            bench.reload(&agent, &text.replace("batchwait: 50ms", batch));
        }
        bench.loki.heal();
        bench.arrived(45_000).await;
        bench.check("app", &app);
        let (status, log) = agent.terminate();
        assert!(status.success() && log.contains("remaining=0"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_waits_for_a_dead_loki_does_not_hold_up_the_stop() {
    let bench = Bench::new();
    let mut app = bench.writer("app");
    bench.loki.answer_all(Fault::Hang);
    let agent = start(&bench, &bench.with(&[bench.job("app", "one")]));
    app.lines(5000);
    bench.loki.wait_for(|store| store.faults_met(FaultKind::Hang) > 0, PATIENCE).await.unwrap();
    let changed = bench.with(&[bench.job("app", "two")]).replace("50ms", "60ms");
    bench.reload(&agent, &changed);
    // Asserts that it takes less than 5 s.
    assert!(agent.terminate().0.success());
    bench.loki.heal();
    let agent = start(&bench, &changed);
    bench.arrived(5000).await;
    bench.check("app", &app);
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_moves_takes_along_what_its_old_place_did_not_take() {
    let bench = Bench::new();
    let mut app = bench.writer("app");
    let dead = FakeLoki::start(Limits::any_time());
    dead.answer_all(Fault::ResetBeforeReading);
    let agent = start(&bench, &bench.with_clients(&client(&dead.url()), &[bench.job("app", "one")]));
    app.lines(2000);
    agent.wait_for_log("its lines are kept and tried again");
    bench.reload(&agent, &bench.with(&[bench.job("app", "one")]));
    app.lines(100);
    bench.arrived(2100).await;
    bench.check("app", &app);
    assert!(agent.terminate().1.contains("remaining=0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_moves_takes_its_spool_along_and_everything_stays_accounted_for() {
    let bench = Bench::new();
    let mut app = bench.writer("app");
    let dead = FakeLoki::start(Limits::any_time());
    dead.answer_all(Fault::Status(404, String::new()));
    let jobs = [bench.job("app", "one")];
    let agent = start(&bench, &bench.with_clients(&client(&dead.url()), &jobs));
    app.lines(2000);
    agent.wait_for_metric("tailwater_spool_entries", |entries| entries == 2000.0);
    // The same client with another option keeps it, and so does one under another name.
    let slower = client(&dead.url()).replace("batchwait: 50ms", "batchwait: 60ms");
    bench.reload(&agent, &bench.with_clients(&slower, &jobs));
    app.lines(100);
    agent.wait_for_metric("tailwater_spool_entries", |entries| entries == 2100.0);
    agent.assert_nothing_is_missing();
    bench.reload(&agent, &bench.with(&jobs));
    app.lines(100);
    bench.arrived(2200).await;
    // New lines take turns with those on disk, so they may be before them.
    let report = verify(&app.expected, &bench.entries_of("app"), entry_key);
    assert!(report.missing.is_empty() && report.duplicated.is_empty(), "{report}");
    agent.wait_for_metric("tailwater_spool_entries", |entries| entries == 0.0);
    agent.assert_nothing_is_missing();
    assert!(agent.terminate().1.contains("remaining=0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_spool_leaves_its_lines_however_many_they_are() {
    let bench = Bench::new();
    let mut app = bench.writer("app");
    let dead = FakeLoki::start(Limits::any_time());
    dead.stop().await;
    let without =
        |url: &str| client(url).replace("{url:", "{batchsize: 20000, spool: {enabled: false}, url:");
    let jobs = [bench.job("app", "one")];
    let agent = start(&bench, &bench.with_clients(&without(&dead.url()), &jobs));
    // More than its queues take: the source waits within a chunk.
    app.lines(40_000);
    agent.wait_for_log("its lines are kept and tried again");
    bench.reload(&agent, &bench.with_clients(&without(&bench.loki.url()), &jobs));
    bench.arrived(40_000).await;
    bench.check("app", &app);
    agent.assert_nothing_is_missing();
    assert!(agent.terminate().1.contains("remaining=0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_holds_nothing_for_longer_than_its_last_pushes() {
    let bench = Bench::new();
    let mut app = bench.writer("app");
    let dead = FakeLoki::start(Limits::any_time());
    dead.stop().await;
    let patient = client(&dead.url()).replace("20ms", "10m").replace("200ms", "10m");
    let bad = patient.replace("{url:", "{batchsize: 20000, spool: {enabled: false}, url:");
    let both = format!("{bad}\n{}", client(&bench.loki.url()));
    let jobs = [bench.job("app", "one")];
    let agent = start(&bench, &bench.with_clients(&both, &jobs));
    app.lines(5000);
    agent.wait_for_log("its lines are kept and tried again");
    bench.arrived(5000).await;
    bench.reload(&agent, &bench.with(&jobs));
    until("nothing is open", || agent.metric("tailwater_open_chunks") == 0.0);
    assert_eq!(agent.metric_sum("tailwater_dropped_entries_total"), 5000.0);
    agent.assert_nothing_is_missing();
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_back_finds_its_lines_on_disk_and_they_are_counted_once() {
    let bench = Bench::new();
    let mut app = bench.writer("app");
    let second = FakeLoki::start(Limits::any_time());
    second.answer_all(Fault::Status(500, String::new()));
    let both = format!("{}\n{}", client(&second.url()), client(&bench.loki.url()));
    let jobs = [bench.job("app", "one")];
    let agent = start(&bench, &bench.with_clients(&both, &jobs));
    app.lines(1000);
    agent.wait_for_metric("tailwater_spool_entries", |entries| entries == 1000.0);
    bench.reload(&agent, &bench.with(&jobs));
    agent.wait_for_log("the client is not configured any more, and has not delivered everything");
    agent.assert_nothing_is_missing();
    // A configuration that is refused leaves no trace of what it would have found.
    let refused =
        format!("{both}\n{}", client("http://third").replace("{", "{tls_config: {ca_file: /none}, "));
    bench.configure(&bench.with_clients(&refused, &jobs));
    assert_eq!(agent.post("/reload").0, 500);
    second.heal();
    bench.reload(&agent, &bench.with_clients(&both, &jobs));
    second.wait_for(|store| store.entries.len() == 1000, PATIENCE).await.unwrap();
    agent.wait_for_metric("tailwater_spool_entries", |entries| entries == 0.0);
    agent.assert_nothing_is_missing();
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_come_and_go_and_the_one_that_stays_gets_every_line_once() {
    let bench = Bench::new();
    let second = FakeLoki::start(Limits::any_time());
    let both = format!("{}\n{}", client(&second.url()), client(&bench.loki.url()));
    let jobs = [bench.job("app", "one")];
    let agent = start(&bench, &bench.with(&jobs));
    let busy = Busy::start(bench.writer("app"));
    bench.arrived(50).await;
    bench.reload(&agent, &bench.with_clients(&both, &jobs));
    second.wait_for(|store| store.entries.len() >= 50, PATIENCE).await.unwrap();
    bench.reload(&agent, &bench.with(&jobs));
    let taken_out = bench.loki.entries().len();
    bench.arrived(taken_out + 50).await;
    // One that is down when it goes does not hold back positions for ever.
    bench.reload(&agent, &bench.with_clients(&both, &jobs));
    second.answer_all(Fault::Status(503, String::new()));
    agent.wait_for_log("its lines are kept and tried again");
    bench.reload(&agent, &bench.with(&jobs));
    agent.wait_for_log("the client is not configured any more, and has not delivered everything");
    let app = busy.stop();
    bench.arrived(app.expected.len()).await;
    bench.check("app", &app);
    let left = format!("tailwater_spool_entries{{client=\"{}\"}}", second.address());
    assert!(agent.metric(&left) > 0.0, "they stay on disk");
    agent.assert_nothing_is_missing();
    until("nothing is open", || agent.metric("tailwater_open_chunks") == 0.0);
    let (_, log) = agent.terminate();
    assert_eq!(log.matches("msg=\"following file\"").count(), 1, "sources are not touched: {log}");
    let of_second = second.entries();
    assert!(!of_second.is_empty() && of_second.len() < app.expected.len());
    let report = verify(&app.expected, &of_second, entry_key);
    assert!(report.duplicated.is_empty() && report.out_of_order_per_stream.is_empty(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_back_before_it_has_gone_takes_up_what_it_had() {
    let bench = Bench::new();
    let second = FakeLoki::start(Limits::any_time());
    second.answer_all(Fault::Hang);
    let both = format!("{}\n{}", client(&bench.loki.url()), client(&second.url()));
    let jobs = [bench.job("app", "one")];
    let agent = start(&bench, &bench.with_clients(&both, &jobs));
    let mut app = bench.writer("app");
    app.lines(100);
    bench.arrived(100).await;
    bench.reload(&agent, &bench.with(&jobs));
    bench.reload(&agent, &bench.with_clients(&both, &jobs));
    app.lines(100);
    second.heal();
    second.wait_for(|store| store.entries.len() == 200, PATIENCE).await.unwrap();
    verify(&app.expected, &second.entries(), entry_key).assert_whole_once_in_order();
    agent.assert_nothing_is_missing();
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_on_one_file_keep_their_places_whatever_comes_before_them() {
    let bench = Bench::new();
    let mut app = bench.writer("app");
    let job = |name: &str| {
        bench
            .job("app", "one")
            .replace("job_name: app", &format!("job_name: {name}"))
            .replace("{job: app", &format!("{{job: {name}"))
    };
    let agent = start(&bench, &bench.with(&[job("b")]));
    app.lines(100);
    bench.arrived(100).await;
    bench.reload(&agent, &bench.with(&[job("a"), job("b")]));
    bench.arrived(200).await;
    bench.reload(&agent, &bench.with(&[job("a")]));
    app.lines(100);
    bench.arrived(300).await;
    bench.reload(&agent, &bench.with(&[job("a"), job("b")]));
    bench.arrived(400).await;
    until("positions are saved", || agent.metric("tailwater_open_chunks") == 0.0);
    agent.terminate();
    let agent = start(&bench, &bench.with(&[job("a"), job("b")]));
    app.lines(100);
    bench.arrived(600).await;
    agent.terminate();
    for name in ["a", "b"] {
        bench.check(name, &app);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_held_back_is_let_go_whole() {
    let bench = Bench::new();
    let path = bench.path("app.log");
    let job = |version: &str| {
        let stages = "pipeline_stages: [{multiline: {firstline: '^[0-9]', max_wait_time: 1h}}, ";
        bench.with(&[bench.job("app", version).replace("pipeline_stages: [", stages)])
    };
    fs::write(&path, "1 first\n  second\n").unwrap();
    let agent = start(&bench, &job("one"));
    until("both are read", || agent.metric("tailwater_lines_read_total{source=\"file\"}") == 2.0);
    append(&path, "2 fir");
    bench.reload(&agent, &job("two"));
    bench.arrived(1).await;
    // The unfinished line is read again from its beginning.
    append(&path, "st\n  second\n3 first\n");
    bench.arrived(2).await;
    assert!(agent.terminate().0.success());
    bench.arrived(3).await;
    assert_eq!(bench.loki.store().lines(), ["1 first\n  second", "2 first\n  second", "3 first"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_read_on_where_the_job_before_ended() {
    let bench = Bench::new();
    let line = |number: u32| frame(1, &format!("2026-11-18T10:30:00.{number:09}Z line {number}\n"));
    let script = Script { log: line(1), removed: false, without_events: true };
    let docker = FakeDocker::start(bench.directory.path(), script);
    let job = |name: &str, version: &str| {
        bench.with(&[format!(
            "- {{job_name: {name}, docker_sd_configs: [{{host: '{}', refresh_interval: 50ms}}], \
             pipeline_stages: [{{static_labels: {{version: '{version}'}}}}]}}",
            docker.host()
        )])
    };
    let agent = start(&bench, &job("d", "1"));
    bench.arrived(1).await;
    for number in 2..=20 {
        // Now and then another job takes over.
        let name = if number % 5 == 0 { "e" } else { "d" };
        bench.reload(&agent, &job(name, &number.to_string()));
        docker.print(&line(number));
        bench.arrived(number as usize).await;
    }
    assert_eq!(agent.metric("tailwater_targets_active{source=\"docker\"}"), 1.0);
    agent.terminate();
    let lines: Vec<String> = bench.loki.entries().iter().map(|entry| entry.text()).collect();
    assert_eq!(lines, (1..=20).map(|number| format!("line {number}")).collect::<Vec<_>>());
    assert!(bench.loki.duplicates().is_empty());
    assert_eq!(bench.loki.entries()[19].label("version"), "20");
}

fn start(bench: &Bench, text: &str) -> Agent {
    Agent::start(bench.directory.path(), text)
}
