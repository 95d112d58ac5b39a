//! What the spool holds and gives, on a real disk; and on one that fails, where a history is needed that it alone makes.

use std::fs;

use super::*;
use crate::custody::RealDisk;
use crate::custody::disk::simulated::SimDisk;
use crate::record::UnixNanos;

pub(super) const NOW: UnixNanos = UnixNanos(1_700_000_000_000_000_000);

fn settings(directory: &Path) -> Settings {
    Settings {
        directory: directory.join("spool"),
        max_size: ByteCount(8 * 1024),
        max_age: None,
        when_full: WhenFull::Block,
    }
}

fn open(settings: &Settings) -> (Spool, Recovered) {
    open_on(Arc::new(RealDisk), settings)
}

fn open_on(disk: Arc<dyn Disk>, settings: &Settings) -> (Spool, Recovered) {
    Spool::open(disk, settings.clone()).unwrap()
}

/// A record of so many entries whose body takes about 300 bytes, so that three fit into a segment of 1 KiB.
pub(super) fn record(number: u64, entries: u64) -> Record {
    Record {
        tenant: number.is_multiple_of(2).then(|| format!("tenant {number}").into()),
        entries,
        size: 10 * entries,
        oldest: UnixNanos(number as i64),
        body: format!("{number:->230}").into(),
    }
}

/// Everything that is left, acknowledged one by one.
fn drain(spool: &mut Spool) -> Vec<Record> {
    let mut records = Vec::new();
    while let Some(record) = spool.next(NOW).unwrap() {
        records.push(record);
        spool.acknowledge(0);
    }
    records
}

fn segments(settings: &Settings) -> Vec<String> {
    let names = fs::read_dir(&settings.directory).unwrap();
    let mut names: Vec<_> = names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(segment::EXTENSION));
    names.sort();
    names
}

#[test]
fn what_is_appended_comes_out_in_order_over_segments_and_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let (mut spool, recovered) = open(&settings);
    assert_eq!(recovered, Recovered { entries: 0, size: ByteCount(0), torn: 0, set_aside: vec![] });
    let records: Vec<_> = (0..12).map(|number| record(number, number + 1)).collect();
    spool.append(&records[..2], NOW).unwrap();
    for record in &records[2..7] {
        spool.append(std::slice::from_ref(record), NOW).unwrap();
    }
    assert!(segments(&settings).len() > 1);
    assert_eq!(spool.next(NOW).unwrap().as_ref(), Some(&records[0]));
    assert_eq!(spool.next(NOW).unwrap().as_ref(), Some(&records[0]), "the same until it is acknowledged");
    spool.acknowledge(0);
    spool.acknowledge(0);
    spool.sync().unwrap();
    drop(spool);

    let (mut spool, recovered) = open(&settings);
    assert_eq!(recovered.entries, (2..=7).sum::<u64>());
    spool.append(&records[7..], NOW).unwrap();
    assert_eq!(spool.entries(), (2..=12).sum::<u64>());
    assert_eq!(drain(&mut spool), records[1..]);
    assert!(spool.is_empty());
    assert_eq!(spool.size(), ByteCount(0));
    assert_eq!(segments(&settings), [""; 0], "what is acknowledged takes no space");
    drop(spool);
    assert_eq!(open(&settings).1.entries, 0);
}

#[test]
fn several_records_are_given_at_once_and_acknowledged_in_any_order() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let (mut spool, _) = open(&settings);
    for number in 0..6 {
        spool.append(&[record(number, number + 1)], NOW).unwrap();
    }
    let ahead = |spool: &mut Spool| -> Vec<Option<Record>> {
        (0..4).map(|number| spool.ahead(number, NOW).unwrap()).collect()
    };
    let all = [0, 1, 2].map(|number| Some(record(number, number + 1)));
    assert_eq!(ahead(&mut spool)[..3], all);
    assert_eq!(ahead(&mut spool)[3], None, "it is in the next segment");
    spool.acknowledge(1);
    assert_eq!(spool.entries(), 21 - 2);
    assert_eq!(ahead(&mut spool)[..2], [all[0].clone(), all[2].clone()], "the others stay as they were");
    spool.sync().unwrap();
    drop(spool);
    let (mut spool, recovered) = open(&settings);
    assert_eq!(recovered.entries, 21, "what is acknowledged behind another is given again");
    assert_eq!(ahead(&mut spool)[..3], all);
    (0..3).rev().for_each(|number| spool.acknowledge(number));
    assert_eq!(spool.entries(), 4 + 5 + 6);
    assert_eq!(spool.ahead(0, NOW).unwrap(), Some(record(3, 4)));
    assert_eq!(drain(&mut spool).len(), 3);
    assert_eq!((spool.entries(), spool.take_losses()), (0, Losses::default()));
}

#[test]
fn without_its_place_a_spool_sends_again_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let (mut spool, _) = open(&settings);
    let records: Vec<_> = (0..6).map(|number| record(number, 2)).collect();
    for record in &records {
        spool.append(std::slice::from_ref(record), NOW).unwrap();
    }
    for _ in 0..4 {
        spool.next(NOW).unwrap();
        spool.acknowledge(0);
    }
    spool.sync().unwrap();
    drop(spool);
    fs::remove_file(settings.directory.join("place")).unwrap();
    let (mut spool, _) = open(&settings);
    let left = drain(&mut spool);
    assert!(left.len() > 2 && records.ends_with(&left), "{left:?}");
    assert_eq!(spool.take_losses(), Losses::default());
}

#[test]
fn what_a_restart_holds_is_held_after_a_crash_however_the_first_places_failed() {
    // The first place fails while nothing is held yet (after a restart the numbers of what was acknowledged are given anew), or
    // behind the append, and then the segment cannot be removed either (its record is held again). The seed says what part of
    // its work a failing call has done.
    let histories = (0..1000).flat_map(|seed| [(seed, true), (seed, false)]);
    for (seed, before) in histories {
        let disk = Arc::new(SimDisk::new(seed));
        let open = || open_on(disk.clone(), &settings(Path::new("/")));
        let (mut spool, _) = open();
        if before {
            disk.fail_after(2, 1);
            _ = spool.sync();
        }
        spool.append(&[record(0, 2)], NOW).unwrap();
        if !before {
            disk.fail_after(1, 1);
            _ = spool.sync();
        }
        assert_eq!(spool.next(NOW).unwrap(), Some(record(0, 2)));
        disk.fail_next(if before { 1 } else { 2 });
        spool.acknowledge(0);
        disk.fail_next(0);
        drop(spool);

        let (mut spool, _) = open();
        let mut held = Vec::from_iter(spool.next(NOW).unwrap());
        spool.append(&[record(1, 2)], NOW).unwrap();
        held.push(record(1, 2));
        drop(spool);
        disk.crash();
        let left = drain(&mut open().0);
        assert!(
            left.ends_with(&held),
            "seed {seed}, before {before}: {held:?} is forgotten, there is {left:?}"
        );
    }
}

#[test]
fn a_full_spool_refuses_and_takes_again_when_a_segment_is_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let (mut spool, _) = open(&settings);
    let mut appended = 0;
    while let Ok(()) = spool.append(&[record(appended, 1)], NOW) {
        appended += 1;
        assert!(spool.size() <= settings.max_size);
    }
    assert!(matches!(spool.append(&[record(appended, 1)], NOW), Err(AppendError::Full)));
    assert_eq!(spool.entries(), appended);
    for number in 0..3 {
        assert_eq!(spool.next(NOW).unwrap(), Some(record(number, 1)));
        spool.acknowledge(0);
    }
    spool.append(&[record(appended, 1)], NOW).unwrap();
    assert_eq!(spool.entries(), appended - 2);
    let huge = Record { body: vec![0; 8 * 1024].into(), ..record(0, 1) };
    assert!(matches!(spool.append(&[huge], NOW), Err(AppendError::Full)));
}

#[test]
fn the_oldest_segments_give_way_counted_and_a_record_in_flight_is_counted_by_whoever_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { when_full: WhenFull::DropOldest, ..settings(directory.path()) };
    let (mut spool, _) = open(&settings);
    spool.append(&[record(0, 7)], NOW).unwrap();
    assert_eq!(spool.next(NOW).unwrap(), Some(record(0, 7)));
    let (mut evicted, mut appended) = (0, 7);
    for number in 1..100 {
        spool.append(&[record(number, number)], NOW).unwrap();
        appended += number;
        evicted += spool.take_losses().evicted;
        assert_eq!(appended, evicted + spool.entries(), "at {number}");
        let length = |name| fs::metadata(settings.directory.join(name)).unwrap().len();
        let on_disk = segments(&settings).into_iter().map(length).sum();
        assert_eq!(spool.size(), ByteCount(on_disk));
        assert!(spool.size() <= settings.max_size);
    }
    assert!(evicted > 0);
    assert_eq!(spool.next(NOW).unwrap(), Some(record(0, 7)), "still in flight");
    spool.acknowledge(0);
    assert_eq!(appended, evicted + spool.entries() + 7);
    let left: u64 = drain(&mut spool).iter().map(|record| record.entries).sum();
    assert_eq!(appended, evicted + left + 7);
}

#[test]
fn what_is_too_old_is_passed_over_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { max_age: Some(Duration::from_secs(10)), ..settings(directory.path()) };
    let (mut spool, _) = open(&settings);
    for number in 0..6 {
        spool.append(&[record(number, 3)], UnixNanos(number as i64 * 4_000_000_000)).unwrap();
    }
    let now = UnixNanos(22_000_000_000);
    assert_eq!(spool.next(now).unwrap(), Some(record(3, 3)));
    assert_eq!(spool.take_losses(), Losses { expired: 9, ..Losses::default() });
    assert_eq!(spool.entries(), 9);
    assert_eq!(spool.next(UnixNanos(i64::MAX)).unwrap(), Some(record(3, 3)), "it is in flight");
    spool.acknowledge(0);
    assert_eq!(spool.next(UnixNanos(i64::MAX)).unwrap(), None);
    assert_eq!(spool.take_losses(), Losses { expired: 6, ..Losses::default() });
    assert_eq!((spool.entries(), spool.size()), (0, ByteCount(0)));
}

#[test]
fn a_spool_belongs_to_one_process() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let (spool, _) = open(&settings);
    let refused = Spool::open(Arc::new(RealDisk), settings.clone()).unwrap_err();
    assert!(matches!(refused, SpoolError::InUse(_)), "{refused}");
    drop(spool);
    open(&settings);
}

#[test]
fn a_place_that_cannot_be_made_is_refused_by_name() {
    let settings = Settings { directory: "/proc/none/spool".into(), ..settings(Path::new("")) };
    let refused = Spool::open(Arc::new(RealDisk), settings).unwrap_err();
    assert_eq!(refused.to_string(), "spool /proc/none/spool");
}
