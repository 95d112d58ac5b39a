//! What the stages of each job do to entries, added up.
//! In: what happened to the lines of a chunk.  Out: a row per stage, in which what came in is accounted for; a family.  Owns: the
//! totals since the stages are in force, and of each stage the last sample of what it fails for.
//!
//! Counted is only what is no going on to the next stage: how many came in and went out follows from that, so a line
//! that goes straight through costs one addition, and the columns add up at every moment.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock;
use crate::metrics::{Kind, Reading, Shown};
use crate::record::UnixNanos;

/// Between two samples of one stage.
const SAMPLE_EVERY: Duration = Duration::from_secs(10);

/// A stage as it is configured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Site {
    /// As the configuration names it.
    pub(crate) name: &'static str,
    /// Its number in the list, behind those of the stages it is nested in: `2.1`. Empty for what is in no list.
    pub(crate) place: String,
    /// How many `match` stages it is nested in.
    pub(crate) depth: usize,
    /// How many stages are nested in it; they are the next ones.
    pub(crate) nested: usize,
    /// Where it stands in the configuration.
    pub(crate) line: Option<usize>,
    /// Its options, as far as they are short enough to recognise it by.
    pub(crate) about: String,
}

/// What happened to lines of one pipeline.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Lines that began.
    pub(crate) lines: u64,
    /// Lines that relabelling drops before the first stage.
    pub(crate) relabelled_away: u64,
    /// By stage; empty where every line went straight through.
    pub(crate) sites: Vec<SiteCounts>,
}

/// What happened at one stage, beside going on to the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct SiteCounts {
    /// Entries that went on past the nested stages.
    pub(crate) not_picked: u64,
    /// Lines that it took in to hold them back.
    pub(crate) taken: u64,
    /// Entries that it held back and let go on, or dropped then, and the lines they were made of.
    pub(crate) let_go: u64,
    pub(crate) lines_let_go: u64,
    /// By reason.
    pub(crate) dropped: Vec<(Arc<str>, u64)>,
    /// Entries for which it could not do its work.
    pub(crate) failed: u64,
    pub(crate) sample: Option<Sample>,
}

/// An entry for which a stage could not do its work.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) time: UnixNanos,
    /// What it could not do; says nothing of what the line says.
    pub(crate) failure: &'static str,
    /// The line, without what it says.
    pub(crate) line: String,
}

/// The stages of one job and all that they have done.
#[derive(Debug)]
pub(crate) struct Stages {
    pub(crate) sites: Vec<Site>,
    since: UnixNanos,
    /// When the last sample of each was taken.
    sampled: Box<[AtomicI64]>,
    totals: Mutex<Counts>,
}

/// What the stages of one job did, for people.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) since: UnixNanos,
    pub(crate) lines: u64,
    pub(crate) relabelled_away: u64,
    /// Entries that passed all stages.
    pub(crate) entries: u64,
    pub(crate) rows: Vec<Row>,
}

/// One stage. `came_in` = `went_on` + all that were dropped + `held` + `merged`.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) site: Site,
    pub(crate) came_in: u64,
    /// To what stands behind it: to the nested stages, or past them.
    pub(crate) went_on: u64,
    /// Those of `went_on` that the nested stages do not see.
    pub(crate) not_picked: u64,
    pub(crate) dropped: Vec<(Arc<str>, u64)>,
    /// Lines held back now.
    pub(crate) held: u64,
    /// Lines that went on as a part of another entry.
    pub(crate) merged: u64,
    pub(crate) failed: u64,
    pub(crate) sample: Option<Sample>,
}

/// By the name of the job.
type Jobs = Vec<(String, Arc<Stages>)>;

/// The stages of all jobs that run.
#[derive(Clone, Debug, Default)]
pub(crate) struct StageBoard {
    jobs: Arc<Mutex<Jobs>>,
}

impl Site {
    /// What tells it from the other stages of its job.
    pub(crate) fn label(&self) -> String {
        if self.place.is_empty() { self.name.to_owned() } else { format!("{}:{}", self.place, self.name) }
    }
}

impl Counts {
    /// Those of a stage, of which there are `of`.
    pub(crate) fn site(&mut self, site: usize, of: usize) -> &mut SiteCounts {
        if self.sites.is_empty() {
            self.sites.resize_with(of, SiteCounts::default);
        }
        &mut self.sites[site]
    }

    /// True where nothing happened.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines == 0 && self.relabelled_away == 0 && self.sites.is_empty()
    }

    fn add(&mut self, other: Counts) {
        self.lines += other.lines;
        self.relabelled_away += other.relabelled_away;
        if self.sites.is_empty() {
            self.sites = other.sites;
            return;
        }
        self.sites.iter_mut().zip(other.sites).for_each(|(site, other)| site.add(other));
    }
}

impl SiteCounts {
    /// Counts entries dropped for one reason.
    pub(crate) fn drop(&mut self, reason: &Arc<str>, count: u64) {
        match self.dropped.iter_mut().find(|(known, _)| known == reason) {
            Some((_, known)) => *known += count,
            None => self.dropped.push((reason.clone(), count)),
        }
    }

    fn add(&mut self, other: SiteCounts) {
        self.not_picked += other.not_picked;
        self.taken += other.taken;
        self.let_go += other.let_go;
        self.lines_let_go += other.lines_let_go;
        other.dropped.iter().for_each(|(reason, count)| self.drop(reason, *count));
        self.failed += other.failed;
        self.sample = other.sample.or(self.sample.take());
    }
}

impl Stages {
    /// Stages that have done nothing yet.
    pub(crate) fn new(sites: Vec<Site>) -> Stages {
        let sampled = sites.iter().map(|_| AtomicI64::new(i64::MIN)).collect();
        Stages { sites, since: clock::now(), sampled, totals: Mutex::default() }
    }

    /// Adds what happened.
    pub(crate) fn add(&self, counts: Counts) {
        if !counts.is_empty() {
            self.totals.lock().unwrap_or_else(PoisonError::into_inner).add(counts);
        }
    }

    /// Whether it is time for another sample of this stage; whoever is told so takes it.
    pub(crate) fn wants_sample(&self, site: usize, now: UnixNanos) -> bool {
        let sampled = &self.sampled[site];
        let last = sampled.load(Ordering::Relaxed);
        // Also where the wall clock was set back.
        let is_due = now.0.abs_diff(last) >= SAMPLE_EVERY.as_nanos() as u64;
        is_due && sampled.compare_exchange(last, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// What they did so far.
    pub(crate) fn report(&self) -> Report {
        let mut counts = self.totals.lock().unwrap_or_else(PoisonError::into_inner).clone();
        counts.sites.resize_with(self.sites.len(), SiteCounts::default);
        let Counts { lines, relabelled_away, sites } = counts;
        let mut arriving = lines;
        // What goes on past nested stages arrives at the stage behind them.
        let mut past = vec![0; self.sites.len() + 1];
        let mut rows = Vec::with_capacity(self.sites.len());
        for (index, (site, counts)) in self.sites.iter().zip(sites).enumerate() {
            let came_in = arriving + past[index];
            let SiteCounts { not_picked, taken, let_go, lines_let_go, dropped, failed, sample } = counts;
            let dropped_here: u64 = dropped.iter().map(|(_, count)| count).sum();
            let went_on = (came_in + let_go).saturating_sub(taken + dropped_here);
            past[index + 1 + site.nested] += not_picked;
            arriving = went_on.saturating_sub(not_picked);
            rows.push(Row {
                site: site.clone(),
                came_in,
                went_on,
                not_picked,
                dropped,
                held: taken.saturating_sub(lines_let_go),
                merged: lines_let_go.saturating_sub(let_go),
                failed,
                sample,
            });
        }
        Report { since: self.since, lines, relabelled_away, entries: arriving + past[self.sites.len()], rows }
    }
}

impl StageBoard {
    /// These jobs run from now on, and no others.
    pub(crate) fn show(&self, jobs: Jobs) {
        *self.jobs.lock().unwrap_or_else(PoisonError::into_inner) = jobs;
    }

    /// What each job's stages did.
    pub(crate) fn reports(&self) -> Vec<(String, Report)> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        jobs.into_iter().map(|(job, stages)| (job, stages.report())).collect()
    }
}

/// Failures of all stages; none of jobs that do not run any more.
pub(crate) fn of_stages(reports: &[(String, Report)]) -> Option<Shown> {
    let mut samples = Vec::new();
    for (job, report) in reports {
        for row in &report.rows {
            let pairs = vec![("job".to_owned(), job.clone()), ("stage".to_owned(), row.site.label())];
            samples.push((Arc::new(pairs), Reading::Number(row.failed as f64)));
        }
    }
    let (name, help) = ("tailwater_stage_failures_total", "Entries for which a stage could not do its work");
    let shown = Shown { name: name.to_owned(), help: help.to_owned(), kind: Kind::Counter, samples };
    Some(shown).filter(|shown| !shown.samples.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(name: &'static str, nested: usize) -> Site {
        Site { name, nested, ..Site::default() }
    }

    #[test]
    fn what_came_in_at_a_stage_follows_from_what_did_not_go_on_before() {
        let stages =
            Stages::new(vec![site("json", 0), site("match", 1), site("drop", 0), site("multiline", 0)]);
        let mut counts = Counts { lines: 100, relabelled_away: 5, sites: Vec::new() };
        counts.site(0, 4).failed = 7;
        counts.site(1, 4).not_picked = 60;
        counts.site(2, 4).drop(&"debug".into(), 10);
        *counts.site(3, 4) = SiteCounts { taken: 80, let_go: 20, lines_let_go: 70, ..SiteCounts::default() };
        stages.add(counts.clone());
        stages.add(counts);
        let report = stages.report();
        let columns = |row: &Row| {
            let dropped = row.dropped.iter().map(|(_, count)| count).sum::<u64>();
            assert_eq!(row.came_in, row.went_on + dropped + row.held + row.merged, "{row:?}");
            [row.came_in, row.went_on, row.not_picked, dropped, row.held, row.merged, row.failed]
        };
        let rows: Vec<[u64; 7]> = report.rows.iter().map(columns).collect();
        assert_eq!(rows[0], [200, 200, 0, 0, 0, 0, 14]);
        assert_eq!(rows[1], [200, 200, 120, 0, 0, 0, 0]);
        assert_eq!(rows[2], [80, 60, 0, 20, 0, 0, 0]);
        assert_eq!(rows[3], [180, 60, 0, 0, 20, 100, 0]);
        assert_eq!((report.lines, report.relabelled_away, report.entries), (200, 10, 60));
    }

    #[test]
    fn a_sample_is_wanted_every_ten_seconds_whatever_the_clock_does() {
        let stages = Stages::new(vec![site("json", 0), site("template", 0)]);
        let wants = |site, seconds: i64| stages.wants_sample(site, UnixNanos(seconds * 1_000_000_000));
        assert!(wants(0, 100) && !wants(0, 100) && !wants(0, 109));
        assert!(wants(1, 109), "each stage has its own");
        assert!(wants(0, 110));
        assert!(!wants(0, 105) && wants(0, 50));
    }
}
