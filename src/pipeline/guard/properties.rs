//! What holds of the guard whatever labels entries have, and what it does with some.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::{Above, Guard, GuardSettings, SavedGuard, Seen};
use crate::clock::Instant;
use crate::metrics::{Own, Registry};

const HOUR: Duration = Duration::from_secs(3600);

type Set = BTreeMap<String, String>;

fn settings(max_streams: usize, max_label_values: usize) -> GuardSettings {
    GuardSettings { enabled: true, max_streams, max_label_values, above: Above::Discard }
}

struct Bench {
    guard: Guard,
    own: Arc<Own>,
    start: Instant,
}

struct Answer {
    /// The labels that stay.
    stream: Set,
    moved: BTreeSet<String>,
    seen: Option<Arc<Seen>>,
}

impl Bench {
    fn new(max_streams: usize, max_label_values: usize) -> Bench {
        let own = Own::register(&Registry::default());
        let settings = settings(max_streams, max_label_values);
        let start = Instant::now();
        Bench { guard: Guard::beside(None, settings, &own), own, start }
    }

    /// Asks about an entry of the target `app` with these labels.
    fn ask(&self, labels: &[(&str, &str)], after: Duration) -> Answer {
        self.ask_of("app", labels, after)
    }

    fn ask_of(&self, app: &str, labels: &[(&str, &str)], after: Duration) -> Answer {
        let hash = |name: &str, value: &str| self.guard.hash(name, value.as_bytes());
        let mut asked = self.guard.asked("job", hash("job", "job"));
        asked.keep("app", hash("app", app));
        for (number, (name, value)) in labels.iter().enumerate() {
            asked.offer(number, name, value.as_bytes(), hash(name, value));
        }
        let seen = self.guard.decide(&mut asked, self.start + after);
        let moved: BTreeSet<usize> = asked.moved().collect();
        let mut answer = Answer { stream: Set::new(), moved: BTreeSet::new(), seen };
        answer.stream.insert("app".to_owned(), app.to_owned());
        for (number, (name, value)) in labels.iter().enumerate() {
            if moved.contains(&number) {
                answer.moved.insert((*name).to_owned());
            } else {
                answer.stream.insert((*name).to_owned(), (*value).to_owned());
            }
        }
        answer
    }

    fn streams(&self) -> f64 {
        self.own.cardinality.streams_active.value()
    }

    fn values(&self, label: &str) -> f64 {
        self.own.cardinality.values_active(Some(label)).value()
    }

    fn let_through(&self) -> f64 {
        self.own.cardinality.streams_over_limit.value()
    }
}

#[test]
fn new_values_of_a_full_label_move_and_known_ones_stay() {
    let bench = Bench::new(100, 3);
    for number in 0..10 {
        let id = number.to_string();
        let answer = bench.ask(&[("level", "info"), ("id", &id)], Duration::ZERO);
        assert_eq!(answer.moved.contains("id"), number >= 3, "{id}");
        assert_eq!(answer.stream["level"], "info");
    }
    assert!(bench.ask(&[("level", "info"), ("id", "2")], Duration::ZERO).moved.is_empty());
    assert!(bench.ask(&[("level", "warn"), ("id", "1")], Duration::ZERO).moved.is_empty());
    assert_eq!((bench.streams(), bench.values("id"), bench.values("level")), (5.0, 3.0, 2.0));
    assert_eq!(bench.own.cardinality.values_moved(Some("id")).value(), 7.0);
}

#[test]
fn where_streams_are_full_the_widest_label_moves_and_the_others_stay() {
    let bench = Bench::new(40, 40);
    let mut streams = BTreeSet::new();
    for number in 0..100 {
        let (id, level) = (number.to_string(), ["info", "warn"][number % 2]);
        let answer = bench.ask(&[("level", level), ("id", &id)], Duration::ZERO);
        assert_eq!(answer.stream["level"], level, "there is room for streams without the widest label");
        streams.insert(answer.stream);
    }
    assert_eq!((streams.len(), bench.streams(), bench.let_through()), (38, 38.0, 0.0));
}

#[test]
fn a_stream_with_nothing_to_move_is_let_through_and_counted_once() {
    let bench = Bench::new(2, 2);
    for _ in 0..3 {
        for app in ["a", "b", "c", "d"] {
            assert_eq!(bench.ask_of(app, &[], Duration::ZERO).stream["app"], app);
        }
    }
    assert_eq!((bench.streams(), bench.let_through()), (4.0, 2.0));
    // So many that it is not kept in mind which.
    assert!(bench.ask_of("e", &[], Duration::ZERO).seen.is_none());
    assert_eq!((bench.streams(), bench.let_through()), (4.0, 3.0));
}

#[test]
fn a_stream_that_is_known_goes_on_although_its_value_was_not_counted() {
    let bench = Bench::new(10, 1);
    let hash = |value: &str| bench.guard.hash("id", value.as_bytes());
    // To this target the label is its own.
    let mut asked = bench.guard.asked("job", 0);
    asked.keep("app", bench.guard.hash("app", b"app"));
    asked.keep("id", hash("a"));
    bench.guard.decide(&mut asked, bench.start);
    bench.ask(&[("id", "b")], Duration::ZERO);
    assert!(bench.ask(&[("id", "a")], Duration::ZERO).moved.is_empty());
    assert!(bench.ask(&[("id", "c")], Duration::ZERO).moved.contains("id"));
    assert_eq!((bench.streams(), bench.values("id")), (3.0, 1.0));
}

#[test]
fn a_label_with_one_value_does_not_move_however_full_it_is() {
    let bench = Bench::new(1, 1);
    assert!(bench.ask(&[("job", "x")], Duration::ZERO).moved.is_empty());
    let other = bench.ask_of("other", &[("job", "x")], Duration::ZERO);
    assert!(other.moved.is_empty());
    assert_eq!(bench.let_through(), 1.0);
}

#[test]
fn what_nobody_writes_to_is_forgotten_and_what_is_cached_and_used_is_not() {
    let bench = Bench::new(10, 2);
    let used = bench.ask(&[("id", "a")], Duration::ZERO).seen.unwrap();
    let idle = bench.ask(&[("id", "b")], Duration::ZERO).seen.unwrap();
    assert!(bench.guard.still_knows(&used, bench.start + HOUR));
    bench.guard.sweep(bench.start + HOUR + Duration::from_secs(30));
    assert!(!bench.guard.still_knows(&idle, bench.start + HOUR + Duration::from_secs(40)));
    assert!(bench.guard.still_knows(&used, bench.start + 2 * HOUR));
    assert_eq!((bench.streams(), bench.values("id")), (1.0, 1.0));
    assert!(bench.ask(&[("id", "c")], 2 * HOUR).moved.is_empty(), "there is room again");
    assert!(bench.ask(&[("id", "b")], 2 * HOUR).moved.contains("id"));
}

#[test]
fn a_label_of_few_new_values_an_hour_never_fills_up() {
    let bench = Bench::new(1000, 10);
    for hour in 0..1000u32 {
        for number in 0..5 {
            let id = format!("{hour} {number}");
            assert!(bench.ask(&[("id", &id)], hour * HOUR).moved.is_empty(), "{id}");
        }
    }
}

#[test]
fn labels_without_bound_in_number_are_bounded_too() {
    let bench = Bench::new(100_000, 5);
    let stays = (0..3000).filter(|number| {
        let name = format!("label{number}");
        bench.ask(&[(&name, "x")], Duration::ZERO).moved.is_empty()
    });
    assert_eq!(stays.count(), 1000 + 5, "those above a thousand count together");
}

#[test]
fn another_configuration_knows_what_the_one_before_knew_and_nothing_knows_nothing() {
    let bench = Bench::new(10, 2);
    for id in ["a", "b"] {
        bench.ask(&[("id", id)], Duration::ZERO);
    }
    let settings = settings(10, 1);
    let other = Own::register(&Registry::default());
    let Bench { guard, own, start } = bench;
    let next = Bench { guard: Guard::beside(Some(&guard), settings, &other), own, start };
    drop(guard);
    assert!(next.ask(&[("id", "b")], Duration::ZERO).moved.is_empty());
    assert!(next.ask(&[("id", "c")], Duration::ZERO).moved.contains("id"));
    assert_eq!((next.streams(), next.values("id")), (3.0, 2.0));
    let Bench { guard, own, .. } = next;
    drop(guard);
    assert_eq!(own.cardinality.streams_active.value(), 0.0);
    assert_eq!(own.cardinality.values_active(Some("id")).value(), 0.0);
}

#[test]
fn what_was_known_is_known_after_a_restart() {
    let bench = Bench::new(10, 2);
    for (id, level) in [("a", "x"), ("b", "x"), ("c", "y")] {
        bench.ask(&[("id", id), ("level", level)], Duration::ZERO);
    }
    let text = serde_json::to_string(&bench.guard.save()).unwrap();
    assert_eq!(text, serde_json::to_string(&bench.guard.save()).unwrap(), "nothing new, nothing to write");
    let saved: SavedGuard = serde_json::from_str(&text).unwrap();
    let next = Bench::new(10, 2);
    next.guard.restore(&saved);
    assert_eq!((next.streams(), next.values("id"), next.values("level")), (3.0, 2.0, 2.0));
    assert!(next.ask(&[("id", "a"), ("level", "x")], Duration::ZERO).moved.is_empty());
    assert!(next.ask(&[("level", "y")], Duration::ZERO).moved.is_empty());
    assert!(next.ask(&[("id", "d")], Duration::ZERO).moved.contains("id"));
    assert_eq!(next.streams(), 4.0, "the third stream was known");
    // Time goes on from when they were met.
    next.guard.sweep(next.start + HOUR + Duration::from_secs(2));
    assert_eq!((next.streams(), next.values("id")), (0.0, 0.0));
}

#[test]
fn what_was_saved_and_makes_no_sense_is_left_out() {
    let bench = Bench::new(2, 2);
    let text = |check: u64| {
        format!(
            "{{\"seed\":1,\"check\":{check},\"values\":{{\"a\":[1,1,2]}},\"streams\":[[1,{},[0,1,2,9]],[1,9223372036854775807,[0]],\
             [2,-9223372036854775808,[1]],[3,9223372036854775807,[]],[4,9223372036854775807,[]],[5,9223372036854775807,[]]]}}",
            i64::MAX
        )
    };
    let restore = |check| bench.guard.restore(&serde_json::from_str(&text(check)).unwrap());
    restore(7);
    assert_eq!(bench.streams(), 0.0, "the hashes are of another version");
    restore(super::hash(1, super::CHECK, b""));
    assert_eq!((bench.streams(), bench.values("a")), (2.0, 2.0), "twice the limit is read at most");
    bench.guard.sweep(bench.start + 3 * HOUR);
    assert_eq!((bench.streams(), bench.values("a")), (0.0, 0.0));
}

#[derive(Clone, Debug)]
struct Step {
    labels: Vec<(usize, u8)>,
    app: u8,
    minutes: u32,
    /// Whose cached stream is used meanwhile.
    uses: usize,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let labels = proptest::collection::btree_map(0..4usize, 0..12u8, 0..4);
    let step = (labels, 0..2u8, prop_oneof![4 => Just(0), 1 => 0..90u32], any::<usize>()).prop_map(
        |(labels, app, minutes, uses)| Step { labels: labels.into_iter().collect(), app, minutes, uses },
    );
    proptest::collection::vec(step, 1..120)
}

proptest! {
    #[test]
    fn streams_and_values_stay_within_their_limits(steps in steps(), streams in 3..40usize, values in 1..12usize) {
        let bench = Bench::new(streams, values.min(streams));
        let mut cached: Vec<(Set, Arc<Seen>)> = Vec::new();
        // Streams that the guard answers for, by when they were met last.
        let mut alive: HashMap<Set, Duration> = HashMap::new();
        let mut time = Duration::ZERO;
        for step in steps {
            time += Duration::from_secs(60) * step.minutes;
            let number = step.uses % cached.len().max(1);
            if let Some((set, seen)) = cached.get(number) {
                // A lane that has a stream in its cache either keeps it alive or learns that it is forgotten.
                match bench.guard.still_knows(seen, bench.start + time) {
                    true => drop(alive.insert(set.clone(), time)),
                    false => drop(cached.swap_remove(number)),
                }
            }
            let named: Vec<(String, String)> =
                step.labels.iter().map(|(name, value)| (format!("l{name}"), value.to_string())).collect();
            let labels: Vec<(&str, &str)> = named.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let app = step.app.to_string();
            let before = bench.let_through();
            let answer = bench.ask_of(&app, &labels, time);
            // Idle ones may be remembered until the next look for them.
            let whole: Set = labels.iter().chain([&("app", app.as_str())]).map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            if alive.get(&whole).is_some_and(|met| *met + HOUR > time) {
                prop_assert!(answer.moved.is_empty(), "a stream there is goes on");
            }
            prop_assert_eq!(&answer.stream["app"], &app);
            if let Some(seen) = answer.seen {
                alive.insert(answer.stream.clone(), time);
                cached.push((answer.stream, seen));
            }
            let recent = alive.iter().filter(|(_, met)| **met + HOUR > time);
            let recent: Vec<&Set> = recent.map(|(set, _)| set).collect();
            prop_assert!(recent.len() as f64 <= bench.streams());
            if bench.let_through() == 0.0 {
                prop_assert!(bench.streams() <= streams as f64);
            }
            // Only what has nothing to move is let through: one value, or none.
            if bench.let_through() > before {
                prop_assert!(answer.moved.len() + 1 >= labels.len() || bench.values("l0") <= 1.0 || bench.values("l1") <= 1.0 || bench.values("l2") <= 1.0 || bench.values("l3") <= 1.0);
            }
            for name in ["l0", "l1", "l2", "l3"] {
                let met: BTreeSet<&String> = recent.iter().filter_map(|set| set.get(name)).collect();
                prop_assert!(met.len() as f64 <= bench.values(name));
                prop_assert!(bench.values(name) <= values.min(streams) as f64);
            }
        }
        bench.guard.sweep(bench.start + time + 3 * HOUR);
        prop_assert_eq!(bench.streams(), 0.0);
        for name in ["l0", "l1", "l2", "l3"] {
            prop_assert_eq!(bench.values(name), 0.0);
        }
    }
}
