//! Docker on hosts of all sorts, through a scripted daemon: labels, proxies, certificates, silence.

use std::path::Path;

use serde_json::json;

use crate::agent::{Agent, PATIENCE, client};
use crate::doubles::{Authority, Proxy, TlsFront, TokenEndpoint};
use crate::support::docker;
use crate::support::docker_host::{Container, DockerHost, Manners, id};
use crate::support::fake_loki::{FakeLoki, Limits, Store};
use crate::support::ledger::{Expected, entry_key, verify};

/// Relabelling as most have it.
const RULES: &str = "[{source_labels: [__meta_docker_container_name], regex: '/(.*)', target_label: container}, \
                     {source_labels: [__meta_docker_container_log_stream], target_label: stream}]";

/// A directory, a Loki, and the agent between it and a daemon.
struct Scene {
    directory: tempfile::TempDir,
    loki: FakeLoki,
}

impl Scene {
    fn new() -> Scene {
        Scene { directory: tempfile::tempdir().unwrap(), loki: FakeLoki::start(Limits::any_time()) }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A configuration of one job with this `docker_sd_configs` item and more keys, in flow style.
    fn text(&self, item: &str, rest: &str) -> String {
        format!(
            "server: {{http_listen_address: 127.0.0.1, http_listen_port: 0}}\n\
             positions: {{filename: '{0}/positions.yaml', sync_period: 100ms}}\n\
             clients:\n{1}\n\
             scrape_configs:\n- {{job_name: d, docker_sd_configs: [{{refresh_interval: 200ms, {item}}}]{rest}}}\n",
            self.path().display(),
            client(&self.loki.url()),
        )
    }

    fn start(&self, docker: &DockerHost, rules: &str) -> Agent {
        self.start_with(&format!("host: '{}'", docker.host()), rules)
    }

    fn start_with(&self, item: &str, rules: &str) -> Agent {
        let rest = if rules.is_empty() { String::new() } else { format!(", relabel_configs: {rules}") };
        Agent::start(self.path(), &self.text(item, &rest))
    }

    /// Waits for so many lines in all.
    async fn arrived(&self, lines: usize) -> Vec<String> {
        self.loki.wait_for(|store| store.entries.len() >= lines, PATIENCE).await.unwrap();
        let entries = self.loki.entries();
        entries.iter().map(|entry| format!("{} {}", labels(entry), entry.text())).collect()
    }
}

fn labels(entry: &crate::support::fake_loki::StoredEntry) -> String {
    entry.labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}

fn named(name: &str) -> Container {
    Container { name: name.to_owned(), ..Container::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_without_networks_and_without_relabelling_is_read_with_labels_and_dockers_times() {
    let scene = Scene::new();
    let docker = DockerHost::start(scene.path(), Manners::default());
    let labels = json!({"com.docker.compose.project": "shop", "com.docker.compose.service": "web"});
    let alone = Container { networks: json!({}), network_mode: "none".to_owned(), labels, ..named("web-1") };
    docker.add(&id(1), alone);
    docker.print(&id(1), 1, "one");
    docker.print(&id(1), 2, "two");
    let agent = scene.start(&docker, "");
    let mut lines = scene.arrived(2).await;
    lines.sort();
    let labels =
        |stream: &str| format!("compose_project=shop,compose_service=web,container=web-1,stream={stream}");
    assert_eq!(lines, [format!("{} two", labels("stderr")), format!("{} one", labels("stdout"))]);
    let times: Vec<i64> = scene.loki.entries().iter().map(|entry| entry.timestamp_ns).collect();
    assert!(
        times.contains(&1_795_001_400_001_000_000) && times.contains(&1_795_001_400_002_000_000),
        "{times:?}"
    );
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_relabelling_drops_is_not_opened_and_has_no_position() {
    let scene = Scene::new();
    let docker = DockerHost::start(scene.path(), Manners::default());
    for (number, name) in ["kept", "noise"].into_iter().enumerate() {
        docker.add(&id(number), named(name));
        docker.print(&id(number), 1, name);
    }
    let rules = "[{source_labels: [__meta_docker_container_name], regex: /noise, action: drop}, \
                 {source_labels: [__meta_docker_container_name], target_label: container}]";
    let agent = scene.start(&docker, rules);
    assert_eq!(scene.arrived(1).await, ["container=/kept kept"]);
    agent.wait_for_metric("tailwater_positions_tracked", |tracked| tracked == 1.0);
    agent.terminate();
    assert_eq!((docker.opened(&id(0)), docker.opened(&id(1))), (1, 0));
    let positions = std::fs::read_to_string(scene.path().join("positions.yaml")).unwrap();
    assert!(positions.contains(&id(0)) && !positions.contains(&id(1)), "{positions}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_position_of_a_removed_container_is_forgotten() {
    let scene = Scene::new();
    let docker = DockerHost::start(scene.path(), Manners::default());
    docker.add(&id(1), named("short"));
    docker.add(&id(2), named("long"));
    docker.print(&id(1), 1, "one");
    docker.print(&id(2), 1, "two");
    let agent = scene.start(&docker, "");
    scene.arrived(2).await;
    agent.wait_for_metric("tailwater_positions_tracked", |tracked| tracked == 2.0);
    docker.stop(&id(1));
    agent.wait_for_metric("tailwater_targets_active", |active| active == 1.0);
    assert_eq!(agent.metric("tailwater_positions_tracked"), 2.0, "a stopped container may start again");
    docker.remove(&id(1));
    agent.wait_for_metric("tailwater_positions_tracked", |tracked| tracked == 1.0);
    agent.terminate();
    let positions = std::fs::read_to_string(scene.path().join("positions.yaml")).unwrap();
    assert!(!positions.contains(&id(1)) && positions.contains(&id(2)), "{positions}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_container_whose_stream_is_opened_a_thousand_times_is_sent_once() {
    let scene = Scene::new();
    let docker = DockerHost::start(scene.path(), Manners { hangs_up: true, ..Manners::default() });
    docker.add(&id(1), named("silent"));
    for line in 0..3 {
        docker.print(&id(1), 1, &format!("line {line}"));
    }
    // Each job opens it on its own, so that the back-offs pass side by side.
    let jobs = 100;
    let job = |number: usize| {
        let host = docker.host();
        format!(
            "- {{job_name: j{number}, docker_sd_configs: [{{host: '{host}', refresh_interval: 50ms}}], \
                 relabel_configs: [{{target_label: job, replacement: j{number}}}]}}\n"
        )
    };
    let jobs_text: String = (0..jobs).map(job).collect();
    let text = scene.text("host: 'unix:///nowhere'", "");
    let text = format!("{}scrape_configs:\n{jobs_text}", &text[..text.find("scrape_configs").unwrap()]);
    let agent = Agent::start(scene.path(), &text);
    scene.arrived(3 * jobs).await;
    let enough = |opened: f64| opened >= 1000.0;
    agent.wait_for_metric("tailwater_docker_streams_opened_total", enough);
    agent.terminate();
    assert!(docker.opened(&id(1)) >= 1000);
    assert_eq!(scene.loki.entries().len(), 3 * jobs);
    assert!(scene.loki.duplicates().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_stands_still_while_its_log_goes_on_is_opened_again() {
    let scene = Scene::new();
    let docker = DockerHost::start(scene.path(), Manners { falls_silent: true, ..Manners::default() });
    for (number, name) in ["", "stalled", "silent", "removed"].into_iter().enumerate().skip(1) {
        docker.add(&id(number), named(name));
        docker.print(&id(number), 1, "one");
    }
    let agent = scene.start(&docker, RULES);
    scene.arrived(3).await;
    docker.behave(Manners::default());
    docker.print(&id(1), 1, "two");
    docker.remove(&id(3));
    scene.arrived(4).await;
    // Nothing in its stream says that it is gone.
    agent.wait_for_metric("tailwater_targets_active", |active| active == 2.0);
    assert_eq!(agent.metric("tailwater_docker_streams_stalled_total"), 1.0);
    let (_, log) = agent.terminate();
    assert!(log.contains("the log goes on, the stream stands still"), "{log}");
    assert_eq!((docker.opened(&id(1)), docker.opened(&id(2))), (2, 1));
    assert!(scene.loki.duplicates().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_follow_a_rename_and_a_network_without_opening_the_log_again_or_tearing_an_entry() {
    let scene = Scene::new();
    let docker = DockerHost::start(scene.path(), Manners::default());
    docker.add(&id(1), named("old"));
    docker.print(&id(1), 1, "START one");
    docker.print(&id(1), 1, "START two");
    let rules = "[{source_labels: [__meta_docker_container_name], regex: '/(.*)', target_label: container}, \
                 {source_labels: [__meta_docker_network_name], target_label: network}, \
                 {source_labels: [__meta_docker_network_label_team], target_label: team}]";
    let stages = "[{multiline: {firstline: ^START, max_wait_time: 1h}}]";
    let rest = format!(", relabel_configs: {rules}, pipeline_stages: {stages}");
    let agent = Agent::start(scene.path(), &scene.text(&format!("host: '{}'", docker.host()), &rest));
    assert_eq!(scene.arrived(1).await, ["container=old,network=bridge START one"]);
    docker.set_networks(json!([
        {"Id": "n0", "Name": "bridge", "Scope": "local"},
        {"Id": "n1", "Name": "attic", "Labels": {"team": "roof"}}
    ]));
    docker.change(&id(1), ("container", "rename"), |shown| shown.name = "new".to_owned());
    agent.wait_for_log("container has other labels now");
    docker.change(&id(1), ("network", "connect"), |shown| {
        shown.networks["attic"] = json!({"NetworkID": "n1", "IPAddress": "10.0.0.9"});
    });
    // The third to say so is the first that can tell that both are known.
    let both = |log: &str| log.matches("container has other labels now").count() >= 2;
    wait_until(&agent, both);
    docker.print(&id(1), 1, "  goes on");
    docker.print(&id(1), 1, "START three");
    let lines = scene.arrived(2).await;
    assert_eq!(lines[1], "container=new,network=attic,team=roof START two\n  goes on");
    assert_eq!(docker.opened(&id(1)), 1);
    // The last words of a container that stops are its own: what it loses with its addresses does not count.
    docker.change(&id(1), ("container", "die"), |shown| {
        (shown.state, shown.networks) = ("exited", json!({}));
    });
    let lines = scene.arrived(3).await;
    assert_eq!(lines[2], "container=new,network=attic,team=roof START three");
    agent.terminate();
}

fn wait_until(agent: &Agent, wanted: impl Fn(&str) -> bool) {
    let started = std::time::Instant::now();
    while !wanted(&agent.log()) {
        assert!(started.elapsed() < PATIENCE, "{}", agent.log());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_of_a_real_container_follow_its_name_and_networks() {
    let Some(engine) = docker::engine_or_skip() else { return };
    let scene = Scene::new();
    let network = engine.create_network("attic");
    let (old, new) = (format!("old-{}", engine.mark()), format!("new-{}", engine.mark()));
    let rules = "[{source_labels: [__meta_docker_container_name], regex: '/(...).*', target_label: name}, \
                 {source_labels: [__meta_docker_network_name], regex: '([a-z]*).*', target_label: network}, \
                 {source_labels: [__meta_docker_network_label_tailwater_test], target_label: mark}]";
    let filters = format!("filters: [{{name: label, values: [tailwater-test={}]}}]", engine.mark());
    let agent = scene.start_with(&format!("host: '{}', {filters}", engine.host()), rules);
    let arguments = ["--source", "s", "--until-signal", "--rate", "50"];
    engine.run(&["--name", &old], engine.loggen_image(), &arguments);
    let has = |name: &'static str, network: &'static str| {
        move |store: &Store| {
            store.entries.iter().any(|entry| entry.label("name") == name && entry.label("network") == network)
        }
    };
    scene.loki.wait_for(has("old", "bridge"), PATIENCE).await.unwrap();
    engine.docker(&["rename", &old, &new]);
    scene.loki.wait_for(has("new", "bridge"), PATIENCE).await.unwrap();
    engine.connect(&network, &new);
    scene.loki.wait_for(has("new", "attic"), PATIENCE).await.unwrap();
    assert_eq!(agent.metric("tailwater_docker_files_opened_total"), 1.0);
    engine.stop(&new);
    agent.wait_for_metric("tailwater_targets_active", |active| active == 0.0);
    agent.terminate();
    let mut expected = Expected::new();
    let logs = engine.logs(&new);
    expected.printed(&logs.stdout);
    expected.printed(&logs.stderr);
    let entries = scene.loki.entries();
    verify(&expected, &entries, entry_key).assert_whole_once_in_order();
    let last = entries.iter().max_by_key(|entry| entry.timestamp_ns).unwrap();
    assert_eq!((last.label("network"), last.label("mark")), ("attic", engine.mark()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_driver_that_keeps_nothing_is_said_once_and_asked_once() {
    let scene = Scene::new();
    let docker = DockerHost::start(scene.path(), Manners::default());
    docker.add(&id(1), Container { unreadable: true, ..named("mute") });
    docker.add(&id(2), named("web"));
    docker.print(&id(2), 1, "one");
    let agent = scene.start(&docker, RULES);
    scene.arrived(1).await;
    agent.wait_for_log("log of a container cannot be read");
    let lists = docker.lists();
    wait_until(&agent, |_| docker.lists() > lists + 3);
    assert_eq!(agent.metric("tailwater_docker_errors_total{operation=\"logs\"}"), 1.0);
    let (_, log) = agent.terminate();
    assert_eq!(log.matches("configured logging driver does not support reading").count(), 1, "{log}");
    assert_eq!(docker.opened(&id(1)), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_lets_only_get_through_is_enough() {
    let scene = Scene::new();
    let manners = Manners { proxied: true, version: Some("1.24"), ..Manners::default() };
    let docker = DockerHost::start(scene.path(), manners);
    docker.set_networks(json!([{"Id": "n0", "Name": "bridge", "Scope": "local", "Internal": false}]));
    docker.add(&id(1), named("web"));
    docker.print(&id(1), 1, "hello");
    let rules = "[{action: labelmap, regex: __meta_docker_network_(scope|internal|ingress)}]";
    let agent = scene.start(&docker, rules);
    assert_eq!(scene.arrived(1).await, ["ingress=false,internal=false,scope=local hello"]);
    assert_eq!(agent.metric_sum("tailwater_docker_errors_total"), 0.0);
    docker.stop(&id(1));
    docker.remove(&id(1));
    agent.wait_for_metric("tailwater_targets_active", |active| active == 0.0);
    agent.terminate();
    let asked = [
        "GET /containers/ID/json",
        "GET /containers/ID/logs",
        "GET /containers/json",
        "GET /events",
        // Refused, and done without.
        "GET /info",
        "GET /networks",
        "GET /version",
    ];
    assert_eq!(docker.asked_for(), asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_networks_are_forbidden_their_labels_are_left_out_with_one_warning() {
    let scene = Scene::new();
    let docker = DockerHost::start(scene.path(), Manners { without_networks: true, ..Manners::default() });
    docker.add(&id(1), named("web"));
    docker.print(&id(1), 1, "hello");
    let rules = "[{action: labelmap, regex: __meta_docker_network_(scope|name|ip)}]";
    let agent = scene.start(&docker, rules);
    assert_eq!(scene.arrived(1).await, ["ip=172.17.0.2,name=bridge hello"]);
    docker.add(&id(2), named("next"));
    docker.print(&id(2), 1, "hello again");
    scene.arrived(2).await;
    assert_eq!(agent.metric_sum("tailwater_docker_errors_total"), 0.0);
    let (_, log) = agent.terminate();
    assert_eq!(log.matches("does not tell about networks").count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn podman_is_read_as_docker_is() {
    let scene = Scene::new();
    let docker = DockerHost::start(scene.path(), Manners { podman: true, ..Manners::default() });
    docker.add(&id(1), Container { networks: json!(null), ..named("pod") });
    docker.add(&id(2), Container { state: "stopped", ..named("done") });
    docker.print(&id(1), 1, "tick");
    docker.print(&id(1), 1, "tick");
    let agent = scene.start(&docker, RULES);
    assert_eq!(scene.arrived(2).await, ["container=pod,stream=stdout tick"; 2]);
    let times: Vec<i64> = scene.loki.entries().iter().map(|entry| entry.timestamp_ns).collect();
    assert_eq!(times, [1_795_001_400_000_000_000, 1_795_001_400_000_000_001], "else Loki keeps one of them");
    docker.stop(&id(1));
    agent.wait_for_metric("tailwater_targets_active", |active| active == 0.0);
    docker.change(&id(1), ("container", "start"), |shown| shown.state = "running");
    docker.print(&id(1), 1, "tick");
    assert_eq!(scene.arrived(3).await[2], "container=pod,stream=stdout tick");
    docker.stop(&id(1));
    docker.remove(&id(1));
    agent.wait_for_metric("tailwater_positions_tracked", |tracked| tracked == 0.0);
    agent.terminate();
    assert!(scene.loki.duplicates().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn all_lines_of_a_short_life_in_a_terminal_arrive() {
    let scene = Scene::new();
    let docker = DockerHost::start(scene.path(), Manners::default());
    let agent = scene.start(&docker, RULES);
    docker.add(&id(1), Container { tty: true, ..named("shell") });
    for line in ["one\r", "\r", "three\r"] {
        docker.print(&id(1), 1, line);
    }
    docker.stop(&id(1));
    let lines = scene.arrived(3).await;
    let expected = ["one", "", "three"].map(|line| format!("container=shell,stream=stdout {line}"));
    assert_eq!(lines, expected);
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_of_the_daemon_streams_events_and_lists_come_back_by_themselves() {
    let scene = Scene::new();
    let docker = DockerHost::start(scene.path(), Manners::default());
    docker.add(&id(1), named("before"));
    docker.print(&id(1), 1, "one");
    // No refresh helps.
    let item = format!("host: '{}'", docker.host());
    let rest = format!(", relabel_configs: {RULES}");
    let text = scene.text(&item, &rest).replace("refresh_interval: 200ms", "refresh_interval: 1h");
    let agent = Agent::start(scene.path(), &text);
    scene.arrived(1).await;
    docker.behave(Manners { down: true, ..Manners::default() });
    agent.wait_for_log("no answer from Docker");
    docker.print(&id(1), 1, "two");
    docker.add(&id(2), named("meanwhile"));
    docker.print(&id(2), 1, "three");
    docker.behave(Manners::default());
    scene.arrived(3).await;
    docker.add(&id(3), named("after"));
    docker.print(&id(3), 1, "four");
    docker.print(&id(1), 1, "five");
    let mut lines = scene.arrived(5).await;
    agent.terminate();
    lines.sort();
    let expected = [
        "after,stream=stdout four",
        "before,stream=stdout five",
        "before,stream=stdout one",
        "before,stream=stdout two",
        "meanwhile,stream=stdout three",
    ];
    assert_eq!(lines, expected.map(|line| format!("container={line}")));
    assert!(scene.loki.duplicates().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_say_by_label_whether_and_by_which_job_they_are_read() {
    let scene = Scene::new();
    let docker = DockerHost::start(scene.path(), Manners::default());
    let labelled = |number: usize, name: &str, labels: serde_json::Value| {
        docker.add(&id(number), Container { labels, ..named(name) });
        docker.print(&id(number), 1, "hello");
    };
    labelled(1, "plain", json!({}));
    labelled(2, "off", json!({"tailwater.enable": "false"}));
    labelled(3, "on", json!({"tailwater.enable": "true"}));
    labelled(4, "mine", json!({"tailwater.enable": "true", "tailwater.job": "in"}));
    let job = |name: &str, hints: &str| {
        format!(
            "- {{job_name: {name}, docker_sd_configs: [{{host: '{}', refresh_interval: 200ms, {hints}}}], \
             relabel_configs: [{{target_label: job, replacement: {name}}}, \
             {{source_labels: [__meta_docker_container_name], target_label: container}}]}}\n",
            docker.host()
        )
    };
    let jobs =
        job("all", "") + &job("out", "container_labels: opt_out") + &job("in", "container_labels: opt_in");
    let text = scene.text("host: 'unix:///nowhere'", "");
    let text = format!("{}scrape_configs:\n{jobs}", &text[..text.find("scrape_configs").unwrap()]);
    let agent = Agent::start(scene.path(), &text);
    let mut lines = scene.arrived(8).await;
    agent.terminate();
    lines.sort();
    let expected = [
        "container=/mine,job=all hello",
        "container=/mine,job=in hello",
        "container=/off,job=all hello",
        "container=/on,job=all hello",
        "container=/on,job=in hello",
        "container=/on,job=out hello",
        "container=/plain,job=all hello",
        "container=/plain,job=out hello",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_on_a_port_is_one_stream_that_no_refresh_cuts() {
    let scene = Scene::new();
    let (docker, address) = DockerHost::start_on_port(Manners::default()).await;
    docker.add(&id(1), named("web"));
    docker.print(&id(1), 1, "one");
    let item = format!(
        "host: 'http://{address}', basic_auth: {{username: me, password: hunter2}}, \
                        http_headers: {{X-Gate: {{values: [open]}}}}"
    );
    let agent = scene.start_with(&item, RULES);
    scene.arrived(1).await;
    let lists = docker.lists();
    wait_until(&agent, |_| docker.lists() > lists + 5);
    docker.print(&id(1), 1, "two");
    assert_eq!(scene.arrived(2).await[1], "container=web,stream=stdout two");
    let (_, log) = agent.terminate();
    assert!(!log.contains("hunter2"), "{log}");
    assert_eq!(docker.opened(&id(1)), 1);
    let headers = docker.headers();
    assert_eq!(headers["authorization"], "Basic bWU6aHVudGVyMg==");
    assert_eq!(headers["x-gate"], "open");
    assert!(headers["user-agent"].to_str().unwrap().starts_with("tailwater/"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_behind_tls_asks_for_a_certificate_and_gets_it_through_a_proxy_too() {
    let scene = Scene::new();
    let (docker, address) = DockerHost::start_on_port(Manners::default()).await;
    docker.add(&id(1), named("web"));
    let authority = Authority::new("home");
    let front = TlsFront::start(address, &authority.issue("docker.test"), Some(&authority)).await;
    let front = front.url().replace("https://", "").replace("/loki/api/v1/push", "");
    let proxy = Proxy::start(front.parse().unwrap()).await;
    let client = authority.issue("agent");
    for (name, text) in [("ca.pem", authority.pem()), ("cert.pem", client.cert), ("key.pem", client.key)] {
        std::fs::write(scene.path().join(name), text).unwrap();
    }
    let path = scene.path().display();
    let tls = format!(
        "tls_config: {{ca_file: '{path}/ca.pem', cert_file: '{path}/cert.pem', \
                       key_file: '{path}/key.pem', server_name: docker.test}}"
    );
    docker.print(&id(1), 1, "one");
    let agent = scene.start_with(&format!("host: 'https://{front}', {tls}"), RULES);
    scene.arrived(1).await;
    agent.terminate();
    docker.print(&id(1), 1, "two");
    let item = format!("host: 'https://docker.test:2376', {tls}, proxy_url: 'http://{}'", proxy.address);
    let agent = scene.start_with(&item, RULES);
    scene.arrived(2).await;
    agent.terminate();
    assert!(
        proxy.heads().iter().all(|head| head.starts_with("CONNECT docker.test:2376 ")),
        "{:?}",
        proxy.heads()
    );
    assert!(scene.loki.duplicates().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_docker_commands_variables_lead_to_a_daemon_behind_tls() {
    let scene = Scene::new();
    let (docker, address) = DockerHost::start_on_port(Manners::default()).await;
    docker.add(&id(1), named("web"));
    docker.print(&id(1), 1, "one");
    let authority = Authority::new("home");
    let front = TlsFront::start(address, &authority.issue("127.0.0.1"), Some(&authority)).await;
    let host = front.url().replace("https://", "tcp://").replace("/loki/api/v1/push", "");
    let client = authority.issue("agent");
    for (name, text) in [("ca.pem", authority.pem()), ("cert.pem", client.cert), ("key.pem", client.key)] {
        std::fs::write(scene.path().join(name), text).unwrap();
    }
    let file = scene.path().join("tailwater.yaml");
    std::fs::write(&file, scene.text("port: 80", "")).unwrap();
    let variables = [
        ("DOCKER_HOST", host.as_str()),
        ("DOCKER_TLS_VERIFY", "1"),
        ("DOCKER_CERT_PATH", scene.path().to_str().unwrap()),
    ];
    let agent = Agent::spawn_with(&[&format!("-config.file={}", file.display())], &variables);
    scene.arrived(1).await;
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_proxy_is_told_the_whole_url_and_tokens_are_fetched() {
    let scene = Scene::new();
    let (docker, address) = DockerHost::start_on_port(Manners::default()).await;
    docker.add(&id(1), named("web"));
    docker.print(&id(1), 1, "one");
    let proxy = Proxy::start(address).await;
    let tokens = TokenEndpoint::start(std::time::Duration::from_secs(3600)).await;
    let item = format!(
        "host: 'http://docker.test:2375', proxy_url: 'http://me:hunter2@{}', \
         oauth2: {{client_id: i, client_secret: hunter2, token_url: '{}'}}",
        proxy.address,
        tokens.url()
    );
    let agent = scene.start_with(&item, RULES);
    scene.arrived(1).await;
    let (_, log) = agent.terminate();
    assert!(!log.contains("hunter2"), "{log}");
    let heads = proxy.heads();
    assert!(heads.iter().all(|head| head.starts_with("GET http://docker.test:2375/")), "{heads:?}");
    assert!(heads.iter().all(|head| head.contains("Basic bWU6aHVudGVyMg==")), "{heads:?}");
    assert_eq!(docker.headers()["authorization"], "Bearer token-1");
    assert_eq!(tokens.requests().len(), 1);
}
