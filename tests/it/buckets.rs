//! An archive in buckets of an S3-compatible storage, as its users see it.
#![cfg(feature = "s3")]

use std::path::PathBuf;
use std::process::Output;

use crate::agent::{Agent, PATIENCE, configuration, program};
use crate::support::moto::Moto;
use crate::writer::append;

const STAGES: &str = "  pipeline_stages: [{json: {expressions: {service: , time: }}}, {labels: {service: }}, \
                      {timestamp: {source: time, format: RFC3339Nano}}]";

/// A host with an agent.
struct Host {
    name: &'static str,
    directory: tempfile::TempDir,
}

impl Host {
    fn new(name: &'static str) -> Host {
        Host { name, directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// An agent that archives to these stores, the second a day later.
    fn start(&self, moto: &Moto, stores: [&str; 2], more: &str) -> Agent {
        let retention = format!(
            "retention:\n  tiers: [{{name: warm, until: 1d, store: '{}'}}, {{name: cold, until: 90d, store: '{}'}}]\n  \
             s3: {{endpoint: '{}', access_key_id: me, secret_access_key: hunter2}}\n  host: {}\n  {more}\n",
            stores[0],
            stores[1],
            moto.endpoint(),
            self.name
        );
        let job = format!(
            "- job_name: files\n  static_configs: [{{labels: {{__path__: '{}'}}}}]\n{STAGES}\n",
            self.path("app.log").display()
        );
        Agent::start(self.directory.path(), &(configuration(self.directory.path(), "", &job) + &retention))
    }

    /// Writes a line of so many days ago.
    fn line(&self, days: i64, service: &str) {
        let time = jiff::Timestamp::now() - jiff::Span::new().hours(24 * days);
        append(
            &self.path("app.log"),
            &format!("{{\"time\":\"{time}\",\"service\":\"{service}\",\"host\":\"{}\"}}\n", self.name),
        );
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let file = format!("-config.file={}", self.path("tailwater.yaml").display());
        program().arg("archive").args(arguments).arg(file).output().unwrap()
    }

    #[track_caller]
    fn ask(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_several_hosts_are_archived_in_a_bucket_and_found_there() {
    let Some(moto) = Moto::start() else { return };
    moto.make_bucket("logs");
    let (first, second) = (Host::new("web-1"), Host::new("web-2"));
    let stores = ["s3://logs/warm", "s3://logs/cold"];
    let agent = first.start(&moto, stores, "seal_age: 1h");
    for service in ["api", "a/b", "größe", "api"] {
        first.line(0, service);
    }
    agent.wait_for_metric("tailwater_archive_log_entries", |entries| entries == 4.0);
    assert!(first.path("archive.wal").is_dir(), "the log is beside the positions");
    assert_eq!(first.ask(&["query", "-count"]), "4", "also of what is not sealed");
    assert!(agent.terminate().0.success());
    assert_eq!(first.ask(&["query", r#"{service="a/b"}"#, "-count"]), "1");

    let agent = second.start(&moto, stores, "seal_age: 20ms");
    second.line(0, "api");
    agent.wait_for_metric("tailwater_archive_entries_total", |entries| entries == 1.0);
    let puts = agent.metric_sum("tailwater_archive_store_requests_total");
    assert!(puts >= 3.0, "an object, its manifest, and a look for an old one: {puts}");
    agent.assert_nothing_is_missing();
    for host in [&first, &second] {
        assert_eq!(host.ask(&["query", "-count"]), "5", "both, from {}", host.name);
        assert_eq!(host.ask(&["query", r#"{service="api"}"#, "-count"]), "3");
        assert!(host.ask(&["ls"]).starts_with("TIER"), "{}", host.ask(&["ls"]));
        assert_eq!(host.ask(&["verify"]), "4 objects with 5 lines are whole, 0 are not");
    }
    let keys = moto.keys("logs");
    assert_eq!(keys.len(), 8);
    assert!(keys.iter().any(|key| key.contains("/host=web-1/service=a%2Fb/")), "{keys:?}");
    assert!(agent.terminate().0.success());
    // What one of them has written is none of the other's business.
    assert!(second.ask(&["lifecycle", "-dry-run"]).contains("0 steps due, 0 failed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn old_lines_move_from_a_directory_to_a_bucket() {
    let Some(moto) = Moto::start() else { return };
    moto.make_bucket("logs");
    let host = Host::new("web-1");
    let warm = host.path("warm").display().to_string();
    let agent = host.start(&moto, [&warm, "s3://logs"], "seal_age: 20ms");
    host.line(0, "new");
    host.line(5, "old");
    agent.wait_for_metric("tailwater_archive_entries_total", |entries| entries == 2.0);
    assert!(agent.terminate().0.success());
    let moved = host.ask(&["lifecycle"]);
    assert!(moved.contains("move ") && moved.contains(" in tier cold"), "{moved}");
    let keys = moto.keys("logs");
    assert_eq!(keys.len(), 2, "{keys:?}");
    assert!(keys.iter().all(|key| key.contains("/service=old/")), "{keys:?}");
    assert_eq!(host.ask(&["query", "-count"]), "2");
    assert_eq!(host.ask(&["verify"]), "2 objects with 2 lines are whole, 0 are not");
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_wait_in_the_log_while_there_is_no_bucket_or_no_server() {
    let Some(moto) = Moto::start() else { return };
    let host = Host::new("web-1");
    let agent = host.start(&moto, ["s3://late/a", "s3://late/b"], "seal_age: 20ms");
    host.line(0, "api");
    agent.wait_for_page_within(PATIENCE, "/ready", |(status, body)| {
        *status == 503 && body.contains("there is no such bucket")
    });
    let asked = host.run(&["query"]);
    assert!(!asked.status.success());
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(said.contains("s3://late/a cannot be read: there is no such bucket"), "{said}");
    moto.make_bucket("late");
    agent.wait_for_metric("tailwater_archive_entries_total", |entries| entries == 1.0);
    assert_eq!(host.ask(&["query", "-count"]), "1");
    assert!(!agent.get("/config").1.contains("hunter2"));

    drop(moto);
    host.line(0, "api");
    agent.wait_for_page_within(PATIENCE, "/ready", |(status, body)| {
        *status == 503
            && body.contains("lines wait in its log")
            && body.contains("the server cannot be reached")
    });
    assert_eq!(agent.metric("tailwater_archive_log_entries"), 1.0);
    for action in ["query", "ls", "verify"] {
        let asked = host.run(&[action]);
        assert!(!asked.status.success());
        let said = String::from_utf8_lossy(&asked.stderr).into_owned();
        assert!(said.starts_with("s3://late/a cannot be read: the server cannot be reached: "), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let (status, log) = agent.terminate();
    assert!(status.success(), "{log}");
    assert!(!log.contains("hunter2") && !log.contains("backing off"), "{log}");
}
