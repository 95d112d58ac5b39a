//! The positions file: every committed cursor, surviving a restart or a power cut.
//! In: the ledger, what goes with its positions.  Out: both, at the next start.  Owns: `<positions>.state` and its previous
//! generation.
//!
//! One header line (format, time, CRC-32 of the rest), then a JSON object: targets, one per line, and companions, which
//! others make and read. A new generation
//! is written to a temporary file, fsynced, and renamed; the one before stays as `.previous`. A damaged file is set
//! aside under another name and the previous one used: the agent always starts. Promtail's own file is kept beside it
//! (`shared`), for those who come from there and go back.

mod aside;
mod promtail;
mod shared;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::info;

use crate::clock;
use crate::custody::{Cursor, Disk, Ledger};
use crate::record::UnixNanos;

use aside::set_aside;
#[cfg(any(fuzzing, test))]
pub(crate) use promtail::holds as fuzz_promtail;
use shared::{Remembered, Shared};

/// The `positions` block.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Promtail's file; ours stands beside it with the extension `state`.
    pub(crate) file: PathBuf,
    /// How often positions are written.
    pub(crate) sync_period: Duration,
}

/// Positions could not be written or the place for them is unusable.
#[derive(Debug, thiserror::Error)]
#[error("positions file {path}")]
pub(crate) struct StoreError {
    path: String,
    source: io::Error,
}

/// The file on disk.
#[derive(Debug)]
pub(crate) struct Store {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// What the last write held, so that an idle agent writes nothing.
    written: Option<String>,
    /// When the positions found at start were saved, by Promtail or by us; `None` where there were none.
    saved_before: Option<UnixNanos>,
    shared: Shared,
    /// Files that were damaged and set aside at start.
    damaged: u32,
    /// What was found beside the positions.
    companions: Vec<Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    version: u32,
    saved_at: UnixNanos,
    crc32: u32,
    /// CRC-32 of Promtail's file as it was left: one that differs was written by somebody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    promtail_crc32: Option<u32>,
    /// The same of the file before, which is there until the new one is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    promtail_crc32_before: Option<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    name: String,
    cursor: Cursor,
}

/// The rest of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    targets: BTreeMap<String, Record>,
    companions: Vec<Value>,
}

const FORMAT: &str = "tailwater-positions";
const VERSION: u32 = 2;

/// The version whose body is the targets alone.
const WITHOUT_COMPANIONS: u32 = 1;

impl Store {
    /// Opens the store, fills `ledger` from it, and makes sure that it can be written to.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        settings: &Settings,
        ledger: &Ledger,
    ) -> Result<Store, StoreError> {
        let path = settings.file.with_extension("state");
        let directory = directory_of(&path);
        disk.create_directory(&directory)
            .map_err(|source| StoreError { path: display(&directory), source })?;
        let mut damaged = 0;
        let found = match load(&*disk, &path, ledger, &mut damaged)? {
            Some(found) => Some(found),
            None => load(&*disk, &previous(&path), ledger, &mut damaged)?,
        };
        let (header, companions) = found.map_or((None, Vec::new()), |(header, rest)| (Some(header), rest));
        let remembered = match &header {
            None => Remembered::Nothing,
            Some(Header { promtail_crc32: None, .. }) => Remembered::Unread,
            Some(Header { promtail_crc32: Some(crc), promtail_crc32_before: before, .. }) => {
                Remembered::Left([*crc, before.unwrap_or(*crc)])
            }
        };
        let (shared, promtail) = Shared::open(&*disk, &settings.file, remembered, ledger)
            .map_err(|source| StoreError { path: display(&settings.file), source })?;
        damaged += u32::from(promtail.damaged);
        let saved_before = header.map(|header| header.saved_at).or(promtail.imported_as_of);
        let mut store = Store { disk, path, written: None, saved_before, shared, damaged, companions };
        // Unwritable state is found now, with the person watching, and not at the first sync.
        let companions = store.companions.clone();
        store.save(ledger, || companions)?;
        Ok(store)
    }

    /// What was saved beside the positions.
    pub(crate) fn take_companions(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.companions)
    }

    /// When the last run saved its positions, Promtail's where there was none of ours.
    pub(crate) fn saved_before(&self) -> Option<UnixNanos> {
        self.saved_before
    }

    /// How many files were damaged and set aside at start.
    pub(crate) fn damaged(&self) -> u32 {
        self.damaged
    }

    /// How often Promtail's file could not be written since this was last asked.
    pub(crate) fn take_shared_failures(&mut self) -> u64 {
        self.shared.take_failures()
    }

    /// Writes the committed cursors, and what goes with them at the same moment, if anything changed. Says whether it
    /// wrote.
    pub(crate) fn save(
        &mut self,
        ledger: &Ledger,
        companions: impl FnOnce() -> Vec<Value>,
    ) -> Result<bool, StoreError> {
        let (positions, companions) = ledger.at_rest(|| (ledger.committed(), companions()));
        let body = render(&positions, &companions);
        // Ours first, which knows both of Promtail's files: a crash in between leaves the old one, and ours counts.
        let next = self.shared.next(&*self.disk, positions);
        let unchanged = next.is_none() && self.written.as_ref() == Some(&body);
        if unchanged {
            return Ok(false);
        }
        let before = self.shared.crc();
        let crc = next.as_ref().map_or(before, |next| next.crc);
        self.replace(&body, [crc, before])
            .map_err(|source| StoreError { path: display(&self.path), source })?;
        self.written = Some(body);
        if let Some(next) = next {
            self.shared.write(&*self.disk, next);
        }
        Ok(true)
    }

    fn replace(&self, body: &str, [crc, before]: [u32; 2]) -> io::Result<()> {
        let header = Header {
            format: FORMAT.to_owned(),
            version: VERSION,
            saved_at: clock::now(),
            crc32: crc32fast::hash(body.as_bytes()),
            promtail_crc32: Some(crc),
            promtail_crc32_before: Some(before).filter(|before| *before != crc),
        };
        let temporary = self.path.with_extension("state.tmp");
        let text = format!("{}\n{body}", serde_json::to_string(&header)?);
        write_temporary(&*self.disk, &temporary, text.as_bytes())?;
        match self.disk.rename(&self.path, &previous(&self.path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.disk.rename(&temporary, &self.path)?;
        // A rename is durable only once its directory is.
        self.disk.sync_directory(&directory_of(&self.path))
    }
}

/// The header and the companions of the generation in `path`, whose positions are put into `ledger`; `None` where there is none or it is
/// damaged. One that is there and cannot be read (its owner is another user) is an error: starting without it would
/// overwrite it.
fn load(
    disk: &dyn Disk,
    path: &Path,
    ledger: &Ledger,
    damaged: &mut u32,
) -> Result<Option<(Header, Vec<Value>)>, StoreError> {
    let text = match disk.read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StoreError { path: display(path), source }),
    };
    Ok(match parse(&text) {
        Ok((header, Body { targets, companions })) => {
            info!(path = %path.display(), targets = targets.len(), "positions found");
            for (key, record) in targets {
                ledger.restore(key, &record.name, record.cursor);
            }
            Some((header, companions))
        }
        Err(reason) => {
            set_aside(disk, path, &reason);
            *damaged += 1;
            None
        }
    })
}

/// A file to be renamed into its place. What a failure left there before may be longer.
fn write_temporary(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    disk.write_at(path, 0, bytes)?;
    disk.sync(path)
}

fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn previous(path: &Path) -> PathBuf {
    path.with_extension("state.previous")
}

fn render(positions: &[(String, String, Cursor)], companions: &[Value]) -> String {
    let target = |(key, name, cursor): &(String, String, Cursor)| {
        let (key, name) = (Value::from(key.as_str()), name.clone());
        // Neither a string nor a cursor can fail to become JSON.
        let record = serde_json::to_string(&Record { name, cursor: *cursor }).unwrap_or_default();
        format!("{key}:{record}")
    };
    let targets = positions.iter().map(target).collect::<Vec<_>>().join(",\n");
    let companions = companions.iter().map(Value::to_string).collect::<Vec<_>>().join(",\n");
    format!("{{\"targets\":{{\n{targets}\n}},\n\"companions\":[\n{companions}\n]}}\n")
}

fn parse(text: &[u8]) -> Result<(Header, Body), String> {
    let end = text.iter().position(|byte| *byte == b'\n').ok_or("no header line")?;
    let (head, body) = (&text[..end], &text[end + 1..]);
    let header: Header = serde_json::from_slice(head).map_err(|error| format!("header: {error}"))?;
    if header.format != FORMAT || ![VERSION, WITHOUT_COMPANIONS].contains(&header.version) {
        return Err(format!("format `{}` version {} is not known", header.format, header.version));
    }
    if crc32fast::hash(body) != header.crc32 {
        return Err("checksum does not match".to_owned());
    }
    let body = match header.version {
        WITHOUT_COMPANIONS => {
            serde_json::from_slice(body).map(|targets| Body { targets, companions: Vec::new() })
        }
        _ => serde_json::from_slice(body),
    };
    Ok((header, body.map_err(|error| format!("body: {error}"))?))
}

fn display(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::custody::{DockerPoint, Head, RealDisk};

    fn open(settings: &Settings, ledger: &Ledger) -> Result<Store, StoreError> {
        Store::open(Arc::new(RealDisk), settings, ledger)
    }

    fn settings(directory: &Path) -> Settings {
        Settings { file: directory.join("positions.yaml"), sync_period: Duration::from_secs(10) }
    }

    fn ledger_with(offset: u64) -> Ledger {
        let ledger = Ledger::default();
        let cursor = Cursor::File { offset, head: Head { length: 4, crc: 7 } };
        ledger.restore("file:1:2".to_owned(), "/var/log/\"odd\"\nname.log", cursor);
        let all = DockerPoint { since: UnixNanos(-5), frames: 3 };
        let held = DockerPoint { since: UnixNanos(-7), frames: 0 };
        let cursor = Cursor::Docker { all, stdout: None, stderr: Some(held), file: None };
        ledger.restore("docker:abc".to_owned(), "api", cursor);
        ledger
    }

    #[test]
    fn what_was_saved_is_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = open(&settings(directory.path()), &Ledger::default()).unwrap();
        assert!(store.saved_before().is_none());
        let beside = || vec![Value::from("companion")];
        assert!(store.save(&ledger_with(10), beside).unwrap());
        assert!(!store.save(&ledger_with(10), beside).unwrap(), "nothing changed, nothing is written");

        let found = Ledger::default();
        let mut store = open(&settings(directory.path()), &found).unwrap();
        assert_eq!(store.take_companions(), beside());
        assert_eq!(found.committed(), ledger_with(10).committed());
        assert!(store.saved_before().is_some());
    }

    #[test]
    fn damage_in_any_byte_is_set_aside_and_the_previous_generation_used() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = open(&settings(directory.path()), &ledger_with(10)).unwrap();
        store.save(&ledger_with(20), Vec::new).unwrap();
        let path = directory.path().join("positions.state");
        let whole = fs::read(&path).unwrap();
        let previous = fs::read(directory.path().join("positions.state.previous")).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            fs::write(&path, &damaged).unwrap();
            fs::write(directory.path().join("positions.state.previous"), &previous).unwrap();
            let found = Ledger::default();
            let loaded = open(&settings(directory.path()), &found).unwrap();
            // A flipped digit in `saved_at` is the one damage that costs nothing.
            let same_positions = found.committed() == ledger_with(20).committed();
            assert!(same_positions || found.committed() == ledger_with(10).committed(), "byte {at}");
            drop(loaded);
        }
    }

    #[test]
    fn files_cut_short_or_emptied_do_not_keep_the_agent_from_starting() {
        let directory = tempfile::tempdir().unwrap();
        for length in 0..64 {
            fs::write(directory.path().join("positions.state"), vec![0; length]).unwrap();
            fs::write(directory.path().join("positions.state.previous"), b"{}").unwrap();
            let found = Ledger::default();
            open(&settings(directory.path()), &found).unwrap();
            assert_eq!(found.len(), 0);
        }
        let aside = fs::read_dir(directory.path()).unwrap().filter_map(Result::ok);
        assert!(aside.filter(|entry| entry.file_name().to_string_lossy().contains("damaged")).count() > 0);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_refused_at_start() {
        let settings = Settings { file: "/proc/none/positions.yaml".into(), sync_period: Duration::ZERO };
        assert!(open(&settings, &Ledger::default()).is_err());
    }
}
