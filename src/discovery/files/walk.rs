//! Finds the files that a glob matches.
//! In: a group's patterns.  Out: paths, and the directories to watch for more.  Owns: nothing.

use std::path::{Path, PathBuf};

use crate::discovery::files::target::Group;

/// Files found by one job; a glob that matches more is a mistake that should be heard of.
pub(super) const MOST_FILES: usize = 100_000;

/// What a walk came to.
pub(super) struct Found {
    pub(super) files: Vec<PathBuf>,
    /// Directories in which a match may appear.
    pub(super) directories: Vec<PathBuf>,
    pub(super) failed: bool,
}

/// Walks the part of the tree that a pattern can match.
pub(super) fn find(group: &Group) -> Found {
    let mut found = Found { files: Vec::new(), directories: Vec::new(), failed: false };
    let literal = Path::new(&group.pattern);
    // A pattern that is the name of a file is that file, whatever its characters could mean.
    if literal.is_file() {
        found.files.push(literal.to_owned());
        found.directories.extend(literal.parent().map(Path::to_owned));
        return found;
    }
    let (root, depth) = root_and_depth(&group.pattern);
    walk(&root, depth, group, &mut found);
    found
}

/// The longest directory without wildcards, and how many levels below it the pattern reaches; `None` is any.
fn root_and_depth(pattern: &str) -> (PathBuf, Option<usize>) {
    let wild = |component: &str| component.contains(['*', '?', '[', '{', '\\']);
    let components: Vec<&str> = pattern.split('/').collect();
    let first = components.iter().position(|component| wild(component)).unwrap_or(components.len() - 1);
    let root = components[..first].join("/");
    let root = if root.is_empty() { "/".into() } else { root.into() };
    let below = &components[first..];
    // Alternatives may hold separators, so their depth is not known either.
    let bounded = !below.iter().any(|component| *component == "**" || component.contains('{'));
    (root, bounded.then_some(below.len()))
}

fn walk(directory: &Path, depth: Option<usize>, group: &Group, found: &mut Found) {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            found.failed |= error.kind() != std::io::ErrorKind::NotFound;
            return;
        }
    };
    found.directories.push(directory.to_owned());
    let mut paths: Vec<(PathBuf, bool)> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_type().ok().map(|kind| (entry.path(), kind.is_dir())))
        .collect();
    // Of one directory: nothing before the names needs to be compared.
    paths.sort_unstable_by(|(a, _), (b, _)| a.as_os_str().cmp(b.as_os_str()));
    for (path, is_directory) in paths {
        if is_directory {
            if depth != Some(1) {
                walk(&path, depth.map(|depth| depth - 1), group, found);
            }
        } else if group.matches(&path) && path.is_file() && found.files.len() < MOST_FILES {
            found.files.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn matching(pattern: &str, exclude: Option<&str>) -> Vec<PathBuf> {
        let exclude = exclude.map(|pattern| ("__path_exclude__".to_owned(), pattern.to_owned()));
        let labels = [("__path__".to_owned(), pattern.to_owned())].into_iter().chain(exclude).collect();
        find(&Group::of(labels, &[]).unwrap().unwrap()).files
    }

    #[test]
    fn globs_find_what_promtails_globs_find() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for file in ["a.log", "b.txt", ".hidden.log", "x/c.log", "x/y/d.log", "odd[1].log"] {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = |pattern: &str, exclude: Option<&str>| {
            let at = |pattern: &str| format!("{}/{pattern}", root.display());
            let files = matching(&at(pattern), exclude.map(at).as_deref());
            let relative = files.iter().map(|path| path.strip_prefix(root).unwrap().display().to_string());
            relative.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(found("*.log", None), ".hidden.log a.log odd[1].log");
        assert_eq!(found("*/*.log", None), "x/c.log");
        assert_eq!(found("**/*.log", Some("x/**")), ".hidden.log a.log odd[1].log");
        assert_eq!(found("**/d.log", None), "x/y/d.log");
        assert_eq!(found("[ab].{log,txt}", None), "a.log b.txt");
        assert_eq!(found("odd[1].log", None), "odd[1].log", "a literal name wins");
        assert_eq!(found("none/*.log", None), "");
    }
}
