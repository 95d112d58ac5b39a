//! Holds the shape of the code: which module may name which, and what every file must have.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which module may name which. Everything may name `record`, `clock`, `flow`, `config` and `metrics`, as far as these
/// do not name each other; a new arrow is a line to be reviewed here.
const ARROWS: [(&str, &[&str]); 19] = [
    ("cli", &["agent", "clock", "config", "metrics", "pipeline", "record", "retention"]),
    (
        "agent",
        &[
            "batch",
            "clock",
            "config",
            "custody",
            "delivery",
            "discovery",
            "flow",
            "http",
            "metrics",
            "pipeline",
            "record",
            "retention",
            "server",
            "source",
            "targets",
        ],
    ),
    ("fuzzing", &["agent", "config", "custody", "discovery", "metrics", "pipeline", "source"]),
    (
        "hops",
        &[
            "agent", "batch", "config", "custody", "flow", "metrics", "pipeline", "record", "source",
            "targets",
        ],
    ),
    ("server", &["clock", "custody", "flow", "http", "metrics", "record", "targets"]),
    ("targets", &["clock", "custody", "flow", "record"]),
    (
        "discovery",
        &["clock", "config", "custody", "flow", "http", "metrics", "pipeline", "record", "source", "targets"],
    ),
    ("source", &["batch", "clock", "custody", "flow", "http", "metrics", "pipeline", "record", "targets"]),
    ("pipeline", &["batch", "clock", "config", "custody", "flow", "metrics", "record", "targets"]),
    ("batch", &["clock", "custody", "flow", "metrics", "record"]),
    ("delivery", &["batch", "clock", "custody", "flow", "http", "metrics", "record"]),
    ("retention", &["batch", "clock", "config", "custody", "flow", "http", "metrics", "pipeline", "record"]),
    ("http", &["clock", "record"]),
    ("custody", &["clock", "flow", "record"]),
    ("config", &[]),
    ("metrics", &["clock", "record"]),
    ("flow", &["clock", "record"]),
    ("clock", &["record"]),
    ("record", &[]),
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 7] = ["mod", "util", "utils", "common", "helpers", "misc", "prelude"];

/// Longer files are usually two concepts; the longest there is may not grow.
const LONGEST_FILE: usize = 400;

fn source_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { directories.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

/// The top-level module a file belongs to.
fn module(file: &Path) -> String {
    let within = file.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let first = within.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

#[test]
fn modules_name_only_those_they_may() {
    let name = regex::Regex::new(r"crate::(?:\{([^}]*)\}|([a-z_]+))").unwrap();
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in source_files() {
        let text = fs::read_to_string(&file).unwrap();
        for found in name.captures_iter(&text) {
            let named = found.get(1).or(found.get(2)).unwrap().as_str();
            for named in named.split(',').map(|part| part.trim().split([':', ' ']).next().unwrap().to_owned())
            {
                arrows.entry(module(&file)).or_default().insert(named);
            }
        }
    }
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.into();
    for (from, to) in &arrows {
        for to in to.iter().filter(|to| *to != from) {
            let may = allowed.get(from.as_str()).is_some_and(|allowed| allowed.contains(&to.as_str()));
            assert!(may, "`{from}` names `{to}`, which the table in this file does not allow");
        }
    }
    for (from, to) in allowed {
        for to in to {
            let used = arrows.get(from).is_some_and(|arrows| arrows.contains(*to));
            assert!(used, "`{from}` does not name `{to}` any more: take it out of the table");
        }
    }
}

#[test]
fn every_file_says_what_it_is_and_what_flows_through_it() {
    for file in source_files() {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(!EMPTY_NAMES.contains(&name.as_str()), "{} needs a name that says something", file.display());
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//!"), "{} does not say what it is", file.display());
        let lines = text.lines().count();
        assert!(lines <= LONGEST_FILE, "{} has {lines} lines: it is probably two concepts", file.display());
        // The program's two entries and test tables have nothing flowing through them.
        let is_test = text.contains("#[test]") && !text.contains("\n#[cfg(test)]\nmod ");
        if is_test || ["main", "lib", "tests"].contains(&name.as_str()) {
            continue;
        }
        let head: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
        for part in ["In:", "Out:", "Owns:"] {
            assert!(head.contains(part), "{} does not say `{part}`", file.display());
        }
    }
}
