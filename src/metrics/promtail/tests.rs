//! What Promtail's names show.

use std::collections::BTreeSet;

use super::*;
use crate::metrics::{Own, Registry};
use crate::record::UnixNanos;

fn destination(host: &str, tenant: &str) -> Destination {
    Destination { host: host.to_owned(), tenant: tenant.to_owned() }
}

/// An agent of which everything has counted something.
fn busy() -> (Vec<Shown>, BTreeMap<String, Destination>) {
    let registry = Registry::default();
    let own = Own::register(&registry);
    for name in ["a", "b"] {
        let client = own.client(name);
        client.sent_entries.add(10.0);
        client.refused("line_too_long", 1);
        client.refused("too_old", 2);
        client.dropped("rate_limited", 4);
        client.dropped("spool_full", 8);
        client.retried("timeout");
        client.retried("server_error");
        client.requested("204", 0.2);
        client.requested("error", 7.0);
    }
    for source in ["docker", "file", "journal", "syslog", "gelf"] {
        own.lines_read.with("source", source).add(5.0);
    }
    own.lines_dropped.with("reason", "drop_stage").add(3.0);
    own.lines_dropped_by_label.with_two([("label_name", "app"), ("label_value", "x")]).add(1.0);
    own.network.messages_dropped("syslog", "malformed").add(1.0);
    own.network.messages_dropped("syslog", "too_long").add(1.0);
    own.network.messages_dropped("syslog", "empty").add(1.0);
    own.network.messages_dropped("gelf", "incomplete").add(6.0);
    own.config_reloads.with("result", "success").add(1.0);
    own.config_reloads.with("result", "failure").add(2.0);
    own.log_lines.written("warn");
    let clients = BTreeMap::from([
        ("a".to_owned(), destination("loki:3100", "")),
        ("b".to_owned(), destination("loki:3100", "")),
    ]);
    (registry.shown(UnixNanos(0)), clients)
}

fn file(job: &str, name: &str, file: Option<(u64, u64)>) -> TargetReading {
    let (job, name) = (job.to_owned(), name.to_owned());
    TargetReading { job, kind: "file", name, lines: 3, file, ..TargetReading::default() }
}

fn shown() -> Vec<Shown> {
    let (ours, clients) = busy();
    let targets = [
        file("one", "/a.log", Some((10, 30))),
        file("two", "/a.log", Some((20, 30))),
        file("two", "/b.log.gz", None),
    ];
    with_promtails_names(ours, &targets, &clients)
}

#[test]
fn these_are_the_names_and_labels_of_promtail_that_are_shown() {
    let mut lines = BTreeSet::new();
    let shown = shown();
    for family in shown.iter().filter(|family| !family.name.starts_with("tailwater_")) {
        if family.name.starts_with("process_") {
            continue;
        }
        for (pairs, _) in &family.samples {
            let labels: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
            let kind = match family.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram(_) => "histogram",
            };
            lines.insert(format!("{} {kind} {}", family.name, labels.join(",")).trim_end().to_owned());
        }
    }
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let expected = "\
logentry_dropped_lines_by_label_total counter label_name,label_value
logentry_dropped_lines_total counter reason
loki_log_messages_total counter level
promtail_batch_retries_total counter host,tenant
promtail_build_info gauge branch,goarch,goos,goversion,revision,tags,version
promtail_config_reload_fail_total counter
promtail_config_reload_success_total counter
promtail_docker_target_entries_total counter
promtail_docker_target_parsing_errors_total counter
promtail_dropped_entries_total counter host,tenant,reason
promtail_encoded_bytes_total counter host
promtail_file_bytes_total gauge path
promtail_files_active_total gauge
promtail_gelf_target_entries_total counter
promtail_gelf_target_parsing_errors_total counter
promtail_journal_target_lines_total counter
promtail_read_bytes_total gauge path
promtail_read_lines_total counter path
promtail_request_duration_seconds histogram status_code,host
promtail_sent_bytes_total counter host
promtail_sent_entries_total counter host
promtail_syslog_empty_messages_total counter
promtail_syslog_target_entries_total counter
promtail_syslog_target_parsing_errors_total counter
promtail_targets_active_total gauge";
    assert_eq!(lines.join("\n"), expected);
}

#[test]
fn clients_that_push_to_one_host_are_added_up() {
    let text = crate::metrics::text(&shown());
    let host = r#"host="loki:3100""#;
    let dropped = |reason: &str, entries: u64| {
        format!(r#"promtail_dropped_entries_total{{{host},tenant="",reason="{reason}"}} {entries}"#)
    };
    for line in [
        format!("promtail_sent_entries_total{{{host}}} 20"),
        dropped("line_too_long", 2),
        dropped("ingester_error", 20),
        dropped("rate_limited", 8),
        format!(r#"promtail_batch_retries_total{{{host},tenant=""}} 4"#),
        format!(r#"promtail_request_duration_seconds_bucket{{status_code="204",{host},le="0.25"}} 2"#),
        format!(r#"promtail_request_duration_seconds_sum{{status_code="-1",{host}}} 14"#),
        format!(r#"promtail_request_duration_seconds_count{{status_code="-1",{host}}} 2"#),
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}:\n{text}");
    }
}

#[test]
fn each_kind_of_source_counts_its_own() {
    let text = crate::metrics::text(&shown());
    for line in [
        "promtail_docker_target_entries_total 5",
        "promtail_syslog_target_parsing_errors_total 2",
        "promtail_syslog_empty_messages_total 1",
        "promtail_gelf_target_parsing_errors_total 6",
        "promtail_config_reload_fail_total 2",
        r#"promtail_read_bytes_total{path="/a.log"} 10"#,
        r#"promtail_file_bytes_total{path="/a.log"} 30"#,
        r#"promtail_read_lines_total{path="/a.log"} 6"#,
        "promtail_files_active_total 3",
        "promtail_targets_active_total 2",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}:\n{text}");
    }
}

#[test]
fn what_promtail_has_no_equal_of_stays_beside_it_and_what_it_has_is_not_shown_twice() {
    let (ours, shown) = (busy().0, shown());
    let names: BTreeSet<&str> = shown.iter().map(|family| family.name.as_str()).collect();
    assert_eq!(names.len(), shown.len(), "a family is shown twice");
    for family in &ours {
        let replaced = ROWS.iter().any(|row| row.replaces && row.from.contains(&family.name.as_str()));
        assert_eq!(names.contains(family.name.as_str()), !replaced, "{}", family.name);
    }
    assert!(
        names.contains("tailwater_refused_entries_total") && !names.contains("tailwater_sent_entries_total")
    );
}

#[test]
fn every_row_speaks_of_a_family_there_is() {
    let registry = Registry::default();
    Own::register(&registry).client("a");
    let names: BTreeSet<String> = registry.families().iter().map(|family| family.name.clone()).collect();
    for from in ROWS.iter().flat_map(|row| row.from) {
        assert!(names.contains(*from), "{from}");
    }
}

#[test]
fn a_derived_metric_keeps_a_name_that_promtail_has_too() {
    let (mut ours, clients) = busy();
    let name = "promtail_sent_entries_total".to_owned();
    ours.push(Shown { name: name.clone(), help: String::new(), kind: Kind::Gauge, samples: Vec::new() });
    let shown = with_promtails_names(ours, &[], &clients);
    let of_that_name: Vec<_> = shown.iter().filter(|family| family.name == name).collect();
    assert_eq!((of_that_name.len(), &of_that_name[0].kind), (1, &Kind::Gauge));
    assert!(shown.iter().any(|family| family.name == "tailwater_sent_entries_total"));
}
