//! How long entries stay, and where.
//! In: the configuration, checked.  Out: which tier writes the archive, what a rule says of a stream.  Owns: nothing.

mod bucket;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::custody::Disk;
use crate::pipeline::Selector;
use crate::record::ByteCount;
use crate::retention::archive::LOG;
use crate::retention::objects::{self, Directory, Objects};

pub(crate) use bucket::{Bucket, S3};

/// The block `retention`.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Of ascending age.
    pub(crate) tiers: Vec<Tier>,
    /// The first one that matches a stream counts for it.
    pub(crate) rules: Vec<Rule>,
    /// Bytes of lines that are sealed together.
    pub(crate) seal_size: ByteCount,
    /// An entry is sealed at this age at the latest.
    pub(crate) seal_age: Duration,
    /// Between two looks at what is due to move or go; `None` where the agent does not look.
    pub(crate) lifecycle_interval: Option<Duration>,
    /// Nobody asked for it: where it cannot be, lines are printed.
    pub(crate) by_default: bool,
    /// What the archive's paths call this host.
    pub(crate) host: String,
    /// Where the log is if the first store is no directory.
    pub(crate) log_elsewhere: PathBuf,
}

/// Where entries are up to an age.
#[derive(Debug)]
pub(crate) struct Tier {
    pub(crate) name: String,
    pub(crate) until: Duration,
    /// `None` for what Loki keeps.
    pub(crate) store: Option<Location>,
}

/// Where the objects of a tier are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Location {
    Directory(PathBuf),
    Bucket(Bucket),
}

/// Streams that are kept for another time than the tiers say.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Without line filters.
    pub(crate) streams: Selector,
    /// The same, as it was written.
    pub(crate) text: String,
    /// Zero: not archived.
    pub(crate) until: Duration,
}

impl Settings {
    /// The stores, with the names of their tiers, youngest first. The first is the one that is written to.
    pub(crate) fn stores(&self) -> impl Iterator<Item = (&str, &Location)> {
        self.tiers.iter().filter_map(|tier| Some((tier.name.as_str(), tier.store.as_ref()?)))
    }

    /// The directory of what is not sealed yet: in the store that is written to, if that is a directory.
    pub(crate) fn log_directory(&self) -> PathBuf {
        match self.stores().next() {
            Some((_, Location::Directory(root))) => root.join(LOG),
            _ => self.log_elsewhere.clone(),
        }
    }
}

impl Location {
    /// Asks nothing of the place yet.
    pub(crate) fn open(&self, disk: Arc<dyn Disk>) -> io::Result<Arc<dyn Objects>> {
        match self {
            Location::Directory(root) => Ok(Arc::new(Directory::new(disk, root))),
            Location::Bucket(bucket) => objects::bucket(bucket),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Directory(root) => root.display().fmt(f),
            Location::Bucket(bucket) => bucket.fmt(f),
        }
    }
}

/// What the first matching rule says of a stream; `None` where the tiers alone count.
pub(super) fn kept_for(rules: &[Rule], labels: &BTreeMap<String, String>) -> Option<Duration> {
    rules.iter().find(|rule| matches(&rule.streams, labels)).map(|rule| rule.until)
}

/// Whether a selector's matchers all fit.
pub(super) fn matches(selector: &Selector, labels: &BTreeMap<String, String>) -> bool {
    let value = |name: &str| labels.get(name).map(String::as_bytes).unwrap_or_default();
    selector.matchers.iter().all(|matcher| matcher.matches(value(matcher.name())))
}

/// A duration in the largest unit that it is a whole number of.
pub(super) fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        _ if seconds.is_multiple_of(86_400) => format!("{}d", seconds / 86_400),
        _ if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        _ => format!("{seconds}s"),
    }
}
