//! Where journals are.
//! In: a configured path, or the system's own.  Out: journal files and the directories they are in.  Owns: nothing.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// More files are not looked at; journald itself keeps a hundred.
const MOST_FILES: usize = 4096;

/// Directories to look into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    roots: Vec<PathBuf>,
    /// Files of this machine only, if there are any.
    machine: Option<String>,
    /// One of the roots is enough.
    any: bool,
}

/// A file, by what stays the same when it is renamed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) path: PathBuf,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) files: Vec<Found>,
    pub(super) directories: Vec<PathBuf>,
    pub(super) failures: Vec<(PathBuf, io::Error)>,
}

impl Places {
    /// The journal in one directory: its files, and those of each machine in directories below.
    pub(crate) fn at(path: PathBuf) -> Places {
        Places { roots: vec![path], machine: None, any: false }
    }

    /// The system's own journal. In a container that has a host's journal mounted, the machine is another: then all.
    pub(crate) fn of_the_system() -> Places {
        let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default().trim().to_owned();
        Places {
            roots: ["/var/log/journal", "/run/log/journal"].map(PathBuf::from).into(),
            machine: is_machine(&machine).then_some(machine),
            any: true,
        }
    }

    pub(super) fn list(&self) -> Listing {
        let mut listing = Listing::default();
        let mut missing = Vec::new();
        let mut machines = Vec::new();
        for root in &self.roots {
            match listing.add(root) {
                Ok(below) => machines.extend(below),
                Err(error) if self.any && error.kind() == io::ErrorKind::NotFound => {
                    missing.push((root.clone(), error));
                }
                Err(error) => listing.failures.push((root.clone(), error)),
            }
        }
        if missing.len() == self.roots.len() {
            listing.failures.append(&mut missing);
        }
        let is_own = |path: &Path| path.file_name().and_then(|name| name.to_str()) == self.machine.as_deref();
        if machines.iter().any(|path| is_own(path)) {
            machines.retain(|path| is_own(path));
        }
        for directory in machines {
            if let Err(error) = listing.add(&directory) {
                listing.failures.push((directory, error));
            }
        }
        listing
    }
}

impl Listing {
    /// Looks into a directory; the directories of machines that are in it.
    fn add(&mut self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        let mut machines = Vec::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let is_journal = name.ends_with(".journal") || name.ends_with(".journal~");
            if !is_journal && !is_machine(name) {
                continue;
            }
            // Removed or renamed meanwhile: the next look finds what is there.
            let Ok(metadata) = fs::metadata(&path) else { continue };
            if metadata.is_dir() && !is_journal {
                machines.push(path);
            } else if metadata.is_file() && is_journal && self.files.len() < MOST_FILES {
                self.files.push(Found { device: metadata.dev(), inode: metadata.ino(), path });
            }
        }
        self.directories.push(directory.to_owned());
        Ok(machines)
    }
}

/// Directories of namespaces have a name behind it, and are left alone as `journalctl` does.
fn is_machine(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "0123456789abcdef0123456789abcdef";
    const OTHER: &str = "fedcba9876543210fedcba9876543210";

    fn shown(places: &Places, root: &Path) -> Vec<String> {
        let name = |found: &Found| found.path.strip_prefix(root).unwrap().display().to_string();
        let mut names: Vec<String> = places.list().files.iter().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn files_of_this_machine_are_read_where_there_are_any() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for name in ["x.journal", "x.log", "remote/a.journal"] {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), "").unwrap();
        }
        for machine in [ONE, OTHER, &format!("{ONE}.space")] {
            fs::create_dir(root.join(machine)).unwrap();
            fs::write(root.join(machine).join("system.journal"), "").unwrap();
            fs::write(root.join(machine).join("user-1@a-b.journal~"), "").unwrap();
        }
        let all = shown(&Places::at(root.to_owned()), root);
        assert_eq!(all.len(), 5, "{all:?}");
        let missing = root.join("missing");
        let system = |machine: Option<&str>| Places {
            roots: vec![missing.clone(), root.to_owned()],
            machine: machine.map(str::to_owned),
            any: true,
        };
        let own = shown(&system(Some(OTHER)), root);
        assert_eq!(
            own,
            [&format!("{OTHER}/system.journal"), &format!("{OTHER}/user-1@a-b.journal~"), "x.journal"]
        );
        assert_eq!(shown(&system(None), root), all, "the machine is not known");
        assert_eq!(shown(&system(Some(&"0".repeat(32))), root), all, "the journal is another machine's");
        assert!(system(None).list().failures.is_empty(), "one of two is enough");
        assert_eq!(Places::at(missing).list().failures.len(), 1);
    }
}
