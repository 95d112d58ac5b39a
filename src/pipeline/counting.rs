//! Counts what stages do to entries: the observer that always watches.
//! In: what became of each entry.  Out: counts, added to the totals of the job once per chunk.  Owns: those of the chunk
//! at hand; plain numbers, and none at all where every line went straight through.

#[cfg(test)]
mod naive;
#[cfg(test)]
mod tests;

use crate::metrics::{Counts, Sample, SiteCounts};
use crate::pipeline::compile::{Pipeline, Step};
use crate::pipeline::entry::Entry;
use crate::pipeline::lane::Context;
use crate::pipeline::observe::Observer;
use crate::pipeline::redact::redact;
use crate::pipeline::stages::Flow;
use crate::record::{Labels, UnixNanos};

#[cfg(test)]
pub(crate) use naive::Naive;

/// The observer.
#[derive(Debug)]
pub(crate) struct Counting<'p> {
    pipeline: &'p Pipeline,
    now: UnixNanos,
    counts: Counts,
    /// Entries that went on from where they were held back.
    resumed: u64,
    /// The stage that failed last, and for which entry: one of several steps may fail more than once for it.
    failed: Option<(usize, u64)>,
}

impl<'p> Counting<'p> {
    /// For a chunk that came in at this time.
    pub(crate) fn new(pipeline: &'p Pipeline, now: UnixNanos) -> Counting<'p> {
        Counting { pipeline, now, counts: Counts::default(), resumed: 0, failed: None }
    }

    /// Relabelling drops a line.
    pub(crate) fn relabelled_away(&mut self) {
        self.counts.relabelled_away += 1;
    }

    /// Adds all to the totals.
    pub(crate) fn finish(self) {
        self.pipeline.totals.add(self.counts);
    }

    fn site(&mut self, step: &Step) -> &mut SiteCounts {
        self.counts.site(step.site, self.pipeline.totals.sites.len())
    }

    #[cold]
    fn fail(&mut self, step: &Step, failure: &'static str, entry: &Entry) {
        let this = (step.site, self.counts.lines + self.resumed);
        if self.failed.replace(this) == Some(this) {
            return;
        }
        let is_first = self.site(step).failed == 0;
        let sample = (is_first && self.pipeline.totals.wants_sample(step.site, self.now)).then(|| Sample {
            time: self.now,
            failure,
            line: redact(entry.line_bytes(), &self.pipeline.names),
        });
        let site = self.site(step);
        site.failed += 1;
        site.sample = sample.or(site.sample.take());
    }
}

impl Observer for Counting<'_> {
    fn begun(&mut self) {
        self.counts.lines += 1;
    }

    fn before(&mut self, _: &Step, _: &Entry, _: &mut Context<'_>) {}

    fn after(&mut self, step: &Step, entry: &Entry, context: &mut Context<'_>, flow: &Flow<'_>) {
        if let Some(failure) = context.failure.take() {
            self.fail(step, failure, entry);
        }
        match flow {
            Flow::Continue => {}
            Flow::Skip(_) => self.site(step).not_picked += 1,
            Flow::Drop(reason) => self.site(step).drop(&reason.name, 1),
            Flow::Held => self.site(step).taken += 1,
        }
    }

    fn resumed(&mut self, step: &Step, lines: usize, _: &Entry, _: &Pipeline, _: &Labels, flow: &Flow<'_>) {
        self.resumed += 1;
        let site = self.site(step);
        site.let_go += 1;
        site.lines_let_go += lines as u64;
        if let Flow::Drop(reason) = flow {
            site.drop(&reason.name, 1);
        }
    }

    fn emitted(&mut self, _: &Entry, _: &Pipeline, _: &Labels) {}
}
