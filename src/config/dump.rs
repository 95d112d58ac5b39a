//! A configuration as it is in effect, for people: defaults filled in, durations as Go writes them, secrets left out.
//! In: a tree and the table of its keys.  Out: YAML.  Owns: nothing.

use crate::config::table::{Effect, Kind, Row, Table};
use crate::config::units::show_duration;
use crate::config::yaml::{NOTHING, Node, Value};

const HIDDEN: &str = "<secret>";

/// Writes a block that was read before, and so is known to be valid.
pub(crate) fn dump(node: &Node, table: &Table) -> String {
    let mut out = String::new();
    block(node, table, 0, true, &mut out);
    out
}

/// `whole` shows blocks that are not there, by their defaults.
fn block(node: &Node, table: &Table, depth: usize, whole: bool, out: &mut String) {
    let entries = node.entries().unwrap_or_default();
    for row in table.0 {
        let given = entries.iter().find(|(key, _)| key.scalar() == Some(row.key)).map(|(_, value)| value);
        let given = given.filter(|value| !value.is_null());
        // What nothing here looks at is shown where it was written.
        let absent_block = given.is_none() && matches!(row.kind, Kind::Block(_));
        if given.is_some() || (row.effect == Effect::Works && (whole || !absent_block)) {
            value(row, given, depth, whole, out);
        }
    }
}

fn value(row: &Row, given: Option<&Node>, depth: usize, whole: bool, out: &mut String) {
    let key = row.key;
    match (row.kind, given) {
        (Kind::Any, _) => {}
        (Kind::Block(table), given) => {
            let mut inner = String::new();
            block(given.unwrap_or(&NOTHING), table, depth + 1, whole, &mut inner);
            if !inner.is_empty() {
                line(depth, &format!("{key}:"), out);
                out.push_str(&inner);
            }
        }
        (Kind::List(table), Some(node)) => {
            line(depth, &format!("{key}:"), out);
            for item in node.list().unwrap_or_default() {
                let start = out.len();
                block(item, table, depth + 1, false, out);
                begin_item(start, depth, out);
            }
        }
        (Kind::Each(table), Some(node)) => {
            line(depth, &format!("{key}:"), out);
            for (name, item) in node.entries().unwrap_or_default() {
                line(depth + 1, &format!("{}:", scalar(name)), out);
                block(item, table, depth + 2, false, out);
            }
        }
        (Kind::Secrets, Some(node)) => {
            line(depth, &format!("{key}:"), out);
            for (name, _) in node.entries().unwrap_or_default() {
                line(depth + 1, &format!("{}: {HIDDEN}", scalar(name)), out);
            }
        }
        (Kind::Secret, Some(_)) => line(depth, &format!("{key}: {HIDDEN}"), out),
        (Kind::Url, Some(node)) => line(depth, &format!("{key}: {}", without_password(&scalar(node))), out),
        (Kind::Duration, Some(node)) => {
            let shown = node.duration().map_or_else(|_| scalar(node), show_duration);
            line(depth, &format!("{key}: {shown}"), out);
        }
        (_, Some(node)) => tree(&format!("{key}:"), node, depth, out),
        // Other defaults are words for what is not known before it runs.
        (
            Kind::Boolean
            | Kind::Count
            | Kind::Number
            | Kind::Duration
            | Kind::PrometheusDuration
            | Kind::Bytes,
            None,
        ) if !row.default.is_empty() => line(depth, &format!("{key}: {}", row.default), out),
        (_, None) => {}
    }
}

/// A node of any shape, behind the text that its first line begins with.
fn tree(before: &str, node: &Node, depth: usize, out: &mut String) {
    match &node.value {
        Value::Scalar { .. } => line(depth, &format!("{before} {}", scalar(node)), out),
        Value::Sequence(items) if items.is_empty() => line(depth, &format!("{before} []"), out),
        Value::Mapping(entries) if entries.is_empty() => line(depth, &format!("{before} {{}}"), out),
        Value::Sequence(items) => {
            line(depth, before, out);
            // A list that is an item itself needs an indentation of its own.
            let depth = depth + usize::from(before == "-");
            for item in items {
                let start = out.len();
                match &item.value {
                    Value::Mapping(entries) if !entries.is_empty() => {
                        entries.iter().for_each(|(key, value)| {
                            tree(&format!("{}:", scalar(key)), value, depth + 1, out);
                        });
                        begin_item(start, depth, out);
                    }
                    _ => tree("-", item, depth, out),
                }
            }
        }
        Value::Mapping(entries) => {
            line(depth, before, out);
            for (key, value) in entries {
                tree(&format!("{}:", scalar(key)), value, depth + 1, out);
            }
        }
    }
}

/// Makes the first line written since `start` the first of a list item.
fn begin_item(start: usize, depth: usize, out: &mut String) {
    let indent = 2 * depth;
    if out.len() > start {
        out.replace_range(start + indent..start + indent + 1, "-");
    }
}

fn line(depth: usize, text: &str, out: &mut String) {
    out.push_str(&format!("{:indent$}{text}\n", "", indent = 2 * depth));
}

/// A scalar as YAML reads it back: as it was written where that was plain.
fn scalar(node: &Node) -> String {
    match &node.value {
        Value::Scalar { text, plain: true } if !text.is_empty() && !text.contains('\n') => text.clone(),
        Value::Scalar { text, .. } => serde_json::to_string(text).unwrap_or_default(),
        Value::Sequence(_) | Value::Mapping(_) => String::new(),
    }
}

fn without_password(url: &str) -> String {
    let Some((before, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let Some(at) = rest[..authority].rfind('@') else { return url.to_owned() };
    match rest[..at].split_once(':') {
        Some((user, _)) => format!("{before}://{user}:********{}", &rest[at..]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::table::row;
    use crate::config::yaml::parse;

    static AUTH: Table = Table(&[row("username", Kind::Text, "", ""), row("password", Kind::Secret, "", "")]);
    static CLIENT: Table = Table(&[
        row("url", Kind::Url, "", ""),
        row("batchwait", Kind::Duration, "1s", ""),
        row("basic_auth", Kind::Block(&AUTH), "", ""),
        row("headers", Kind::Secrets, "", ""),
        row("old", Kind::Any, "", "").without_effect(),
    ]);
    static ROOT: Table = Table(&[
        row("clients", Kind::List(&CLIENT), "", ""),
        row("disable", Kind::Boolean, "false", ""),
        row("stages", Kind::Stages, "", ""),
    ]);

    const GIVEN: &str = "\
stages: [{json: {expressions: {a: , \"b\": 'yes'}}}, {labeldrop: [x, [y]]}, {docker: {}}]
clients:
- {url: 'http://me:hunter2@loki/p', batchwait: 5, basic_auth: {password: hunter2}, headers: {X-Key: hunter2}}
- url: http://loki2/p
";

    #[test]
    fn what_is_shown_has_defaults_and_no_secrets() {
        let shown = dump(&parse(GIVEN).unwrap(), &ROOT);
        assert_eq!(
            shown,
            "\
clients:
- url: \"http://me:********@loki/p\"
  batchwait: 5ns
  basic_auth:
    password: <secret>
  headers:
    X-Key: <secret>
- url: http://loki2/p
  batchwait: 1s
disable: false
stages:
- json:
    expressions:
      a: \"\"
      \"b\": \"yes\"
- labeldrop:
  - x
  -
    - y
- docker: {}
"
        );
        assert!(parse(&shown).is_ok(), "what is shown can be read back");
    }
}
