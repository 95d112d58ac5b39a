//! From the YAML tree to settings: every rule of every block, in one place.
//! In: the root node.  Out: [`Settings`].  Owns: the table of top-level keys.

mod cardinality;
mod clients;
mod http_client;
mod jobs;
mod limits;
mod retention;
mod server;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use crate::config::{Block, Invalid, Kind, Node, Table, row};
use crate::delivery::DeadLetterSettings;
use crate::metrics::{Own, Registry};
use crate::pipeline::{Limits as PipelineLimits, Pipeline};
use crate::record::{ByteCount, Labels};
use crate::retention::Settings as RetentionSettings;
use crate::server::Settings as ServerSettings;
use crate::{custody, delivery};

pub(super) use clients::{CLIENT, nodes as clients};
pub(crate) use jobs::{Files, Job};
pub(super) use limits::Limits;
pub(crate) use server::LogFormat;

/// A whole configuration, ready to run.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) server: Option<ServerSettings>,
    pub(crate) log_level: LevelFilter,
    pub(crate) log_format: LogFormat,
    /// Whether there is a /reload page, and the configuration file is watched.
    pub(crate) runtime_reload: bool,
    /// Nothing gets through for so long, and the agent is not ready.
    pub(crate) stalled_after: Duration,
    pub(crate) positions: custody::Settings,
    pub(crate) clients: Vec<delivery::Settings>,
    /// Without it and without clients lines are printed.
    pub(crate) retention: Option<Arc<RetentionSettings>>,
    /// Where refused entries are kept, if they are.
    pub(crate) dead_letters: Option<DeadLetterSettings>,
    pub(crate) jobs: Vec<Job>,
    /// How often globs are looked at.
    pub(crate) sync_period: Duration,
    /// Shortest and longest pause between two looks at a file that no event told of.
    pub(crate) file_polls: (Duration, Duration),
    /// What all pipelines together may let through, and what keeps labels from making too many streams.
    pub(crate) limits: PipelineLimits,
    /// Whether derived metrics outlive the process.
    pub(crate) persist_metrics: bool,
    /// Read standard input instead of the jobs' targets.
    pub(crate) stdin: bool,
    /// A pipeline that changes nothing, the limits aside.
    pub(crate) no_stages: Arc<Pipeline>,
    /// Print to standard error what stages do to each line.
    pub(crate) inspect: bool,
    /// What is allowed and looks like a mistake.
    pub(crate) warnings: Vec<Invalid>,
}

/// What decoding needs beside the tree, and gathers.
pub(super) struct Reader<'r> {
    registry: &'r Registry,
    own: &'r Own,
    limits: Limits,
    warnings: Vec<Invalid>,
}

/// The keys of a configuration.
pub(super) static ROOT: Table = Table(&[
    row("server", Kind::Block(&server::SERVER), "", "The agent's own pages and its log"),
    row("positions", Kind::Block(&POSITIONS), "", "Where it is kept how far each target was read"),
    row(
        "clients",
        Kind::List(&clients::CLIENT),
        "",
        "Where lines are pushed; without any, and without `retention`, they are archived beside the positions file, or printed where that cannot be written",
    ),
    row(
        "client",
        Kind::Block(&clients::CLIENT),
        "",
        "One more client where it has a `url`; its `external_labels` are given to all",
    )
    .old("write it as an item of `clients`"),
    row("dead_letter", Kind::Block(&DEAD_LETTER), "", "Where entries are kept that Loki refused for good"),
    row(
        "retention",
        Kind::Block(&retention::RETENTION),
        "",
        "What is archived beside Loki, and for how long",
    ),
    row("scrape_configs", Kind::List(&jobs::JOB), "", "What is read"),
    row("metrics", Kind::Block(&METRICS), "", "Metrics derived from lines"),
    row("target_config", Kind::Block(&TARGETS), "", "How targets are looked for"),
    row("limits_config", Kind::Block(&limits::LIMITS), "", "Limits over all jobs"),
    row(
        "cardinality",
        Kind::Block(&cardinality::CARDINALITY),
        "",
        "How many streams labels may make, over all jobs",
    ),
    row("global", Kind::Block(&GLOBAL), "", "How files are watched"),
    row(
        "wal",
        Kind::Block(&WAL),
        "",
        "Promtail's write-ahead log; positions that follow Loki's answers do its work",
    )
    .without_effect(),
    row("options", Kind::Block(&NO_KEYS), "", "Must be empty").without_effect(),
    row("tracing", Kind::Block(&TRACING), "", "Tracing of Promtail itself").without_effect(),
]);

static METRICS: Table = Table(&[row(
    "persist",
    Kind::Boolean,
    "true",
    "Their values are saved with the positions and go on after a restart or a kill as if it had not been",
)]);

static POSITIONS: Table = Table(&[
    row(
        "filename",
        Kind::Text,
        "/var/log/positions.yaml",
        "Promtail's file, read and kept up to date, or Alloy's, which is only read; the exact state is kept beside it, as `positions.state`, `positions.state.previous` and `positions.times`",
    ),
    row(
        "sync_period",
        Kind::Duration,
        "10s",
        "How often positions are saved, and once more at the end; above 0",
    ),
    row("ignore_invalid_yaml", Kind::Boolean, "false", "A damaged file never keeps the agent from starting")
        .without_effect(),
]);

static DEAD_LETTER: Table = Table(&[
    row("enabled", Kind::Boolean, "true", ""),
    row(
        "filename",
        Kind::Text,
        "",
        "A JSON object a line. Default: `positions.dead-letter.jsonl` beside the positions file",
    ),
    row("max_size", Kind::Bytes, "16MB", "Of this file and the one before it, `….1`, together"),
]);

static TARGETS: Table = Table(&[
    row("sync_period", Kind::Duration, "10s", "How often file patterns are looked up again"),
    row("stdin", Kind::Boolean, "false", "Read standard input through the first job's stages, then end"),
]);

static GLOBAL: Table = Table(&[row("file_watch_config", Kind::Block(&FILE_WATCH), "", "Polling of files")]);

static FILE_WATCH: Table = Table(&[
    row(
        "min_poll_frequency",
        Kind::Duration,
        "1s",
        "Pause between two looks at a file that no event told of; Promtail's default is 250ms",
    ),
    row(
        "max_poll_frequency",
        Kind::Duration,
        "1s",
        "What that pause grows to while nothing happens; not below the other",
    ),
]);

static WAL: Table = Table(&[
    row("enabled", Kind::Boolean, "false", "").without_effect(),
    row("dir", Kind::Text, "", "").without_effect(),
    row("cleanSegmentsOlderThan", Kind::Duration, "1h", "").without_effect(),
    row("watchConfig", Kind::Block(&WAL_WATCH), "", "").without_effect(),
]);

static WAL_WATCH: Table = Table(&[
    row("minReadFrequency", Kind::Duration, "250ms", "").without_effect(),
    row("maxReadFrequency", Kind::Duration, "1s", "").without_effect(),
    row("drainTimeout", Kind::Duration, "30s", "").without_effect(),
]);

static TRACING: Table = Table(&[row("enabled", Kind::Boolean, "true", "").without_effect()]);

static NO_KEYS: Table = Table(&[]);

impl Settings {
    /// Reads the root of a configuration.
    #[cfg(any(fuzzing, test, feature = "hops"))]
    pub(crate) fn decode(root: &Node, registry: &Registry, own: &Own) -> Result<Settings, Invalid> {
        Settings::decode_beside(None, root, registry, own)
    }

    /// Reads the root of a configuration, where another runs with these limits.
    pub(super) fn decode_beside(
        running: Option<&PipelineLimits>,
        root: &Node,
        registry: &Registry,
        own: &Own,
    ) -> Result<Settings, Invalid> {
        let block = root.block(&ROOT)?;
        let server = server::decode(&block.block("server")?)?;
        let positions = positions(&block.block("positions")?)?;
        let mut clients = clients::decode(&block)?;
        clients::place_spools(&mut clients, &positions.file);
        let retention = block.optional("retention", |node| retention::decode(node, &positions.file))?;
        let dead_letters = dead_letters(&block.block("dead_letter")?, &positions.file)?;
        let running_rate = running.and_then(|running| running.rate.as_ref());
        let mut limits = limits::decode(&block.block("limits_config")?, own, running_rate)?;
        let running_guard = running.and_then(|running| running.guard.as_ref());
        let guard = cardinality::decode(&block.block("cardinality")?, own, running_guard)?;
        limits.pipeline.guard = Some(guard);
        let file_polls = file_polls(&block.block("global")?.block("file_watch_config")?)?;
        let targets = block.block("target_config")?;
        let sync_period = targets.optional("sync_period", Node::duration)?.filter(|period| !period.is_zero());
        let stdin = targets.optional("stdin", Node::boolean)?.unwrap_or(false);
        let persist = block.block("metrics")?.optional("persist", Node::boolean)?;
        let no_stages = Pipeline::compile(None, &limits.pipeline, registry, own)?;
        let mut reader = Reader { registry, own, limits, warnings: Vec::new() };
        let jobs = block.optional("scrape_configs", |list| jobs::decode(list, &mut reader))?;
        Ok(Settings {
            server: server.http,
            log_level: server.log_level,
            log_format: server.log_format,
            runtime_reload: server.runtime_reload,
            stalled_after: server.stalled_after,
            positions,
            clients: reader.limits.apply_to(clients),
            retention: retention.map(Arc::new),
            dead_letters,
            jobs: jobs.unwrap_or_default(),
            sync_period: sync_period.unwrap_or(Duration::from_secs(10)),
            file_polls,
            limits: reader.limits.pipeline.clone(),
            persist_metrics: persist.unwrap_or(true),
            stdin,
            no_stages: Arc::new(no_stages),
            inspect: false,
            warnings: reader.warnings,
        })
    }

    /// Lines go to an archive where nothing else is configured to take them.
    pub(crate) fn archive_by_default(&mut self) {
        if self.prints() && !self.stdin && !self.inspect {
            self.retention = Some(Arc::new(retention::embedded(&self.positions.file)));
        }
    }

    /// True where nobody takes lines.
    pub(crate) fn prints(&self) -> bool {
        self.clients.is_empty() && self.retention.is_none()
    }

    /// Adds labels to every client that does not have them.
    pub(crate) fn add_external_labels(&mut self, labels: &[(String, String)]) {
        let labels: Labels = labels.iter().map(|(name, value)| (name, value.as_str())).collect();
        clients::merge_external_labels(&mut self.clients, &labels);
    }
}

fn positions(block: &Block<'_>) -> Result<custody::Settings, Invalid> {
    let file = block.optional("filename", |node| Ok(PathBuf::from(node.text()?)))?;
    Ok(custody::Settings {
        file: file.unwrap_or_else(|| "/var/log/positions.yaml".into()),
        sync_period: block.optional("sync_period", above_zero)?.unwrap_or(Duration::from_secs(10)),
    })
}

fn dead_letters(block: &Block<'_>, positions: &Path) -> Result<Option<DeadLetterSettings>, Invalid> {
    let enabled = block.optional("enabled", Node::boolean)?.unwrap_or(true);
    let file = block.optional("filename", |node| Ok(PathBuf::from(node.text()?)))?;
    let limit = block.optional("max_size", Node::bytes)?.map_or(ByteCount::mib(16), ByteCount);
    let file = file.unwrap_or_else(|| positions.with_extension("dead-letter.jsonl"));
    Ok(Some(DeadLetterSettings { file, limit }).filter(|_| enabled))
}

fn file_polls(block: &Block<'_>) -> Result<(Duration, Duration), Invalid> {
    let read = |key| block.optional(key, |node| Ok((node, above_zero(node)?)));
    let (min, max) = (read("min_poll_frequency")?, read("max_poll_frequency")?);
    match (min, max) {
        (Some((_, min)), Some((node, max))) if max < min => {
            Err(node.invalid("`max_poll_frequency` is below `min_poll_frequency`"))
        }
        (Some((_, min)), Some((_, max))) => Ok((min, max)),
        (Some((_, only)), None) | (None, Some((_, only))) => Ok((only, only)),
        (None, None) => Ok((Duration::from_secs(1), Duration::from_secs(1))),
    }
}

fn above_zero(node: &Node) -> Result<Duration, Invalid> {
    match node.duration()? {
        Duration::ZERO => Err(node.invalid("this duration must be above 0")),
        duration => Ok(duration),
    }
}

fn labels(node: &Node) -> Result<Labels, Invalid> {
    let mut labels = Labels::default();
    for (key, value) in node.entries()? {
        labels.set(key.text()?, value.text()?);
    }
    Ok(labels)
}

#[cfg(test)]
mod tests;
