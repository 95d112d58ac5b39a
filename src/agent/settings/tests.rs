//! What blocks are read as: the scenarios recorded of Promtail, and the refusals.

use std::time::Duration;

use super::Settings;
use crate::config::parse_yaml;
use crate::metrics::{Own, Registry};

fn decode(text: &str) -> Result<Settings, String> {
    let registry = Registry::default();
    let own = Own::register(&registry);
    let root = parse_yaml(text).map_err(|error| error.render("f", text))?;
    Settings::decode(&root, &registry, &own).map_err(|error| error.render("f", text))
}

/// The first line of what is said.
fn refusal(text: &str) -> String {
    decode(text).expect_err(text).lines().next().unwrap().to_owned()
}

const JOBS: &str = "static_configs: [{labels: {__path__: /x}}]";

#[test]
fn b_cfg_1_two_jobs_of_one_name_are_refused() {
    let text = format!("scrape_configs:\n- {{job_name: a, {JOBS}}}\n- {{job_name: a, {JOBS}}}\n");
    assert_eq!(refusal(&text), "f:3:3: there are two jobs called `a`");
}

#[test]
fn b_cfg_2_the_old_client_is_one_more_and_its_labels_are_for_all() {
    let settings = decode(
        "client: {url: 'http://c/push', external_labels: {dc: x, zone: c}}\n\
         clients: [{url: 'http://a/push', external_labels: {zone: a}}, {url: 'http://b/push'}]\n",
    );
    let clients = settings.unwrap().clients;
    let shown: Vec<String> = clients
        .iter()
        .map(|client| format!("{} {}", client.name, client.batch.external_labels.render()))
        .collect();
    assert_eq!(
        shown,
        [r#"a:80 {dc="x", zone="a"}"#, r#"b:80 {dc="x", zone="c"}"#, r#"c:80 {dc="x", zone="c"}"#,]
    );
}

#[test]
fn b_cfg_4_a_job_without_stages_changes_nothing() {
    let settings = decode(&format!("scrape_configs: [{{job_name: a, {JOBS}}}]")).unwrap();
    assert!(settings.jobs[0].pipeline.steps.is_empty());
}

#[test]
fn b_cfg_5_a_foreign_key_is_refused_at_the_top_too() {
    assert_eq!(refusal("server: {}\nscrape_config: []\n"), "f:2:1: unknown key `scrape_config`");
}

#[test]
fn b_cfg_7_a_bare_number_is_nanoseconds() {
    let settings = decode("clients: [{url: 'http://a/push', batchwait: 5}]").unwrap();
    assert_eq!(settings.clients[0].batch.wait, Duration::from_nanos(5));
}

#[test]
fn b_ccfg_1_a_client_with_only_an_address_has_promtails_defaults_but_for_the_longest_pause() {
    let client = decode("clients: [{url: 'http://a/push'}]").unwrap().clients.remove(0);
    assert_eq!((client.batch.wait, client.batch.size), (Duration::from_secs(1), 1 << 20));
    assert_eq!(client.http.timeout, Duration::from_secs(10));
    assert_eq!(
        (client.backoff.min, client.backoff.max),
        (Duration::from_millis(500), Duration::from_secs(30))
    );
    assert_eq!((client.batch.tenant, client.batch.max_streams), (None, None));
}

#[test]
fn b_ccfg_2_what_is_given_counts_and_the_rest_is_the_default() {
    let client = decode(
        "clients: [{url: 'http://a/push', batchsize: 204800, backoff_config: {max_retries: 20, min_period: 5s, \
         max_period: 1m}, basic_auth: {username: u, password: p}}]",
    );
    let client = client.unwrap().clients.remove(0);
    assert_eq!((client.backoff.min, client.backoff.max), (Duration::from_secs(5), Duration::from_secs(60)));
    assert_eq!((client.batch.size, client.batch.wait), (204_800, Duration::from_secs(1)));
}

#[test]
fn b_ccfg_3_a_token_and_a_file_with_one_are_refused_together() {
    let text = "clients:\n- url: http://a/push\n  bearer_token: t\n  bearer_token_file: /f\n";
    assert!(refusal(text).starts_with("f:4:3: "), "{}", refusal(text));
}

#[test]
fn every_block_of_promtail_is_read() {
    let text = "
server: {http_listen_port: 9080, grpc_listen_port: 0, http_path_prefix: /tw/, log_format: json, grpc_server_max_recv_msg_size: 1,
  http_server_read_timeout: 30s, enable_runtime_reload: false, health_check_target: false, external_url: 'http://x/'}
positions: {filename: /p.yaml, sync_period: 1s, ignore_invalid_yaml: true}
target_config: {sync_period: 5s, stdin: no}
limits_config: {readline_rate: 100, readline_burst: 10, readline_rate_enabled: yes, readline_rate_drop: false, max_streams: 7,
  max_line_size: 256kb, max_line_size_truncate: on}
global: {file_watch_config: {min_poll_frequency: 100ms, max_poll_frequency: 2s}}
options: {}
tracing: {enabled: false}
wal: {enabled: true, dir: /wal, cleanSegmentsOlderThan: 1h, watchConfig: {minReadFrequency: 1s}}
clients: [{url: 'http://a/push'}]
";
    let settings = decode(text).unwrap();
    assert_eq!(settings.server.unwrap().prefix, "/tw");
    assert_eq!(settings.file_polls, (Duration::from_millis(100), Duration::from_secs(2)));
    assert_eq!(settings.clients[0].batch.max_streams, Some(7));
    assert_eq!(settings.no_stages.steps.len(), 2, "a rate and a longest line end every pipeline");
}

#[test]
fn what_no_block_can_mean_is_refused_where_it_stands() {
    let table = [
        ("options: {a: 1}", "f:1:11: unknown key `a`"),
        ("wal: {enabled: maybe}", "f:1:16: expected true or false"),
        ("limits_config: {readline_rate: 0}", "f:1:32: this rate must be above 0"),
        ("limits_config: {max_line_size: 1.5kb}", "f:1:32: expected a size"),
        (
            "global: {file_watch_config: {min_poll_frequency: 2s, max_poll_frequency: 1s}}",
            "f:1:74: `max_poll_frequency` is below",
        ),
        ("positions: {sync_period: 0}", "f:1:26: this duration must be above 0"),
        ("server: {http_path_prefix: 'a b'}", "f:1:28: a path prefix begins with `/`"),
        ("server: {log_format: xml}", "f:1:22: unknown log format `xml`"),
        ("server: {enable_runtime_reload: maybe}", "f:1:33: expected true or false"),
        (
            "scrape_configs: [{job_name: j, docker_sd_configs: [{host: 'npipe:////./pipe/docker_engine'}]}]",
            "f:1:59: npipe:// hosts are not supported",
        ),
        (
            "scrape_configs: [{job_name: j, docker_sd_configs: [{host: 'https://x', proxy_url: 'socks5://p'}]}]",
            "f:1:59: this server can be reached through http:// proxies only",
        ),
        (
            "scrape_configs: [{job_name: j, docker_sd_configs: [{host: 'https://x', tls_config: {ca_file: /no}}]}]",
            "f:1:59: `ca_file` of tls_config: cannot read /no",
        ),
        (
            "scrape_configs: [{job_name: j, docker_sd_configs: [{host: 'unix:///x', container_labels: all}]}]",
            "f:1:90: labels of containers are nothing of that sort",
        ),
    ];
    for (text, message) in table {
        assert!(refusal(text).starts_with(message), "{text}: {}", refusal(text));
    }
}

#[test]
fn what_a_docker_host_that_is_no_web_address_cannot_use_is_said() {
    let text = "scrape_configs:\n- job_name: j\n  docker_sd_configs:\n  - {host: 'tcp://x:2376', tls_config: {ca_file: /no}}\n";
    let settings = decode(text).unwrap();
    assert_eq!(settings.jobs[0].docker.len(), 1, "no certificate is read for it");
    assert!(settings.warnings[0].to_string().contains("`tls_config` has no effect"));
}

#[test]
fn a_group_for_another_host_is_passed_over_with_a_warning() {
    let text = "scrape_configs:\n- job_name: j\n  static_configs:\n  - {labels: {__path__: /x, __host__: not this one}}\n";
    let settings = decode(text).unwrap();
    assert_eq!(settings.jobs[0].files.groups.len(), 0);
    assert!(settings.warnings[0].to_string().contains("`not this one`"));
}

#[test]
fn a_group_that_names_no_files_is_passed_over_with_a_warning() {
    let text = "scrape_configs:\n- job_name: j\n  static_configs:\n  - {labels: {a: b}}\n  - {labels: {__path__: /x}}\n";
    let settings = decode(text).unwrap();
    assert_eq!(settings.jobs[0].files.groups.len(), 1);
    assert_eq!(settings.warnings.len(), 1);
}

#[test]
fn pushes_at_once_are_from_one_to_sixty_four() {
    let concurrency = |text: &str| {
        let text = format!("clients: [{{url: 'http://x/push'{text}}}]");
        decode(&text).map(|settings| settings.clients[0].batch.concurrency)
    };
    assert_eq!(concurrency("").unwrap(), 8);
    assert_eq!(concurrency(", concurrency: 64").unwrap(), 64);
    for wrong in ["0", "65"] {
        let refused = refusal(&format!("clients: [{{url: 'http://x/push', concurrency: {wrong}}}]"));
        assert_eq!(refused, "f:1:47: `concurrency` is from 1 to 64");
    }
}

#[test]
fn the_bound_on_streams_is_on_unless_it_is_switched_off() {
    let is_enabled = |text: &str| decode(text).unwrap().no_stages.guard.is_some();
    assert!(is_enabled(""));
    assert!(is_enabled("cardinality: {max_streams: 7}"));
    assert!(!is_enabled("cardinality: {enabled: false, max_streams: 7}"));
    let at = |text: &str| refusal(&format!("cardinality: {{{text}}}"));
    assert_eq!(at("max_streams: 0"), "f:1:28: this number must be above 0");
    assert_eq!(at("max_label_values: 0"), "f:1:33: this number must be above 0");
    assert_eq!(at("above: drop"), "f:1:22: `drop` is no place for values above the limits");
}
