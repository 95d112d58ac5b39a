//! Journal files for the fuzzer.
//! In: the bytes of a file.  Out: a panic where something does not hold of it.  Owns: nothing.

use std::fs::{self, File};
use std::io::Write as _;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::source::journal::file::JournalFile;
use crate::source::journal::pages::Pages;

/// Any file is read to an end, and nothing of it takes more memory than it may.
pub(crate) fn fuzz(bytes: &[u8]) {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    const MOST: usize = 1000;
    let name = format!("tailwater-fuzz-{}-{}", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    let opened =
        File::create_new(&path).and_then(|mut file| file.write_all(bytes)).and_then(|()| File::open(&path));
    let removed = fs::remove_file(&path);
    let file = opened.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    removed.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let Ok(mut file) = JournalFile::open(0, file) else { return };
    let (mut pages, mut items, mut payload) = (Pages::default(), Vec::new(), Vec::new());
    let entries = file.header().entries;
    assert!(file.partition(&mut pages, |point| point.realtime < 1003) <= entries);
    for number in 0..entries.min(500) {
        let Ok(entry) = file.entry(&mut pages, number) else { continue };
        if file.items(&mut pages, &entry, &mut items).is_err() {
            continue;
        }
        for item in &items {
            payload.clear();
            if let Ok(found) = file.payload(&mut pages, *item, MOST, &mut payload) {
                assert!(payload.len() == MOST || payload.len() < MOST && !found.cut, "{}", payload.len());
            }
        }
    }
}
