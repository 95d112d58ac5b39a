//! Keeps the agent's own log readable while something goes wrong again and again.
//! In: events.  Out: whether to write them, and lines that say how many were not.  Owns: what was said in the last
//! minute, a bounded number of things.
//!
//! A warning is the same as another where it comes from the same place in the code, has the same message and is about
//! the same thing, as its identifying fields say. The same warning is written once a minute. Of any one place in the
//! code 100 lines are written a minute, warnings or not. How many warnings were left out is said with the next one, in
//! `repeated`; where none comes, and for other lines, by a line of its own once a minute is over. Debug is for whoever
//! looks for everything.

use std::collections::HashMap;
use std::fmt::{self, Debug, Write as _};
use std::hash::{BuildHasher as _, DefaultHasher, Hash as _, Hasher, RandomState};
use std::time::Duration;

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::cli::log::line::{self, Line, Value};
use crate::clock::{Instant, Moment};
use crate::record::UnixNanos;

/// The same warning is written once in so long.
const PERIOD: Duration = Duration::from_secs(60);

/// Lines of one place in the code within a period.
const MOST_OF_SITE: u64 = 100;

/// Warnings told apart at a time. Further ones are bounded by their place in the code alone.
const MOST_KEYS: usize = 1000;

/// Bytes kept of a value of a line that was left out, until it is told.
const LONGEST_KEPT: usize = 512;

/// What a warning is about. Other fields measure, or say how it was this time.
const IDENTIFYING: [&str; 12] = [
    "job",
    "source",
    "client",
    "container",
    "label",
    "path",
    "directory",
    "host",
    "reason",
    "operation",
    "line",
    "message",
];

/// What was said lately.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    hashes: RandomState,
    warnings: HashMap<u64, Account>,
    /// As many as there are places in the code that log.
    sites: HashMap<Identifier, Account>,
}

/// What becomes of an event.
#[derive(Debug, PartialEq)]
pub(super) enum Decision {
    /// It is written, and this many like it were not.
    Write {
        repeated: u64,
    },
    LeaveOut,
}

/// One thing to say.
#[derive(Debug)]
struct Account {
    site: Identifier,
    since: Instant,
    written: u64,
    untold: Option<Untold>,
}

/// What was left out.
#[derive(Debug)]
struct Untold {
    count: u64,
    /// The first.
    line: Line,
    since: Instant,
    last: UnixNanos,
}

impl Account {
    fn new(site: Identifier, now: Instant) -> Account {
        Account { site, since: now, written: 0, untold: None }
    }

    /// True where a line would be more than `most` within a period.
    fn is_full(&mut self, most: u64, now: Instant) -> bool {
        if now >= self.since + PERIOD {
            (self.since, self.written) = (now, 0);
        }
        self.written >= most
    }

    fn leave_out(&mut self, event: &Event<'_>, now: Moment) {
        let untold = self.untold.get_or_insert_with(|| {
            let mut line = Line::of(event, now.wall);
            line.shorten();
            Untold { count: 0, line, since: now.instant, last: now.wall }
        });
        untold.count += 1;
        untold.last = now.wall;
    }

    /// True where something was left out so long ago that it is said now.
    fn is_due(&self, now: Instant) -> bool {
        self.untold.as_ref().is_some_and(|untold| now >= untold.since + PERIOD)
    }

    fn tell(&mut self) -> u64 {
        self.untold.take().map_or(0, |untold| untold.count)
    }
}

impl Throttle {
    /// Whether to write this event.
    pub(super) fn decide(&mut self, event: &Event<'_>, now: Moment) -> Decision {
        let level = *event.metadata().level();
        if level > Level::INFO {
            return Decision::Write { repeated: 0 };
        }
        let site = event.metadata().callsite();
        let key = (level == Level::WARN).then(|| self.key(event));
        let warning = key.as_ref().and_then(|key| self.warnings.get_mut(key));
        if let Some(account) = warning
            && account.is_full(1, now.instant)
        {
            account.leave_out(event, now);
            return Decision::LeaveOut;
        }
        let of_site =
            self.sites.entry(site.clone()).or_insert_with(|| Account::new(site.clone(), now.instant));
        if of_site.is_full(MOST_OF_SITE, now.instant) {
            of_site.leave_out(event, now);
            return Decision::LeaveOut;
        }
        of_site.written += 1;
        let mut repeated = 0;
        let room = self.warnings.len() < MOST_KEYS;
        if let Some(key) = key.filter(|key| room || self.warnings.contains_key(key)) {
            let account = self.warnings.entry(key).or_insert_with(|| Account::new(site, now.instant));
            account.written += 1;
            repeated = account.tell();
        }
        Decision::Write { repeated }
    }

    /// Lines about what was left out a minute ago; about all of it at the end.
    pub(super) fn catch_up(&mut self, now: Moment, at_end: bool) -> Vec<Line> {
        let mut lines = Vec::new();
        let sites = &mut self.sites;
        self.warnings.retain(|_, account| {
            let full = account.is_full(1, now.instant);
            let of_site = sites.get_mut(&account.site);
            if let Some(of_site) = of_site.filter(|_| account.is_due(now.instant) || at_end)
                && (!of_site.is_full(MOST_OF_SITE, now.instant) || at_end)
                && let Some(untold) = account.untold.take()
            {
                of_site.written += 1;
                account.written += 1;
                lines.push(untold.summary(now));
                return true;
            }
            full || account.untold.is_some()
        });
        for account in sites.values_mut() {
            if (account.is_due(now.instant) || at_end)
                && let Some(mut untold) = account.untold.take()
            {
                // They were about one thing each.
                if untold.count > 1 {
                    untold.line.fields.clear();
                }
                lines.push(untold.summary(now));
            }
        }
        lines
    }

    fn key(&self, event: &Event<'_>) -> u64 {
        let mut identity = Identity(self.hashes.build_hasher());
        event.metadata().callsite().hash(&mut identity.0);
        event.record(&mut identity);
        identity.0.finish()
    }
}

impl Untold {
    /// The first line left out, as an example of them all.
    fn summary(self, now: Moment) -> Line {
        let Untold { count, mut line, last, .. } = self;
        line.time = now.wall;
        line.fields.push(("repeated", Value::Bare(count.to_string())));
        line.fields.push(("last", Value::Text(line::time(last))));
        line
    }
}

impl Line {
    /// Cuts what others have said: an answer, an error of another program.
    fn shorten(&mut self) {
        self.message.truncate(self.message.floor_char_boundary(LONGEST_KEPT));
        for (_, value) in &mut self.fields {
            let (Value::Text(text) | Value::Bare(text)) = value;
            text.truncate(text.floor_char_boundary(LONGEST_KEPT));
        }
    }
}

/// Takes in what an event is about, without keeping it.
struct Identity(DefaultHasher);

impl fmt::Write for Identity {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

impl Visit for Identity {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if IDENTIFYING.contains(&line::name(field)) {
            field.index().hash(&mut self.0);
            // What cannot be written is about nothing in particular.
            let _ = write!(self, "{value:?}");
        }
    }
}

#[cfg(test)]
mod tests;
