//! What goes into an archive comes out of it, and what is asked for is found: compared with the plainest way to do it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::archive::crashes::{Made, record, settings};
use super::archive::{Archive, ArchiveError, Entry, object_size, seal_now};
use super::filter::Filter;
use super::lifecycle::{Course, Lifecycle, Shelf};
use super::objects::Directory;
use super::query::{Answer, Place};
use super::tiers::Location;
use crate::custody::{RealDisk, SpoolError};
use crate::pipeline::Selector;
use crate::record::{ByteCount, UnixNanos};

const DAY: i64 = 86_400_000_000_000;

/// What an entry is, all of it.
type Whole = (i64, BTreeMap<String, String>, String, BTreeMap<String, String>, Option<String>);

fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    let value =
        prop_oneof![Just("a".to_owned()), Just("b".to_owned()), "\\PC{0,12}", "[\"\\\\\n/%=*_.]{0,6}"];
    let name = prop_oneof![Just("service".to_owned()), Just("level".to_owned()), Just("app".to_owned())];
    proptest::collection::btree_map(name, value, 0..3)
}

fn time() -> impl Strategy<Value = i64> {
    prop_oneof![
        8 => (0..3i64, 0..5i64).prop_map(|(day, nanos)| day * DAY + nanos),
        1 => any::<i64>(),
        1 => prop_oneof![Just(i64::MIN), Just(-1), Just(0), Just(i64::MAX)],
    ]
}

fn made() -> impl Strategy<Value = Made> {
    let line = prop_oneof!["[ab]{0,3}", "\\PC{0,40}", "[\u{0}-\u{1f}]{0,5}", Just(String::new())];
    let metadata = proptest::collection::btree_map("[a-c]{1,2}", "\\PC{0,8}", 0..3);
    (labels(), time(), line, metadata)
}

fn made_within_days() -> impl Strategy<Value = Made> {
    let time = (0..3i64, 0..6i64).prop_map(|(day, part)| day * DAY + part * DAY / 6);
    (made(), time).prop_map(|((labels, _, line, metadata), time)| (labels, time, line, metadata))
}

fn archive(directory: &Path) -> Archive {
    let store = Location::Directory(directory.to_owned());
    loop {
        match Archive::open(Arc::new(RealDisk), settings(&store, 2_000), &store) {
            // Whoever starts a program in another test holds what is open in this process, until that program runs.
            Err(ArchiveError::Log(_, SpoolError::InUse(_))) => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

/// A tenant, what it pushes, and whether that is sealed.
pub(crate) type Records = Vec<(Option<String>, Vec<Made>, bool)>;

pub(crate) fn records() -> impl Strategy<Value = Records> {
    let tenant = proptest::option::of("[a-b]{1}");
    proptest::collection::vec(
        (tenant, proptest::collection::vec(made(), 1..12), prop::bool::weighted(0.3)),
        0..8,
    )
}

/// Puts records into an archive and seals after some of them; what is left stays in the log.
pub(crate) fn fill(directory: &Path, records: &Records) {
    let mut archive = archive(directory);
    for (tenant, entries, seal) in records {
        archive.log_now(&[record(tenant.as_deref(), entries)]);
        if *seal {
            seal_now(&mut archive);
        }
    }
}

/// Seals what is in the log.
pub(crate) fn seal(directory: &Path) {
    seal_now(&mut archive(directory));
}

fn ask(directory: &Path, filter: &Filter, forward: bool) -> Vec<Entry> {
    let places = [Place::directory("", directory)];
    let mut answer = Answer::begin(&places, filter, &[], forward).unwrap();
    std::iter::from_fn(|| answer.next(&mut |_, _| {})).collect::<Result<_, _>>().unwrap()
}

fn whole(entry: &Entry) -> Whole {
    (
        entry.time.0,
        entry.stream.labels.clone(),
        String::from_utf8(entry.line.to_vec()).unwrap(),
        entry.metadata.as_deref().map(|text| serde_json::from_str(text).unwrap()).unwrap_or_default(),
        entry.stream.tenant.as_deref().map(str::to_owned),
    )
}

/// The plainest way to find something.
fn naive(records: &Records, filter: &Filter) -> Vec<Whole> {
    let mut found: Vec<Whole> = records
        .iter()
        .flat_map(|(tenant, entries, _)| {
            entries.iter().map(move |(labels, time, line, metadata)| {
                (*time, labels.clone(), line.clone(), metadata.clone(), tenant.clone())
            })
        })
        .filter(|(time, labels, line, ..)| {
            let selected = filter.selector.as_ref().is_none_or(|selector| {
                let value = |name: &str| labels.get(name).map(String::as_bytes).unwrap_or_default();
                selector.matchers.iter().all(|matcher| matcher.matches(value(matcher.name())))
                    && selector.filters.iter().all(|filter| filter.keeps(line.as_bytes()))
            });
            (filter.from.0..=filter.to.0).contains(time) && selected
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

fn filters() -> impl Strategy<Value = (Option<&'static str>, i64, i64)> {
    let selector = prop_oneof![
        Just(None),
        Just(Some(r#"{service="a"}"#)),
        Just(Some(r#"{service=""}"#)),
        Just(Some(r#"{service!="a", level=~"a|b"}"#)),
        Just(Some(r#"{service=~"a|.*\"+.*"} |= "a""#)),
        Just(Some(r#"{app!~"b"} != "b" |~ "^.{0,3}$""#)),
        Just(Some(r#"{level="a", service="b"} !~ "[ab]""#)),
    ];
    let times = prop_oneof![Just((i64::MIN, i64::MAX)), (time(), time())];
    (selector, times).prop_map(|(selector, (from, to))| (selector, from, to))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_is_asked_for_is_found_each_once_in_order_of_time(
        records in records(),
        questions in proptest::collection::vec(filters(), 1..6),
    ) {
        let directory = tempfile::tempdir().unwrap();
        fill(directory.path(), &records);
        for (selector, from, to) in questions {
            let selector = selector.map(|text| Selector::parse(text).unwrap());
            let filter = Filter { selector, from: UnixNanos(from), to: UnixNanos(to) };
            let wanted = naive(&records, &filter);
            for forward in [true, false] {
                let found = ask(directory.path(), &filter, forward);
                let in_order = found.is_sorted_by_key(|entry| if forward { entry.time.0 } else { !entry.time.0 });
                prop_assert!(in_order);
                let mut found: Vec<Whole> = found.iter().map(whole).collect();
                found.sort();
                prop_assert_eq!(&found, &wanted, "{:?} forward: {}", filter, forward);
            }
        }
    }
}

#[test]
fn json_lines_of_an_application_take_less_than_a_tenth_of_their_size() {
    let (mut size, mut made) = (0, Vec::new());
    for number in 0..10_000_i64 {
        // Identifiers as they are in reality: half of them cannot be compressed at all.
        let id = (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let line = format!(
            r#"{{"timestamp":"2026-11-24T07:00:{:02}.{:03}Z","level":"INFO","service":"api","message":"Trade executed successfully for order {number}","context":{{"trade_id":"{id:08x}","symbol":"BTCUSDT","quantity":0.01,"price":45000.0}},"duration_ms":{}}}"#,
            number / 1000,
            number % 1000,
            number * 7919 % 1500
        );
        size += line.len();
        made.push((
            [("service".to_owned(), "api".to_owned())].into(),
            number * 1_000_000,
            line,
            BTreeMap::new(),
        ));
    }
    let object = object_size(&made);
    assert!(object * 10 < size, "{size} bytes of lines became {object}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// A question that is being answered while objects are compacted, move and come back under other names.
    #[test]
    fn what_moves_while_it_is_asked_for_is_given_once(
        records in proptest::collection::vec(
            (Just(None), proptest::collection::vec(made_within_days(), 1..4), any::<bool>()),
            1..12,
        ),
        taken in 0..20_usize,
        forward: bool,
    ) {
        let [warm, cold] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        fill(warm.path(), &records);
        seal_now(&mut archive(warm.path()));
        let places = [warm.path(), cold.path()].map(|root| Place::directory("", root));
        let (filter, mut wanted) = (Filter::everything(), naive(&records, &Filter::everything()));
        let mut answer = Answer::begin(&places, &filter, &[], forward).unwrap();
        let mut next = || answer.next(&mut |_, _| {}).map(Result::unwrap);
        let mut found: Vec<Entry> = std::iter::from_fn(&mut next).take(taken).collect();
        let shelf = |root: &Path, days: u64| Shelf {
            tier: String::new(),
            until: Duration::from_secs(days * 86_400),
            objects: Arc::new(Directory::new(Arc::new(RealDisk), root)),
        };
        let mut lifecycle = Lifecycle::new(vec![shelf(warm.path(), 2), shelf(cold.path(), 1000)], ByteCount::mib(1));
        let store = archive(warm.path()).store;
        // The oldest day moves, what stays is compacted; then all moves.
        for now in [3 * DAY + DAY / 10, 5 * DAY] {
            let course = Course { now: UnixNanos(now), dry: false, go_on: &|| true, tell: &mut |_| {} };
            prop_assert_eq!(lifecycle.pass(&store.owner, u64::MAX, course).failed, 0);
            found.extend(next());
        }
        found.extend(std::iter::from_fn(next));
        prop_assert_eq!(places[0].objects.below("").unwrap(), Vec::<String>::new());
        let mut found: Vec<Whole> = found.iter().map(whole).collect();
        let in_order = found.is_sorted_by(|a, b| if forward { a.0 <= b.0 } else { a.0 >= b.0 });
        prop_assert!(in_order);
        found.sort();
        wanted.sort();
        prop_assert_eq!(found, wanted);
    }
}
