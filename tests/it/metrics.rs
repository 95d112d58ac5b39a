//! The page of metrics: its formats, and what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::agent::{Agent, client, configuration, file_job};
use crate::support::fake_loki::{FakeLoki, Limits};

/// Head and body of the page, for these headers.
fn page(agent: &Agent, headers: &str) -> (String, Vec<u8>) {
    let mut socket = TcpStream::connect(agent.address()).unwrap();
    write!(socket, "GET /metrics HTTP/1.1\r\nHost: test\r\n{headers}Connection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let body = answer.split_off(end + 4);
    (String::from_utf8(answer).unwrap(), body)
}

/// Names of samples, which are what queries speak of.
fn sample_names(page: &str) -> BTreeSet<&str> {
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.split(['{', ' ']).next().unwrap()).collect()
}

/// An agent that has pushed some lines, and is at rest.
fn at_rest(directory: &std::path::Path, loki: &FakeLoki, more: &str) -> Agent {
    let log = directory.join("a.log");
    fs::write(&log, "one\ntwo\nthree\n").unwrap();
    let text = configuration(directory, &client(&loki.url()), &file_job(&log.display().to_string()));
    let agent = Agent::start(directory, &(text + more));
    agent.wait_for_metric("tailwater_sent_entries_total", |sent| sent == 3.0);
    agent
}

#[tokio::test(flavor = "multi_thread")]
async fn open_metrics_is_for_those_who_ask_for_it_and_has_the_same_names() {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    let agent = at_rest(directory.path(), &loki, "");
    let (head, text) = page(&agent, "");
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    let accept = "Accept: application/openmetrics-text;version=1.0.0;q=0.6\r\nAccept: text/plain;q=0.3\r\n";
    let (head, open) = page(&agent, accept);
    assert!(
        head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{head}"
    );
    let (text, open) = (String::from_utf8(text).unwrap(), String::from_utf8(open).unwrap());
    assert!(open.ends_with("\n# EOF\n") && open.matches("# EOF").count() == 1, "{open}");
    assert!(open.contains("# TYPE tailwater_sent_entries counter\n"), "{open}");
    assert_eq!(sample_names(&text), sample_names(&open));
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_compressed_where_that_is_accepted() {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    let agent = at_rest(directory.path(), &loki, "");
    let (head, compressed) = page(&agent, "Accept-Encoding: deflate, gzip\r\n");
    assert!(head.contains("content-encoding: gzip"), "{head}");
    let mut text = String::new();
    flate2::read::GzDecoder::new(compressed.as_slice()).read_to_string(&mut text).unwrap();
    assert!(text.contains("\ntailwater_sent_entries_total{"), "{text}");
    let (head, _) = page(&agent, "Accept-Encoding: gzip;q=0\r\n");
    assert!(!head.contains("content-encoding"), "{head}");
    agent.terminate();
}

/// Type and label names of each family of the page.
fn families(page: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut families = BTreeMap::new();
    let mut name = String::new();
    for line in page.lines() {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            let (family, kind) = head.split_once(' ').unwrap();
            name = family.to_owned();
            families.insert(name.clone(), (kind.to_owned(), BTreeSet::new()));
        } else if !line.starts_with('#') {
            let labels = line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}'));
            let names = labels
                .into_iter()
                .flat_map(|(labels, _)| labels.split("\","))
                .filter_map(|pair| pair.split_once('='));
            let names = names.map(|(label, _)| label.to_owned()).filter(|label| label != "le");
            families.get_mut(&name).unwrap().1.extend(names);
        }
    }
    families
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_has_every_metric_with_its_type_and_labels_and_no_other() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md")).unwrap();
    let (_, section) = text.split_once("## Metrics of the agent\n").unwrap();
    let (section, _) = section.split_once("## Reference\n").unwrap();
    let mut documented = BTreeMap::new();
    for row in section.lines().filter_map(|line| line.strip_prefix("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let labels: BTreeSet<String> =
            cells[2].split(", ").filter(|label| !label.is_empty()).map(str::to_owned).collect();
        let late = cells[3].contains("appears with");
        documented.insert(cells[0].trim_matches('`').to_owned(), (cells[1].to_owned(), labels, late));
    }
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    let agent = at_rest(directory.path(), &loki, "");
    let shown = families(&agent.get("/metrics").1);
    let mut wrong = Vec::new();
    for (name, (kind, labels)) in &shown {
        match documented.get(name) {
            Some((as_kind, as_labels, _)) if (kind, labels) == (as_kind, as_labels) => {}
            row => wrong.push(format!("{name} is a {kind} with {labels:?}, the document has {row:?}")),
        }
    }
    for (name, (_, _, late)) in &documented {
        if !late && !shown.contains_key(name) {
            wrong.push(format!("{name} is in the document, and not on the page"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn dashboards_made_for_promtail_find_its_names() {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    let log = directory.path().join("a.log");
    fs::write(&log, "one\ntwo\nthree\n").unwrap();
    let file = directory.path().join("tailwater.yaml");
    let text = configuration(directory.path(), &client(&loki.url()), &file_job(&log.display().to_string()));
    fs::write(&file, text).unwrap();
    let agent = Agent::spawn(&[&format!("-config.file={}", file.display()), "-metrics.namespace=promtail"]);
    agent.wait_for_log("msg=ready");
    agent.wait_for_metric("promtail_sent_entries_total", |sent| sent == 3.0);
    let (_, page) = agent.get("/metrics");
    let shown = families(&page);
    let lines: Vec<String> = shown
        .iter()
        .filter(|(name, _)| !name.starts_with("tailwater_") && !name.starts_with("process_"))
        .map(|(name, (kind, labels))| {
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            format!("{name} {kind} {}", labels.join(",")).trim_end().to_owned()
        })
        .collect();
    let expected = "\
logentry_dropped_lines_total counter reason
loki_log_messages_total counter level
promtail_batch_retries_total counter host,tenant
promtail_build_info gauge branch,goarch,goos,goversion,revision,tags,version
promtail_config_reload_fail_total counter
promtail_config_reload_success_total counter
promtail_docker_target_parsing_errors_total counter
promtail_dropped_entries_total counter host,reason,tenant
promtail_encoded_bytes_total counter host
promtail_file_bytes_total gauge path
promtail_files_active_total gauge
promtail_read_bytes_total gauge path
promtail_read_lines_total counter path
promtail_request_duration_seconds histogram host,status_code
promtail_sent_bytes_total counter host
promtail_sent_entries_total counter host
promtail_targets_active_total gauge";
    assert_eq!(lines.join("\n"), expected, "{page}");
    let host = loki.url().split('/').nth(2).unwrap().to_owned();
    assert_eq!(agent.metric(&format!("promtail_sent_entries_total{{host=\"{host}\"}}")), 3.0);
    let path = log.display();
    for (name, value) in [("read_bytes_total", 14.0), ("file_bytes_total", 14.0), ("read_lines_total", 3.0)] {
        agent.wait_for_metric(&format!("promtail_{name}"), |shown| shown == value);
        assert_eq!(agent.metric(&format!("promtail_{name}{{path=\"{path}\"}}")), value);
    }
    for (replaced, there) in
        [("tailwater_sent_entries_total", false), ("tailwater_refused_entries_total", true)]
    {
        assert_eq!(shown.contains_key(replaced), there, "{replaced}");
    }
    agent.terminate();
}

#[test]
fn a_namespace_that_no_name_can_begin_with_is_refused() {
    let output = crate::agent::program().args(["-metrics.namespace=9-x", "-check-syntax"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("no name of a metric begins with `9-x`"), "{said}");
}
