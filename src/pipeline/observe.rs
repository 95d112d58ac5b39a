//! Watching a pipeline step by step: to count what stages do, and for `inspect`.
//! In: the entry before and after each step.  Out: nothing; observers keep what they need.  Owns: nothing.

use crate::pipeline::compile::{Pipeline, Step};
use crate::pipeline::entry::Entry;
use crate::pipeline::lane::Context;
use crate::pipeline::stages::Flow;
use crate::record::Labels;

/// Whoever watches. Lanes are compiled for each kind of observer, so that what it does not look at costs nothing.
pub(crate) trait Observer {
    /// A line is about to see the first step.
    fn begun(&mut self);

    /// `step` is about to see the entry. Setting `context.failures` makes stages say what they could not do.
    fn before(&mut self, step: &Step, entry: &Entry, context: &mut Context<'_>);

    /// `step` has seen it. `context.failure` is for the observer to take.
    fn after(&mut self, step: &Step, entry: &Entry, context: &mut Context<'_>, flow: &Flow<'_>);

    /// An entry of so many lines that `step` held back goes on, unless `flow` says otherwise.
    fn resumed(
        &mut self,
        step: &Step,
        lines: usize,
        entry: &Entry,
        pipeline: &Pipeline,
        fixed: &Labels,
        flow: &Flow<'_>,
    );

    /// The entry has passed all steps.
    fn emitted(&mut self, entry: &Entry, pipeline: &Pipeline, fixed: &Labels);
}

/// Both watch.
impl<A: Observer, B: Observer> Observer for (&mut A, &mut B) {
    fn begun(&mut self) {
        self.0.begun();
        self.1.begun();
    }

    fn before(&mut self, step: &Step, entry: &Entry, context: &mut Context<'_>) {
        self.0.before(step, entry, context);
        self.1.before(step, entry, context);
    }

    fn after(&mut self, step: &Step, entry: &Entry, context: &mut Context<'_>, flow: &Flow<'_>) {
        self.0.after(step, entry, context, flow);
        self.1.after(step, entry, context, flow);
    }

    fn resumed(
        &mut self,
        step: &Step,
        lines: usize,
        entry: &Entry,
        pipeline: &Pipeline,
        fixed: &Labels,
        flow: &Flow<'_>,
    ) {
        self.0.resumed(step, lines, entry, pipeline, fixed, flow);
        self.1.resumed(step, lines, entry, pipeline, fixed, flow);
    }

    fn emitted(&mut self, entry: &Entry, pipeline: &Pipeline, fixed: &Labels) {
        self.0.emitted(entry, pipeline, fixed);
        self.1.emitted(entry, pipeline, fixed);
    }
}
