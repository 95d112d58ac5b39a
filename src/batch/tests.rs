//! What a batcher seals, and when, by what is outstanding.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tokio::sync::mpsc;

use super::shards::Shard;
use super::*;
use crate::custody::{Cursor, Head, Ledger, Outcome, Track};
use crate::flow::Budget;
use crate::metrics::{Own, Registry, Series, Tally};
use crate::record::{ByteCount, Labels, Stream, UnixNanos};

/// Line bytes of a parcel.
const SIZE: usize = 1000;

/// A batcher, with a sender that does what a test says.
struct Bench {
    inlet: mpsc::Sender<Inbound>,
    parcels: mpsc::Receiver<Sealed>,
    track: Arc<Track>,
    budget: Budget,
    gauge: Arc<Series>,
    /// Lines handed in so far, each with its number as its text.
    lines: u64,
    chunks: u64,
}

impl Bench {
    fn new(concurrency: usize, wait: Duration) -> Bench {
        let own = Own::register(&Registry::default());
        let (inlet, handovers) = mpsc::channel(100);
        let (sender, parcels) = mpsc::channel(1000);
        let settings = Settings {
            wait,
            size: SIZE,
            max_streams: None,
            concurrency,
            external_labels: Labels::default(),
            tenant: None,
        };
        let client = own.client("c");
        tokio::spawn(run(settings, handovers, sender, client.path.queues.clone()));
        let track = Ledger::default().track("file:1:1", "a.log");
        let (budget, gauge) = (Budget::new(ByteCount::mib(8)), client.in_flight_entries);
        Bench { inlet, parcels, track, budget, gauge, lines: 0, chunks: 0 }
    }

    /// Hands in a chunk with so many lines of 100 bytes for each of these streams.
    async fn lines(&mut self, lines: &[(&Arc<Stream>, usize)]) {
        self.chunks += 1;
        let mut groups = Groups::new(self.chunks);
        for (stream, count) in lines {
            let group = groups.open((*stream).clone(), None);
            for _ in 0..*count {
                let line = format!("{:0>100}", self.lines);
                groups.append(group, UnixNanos(1), line.as_bytes(), std::iter::empty());
                self.lines += 1;
            }
        }
        let cursor = Cursor::File { offset: self.chunks, head: Head::default() };
        let tickets = vec![self.track.admit(cursor, self.budget.take(1).await)];
        let entries = Tally::new(&self.gauge, groups.entries());
        let waiting = Tally::elsewhere(1);
        let handover = Handover { groups: groups.finish(), tickets, cost: 1, entries, waiting };
        self.inlet.send(Inbound::Entries(handover)).await.unwrap();
        self.settle_down().await;
    }

    /// Lets the batcher do what it can without waiting for its clock.
    async fn settle_down(&self) {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    /// What was sealed since last asked.
    fn sealed(&mut self) -> Vec<Parcel> {
        let parcels = std::iter::from_fn(|| self.parcels.try_recv().ok());
        let parcels = parcels.filter_map(|sealed| match sealed {
            Sealed::Parcel(parcel) => Some(parcel),
            Sealed::Secure => None,
        });
        parcels.collect()
    }

    fn committed(&self) -> Option<u64> {
        match self.track.committed() {
            Some(Cursor::File { offset, .. }) => Some(offset),
            _ => None,
        }
    }
}

/// Streams that share no shard.
fn streams(count: usize) -> Vec<Arc<Stream>> {
    let mut taken = Shards::default();
    let all = (0..).map(|number| {
        Arc::new(Stream::new([("app", format!("a{number}").as_str())].into_iter().collect::<Labels>()))
    });
    all.filter(|stream| {
        let shard = Shards::of(Shard::of(None, &stream.text));
        let is_new = taken.is_disjoint(shard);
        taken = taken.with(shard);
        is_new
    })
    .take(count)
    .collect()
}

/// Entries by stream.
fn shape(parcel: &Parcel) -> Vec<(String, usize)> {
    let request = parcel.request().unwrap();
    request.streams.iter().map(|stream| (stream.labels.clone(), stream.entries.len())).collect()
}

fn expect(lines: &[(&Arc<Stream>, usize)]) -> Vec<(String, usize)> {
    lines.iter().map(|(stream, count)| (stream.text.clone(), *count)).collect()
}

#[tokio::test]
async fn a_full_batch_goes_whole_while_nothing_is_outstanding() {
    let (mut bench, streams) = (Bench::new(8, Duration::from_secs(60)), streams(2));
    let (a, b) = (&streams[0], &streams[1]);
    for _ in 0..3 {
        bench.lines(&[(a, 6), (b, 4)]).await;
        assert!(bench.sealed().is_empty(), "it is just full");
        bench.lines(&[(b, 1)]).await;
        let parcels = bench.sealed();
        assert_eq!(parcels.iter().map(shape).collect::<Vec<_>>(), [expect(&[(a, 6), (b, 4)])]);
        parcels.into_iter().for_each(|parcel| parcel.settle(Outcome::Delivered));
        bench.inlet.send(Inbound::Secure).await.unwrap();
        bench.settle_down().await;
        bench.sealed().into_iter().for_each(|parcel| parcel.settle(Outcome::Delivered));
    }
    assert_eq!(bench.committed(), Some(6));
    assert_eq!(bench.gauge.value(), 0.0);
}

#[tokio::test]
async fn what_is_not_outstanding_goes_beside_the_rest_and_the_rest_when_it_is_settled() {
    let (mut bench, streams) = (Bench::new(8, Duration::from_secs(60)), streams(3));
    let (a, b, c) = (&streams[0], &streams[1], &streams[2]);
    bench.lines(&[(a, 11)]).await;
    let mut first = bench.sealed();
    assert_eq!(shape(&first[0]), expect(&[(a, 10)]));
    bench.lines(&[(a, 3), (b, 5), (c, 2)]).await;
    let second = bench.sealed();
    assert_eq!(second.iter().map(shape).collect::<Vec<_>>(), [expect(&[(b, 5), (c, 1)])]);
    assert!(first[0].shards.is_disjoint(second[0].shards));
    bench.lines(&[(a, 5)]).await;
    assert!(bench.sealed().is_empty(), "everything is outstanding");
    first.remove(0).settle(Outcome::Delivered);
    bench.settle_down().await;
    assert!(bench.sealed().is_empty(), "it is not full");
    assert_eq!(bench.committed(), None, "the first chunk is not settled yet");
    bench.lines(&[(a, 2)]).await;
    assert_eq!(bench.sealed().iter().map(shape).collect::<Vec<_>>(), [expect(&[(a, 9)])]);
}

#[tokio::test]
async fn a_batch_that_cannot_go_fills_up_to_its_bound_and_then_waits() {
    let (mut bench, streams) = (Bench::new(4, Duration::from_secs(60)), streams(10));
    let lines: Vec<_> = streams.iter().map(|stream| (stream, 1)).collect();
    bench.lines(&lines).await;
    bench.lines(&lines).await;
    let outstanding = bench.sealed();
    assert_eq!(outstanding.iter().map(shape).collect::<Vec<_>>(), [expect(&lines)]);
    for _ in 0..3 {
        bench.lines(&lines).await;
    }
    assert!(bench.sealed().is_empty(), "four times as much may wait");
    bench.lines(&lines).await;
    let ahead = bench.sealed();
    let sizes = |parcels: &[Parcel]| parcels.iter().map(|parcel| parcel.content.size).collect::<Vec<_>>();
    assert_eq!(sizes(&ahead), [800], "one is sealed ahead, of the fullest as many as fit");
    bench.lines(&lines).await;
    bench.lines(&lines).await;
    assert!(bench.sealed().is_empty(), "it waits");
    // All at once, as everything is free.
    drop((outstanding, ahead));
    bench.settle_down().await;
    let parcels = bench.sealed();
    assert!(parcels.len() > 3, "{:?}", sizes(&parcels));
    assert!(parcels[0].shards.is_disjoint(parcels[1].shards.with(parcels[2].shards)));
}

#[tokio::test]
async fn what_is_on_disk_keeps_no_batch_from_going_but_its_streams_go_later() {
    let (mut bench, streams) = (Bench::new(4, Duration::from_secs(60)), streams(2));
    let (a, b) = (&streams[0], &streams[1]);
    bench.lines(&[(a, 11)]).await;
    let mut kept: Vec<_> = bench.sealed().iter_mut().filter_map(Parcel::take_token).collect();
    kept.iter().for_each(|token| token.put_on_disk());
    bench.lines(&[(a, 5), (b, 6)]).await;
    assert_eq!(bench.sealed().iter().map(shape).collect::<Vec<_>>(), [expect(&[(b, 4)])]);
    bench.lines(&[(a, 30)]).await;
    let entries: Vec<u64> = bench.sealed().iter().map(Parcel::entries).collect();
    assert!(entries.iter().sum::<u64>() >= 20, "{entries:?}: nothing else is waited for");
    kept.clear();
}

#[tokio::test]
async fn one_at_a_time_a_full_batch_goes_whatever_is_outstanding() {
    let (mut bench, streams) = (Bench::new(1, Duration::from_secs(60)), streams(1));
    bench.lines(&[(&streams[0], 31)]).await;
    assert_eq!(bench.sealed().len(), 3);
}

#[tokio::test]
async fn of_age_everything_goes_together() {
    let (mut bench, streams) = (Bench::new(8, Duration::from_millis(200)), streams(5));
    bench.lines(&[(&streams[0], 11)]).await;
    let outstanding = bench.sealed();
    assert_eq!(outstanding.len(), 1);
    bench.lines(&streams.iter().map(|stream| (stream, 1)).collect::<Vec<_>>()).await;
    match bench.parcels.recv().await {
        Some(Sealed::Parcel(parcel)) => assert_eq!(parcel.entries(), 6),
        other => panic!("{other:?}"),
    }
}

proptest! {
    /// Whatever comes in and is settled when: each stream's lines come out once and in order, no parcel is too large, what is
    /// sealed while requests are free is not outstanding, and all tickets settle with the parcels.
    #[test]
    fn every_line_comes_out_once_in_the_order_of_its_stream(
        concurrency in 1usize..6,
        steps in proptest::collection::vec((proptest::collection::vec((0usize..12, 1usize..9), 1..5), 0usize..4), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (mut bench, streams) = (Bench::new(concurrency, Duration::from_secs(60)), streams(12));
            let mut outstanding: VecDeque<Parcel> = VecDeque::new();
            let mut seen: BTreeMap<String, Vec<u64>> = BTreeMap::new();
            let mut take = |parcels: Vec<Parcel>| {
                for parcel in &parcels {
                    assert!(parcel.content.size <= SIZE as u64);
                    for stream in parcel.request().unwrap().streams {
                        let shard = Shards::of(Shard::of(None, &stream.labels));
                        assert!(!parcel.shards.is_disjoint(shard), "a parcel says what is in it");
                        let numbers = stream.entries.iter().map(|entry| {
                            String::from_utf8_lossy(&entry.line).parse::<u64>().unwrap()
                        });
                        seen.entry(stream.labels).or_default().extend(numbers);
                    }
                }
                parcels
            };
            for (lines, settled) in steps {
                let lines: Vec<_> = lines.iter().map(|(stream, count)| (&streams[*stream], *count)).collect();
                bench.lines(&lines).await;
                outstanding.extend(take(bench.sealed()));
                for number in 0..settled.min(outstanding.len()) {
                    let index = number % outstanding.len();
                    outstanding.remove(index).unwrap().settle(Outcome::Delivered);
                }
                bench.settle_down().await;
                outstanding.extend(take(bench.sealed()));
            }
            bench.inlet.send(Inbound::Secure).await.unwrap();
            bench.settle_down().await;
            outstanding.extend(take(bench.sealed()));
            while !outstanding.is_empty() {
                outstanding.drain(..).for_each(|parcel| parcel.settle(Outcome::Delivered));
                bench.settle_down().await;
                outstanding.extend(take(bench.sealed()));
            }
            assert_eq!(seen.values().map(Vec::len).sum::<usize>() as u64, bench.lines);
            assert!(seen.values().all(|numbers| numbers.is_sorted()), "{seen:?}");
            assert_eq!((bench.committed(), bench.gauge.value()), (Some(bench.chunks), 0.0));
        });
    }
}
