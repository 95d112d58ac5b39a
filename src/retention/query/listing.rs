//! Walks the directories of stores, no further than somebody asks.
//! In: stores.  Out: manifests, and what they add up to.  Owns: nothing.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::custody::{Disk, RealDisk};
use crate::retention::archive::{LOG, Manifest, date_of, object_of, service_directory};
use crate::retention::filter::Filter;
use crate::retention::objects::{Directory, Objects, TOGETHER};
use crate::retention::tiers::{Location, Settings};

/// A store, and the tier it is in.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) tier: String,
    pub(crate) objects: Arc<dyn Objects>,
    /// What is not sealed yet: the directory, and on which disk.
    pub(crate) log: Option<(Arc<dyn Disk>, PathBuf)>,
}

/// What there is of a day and a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stock {
    pub(crate) objects: u64,
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
}

/// Tier, day and service, and what there is of them.
pub(crate) type Stocks = BTreeMap<(String, String, String), Stock>;

impl Place {
    /// In a directory.
    pub(crate) fn directory(tier: &str, root: &Path) -> Place {
        Place::on(Arc::new(RealDisk), tier, root)
    }

    /// In a directory of a disk.
    pub(crate) fn on(disk: Arc<dyn Disk>, tier: &str, root: &Path) -> Place {
        let objects = Arc::new(Directory::new(disk.clone(), root));
        Place { tier: tier.to_owned(), objects, log: Some((disk, root.join(LOG))) }
    }

    /// An error that says where it was.
    pub(super) fn unreadable(&self, error: io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{} cannot be read: {error}", self.objects.name()))
    }

    /// All there are, that of the log first.
    pub(crate) fn all(settings: &Settings) -> io::Result<Vec<Place>> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let mut log = Some(settings.log_directory());
        let place = |(tier, store): (&str, &Location)| {
            let own = match store {
                Location::Directory(root) => Some(root.join(LOG)),
                Location::Bucket(_) => None,
            };
            let log = log.take().or(own).map(|log| (disk.clone(), log));
            Ok(Place { tier: tier.to_owned(), objects: store.open(disk.clone())?, log })
        };
        settings.stores().map(place).collect()
    }
}

/// What there is, by tier, day and service; and files that cannot be read, with the reason.
pub(crate) fn stock(places: &[Place]) -> io::Result<(Stocks, Vec<String>)> {
    let (mut stocks, mut problems) = (BTreeMap::<_, Stock>::new(), Vec::new());
    for place in places {
        let names = manifests(&*place.objects, &Filter::everything());
        for names in names.map_err(|error| place.unreadable(error))?.chunks(TOGETHER) {
            for (name, read) in names.iter().zip(place.objects.read_several(names)) {
                match read.and_then(|bytes| decoded(&bytes)) {
                    Ok(manifest) => {
                        let key = (place.tier.clone(), manifest.date, manifest.service);
                        let stock = stocks.entry(key).or_default();
                        stock.objects += 1;
                        stock.lines += manifest.lines;
                        stock.bytes += manifest.bytes;
                    }
                    Err(problem) => problems.push(format!("{}/{name}: {problem}", place.objects.name())),
                }
            }
        }
    }
    Ok((stocks, problems))
}

/// Reads a manifest.
pub(super) fn manifest(objects: &dyn Objects, name: &str) -> io::Result<Manifest> {
    decoded(&objects.read(name)?)
}

/// A manifest that was read.
pub(crate) fn decoded(bytes: &[u8]) -> io::Result<Manifest> {
    Manifest::decode(bytes).map_err(io::Error::other)
}

/// The manifests in partitions where something may be that is asked for, in order.
pub(super) fn manifests(objects: &dyn Objects, filter: &Filter) -> io::Result<Vec<String>> {
    let mut names = files(objects, filter)?;
    names.retain(|name| object_of(name).is_some());
    Ok(names)
}

/// All files in partitions where something may be that is asked for, in order.
pub(super) fn files(objects: &dyn Objects, filter: &Filter) -> io::Result<Vec<String>> {
    let (from, to) = (date_of(filter.from), date_of(filter.to));
    let mut found = Vec::new();
    for date in objects.list("")?.directories {
        if !date.strip_prefix("date=").is_some_and(|date| (from.as_str()..=to.as_str()).contains(&date)) {
            continue;
        }
        match filter.service() {
            None => found.extend(objects.below(&date)?),
            Some(service) => {
                let service = service_directory(service);
                for host in objects.list(&date)?.directories {
                    found.extend(objects.below(&format!("{host}/{service}"))?);
                }
            }
        }
    }
    Ok(found)
}
