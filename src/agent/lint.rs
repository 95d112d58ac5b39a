//! What is allowed in a configuration and looks like a mistake.
//! In: the root of a valid configuration.  Out: warnings.  Owns: the names that make labels without bound.

use std::sync::LazyLock;

use regex::Regex;

use crate::agent::settings::ROOT;
use crate::config::{Effect, Invalid, Kind, Node, Position, Table, nearest};
use crate::pipeline::{STAGES, StageKind, StageOptions};

/// Names of what is different on nearly every line. Each value would be a stream of its own in Loki.
#[allow(clippy::expect_used, reason = "a constant expression, compiled by every test of this file")]
static UNBOUNDED: LazyLock<Regex> = LazyLock::new(|| {
    let names = "(?i)^(?:.*_)?(?:(?:trace|span|request|req|correlation|session|transaction|tx|user|customer|order|\
                 message|event|connection|thread|process)_?id|uuid|guid|pid|timestamp|time|ts|duration(?:_ms)?|latency|\
                 message|msg|ip|ip_?addr(?:ess)?|remote_?addr|client_?ip|url|uri|query|user_?agent|referr?er|email|token)$";
    Regex::new(names).expect("this expression is valid")
});

/// All warnings, in the order of the file.
pub(super) fn warnings(root: &Node) -> Vec<Invalid> {
    let mut warnings = Vec::new();
    block(root, &ROOT, &mut warnings);
    warnings.sort_by_key(|warning| (warning.at.line, warning.at.column));
    warnings
}

fn block(node: &Node, table: &Table, warnings: &mut Vec<Invalid>) {
    for (key, value) in node.entries().unwrap_or_default() {
        let Some(row) = key.scalar().and_then(|name| table.row(name, false)) else { continue };
        // What a flag says has no other spelling.
        if let (Effect::Old(instead), true) = (row.effect, key.at != Position::COMMAND_LINE) {
            warnings.push(key.invalid(format!("`{}` is deprecated", row.key)).help(instead));
        }
        match row.kind {
            Kind::Block(table) => block(value, table, warnings),
            Kind::List(table) => {
                value.list().unwrap_or_default().iter().for_each(|item| block(item, table, warnings));
            }
            Kind::Stages => stages(value, warnings),
            _ => {}
        }
    }
}

fn stages(list: &Node, warnings: &mut Vec<Invalid>) {
    for item in list.list().unwrap_or_default() {
        let Ok([(key, options)]) = item.entries() else { continue };
        let Some(kind) = STAGES.iter().find(|kind| key.scalar() == Some(kind.name)) else { continue };
        stage(kind, key, options, warnings);
    }
}

fn stage(kind: &StageKind, key: &Node, options: &Node, warnings: &mut Vec<Invalid>) {
    if kind.name == "non_indexed_labels" {
        warnings.push(key.invalid("`non_indexed_labels` is deprecated").help("write `structured_metadata`"));
    }
    if kind.name == "labels" {
        labels(options, warnings);
    }
    match kind.options {
        StageOptions::Block(table) => stage_options(kind.name, options, table, warnings),
        StageOptions::Each(table) => {
            for (_, options) in options.entries().unwrap_or_default() {
                stage_options(kind.name, options, table, warnings);
            }
        }
        StageOptions::Names(_) | StageOptions::List(_) => {}
    }
}

/// Promtail ignores options it does not know in silence.
fn stage_options(stage: &str, options: &Node, table: &Table, warnings: &mut Vec<Invalid>) {
    for (key, value) in options.entries().unwrap_or_default() {
        let name = key.scalar().unwrap_or_default();
        let Some(row) = table.row(name, true) else {
            let warning = key.invalid(format!("`{stage}` has no option `{name}`, it is ignored"));
            warnings.push(match nearest(name, table.0.iter().map(|row| row.key)) {
                Some(near) => warning.help(format!("did you mean `{near}`?")),
                None => warning,
            });
            continue;
        };
        match row.kind {
            Kind::Block(table) => stage_options(stage, value, table, warnings),
            Kind::Stages => stages(value, warnings),
            _ => {}
        }
    }
}

fn labels(mapping: &Node, warnings: &mut Vec<Invalid>) {
    for (label, source) in mapping.entries().unwrap_or_default() {
        let names = [label.scalar(), source.scalar().filter(|_| !source.is_null())];
        if let Some(name) = names.into_iter().flatten().find(|name| UNBOUNDED.is_match(name)) {
            let warning = label.invalid(format!("a label from `{name}` makes a stream of nearly every line"));
            warnings.push(warning.help("keep it in the line, or use `structured_metadata`"));
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
    fn the_usual_labels_pass() {
        let labels =
            "level, service, app, stream, container, host, method, status, component, env, lang, timezone";
        let mapping: Vec<String> = labels.split(", ").map(|label| format!("{label}: ")).collect();
        let text = format!("scrape_configs: [{{pipeline_stages: [{{labels: {{{}}}}}]}}]", mapping.join(", "));
        assert_eq!(shown(&text), Vec::<String>::new());
    }
}
