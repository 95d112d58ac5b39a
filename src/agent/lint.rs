//! What is allowed in a configuration and looks like a mistake.
//! In: the root of a valid configuration.  Out: warnings.  Owns: the names that make labels without bound.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;

use crate::agent::settings::ROOT;
use crate::config::{Effect, Invalid, Kind, Node, Position, Table, nearest};
use crate::pipeline::{STAGES, StageKind, StageOptions};

/// Names of what is different on nearly every line. Each value would be a stream of its own in Loki.
#[allow(clippy::expect_used, reason = "a constant expression, compiled by every test of this file")]
static UNBOUNDED: LazyLock<Regex> = LazyLock::new(|| {
    let names = "(?i)^(?:(?:.*_)?(?:(?:trace|span|request|req|correlation|session|transaction|tx|user|customer|order|\
                 message|msg|event|connection|conn|thread|process|proc|invocation|execution|run)_?id|uuid|guid|ulid|\
                 nonce|pid|tid|timestamp|time|ts|duration(?:_?(?:ms|us|ns|s|seconds))?|latency|elapsed|seq|sequence|offset|\
                 size|bytes(?:_sent)?|content_length|message|msg|ip|ip_?addr(?:ess)?|remote_?addr|client_?ip|\
                 (?:remote|client|source|src)_?port|url|uri|query|user_?agent|referr?er|email|token)\
                 |(?:(?:request|req|http|url|uri)_?)?path)$";
    Regex::new(names).expect("this expression is valid")
});

/// Labels before relabelling that are different on nearly every line. A container's id is not: it makes a stream of each
/// container, and so does its name.
#[allow(clippy::expect_used, reason = "a constant expression, compiled by every test of this file")]
static UNBOUNDED_META: LazyLock<Regex> = LazyLock::new(|| {
    let names = "^__journal_(?:.*_)?(?:pid|timestamp|invocation_id|audit_session|message)$|^__syslog_message_proc_id$";
    Regex::new(names).expect("this expression is valid")
});

/// What was found.
#[derive(Default)]
struct Findings {
    warnings: Vec<Invalid>,
    /// What stages of the pipeline at hand extract by a key of another name.
    keys: HashMap<String, String>,
}

/// All warnings, in the order of the file.
pub(super) fn warnings(root: &Node) -> Vec<Invalid> {
    let mut findings = Findings::default();
    block(root, &ROOT, &mut findings);
    cardinality(root.under("cardinality"), &mut findings.warnings);
    let mut warnings = findings.warnings;
    warnings.sort_by_key(|warning| (warning.at.line, warning.at.column));
    warnings
}

fn block(node: &Node, table: &Table, findings: &mut Findings) {
    for (key, value) in node.entries().unwrap_or_default() {
        let Some(row) = key.scalar().and_then(|name| table.row(name, false)) else { continue };
        // What a flag says has no other spelling.
        if let (Effect::Old(instead), true) = (row.effect, key.at != Position::COMMAND_LINE) {
            findings.warnings.push(key.invalid(format!("`{}` is deprecated", row.key)).help(instead));
        }
        if row.key == "relabel_configs" {
            value
                .list()
                .unwrap_or_default()
                .iter()
                .for_each(|rule| relabelling(rule, &mut findings.warnings));
        }
        match row.kind {
            Kind::Block(table) => block(value, table, findings),
            Kind::List(table) => {
                value.list().unwrap_or_default().iter().for_each(|item| block(item, table, findings));
            }
            Kind::Stages => {
                findings.keys.clear();
                stages(value, findings);
            }
            _ => {}
        }
    }
}

fn cardinality(block: &Node, warnings: &mut Vec<Invalid>) {
    let number = |key| block.under(key).count().unwrap_or(0);
    let (streams, values) = (number("max_streams"), number("max_label_values"));
    // Without `max_streams` there is its default.
    if values > if streams == 0 { 10_000 } else { streams } {
        let warning = block.under("max_label_values").invalid("`max_label_values` is above `max_streams`");
        warnings.push(warning.help("each value makes a stream at least: `max_streams` is what holds"));
    }
}

fn relabelling(rule: &Node, warnings: &mut Vec<Invalid>) {
    let replaces = rule
        .under("action")
        .scalar()
        .is_none_or(|action| action.is_empty() || action.eq_ignore_ascii_case("replace"));
    if !replaces || rule.under("target_label").scalar().is_none_or(|target| target.starts_with("__")) {
        return;
    }
    for source in rule.under("source_labels").list().unwrap_or_default() {
        if let Some(name) = source.scalar().filter(|name| UNBOUNDED_META.is_match(name)) {
            warnings.push(unbounded(source, name));
        }
    }
}

fn unbounded(at: &Node, name: &str) -> Invalid {
    let warning = at.invalid(format!("a label from `{name}` makes a stream of nearly every line"));
    warning.help("keep it in the line, or use `structured_metadata`")
}

fn stages(list: &Node, findings: &mut Findings) {
    for item in list.list().unwrap_or_default() {
        let Ok([(key, options)]) = item.entries() else { continue };
        let Some(kind) = STAGES.iter().find(|kind| key.scalar() == Some(kind.name)) else { continue };
        stage(kind, key, options, findings);
    }
}

fn stage(kind: &StageKind, key: &Node, options: &Node, findings: &mut Findings) {
    match kind.name {
        "non_indexed_labels" => {
            let warning =
                key.invalid("`non_indexed_labels` is deprecated").help("write `structured_metadata`");
            findings.warnings.push(warning);
        }
        "labels" => labels(options, findings),
        "json" => findings.note_keys(options.under("expressions")),
        "logfmt" => findings.note_keys(options.under("mapping")),
        _ => {}
    }
    match kind.options {
        StageOptions::Block(table) => stage_options(kind.name, options, table, findings),
        StageOptions::Each(table) => {
            for (_, options) in options.entries().unwrap_or_default() {
                stage_options(kind.name, options, table, findings);
            }
        }
        StageOptions::Names(_) | StageOptions::List(_) => {}
    }
}

/// Promtail ignores options it does not know in silence.
fn stage_options(stage: &str, options: &Node, table: &Table, findings: &mut Findings) {
    for (key, value) in options.entries().unwrap_or_default() {
        let name = key.scalar().unwrap_or_default();
        let Some(row) = table.row(name, true) else {
            let warning = key.invalid(format!("`{stage}` has no option `{name}`, it is ignored"));
            findings.warnings.push(match nearest(name, table.0.iter().map(|row| row.key)) {
                Some(near) => warning.help(format!("did you mean `{near}`?")),
                None => warning,
            });
            continue;
        };
        match row.kind {
            Kind::Block(table) => stage_options(stage, value, table, findings),
            Kind::Stages => stages(value, findings),
            _ => {}
        }
    }
}

fn labels(mapping: &Node, findings: &mut Findings) {
    for (label, source) in mapping.entries().unwrap_or_default() {
        let source = source.scalar().filter(|_| !source.is_null()).or(label.scalar());
        let key = source.and_then(|source| findings.keys.get(source)).map(String::as_str);
        let mut names = [label.scalar(), source, key].into_iter().flatten();
        if let Some(name) = names.find(|name| UNBOUNDED.is_match(name)) {
            findings.warnings.push(unbounded(label, name));
        }
    }
}

impl Findings {
    /// Notes the last part of each path, such as `trace_id` of `t: context.trace_id`. What is more than a path says too
    /// little about its values.
    fn note_keys(&mut self, mapping: &Node) {
        for (name, path) in mapping.entries().unwrap_or_default() {
            let (Some(name), Some(path)) = (name.scalar(), path.scalar()) else { continue };
            let is_path =
                path.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '"' | '@'));
            let last = path.rsplit('.').next().unwrap_or_default().trim_matches('"').replace('-', "_");
            if is_path && !last.is_empty() {
                self.keys.insert(name.to_owned(), last);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_yaml;

    fn shown(text: &str) -> Vec<String> {
        let found = warnings(&parse_yaml(text).unwrap());
        found.iter().map(|warning| format!("{}: {warning}", warning.at.line)).collect()
    }

    #[test]
    fn what_looks_like_a_mistake_is_named_where_it_stands() {
        let text = "\
client: {url: 'http://x/push'}
scrape_configs:
- job_name: j
  pipeline_stages:
  - match:
      selector: '{a=\"b\"}'
      stages:
      - labels: {level: , trace: traceID, request_id: }
  - non_indexed_labels: {a: }
  - Output: {}
  - output: {Source: a, sourse: b}
  - metrics: {m: {type: Counter, config: {action: inc, match: all}}}
";
        assert_eq!(
            shown(text),
            [
                "1: `client` is deprecated",
                "8: a label from `traceID` makes a stream of nearly every line",
                "8: a label from `request_id` makes a stream of nearly every line",
                "9: `non_indexed_labels` is deprecated",
                "11: `output` has no option `sourse`, it is ignored",
                "12: `metrics` has no option `match`, it is ignored",
            ]
        );
    }

    #[test]
    fn a_label_is_known_by_the_key_its_value_comes_from() {
        let text = "\
scrape_configs:
- job_name: a
  pipeline_stages:
  - json: {expressions: {t: context.trace_id, s: '\"span-id\"', n: 'length(trace_id)', level: lvl}}
  - logfmt: {mapping: {r: request_id}}
  - labels: {trace: t}
  - match:
      selector: '{a=\"b\"}'
      stages: [{labels: {s: , n: , level: , r: }}]
- job_name: b
  pipeline_stages:
  - labels: {t: }
";
        let from = |line: u32, name: &str| {
            format!("{line}: a label from `{name}` makes a stream of nearly every line")
        };
        assert_eq!(shown(text), [from(6, "trace_id"), from(9, "span_id"), from(9, "request_id")]);
    }

    #[test]
    fn names_of_what_has_no_bound_are_known() {
        let names = "trace_id, traceID, spanId, uuid, pid, ts, duration, duration_ms, durationMs, path, request_path, \
                     http_path, timestamp, response_time, remote_addr, client_ip, user_agent, bytes_sent, msg, url, \
                     session_id, x_request_id, start_ts, elapsed";
        for name in names.split(", ").map(str::trim) {
            assert!(UNBOUNDED.is_match(name), "{name}");
        }
    }

    #[test]
    fn relabelling_warns_of_what_each_message_has_and_not_of_containers() {
        let text = "\
scrape_configs:
- job_name: a
  relabel_configs:
  - {source_labels: [__meta_docker_container_id], target_label: container_id}
  - {source_labels: [__journal__systemd_unit], target_label: unit}
  - {source_labels: [__journal__systemd_unit, __journal__pid], target_label: process}
  - {source_labels: [__journal__pid], regex: '1', action: keep}
  - {source_labels: [__syslog_message_proc_id], target_label: __x}
  - {source_labels: [__syslog_message_proc_id], target_label: pid}
";
        let shown: Vec<String> = shown(text).iter().map(|line| line.chars().take(40).collect()).collect();
        assert_eq!(
            shown,
            ["6: a label from `__journal__pid` makes a", "9: a label from `__syslog_message_proc_i"]
        );
    }

    #[test]
    fn limits_that_make_no_sense_are_named() {
        let warning = "1: `max_label_values` is above `max_streams`";
        assert_eq!(shown("cardinality: {max_streams: 10, max_label_values: 11}"), [warning]);
        assert_eq!(shown("cardinality: {max_label_values: 10001}"), [warning]);
        assert!(shown("cardinality: {max_streams: 10, max_label_values: 10}").is_empty());
        assert!(shown("cardinality: {max_streams: 10}").is_empty());
    }

    #[test]
    fn the_usual_labels_pass() {
        let labels = "level, service, app, stream, container, host, method, status, component, env, lang, timezone, container_id, \
             unit, transport, filename, logger, code, route, endpoint, thread, namespace, pod, image, region";
        let mapping: Vec<String> = labels.split(", ").map(|label| format!("{label}: ")).collect();
        let text = format!("scrape_configs: [{{pipeline_stages: [{{labels: {{{}}}}}]}}]", mapping.join(", "));
        assert_eq!(shown(&text), Vec::<String>::new());
    }
}
