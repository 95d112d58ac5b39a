//! The life of archived objects: small ones are compacted, old ones move from tier to tier, and go when their time is over.
//! In: what is in the stores of the tiers, the time.  Out: changes there, told one by one.  Owns: what it has seen settled.
//!
//! Only objects with a name of this agent are touched, and only those whose part of the log is sealed for good. Whatever is
//! copied is read back before what it was copied from goes. A crash at any point leaves an object whole in at least one
//! place, and a tombstone beside whatever is not; the next pass goes on from there.

mod act;
mod clock_guard;
mod compact;
mod fate;
mod runner;
#[cfg(test)]
mod years;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::BuildHasher as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;

use crate::custody::Disk;
use crate::record::{ByteCount, UnixNanos};
use crate::retention::archive::{DAYS, Manifest, Name, OBJECT, Owner, TOMBSTONE, day_of, manifest_of};
use crate::retention::lifecycle::fate::{Fate, Plan};
use crate::retention::objects::{Objects, TOGETHER};
use crate::retention::query::decoded;
use crate::retention::tiers::{Settings, Tier};

pub(crate) use clock_guard::ClockGuard;
pub(crate) use runner::{INTERVAL, Runner, command, preview};

/// Entries of a day hardly come any more so long after it.
const LATE: Duration = Duration::from_secs(3600);

/// A tier with a store.
#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    pub(crate) tier: String,
    pub(crate) until: Duration,
    pub(crate) objects: Arc<dyn Objects>,
}

/// Something that is done to an object, or would be.
#[derive(Debug)]
pub(crate) struct Step {
    /// One of expire, move, compact, clear.
    pub(crate) action: &'static str,
    /// Which object, with its store.
    pub(crate) object: String,
    pub(crate) reason: String,
    /// Of all objects concerned.
    pub(crate) bytes: u64,
    pub(crate) result: io::Result<()>,
}

/// How a pass goes on.
pub(crate) struct Course<'c> {
    pub(crate) now: UnixNanos,
    /// Nothing is changed.
    pub(crate) dry: bool,
    /// Asked between two steps.
    pub(crate) go_on: &'c dyn Fn() -> bool,
    /// Told of each step.
    pub(crate) tell: &'c mut dyn FnMut(Step),
}

/// What a pass has seen.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) objects: u64,
    /// Under this agent's hosts, and not its own; left as they are.
    pub(crate) foreign: u64,
    /// What could not be read or done.
    pub(crate) failed: u64,
}

/// What is to be looked after.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    /// From the youngest entries to the oldest.
    shelves: Vec<Shelf>,
    /// Bytes of lines that objects are compacted to.
    size: ByteCount,
    /// Partitions in which there was nothing to compact, and a hash of the names in them then.
    settled: HashMap<(usize, String), u64>,
    /// The same of the pass before.
    settled_before: HashMap<(usize, String), u64>,
}

/// What is in a directory, as far as it is this agent's.
#[derive(Debug, Default)]
struct Partition {
    objects: Vec<String>,
    tombstones: Vec<String>,
    /// A hash of the names of objects.
    names: u64,
}

/// What is known of an object that something may be done to.
struct Known {
    kept_for: Option<Duration>,
    manifest: Manifest,
}

/// The tiers with a store.
pub(crate) fn shelves(settings: &Settings, disk: &Arc<dyn Disk>) -> io::Result<Vec<Shelf>> {
    let shelf = |tier: &Tier| {
        let objects = tier.store.as_ref()?.open(disk.clone());
        Some(objects.map(|objects| Shelf { tier: tier.name.clone(), until: tier.until, objects }))
    };
    settings.tiers.iter().filter_map(shelf).collect()
}

impl Lifecycle {
    pub(crate) fn new(shelves: Vec<Shelf>, size: ByteCount) -> Lifecycle {
        Lifecycle { shelves, size, settled: HashMap::new(), settled_before: HashMap::new() }
    }

    /// Looks at all objects once, and does what it is time for. Blocks. `sealed` is the first number of the log that may be
    /// sealed once more.
    pub(crate) fn pass(&mut self, owner: &Owner, sealed: u64, mut course: Course<'_>) -> Seen {
        let mut seen = Seen::default();
        self.settled_before = std::mem::take(&mut self.settled);
        // What moves is not looked at once more where it arrives.
        for shelf in (0..self.shelves.len()).rev() {
            if let Err(error) = self.walk(shelf, owner, sealed, &mut course, &mut seen) {
                let object = self.shelves[shelf].objects.name();
                seen.tell(&mut course, Step::failed("list", object, error));
            }
        }
        seen
    }

    fn walk(
        &mut self,
        shelf: usize,
        owner: &Owner,
        sealed: u64,
        course: &mut Course<'_>,
        seen: &mut Seen,
    ) -> io::Result<()> {
        let objects = self.shelves[shelf].objects.clone();
        for date in objects.list("")?.directories {
            let Some(day) = day_of(&date) else { continue };
            for host in owner.hosts() {
                let names = objects.below(&format!("{date}/{host}"))?;
                for (directory, partition) in partitions(names, owner, sealed, seen) {
                    if !(course.go_on)() {
                        return Ok(());
                    }
                    self.look_at((shelf, day), directory, partition, (course, seen), owner.agent());
                }
            }
        }
        Ok(())
    }

    fn look_at(
        &mut self,
        (shelf, day): (usize, UnixNanos),
        directory: String,
        partition: Partition,
        (course, seen): (&mut Course<'_>, &mut Seen),
        agent: &str,
    ) {
        let objects = self.shelves[shelf].objects.clone();
        let failed = seen.failed;
        let key = (shelf, directory);
        let full_name = |name: &str| format!("{}/{name}", objects.name());
        for tombstone in &partition.tombstones {
            let step = Step::new("clear", full_name(tombstone), "it was not finished", 0);
            seen.act(course, step, || act::clear(&*objects, tombstone));
        }
        let over = day.0.saturating_add(DAYS).saturating_add(nanos(LATE)) <= course.now.0;
        let is_new = over && self.settled_before.get(&key) != Some(&partition.names);
        let plan = Plan::new(&self.shelves, shelf, course.now);
        // No entry is older than its day, so most manifests need not be read.
        let is_wanted = |kept_for| is_new || plan.fate(day, kept_for) != Fate::Stay;
        let mut known = seen.read(course, &*objects, &partition, is_wanted);
        seen.finish_compactions(course, &*objects, &partition, &mut known);
        let mut stay = Vec::new();
        for Known { kept_for, manifest } in known {
            if !(course.go_on)() {
                return;
            }
            let object = full_name(&manifest.object);
            let last = manifest.last_time;
            match plan.fate(last, kept_for) {
                Fate::Stay => stay.push(Known { kept_for, manifest }),
                Fate::Expire => {
                    let reason = plan.reason(last, kept_for);
                    let step = Step::new("expire", object, reason, manifest.bytes);
                    seen.act(course, step, || act::remove(&*objects, &manifest.object));
                }
                Fate::Move(to) => {
                    let to = &self.shelves[to];
                    let reason = format!("to {} in tier {}", to.objects.name(), to.tier);
                    let step = Step::new("move", object, reason, manifest.bytes);
                    seen.act(course, step, || act::transfer(&*objects, &*to.objects, &manifest));
                }
            }
        }
        let groups = if is_new { compact::groups(stay, self.size) } else { Vec::new() };
        for group in groups {
            if !(course.go_on)() {
                return;
            }
            let target = compact::target(agent, &group);
            let bytes = group.manifests.iter().map(|manifest| manifest.bytes).sum();
            let reason = format!("{} objects", group.manifests.len());
            let step = Step::new("compact", full_name(&target), reason, bytes);
            seen.act(course, step, || compact::compact(&*objects, agent, target, &group));
        }
        // After a change the names are other ones, and are looked at once more.
        if over && seen.failed == failed {
            self.settled.insert(key, partition.names);
        }
    }
}

/// By directory, what is this agent's and not under way.
fn partitions(
    names: Vec<String>,
    owner: &Owner,
    sealed: u64,
    seen: &mut Seen,
) -> BTreeMap<String, Partition> {
    let mut partitions: BTreeMap<String, Partition> = BTreeMap::new();
    for name in names {
        let Some((directory, _)) = name.rsplit_once('/') else { continue };
        let partition = partitions.entry(directory.to_owned()).or_default();
        let is_object = name.ends_with(OBJECT);
        match Name::parse(&name) {
            Some(own) if owner.has(own.agent) => {
                // What may be sealed once more would come back.
                let is_sealed = own.agent != owner.agent() || own.first.is_none_or(|first| first < sealed);
                if name.ends_with(TOMBSTONE) {
                    partition.tombstones.push(name);
                } else if is_object && is_sealed {
                    seen.objects += 1;
                    partition.objects.push(name);
                }
            }
            _ if is_object => seen.foreign += 1,
            _ => {}
        }
    }
    for Partition { objects, tombstones, names } in partitions.values_mut() {
        *names = FixedState::with_seed(0).hash_one(&*objects);
        objects.retain(|name| !tombstones.iter().any(|tombstone| act::is_tombstone_of(tombstone, name)));
    }
    partitions
}

/// By a manifest that speaks of another object, or of another day, nothing is removed.
fn plausible(name: &str, manifest: Manifest) -> io::Result<Manifest> {
    let is_of_day = day_of(name).is_some_and(|day| {
        day <= manifest.first_time
            && manifest.first_time <= manifest.last_time
            && manifest.last_time.0.saturating_sub(day.0) < DAYS
    });
    if is_of_day && manifest_of(&manifest.object) == name {
        Ok(manifest)
    } else {
        Err(io::Error::other("it speaks of another object or another day"))
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

impl Step {
    fn new(action: &'static str, object: String, reason: impl Into<String>, bytes: u64) -> Step {
        Step { action, object, reason: reason.into(), bytes, result: Ok(()) }
    }

    fn failed(action: &'static str, object: String, error: io::Error) -> Step {
        Step { result: Err(error), ..Step::new(action, object, "", 0) }
    }
}

impl Seen {
    /// Reads manifests of objects that are wanted, by what a rule says of them.
    fn read(
        &mut self,
        course: &mut Course<'_>,
        objects: &dyn Objects,
        partition: &Partition,
        is_wanted: impl Fn(Option<Duration>) -> bool,
    ) -> Vec<Known> {
        let kept_for = |name: &String| Name::parse(name).and_then(|name| name.kept_for);
        let wanted = partition.objects.iter().filter(|name| is_wanted(kept_for(name)));
        let names: Vec<String> = wanted.map(|name| manifest_of(name)).collect();
        let mut known = Vec::new();
        for names in names.chunks(TOGETHER) {
            for (name, read) in names.iter().zip(objects.read_several(names)) {
                match read.and_then(|bytes| decoded(&bytes)).and_then(|manifest| plausible(name, manifest)) {
                    Ok(manifest) => known.push(Known { kept_for: kept_for(name), manifest }),
                    Err(error) => {
                        self.tell(course, Step::failed("read", format!("{}/{name}", objects.name()), error));
                    }
                }
            }
        }
        known
    }

    /// Removes what was compacted already, but for these last steps.
    fn finish_compactions(
        &mut self,
        course: &mut Course<'_>,
        objects: &dyn Objects,
        partition: &Partition,
        known: &mut Vec<Known>,
    ) {
        let there: HashSet<&String> = partition.objects.iter().collect();
        let mut replaced: HashSet<String> = HashSet::new();
        for Known { manifest, .. } in &*known {
            let names: Vec<&String> = manifest.replaces.iter().filter(|name| there.contains(name)).collect();
            if !names.is_empty() {
                let reason = format!("it replaces {} objects that are still there", names.len());
                let object = format!("{}/{}", objects.name(), manifest.object);
                let step = Step::new("clear", object, reason, 0);
                self.act(course, step, || act::replace(objects, manifest, &names));
                replaced.extend(names.into_iter().cloned());
            }
        }
        known.retain(|known| !replaced.contains(&known.manifest.object));
    }

    /// Does a step, or does not where nothing is to be changed, and tells of it.
    fn act(&mut self, course: &mut Course<'_>, mut step: Step, work: impl FnOnce() -> io::Result<()>) {
        if !course.dry {
            step.result = work();
        }
        self.tell(course, step);
    }

    fn tell(&mut self, course: &mut Course<'_>, step: Step) {
        self.failed += u64::from(step.result.is_err());
        (course.tell)(step);
    }
}
