//! Compaction: small objects of one partition become a larger one.
//! In: manifests of a partition.  Out: one object in place of several.  Owns: the entries of these, in memory.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use crate::record::{ByteCount, UnixNanos};
use crate::retention::archive::{Manifest, Object, Origin, Streams, compacted_name, write};
use crate::retention::filter::Filter;
use crate::retention::lifecycle::{Known, act, nanos};
use crate::retention::objects::Objects;
use crate::retention::query::{Merge, Next};

/// Times of an object are at most so far apart by compaction, so that early entries do not wait long for the last to expire.
const SPAN: Duration = Duration::from_secs(12 * 3600);

/// What an entry takes in memory besides its line.
const OVERHEAD: u64 = 128;

/// Objects that become one.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) kept_for: Option<Duration>,
    pub(super) manifests: Vec<Manifest>,
}

/// Which objects are compacted, in order of time, up to `size` in memory. One that is half as large stays as it is.
pub(super) fn groups(known: Vec<Known>, size: ByteCount) -> Vec<Group> {
    let mut by_rule: BTreeMap<Option<Duration>, Vec<Manifest>> = BTreeMap::new();
    for Known { kept_for, manifest } in known {
        if cost(&manifest) <= size.0 / 2 {
            by_rule.entry(kept_for).or_default().push(manifest);
        }
    }
    let mut groups = Vec::new();
    for (kept_for, mut manifests) in by_rule {
        manifests.sort_by(|a, b| (a.first_time, &a.object).cmp(&(b.first_time, &b.object)));
        let (mut run, mut sum, mut latest) = (Vec::<Manifest>::new(), 0, UnixNanos(0));
        for manifest in manifests {
            let cost = cost(&manifest);
            latest = latest.max(manifest.last_time);
            let fits = run.first().is_some_and(|first| {
                sum + cost <= size.0 && latest.0.saturating_sub(first.first_time.0) <= nanos(SPAN)
            });
            if !fits {
                groups.push(Group { kept_for, manifests: std::mem::take(&mut run) });
                (sum, latest) = (0, manifest.last_time);
            }
            sum += cost;
            run.push(manifest);
        }
        groups.push(Group { kept_for, manifests: run });
    }
    groups.retain(|group| group.manifests.len() > 1);
    groups
}

/// Nothing is done by a manifest that is wrong: what was to be replaced stays.
fn differs(manifest: &Manifest) -> io::Error {
    io::Error::other(format!("the manifest of {} says other lines or times than are in it", manifest.object))
}

fn cost(manifest: &Manifest) -> u64 {
    manifest.line_bytes.saturating_add(manifest.lines.saturating_mul(OVERHEAD))
}

/// What the object of a group is called.
pub(super) fn target(agent: &str, group: &Group) -> String {
    let names: Vec<String> = group.manifests.iter().map(|manifest| manifest.object.clone()).collect();
    let directory =
        names.first().and_then(|name| name.rsplit_once('/')).map_or("", |(directory, _)| directory);
    format!("{directory}/{}", compacted_name(agent, &names, group.kept_for))
}

/// Makes one object of a group, each entry once, and removes those of the group once it has been read back.
pub(super) fn compact(objects: &dyn Objects, agent: &str, target: String, group: &Group) -> io::Result<()> {
    let Some(model) = group.manifests.first() else { return Ok(()) };
    let (mut merge, mut streams, mut entries) = (Merge::new(true), Streams::default(), Vec::new());
    for manifest in &group.manifests {
        merge.add(manifest.first_time, manifest.last_time, manifest);
    }
    loop {
        match merge.next() {
            Next::Entry(entry) => entries.push(entry),
            Next::Read(manifest) => {
                let object =
                    Object::open(objects, &manifest.object, &manifest.seal()).map_err(io::Error::other)?;
                let mut lines = 0;
                for rows in object.groups() {
                    let read = object.read(rows, &Filter::everything(), &mut streams);
                    let read = read.map_err(io::Error::other)?;
                    let times = manifest.first_time..=manifest.last_time;
                    if read.iter().any(|entry| !times.contains(&entry.time)) {
                        return Err(differs(manifest));
                    }
                    lines += read.len() as u64;
                    merge.open(read);
                }
                if lines != manifest.lines {
                    return Err(differs(manifest));
                }
            }
            Next::End => break,
        }
    }
    let bytes = write(&entries).map_err(io::Error::other)?;
    let origin = Origin {
        object: target,
        date: model.date.clone(),
        host: &model.host,
        service: &model.service,
        kept_for: group.kept_for,
        agent,
        span: 0..0,
    };
    let names = group.manifests.iter().map(|manifest| manifest.object.clone());
    let manifest = Manifest { replaces: names.collect(), ..Manifest::of(origin, &entries, &bytes) };
    act::place(objects, bytes.into(), &manifest)?;
    act::replace(objects, &manifest, &manifest.replaces.iter().collect::<Vec<_>>())
}
