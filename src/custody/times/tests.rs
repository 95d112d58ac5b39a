//! The journal of remembered times: what is found again, what is left out, and what damage does to it.

use super::*;
use crate::custody::Head;
use crate::custody::Outcome;
use crate::flow::Share;
use crate::record::UnixNanos;

const KEY: &str = "file:1:2";

const HEAD: Head = Head { length: 1024, crc: 7 };

fn note(start: u64, end: u64) -> Note {
    Note { start, end, time: UnixNanos(start as i64 * 1000), head: HEAD }
}

struct Bench {
    directory: tempfile::TempDir,
    ledger: Ledger,
}

impl Bench {
    fn new() -> Bench {
        Bench { directory: tempfile::tempdir().unwrap(), ledger: Ledger::default() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("positions.times")
    }

    fn open(&self) -> Times {
        let (times, damaged) = Times::open(&self.directory.path().join("positions.yaml"), &self.ledger);
        assert!(!damaged);
        times
    }

    /// What the next run finds from the beginning on.
    fn found(&self, key: &str) -> Vec<Note> {
        self.open().from(key, 0).into()
    }

    /// A chunk up to `end` was read and settled.
    fn commit(&self, key: &str, end: u64) {
        let ticket =
            self.ledger.track(key, "").admit(Cursor::File { offset: end, head: HEAD }, Share::default());
        ticket.settle(Outcome::Delivered);
    }
}

/// Notes of a kind, in the journal.
fn length(times: &Times) -> u64 {
    let guard = times.lock();
    let journal = guard.as_ref().unwrap();
    assert_eq!(fs::metadata(&journal.path).unwrap().len(), journal.size);
    journal.size
}

#[test]
fn the_next_run_finds_what_was_noted_from_a_place_on() {
    let bench = Bench::new();
    let times = bench.open();
    let odd = "file:1:2#a job\n\"with\" an ödd \0 name";
    for (start, end) in [(0, 10), (10, 11), (11, 500)] {
        times.note(KEY, note(start, end));
        times.note(odd, note(start + 1, end + 1));
    }
    drop(times);
    let times = bench.open();
    assert_eq!(times.from(KEY, 0), [note(0, 10), note(10, 11), note(11, 500)]);
    assert_eq!(times.from(KEY, 10), [note(10, 11), note(11, 500)]);
    assert_eq!(times.from(odd, 11), [note(11, 12), note(12, 501)]);
    for nowhere in [5, 500, 1000] {
        assert!(times.from(KEY, nowhere).is_empty(), "{nowhere}");
    }
    assert!(times.from("file:1:3", 0).is_empty());
    assert!(bench.ledger.find(odd).is_some(), "the job keeps its key");
}

#[test]
fn a_chunk_that_is_read_again_as_it_was_is_noted_once() {
    let bench = Bench::new();
    bench.open().note(KEY, Note { head: Head { length: 10, crc: 1 }, ..note(0, 10) });
    let times = bench.open();
    let before = length(&times);
    times.note(KEY, note(0, 10));
    assert_eq!(length(&times), before);
    // The head is that of the position which covers it.
    bench.commit(KEY, 10);
    times.forget_committed(&bench.ledger);
    times.trim();
    assert_eq!(length(&times), 0);
}

#[test]
fn a_file_read_anew_leaves_nothing_of_what_was_noted_before() {
    let bench = Bench::new();
    let times = bench.open();
    for (start, end) in [(0, 10), (10, 20), (20, 30), (0, 15)] {
        times.note(KEY, note(start, end));
    }
    assert_eq!(bench.found(KEY), [note(0, 15)]);
    // The disk was full between two notes.
    times.note(KEY, note(25, 40));
    assert_eq!(times.from(KEY, 0), [note(0, 15)]);
    assert_eq!(times.from(KEY, 25), [note(25, 40)]);
}

#[test]
fn what_positions_cover_is_kept_until_they_are_saved() {
    let bench = Bench::new();
    let times = bench.open();
    for (start, end) in [(0, 10), (10, 20), (20, 30)] {
        times.note(KEY, note(start, end));
    }
    times.note("file:1:3", note(0, 10));
    bench.commit(KEY, 10);
    bench.commit(KEY, 20);
    times.forget_committed(&bench.ledger);
    // They could not be saved, and the agent was killed.
    let ledger = Ledger::default();
    let (after_kill, _) = Times::open(&bench.directory.path().join("positions.yaml"), &ledger);
    assert_eq!(after_kill.from(KEY, 0).len(), 3);
    drop(after_kill);
    // They could.
    let times = bench.open();
    times.forget_committed(&bench.ledger);
    times.trim();
    assert_eq!(length(&times), 2 * Note::length_on_disk(KEY) as u64);
    times.note(KEY, note(30, 40));
    assert_eq!(bench.open().from(KEY, 20), [note(20, 30), note(30, 40)]);
    // A position from before a truncation covers nothing of what was read after it.
    bench.commit("file:1:3", 5000);
    times.note("file:1:3", Note { head: Head { length: 9, crc: 3 }, ..note(0, 9) });
    times.forget_committed(&bench.ledger);
    assert_eq!(times.from("file:1:3", 0).len(), 1);
}

#[test]
fn a_target_that_is_forgotten_takes_its_notes_along() {
    let bench = Bench::new();
    bench.open().note(KEY, note(0, 10));
    let times = bench.open();
    times.forget_committed(&bench.ledger);
    times.trim();
    assert_ne!(length(&times), 0);
    bench.ledger.forget_unseen(std::time::Duration::ZERO);
    times.forget_committed(&bench.ledger);
    times.trim();
    assert_eq!(length(&times), 0);
}

#[test]
fn damage_ends_the_journal_and_nothing_more() {
    let bench = Bench::new();
    let notes = [(0, 10), (10, 20), (20, 30)].map(|(start, end)| note(start, end));
    let whole = notes.map(|note| note.encode(KEY)).concat();
    let record = Note::length_on_disk(KEY);
    let check = |bytes: &[u8], at: usize| {
        fs::write(bench.path(), bytes).unwrap();
        let (times, damaged) = Times::open(&bench.directory.path().join("positions.yaml"), &bench.ledger);
        assert_eq!(times.from(KEY, 0), &notes[..at / record], "at {at}");
        assert_eq!(damaged, bytes.len() == whole.len() || !at.is_multiple_of(record), "at {at}");
        // What is noted from now on is not hidden by it.
        let more = note(30, 40);
        times.note(KEY, more);
        assert_eq!(bench.open().from(KEY, 30), [more], "at {at}");
    };
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << bit;
            check(&damaged, at);
        }
        check(&whole[..at], at);
    }
}

#[test]
fn a_journal_that_grows_asks_for_positions_to_be_saved_and_has_an_end() {
    let bench = Bench::new();
    let times = bench.open();
    let asked = || futures_util::FutureExt::now_or_never(times.growing()).is_some();
    let record = Note::length_on_disk(KEY) as u64;
    for number in 0..=MOST / record {
        times.note(KEY, note(number, number + 1));
        assert_eq!(asked(), number == SAVE_AT / record, "note {number}");
    }
    assert_eq!(length(&times), MOST / record * record);
    bench.commit(KEY, MOST / record);
    times.forget_committed(&bench.ledger);
    times.trim();
    assert_eq!(length(&times), 0);
    let (start, end) = (MOST / record + 1, MOST / record + 2);
    times.note(KEY, note(start, end));
    assert_eq!(bench.open().from(KEY, start), [note(start, end)]);
}

#[test]
fn a_disk_that_fails_ends_the_notes_until_it_is_well() {
    let bench = Bench::new();
    fs::create_dir(bench.path()).unwrap();
    let times = bench.open();
    times.note(KEY, note(0, 10));
    assert!(times.from(KEY, 0).is_empty());
    fs::remove_dir(bench.path()).unwrap();
    times.trim();
    times.note(KEY, note(10, 20));
    assert_eq!(bench.open().from(KEY, 10), [note(10, 20)]);
    // Nobody asked to remember anything.
    let none = Times::default();
    none.note(KEY, note(0, 10));
    none.trim();
    assert!(none.from(KEY, 0).is_empty());
}
