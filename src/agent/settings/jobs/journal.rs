//! The `journal` block.
//! In: the block.  Out: what to read of the systemd journal.  Owns: its table.

use std::path::PathBuf;
use std::time::Duration;

use crate::agent::settings::{Reader, labels};
use crate::config::{Invalid, Kind, Node, Table, row};
use crate::pipeline::relabel::Rule;
use crate::source::journal::{Matches, Settings};

pub(super) static JOURNAL: Table = Table(&[
    row(
        "path",
        Kind::Text,
        "",
        "The journal's directory; without one, `/var/log/journal` and `/run/log/journal`",
    ),
    row("max_age", Kind::Duration, "7h", "What is older is passed over, also where it has not been read yet"),
    row("matches", Kind::Text, "", "`FIELD=VALUE` terms: one of those of the same field, and each field"),
    row("json", Kind::Boolean, "false", "Lines are all fields of an entry as JSON, in place of its message"),
    row("labels", Kind::Labels, "", "Set on every line, over its own `__journal_…` labels"),
]);

const MAX_AGE: Duration = Duration::from_secs(7 * 60 * 60);

pub(super) fn decode(node: &Node, rules: &[Rule], reader: &mut Reader<'_>) -> Result<Settings, Invalid> {
    let block = node.block(&JOURNAL)?;
    let labels = block.optional("labels", labels)?.unwrap_or_default();
    if rules.is_empty() && labels.iter().all(|(name, _)| name.starts_with("__")) {
        let warning = node.invalid("entries have no labels but hidden ones, so all of them will be dropped");
        reader.warnings.push(warning.help("give it `labels`, or `relabel_configs` such as {source_labels: [__journal__systemd_unit], target_label: unit}"));
    }
    let path = block.optional("path", Node::text)?.filter(|path| !path.is_empty());
    let matches = block.optional("matches", |node| {
        Matches::parse(node.text()?).map_err(|bad| {
            node.invalid(bad.to_string()).help("matches: _SYSTEMD_UNIT=sshd.service PRIORITY=3 PRIORITY=4")
        })
    })?;
    Ok(Settings {
        json: block.optional("json", Node::boolean)?.unwrap_or(false),
        max_age: block.optional("max_age", Node::duration)?.unwrap_or(MAX_AGE),
        labels,
        path: path.map(PathBuf::from),
        matches: matches.unwrap_or_default(),
    })
}
