//! Ledger, positions and spool together, on a disk that fails and crashes, against what must be true of them.
//!
//! `TAILWATER_TEST_SEED` repeats a case, `TAILWATER_MODEL_CASES` says how many there are.

mod run;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::disk::simulated::{Dice, SimDisk};
use super::spool::{Losses, Record, Recovered, Settings as SpoolSettings, Spool, WhenFull};
use super::{Cursor, Disk, Head, Ledger, Outcome, Settings, Store};
use crate::flow::Share;
use crate::record::{ByteCount, UnixNanos};
use run::Run;

/// A set of lines, as bits; no case reads more than this many.
type Lines = u128;
const MOST_LINES: u32 = 128;

const SECOND: i64 = 1_000_000_000;

struct Case {
    dice: Dice,
    disk: Arc<SimDisk>,
    spool: SpoolSettings,
    positions: Settings,
    now: UnixNanos,
    /// Delivered, refused and counted, or dropped and counted; at any time.
    done: Lines,
    /// Counted as lost by the spool.
    lost: Lines,
    /// The position last saved.
    saved: u32,
    /// Makes records distinct.
    records: u64,
    /// Records of failed appends since the last that succeeded. A restart may find them, and they may vanish again.
    ghosts: Vec<Record>,
    /// A read place that could not be saved lags behind the segments removed; what is missing then counts as damaged.
    place_may_lag: bool,
}

fn lines(record: &Record) -> Lines {
    Lines::from_le_bytes(*record.body.first_chunk().unwrap())
}

fn entries<'a>(records: impl IntoIterator<Item = &'a Record>) -> u64 {
    records.into_iter().map(|record| record.entries).sum()
}

impl Case {
    fn new(seed: u64) -> Case {
        let mut dice = Dice(seed);
        let spool = SpoolSettings {
            directory: "/state/spool".into(),
            max_size: ByteCount([1000, 2400, 6400][dice.below(3)]),
            max_age: [None, None, Some(Duration::from_secs(20))][dice.below(3)],
            when_full: if dice.coin() { WhenFull::Block } else { WhenFull::DropOldest },
        };
        let positions = Settings { file: "/state/positions.yaml".into(), sync_period: Duration::ZERO };
        let disk = Arc::new(SimDisk::new(dice.next()));
        Case {
            dice,
            disk,
            spool,
            positions,
            now: UnixNanos(0),
            done: 0,
            lost: 0,
            records: 0,
            saved: 0,
            ghosts: Vec::new(),
            place_may_lag: false,
        }
    }

    fn run(&mut self) {
        let mut run = self.open();
        for _ in 0..10 + self.dice.below(31) {
            self.now.0 += self.dice.below(3) as i64 * SECOND;
            match self.dice.below(32) {
                0..=7 => self.read(&mut run),
                8..=11 => self.settle(&mut run),
                12..=18 => self.append(&mut run),
                19..=23 => self.drain(&mut run),
                24..=26 => self.save(&mut run),
                27 => _ = self.sync(&mut run),
                28..=29 => self.fail(),
                _ => run = self.restart(run),
            }
            self.check(&mut run);
        }
        let mut run = self.restart(run);
        self.disk.fail_next(0);
        while !run.in_flight.is_empty() || !run.held.is_empty() || run.missing > 0 {
            self.drain(&mut run);
            self.check(&mut run);
        }
        assert!(run.spool.is_empty());
    }

    fn fail(&mut self) {
        self.disk.fail_next(1 + self.dice.below(8));
        self.place_may_lag = true;
    }

    fn save(&mut self, run: &mut Run) {
        if run.store.save(&run.ledger, Vec::new).is_ok() {
            self.saved = position(&run.ledger);
        }
    }

    fn sync(&mut self, run: &mut Run) -> bool {
        let synced = run.spool.sync().is_ok();
        self.place_may_lag &= !synced || self.disk.has_faults();
        synced
    }

    /// Reads one to three lines as a chunk, which one or two parcels carry.
    fn read(&mut self, run: &mut Run) {
        let count = 1 + self.dice.below(3) as u32;
        if run.next + count > MOST_LINES {
            return;
        }
        let all: Lines = ((1 << count) - 1) << run.next;
        run.next += count;
        let cursor = Cursor::File { offset: u64::from(run.next), head: Head::default() };
        let ticket = run.track.admit(cursor, Share::default());
        let some = all & Lines::from(self.dice.next()) << (self.dice.below(2) * 64);
        if some != 0 && some != all {
            run.open.push((some, ticket.split()));
        }
        run.open.push((if some == all { all } else { all & !some }, ticket));
    }

    fn settle(&mut self, run: &mut Run) {
        if run.open.is_empty() {
            return;
        }
        let (lines, ticket) = run.open.swap_remove(self.dice.below(run.open.len()));
        // One that is dropped without a word is lost.
        if self.dice.below(8) > 0 {
            let outcomes = [Outcome::Delivered, Outcome::Refused, Outcome::DroppedByRule];
            ticket.settle(outcomes[self.dice.below(3)]);
            self.done |= lines;
        }
    }

    fn append(&mut self, run: &mut Run) {
        if run.open.is_empty() {
            return;
        }
        let count = run.open.len().min(1 + self.dice.below(3));
        let parcels = run.open.split_off(run.open.len() - count);
        let records: Vec<_> = parcels.iter().map(|(lines, _)| self.record(*lines)).collect();
        let appended = run.spool.append(&records, self.now);
        run.may_be_evicted |= self.spool.when_full == WhenFull::DropOldest;
        self.count_losses(run);
        if appended.is_ok() {
            run.appended += entries(&records);
            run.held.extend(records);
            // Those that a restart found look like any other, and may be gone all the same.
            self.ghosts.retain(|ghost| run.held.contains(ghost));
            parcels.into_iter().for_each(|(_, ticket)| ticket.settle(Outcome::Spooled));
        } else {
            self.ghosts.extend(records);
            if self.dice.below(4) > 0 {
                run.open.extend(parcels);
            }
        }
    }

    fn record(&mut self, lines: Lines) -> Record {
        self.records += 1;
        let mut body = lines.to_le_bytes().to_vec();
        body.resize(16 + self.dice.below(5) * 50, b'.');
        Record {
            tenant: self.dice.coin().then(|| "tenant".into()),
            entries: u64::from(lines.count_ones()),
            size: self.records,
            oldest: self.now,
            body: body.into(),
        }
    }

    fn drain(&mut self, run: &mut Run) {
        let given = run.given().count();
        let number = self.dice.below(given.min(3) + 1);
        let next = run.spool.ahead(number, self.now);
        self.count_losses(run);
        let Ok(next) = next else { return };
        if number < given {
            assert_eq!(next.as_ref(), run.given().nth(number), "the same one until it is acknowledged");
        } else if next.is_some() || given == 0 {
            assert_eq!(next.as_ref(), run.held.front(), "records come in order");
            run.may_be_evicted &= !run.in_flight.is_empty();
            run.in_flight.extend(run.held.pop_front().map(|record| (record, false)));
        }
        let given = run.given().count();
        if self.dice.below(4) > 0 && given > 0 {
            let number = self.dice.below(given);
            run.spool.acknowledge(number);
            let mut open = run.in_flight.iter_mut().filter(|(_, acknowledged)| !acknowledged);
            if let Some((record, acknowledged)) = open.nth(number) {
                *acknowledged = true;
                run.acknowledged += record.entries;
                self.done |= lines(record);
            }
            while run.in_flight.pop_front_if(|(_, acknowledged)| *acknowledged).is_some() {}
        }
    }

    /// Finds out which records are lost: always the oldest, and whole ones.
    fn count_losses(&mut self, run: &mut Run) {
        let losses = run.spool.take_losses();
        let missing = losses.damaged.min(run.missing);
        run.missing -= missing;
        let mut damaged = losses.damaged - missing;
        // What a failed append left behind may look whole after a restart. It was never durable, nobody counts on it, and
        // a sync that fails may take it away again.
        while damaged > 0 {
            let record = run.held.pop_front().expect("no more is damaged than there was");
            assert!(self.ghosts.contains(&record), "nothing has damaged {record:?}");
            damaged = damaged.checked_sub(record.entries).expect("records vanish as a whole");
        }
        let mut left = losses.evicted + losses.expired;
        while left > 0 {
            let record = run.held.pop_front().expect("no more is lost than there was");
            left = left.checked_sub(record.entries).expect("records are lost as a whole");
            self.lost |= lines(&record);
            let too_old = self.spool.max_age.is_some_and(|age| record.oldest < self.now.minus(age));
            assert!(losses.evicted > 0 || too_old, "{record:?} has not expired");
        }
        run.lost.evicted += losses.evicted;
        run.lost.expired += losses.expired;
        run.lost.damaged += losses.damaged;
    }

    fn check(&mut self, run: &mut Run) {
        let accounted = run.acknowledged + run.lost.evicted + run.lost.expired + run.lost.damaged;
        assert_eq!(
            run.recovered + run.appended,
            accounted + run.spool.entries(),
            "every entry is accounted for"
        );
        // What is missing between records is found out when its turn comes.
        assert_eq!(run.spool.entries(), entries(&run.held) + entries(run.given()) + run.missing);
        assert!(run.spool.size() <= self.spool.max_size, "{:?}", run.spool.size());
    }

    /// The process ends in order, is killed, or the power goes; then it starts again.
    fn restart(&mut self, mut run: Run) -> Run {
        let mut place_is_saved = false;
        match self.dice.below(4) {
            0 => {
                self.save(&mut run);
                place_is_saved = self.sync(&mut run);
            }
            1 => {}
            _ => self.disk.crash(),
        }
        let Run { mut held, in_flight, may_be_evicted, .. } = run;
        for (record, _) in in_flight.iter().rev() {
            match may_be_evicted {
                false => held.push_front(record.clone()),
                true => self.lost |= lines(record),
            }
        }
        let held_ghosts = held.iter().any(|record| self.ghosts.contains(record));
        held.retain(|record| !self.ghosts.contains(record));
        self.disk.fail_next(0);
        let (ledger, found, missing) = self.look();
        // (b) What the spool said it holds, it holds, after what may be sent again.
        let whole: Vec<&Record> = found.iter().filter(|record| !self.ghosts.contains(record)).collect();
        let at = held.front().map_or(Some(0), |first| whole.iter().position(|record| *record == first));
        let at = at.unwrap_or_else(|| panic!("{held:?} is forgotten, there is {whole:?}"));
        assert!(whole.len() >= at + held.len(), "the end of {held:?} is forgotten, there is {whole:?}");
        assert!(whole[at..].iter().zip(&held).all(|(one, other)| *one == other), "{held:?} {whole:?}");
        let sent_again =
            whole[..at].iter().any(|record| !in_flight.iter().any(|(given, _)| given == *record));
        assert!(!(place_is_saved && sent_again), "nothing is sent again after an orderly end");
        // (a) No position covers a line that is not settled.
        let position = position(&ledger);
        assert!(position >= self.saved, "position {} was saved, {position} is found", self.saved);
        let covered = if position == MOST_LINES { Lines::MAX } else { (1 << position) - 1 };
        let in_spool = found.iter().fold(0, |all, record| all | lines(record));
        let forgotten = covered & !(self.done | self.lost | in_spool);
        assert_eq!(forgotten, 0, "lines {forgotten:b} before {position} are nowhere");

        if missing == 0 && self.dice.below(4) == 0 {
            self.fail();
        }
        let run = self.open();
        assert_eq!(run.recovered, entries(&found) + missing);
        let mut run = Run { held: found.into(), missing, ..run };
        if missing > 0 {
            assert!(self.place_may_lag || held_ghosts, "nothing has damaged anything");
            self.drain(&mut run);
        }
        run
    }

    /// What is on the disk, without touching it, and the number of entries that are not.
    fn look(&self) -> (Ledger, Vec<Record>, u64) {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.copy());
        let ledger = Ledger::default();
        Store::open(disk.clone(), &self.positions, &ledger).unwrap();
        let settings = SpoolSettings { max_age: None, ..self.spool.clone() };
        let (mut spool, Recovered { entries: recovered, .. }) = Spool::open(disk, settings).unwrap();
        let mut found = Vec::new();
        while let Some(record) = spool.next(self.now).unwrap() {
            spool.acknowledge(0);
            found.push(record);
        }
        let missing = spool.take_losses().damaged;
        assert_eq!(recovered, entries(&found) + missing, "every entry is accounted for");
        (ledger, found, missing)
    }

    /// Starts a process; where the disk fails, as often as it takes.
    fn open(&self) -> Run {
        loop {
            let disk: Arc<dyn Disk> = self.disk.clone();
            let ledger = Ledger::default();
            let Ok(store) = Store::open(disk.clone(), &self.positions, &ledger) else { continue };
            let Ok((spool, recovered)) = Spool::open(disk, self.spool.clone()) else { continue };
            let next = position(&ledger);
            return Run {
                track: ledger.track("file:1:1", "a.log"),
                ledger,
                store,
                spool,
                recovered: recovered.entries,
                appended: 0,
                acknowledged: 0,
                lost: Losses::default(),
                open: Vec::new(),
                next,
                held: VecDeque::new(),
                in_flight: VecDeque::new(),
                missing: 0,
                may_be_evicted: false,
            };
        }
    }
}

fn position(ledger: &Ledger) -> u32 {
    match ledger.committed().first() {
        Some((_, _, Cursor::File { offset, .. })) => *offset as u32,
        _ => 0,
    }
}

/// Says how to repeat the case that failed.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("TAILWATER_MODEL_CASES=1 TAILWATER_TEST_SEED={}", self.0);
        }
    }
}

#[test]
fn no_line_is_forgotten_and_every_loss_is_counted_whatever_the_disk_does() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let cases = number("TAILWATER_MODEL_CASES").unwrap_or(100_000);
    let seed = number("TAILWATER_TEST_SEED").unwrap_or_else(|| crate::clock::now().0 as u64);
    let threads = std::thread::available_parallelism().map_or(2, |count| count.get() as u64);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for case in (thread..cases).step_by(threads as usize) {
                    let seed = Seed(seed.wrapping_add(case));
                    Case::new(seed.0).run();
                }
            });
        }
    });
}
