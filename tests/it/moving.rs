//! Moving over from Promtail or Alloy, and going back.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::agent::{Agent, PATIENCE, client, configuration, file_job};
use crate::support::fake_docker::{FakeDocker, ID, Script, frame};
use crate::support::fake_loki::{FakeLoki, Limits};

struct Host {
    directory: tempfile::TempDir,
    loki: FakeLoki,
}

impl Host {
    fn new() -> Host {
        Host { directory: tempfile::tempdir().unwrap(), loki: FakeLoki::start(Limits::any_time()) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The log's path, as it stands in a positions file.
    fn log(&self) -> String {
        self.path("app.log").display().to_string()
    }

    fn append(&self, text: &str) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path("app.log")).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn start(&self) -> Agent {
        let text = configuration(self.directory.path(), &client(&self.loki.url()), &file_job(&self.log()));
        Agent::start(self.directory.path(), &text)
    }

    fn positions(&self) -> String {
        fs::read_to_string(self.path("positions.yaml")).unwrap()
    }

    /// A positions file that somebody else has written a while ago.
    fn others_positions(&self, text: &str) {
        fs::write(self.path("positions.yaml"), text).unwrap();
        let file = File::options().append(true).open(self.path("positions.yaml")).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(5)).unwrap();
    }

    /// Waits for so many lines; all that have arrived.
    async fn arrived(&self, count: usize) -> Vec<String> {
        self.loki.wait_for(|store| store.entries.len() >= count, PATIENCE).await.unwrap();
        self.loki.entries().iter().map(|entry| entry.text()).collect()
    }

    /// Waits until what has arrived is also recorded.
    fn recorded(&self, text: &str) {
        let deadline = std::time::Instant::now() + PATIENCE;
        while !self.positions().contains(text) {
            assert!(std::time::Instant::now() < deadline, "{text} is not in\n{}", self.positions());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_read_on_where_promtail_stopped() {
    let host = Host::new();
    host.append("one\ntwo\nthree\n");
    host.others_positions(&format!("positions:\n  {}: \"8\"\n  cursor-journal: s=ab;i=5\n", host.log()));
    let agent = host.start();
    assert_eq!(host.arrived(1).await, ["three"]);
    host.append("four\n");
    assert_eq!(host.arrived(2).await, ["three", "four"]);
    assert!(agent.terminate().0.success());
    let positions = host.positions();
    assert!(positions.contains(&format!("\n  {}: \"19\"\n", host.log())), "{positions}");
    assert!(positions.contains("  cursor-journal: \"s=ab;i=5\"\n"), "kept for Promtail:\n{positions}");
    host.append("five\n");
    let agent = host.start();
    assert_eq!(host.arrived(3).await, ["three", "four", "five"]);
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_jobs_that_read_one_file_both_go_on_where_promtail_stopped() {
    let host = Host::new();
    host.append("one\ntwo\n");
    host.others_positions(&format!("positions:\n  {}: \"4\"\n", host.log()));
    let second = file_job(&host.log()).replace("files", "again");
    let jobs = format!("{}\n{second}", file_job(&host.log()));
    let text = configuration(host.directory.path(), &client(&host.loki.url()), &jobs);
    let agent = Agent::start(host.directory.path(), &text);
    host.arrived(2).await;
    host.append("three\n");
    let mut lines = host.arrived(4).await;
    lines.sort();
    assert_eq!(lines, ["three", "three", "two", "two"]);
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rest_of_a_file_that_was_rotated_after_promtail_stopped_is_read_first() {
    let host = Host::new();
    host.append("one\ntwo\n");
    host.others_positions(&format!("positions:\n  {}: \"8\"\n", host.log()));
    host.append("three\n");
    fs::rename(host.path("app.log"), host.path("app.log.1")).unwrap();
    host.append("four is longer than what was read before\n");
    let agent = host.start();
    assert_eq!(host.arrived(2).await, ["three", "four is longer than what was read before"]);
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn promtails_file_alone_is_enough_to_go_on() {
    let host = Host::new();
    host.append("one\ntwo\n");
    let agent = host.start();
    host.arrived(2).await;
    // Also without a stop in order.
    host.recorded(&format!("\n  {}: \"8\"\n", host.log()));
    agent.kill();
    fs::remove_file(host.path("positions.state")).unwrap();
    fs::remove_file(host.path("positions.state.previous")).unwrap();
    host.append("three\n");
    let agent = host.start();
    assert_eq!(host.arrived(3).await, ["one", "two", "three"]);
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_promtail_sent_between_two_runs_is_not_sent_again() {
    let host = Host::new();
    host.append("one\ntwo\n");
    let agent = host.start();
    host.arrived(2).await;
    agent.terminate();
    host.append("sent by Promtail\nthree\n");
    host.others_positions(&format!("positions:\n  {}: \"25\"\n", host.log()));
    let agent = host.start();
    assert_eq!(host.arrived(3).await, ["one", "two", "three"]);
    agent.terminate();
    assert!(host.positions().contains("\"31\""), "{}", host.positions());
    // And back to an earlier place, which is how people have lines sent again.
    host.others_positions(&format!("positions:\n  {}: \"25\"\n", host.log()));
    let agent = host.start();
    assert_eq!(host.arrived(4).await, ["one", "two", "three", "three"]);
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_read_on_where_alloy_stopped() {
    let host = Host::new();
    host.append("one\ntwo\nthree\n");
    let entry = |labels, offset| {
        format!("    ? path: {}\n      labels: '{{job=\"{labels}\"}}'\n    : \"{offset}\"\n", host.log())
    };
    let text = format!("positions:\n{}{}", entry("a", 14), entry("b", 8));
    host.others_positions(&text);
    let agent = host.start();
    assert_eq!(host.arrived(1).await, ["three"]);
    let (_, log) = agent.terminate();
    assert!(log.contains("positions of Alloy"), "{log}");
    assert_eq!(host.positions(), text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_of_promtail_is_set_aside() {
    let host = Host::new();
    host.append("one\n");
    host.others_positions(&format!("positions:\n  {}: \"4", host.log()));
    let agent = host.start();
    assert_eq!(host.arrived(1).await, ["one"]);
    assert_eq!(agent.metric("tailwater_state_damaged_total"), 1.0);
    agent.terminate();
    let names = fs::read_dir(host.directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let aside = names.filter(|name| name.to_string_lossy().starts_with("positions.yaml.damaged-"));
    assert_eq!(aside.count(), 1);
    assert!(host.positions().contains("\"4\""), "{}", host.positions());
}

#[test]
fn a_directory_in_place_of_the_file_is_said_at_start() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("positions.yaml")).unwrap();
    let file = directory.path().join("c.yaml");
    let job = file_job(&format!("{}/app.log", directory.path().display()));
    let text = configuration(directory.path(), &client("http://127.0.0.1:9/push"), &job);
    fs::write(&file, text).unwrap();
    let (status, log) = Agent::spawn(&[&format!("-config.file={}", file.display())]).wait();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("positions.yaml") && log.contains("directory"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_read_on_from_the_second_where_promtail_stopped() {
    let host = Host::new();
    let log = [
        frame(1, "2026-11-18T10:29:59.900000000Z sent long ago\n"),
        frame(1, "2026-11-18T10:30:00.100000000Z in the last second\n"),
        frame(1, "2026-11-18T10:30:01.000000000Z new\n"),
    ];
    let script = Script { log: log.concat(), removed: false, without_events: false };
    let docker = FakeDocker::start(host.directory.path(), script);
    host.others_positions(&format!("positions:\n  cursor-{ID}: \"1794997800\"\n"));
    let job = format!(
        "- {{job_name: d, docker_sd_configs: [{{host: '{}', refresh_interval: 50ms}}]}}",
        docker.host()
    );
    let text = configuration(host.directory.path(), &client(&host.loki.url()), &job);
    let agent = Agent::start(host.directory.path(), &text);
    assert_eq!(host.arrived(2).await, ["in the last second", "new"]);
    agent.terminate();
    let first = &docker.log_queries()[0];
    // Ten seconds earlier, for daemons that leave out what comes late; what was sent is left out here.
    assert!(first.contains("since=1794997790.000000000"), "{first}");
    assert!(host.positions().contains(&format!("  cursor-{ID}: \"1794997801\"\n")), "{}", host.positions());
}
