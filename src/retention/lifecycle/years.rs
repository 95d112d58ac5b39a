//! A hundred days of an archive on a simulated clock and a simulated disk that fails and crashes: nothing is kept past its time
//! plus a day, nothing goes early, and each line is in one tier.
//! In: seeds.  Out: a verdict.  Owns: the disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::custody::{Dice, Disk, SimDisk};
use crate::pipeline::Selector;
use crate::record::{ByteCount, UnixNanos};
use crate::retention::archive::crashes::{Made, asked_lines, record, seal_all, settings};
use crate::retention::archive::{Archive, DAYS, Manifest, Object, Streams, object_of};
use crate::retention::filter::Filter;
use crate::retention::lifecycle::{Course, Lifecycle, Step, shelves};
use crate::retention::objects::Objects;
use crate::retention::query::{Place, check};
use crate::retention::tiers::{Location, Rule, Settings, Tier};

const DAY: u64 = 24 * 3600;
const HOUR: i64 = DAYS / 24;

/// Between two passes.
const QUARTER: i64 = 6 * HOUR;

/// Days that a line may be in the first tier and in all, and those of a rule.
const WARM: i64 = 20;
const COLD: i64 = 30;
const RULE: i64 = 7;

fn tiers() -> Arc<Settings> {
    let tier = |name: &str, days: i64| Tier {
        name: name.into(),
        until: Duration::from_secs(days as u64 * DAY),
        store: Some(Location::Directory(format!("/{name}").into())),
    };
    let text = "{level=\"DEBUG\"}".to_owned();
    let streams = Selector::parse(&text).unwrap();
    Arc::new(Settings {
        tiers: vec![tier("warm", WARM), tier("cold", COLD)],
        rules: vec![Rule { streams, text, until: Duration::from_secs(RULE as u64 * DAY) }],
        seal_size: ByteCount(4_000),
        ..Arc::into_inner(settings(&Location::Directory("/".into()), 0)).unwrap()
    })
}

/// A line, its time, and for how many days it is kept.
type Kept = BTreeMap<String, (i64, i64)>;

struct World {
    disk: Arc<SimDisk>,
    settings: Arc<Settings>,
    archive: Option<Archive>,
    lifecycle: Lifecycle,
    kept: Kept,
    seed: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let (disk, settings) = (Arc::new(SimDisk::new(seed)), tiers());
        let on: Arc<dyn Disk> = disk.clone();
        let lifecycle = Lifecycle::new(shelves(&settings, &on).unwrap(), settings.seal_size);
        let mut world = World { disk, settings, archive: None, lifecycle, kept: Kept::new(), seed };
        world.open();
        world
    }

    fn open(&mut self) {
        self.archive = None;
        let disk: Arc<dyn Disk> = self.disk.clone();
        self.archive = Some(
            Archive::open(disk.clone(), self.settings.clone(), &Location::Directory("/warm".into())).unwrap(),
        );
        self.lifecycle = Lifecycle::new(shelves(&self.settings, &disk).unwrap(), self.settings.seal_size);
    }

    fn archive(&mut self) -> &mut Archive {
        self.archive.as_mut().unwrap()
    }

    /// Logs lines of about this time, and late ones.
    fn log(&mut self, dice: &mut Dice, now: i64) {
        for _ in 0..dice.below(4) {
            let made = (0..1 + dice.below(3)).map(|_| {
                let number = self.kept.len();
                let age = match dice.below(10) {
                    0 => dice.below(COLD as usize + 5) as i64 * DAYS,
                    1 => -HOUR,
                    _ => dice.below(3) as i64 * HOUR,
                };
                let (level, days) = if dice.below(4) == 0 { ("DEBUG", RULE) } else { ("INFO", COLD) };
                let service = format!("s{}", dice.below(2));
                let labels = [("service".to_owned(), service), ("level".to_owned(), level.to_owned())];
                let line = format!("{number:06} {}", "x".repeat(dice.below(200)));
                self.kept.insert(line.clone(), (now - age, days));
                (labels.into(), now - age, line, BTreeMap::new())
            });
            let made: Vec<Made> = made.collect();
            self.archive().log_now(&[record(None, &made)]);
        }
    }

    fn seal(&mut self) {
        let settings = self.settings.clone();
        seal_all(self.archive(), &settings.rules);
    }

    /// Without failures everything is done.
    fn pass(&mut self, now: i64) -> bool {
        let store = self.archive().store.clone();
        let mut failed = Vec::new();
        let mut tell = |step: Step| failed.extend(step.result.err().map(|error| (step.object, error)));
        let course = Course { now: UnixNanos(now), dry: false, go_on: &|| true, tell: &mut tell };
        let sealed = store.sealed.load(Ordering::Relaxed);
        let seen = self.lifecycle.pass(&store.owner, sealed, course);
        assert_eq!(seen.foreign, 0);
        assert_eq!(seen.failed == 0, failed.is_empty());
        failed.is_empty()
    }

    fn places(&self) -> [Place; 2] {
        ["/warm", "/cold"].map(|root| Place::on(self.disk.clone(), "", Path::new(root)))
    }

    /// At a quiet moment. Entries of one day may be in one object, which goes with the last of them.
    fn verify(&self, now: i64) {
        let places = self.places();
        let asked = asked_lines(&places);
        let tiers = places.each_ref().map(|place| lines(&*place.objects));
        let World { seed, kept, .. } = self;
        for (line, (time, days)) in kept {
            let age = now - time;
            let [warm, cold] = tiers.each_ref().map(|lines| lines.get(line).copied().unwrap_or(0));
            let times = asked.iter().filter(|asked| *asked == line).count();
            assert_eq!(times, warm + cold, "seed {seed}, {now}: {line} is asked for");
            assert!(warm + cold <= 1, "seed {seed}: {line} is there {warm} and {cold} times");
            assert!(warm + cold == 1 || age >= days * DAYS, "seed {seed}: {line} went early");
            assert!(
                warm + cold == 0 || age <= (days + 1) * DAYS + QUARTER,
                "seed {seed}: {line} is kept for too long"
            );
            assert!(cold == 0 || age >= WARM * DAYS, "seed {seed}: {line} moved early");
            assert!(warm == 0 || age <= (WARM + 1) * DAYS + QUARTER, "seed {seed}: {line} moved late");
        }
        assert!(asked.iter().all(|line| kept.contains_key(line)));
        let checked = check(&places, &mut |_, _| {}).unwrap();
        assert_eq!(checked.damage, [], "seed {seed}");
    }

    /// Objects of a day that is over.
    fn count(&self, day: i64) -> usize {
        let prefix = format!("date={}", crate::retention::archive::date_of(UnixNanos(day * DAYS)));
        let objects = self.places()[0].objects.below(&prefix).unwrap();
        objects.iter().filter(|name| object_of(name).is_some()).count()
    }
}

/// How often each line is in the objects of a store that have a manifest.
fn lines(objects: &dyn Objects) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    for name in objects.below("").unwrap().iter().filter(|name| object_of(name).is_some()) {
        let manifest = Manifest::decode(&objects.read(name).unwrap()).unwrap();
        let object = Object::open(objects, &manifest.object, &manifest.seal()).unwrap();
        for group in object.groups() {
            for entry in object.read(group, &Filter::everything(), &mut Streams::default()).unwrap() {
                *lines.entry(String::from_utf8(entry.line.to_vec()).unwrap()).or_default() += 1;
            }
        }
    }
    lines
}

fn run(seed: u64) {
    let (mut world, mut dice) = (World::new(seed), Dice(seed));
    for quarter in 0..400 {
        let now = 20_000 * DAYS + quarter * QUARTER;
        world.log(&mut dice, now);
        for _ in 0..dice.below(2) {
            world.disk.fail_after(dice.below(200), 1 + dice.below(3));
            world.seal();
            world.pass(now);
            if dice.coin() {
                world.disk.crash();
                world.open();
            }
            world.disk.fail_next(0);
        }
        // What is sealed once may be due at once.
        world.seal();
        assert!(world.pass(now) && world.pass(now), "seed {seed}: nothing fails any more");
        if quarter % 16 == 15 {
            world.verify(now);
        }
    }
    let objects = world.count(20_000 + 95);
    assert!(objects <= 12, "seed {seed}: {objects} objects of a day that is over");
}

#[test]
fn over_a_hundred_days_nothing_is_kept_too_long_nothing_goes_early_and_each_line_is_in_one_tier() {
    let cases = std::env::var("TAILWATER_MODEL_CASES").ok().and_then(|cases| cases.parse().ok());
    (0..cases.unwrap_or(4)).for_each(run);
}
