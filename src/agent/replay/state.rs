//! How far a replay is, on disk, so that the same command goes on there.
//! In: places.  Out: the place of an earlier run.  Owns: the file while the replay is not done, and its lock.
//!
//! Two lines: a word, the format's version and the CRC-32 of the other line; what is saved, as JSON. Written beside, fsynced
//! and renamed, so that a crash leaves the one before.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::agent::replay::walk::Place;
use crate::custody::{Disk as _, Lock, RealDisk};

const HEAD: &str = "tailwater-replay 1";

/// Of an earlier run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Saved {
    pub(super) question: String,
    /// Everything before is answered for.
    pub(super) place: Place,
    /// Entries that were refused so far; those that were in flight at a kill may be among them twice.
    pub(super) refused: u64,
}

/// It cannot be said or kept how far a replay is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("{path}: {error}\n  = help: name a file this user can write with -state FILE")]
    File { path: String, error: io::Error },
    #[error("{0} is of a replay that runs right now")]
    Busy(String),
    #[error(
        "{0} is damaged\n  = help: remove it to replay from the beginning; Loki stores once what it has already"
    )]
    Damaged(String),
    #[error(
        "{path} is of another replay: {question}\n  = help: finish that one, remove the file, or name another with -state FILE"
    )]
    Other { path: String, question: String },
}

/// The file.
#[derive(Debug)]
pub(super) struct State {
    path: PathBuf,
    question: String,
    last: Option<Saved>,
    lock_path: PathBuf,
    _lock: Lock,
}

impl State {
    /// Takes the file at a path, and gives what is in it.
    pub(super) fn open(path: &Path, question: &str) -> Result<State, StateError> {
        let failed = |error| StateError::File { path: path.display().to_string(), error };
        let lock_path = beside(path, ".lock");
        let lock = RealDisk.lock(&lock_path).map_err(failed)?;
        let lock = lock.ok_or_else(|| StateError::Busy(path.display().to_string()))?;
        let last = match RealDisk.read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            read => {
                let damaged = || StateError::Damaged(path.display().to_string());
                Some(decode(&read.map_err(failed)?).ok_or_else(damaged)?)
            }
        };
        if let Some(Saved { question: other, .. }) = last.as_ref().filter(|saved| saved.question != question)
        {
            let (path, question) = (path.display().to_string(), other.clone());
            return Err(StateError::Other { path, question });
        }
        Ok(State { path: path.to_owned(), question: question.to_owned(), last, lock_path, _lock: lock })
    }

    /// What was saved last.
    pub(super) fn last(&self) -> Option<&Saved> {
        self.last.as_ref()
    }

    /// Saves how far it is, durably, unless it is no further.
    pub(super) fn save(&mut self, place: Place, refused: u64) -> Result<(), StateError> {
        let saved = Saved { question: self.question.clone(), place, refused };
        if self.last.as_ref() == Some(&saved) || saved.place == Place::default() {
            return Ok(());
        }
        let bytes = encode(&saved);
        self.write(bytes.as_bytes())
            .map_err(|error| StateError::File { path: self.path.display().to_string(), error })?;
        self.last = Some(saved);
        Ok(())
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let temporary = beside(&self.path, ".tmp");
        match RealDisk.remove(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        RealDisk.write_at(&temporary, 0, bytes)?;
        RealDisk.sync(&temporary)?;
        RealDisk.rename(&temporary, &self.path)?;
        RealDisk.sync_directory(directory(&self.path))
    }

    /// All is done: the same command begins anew.
    pub(super) fn finish(self) -> Result<(), StateError> {
        for path in [&self.path, &self.lock_path] {
            match RealDisk.remove(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StateError::File { path: path.display().to_string(), error });
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}

fn encode(saved: &Saved) -> String {
    // Texts and numbers always can be written.
    let body = serde_json::to_string(saved).unwrap_or_default();
    format!("{HEAD} {:08x}\n{body}\n", crc32fast::hash(body.as_bytes()))
}

fn decode(bytes: &[u8]) -> Option<Saved> {
    let text = str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once('\n')?;
    let body = body.strip_suffix('\n')?;
    let sum = head.strip_prefix(HEAD)?.strip_prefix(' ')?;
    let is_whole = sum == format!("{:08x}", crc32fast::hash(body.as_bytes()));
    if is_whole { serde_json::from_str(body).ok() } else { None }
}

/// Any bytes are a state that is written as it was read, or refused.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz(bytes: &[u8]) {
    if let Some(saved) = decode(bytes) {
        assert_eq!(decode(encode(&saved).as_bytes()), Some(saved));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::UnixNanos;

    proptest! {
        #[test]
        fn a_state_is_read_as_it_was_written_and_refused_with_any_byte_changed(
            question in "\\PC{0,60}",
            (time, count, sum) in any::<(i64, u64, u64)>(),
            (entries, bytes, refused) in any::<(u64, u64, u64)>(),
            at in any::<prop::sample::Index>(),
            other in any::<u8>(),
        ) {
            let place = Place { time: UnixNanos(time), count, sum, entries, bytes };
            let saved = Saved { question, place, refused };
            let mut text = encode(&saved).into_bytes();
            prop_assert_eq!(decode(&text), Some(saved.clone()));
            let at = at.index(text.len());
            let is_same = text[at] == other;
            text[at] = other;
            prop_assert_eq!(decode(&text), Some(saved).filter(|_| is_same));
        }

        #[test]
        fn bytes_of_any_kind_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(decode(&bytes), None);
        }
    }

    #[test]
    fn a_replay_goes_on_where_it_was_alone_and_with_the_same_question_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        let mut state = State::open(&path, "a").unwrap();
        assert_eq!(state.last(), None);
        assert!(matches!(State::open(&path, "a"), Err(StateError::Busy(_))));
        let place = Place { time: UnixNanos(7), count: 1, sum: 2, entries: 3, bytes: 4 };
        state.save(place.clone(), 5).unwrap();
        drop(state);
        assert!(matches!(State::open(&path, "b"), Err(StateError::Other { .. })));
        let state = State::open(&path, "a").unwrap();
        assert_eq!(state.last(), Some(&Saved { question: "a".into(), place, refused: 5 }));
        state.finish().unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        std::fs::write(&path, "tailwater-replay 1 00000000\n{}\n").unwrap();
        assert!(matches!(State::open(&path, "a"), Err(StateError::Damaged(_))));
    }
}
