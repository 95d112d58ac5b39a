//! Whose objects are this agent's: names it writes with and has written with, and hosts it has been.
//! In: the log.  Out: names.  Owns: the file `agent` beside the log, a line for each name and host.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use tracing::warn;

use crate::custody::{Disk, Spool};
use crate::retention::archive::layout::host_directory;
use crate::retention::objects::{Directory, Objects as _};

const FILE: &str = "agent";

/// Bytes of an agent's name.
const NAME: usize = 8;

/// Older ones are forgotten: what was written then is not known as this agent's any more.
const MOST: usize = 1000;

/// Who writes here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Name and directory of the host, the latest last.
    known: Vec<(String, String)>,
}

impl Owner {
    /// Who writes with this log as this host. Where the log's numbers begin anew it is a new name: an object of before that
    /// had the same number must not be taken for one that is sealed again.
    pub(super) fn open(disk: &Arc<dyn Disk>, directory: &Path, log: &Spool, host: &str) -> io::Result<Owner> {
        let mut owner = Owner::load(disk, directory)?.unwrap_or_default();
        let host = host_directory(host);
        let name = match owner.known.last() {
            Some(last) if log.span() != (0..0) => last.0.clone(),
            last => {
                if last.is_none() && log.span() != (0..0) {
                    warn!(path = %directory.join(FILE).display(), "the name of the log is damaged, it gets a new one");
                }
                let mut bytes = [0; NAME];
                getrandom::fill(&mut bytes).map_err(io::Error::other)?;
                HEXLOWER.encode(&bytes)
            }
        };
        let next = (name, host);
        if owner.known.last() != Some(&next) {
            owner.known.push(next);
            owner.known.drain(..owner.known.len().saturating_sub(MOST));
            let lines = owner.known.iter().map(|(name, host)| format!("{name} {host}\n"));
            Directory::new(disk.clone(), directory).put(FILE, Bytes::from(lines.collect::<String>()))?;
        }
        Ok(owner)
    }

    /// Who has written with the log in a directory; `None` where nobody has. What is damaged of that is passed over.
    pub(crate) fn load(disk: &Arc<dyn Disk>, directory: &Path) -> io::Result<Option<Owner>> {
        let text = match Directory::new(disk.clone(), directory).read(FILE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let is_name =
            |name: &str| name.len() == 2 * NAME && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let text = String::from_utf8_lossy(&text);
        let known = text.lines().filter_map(|line| line.split_once(' ')).filter(|(name, _)| is_name(name));
        Ok(Some(Owner { known: known.map(|(name, host)| (name.to_owned(), host.to_owned())).collect() }))
    }

    /// The name it writes with.
    pub(crate) fn agent(&self) -> &str {
        self.known.last().map(|(name, _)| name.as_str()).unwrap_or_default()
    }

    /// Whether an object with this name in it is its own.
    pub(crate) fn has(&self, agent: &str) -> bool {
        self.known.iter().any(|(name, _)| name == agent)
    }

    /// Directories of hosts that its objects are in.
    pub(crate) fn hosts(&self) -> BTreeSet<&str> {
        self.known.iter().map(|(_, host)| host.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::custody::RealDisk;
    use crate::retention::archive::Archive;
    use crate::retention::archive::crashes::{record, settings};
    use crate::retention::tiers::Location;

    #[test]
    fn a_log_that_begins_anew_has_a_new_name_and_the_names_of_before_stay_known() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join(".wal");
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let store = Location::Directory(directory.path().to_owned());
        let open = || Archive::open(disk.clone(), settings(&store, 300), &store).unwrap();
        let mut archive = open();
        let first = archive.store.owner.agent().to_owned();
        archive.log_now(&[record(None, &[([].into(), 0, "line".into(), [].into())])]);
        drop(archive);
        let archive = open();
        assert_eq!(archive.store.owner.agent(), first, "the log goes on");
        drop(archive);
        for name in fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().path()) {
            if name.is_file() && !name.ends_with(FILE) {
                fs::remove_file(name).unwrap();
            }
        }
        let archive = open();
        assert_ne!(archive.store.owner.agent(), first, "the log begins anew");
        assert!(archive.store.owner.has(&first) && !archive.store.owner.has("0123456789abcdef"));
        assert_eq!(archive.store.owner.hosts(), BTreeSet::from(["host=h"]));
        let mut text = fs::read(log.join(FILE)).unwrap();
        text.extend_from_slice(b"\xff\n\ngarbage host=x\n");
        fs::write(log.join(FILE), text).unwrap();
        let loaded = Owner::load(&disk, &log).unwrap().unwrap();
        assert_eq!(loaded, archive.store.owner);
    }
}
