//! What a job says of files.
//! In: the block of a job.  Out: groups of files, lists of targets, how to read them.  Owns: its tables.

use std::sync::Arc;
use std::time::Duration;

use crate::agent::settings::Reader;
use crate::config::{Block, Invalid, Kind, Node, Table, row};
use crate::discovery::files::{self, Group, How, Lists, Unusable};
use crate::pipeline::relabel::{LabelMap, Rule};
use crate::record::Labels;
use crate::source::file::{Decompression, Encoding, Format};
use crate::targets::LeftOutJob;

/// The files of a job.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub(crate) groups: Vec<Arc<Group>>,
    pub(crate) lists: Vec<Lists>,
    /// Targets of `static_configs` that are not followed.
    pub(crate) left_out: LeftOutJob,
    pub(crate) how: How,
}

pub(super) static STATIC: Table = Table(&[
    row(
        "labels",
        Kind::Labels,
        "",
        "`__path__` names the files: `*`, `?`, `[a-z]`, `{a,b}`, `**` over directories; `__path_exclude__` leaves out some of them; `filename` is added",
    ),
    row("targets", Kind::Texts, "[localhost]", "The first entry becomes `__address__`"),
]);

pub(super) static LISTED: Table = Table(&[
    row(
        "files",
        Kind::Texts,
        "",
        "Required: names or patterns (`/etc/targets/*.yml`) of `.json`, `.yml` and `.yaml` files, which are lists of `targets` and `labels` as in `static_configs`; `__meta_filepath` is the name of the file",
    ),
    row(
        "refresh_interval",
        Kind::PrometheusDuration,
        "5m",
        "How often they are read again; changes are noticed at once where file events are available",
    ),
]);

pub(super) static DECOMPRESSION: Table = Table(&[
    row("enabled", Kind::Boolean, "false", ""),
    row("initial_delay", Kind::Duration, "0s", "Before a file is opened that was just found"),
    row("format", Kind::Text, "", "`gz`, `z`, `bz2`, `zst` or `xz`; by default what the file itself says"),
]);

impl Files {
    /// True where there is nothing to follow.
    pub(crate) fn is_none(&self) -> bool {
        self.groups.is_empty() && self.lists.is_empty() && self.left_out.count == 0
    }
}

/// The files of a job; `None` for one that speaks of none.
pub(super) fn decode(
    block: &Block<'_>,
    rules: &Arc<Vec<Rule>>,
    static_labels: &mut Labels,
    reader: &mut Reader<'_>,
) -> Result<Option<Files>, Invalid> {
    let mut left_out = LeftOutJob::default();
    let groups = block.optional("static_configs", |list| {
        list.list_of(|group| static_group(group, rules, static_labels, &mut left_out, reader))
    })?;
    let lists = block.optional("file_sd_configs", |list| list.list_of(|item| listed(item, rules)))?;
    let encoding = block.optional("encoding", |node| {
        Encoding::named(node.text()?).map_err(|error| {
            let names = "such as utf-16, utf-16le, windows-1252, iso-8859-15, shift_jis, gbk or big5";
            node.invalid(error.to_string()).help(format!("use a name of the WHATWG list, {names}"))
        })
    })?;
    let decompression = decompression(&block.block("decompression")?)?;
    if groups.is_none() && lists.is_none() {
        return Ok(None);
    }
    Ok(Some(Files {
        groups: groups.unwrap_or_default().into_iter().flatten().map(Arc::new).collect(),
        lists: lists.unwrap_or_default(),
        left_out,
        how: How { encoding, decompression },
    }))
}

/// One `static_configs` item: a group of files, or none where relabelling drops it.
fn static_group(
    node: &Node,
    rules: &[Rule],
    all_labels: &mut Labels,
    left_out: &mut LeftOutJob,
    reader: &mut Reader<'_>,
) -> Result<Option<Group>, Invalid> {
    let block = node.block(&STATIC)?;
    // Promtail makes a target of each name here, all with the same files; one is enough.
    let targets = block.optional("targets", |list| list.list_of(|name| Ok(name.text()?.to_owned())))?;
    let address =
        targets.and_then(|targets| targets.into_iter().next()).unwrap_or_else(|| "localhost".to_owned());
    let mut labels = LabelMap::from([("__address__".to_owned(), address)]);
    for (key, value) in block.optional("labels", Node::entries)?.unwrap_or_default() {
        labels.insert(key.text()?.to_owned(), value.text()?.to_owned());
        if !key.text()?.starts_with("__") {
            all_labels.set(key.text()?, value.text()?);
        }
    }
    let discovered = labels.clone();
    let unusable = match Group::of(labels, rules) {
        Ok(Some(group)) => return Ok(Some(group)),
        Ok(None) => {
            left_out.add("relabelling drops it", || discovered);
            return Ok(None);
        }
        Err(unusable) => unusable,
    };
    left_out.add(unusable.to_string(), || discovered);
    let invalid = node.invalid(unusable.to_string());
    // Promtail counts it as a failed target and goes on with the others.
    reader.warnings.push(match unusable {
        Unusable::NoPattern { .. } => return Err(invalid),
        Unusable::NoPath => invalid.help("labels: {__path__: /var/log/*.log}"),
        Unusable::OtherHost(_) => invalid,
    });
    Ok(None)
}

fn listed(node: &Node, rules: &Arc<Vec<Rule>>) -> Result<Lists, Invalid> {
    let block = node.block(&LISTED)?;
    let mut patterns = Vec::new();
    for pattern in block.required("files")?.list()? {
        if !files::is_pattern(pattern.text()?) {
            let message = format!("`{}` is no name of a file that lists targets", pattern.text()?);
            let help = "it ends in .json, .yml or .yaml, and has at most one `*`, behind the last `/`";
            return Err(pattern.invalid(message).help(help));
        }
        patterns.push(pattern.text()?.to_owned());
    }
    if patterns.is_empty() {
        return Err(node.invalid("`files` is empty"));
    }
    let interval = block.optional("refresh_interval", |node| match node.prometheus_duration()? {
        Duration::ZERO => Err(node.invalid("`refresh_interval` must be above 0")),
        interval => Ok(interval),
    })?;
    let interval = interval.unwrap_or(Duration::from_secs(300));
    Lists::new(&patterns, interval, rules.clone()).map_err(|error| node.invalid(error.to_string()))
}

fn decompression(block: &Block<'_>) -> Result<Option<Decompression>, Invalid> {
    let enabled = block.optional("enabled", Node::boolean)?.unwrap_or(false);
    let initial_delay = block.optional("initial_delay", Node::duration)?.unwrap_or_default();
    let format = block.optional("format", |node| {
        let unknown =
            || node.invalid(format!("`{}` is no format that can be unpacked", node.text().unwrap_or("")));
        Format::named(node.text()?).ok_or_else(|| unknown().help("use gz, z, bz2, zst or xz"))
    })?;
    Ok(enabled.then_some(Decompression { initial_delay, format }))
}
