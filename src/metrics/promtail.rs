//! Promtail's names for what the agent counts, for dashboards and alerts that were made for Promtail.
//! In: the agent's families, what is known of targets, where clients push.  Out: Promtail's families beside those that it has
//! no name for.  Owns: the table of names.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::metrics::registry::{Kind, Pairs, SERIES_LIMIT};
use crate::metrics::{Reading, Shown, TargetReading};

/// Where a client pushes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Destination {
    /// `host:port` of its URL.
    pub(crate) host: String,
    /// What it pushes as, where lines say nothing else; may be empty.
    pub(crate) tenant: String,
}

/// A family of Promtail's.
struct Row {
    name: &'static str,
    help: &'static str,
    labels: &'static [(&'static str, Value)],
    /// Families of ours that it is made of.
    from: &'static [&'static str],
    /// Of their series only those with these labels.
    only: &'static [(&'static str, &'static str)],
    /// And not those with this one.
    except: Option<(&'static str, &'static str)>,
    /// It says all that ours say.
    replaces: bool,
}

/// Where a label has its value from.
enum Value {
    /// A label of ours.
    Of(&'static str),
    /// Of the client.
    Host,
    /// The same.
    Tenant,
    /// Why a client gave lines up, in Promtail's four words.
    Reason,
    /// A status, -1 where there was no answer.
    Status,
    Always(&'static str),
}

use Value::{Always, Host, Of, Reason, Status, Tenant};

const fn row(
    name: &'static str,
    help: &'static str,
    labels: &'static [(&'static str, Value)],
    from: &'static [&'static str],
) -> Row {
    Row { name, help, labels, from, only: &[], except: None, replaces: false }
}

impl Row {
    const fn only(self, labels: &'static [(&'static str, &'static str)]) -> Row {
        Row { only: labels, ..self }
    }

    const fn except(self, name: &'static str, value: &'static str) -> Row {
        Row { except: Some((name, value)), ..self }
    }

    const fn replaces(self) -> Row {
        Row { replaces: true, ..self }
    }
}

/// Promtail 3.6's families, as far as they are shown. What is said of files is in [`of_files`].
// A row is a few lines; formatted it would be twice as many.
#[rustfmt::skip]
static ROWS: [Row; 20] = [
    row("promtail_encoded_bytes_total", "Compressed bytes of batches ready to be sent",
        &[("host", Host)], &["tailwater_compressed_bytes_total"]).replaces(),
    row("promtail_sent_bytes_total", "Compressed bytes of acknowledged pushes",
        &[("host", Host)], &["tailwater_sent_bytes_total"]).replaces(),
    row("promtail_sent_entries_total", "Entries Loki acknowledged",
        &[("host", Host)], &["tailwater_sent_entries_total"]).replaces(),
    row("promtail_dropped_entries_total", "Entries Loki refused for good, or that were given up",
        &[("host", Host), ("tenant", Tenant), ("reason", Reason)],
        &["tailwater_refused_entries_total", "tailwater_dropped_entries_total"]),
    row("promtail_request_duration_seconds", "Duration of push requests",
        &[("status_code", Status), ("host", Host)], &["tailwater_request_duration_seconds"]).replaces(),
    row("promtail_batch_retries_total", "Pushes tried again",
        &[("host", Host), ("tenant", Tenant)], &["tailwater_push_retries_total"]),
    row("logentry_dropped_lines_total", "Lines removed by a rule of the configuration",
        &[("reason", Of("reason"))], &["tailwater_lines_dropped_total"]).replaces(),
    row("logentry_dropped_lines_by_label_total", "Lines above the rate of a label value",
        &[("label_name", Of("label_name")), ("label_value", Of("label_value"))],
        &["tailwater_lines_dropped_by_label_total"]).replaces(),
    row("promtail_docker_target_entries_total", "Lines read from containers",
        &[], &["tailwater_lines_read_total"]).only(&[("source", "docker")]),
    row("promtail_docker_target_parsing_errors_total", "Pieces of Docker log streams without a readable time or header",
        &[], &["tailwater_docker_frames_malformed_total"]).replaces(),
    row("promtail_journal_target_lines_total", "Lines read from the journal",
        &[], &["tailwater_lines_read_total"]).only(&[("source", "journal")]),
    row("promtail_syslog_target_entries_total", "Lines received as syslog",
        &[], &["tailwater_lines_read_total"]).only(&[("source", "syslog")]),
    row("promtail_syslog_target_parsing_errors_total", "Syslog messages that cannot be read",
        &[], &["tailwater_messages_dropped_total"]).only(&[("source", "syslog")]).except("reason", "empty"),
    row("promtail_syslog_empty_messages_total", "Syslog messages without a message",
        &[], &["tailwater_messages_dropped_total"]).only(&[("source", "syslog"), ("reason", "empty")]),
    row("promtail_gelf_target_entries_total", "Lines received as GELF",
        &[], &["tailwater_lines_read_total"]).only(&[("source", "gelf")]),
    row("promtail_gelf_target_parsing_errors_total", "GELF messages that cannot be read",
        &[], &["tailwater_messages_dropped_total"]).only(&[("source", "gelf")]),
    row("promtail_build_info", "Always 1",
        &[("branch", Always("")), ("goarch", Always(GOARCH)), ("goos", Always(std::env::consts::OS)),
          ("goversion", Always("")), ("revision", Always("")), ("tags", Always("")), ("version", Of("version"))],
        &["tailwater_build_info"]),
    row("promtail_config_reload_success_total", "Times the configuration was read again and came into force",
        &[], &["tailwater_config_reloads_total"]).only(&[("result", "success")]).replaces(),
    row("promtail_config_reload_fail_total", "Times the configuration was read again and refused",
        &[], &["tailwater_config_reloads_total"]).only(&[("result", "failure")]).replaces(),
    row("loki_log_messages_total", "Lines the agent wrote into its own log",
        &[("level", Of("level"))], &["tailwater_log_lines_total"]).replaces(),
];

/// As Go calls it.
const GOARCH: &str = match std::env::consts::ARCH.as_bytes() {
    b"x86_64" => "amd64",
    b"aarch64" => "arm64",
    _ => std::env::consts::ARCH,
};

/// Promtail's families, and those of ours that they do not say all of.
pub(super) fn with_promtails_names(
    ours: Vec<Shown>,
    targets: &[TargetReading],
    clients: &BTreeMap<String, Destination>,
) -> Vec<Shown> {
    // A metric derived from lines keeps its name, and then ours goes on under its own too.
    let taken: HashSet<String> = ours.iter().map(|family| family.name.clone()).collect();
    let rows: Vec<&Row> = ROWS.iter().filter(|row| !taken.contains(row.name)).collect();
    let mut shown: Vec<Shown> = rows.iter().filter_map(|row| row.show(&ours, clients)).collect();
    shown.extend(of_files(targets).into_iter().filter(|family| !taken.contains(&family.name)));
    let replaced = |name: &str| rows.iter().any(|row| row.replaces && row.from.contains(&name));
    shown.extend(ours.into_iter().filter(|family| !replaced(&family.name)));
    shown
}

impl Row {
    /// The family, where ours have a series for it. Series of ours that have the same labels here are added up.
    fn show(&self, ours: &[Shown], clients: &BTreeMap<String, Destination>) -> Option<Shown> {
        let from: Vec<&Shown> =
            ours.iter().filter(|family| self.from.contains(&family.name.as_str())).collect();
        let mut samples: BTreeMap<Pairs, Reading> = BTreeMap::new();
        for (pairs, reading) in from.iter().flat_map(|family| &family.samples) {
            if self.takes(pairs) {
                let labels = self.pairs(pairs, clients);
                samples.entry(labels).and_modify(|sum| add(sum, reading)).or_insert_with(|| reading.clone());
            }
        }
        if samples.is_empty() {
            return None;
        }
        let kind = from.first()?.kind.clone();
        let samples = samples.into_iter().map(|(pairs, reading)| (Arc::new(pairs), reading)).collect();
        Some(Shown { name: self.name.to_owned(), help: self.help.to_owned(), kind, samples })
    }

    fn takes(&self, pairs: &Pairs) -> bool {
        let has = |wanted: &(&str, &str)| label(pairs, wanted.0) == wanted.1;
        self.only.iter().all(has) && !self.except.iter().any(has)
    }

    fn pairs(&self, pairs: &Pairs, clients: &BTreeMap<String, Destination>) -> Pairs {
        // What is beyond a family's limit has no other label.
        if let Some(overflow) = pairs.iter().find(|(name, _)| name == "overflow") {
            return vec![overflow.clone()];
        }
        let client = label(pairs, "client");
        let (host, tenant) = clients.get(client).map_or((client, ""), |to| (&to.host, &to.tenant));
        let value = |value: &Value| match value {
            Of(name) => label(pairs, name),
            Host => host,
            Tenant => tenant,
            Reason => reason(label(pairs, "reason")),
            Status => match label(pairs, "status") {
                "error" => "-1",
                status => status,
            },
            Always(value) => value,
        };
        self.labels.iter().map(|(name, from)| ((*name).to_owned(), value(from).to_owned())).collect()
    }
}

/// Promtail's word for why a client gave lines up.
fn reason(ours: &str) -> &'static str {
    match ours {
        "rate_limited" | "above_burst" => "rate_limited",
        "stream_limit" => "stream_limited",
        "line_too_long" => "line_too_long",
        _ => "ingester_error",
    }
}

/// The value of a label; empty where there is none, as for Prometheus.
fn label<'p>(pairs: &'p Pairs, wanted: &str) -> &'p str {
    pairs.iter().find(|(name, _)| name == wanted).map_or("", |(_, value)| value)
}

fn add(sum: &mut Reading, more: &Reading) {
    match (sum, more) {
        (Reading::Number(sum), Reading::Number(more)) => *sum += more,
        (Reading::Histogram { counts, sum }, Reading::Histogram { counts: more, sum: further }) => {
            counts.iter_mut().zip(more).for_each(|(count, more)| *count += more);
            *sum += further;
        }
        // Families that are put together are of one kind.
        _ => {}
    }
}

/// Of the files that are read, of which a family names as many as others have series. Two jobs may read one: how far it is read is then true of the one that is furthest behind.
fn of_files(targets: &[TargetReading]) -> Vec<Shown> {
    let files: Vec<&TargetReading> = targets.iter().filter(|target| target.kind == "file").collect();
    let (named, beyond) = files.split_at(files.len().min(SERIES_LIMIT));
    if files.is_empty() {
        return Vec::new();
    }
    let family = |name: &str, help: &str, kind: Kind, samples: BTreeMap<Pairs, f64>| {
        let samples = samples.into_iter();
        let samples = samples.map(|(pairs, value)| (Arc::new(pairs), Reading::Number(value))).collect();
        Shown { name: name.to_owned(), help: help.to_owned(), kind, samples }
    };
    let path = |file: &TargetReading| vec![("path".to_owned(), file.name.clone())];
    let of_path = |value: fn(u64, u64) -> u64| {
        let mut samples = BTreeMap::new();
        for file in named {
            if let Some((offset, length)) = file.file {
                let least: &mut f64 = samples.entry(path(file)).or_insert(f64::INFINITY);
                *least = least.min(value(offset, length) as f64);
            }
        }
        samples
    };
    let mut lines = BTreeMap::new();
    for file in named {
        *lines.entry(path(file)).or_insert(0.0) += file.lines as f64;
    }
    if !beyond.is_empty() {
        let sum: u64 = beyond.iter().map(|file| file.lines).sum();
        lines.insert(vec![("overflow".to_owned(), "true".to_owned())], sum as f64);
    }
    let jobs: HashSet<&str> = files.iter().map(|file| file.job.as_str()).collect();
    let one = |value: usize| BTreeMap::from([(Pairs::new(), value as f64)]);
    let (read, long) = (of_path(|offset, _| offset), of_path(|_, length| length));
    let families = [
        family("promtail_read_bytes_total", "How far the file is read", Kind::Gauge, read),
        family("promtail_file_bytes_total", "How long the file is", Kind::Gauge, long),
        family("promtail_read_lines_total", "Lines read", Kind::Counter, lines),
        family("promtail_files_active_total", "Files being read", Kind::Gauge, one(files.len())),
        family("promtail_targets_active_total", "Jobs that read files", Kind::Gauge, one(jobs.len())),
    ];
    families.into_iter().filter(|family| !family.samples.is_empty()).collect()
}

#[cfg(test)]
mod tests;
