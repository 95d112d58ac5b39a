//! Counts what comes in at each stage one by one, to compare with what follows from the counts.
//! In: every step of every entry.  Out: whether the report says the same.  Owns: its own counts.

use crate::metrics::Report;
use crate::pipeline::compile::{Pipeline, Step};
use crate::pipeline::entry::Entry;
use crate::pipeline::lane::Context;
use crate::pipeline::observe::Observer;
use crate::pipeline::stages::Flow;
use crate::record::Labels;

/// The observer.
#[derive(Debug)]
pub(crate) struct Naive<'p> {
    pipeline: &'p Pipeline,
    lines: u64,
    emitted: u64,
    dropped: u64,
    came_in: Vec<u64>,
    failures: Vec<bool>,
}

impl<'p> Naive<'p> {
    pub(crate) fn new(pipeline: &'p Pipeline) -> Naive<'p> {
        let sites = pipeline.totals.sites.len();
        let (came_in, failures) = (vec![0; sites], vec![false; sites]);
        Naive { pipeline, lines: 0, emitted: 0, dropped: 0, came_in, failures }
    }

    /// Nothing is held back any more, and the report must say what was counted.
    pub(crate) fn compare(&self, report: &Report) -> Result<(), String> {
        let came_in: Vec<u64> = report.rows.iter().map(|row| row.came_in).collect();
        let failures: Vec<bool> = report.rows.iter().map(|row| row.failed > 0).collect();
        let (mut accounted, mut dropped) = (report.entries, 0);
        for row in &report.rows {
            let here = row.dropped.iter().map(|(_, count)| count).sum::<u64>();
            if row.held > 0 || row.came_in != row.went_on + here + row.merged {
                return Err(format!("the columns of {row:?} do not add up"));
            }
            accounted += here + row.merged;
            dropped += here;
        }
        let theirs = (report.lines, report.entries, dropped, &came_in, &failures);
        let ours = (self.lines, self.emitted, self.dropped, &self.came_in, &self.failures);
        match theirs == ours && accounted == self.lines {
            true => Ok(()),
            false => Err(format!("reported {theirs:?}, counted {ours:?}, accounted {accounted}")),
        }
    }
}

impl Observer for Naive<'_> {
    fn begun(&mut self) {
        self.lines += 1;
    }

    fn before(&mut self, step: &Step, _: &Entry, _: &mut Context<'_>) {
        let first = self.pipeline.steps.iter().find(|other| other.site == step.site);
        self.came_in[step.site] += u64::from(first.is_some_and(|first| std::ptr::eq(first, step)));
    }

    fn after(&mut self, step: &Step, _: &Entry, context: &mut Context<'_>, flow: &Flow<'_>) {
        self.failures[step.site] |= context.failure.is_some();
        self.dropped += u64::from(matches!(flow, Flow::Drop(_)));
    }

    fn resumed(&mut self, _: &Step, _: usize, _: &Entry, _: &Pipeline, _: &Labels, flow: &Flow<'_>) {
        self.dropped += u64::from(matches!(flow, Flow::Drop(_)));
    }

    fn emitted(&mut self, _: &Entry, _: &Pipeline, _: &Labels) {
        self.emitted += 1;
    }
}
