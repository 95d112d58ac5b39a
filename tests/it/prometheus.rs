//! What a real Prometheus makes of the agent's pages, and of the alerts in `config/prometheus`.
//!
//! Skipped, loudly, where there is no Prometheus; `TAILWATER_REQUIRE_PROMETHEUS=1` makes that a failure.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::agent::{Agent, PATIENCE, send};
use crate::support::fake_loki::{FakeLoki, Limits};

const REQUIRED: &str = "TAILWATER_REQUIRE_PROMETHEUS";

/// Where a program is; `None` where it is not installed, which is said.
fn find(program: &str) -> Option<PathBuf> {
    let found = ["/usr/bin", "/usr/local/bin"].map(|directory| Path::new(directory).join(program));
    let found = found.into_iter().find(|path| path.exists());
    if found.is_none() {
        assert!(std::env::var(REQUIRED).is_err(), "{REQUIRED} is set, but there is no {program}");
        // Not eprintln!, which the test harness swallows when a test passes.
        std::io::stderr().write_all(format!("\nSKIPPED: needs {program}\n").as_bytes()).unwrap();
    }
    found
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

/// The shipped configuration on a directory of log files, and on no Docker.
fn start(directory: &Path, loki: &FakeLoki) -> Agent {
    start_as(directory, loki, "tailwater")
}

/// The same, with metrics in this namespace.
fn start_as(directory: &Path, loki: &FakeLoki, namespace: &str) -> Agent {
    let text = fs::read_to_string(shipped("tailwater.yaml")).unwrap();
    let directory_text = directory.display().to_string();
    let client = format!("clients: [{{url: '{}', batchwait: 50ms}}]\n", loki.url());
    let mut text = client + &text;
    let port =
        format!("http_listen_address: 127.0.0.1\n  metrics_namespace: {namespace}\n  http_listen_port: 0 ");
    for (shipped, here) in [
        ("http_listen_port: 9080 ", port.as_str()),
        ("/var/lib/tailwater/", &format!("{directory_text}/")),
        ("unix:///var/run/docker.sock", &format!("unix://{directory_text}/none.sock")),
        ("/var/log/*.log", &format!("{directory_text}/*.log")),
    ] {
        assert!(text.contains(shipped), "{shipped}");
        text = text.replace(shipped, here);
    }
    Agent::start(directory, &text)
}

/// Appends a line of bot-core.
fn log(directory: &Path, level: &str, service: &str, message: &str, rest: Value) {
    let mut line = json!({"timestamp": "2026-11-18T10:30:00.123Z", "level": level, "service": service, "message": message});
    line.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    let mut file = fs::OpenOptions::new().create(true).append(true).open(directory.join("app.log")).unwrap();
    writeln!(file, "{line}").unwrap();
}

fn log_a_day_of_bot_core(directory: &Path) {
    let engine = "rust-core-engine";
    let btc = json!({"context": {"symbol": "BTCUSDT"}, "duration_ms": 125});
    log(directory, "INFO", engine, "Trade executed successfully", btc.clone());
    log(directory, "INFO", engine, "Trade executed successfully, too", btc);
    log(directory, "ERROR", engine, "Order rejected", json!({"context": {"symbol": "ETHUSDT"}}));
    log(
        directory,
        "INFO",
        engine,
        "GET /positions",
        json!({"duration_ms": 1500, "context": {"status": 200}}),
    );
    log(directory, "ERROR", engine, "GET /balance", json!({"context": {"status": 503}}));
    log(directory, "ERROR", engine, "WebSocket connection reset by peer", json!({}));
    log(directory, "INFO", "mongodb", "Slow query", json!({"duration_ms": 150}));
    log(directory, "INFO", "mongodb", "Query", json!({"duration_ms": 50}));
    log(directory, "INFO", "python-ai-service", "Analysis finished", json!({"duration_ms": 4200}));
    log(directory, "ERROR", "python-ai-service", "OpenAI: 429 Too Many Requests", json!({}));
    log(directory, "ERROR", "python-ai-service", "OpenAI: bad gateway", json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_configuration_counts_what_bot_core_logs() {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    let agent = start(directory.path(), &loki);
    for declared in [
        "log_openai_errors_total{kind=\"rate_limited\"}",
        "log_trade_errors_total{service=\"rust-core-engine\"}",
    ] {
        assert!(
            agent.get("/metrics").1.contains(&format!("{declared} 0\n")),
            "{declared} is there before the first line"
        );
    }
    log_a_day_of_bot_core(directory.path());
    agent.wait_for_metric("log_lines_total", |lines| lines == 11.0);
    for (sample, value) in [
        ("log_lines_total{level=\"ERROR\",service=\"rust-core-engine\"}", 3.0),
        ("log_trades_total{outcome=\"success\",symbol=\"BTCUSDT\"}", 2.0),
        ("log_trades_total{outcome=\"failure\",symbol=\"ETHUSDT\"}", 1.0),
        ("log_trade_errors_total{service=\"rust-core-engine\"}", 1.0),
        ("log_slow_queries_total{service=\"rust-core-engine\"}", 1.0),
        ("log_slow_queries_total{service=\"mongodb\"}", 1.0),
        ("log_http_server_errors_total{service=\"rust-core-engine\"}", 1.0),
        ("log_websocket_errors_total{service=\"rust-core-engine\"}", 1.0),
        ("log_openai_errors_total{kind=\"rate_limited\"}", 1.0),
        ("log_openai_errors_total{kind=\"other\"}", 1.0),
        ("log_ai_analysis_seconds_sum{service=\"python-ai-service\"}", 4.2),
        ("log_duration_seconds_bucket{service=\"mongodb\",le=\"0.1\"}", 1.0),
    ] {
        assert_eq!(agent.metric(sample), value, "{sample}\n{}", agent.get("/metrics").1);
    }
    loki.wait_for(|store| store.entries.len() == 11, PATIENCE).await.unwrap();
    let names =
        |entry: &crate::support::fake_loki::StoredEntry| entry.labels.keys().cloned().collect::<Vec<_>>();
    assert!(loki.entries().iter().all(|entry| names(entry) == ["filename", "job", "level", "service"]));
    agent.terminate();
}

#[test]
fn the_shipped_alerts_are_valid_and_do_what_they_say() {
    let Some(promtool) = find("promtool") else { return };
    for arguments in [["check", "rules", "bot-core.rules.yml"], ["test", "rules", "bot-core.test.yml"]] {
        let output =
            Command::new(&promtool).args(arguments).current_dir(shipped("prometheus")).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_metrics_is_as_prometheus_wants_it() {
    let Some(promtool) = find("promtool") else { return };
    for namespace in ["tailwater", "promtail"] {
        check_page(&promtool, namespace);
    }
}

fn check_page(promtool: &Path, namespace: &str) {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    let agent = start_as(directory.path(), &loki, namespace);
    log_a_day_of_bot_core(directory.path());
    agent.wait_for_metric("log_lines_total", |lines| lines == 11.0);
    let (_, page) = agent.get("/metrics");
    let mut check = Command::new(promtool);
    let check =
        check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = check.spawn().unwrap();
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    // It also has opinions on names, which are told apart by its exit code.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}", String::from_utf8_lossy(&output.stderr));
    agent.terminate();
}

/// A running Prometheus. Dropping it kills it.
struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Prometheus {
    fn start(program: &Path, directory: &Path, agent: &Agent) -> Prometheus {
        // Free a moment ago; Prometheus does not say which port it got when it is given 0.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let rules = shipped("prometheus/bot-core.rules.yml");
        let text = format!(
            "global: {{scrape_interval: 250ms, evaluation_interval: 250ms}}\nrule_files: ['{}']\n\
             scrape_configs: [{{job_name: tailwater, static_configs: [{{targets: ['{}']}}]}}]\n",
            rules.display(),
            agent.address()
        );
        let file = directory.join("prometheus.yml");
        fs::write(&file, text).unwrap();
        let child = Command::new(program)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("tsdb").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.join("prometheus.log")).unwrap())
            .spawn()
            .unwrap();
        Prometheus { child, address }
    }

    /// Asks its API until the answer is as wanted.
    fn wait_for(&self, path: &str, wanted: impl Fn(&Value) -> bool) {
        let started = Instant::now();
        loop {
            let answer = send(self.address, "GET", path, "Accept-Encoding: identity\r\n", b"");
            // Long answers come in chunks, with their lengths between.
            let body = answer.map(|(_, body)| body).unwrap_or_default();
            let json = body
                .split("\r\n")
                .find_map(|part| serde_json::from_str::<Value>(part).ok().filter(Value::is_object));
            if json.as_ref().is_some_and(&wanted) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{path} is {body}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trade_error_in_a_log_fires_the_alert_in_a_real_prometheus() {
    let Some(program) = find("prometheus") else { return };
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    let agent = start(directory.path(), &loki);
    let prometheus = Prometheus::start(&program, directory.path(), &agent);
    let firing = |name: &'static str| {
        move |answer: &Value| {
            let alerts = answer["data"]["alerts"].as_array().cloned().unwrap_or_default();
            alerts.iter().any(|alert| alert["labels"]["alertname"] == name && alert["state"] == "firing")
        }
    };
    // It has seen the declared series at 0.
    prometheus.wait_for("/api/v1/query?query=log_trade_errors_total", |answer| {
        answer["data"]["result"][0]["value"][1] == "0"
    });
    prometheus
        .wait_for("/api/v1/alerts", |answer| answer["status"] == "success" && !firing("TradeErrors")(answer));
    log_a_day_of_bot_core(directory.path());
    prometheus.wait_for("/api/v1/alerts", firing("TradeErrors"));
    prometheus.wait_for("/api/v1/alerts", firing("OpenAIRateLimited"));
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_asks_for_open_metrics_and_can_read_it() {
    let Some(program) = find("prometheus") else { return };
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    let agent = start(directory.path(), &loki);
    let prometheus = Prometheus::start(&program, directory.path(), &agent);
    let is_up = |answer: &Value| {
        let target = &answer["data"]["activeTargets"][0];
        target["health"] == "up" && target["lastError"] == ""
    };
    prometheus.wait_for("/api/v1/targets", is_up);
    prometheus.wait_for("/api/v1/query?query=up", |answer| answer["data"]["result"][0]["value"][1] == "1");
    log_a_day_of_bot_core(directory.path());
    prometheus.wait_for("/api/v1/query?query=sum(log_trades_total)", |answer| {
        answer["data"]["result"][0]["value"][1] == "3"
    });
    // Only OpenMetrics calls a counter so, without its samples' ending.
    prometheus.wait_for("/api/v1/metadata?metric=tailwater_lines_read", |answer| {
        answer["data"]["tailwater_lines_read"][0]["type"] == "counter"
    });
    prometheus.wait_for("/api/v1/targets", is_up);
    agent.terminate();
}
