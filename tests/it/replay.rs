//! `archive replay`: what an agent has archived goes into another Loki, whatever that does meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::agent::{Agent, PATIENCE, client, configuration, program, send};
use crate::support::fake_loki::{FakeLoki, Fault, FaultKind, Limits, StoredEntry};

/// A nanosecond of 2023, long before what Loki takes by default.
const LONG_AGO: i64 = 1_700_000_000_000_000_000;

/// Everything about an entry; metadata in order of names.
type Whole = (BTreeMap<String, String>, i64, String, BTreeMap<String, String>);

struct Scene {
    directory: tempfile::TempDir,
    /// To which the agent pushed.
    live: FakeLoki,
    /// To which the archive is replayed.
    loki: FakeLoki,
}

impl Scene {
    fn new() -> Scene {
        let directory = tempfile::tempdir().unwrap();
        let (live, loki) = (FakeLoki::start(Limits::any_time()), FakeLoki::start(Limits::any_time()));
        let scene = Scene { directory, live, loki };
        scene.configure("");
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// How the command replays; `more` are further keys of its client.
    fn configure(&self, more: &str) {
        let client = client(&self.loki.url()).replace("batchwait", &format!("{more}batchwait"));
        fs::create_dir_all(self.path("replay")).unwrap();
        let text = configuration(&self.path("replay"), &client, "  []");
        fs::write(self.path("replay.yaml"), text).unwrap();
    }

    fn agent(&self) -> (Agent, SocketAddr) {
        let gate = "- job_name: gate\n  loki_push_api:\n    server: {http_listen_address: 127.0.0.1, http_listen_port: 0}\n    \
                    use_incoming_timestamp: true\n  pipeline_stages: [{tenant: {label: tenant}}]\n";
        let archive = self.path("archive");
        let retention = format!(
            "retention: {{tiers: [{{name: warm, until: 60d, store: '{}'}}], host: web-1}}\n",
            archive.display()
        );
        let text = configuration(self.directory.path(), &client(&self.live.url()), gate) + &retention;
        let agent = Agent::start(self.directory.path(), &text);
        let address = agent.listening("gate");
        (agent, address)
    }

    /// Archives what is pushed in these bodies.
    fn archive(&self, bodies: &[String]) {
        let (agent, address) = self.agent();
        bodies.iter().for_each(|body| push(address, body));
        for waiting in ["tailwater_archive_in_flight_entries", "tailwater_in_flight_entries"] {
            agent.wait_for_metric(waiting, |entries| entries == 0.0);
        }
        assert!(agent.terminate().0.success());
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command.args(["archive", "replay", "-yes"]).args(arguments);
        command.arg(format!("-config.file={}", self.path("replay.yaml").display()));
        command.arg(format!("-store={}", self.path("archive").display()));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Replays, which must go well; what it says on stdout and on stderr.
    #[track_caller]
    fn replay(&self, arguments: &[&str]) -> (String, String) {
        let output = self.run(arguments);
        assert!(output.status.success(), "{output:?}");
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// State files that are there.
    fn states(&self) -> Vec<PathBuf> {
        let names = fs::read_dir(self.path("replay")).unwrap().map(|entry| entry.unwrap().path());
        names.filter(|path| path.display().to_string().contains(".replay-")).collect()
    }

    #[track_caller]
    fn assert_same(&self) {
        assert_eq!(whole(&self.loki.entries()), whole(&self.live.entries()));
        self.loki.assert_no_violations();
    }
}

#[track_caller]
fn push(address: SocketAddr, body: &str) {
    let headers = "Content-Type: application/json\r\n";
    let answer = send(address, "POST", "/loki/api/v1/push", headers, body.as_bytes()).unwrap();
    assert_eq!(answer, (204, String::new()));
}

/// A push of these entries: labels, time, line, structured metadata.
fn body(entries: &[Whole]) -> String {
    let stream = |(labels, time, line, metadata): &Whole| serde_json::json!({"stream": labels, "values": [[time.to_string(), line, metadata]]});
    let streams: Vec<serde_json::Value> = entries.iter().map(stream).collect();
    serde_json::json!({ "streams": streams }).to_string()
}

/// Numbered lines of some streams, many of which have the same time.
fn numbered(lines: std::ops::Range<i64>) -> Vec<String> {
    let entry = |number: i64| {
        let labels = [("app".to_owned(), format!("app-{}", number % 3))].into();
        let noise = format!("{:064x}", i128::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060));
        (labels, LONG_AGO + number / 40, format!("line {number} {}", noise.repeat(4)), BTreeMap::new())
    };
    let all: Vec<Whole> = lines.map(entry).collect();
    all.chunks(500).map(body).collect()
}

fn whole(entries: &[StoredEntry]) -> BTreeSet<Whole> {
    let one = |entry: &StoredEntry| {
        let metadata = entry.metadata.iter().cloned().collect();
        ((*entry.labels).clone(), entry.timestamp_ns, entry.text(), metadata)
    };
    let set: BTreeSet<Whole> = entries.iter().map(one).collect();
    assert_eq!(set.len(), entries.len());
    set
}

/// Entries of odd kinds, by a sequence that looks like chance.
fn odd_entries(seed: u64) -> Vec<Whole> {
    let mut state = seed;
    let mut below = move |limit: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    let texts = [
        "a",
        "é\u{a0}\u{2028}",
        "\"\\\n\t\r",
        "\u{0}\u{1b}[31m",
        "{\"k\": [1]}",
        "\u{fffd}\u{10ffff}",
        " x ",
        "%=,",
    ];
    (0..400)
        .map(|number| {
            let text = |below: &mut dyn FnMut(u64) -> u64| texts[below(8) as usize].to_owned();
            let mut labels: BTreeMap<String, String> = [("app".to_owned(), format!("a{}", below(3)))].into();
            if below(2) == 0 {
                labels.insert("odd".to_owned(), text(&mut below));
            }
            if below(3) == 0 {
                labels.insert("tenant".to_owned(), format!("t{}", below(2)));
            }
            let metadata = (0..below(3)).map(|name| (format!("m{name}"), text(&mut below))).collect();
            let line = (0..below(4)).map(|_| text(&mut below)).collect::<String>();
            let time = LONG_AGO + (below(50) as i64) * 86_399_999_999_997 / 7;
            (labels, time, format!("{line}{}", if below(2) == 0 { number } else { 0 }), metadata)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_gives_another_loki_what_the_first_one_has_to_the_nanosecond() {
    let scene = Scene::new();
    let bodies: Vec<String> = (1..5).map(|seed| body(&odd_entries(seed))).collect();
    scene.archive(&bodies);
    let (said, told) = scene.replay(&[]);
    let count = scene.live.entries().len();
    // What is the same but for its metadata is archived twice, and stored once.
    let received = scene.loki.store().received;
    assert!(received >= count);
    assert!(said.starts_with(&format!("read {received}, sent {received}, refused 0, left 0;")), "{said}");
    assert!(told.contains("without -label the lines join the streams of now"), "{told}");
    let lines = |loki: &FakeLoki| -> BTreeSet<_> {
        let key = |entry: Whole| (entry.0, entry.1, entry.2);
        whole(&loki.entries()).into_iter().map(key).collect()
    };
    assert_eq!(lines(&scene.loki), lines(&scene.live));
    let sent = whole(&scene.loki.entries());
    let pushed: BTreeSet<Whole> = (1..5).flat_map(odd_entries).collect();
    assert!(sent.is_subset(&pushed), "metadata is as it was");
    for entry in scene.loki.entries() {
        assert_eq!(entry.tenant.as_deref().unwrap_or_default(), entry.label("tenant"));
    }
    let mut last = BTreeMap::new();
    for entry in scene.loki.entries() {
        let before = last.insert(entry.label_text.clone(), entry.timestamp_ns);
        assert!(before.is_none_or(|before| before <= entry.timestamp_ns), "each stream in order of time");
    }
    assert_eq!(scene.states(), Vec::<PathBuf>::new());
    scene.loki.assert_no_violations();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_lines_come_out_as_they_went_in() {
    let scene = Scene::new();
    let entry = |number: i64| -> Whole {
        let labels = [("app".to_owned(), format!("app-{}", number % 7))].into();
        let metadata = [("trace".to_owned(), format!("{number:x}"))].into();
        (labels, LONG_AGO + number * 1_000_003 - number % 5 * 3_000_000, format!("line {number}"), metadata)
    };
    let all: Vec<Whole> = (0..100_000).map(entry).collect();
    scene.archive(&all.chunks(5_000).map(body).collect::<Vec<_>>());
    let (said, told) = scene.replay(&["-rate=100MB", "-label=replay=all"]);
    assert!(said.starts_with("read 100000, sent 100000, refused 0, left 0;"), "{said}");
    assert!(told.contains("to replay to ") && told.contains(": 100000 lines with "), "{told}");
    let mut pushed: BTreeSet<Whole> = all.into_iter().collect();
    for mut entry in whole(&scene.loki.entries()) {
        assert_eq!(entry.0.remove("replay").as_deref(), Some("all"));
        assert!(pushed.remove(&entry), "{entry:?} was never pushed");
    }
    assert_eq!(pushed, BTreeSet::new(), "all of it is there");
    scene.loki.assert_no_violations();
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_tell_what_is_replayed_while_the_agent_goes_on_untouched() {
    let scene = Scene::new();
    let (agent, address) = scene.agent();
    numbered(0..1000).iter().for_each(|body| push(address, body));
    agent.wait_for_metric("tailwater_archive_log_entries", |entries| entries >= 1000.0);
    // The very configuration of the agent, with its positions and its client.
    fs::copy(scene.path("tailwater.yaml"), scene.path("replay.yaml")).unwrap();
    let question = r#"{app="app-1"} |= "line 1""#;
    let arguments = [question, "-label=replay=incident-42", "-label", "app=again,by=me, too"];
    let output = scene.run(&arguments[..2]);
    assert!(output.status.success(), "{output:?}");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("without -label"), "{output:?}");
    let all = scene.live.entries();
    let replayed: Vec<&StoredEntry> =
        all.iter().filter(|entry| entry.label("replay") == "incident-42").collect();
    let mut wanted: Vec<&StoredEntry> = all.iter().filter(|entry| entry.label("replay").is_empty()).collect();
    wanted.retain(|entry| entry.label("app") == "app-1" && entry.text().contains("line 1"));
    let lines = |entries: &[&StoredEntry]| -> BTreeSet<(i64, String)> {
        entries.iter().map(|entry| (entry.timestamp_ns, entry.text())).collect()
    };
    assert!(wanted.len() > 10);
    assert_eq!(lines(&replayed), lines(&wanted));
    assert_eq!(agent.metric_sum("tailwater_sent_entries_total"), 1000.0, "it is not the agent's doing");
    agent.assert_nothing_is_missing();
    // A label that is there already is replaced.
    let (said, _) = scene.replay(&[question, "-label=app=again", "-label=by=me, too"]);
    assert!(said.starts_with(&format!("read {0}, sent {0},", wanted.len())), "{said}");
    let again = scene
        .live
        .entries()
        .iter()
        .filter(|entry| &*entry.label_text == r#"{app="again", by="me, too"}"#)
        .count();
    assert_eq!(again, wanted.len());
    assert!(agent.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_a_label_makes_one_arrive_in_order_of_time() {
    let scene = Scene::new();
    scene.archive(&numbered(0..1000));
    let (said, told) = scene.replay(&["-label=app=all"]);
    assert!(said.starts_with("read 1000, sent 1000,") && told.contains(" of 1 streams"), "{said}\n{told}");
    let entries = scene.loki.entries();
    assert!(entries.iter().all(|entry| &*entry.label_text == r#"{app="all"}"#));
    assert!(entries.is_sorted_by_key(|entry| entry.timestamp_ns), "Loki refuses what is an hour behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_is_killed_goes_on_where_it_was_and_loses_nothing() {
    let scene = Scene::new();
    scene.configure("batchsize: 20000, ");
    scene.archive(&numbered(0..6000));
    // A different number of pushes between the first saving and the kill each time.
    for pushes in [1, 7, 0, 3] {
        let replay = Agent::of(scene.command(&["-rate=300KB", "-label=replay=x"]));
        let state = scene.path("replay");
        let changed = || scene.states().iter().filter_map(|path| fs::read(path).ok()).collect::<Vec<_>>();
        let (before, started) = (changed(), std::time::Instant::now());
        while changed() == before || changed().is_empty() {
            assert!(
                started.elapsed() < PATIENCE,
                "nothing is saved in {}:\n{}",
                state.display(),
                replay.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        let seen = scene.loki.requests().len();
        scene.loki.wait_for(|store| store.requests.len() >= seen + pushes, PATIENCE).await.unwrap();
        replay.kill();
    }
    // A signal lets the push under way come to its end.
    let replay = Agent::of(scene.command(&["-rate=300KB", "-label=replay=x"]));
    replay.wait_for_log("going on behind ");
    let seen = scene.loki.requests().len();
    scene.loki.wait_for(|store| store.requests.len() > seen + 3, PATIENCE).await.unwrap();
    let (status, told) = replay.terminate();
    assert_eq!(status.code(), Some(143), "{told}");
    assert!(told.contains("the same command goes on here"), "{told}");
    let (said, told) = scene.replay(&["-label=replay=x"]);
    assert!(told.contains("going on behind ") && said.contains("\nearlier runs: sent "), "{said}\n{told}");
    let replayed = scene.loki.entries();
    let lines = |entries: &[StoredEntry]| -> BTreeSet<(i64, String)> {
        entries.iter().map(|entry| (entry.timestamp_ns, entry.text())).collect()
    };
    assert_eq!(replayed.len(), 6000);
    assert_eq!(lines(&replayed), lines(&scene.live.entries()));
    let again = scene.loki.duplicates().len();
    assert!(again < 6000, "{again} were sent again, as if nothing had been kept");
    assert_eq!(scene.states(), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loki_that_answers_badly_gets_everything_in_the_end() {
    let scene = Scene::new();
    scene.configure("batchsize: 20000, timeout: 300ms, ");
    scene.archive(&numbered(0..1500));
    for fault in [
        Fault::Status(500, "down".to_owned()),
        Fault::RateLimit429 { retry_after: None },
        Fault::Hang,
        Fault::Reset,
        Fault::StoreThenReset,
        Fault::StoreThenStatus(502),
        Fault::Status(503, "down".to_owned()),
    ] {
        scene.loki.answer_next(1, fault);
    }
    let (said, told) = scene.replay(&["-rate=100MB"]);
    assert!(said.starts_with("read 1500, sent 1500, refused 0, left 0; pushes tried again 7"), "{said}");
    assert!(
        told.contains("tried again: 1 rate_limited") && told.contains("tried again: 3 server_error"),
        "{told}"
    );
    assert_eq!(scene.loki.faults_met(FaultKind::Hang), 1);
    scene.assert_same();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_loki_refuses_is_foretold_and_counted_and_kept() {
    let scene = Scene::new();
    let now =
        i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos())
            .unwrap();
    let one = |age_hours: i64, line: &str| -> Whole {
        let labels = [("app".to_owned(), "x".to_owned())].into();
        (labels, now - age_hours * 3_600_000_000_000, line.to_owned(), BTreeMap::new())
    };
    scene.archive(&[body(&[one(24 * 9, "too old"), one(24 * 8, "old"), one(24 * 6, "good")])]);
    scene.loki.set_limits(Limits::default());
    let output = scene.run(&["-label=replay=1"]);
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{said}\n{told}");
    assert!(
        told.contains("2 of 3 lines are older than 168 h, and Loki, unless it is told otherwise, refuses"),
        "{told}"
    );
    assert!(said.starts_with("read 3, sent 1, refused 2, left 0;"), "{said}");
    assert!(told.contains("refused: 2 too_old"), "{told}");
    assert_eq!(scene.loki.store().lines(), ["good"]);
    let letters = fs::read_to_string(scene.path("replay/positions.dead-letter.jsonl.replay")).unwrap();
    assert!(letters.contains("\"too old\"") && letters.contains("\"old\""), "{letters}");
    assert_eq!(scene.states(), Vec::<PathBuf>::new(), "what is refused for good is not left over");

    // A Loki that says what it takes is believed.
    scene.loki.say_configuration(
        "limits_config: {reject_old_samples_max_age: 200h, max_label_names_per_series: 1}\n",
    );
    let output = scene.run(&["-label=replay=2", "-rate=10MB"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("1 of 3 lines are older than 200 h, and this Loki says that it refuses"), "{told}");
    assert!(told.contains("there are streams with 2 labels, and this Loki says that it takes 1"), "{told}");
    assert!(told.contains("takes 4194304 bytes a second of a tenant"), "{told}");
    scene.loki.say_configuration("limits_config: {reject_old_samples: false}\n");
    scene.loki.set_limits(Limits::any_time());
    let (_, told) = scene.replay(&["-label=replay=3"]);
    assert!(!told.contains("older than"), "{told}");
    scene.loki.assert_no_violations();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_ends_where_it_is_told_to() {
    let scene = Scene::new();
    scene.archive(&numbered(0..1000));
    let (said, told) = scene.replay(&["-limit=100", "-dry-run"]);
    assert!(
        said.is_empty() && told.contains(": 100 lines with ") && told.contains("nothing was sent"),
        "{told}"
    );
    let (said, told) = scene.replay(&["-limit=100"]);
    assert!(said.starts_with("read 100, sent 100,"), "{said}");
    assert!(told.contains("more is left out, by -limit or -max-bytes"), "{told}");
    let first: Vec<i64> = scene.loki.entries().iter().map(|entry| entry.timestamp_ns).collect();
    assert_eq!(first.len(), 100);
    assert!(first.iter().all(|time| *time <= LONG_AGO + 2), "the oldest");
    let size = scene.live.entries()[0].line.len();
    let (said, _) = scene.replay(&[&format!("-max-bytes={}", size * 10 + size / 2)]);
    assert!(said.starts_with("read 10, sent 10,") || said.starts_with("read 11, sent 11,"), "{said}");
    let (said, told) = scene.replay(&["-to=2020-01-01"]);
    assert!(
        said.starts_with("read 0, sent 0,") && told.contains("there is nothing to replay"),
        "{said}\n{told}"
    );
    let (said, _) = scene.replay(&["-from=2023-11-14", "-to=2023-11-16"]);
    assert!(said.starts_with("read 1000, sent 1000,"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_cannot_keep_how_far_it_is_ends_and_says_so() {
    let scene = Scene::new();
    scene.configure("batchsize: 20000, ");
    scene.archive(&numbered(0..6000));
    fs::create_dir(scene.path("state")).unwrap();
    let state = format!("-state={}", scene.path("state/place").display());
    let replay = Agent::of(scene.command(&[&state, "-rate=300KB", "-label=replay=x"]));
    scene.loki.wait_for(|store| store.requests.len() > 3, PATIENCE).await.unwrap();
    fs::remove_dir_all(scene.path("state")).unwrap();
    let (status, told) = replay.wait();
    assert_eq!(status.code(), Some(1), "{told}");
    assert!(told.contains("name a file this user can write with -state FILE"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_a_replay_asks_and_begins_with_a_yes_only() {
    let scene = Scene::new();
    scene.archive(&numbered(0..10));
    if Command::new("script").arg("--version").output().is_err() {
        eprintln!("skipped: there is no `script`, which makes a terminal");
        return;
    }
    let tailwater = env!("CARGO_BIN_EXE_tailwater");
    let (file, store) = (scene.path("replay.yaml"), scene.path("archive"));
    let command =
        format!("{tailwater} archive replay -config.file={} -store={}", file.display(), store.display());
    for (typed, code, lines, piece) in [
        ("\n", 1, 0, "begin? [y/N]"),
        ("no\n", 1, 0, "nothing was sent"),
        ("y\n", 0, 10, "read 10, sent 10, refused 0, left 0"),
    ] {
        let mut terminal = Command::new("script");
        terminal.args(["-qec", &command, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut terminal = terminal.spawn().unwrap();
        let mut keyboard = terminal.stdin.take().unwrap();
        keyboard.write_all(typed.as_bytes()).unwrap();
        let output = terminal.wait_with_output().unwrap();
        drop(keyboard);
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.code() == Some(code) && told.contains(piece), "{typed:?}: {output:?}");
        assert_eq!(scene.loki.store().received, lines, "{typed:?}: {told}");
        assert_eq!(scene.states(), Vec::<PathBuf>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_makes_no_sense_is_refused_in_words() {
    let scene = Scene::new();
    scene.archive(&numbered(0..10));
    let two = format!(
        "{}\n- {{name: other, url: 'http://127.0.0.1:1/loki/api/v1/push'}}",
        client(&scene.loki.url())
    );
    let path = |name: &str| scene.path(name).display().to_string();
    fs::write(scene.path("two.yaml"), configuration(&scene.path("replay"), &two, "  []")).unwrap();
    fs::write(scene.path("none.yaml"), configuration(&scene.path("replay"), "  []", "  []")).unwrap();
    fs::write(scene.path("damaged"), "tailwater-replay 1 00000000\n{}\n").unwrap();
    let (damaged, nowhere) = (format!("-state={}", path("damaged")), "-state=/nowhere/at/all".to_owned());
    let (two, none) =
        (format!("-config.file={}", path("two.yaml")), format!("-config.file={}", path("none.yaml")));
    for (arguments, code, piece) in [
        (vec!["-o=json"], 2, "-o has no meaning for replay"),
        (vec!["-label=a"], 2, "expected labels such as"),
        (vec!["-label=a-b=c"], 2, "is no label such as replay=incident-42"),
        (vec!["-label=a="], 2, "is no label such as"),
        (vec!["-rate=0"], 2, "would never end"),
        (vec!["-rate=fast"], 2, "expected a size such as"),
        (vec!["-limit=-1"], 2, "is no number of entries"),
        (vec!["-client=lokl"], 1, "there is no client `lokl`"),
        (vec![damaged.as_str()], 1, "is damaged\n  = help: remove it"),
        (vec![nowhere.as_str()], 1, "name a file this user can write with -state FILE"),
    ] {
        let output = scene.run(&arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && told.contains(piece), "{arguments:?}: {output:?}");
    }
    for (file, arguments, code, piece) in [
        (
            &two,
            vec![],
            1,
            "the configuration has several clients\n  = help: name one with -client: 127.0.0.1:",
        ),
        (&two, vec!["-client=othr"], 1, "there is no client `othr`\n  = help: did you mean `other`?"),
        (&none, vec![], 1, "there is no client to replay to"),
    ] {
        let store = format!("-store={}", path("archive"));
        let output =
            program().args(["archive", "replay", "-yes", &store, file]).args(&arguments).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && told.contains(piece), "{arguments:?}: {output:?}");
    }
    let store = format!("-store={}", path("archive"));
    let output = program().args(["archive", "query", "-label=a=b", &store]).output().unwrap();
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("-label has no meaning for query"),
        "{output:?}"
    );
    // One of two, and one that only the command line names.
    let host = scene.loki.address().to_string();
    let store = format!("-store={}", path("archive"));
    for arguments in
        [[&two, &format!("-client={host}")], [&none, &format!("-client.url={}", scene.loki.url())]]
    {
        let output = program().args(["archive", "replay", "-yes", &store]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    scene.assert_same();
    // The state of one replay is not that of another, nor of two at a time.
    let state = format!("-state={}", path("mine"));
    scene.loki.answer_all(Fault::Hang);
    let hanging = Agent::of(scene.command(&[&state, "-label=replay=x"]));
    scene.loki.wait_for(|store| store.faults_met(FaultKind::Hang) > 0, PATIENCE).await.unwrap();
    let output = scene.run(&[&state, "-label=replay=x"]);
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("is of a replay that runs right now"),
        "{output:?}"
    );
    let (status, told) = hanging.terminate();
    assert_eq!(status.code(), Some(143), "{told}");
}
