//! Where positions are, whatever becomes of tickets and seams, in whatever order.

use proptest::prelude::*;

use super::*;
use crate::custody::Head;
use crate::flow::Budget;
use crate::record::ByteCount;

fn at(offset: u64) -> Cursor {
    Cursor::File { offset, head: Head::default() }
}

fn committed(track: &Track) -> Option<u64> {
    match track.lock().committed {
        Some(Cursor::File { offset, .. }) => Some(offset),
        _ => None,
    }
}

#[tokio::test]
async fn a_position_moves_only_over_the_gapless_prefix() {
    let budget = Budget::new(ByteCount::mib(1));
    let track = Ledger::default().track("file:1:1", "a.log");
    let first = track.admit(at(10), budget.take(1).await);
    let second = track.admit(at(20), budget.take(1).await);
    second.settle(Outcome::Delivered);
    assert_eq!(committed(&track), None, "the first chunk is still open");
    first.settle(Outcome::Refused);
    assert_eq!(committed(&track), Some(20));
    assert_eq!(budget.used(), ByteCount(0), "settled chunks give their bytes back");
}

#[tokio::test]
async fn a_chunk_settles_when_each_of_its_holders_has_spoken() {
    let budget = Budget::new(ByteCount::mib(1));
    let track = Ledger::default().track("file:1:1", "a.log");
    let ticket = track.admit(at(10), budget.take(1).await);
    let other = ticket.split();
    ticket.settle(Outcome::Delivered);
    assert_eq!(committed(&track), None);
    other.settle(Outcome::DroppedByRule);
    assert_eq!(committed(&track), Some(10));
}

#[tokio::test]
async fn a_forgotten_ticket_holds_the_position_for_good_and_gives_its_bytes_back() {
    let budget = Budget::new(ByteCount::mib(1));
    let track = Ledger::default().track("file:1:1", "a.log");
    track.admit(at(10), budget.take(1).await).settle(Outcome::Delivered);
    drop(track.admit(at(20), budget.take(1).await));
    track.admit(at(30), budget.take(1).await).settle(Outcome::Delivered);
    assert_eq!(committed(&track), Some(10));
    assert_eq!(budget.used(), ByteCount(0));
}

#[tokio::test]
async fn lines_that_are_held_back_hold_the_position_and_no_bytes() {
    let budget = Budget::new(ByteCount::mib(1));
    let track = Ledger::default().track("file:1:1", "a.log");
    let ticket = track.admit(at(10), budget.take(1).await);
    let held = ticket.hold();
    assert_eq!(track.backlog().bytes, 1);
    assert_ne!(budget.used(), ByteCount(0));
    ticket.settle(Outcome::Delivered);
    assert_eq!((committed(&track), budget.used()), (None, ByteCount(0)));
    let backlog = track.backlog();
    assert_eq!((backlog.chunks, backlog.bytes, backlog.oldest), (1, 0, None), "nobody is behind");
    held.settle(Outcome::Delivered);
    assert_eq!(committed(&track), Some(10));
}

#[test]
fn a_target_is_claimed_by_one_reader_at_a_time() {
    let ledger = Ledger::default();
    let claim = ledger.claim("file:1:1", "a.log").unwrap();
    assert!(ledger.claim("file:1:1", "a.log.1").is_none());
    assert!(ledger.claim("file:1:1", "a.log.1").is_none(), "asking in vain gives nothing back");
    drop(claim);
    assert!(ledger.claim("file:1:1", "a.log.1").is_some());
}

#[test]
fn a_target_nobody_has_seen_is_forgotten_and_one_in_use_is_not() {
    let ledger = Ledger::default();
    ledger.restore("file:1:1".to_owned(), "a.log", at(5));
    let held = ledger.track("file:1:2", "b.log");
    assert_eq!(ledger.forget_unseen(Duration::from_secs(3600)), 0);
    ledger.seen("file:1:1");
    assert_eq!(ledger.forget_unseen(Duration::ZERO), 1);
    assert!(ledger.find("file:1:1").is_none());
    drop(held);
}

proptest! {
    /// Whatever the order in which tickets are split, settled and forgotten, and seams are made, torn and left, the
    /// position is at the last end that nothing lies across and that no open or lost chunk is before.
    #[test]
    fn a_position_is_always_at_the_last_whole_end_before_the_first_unsettled_chunk(
        steps in proptest::collection::vec((0u8..8, any::<proptest::sample::Index>()), 1..200),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let budget = Budget::new(ByteCount::mib(1));
        let track = Ledger::default().track("file:1:1", "a.log");
        let mut open: Vec<(u64, Ticket)> = Vec::new();
        let mut seams: Vec<(u64, Seam)> = Vec::new();
        let (mut next, mut lost, mut torn) = (1u64, Vec::new(), Vec::new());
        for (step, index) in steps {
            match step {
                0 | 1 => {
                    let share = runtime.block_on(budget.take(1));
                    open.push((next, track.admit(at(next), share)));
                    next += 1;
                }
                _ if open.is_empty() => {}
                2 => {
                    let (offset, ticket) = &open[index.index(open.len())];
                    let twin = (*offset, ticket.split());
                    open.push(twin);
                }
                3 => open.swap_remove(index.index(open.len())).1.settle(Outcome::Delivered),
                4 => lost.push(open.swap_remove(index.index(open.len())).0),
                5 => {
                    let (offset, ticket) = &open[index.index(open.len())];
                    seams.push((*offset, ticket.seam()));
                }
                _ if seams.is_empty() => {}
                6 => drop(seams.swap_remove(index.index(seams.len()))),
                _ => {
                    let (offset, seam) = seams.swap_remove(index.index(seams.len()));
                    seam.tear();
                    torn.push(offset);
                }
            }
            let waiting = open.iter().map(|(offset, _)| *offset).chain(seams.iter().map(|(offset, _)| *offset));
            let end = waiting.chain(lost.iter().copied()).min().unwrap_or(next);
            // A seam may be torn after its chunk was passed by none.
            let whole = (0..end).rev().find(|offset| !torn.contains(offset));
            prop_assert_eq!(committed(&track).unwrap_or(0), whole.unwrap_or(0));
        }
    }
}

#[tokio::test]
async fn a_track_begins_where_another_of_its_target_was_unless_it_has_its_own_place() {
    let budget = Budget::new(ByteCount::mib(1));
    let track = Ledger::default().track("file:1:1", "a.log");
    track.begin_at(at(10));
    assert_eq!(committed(&track), Some(10), "kept, though the file may stay idle");
    track.begin_at(at(20));
    assert_eq!(committed(&track), Some(10));
    let read = Ledger::default().track("file:1:1", "a.log");
    let ticket = read.admit(at(5), budget.take(1).await);
    read.begin_at(at(10));
    assert_eq!(committed(&read), None, "its first chunk is not settled");
    ticket.settle(Outcome::Delivered);
    assert_eq!(committed(&read), Some(5));
}

#[test]
fn each_reader_of_a_target_keeps_its_key_whatever_readers_come_and_go() {
    let ledger = Ledger::default();
    let key = |reader: &str, seniors: &[&str]| {
        let seniors: Vec<String> = seniors.iter().map(ToString::to_string).collect();
        let key = ledger.key_of("docker:1", reader, &seniors);
        ledger.track(&key, "web");
        key
    };
    assert_eq!(key("a", &[]), "docker:1");
    assert_eq!(key("b", &["a"]), "docker:1#b");
    assert_eq!(key("b", &[]), "docker:1#b", "a is gone");
    assert_eq!(key("a", &["b"]), "docker:1", "a is back, behind b");
    assert_eq!(key("c", &["a", "b"]), "docker:1#c");
}

#[test]
fn a_file_is_found_on_whatever_device_it_was_by_its_name_and_the_rest_of_its_key() {
    let ledger = Ledger::default();
    let files = [
        ("docker:9:7", "/a.log"),
        ("file:1:7", "/a.log"),
        ("file:12:7", "/b.log"),
        ("file:12:7#job", "/a.log"),
        ("file:2:7", "/c.log"),
        ("file:2:70", "/a.log"),
        ("promtail:/d.log", "/d.log"),
    ];
    for (offset, (key, name)) in files.into_iter().enumerate() {
        ledger.restore(key.to_owned(), name, at(offset as u64));
    }
    let found = |name, ending| ledger.position_on_any_device(name, ending);
    assert_eq!(found("/a.log", "7"), Some(at(1)));
    assert_eq!(found("/b.log", "7"), Some(at(2)));
    assert_eq!(found("/c.log", "7"), Some(at(4)));
    assert_eq!(found("/a.log", "7#job"), Some(at(3)));
    assert_eq!(found("/a.log", "70"), Some(at(5)));
    assert_eq!(found("/d.log", "7"), None);
    assert_eq!(Ledger::default().position_on_any_device("/a.log", "7"), None);
}
