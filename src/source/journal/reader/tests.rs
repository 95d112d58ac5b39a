//! Journals of real tools and of a writer that does what journald does, read whole, from every place, and while they grow.

#[path = "../../../../tests/support/journal.rs"]
#[allow(unreachable_pub, dead_code, reason = "shared with the tests of the whole program")]
mod writer;

mod real;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::metrics::Registry;
use crate::pipeline::relabel::Reads;
use crate::source::journal::Matches;
use writer::{JournalWriter, Stamp};

const ALL: Start = Start::Since(0);
/// Who gives numbers in most tests.
const ID: u128 = 0xabc;

struct Host {
    directory: tempfile::TempDir,
    own: Arc<Own>,
}

impl Host {
    fn new() -> Host {
        Host { directory: tempfile::tempdir().unwrap(), own: Own::register(&Registry::default()) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn file(&self, name: &str, id: u128) -> JournalWriter {
        JournalWriter::create(&self.path(name), id << 64 | 1, id)
    }

    fn reader(&self, start: Start) -> Reader {
        self.reader_for(start, "")
    }

    fn reader_for(&self, start: Start, matches: &str) -> Reader {
        let wants = Wants { json: false, matches: Matches::parse(matches).unwrap(), reads: Reads::All };
        Reader::new(
            "job".to_owned(),
            Places::at(self.directory.path().to_owned()),
            start,
            wants,
            self.own.clone(),
        )
    }

    /// All that is there.
    fn messages(&self, start: Start) -> Vec<String> {
        messages(&mut self.reader(start))
    }

    fn errors(&self) -> f64 {
        self.own.source_errors.with("source", KIND).value()
    }
}

/// Reads on until nothing comes.
fn messages(reader: &mut Reader) -> Vec<String> {
    let mut messages = Vec::new();
    loop {
        let batch = reader.read();
        if batch.last.is_none() {
            return messages;
        }
        let lines = batch.iter().map(|entry| entry.line().map_or("none".into(), String::from_utf8_lossy));
        messages.extend(lines.map(|line| line.into_owned()));
    }
}

/// An entry of boot 1 whose message is its number.
fn add(file: &mut JournalWriter, seqnum: u64) {
    add_to(file, seqnum, 1, &seqnum.to_string());
}

fn add_to(file: &mut JournalWriter, seqnum: u64, boot: u128, message: &str) {
    let stamp = Stamp { seqnum, boot, monotonic: seqnum * 10, realtime: 1_000_000 + seqnum };
    let message = format!("MESSAGE={message}");
    file.append(stamp, &[b"_TRANSPORT=journal", message.as_bytes(), b"PRIORITY=6"]);
}

fn numbers(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// The place of entry `seqnum` as `add` writes it.
fn place(seqnum: u64) -> JournalPoint {
    let realtime = 1_000_000 + seqnum;
    JournalPoint { seqnum_id: ID, seqnum, boot: 1, monotonic: seqnum * 10, realtime, xor: seqnum ^ realtime }
}

#[test]
fn files_are_read_as_one_in_the_order_of_numbers() {
    let host = Host::new();
    let mut system = host.file("system.journal", ID);
    let mut user = host.file("user-1000.journal", ID);
    for number in 1..100 {
        add(if number % 3 == 0 { &mut user } else { &mut system }, number);
    }
    assert_eq!(host.messages(ALL), numbers(1..100));
    assert_eq!(host.errors(), 0.0);
}

#[test]
fn b_jour_4_what_is_older_is_passed_over() {
    let host = Host::new();
    let mut file = host.file("system.journal", ID);
    (1..100).for_each(|number| add(&mut file, number));
    assert_eq!(host.messages(Start::Since(1_000_050)), numbers(50..100));
    assert_eq!(host.messages(Start::Since(2_000_000)), numbers(0..0));
}

#[test]
fn reading_goes_on_after_any_entry_and_never_with_it() {
    let host = Host::new();
    let mut files = ["system@1.journal", "system.journal", "user-1.journal"].map(|name| host.file(name, ID));
    (1..40).for_each(|number| add(&mut files[if number < 20 { 0 } else { number as usize % 2 + 1 }], number));
    let [first, ..] = files;
    first.archive();
    for last in 1..39 {
        assert_eq!(host.messages(Start::After(place(last))), numbers(last + 1..40));
    }
    assert_eq!(host.errors(), 0.0, "it was always there");
}

#[test]
fn where_the_entry_read_last_is_gone_the_next_one_comes_and_it_is_said() {
    let host = Host::new();
    let mut file = host.file("system.journal", ID);
    (10..20).for_each(|number| add(&mut file, number));
    assert_eq!(host.messages(Start::After(place(4))), numbers(10..20));
    assert_eq!(host.errors(), 1.0);
}

#[test]
fn what_grows_is_read_on() {
    let host = Host::new();
    let mut reader = host.reader(ALL);
    assert_eq!(messages(&mut reader), numbers(0..0), "nothing is there");
    let mut file = host.file("system.journal", ID);
    for number in 1..50 {
        add(&mut file, number);
        assert_eq!(messages(&mut reader), numbers(number..number + 1));
    }
    assert_eq!(host.errors(), 0.0);
}

#[test]
fn rotation_loses_and_repeats_nothing() {
    let host = Host::new();
    let mut reader = host.reader(ALL);
    let mut next = 1;
    let mut file = host.file("system.journal", ID);
    for rotation in 0..5 {
        (next..next + 10).for_each(|number| add(&mut file, number));
        // Every other time it is read when the file has been rotated away only.
        let (mut read, from) = (Vec::new(), next);
        if rotation % 2 == 0 {
            read.extend(messages(&mut reader));
        }
        (next + 10..next + 15).for_each(|number| add(&mut file, number));
        fs::rename(host.path("system.journal"), host.path(&format!("system@{rotation}.journal"))).unwrap();
        file.archive();
        file = host.file("system.journal", ID);
        add(&mut file, next + 15);
        next += 16;
        read.extend(messages(&mut reader));
        assert_eq!(read, numbers(from..next));
    }
    assert_eq!(
        reader.files.iter().filter(|known| known.file().is_some()).count(),
        1,
        "the others are closed"
    );
    assert_eq!(host.errors(), 0.0);
}

#[test]
fn a_file_removed_before_it_is_read_is_read_all_the_same_once_it_is_open() {
    let host = Host::new();
    let mut file = host.file("system@1.journal", ID);
    (1..20_000).for_each(|number| add(&mut file, number));
    let mut reader = host.reader(ALL);
    let first = reader.read().iter().count();
    assert!(first < 19_999, "one batch does not hold all");
    fs::remove_file(host.path("system@1.journal")).unwrap();
    assert_eq!(messages(&mut reader).len(), 19_999 - first);
    assert!(reader.files.is_empty());
}

#[test]
fn no_entry_of_a_new_file_is_left_behind() {
    let host = Host::new();
    let mut system = host.file("system.journal", ID);
    add(&mut system, 1);
    let mut reader = host.reader(ALL);
    assert_eq!(messages(&mut reader), numbers(1..2));
    // A user has logged in between two entries of the system.
    let mut user = host.file("user-1000.journal", ID);
    add(&mut user, 2);
    add(&mut system, 3);
    assert_eq!(messages(&mut reader), numbers(2..4));
}

#[test]
fn what_is_flushed_to_disk_is_not_read_again() {
    let host = Host::new();
    let mut before = host.file("system.journal", ID);
    add_to(&mut before, 1, 7, "before");
    let mut runtime = host.file("runtime.journal", 0xdef);
    (100..110).for_each(|number| add(&mut runtime, number));
    let mut reader = host.reader(ALL);
    assert_eq!(messages(&mut reader).len(), 11);
    // The same entries under other numbers, in a file that was there, and one more.
    for number in 100..111 {
        let stamp =
            Stamp { seqnum: number - 98, boot: 1, monotonic: number * 10, realtime: 1_000_000 + number };
        before.append(stamp, &[format!("MESSAGE={number}").as_bytes()]);
    }
    fs::remove_file(host.path("runtime.journal")).unwrap();
    assert_eq!(messages(&mut reader), numbers(110..111));
    assert_eq!(host.messages(reader.last.map(Start::After).unwrap()), numbers(0..0));
}

#[test]
fn entries_of_a_clock_that_was_set_back_are_not_taken_for_old_ones() {
    let host = Host::new();
    let mut file = host.file("system.journal", ID);
    let stamp = |seqnum, realtime| Stamp { seqnum, boot: 1, monotonic: seqnum, realtime };
    for (seqnum, realtime) in [(1, 5000), (2, 100), (3, 200), (4, 6000)] {
        file.append(stamp(seqnum, realtime), &[format!("MESSAGE={seqnum}").as_bytes()]);
    }
    let mut reader = host.reader(ALL);
    assert_eq!(messages(&mut reader), numbers(1..5));
    file.append(stamp(5, 50), &[b"MESSAGE=5"]);
    assert_eq!(messages(&mut reader), numbers(5..6));
}

#[test]
fn only_wanted_entries_come_and_the_place_moves_over_the_others() {
    let host = Host::new();
    let mut file = host.file("system.journal", ID);
    (1..20).for_each(|number| add(&mut file, number));
    let mut reader = host.reader_for(ALL, "MESSAGE=7 MESSAGE=8 PRIORITY=6");
    assert_eq!(messages(&mut reader), numbers(7..9));
    assert_eq!(reader.last, Some(place(19)));
    assert_eq!(messages(&mut host.reader_for(ALL, "MESSAGE=7 PRIORITY=5")), numbers(0..0));
}

#[test]
fn a_directory_that_is_missing_is_tried_again() {
    let host = Host::new();
    let places = Places::at(host.path("later"));
    let wants = Wants { json: false, matches: Matches::default(), reads: Reads::All };
    let mut reader = Reader::new("job".to_owned(), places, ALL, wants, host.own.clone());
    assert_eq!(messages(&mut reader), numbers(0..0));
    assert!(host.errors() > 0.0);
    add(&mut host.file("later/system.journal", ID), 1);
    assert_eq!(messages(&mut reader), numbers(1..2));
}

#[test]
fn damage_costs_what_is_damaged_and_is_counted() {
    let host = Host::new();
    fs::write(host.path("noise.journal"), [b'x'; 5000]).unwrap();
    fs::write(host.path("short.journal"), b"LPKSHHRH").unwrap();
    let mut file = host.file("system.journal", ID);
    (1..10).for_each(|number| add(&mut file, number));
    let path = host.path("system.journal");
    let mut bytes = fs::read(&path).unwrap();
    let message = memchr::memmem::find(&bytes, b"MESSAGE=5").unwrap();
    // What stands before it: the type of the object.
    bytes[message - 64] = 3;
    fs::write(&path, &bytes).unwrap();
    let mut reader = host.reader(ALL);
    let mut expected = numbers(1..10);
    expected[4] = "none".to_owned();
    assert_eq!(messages(&mut reader), expected, "an entry without its message");
    for _ in 0..3 {
        reader.read();
    }
    assert!(host.errors() >= 3.0, "both files that are none, and the entry: {}", host.errors());
}

#[test]
fn a_field_of_any_size_takes_a_bounded_memory() {
    let host = Host::new();
    let mut file = host.file("system.journal", ID);
    let stamp = |seqnum| Stamp { seqnum, boot: 1, monotonic: seqnum, realtime: seqnum };
    let (huge, message) =
        ([b"A=", &[b'x'; 5 << 20][..]].concat(), [b"MESSAGE=", &[b'y'; 1 << 20][..]].concat());
    let fields: Vec<&[u8]> = std::iter::repeat_n(huge.as_slice(), 30).chain([message.as_slice()]).collect();
    file.append(stamp(1), &[&message]);
    file.append(stamp(2), &fields);
    let mut reader = host.reader(ALL);
    let batch = reader.read();
    assert!(batch.is_full());
    let mut lines: Vec<Vec<u8>> = batch.iter().filter_map(|entry| entry.line()).map(<[u8]>::to_vec).collect();
    let more = reader.read();
    lines.extend(more.iter().filter_map(|entry| entry.line()).map(<[u8]>::to_vec));
    assert!(reader.render.bytes.len() < 2 << 20, "{}", reader.render.bytes.len());
    assert_eq!(lines[0].len(), LONGEST_LINE);
    assert!(lines.iter().all(|line| line.ends_with(b"y [cut by tailwater]")), "{}", lines.len());
    assert!(batch.iter().chain(more.iter()).all(|entry| entry.is_cut()));
}

/// A journal of two files as bytes.
fn bytes_of_two() -> [Vec<u8>; 2] {
    let host = Host::new();
    let mut files = ["a.journal", "b.journal"].map(|name| host.file(name, ID));
    (1..60).for_each(|number| add(&mut files[number as usize % 2], number));
    ["a.journal", "b.journal"].map(|name| fs::read(host.path(name)).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_journal_damaged_anyhow_is_read_to_an_end(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..2usize), 1..20),
        length in any::<prop::sample::Index>(),
        cut: bool,
    ) {
        let (host, mut files) = (Host::new(), bytes_of_two());
        for (at, byte, file) in changes {
            let at = at.index(files[file].len());
            files[file][at] = byte;
        }
        if cut {
            let length = length.index(files[0].len());
            files[0].truncate(length);
        }
        for (name, bytes) in ["a.journal", "b.journal"].iter().zip(&files) {
            fs::write(host.path(name), bytes).unwrap();
        }
        for start in [ALL, Start::After(place(30)), Start::After(JournalPoint { seqnum_id: 1, ..place(30) })] {
            prop_assert!(host.messages(start).len() < 200);
        }
    }
}
