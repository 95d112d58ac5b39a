//! Programs that send syslog and GELF, as they are installed everywhere: rsyslog, logger, Docker.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::agent::{Agent, PATIENCE, client, configuration};
use crate::doubles::Authority;
use crate::support::docker::engine_or_skip;
use crate::support::fake_loki::{FakeLoki, Limits, StoredEntry};
use crate::syslog::listener;
use crate::syslog_tls;

const REQUIRED: &str = "TAILWATER_REQUIRE_SENDERS";

/// False where a program is not installed, which is said; where it is required, it fails the test.
fn is_there(programs: &[&str]) -> bool {
    let missing = |program: &&&str| {
        let places = [
            "/usr/bin",
            "/bin",
            "/usr/sbin",
            "/sbin",
            "/usr/lib/rsyslog",
            "/usr/lib/x86_64-linux-gnu/rsyslog",
        ];
        !places.iter().any(|place| Path::new(place).join(program).exists())
    };
    let Some(program) = programs.iter().find(missing) else { return true };
    assert!(
        !std::env::var(REQUIRED).is_ok_and(|value| value == "1"),
        "{REQUIRED}=1, but there is no {program}"
    );
    // Not eprintln!, which the test harness swallows when a test passes.
    std::io::stderr().write_all(format!("\nSKIPPED: needs {program}\n").as_bytes()).unwrap();
    false
}

const SHOW: &str = "  relabel_configs: [{action: labelmap, regex: '__syslog_message_(severity|facility|hostname|app_name|proc_id|msg_id|sd_.*)'}]\n";

struct Scene {
    directory: tempfile::TempDir,
    loki: FakeLoki,
    agent: Agent,
    address: SocketAddr,
}

impl Scene {
    fn new(protocol: &str, format: &str) -> Scene {
        let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
        let block = format!(
            "    listen_protocol: {protocol}\n    syslog_format: {format}\n    use_incoming_timestamp: true\n    label_structured_data: true\n"
        );
        let text = configuration(directory.path(), &client(&loki.url()), &listener(0, &block, SHOW));
        let agent = Agent::start(directory.path(), &text);
        let address = agent.listening("net");
        Scene { directory, loki, agent, address }
    }

    async fn entries(&self, count: usize) -> Vec<StoredEntry> {
        let arrived = self.loki.wait_for(|store| store.entries.len() >= count, PATIENCE).await;
        arrived
            .unwrap_or_else(|_| panic!("{:?}\n{}", self.loki.store().lines(), self.agent.get("/metrics").1));
        self.loki.entries()
    }

    fn logger(&self, arguments: &[&str]) {
        let server = [format!("--server={}", self.address.ip()), format!("--port={}", self.address.port())];
        let status = Command::new("logger").args(server).args(arguments).status().unwrap();
        assert!(status.success(), "logger {arguments:?}");
    }

    fn end(self) {
        self.agent.assert_nothing_is_missing();
        assert_eq!(self.agent.metric_sum("tailwater_messages_dropped_total"), 0.0);
        self.agent.terminate();
    }
}

/// Its time zone is this machine's, as the agent's.
fn is_now(entry: &StoredEntry) -> bool {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64;
    (now - entry.timestamp_ns).abs() < 300 * 1_000_000_000
}

#[tokio::test(flavor = "multi_thread")]
async fn what_logger_sends_arrives_in_every_format_and_over_every_transport() {
    if !is_there(&["logger"]) {
        return;
    }
    let (new, old) = ("--rfc5424", "--rfc3164");
    for (protocol, format, how) in [
        ("tcp", "rfc5424", &["--tcp", new][..]),
        ("tcp", "rfc5424", &["--tcp", new, "--octet-count"]),
        ("udp", "rfc5424", &["--udp", new]),
        ("tcp", "rfc3164", &["--tcp", old]),
        ("tcp", "rfc3164", &["--tcp", old, "--octet-count"]),
        ("udp", "rfc3164", &["--udp", old]),
        ("udp", "rfc3164", &["--udp", new]),
    ] {
        let scene = Scene::new(protocol, format);
        let what = ["--priority=local4.notice", "--tag=app", "--id=42"];
        scene.logger(&[how, &what, &["hello wörld", "<of> [logger]: x"]].concat());
        let entry = &scene.entries(1).await[0];
        assert_eq!(entry.text(), "hello wörld <of> [logger]: x", "{how:?}");
        let known = ["facility", "severity", "app_name", "proc_id"].map(|name| entry.label(name));
        assert_eq!(known, ["local4", "notice", "app", "42"], "{how:?}");
        assert!(!entry.label("hostname").is_empty() && is_now(entry), "{how:?}: {entry:?}");
        scene.end();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn structured_data_of_logger_becomes_labels() {
    if !is_there(&["logger"]) {
        return;
    }
    let scene = Scene::new("tcp", "rfc5424");
    let data = ["--msgid=ID7", "--sd-id=zoo@123", "--sd-param=tiger=\"hungry\"", "--sd-param=zebra=\"1\""];
    scene.logger(&[&["--tcp", "--rfc5424"], &data[..], &["x"]].concat());
    let entry = &scene.entries(1).await[0];
    assert_eq!(
        ["msg_id", "sd_zoo_123_tiger", "sd_zoo_123_zebra"].map(|name| entry.label(name)),
        ["ID7", "hungry", "1"]
    );
    scene.end();
}

/// An rsyslog that forwards what is written to its socket.
struct Rsyslog {
    child: Child,
    socket: PathBuf,
    log: PathBuf,
}

impl Rsyslog {
    /// `action` says how it forwards, `global` what it needs to.
    fn start(directory: &Path, address: SocketAddr, global: &str, action: &str) -> Rsyslog {
        let (socket, log) = (directory.join("log"), directory.join("rsyslog.log"));
        let text = format!(
            "global(workDirectory=\"{}\" {global})\nmodule(load=\"imuxsock\" SysSock.Use=\"off\")\n\
             input(type=\"imuxsock\" Socket=\"{}\" CreatePath=\"on\" RateLimit.Interval=\"0\")\n\
             action(type=\"omfwd\" target=\"{}\" port=\"{}\" {action})\n",
            directory.display(),
            socket.display(),
            address.ip(),
            address.port()
        );
        let file = directory.join("rsyslog.conf");
        fs::write(&file, text).unwrap();
        let said = fs::File::create(&log).unwrap();
        let child = Command::new("rsyslogd")
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .args([
                "-n",
                "-f",
                &file.display().to_string(),
                "-i",
                &directory.join("pid").display().to_string(),
            ])
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .unwrap();
        let rsyslog = Rsyslog { child, socket, log };
        let started = Instant::now();
        while !rsyslog.socket.exists() {
            assert!(started.elapsed() < PATIENCE, "{}", fs::read_to_string(&rsyslog.log).unwrap());
            thread::sleep(Duration::from_millis(10));
        }
        rsyslog
    }

    /// Writes lines to its socket, as `app[42]`.
    fn log(&self, lines: &str) {
        let socket = format!("--socket={}", self.socket.display());
        let mut logger = Command::new("logger")
            .args([socket.as_str(), "--socket-errors=on", "--priority=local4.notice", "--tag=app", "--id=42"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        logger.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        assert!(logger.wait().unwrap().success());
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            eprintln!("--- rsyslog ---\n{}", fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

const COUNT: usize = 200;

/// `before` is what rsyslog's template leaves before the text.
async fn assert_forwarded(scene: Scene, rsyslog: Rsyslog, before: &str, how: &str) {
    let lines: Vec<String> = (0..COUNT).map(|number| format!("line {number} of <rsyslog>")).collect();
    rsyslog.log(&(lines.join("\n") + "\n"));
    // It speaks for itself too, at its start.
    let is_ours = |entry: &StoredEntry| entry.label("app_name") == "app";
    let arrived = scene
        .loki
        .wait_for(|store| store.entries.iter().filter(|entry| is_ours(entry)).count() >= COUNT, PATIENCE);
    arrived.await.unwrap_or_else(|_| panic!("{how}: {:?}", scene.loki.store().lines()));
    let entries: Vec<StoredEntry> = scene.loki.entries().into_iter().filter(is_ours).collect();
    for (entry, line) in entries.iter().zip(&lines) {
        assert_eq!(entry.text(), format!("{before}{line}"), "{how}");
        let known = ["facility", "severity", "app_name", "proc_id"].map(|name| entry.label(name));
        assert_eq!(known, ["local4", "notice", "app", "42"], "{how}");
        assert!(!entry.label("hostname").is_empty() && is_now(entry), "{how}: {entry:?}");
    }
    drop(rsyslog);
    scene.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rsyslog_forwards_arrives_in_order_in_every_format() {
    if !is_there(&["rsyslogd", "logger"]) {
        return;
    }
    // The space that this template puts before the text is part of it by RFC 5424.
    for (protocol, format, template, before) in [
        ("tcp", "rfc5424", "RSYSLOG_SyslogProtocol23Format", " "),
        ("tcp", "rfc3164", "RSYSLOG_TraditionalForwardFormat", ""),
        ("tcp", "rfc3164", "RSYSLOG_ForwardFormat", ""),
        ("udp", "rfc5424", "RSYSLOG_SyslogProtocol23Format", " "),
        ("udp", "rfc3164", "RSYSLOG_TraditionalForwardFormat", ""),
    ] {
        for framing in
            if protocol == "tcp" { &["traditional", "octet-counted"][..] } else { &["traditional"] }
        {
            let scene = Scene::new(protocol, format);
            let action = format!("protocol=\"{protocol}\" TCP_Framing=\"{framing}\" template=\"{template}\"");
            let rsyslog = Rsyslog::start(scene.directory.path(), scene.address, "", &action);
            assert_forwarded(scene, rsyslog, before, &action).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rsyslog_forwards_over_tls_with_a_certificate_of_its_own() {
    if !is_there(&["rsyslogd", "logger", "lmnsd_gtls.so"]) {
        return;
    }
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    let (home, clients) = (Authority::new("home"), Authority::new("clients"));
    let (agent, address) = syslog_tls::start(directory.path(), &loki, &home, Some(&clients));
    let sender = clients.issue("sender");
    let path = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let global = format!(
        "DefaultNetstreamDriver=\"gtls\" DefaultNetstreamDriverCAFile=\"{}\" DefaultNetstreamDriverCertFile=\"{}\" DefaultNetstreamDriverKeyFile=\"{}\"",
        path("home.pem", &home.pem()),
        path("sender.pem", &sender.cert),
        path("sender.key", &sender.key)
    );
    let action = "protocol=\"tcp\" StreamDriver=\"gtls\" StreamDriverMode=\"1\" StreamDriverAuthMode=\"x509/certvalid\" \
        TCP_Framing=\"octet-counted\" template=\"RSYSLOG_SyslogProtocol23Format\"";
    let rsyslog = Rsyslog::start(directory.path(), address, &global, action);
    rsyslog.log("over TLS\n");
    let arrived = loki.wait_for(|store| store.lines().iter().any(|line| line == " over TLS"), PATIENCE).await;
    arrived.unwrap_or_else(|_| panic!("{:?}\n{}", loki.store().lines(), agent.log()));
    drop(rsyslog);
    agent.terminate();
}

/// Docker's log drivers as senders: each with the block that takes what it sends.
const DRIVERS: [(&str, &[&str], &str); 6] = [
    (
        "gelf",
        &["gelf-address=udp://ADDRESS"],
        "gelf: {listen_address: '127.0.0.1:0', use_incoming_timestamp: true}",
    ),
    (
        "gelf",
        &["gelf-address=udp://ADDRESS", "gelf-compression-type=zlib"],
        "gelf: {listen_address: '127.0.0.1:0', use_incoming_timestamp: true}",
    ),
    (
        "syslog",
        &["syslog-address=tcp://ADDRESS", "syslog-format=rfc5424micro"],
        "syslog: {listen_address: '127.0.0.1:0', use_incoming_timestamp: true}",
    ),
    (
        "syslog",
        &["syslog-address=udp://ADDRESS", "syslog-format=rfc5424"],
        "syslog: {listen_address: '127.0.0.1:0', listen_protocol: udp}",
    ),
    (
        "syslog",
        &["syslog-address=tcp://ADDRESS", "syslog-format=rfc3164"],
        "syslog: {listen_address: '127.0.0.1:0', syslog_format: rfc3164}",
    ),
    (
        "syslog",
        &["syslog-address=udp://ADDRESS"],
        "syslog: {listen_address: '127.0.0.1:0', listen_protocol: udp, syslog_format: rfc3164}",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_log_drivers_of_docker_send_arrives() {
    let Some(engine) = engine_or_skip() else { return };
    for (driver, options, block) in DRIVERS {
        let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
        let rules = "  relabel_configs: [{action: labelmap, regex: '__(?:gelf|syslog)_message_(level|severity|app_name|proc_id)'}]";
        let job = format!("- job_name: net\n  {block}\n{rules}\n");
        let agent =
            Agent::start(directory.path(), &configuration(directory.path(), &client(&loki.url()), &job));
        let address = agent.listening("net").to_string();
        let options: Vec<String> = options.iter().map(|option| option.replace("ADDRESS", &address)).collect();
        let mut arguments = vec!["--log-driver", driver, "--log-opt", "tag=app"];
        arguments.extend(options.iter().flat_map(|option| ["--log-opt", option.as_str()]));
        engine.run(&arguments, engine.loggen_image(), &["--lines", "100", "--plain", "--rate", "500"]);
        let arrived = loki.wait_for(|store| store.entries.len() >= 100, PATIENCE).await;
        arrived.unwrap_or_else(|_| {
            panic!("{options:?}: {:?}\n{}", loki.store().lines(), agent.get("/metrics").1)
        });
        let entries = loki.entries();
        for (number, entry) in entries.iter().enumerate() {
            let text = if driver == "gelf" {
                let message: serde_json::Value = serde_json::from_slice(&entry.line).unwrap();
                assert!(message["_container_id"].is_string() && message["_tag"] == "app", "{message}");
                assert_eq!(entry.label("level"), "informational");
                message["short_message"].as_str().unwrap().to_owned()
            } else {
                assert_eq!(
                    (entry.label("severity"), entry.label("app_name")),
                    ("informational", "app"),
                    "{options:?}"
                );
                entry.text()
            };
            assert!(text.contains(&format!("seq={number} ")), "{options:?}, line {number}: {text}");
        }
        agent.assert_nothing_is_missing();
        assert_eq!(agent.metric_sum("tailwater_messages_dropped_total"), 0.0, "{options:?}");
        agent.terminate();
    }
}
