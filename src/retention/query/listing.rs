//! Walks the directories of stores, no further than somebody asks.
//! In: stores.  Out: manifests, and what they add up to.  Owns: nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::retention::archive::{Manifest, date_of, service_directory};
use crate::retention::filter::Filter;

/// A store, and the tier it is in.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) tier: String,
    pub(crate) root: PathBuf,
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

/// What there is, by tier, day and service; and files that cannot be read, with the reason.
pub(crate) fn stock(places: &[Place]) -> io::Result<(Stocks, Vec<String>)> {
    let (mut stocks, mut problems) = (BTreeMap::<_, Stock>::new(), Vec::new());
    for place in places {
        for path in files(&place.root, &Filter::everything(), "json")? {
            match manifest(&path) {
                Ok(manifest) => {
                    let key = (place.tier.clone(), manifest.date, manifest.service);
                    let stock = stocks.entry(key).or_default();
                    stock.objects += 1;
                    stock.lines += manifest.lines;
                    stock.bytes += manifest.bytes;
                }
                Err(problem) => problems.push(format!("{}: {problem}", path.display())),
            }
        }
    }
    Ok((stocks, problems))
}

/// Reads a manifest.
pub(super) fn manifest(path: &Path) -> io::Result<Manifest> {
    Manifest::decode(&fs::read(path)?).map_err(io::Error::other)
}

/// All files of a kind in the partitions where something may be that is asked for, in order.
pub(super) fn files(root: &Path, filter: &Filter, extension: &str) -> io::Result<Vec<PathBuf>> {
    let (from, to) = (date_of(filter.from), date_of(filter.to));
    let service = filter.service().map(service_directory);
    let mut found = Vec::new();
    for date in names(root, "date=", |date| (from.as_str()..=to.as_str()).contains(&date))? {
        for host in names(&date, "host=", |_| true)? {
            let wanted = |name: &str| {
                service.as_ref().is_none_or(|wanted| wanted.strip_prefix("service=") == Some(name))
            };
            for service in names(&host, "service=", wanted)? {
                found.extend(
                    list(&service)?.into_iter().filter(|file| file.extension() == Some(extension.as_ref())),
                );
            }
        }
    }
    Ok(found)
}

/// Directories whose names begin so, and go on as wanted.
fn names(directory: &Path, prefix: &str, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut entries = list(directory)?;
    entries.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.strip_prefix(prefix).is_some_and(&wanted)
    });
    Ok(entries)
}

/// What is in a directory, in order; nothing where it is gone.
fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    paths.sort();
    Ok(paths)
}
