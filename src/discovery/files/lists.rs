//! Files that list targets: one item of `file_sd_configs`.
//! In: files of YAML or JSON.  Out: groups of files.  Owns: what each file said when it was last understood.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tracing::{info, warn};

use crate::clock::Instant;
use crate::config::{Invalid, Kind, Node, Table, parse_yaml, row};
use crate::discovery::files::target::{Group, Unusable};
use crate::discovery::files::walk;
use crate::metrics::Own;
use crate::pipeline::relabel::{LabelMap, Rule};
use crate::targets::LeftOutJob;

/// Longer files list nothing that could be followed.
const LONGEST: u64 = 16 << 20;

/// What the name of such a file ends in.
const ENDINGS: [&str; 3] = [".json", ".yml", ".yaml"];

/// One item of `file_sd_configs`.
#[derive(Debug)]
pub(crate) struct Lists {
    patterns: Vec<Group>,
    refresh_interval: Duration,
    rules: Arc<Vec<Rule>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the files are read again; at once the first time.
    due: Option<Instant>,
    /// By file, what it said when it was last understood.
    groups: BTreeMap<PathBuf, Vec<Arc<Group>>>,
    /// Where such files are, or may appear.
    directories: BTreeSet<PathBuf>,
    /// By file, what of that is not followed.
    left_out: BTreeMap<PathBuf, LeftOutJob>,
    /// What was told of a file, so that it is told once.
    told: BTreeMap<PathBuf, String>,
}

static TARGETS: Table =
    Table(&[row("targets", Kind::Texts, "[localhost]", ""), row("labels", Kind::Labels, "", "")]);

impl Lists {
    /// Of files that these patterns match; each must be one of [`is_pattern`].
    pub(crate) fn new(
        patterns: &[String],
        refresh_interval: Duration,
        rules: Arc<Vec<Rule>>,
    ) -> Result<Lists, Unusable> {
        let patterns = patterns.iter().map(|pattern| Group::all(pattern)).collect::<Result<_, _>>()?;
        Ok(Lists { patterns, refresh_interval, rules, state: Mutex::default() })
    }

    /// The groups of all files, in the order of their names.
    pub(super) fn groups(&self) -> Vec<Arc<Group>> {
        self.lock().groups.values().flatten().cloned().collect()
    }

    /// Targets that are not followed.
    pub(super) fn left_out(&self) -> LeftOutJob {
        self.lock().left_out.values().cloned().fold(LeftOutJob::default(), LeftOutJob::and)
    }

    pub(super) fn directories(&self) -> BTreeSet<PathBuf> {
        self.lock().directories.clone()
    }

    /// When the files should be read again.
    pub(super) fn due(&self) -> Instant {
        self.lock().due.unwrap_or_else(Instant::now)
    }

    /// The files are read again at the next look if any may be in one of these directories.
    pub(super) fn read_again_in(&self, directories: &BTreeSet<PathBuf>) {
        let mut state = self.lock();
        if !state.directories.is_disjoint(directories) {
            state.due = None;
        }
    }

    /// A file event: true if this is one of the files, which are then read again at the next look.
    pub(super) fn hint(&self, path: &Path) -> bool {
        let is_one = self.patterns.iter().any(|pattern| pattern.matches(path));
        if is_one {
            self.lock().due = None;
        }
        is_one
    }

    /// Reads the files again if it is time to.
    pub(super) fn refresh(&self, job: &str, own: &Own) {
        let mut state = self.lock();
        if state.due.is_some_and(|due| Instant::now() < due) {
            return;
        }
        state.due = Some(Instant::now() + self.refresh_interval);
        let found: Vec<walk::Found> = self.patterns.iter().map(walk::find).collect();
        // A directory that cannot be listed for the moment has its files still.
        if !found.iter().any(|found| found.failed) {
            let there: BTreeSet<&PathBuf> = found.iter().flat_map(|found| &found.files).collect();
            state.groups.retain(|file, _| there.contains(file));
            state.told.retain(|file, _| there.contains(file));
            state.left_out.retain(|file, _| there.contains(file));
        }
        state.directories = found.iter().flat_map(|found| found.directories.clone()).collect();
        for file in found.into_iter().flat_map(|found| found.files).collect::<BTreeSet<_>>() {
            match self.read(&file) {
                Ok((groups, troubles, left_out)) => {
                    state.left_out.insert(file.clone(), left_out);
                    if !state.groups.get(&file).is_some_and(|before| are_same(before, &groups)) {
                        info!(job, path = %file.display(), groups = groups.len(), "targets read");
                        state.groups.insert(file.clone(), groups);
                    }
                    state.tell(job, file, troubles);
                }
                Err(error) => {
                    own.target_files_failed.add(1.0);
                    let keeps = "it keeps the targets it had";
                    state.tell(job, file, format!("{error}; {keeps}"));
                }
            }
        }
    }

    /// What a file says, what of that cannot be followed, and what else is not.
    fn read(&self, file: &Path) -> Result<(Vec<Arc<Group>>, String, LeftOutJob), String> {
        let text = read(file).map_err(|error| error.to_string())?;
        let mut groups: Vec<Arc<Group>> = Vec::new();
        let (mut troubles, mut left_out) = (Vec::new(), LeftOutJob::default());
        for mut labels in targets(&text, file.extension().is_some_and(|extension| extension == "json"))? {
            labels.insert("__meta_filepath".to_owned(), file.display().to_string());
            let discovered = labels.clone();
            match Group::of(labels, &self.rules) {
                // Targets differ in their address alone, most often.
                Ok(Some(group)) if !groups.iter().any(|other| other.is_same(&group)) => {
                    groups.push(Arc::new(group))
                }
                Ok(Some(_)) => {}
                Ok(None) => left_out.add("relabelling drops it", || discovered),
                Err(unusable) => {
                    troubles.push(unusable.to_string());
                    left_out.add(unusable.to_string(), || discovered);
                }
            }
        }
        troubles.dedup();
        troubles.truncate(5);
        Ok((groups, troubles.join("; "), left_out))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that holds it leaves anything half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell(&mut self, job: &str, file: PathBuf, trouble: String) {
        if trouble.is_empty() {
            self.told.remove(&file);
        } else if self.told.get(&file) != Some(&trouble) {
            warn!(job, path = %file.display(), error = trouble, "not all targets can be followed");
            self.told.insert(file, trouble);
        }
    }
}

fn are_same(before: &[Arc<Group>], now: &[Arc<Group>]) -> bool {
    before.len() == now.len() && before.iter().zip(now).all(|(before, now)| before.is_same(now))
}

/// True for a pattern that may stand in `files`: a name with one of the endings, in which a `*` may stand.
pub(crate) fn is_pattern(pattern: &str) -> bool {
    let (directory, name) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    let ends = ENDINGS.iter().any(|ending| name.to_ascii_lowercase().ends_with(ending));
    ends && !directory.contains('*') && name.matches('*').count() <= 1
}

fn read(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(file)?.take(LONGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(io::Error::other("the file is too long"));
    }
    Ok(text)
}

/// Targets that have their labels in common.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    #[serde(default)]
    targets: Vec<String>,
    #[serde(default)]
    labels: LabelMap,
}

/// The targets that a file lists, each with its labels.
fn targets(text: &str, is_json: bool) -> Result<Vec<LabelMap>, String> {
    let groups: Vec<Listed> = if is_json {
        serde_json::from_str(text).map_err(|error| error.to_string())?
    } else {
        let read = parse_yaml(text).and_then(|root| root.list_of(listed));
        read.map_err(|error| error.to_string())?
    };
    Ok(groups.into_iter().flat_map(Listed::split).collect())
}

fn listed(node: &Node) -> Result<Listed, Invalid> {
    let block = node.block(&TARGETS)?;
    let targets = block.optional("targets", |list| list.list_of(|name| Ok(name.text()?.to_owned())))?;
    let mut labels = LabelMap::new();
    for (key, value) in block.optional("labels", Node::entries)?.unwrap_or_default() {
        labels.insert(key.text()?.to_owned(), value.text()?.to_owned());
    }
    Ok(Listed { targets: targets.unwrap_or_default(), labels })
}

impl Listed {
    fn split(mut self) -> impl Iterator<Item = LabelMap> {
        if self.targets.is_empty() {
            // A group without an address is one on this host, as in `static_configs`.
            self.targets.push("localhost".to_owned());
        }
        self.targets.into_iter().map(move |address| {
            let mut labels = self.labels.clone();
            labels.insert("__address__".to_owned(), address);
            labels
        })
    }
}

/// Every target has an address.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz(text: &str) {
    for read in [targets(text, false), targets(text, true)] {
        assert!(read.into_iter().flatten().all(|labels| labels.contains_key("__address__")));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::metrics::Registry;

    #[test]
    fn patterns_are_those_that_promtail_takes() {
        for pattern in ["a.json", "/etc/targets/*.yml", "t-*.yaml", "*.JSON"] {
            assert!(is_pattern(pattern), "{pattern}");
        }
        for pattern in ["a.txt", "/etc/*/a.yml", "a", "**/*.yml", "a*b*.json"] {
            assert!(!is_pattern(pattern), "{pattern}");
        }
    }

    #[test]
    fn targets_are_read_from_yaml_and_from_json() {
        let yaml = "- targets: [a, b]\n  labels: {__path__: /x, port: 80}\n- labels: {__path__: /y}\n";
        let read = targets(yaml, false).unwrap();
        let addresses: Vec<&str> = read.iter().map(|labels| labels["__address__"].as_str()).collect();
        assert_eq!(addresses, ["a", "b", "localhost"]);
        assert_eq!(read[1]["port"], "80");
        let json = r#"[{"targets": ["a"], "labels": {"__path__": "/x\/y", "l": "\ud83d\ude00"}}]"#;
        assert_eq!(targets(json, true).unwrap()[0]["__path__"], "/x/y");
        assert_eq!(targets(json, true).unwrap()[0]["l"], "😀");
        for (text, is_json) in [
            ("- a", false),
            ("a: 1", false),
            ("- {targetts: [a]}", false),
            ("- targets: [a]", true),
            ("", true),
        ] {
            assert!(targets(text, is_json).is_err(), "{text}");
        }
        assert!(targets("", false).unwrap().is_empty(), "an empty file lists nothing");
    }

    #[test]
    fn a_file_that_is_not_understood_keeps_its_targets_and_one_that_is_gone_has_none() {
        let directory = tempfile::tempdir().unwrap();
        let own = Own::register(&Registry::default());
        let file = directory.path().join("a.yml");
        let pattern = format!("{}/*.yml", directory.path().display());
        let lists = Lists::new(&[pattern], Duration::ZERO, Arc::default()).unwrap();
        let patterns = |text: &str| {
            fs::write(&file, text).unwrap();
            lists.refresh("job", &own);
            lists.groups().iter().map(|group| group.pattern.clone()).collect::<Vec<_>>()
        };
        assert_eq!(patterns("- targets: [a, b]\n  labels: {__path__: /x}"), ["/x"]);
        assert_eq!(patterns("- targets: [a"), ["/x"]);
        assert_eq!(own.target_files_failed.value(), 1.0);
        assert_eq!(patterns("- labels: {__path__: /y}\n- labels: {a: b}"), ["/y"]);
        fs::remove_file(&file).unwrap();
        lists.refresh("job", &own);
        assert!(lists.groups().is_empty());
    }
}
