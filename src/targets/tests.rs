//! What the board shows of targets that come and go.
//! In: targets.  Out: readings.  Owns: nothing.

use futures_util::FutureExt as _;

use super::*;
use crate::custody::{Ledger, Outcome};
use crate::flow::Budget;
use crate::record::ByteCount;

fn described(name: &str) -> Description {
    let (job, name) = ("job".to_owned(), name.to_owned());
    let labels = [("level", "INFO")].into_iter().collect();
    Description { job, kind: "file", name, discovered: BTreeMap::new(), labels }
}

#[test]
fn a_target_is_shown_until_it_is_gone_and_settled_and_a_little_longer() {
    let (targets, ledger) = (Targets::default(), Ledger::default());
    let mut target = targets.add(described("a.log"));
    let track = ledger.track("file:1:1", "a.log");
    let share = Budget::new(ByteCount::mib(1)).take(100).now_or_never().unwrap();
    target.read(2, 90, &track);
    let ticket = track.admit(Track::NO_PLACE, share);
    target.reporter().behind(90, 40);

    let later = Instant::now() + Duration::from_secs(7);
    let [reading] = targets.readings_at(later).try_into().unwrap();
    assert_eq!((reading.lines, reading.bytes, reading.bytes_behind()), (2, 90, 140));
    assert!(reading.behind >= Duration::from_secs(7), "{:?}", reading.behind);
    assert_eq!(reading.shown[0].state, State::Reading);

    drop(target);
    let later = later + SHOWN_AFTER * 2;
    let [reading] = targets.readings_at(later).try_into().unwrap();
    assert_eq!((reading.unsettled, reading.unread), (100, None), "what is not read any more is not behind");
    assert_eq!(reading.shown[0].state, State::Ending);

    ticket.settle(Outcome::Delivered);
    let [reading] = targets.readings_at(later).try_into().unwrap();
    assert_eq!((reading.lines, reading.bytes_behind(), reading.shown.len()), (2, 0, 0));
    assert!(targets.readings_at(later + SHOWN_AFTER).is_empty());
}

#[test]
fn a_target_that_comes_back_under_its_name_goes_on_with_its_counts() {
    let targets = Targets::default();
    let track = Track::passing();
    for times in 1..=3 {
        let mut target = targets.add(described("web"));
        target.read(10, 100, &track);
        let mut dropped = Dropped::default();
        let reason = Arc::from("too_old");
        dropped.add(&reason);
        dropped.add(&reason);
        target.dropped(dropped);
        target.reporter().fails("no permission");
        let [reading] = targets.readings().try_into().unwrap();
        assert_eq!((reading.lines, reading.shown.len()), (10 * times, 1));
        assert_eq!(reading.dropped, [("too_old".to_owned(), 2 * times)]);
        assert_eq!(reading.shown[0].state, State::Unreadable("no permission".to_owned()));
        target.reporter().works();
        assert_eq!(targets.readings()[0].shown[0].state, State::Reading);
    }
}

#[test]
fn targets_that_churn_leave_nothing_behind() {
    let (targets, start) = (Targets::default(), Instant::now());
    for number in 0..10_000 {
        let target = targets.add(described(&format!("job-{number}")));
        drop(target);
        targets.readings_at(start + Duration::from_secs(number));
        assert!(targets.lock().accounts.len() as u64 <= SHOWN_AFTER.as_secs() + 1);
    }
    for number in 0..10_000 {
        drop(targets.add(described(&format!("quick-{number}"))));
        assert!(targets.lock().accounts.len() <= 3 * GONE_SHOWN);
    }
}
