//! What damage of any kind costs: no more than what it hit, and that counted.

use super::tests::{NOW, record};
use super::*;
use crate::custody::disk::simulated::{Dice, SimDisk};

const ENTRIES: u64 = 3;

fn settings() -> Settings {
    Settings {
        directory: "/spool".into(),
        max_size: ByteCount(8 * 1024),
        max_age: None,
        when_full: WhenFull::Block,
    }
}

fn open(disk: &Arc<SimDisk>) -> (Spool, Recovered) {
    Spool::open(disk.clone(), settings()).unwrap()
}

fn append(spool: &mut Spool, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        spool.append(&[record(number, ENTRIES)], NOW).unwrap();
    }
}

fn files(disk: &SimDisk, ending: &str) -> Vec<PathBuf> {
    let mut names = disk.list(Path::new("/spool")).unwrap();
    names.retain(|name| name.ends_with(ending));
    names.sort();
    names.iter().map(|name| Path::new("/spool").join(name)).collect()
}

/// What a spool gives after damage, as numbers of records; entries are accounted for.
fn drain(disk: &Arc<SimDisk>, whole: bool) -> (Vec<u64>, Losses) {
    let (mut spool, recovered) = open(disk);
    let mut numbers = Vec::new();
    while let Some(found) = spool.next(NOW).unwrap() {
        let number = found.oldest.0 as u64;
        assert_eq!(found, record(number, ENTRIES), "what is given is what was appended");
        numbers.push(number);
        spool.acknowledge(0);
        let losses = spool.losses;
        assert_eq!(recovered.entries, numbers.len() as u64 * ENTRIES + losses.damaged + spool.entries());
    }
    assert!(numbers.is_sorted());
    let losses = spool.take_losses();
    assert_eq!(recovered.entries, numbers.len() as u64 * ENTRIES + losses.damaged);
    assert_eq!(spool.size(), ByteCount(0));
    assert!(!whole || losses == Losses::default());
    // It goes on working.
    append(&mut spool, [100]);
    assert_eq!(spool.next(NOW).unwrap(), Some(record(100, ENTRIES)));
    (numbers, losses)
}

/// Two segments of three records, of which the first is acknowledged, and all that is known.
fn two_segments() -> Arc<SimDisk> {
    let disk = Arc::new(SimDisk::new(0));
    let (mut spool, _) = open(&disk);
    append(&mut spool, 0..3);
    spool.sync().unwrap();
    append(&mut spool, 3..6);
    spool.next(NOW).unwrap();
    spool.acknowledge(0);
    spool.sync().unwrap();
    assert_eq!(files(&disk, segment::EXTENSION).len(), 2);
    disk
}

/// The record a byte of one of these segments belongs to; none for the segment's header.
fn record_at(segment: usize, byte: u64) -> Option<u64> {
    let mut end = segment::HEADER;
    let mut numbers = (3 * segment as u64)..;
    let mut at = None;
    while byte >= end {
        at = numbers.next();
        end += record(at?, ENTRIES).length_on_disk()?;
    }
    at
}

#[test]
fn a_flipped_byte_costs_the_record_it_is_in_and_no_other() {
    let disk = two_segments();
    for (segment, path) in files(&disk, segment::EXTENSION).iter().enumerate() {
        for byte in 0..disk.length(path).unwrap() {
            for flip in [1, 0x80] {
                let disk = Arc::new(disk.copy());
                disk.edit(path, |content| content[byte as usize] ^= flip);
                let (numbers, losses) = drain(&disk, false);
                let hit = record_at(segment, byte).filter(|number| *number > 0);
                let rest: Vec<_> = (1..6).filter(|number| Some(*number) != hit).collect();
                assert_eq!(numbers, rest, "byte {byte} of {path:?}");
                assert_eq!(losses.damaged, hit.map_or(0, |_| ENTRIES));
                assert_eq!(files(&disk, segment::DAMAGED).len(), usize::from(hit.is_some()));
            }
        }
    }
}

#[test]
fn a_damaged_place_sends_again_and_loses_nothing() {
    let disk = two_segments();
    let path = Path::new("/spool/place");
    for byte in 0..disk.length(path).unwrap() as usize {
        let disk = Arc::new(disk.copy());
        disk.edit(path, |content| content[byte] ^= 1);
        let (numbers, _) = drain(&disk, true);
        assert!(numbers.ends_with(&[1, 2, 3, 4, 5]), "byte {byte}: {numbers:?}");
    }
    for bytes in [vec![], vec![0; 1024], vec![0xff; 100]] {
        let disk = Arc::new(disk.copy());
        disk.edit(path, |content| *content = bytes);
        assert_eq!(drain(&disk, true).0, [0, 1, 2, 3, 4, 5]);
    }
}

#[test]
fn a_torn_tail_at_any_byte_is_cut_off_and_was_never_held() {
    let whole = Arc::new(SimDisk::new(0));
    let (mut spool, _) = open(&whole);
    append(&mut spool, 0..2);
    let before = spool.size().0 as usize;
    append(&mut spool, 2..3);
    let path = &files(&whole, segment::EXTENSION)[0];
    let after = spool.size().0 as usize;
    for length in before..after {
        for zeros in [0, after - length] {
            let disk = Arc::new(whole.copy());
            disk.edit(path, |content| content.truncate(length));
            disk.edit(path, |content| content.resize(length + zeros, 0));
            let (spool, recovered) = open(&disk);
            assert_eq!((recovered.entries, recovered.torn), (2 * ENTRIES, (length + zeros - before) as u64));
            drop(spool);
            assert_eq!(open(&disk).1.torn, 0, "it is cut off");
            assert_eq!(drain(&disk, true).0, [0, 1]);
        }
    }
}

#[test]
fn a_tail_that_was_durable_is_missed() {
    let disk = two_segments();
    let last = &files(&disk, segment::EXTENSION)[1];
    for length in 0..disk.length(last).unwrap() {
        let disk = Arc::new(disk.copy());
        disk.edit(last, |content| content.truncate(length as usize));
        let (numbers, losses) = drain(&disk, false);
        let left = record_at(1, length).unwrap_or(3);
        assert_eq!(numbers, (1..left).collect::<Vec<_>>(), "length {length}");
        assert_eq!(losses.damaged, (6 - left) * ENTRIES);
    }
}

#[test]
fn regions_that_are_zeroed_overwritten_or_cut_off_are_counted_exactly() {
    let disk = two_segments();
    let paths = files(&disk, segment::EXTENSION);
    let mut dice = Dice(7);
    for _ in 0..3000 {
        let disk = Arc::new(disk.copy());
        for _ in 0..1 + dice.below(2) {
            disk.edit(&paths[dice.below(2)], |content| {
                let from = dice.below(content.len() + 1);
                let to = from + dice.below(content.len() - from + 1);
                match dice.below(4) {
                    0 => content.truncate(from),
                    1 => content[from..to].fill(0),
                    2 => content[from..to].fill_with(|| dice.next() as u8),
                    _ => drop(content.drain(from..to)),
                }
            });
        }
        let (numbers, losses) = drain(&disk, false);
        let missing = 5 - numbers.iter().filter(|number| **number > 0).count() as u64;
        assert_eq!(losses.damaged, missing * ENTRIES, "{numbers:?}");
    }
}

#[test]
fn a_segment_that_is_gone_is_missed() {
    for gone in 0..2 {
        let disk = two_segments();
        disk.remove(&files(&disk, segment::EXTENSION)[gone]).unwrap();
        let (numbers, losses) = drain(&disk, false);
        assert_eq!(numbers, if gone == 0 { vec![3, 4, 5] } else { vec![1, 2] });
        assert_eq!(losses.damaged, (5 - numbers.len() as u64) * ENTRIES);
    }
}

#[test]
fn only_the_newest_damaged_segments_are_kept() {
    let disk = Arc::new(SimDisk::new(0));
    let (mut spool, _) = open(&disk);
    append(&mut spool, 0..18);
    spool.sync().unwrap();
    let paths = files(&disk, segment::EXTENSION);
    assert_eq!(paths.len(), 6);
    paths.iter().for_each(|path| disk.edit(path, |content| content[100] ^= 1));
    drop(spool);
    assert_eq!(drain(&disk, false).1.damaged, 6 * ENTRIES);
    let kept: Vec<_> = paths[2..].iter().map(|path| path.with_extension("spool.damaged")).collect();
    assert_eq!(files(&disk, segment::DAMAGED), kept);
    assert_eq!(open(&disk).1.set_aside, kept);
}

#[test]
fn a_record_inside_the_body_of_a_damaged_one_is_not_taken_for_one() {
    let disk = Arc::new(SimDisk::new(0));
    let (mut spool, _) = open(&disk);
    let forged = record(9, ENTRIES).encode(record::Slip { stamp: 1, append: 0, first: 0, now: NOW });
    spool.append(&[Record { body: forged.into(), ..record(0, ENTRIES) }], NOW).unwrap();
    append(&mut spool, 1..2);
    spool.sync().unwrap();
    disk.edit(&files(&disk, segment::EXTENSION)[0], |content| content[segment::HEADER as usize] ^= 1);
    drop(spool);
    assert_eq!(drain(&disk, false).0, [1]);
}

#[test]
fn what_a_failed_append_left_behind_is_void() {
    // Whatever part of its work the failing call has done.
    for seed in 0..200 {
        let disk = Arc::new(SimDisk::new(seed));
        let (mut spool, _) = open(&disk);
        append(&mut spool, 0..1);
        disk.fail_next(4);
        let failed = spool.append(&[record(1, ENTRIES)], NOW).is_err();
        disk.fail_next(0);
        append(&mut spool, 2..4);
        spool.sync().unwrap();
        drop(spool);
        let (numbers, _) = drain(&disk, true);
        assert_eq!(numbers, if failed { vec![0, 2, 3] } else { vec![0, 1, 2, 3] }, "seed {seed}");
    }
}
