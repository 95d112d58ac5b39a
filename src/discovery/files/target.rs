//! A target's labels made a group of files.
//! In: labels before relabelling, rules.  Out: a group, or why there is none.  Owns: nothing.

use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};

use crate::pipeline::relabel::{self, LabelMap, Rule};
use crate::record::Labels;

/// One group of files of one job.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// Absolute, as written.
    pub(super) pattern: String,
    pub(super) include: GlobMatcher,
    pub(super) exclude: Option<GlobMatcher>,
    /// After relabelling, without `filename`.
    pub(super) labels: Labels,
    /// Before relabelling.
    pub(super) discovered: LabelMap,
}

/// Why a target has no files.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("this group is for the host `{0}`, and this one is another")]
    OtherHost(String),
    #[error("this group has no `__path__` label, so it names no files")]
    NoPath,
    #[error("`{pattern}` is no file pattern: {reason}")]
    NoPattern { pattern: String, reason: globset::ErrorKind },
}

impl Group {
    /// The files of a target; `None` where a rule drops it.
    pub(crate) fn of(labels: LabelMap, rules: &[Rule]) -> Result<Option<Group>, Unusable> {
        let discovered = labels.clone();
        let Some(mut labels) = relabel::apply(rules, labels) else { return Ok(None) };
        if let Some(host) = labels.remove("__host__").filter(|host| *host != hostname()) {
            return Err(Unusable::OtherHost(host));
        }
        let pattern = absolute(&labels.remove("__path__").ok_or(Unusable::NoPath)?);
        let exclude =
            labels.remove("__path_exclude__").map(|pattern| glob(&absolute(&pattern))).transpose()?;
        let include = glob(&pattern)?;
        Ok(Some(Group { pattern, include, exclude, labels: relabel::visible(labels), discovered }))
    }

    /// All files that this pattern matches.
    pub(super) fn all(pattern: &str) -> Result<Group, Unusable> {
        let pattern = absolute(pattern);
        let include = glob(&pattern)?;
        let (labels, discovered) = (Labels::default(), LabelMap::new());
        Ok(Group { pattern, include, exclude: None, labels, discovered })
    }

    pub(super) fn matches(&self, path: &Path) -> bool {
        self.include.is_match(path) && !self.exclude.as_ref().is_some_and(|exclude| exclude.is_match(path))
    }

    /// True when the other has the same files and labels.
    pub(super) fn is_same(&self, other: &Group) -> bool {
        let exclude = |group: &Group| group.exclude.as_ref().map(|exclude| exclude.glob().clone());
        self.pattern == other.pattern && exclude(self) == exclude(other) && self.labels == other.labels
    }
}

/// Compiles a glob as Promtail's library reads it: `*` stays within a directory, `**` does not.
fn glob(pattern: &str) -> Result<GlobMatcher, Unusable> {
    let built = GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build();
    let glob = built
        .map_err(|error| Unusable::NoPattern { pattern: pattern.to_owned(), reason: error.kind().clone() })?;
    Ok(glob.compile_matcher())
}

/// This host's name, as Promtail asks for it.
fn hostname() -> String {
    let given = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    let kernel =
        || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    given.unwrap_or_else(kernel)
}

fn absolute(pattern: &str) -> String {
    match std::env::current_dir() {
        Ok(directory) if !Path::new(pattern).is_absolute() => directory.join(pattern).display().to_string(),
        _ => pattern.to_owned(),
    }
}
