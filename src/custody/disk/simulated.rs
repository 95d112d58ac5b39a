//! A disk in memory that crashes and fails on purpose.
//! In: calls of custody, faults and crashes of a test.  Out: what a disk may answer at worst.  Owns: files and names, as the
//! process sees them and as a crash would leave them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use super::{Disk, Lock};

/// Deterministic dice (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.below(2) == 0
    }
}

/// The disk.
#[derive(Debug)]
pub(crate) struct SimDisk(Mutex<State>);

#[derive(Clone, Debug)]
struct State {
    dice: Dice,
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    pending_names: Vec<Naming>,
    /// So many calls may fail, once this many have not.
    faults: usize,
    spared: usize,
}

#[derive(Clone, Debug, Default)]
struct File {
    content: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

/// A change of a file that is in the page cache: within one block, or of the length alone.
#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Grow(usize),
    Cut(usize),
}

/// A change of a directory: under `to` there is now `file`, under `from` nothing.
#[derive(Clone, Debug)]
struct Naming {
    from: Option<String>,
    to: Option<(String, usize)>,
}

/// Written out one by one, in any order.
const BLOCK: usize = 512;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

impl SimDisk {
    pub(crate) fn new(seed: u64) -> SimDisk {
        SimDisk(Mutex::new(State {
            dice: Dice(seed),
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            faults: 0,
            spared: 0,
        }))
    }

    /// The same disk once more, without faults.
    pub(crate) fn copy(&self) -> SimDisk {
        SimDisk(Mutex::new(State { faults: 0, ..self.state().clone() }))
    }

    /// Most of the next calls fail, having done any part of their work.
    pub(crate) fn fail_next(&self, calls: usize) {
        self.state().faults = calls;
    }

    /// The same, behind so many calls that do not fail.
    pub(crate) fn fail_after(&self, spared: usize, calls: usize) {
        let state = &mut *self.state();
        (state.spared, state.faults) = (spared, calls);
    }

    /// True while calls may fail.
    pub(crate) fn has_faults(&self) -> bool {
        self.state().faults > 0
    }

    /// Power is cut: of what was not synced, any part is there afterwards.
    pub(crate) fn crash(&self) {
        let state = &mut *self.state();
        let State { dice, files, names, durable_names, pending_names, faults, spared } = state;
        for naming in pending_names.drain(..) {
            if dice.coin() {
                naming.apply(durable_names);
            }
        }
        names.clone_from(durable_names);
        for file in files {
            file.write_out(|| dice.coin());
            file.pending.clear();
            file.content.clone_from(&file.durable);
        }
        (*faults, *spared) = (0, 0);
    }

    /// Changes a file behind everybody's back, durably.
    pub(crate) fn edit(&self, path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
        let state = &mut *self.state();
        let file = state.names[&name(path)];
        let file = &mut state.files[file];
        edit(&mut file.content);
        file.durable.clone_from(&file.content);
        file.pending.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl File {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.content);
        self.pending.push(change);
    }

    fn write_out(&mut self, mut written: impl FnMut() -> bool) {
        for change in &self.pending {
            if written() {
                change.apply(&mut self.durable);
            }
        }
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write(offset, bytes) => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(bytes);
            }
            Change::Grow(length) => content.resize(content.len().max(*length), 0),
            Change::Cut(length) => content.truncate(*length),
        }
    }
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        if let Some(from) = &self.from {
            names.remove(from);
        }
        if let Some((to, file)) = &self.to {
            names.insert(to.clone(), *file);
        }
    }
}

impl State {
    /// The error of this call, if it is to fail.
    fn fault(&mut self, writing: bool) -> io::Result<()> {
        if self.faults == 0 {
            return Ok(());
        }
        if self.spared > 0 {
            self.spared -= 1;
            return Ok(());
        }
        self.faults -= 1;
        match self.dice.below(4) {
            0 => Ok(()),
            1 if writing => Err(io::Error::from_raw_os_error(ENOSPC)),
            _ => Err(io::Error::from_raw_os_error(EIO)),
        }
    }

    fn file(&mut self, path: &Path) -> io::Result<&mut File> {
        let file = self.names.get(&name(path)).ok_or(io::ErrorKind::NotFound)?;
        Ok(&mut self.files[*file])
    }

    /// Changes names, or fails having done it or not.
    fn rename(&mut self, naming: Naming) -> io::Result<()> {
        let fault = self.fault(true);
        if fault.is_ok() || self.dice.coin() {
            naming.apply(&mut self.names);
            self.pending_names.push(naming);
        }
        fault
    }
}

fn name(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

impl Disk for SimDisk {
    fn create_directory(&self, _path: &Path) -> io::Result<()> {
        self.state().fault(true)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.fault(false)?;
        let within = format!("{}/", directory.display());
        let names = state.names.range(within.clone()..).map_while(|(name, _)| name.strip_prefix(&within));
        let names: BTreeSet<&str> = names.filter_map(|name| name.split('/').next()).collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        let mut state = self.state();
        state.fault(false)?;
        Ok(state.file(path)?.content.len() as u64)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut state = self.state();
        state.fault(false)?;
        Ok(state.file(path)?.content.clone())
    }

    fn read_at(&self, path: &Path, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state();
        state.fault(false)?;
        let rest = state.file(path)?.content.get(offset as usize..).unwrap_or_default();
        let filled = rest.len().min(buffer.len());
        buffer[..filled].copy_from_slice(&rest[..filled]);
        Ok(filled)
    }

    fn write_at(&self, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let state = &mut *self.state();
        let fault = state.fault(true);
        let mut blocks = usize::MAX;
        if fault.is_err() {
            blocks = state.dice.below(4);
        }
        if !state.names.contains_key(&name(path)) && (fault.is_ok() || state.dice.coin()) {
            let naming = Naming { from: None, to: Some((name(path), state.files.len())) };
            state.files.push(File::default());
            naming.apply(&mut state.names);
            state.pending_names.push(naming);
        }
        let Ok(file) = state.file(path) else { return fault };
        let (mut offset, mut rest) = (offset as usize, bytes);
        while !rest.is_empty() && blocks > 0 {
            let (block, others) = rest.split_at(rest.len().min(BLOCK - offset % BLOCK));
            if file.content.len() < offset + block.len() {
                file.change(Change::Grow(offset + block.len()));
            }
            file.change(Change::Write(offset, block.to_vec()));
            (offset, rest, blocks) = (offset + block.len(), others, blocks - 1);
        }
        fault
    }

    fn truncate(&self, path: &Path, length: u64) -> io::Result<()> {
        let state = &mut *self.state();
        let fault = state.fault(true);
        if fault.is_ok() || state.dice.coin() {
            state.file(path)?.change(Change::Cut(length as usize));
        }
        fault
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        let state = &mut *self.state();
        let fault = state.fault(true);
        let mut dice = state.dice.clone();
        let file = state.file(path)?;
        if fault.is_ok() {
            file.write_out(|| true);
            file.pending.clear();
            return Ok(());
        }
        file.write_out(|| dice.coin());
        // Blocks that could not be written may be forgotten: the next sync says that all is well. Until memory is short the
        // process still reads what it wrote.
        let forgotten = dice.next();
        file.pending.retain(|change| match change {
            Change::Write(offset, _) => forgotten >> (offset / BLOCK % 64) & 1 == 0,
            _ => true,
        });
        if dice.coin() {
            file.content.clone_from(&file.durable);
            file.pending.iter().for_each(|change| change.apply(&mut file.content));
        }
        state.dice = dice;
        fault
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let state = &mut *self.state();
        let fault = state.fault(true);
        let within = format!("{}/", directory.display());
        let State { dice, durable_names, pending_names, .. } = state;
        // What a failed sync has done is done once more by the next, in order with the rest.
        pending_names.retain(|naming| {
            let name = naming.from.as_ref().or(naming.to.as_ref().map(|(name, _)| name));
            let here = name.is_some_and(|name| name.starts_with(&within));
            if here && (fault.is_ok() || dice.coin()) {
                naming.apply(durable_names);
            }
            !here || fault.is_err()
        });
        fault
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let state = &mut *self.state();
        let file = *state.names.get(&name(from)).ok_or(io::ErrorKind::NotFound)?;
        state.rename(Naming { from: Some(name(from)), to: Some((name(to), file)) })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let state = &mut *self.state();
        if !state.names.contains_key(&name(path)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.rename(Naming { from: Some(name(path)), to: None })
    }

    fn remove_directory(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _path: &Path) -> io::Result<Option<Lock>> {
        self.state().fault(true)?;
        Ok(Some(Box::new(())))
    }
}
