//! What is known of a target at one moment.
//! In: an account.  Out: numbers and words for pages and metrics.  Owns: nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock::Instant;
use crate::record::Labels;
use crate::targets::{Account, Key, lock};

/// A name that targets go by, and what was read under it.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) job: String,
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
    /// Lines, by reason.
    pub(crate) dropped: Vec<(String, u64)>,
    /// Written and not read; `None` where nobody can tell.
    pub(crate) unread: Option<u64>,
    /// Read and not settled.
    pub(crate) unsettled: u64,
    /// Of the oldest byte that is one or the other, as far as anybody has seen it.
    pub(crate) behind: Duration,
    /// The targets of that name.
    pub(crate) shown: Vec<Shown>,
}

/// One target of that name.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) discovered: Arc<BTreeMap<String, String>>,
    pub(crate) labels: Arc<Labels>,
    pub(crate) state: State,
    /// Offset and length, where it is a file.
    pub(crate) file: Option<(u64, u64)>,
}

/// What a target is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Reading,
    /// It cannot be read.
    Unreadable(String),
    /// It is not read any more, and what was read of it is not settled.
    Ending,
}

impl Account {
    pub(super) fn reading(&self, key: &Key, now: Instant) -> Reading {
        let mut dropped: Vec<_> =
            lock(&self.counts.dropped).iter().map(|(reason, lines)| (reason.to_string(), *lines)).collect();
        dropped.sort();
        let mut reading = Reading {
            job: key.job.clone(),
            kind: key.kind,
            name: key.name.clone(),
            lines: self.counts.lines.load(Ordering::Relaxed),
            bytes: self.counts.bytes.load(Ordering::Relaxed),
            dropped,
            unread: None,
            unsettled: 0,
            behind: Duration::ZERO,
            shown: Vec::new(),
        };
        for instance in &self.instances {
            let account = instance.account(now);
            reading.unread = [reading.unread, account.unread].into_iter().flatten().reduce(|a, b| a + b);
            reading.unsettled += account.unsettled;
            reading.behind = reading.behind.max(account.age);
            reading.shown.push(Shown {
                discovered: instance.discovered.clone(),
                labels: account.labels,
                state: match account.trouble {
                    _ if account.gone => State::Ending,
                    Some(trouble) => State::Unreadable(trouble),
                    None => State::Reading,
                },
                file: account.file,
            });
        }
        reading
    }
}

impl Reading {
    /// Bytes that were written and are not settled, as far as anybody can tell.
    pub(crate) fn bytes_behind(&self) -> u64 {
        self.unread.unwrap_or(0) + self.unsettled
    }
}
