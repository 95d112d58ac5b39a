//! The reference of the configuration, made of the tables that read it.
//! In: the tables of blocks and stages.  Out: Markdown.  Owns: nothing.

use crate::agent::settings::ROOT;
use crate::config::{Effect, Kind, Row, Table};
use crate::pipeline::{STAGES, StageOptions};

/// Every block and stage with its keys.
pub(crate) fn reference() -> String {
    let mut out = String::from("## Reference\n");
    block("", &ROOT, &mut Vec::new(), &mut out);
    out.push_str("\n### Stages\n");
    for stage in &STAGES {
        out.push_str(&format!("\n**`{}`** {}.", stage.name, stage.about));
        match stage.options {
            StageOptions::Block(table) if table.0.is_empty() => out.push_str(" No options.\n"),
            StageOptions::Block(table) => keys(table, &mut out),
            StageOptions::Names(names) | StageOptions::List(names) => {
                out.push_str(&format!(" {names}.\n"));
            }
            StageOptions::Each(table) => {
                out.push_str(" Under each name:");
                keys(table, &mut out);
            }
        }
    }
    out
}

/// `done` are the tables that are in the document already, by their paths.
fn block(path: &str, table: &'static Table, done: &mut Vec<(&'static Table, String)>, out: &mut String) {
    if !path.is_empty() {
        out.push_str(&format!("\n### `{path}`\n"));
    }
    if let Some((_, first)) = done.iter().find(|(other, _)| std::ptr::eq(*other, table)) {
        out.push_str(&format!("\nThe keys of `{first}`.\n"));
        return;
    }
    done.push((table, path.to_owned()));
    keys(table, out);
    let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    for row in table.0.iter().filter(|row| row.effect != Effect::NotYet) {
        // The old block has the keys of the list.
        if matches!(row.effect, Effect::Old(_) | Effect::Nothing) {
            continue;
        }
        match row.kind {
            Kind::Block(table) => block(&join(row.key), table, done, out),
            Kind::List(table) => block(&format!("{}[]", join(row.key)), table, done, out),
            Kind::Each(table) => block(&format!("{}.*", join(row.key)), table, done, out),
            _ => {}
        }
    }
}

fn keys(table: &Table, out: &mut String) {
    let rows = |wanted: fn(&Row) -> bool| table.0.iter().filter(move |row| wanted(row));
    let mut working = rows(|row| matches!(row.effect, Effect::Works | Effect::Old(_))).peekable();
    out.push('\n');
    if working.peek().is_some() {
        out.push_str("| key | | default | |\n|---|---|---|---|\n");
    }
    for row in working {
        let default = if row.default.is_empty() { String::new() } else { format!("`{}`", row.default) };
        let doc = match row.effect {
            Effect::Old(instead) => format!("{}; deprecated: {instead}", row.doc),
            _ => row.doc.to_owned(),
        };
        let doc = doc.replace('|', "\\|");
        out.push_str(&format!("| `{}` | {} | {default} | {doc} |\n", row.key, row.kind.describe()));
    }
    let idle: Vec<&Row> = rows(|row| row.effect == Effect::Nothing).collect();
    list("Accepted without effect", &idle, out);
    let missing: Vec<&Row> = rows(|row| row.effect == Effect::NotYet).collect();
    list("Refused by name", &missing, out);
}

fn list(what: &str, rows: &[&Row], out: &mut String) {
    if !rows.is_empty() {
        let keys = rows.iter().map(|row| match row.doc {
            "" => format!("`{}`", row.key),
            doc => format!("`{}` ({doc})", row.key),
        });
        out.push_str(&format!("\n{what}: {}.\n", keys.collect::<Vec<_>>().join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::metrics::{Family, Kind, Own, Registry};

    const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");

    #[test]
    fn the_document_names_every_metric_of_the_agent_and_its_type() {
        let registry = Registry::default();
        Own::register(&registry);
        let text = std::fs::read_to_string(DOCUMENT).unwrap();
        let row = |family: &Arc<Family>| {
            let kind = match family.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram(_) => "histogram",
            };
            format!("| `{}` | {kind} |", family.name)
        };
        let missing: Vec<String> = registry.families().iter().map(row).collect();
        let missing: Vec<String> = missing.into_iter().filter(|row| !text.contains(row.as_str())).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    /// `TAILWATER_UPDATE_DOCS=1` writes the reference instead of comparing it.
    #[test]
    fn the_document_has_the_reference_that_the_tables_make() {
        let text = std::fs::read_to_string(DOCUMENT).unwrap();
        let (before, _) = text.split_once("## Reference\n").unwrap_or((&text, ""));
        let wanted = format!("{before}{}", reference());
        if std::env::var_os("TAILWATER_UPDATE_DOCS").is_some() {
            std::fs::write(DOCUMENT, wanted).unwrap();
        } else {
            assert!(
                text == wanted,
                "the tables have changed: TAILWATER_UPDATE_DOCS=1 cargo test --lib reference"
            );
        }
    }
}
