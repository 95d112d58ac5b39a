//! A text the configuration gives, or a file that holds it.
//! In: settings.  Out: the text of this moment.  Owns: nothing.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::record::Secret;

/// Where a credential, certificate or key stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    Inline(Secret),
    /// Read at every use, so that whoever renews it need not restart the agent.
    File(PathBuf),
}

/// What changes when a file is written or replaced: device, inode, length, time. Files that are not there look alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Look(Option<(u64, u64, u64, i64, i64)>);

impl Look {
    /// How a file looks now.
    pub(crate) fn of(file: &Path) -> Look {
        let data = fs::metadata(file).ok();
        Look(data.map(|data| (data.dev(), data.ino(), data.len(), data.mtime(), data.mtime_nsec())))
    }
}

/// The file cannot be read now.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}", .file.display())]
pub(crate) struct Unreadable {
    file: PathBuf,
    source: io::Error,
}

impl Credential {
    /// The text without the line end that editors add.
    ///
    /// Blocks for as long as a small file takes: these are mounted secrets, not user data.
    pub(crate) fn read(&self) -> Result<Secret, Unreadable> {
        match self {
            Credential::Inline(secret) => Ok(secret.clone()),
            Credential::File(file) => match fs::read_to_string(file) {
                Ok(text) => Ok(Secret::new(text.trim())),
                Err(source) => Err(Unreadable { file: file.clone(), source }),
            },
        }
    }

    /// The file it is read from, if any.
    pub(crate) fn file(&self) -> Option<&PathBuf> {
        match self {
            Credential::Inline(_) => None,
            Credential::File(file) => Some(file),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_each_time_and_trimmed() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        let credential = Credential::File(file.clone());
        fs::write(&file, "one\n").unwrap();
        assert_eq!(credential.read().unwrap().reveal(), "one");
        fs::write(&file, " two").unwrap();
        assert_eq!(credential.read().unwrap().reveal(), "two");
        fs::remove_file(&file).unwrap();
        assert_eq!(credential.read().unwrap_err().to_string(), format!("cannot read {}", file.display()));
    }
}
