//! Sets a damaged file aside, for whoever wants to know what happened to it.
//! In: a file.  Out: the same under another name.  Owns: the files `<name>.damaged-<time>` beside it, of which few stay.

use std::io;
use std::path::{Path, PathBuf};

use tracing::warn;

use crate::clock;
use crate::custody::Disk;

/// A disk that damages files damages many.
const MOST_KEPT: usize = 4;

const MARK: &str = ".damaged-";

/// Gives a damaged file another name and removes the oldest of those that have one. Trouble with that is said: the agent
/// starts all the same.
pub(super) fn set_aside(disk: &dyn Disk, path: &Path, reason: &str) {
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!("{MARK}{}", clock::now().seconds()));
    let aside = PathBuf::from(aside);
    let moved = disk.rename(path, &aside).map_err(|error| error.to_string());
    warn!(path = %path.display(), reason, set_aside = %aside.display(), error = moved.err(), "positions are damaged");
    if let Err(error) = remove_oldest(disk, path) {
        warn!(path = %path.display(), %error, "older damaged positions cannot be removed");
    }
}

fn remove_oldest(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    let directory = super::directory_of(path);
    // `positions.yaml`, `positions.state` and `positions.state.previous` count together.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = [".state.previous", ".state", ".yaml", ".yml"].iter().find_map(|end| name.strip_suffix(end));
    let stem = stem.unwrap_or(&name);
    let time = |name: &String| -> Option<i64> {
        let (whole, time) = name.rsplit_once(MARK)?;
        let ours = whole.strip_prefix(stem)?.starts_with('.');
        ours.then(|| time.parse().ok())?
    };
    let mut damaged: Vec<(i64, String)> = Vec::new();
    for name in disk.list(&directory)? {
        damaged.extend(time(&name).map(|time| (time, name)));
    }
    damaged.sort();
    let surplus = damaged.len().saturating_sub(MOST_KEPT);
    damaged.iter().take(surplus).try_for_each(|(_, name)| disk.remove(&directory.join(name)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::custody::RealDisk;

    #[test]
    fn the_newest_few_damaged_files_stay_and_nothing_else_is_touched() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in ["positions.state.damaged-9", "positions.state.damaged-10", "positions.yaml.damaged-11"] {
            fs::write(path(name), "").unwrap();
        }
        for other in ["positions2.yaml.damaged-1", "positions.state.damaged-old", "positions.yaml"] {
            fs::write(path(other), "").unwrap();
        }
        for damaged in ["positions.state", "positions.state.previous"] {
            fs::write(path(damaged), "x").unwrap();
            set_aside(&RealDisk, &path(damaged), "a test");
            assert!(!path(damaged).exists());
        }
        let mut names = RealDisk.list(directory.path()).unwrap();
        names.sort();
        assert_eq!(names.len(), 4 + 3, "{names:?}");
        assert!(!names.contains(&"positions.state.damaged-9".to_owned()), "the oldest is gone: {names:?}");
    }
}
