//! Watching a pipeline step by step, for `inspect`.
//! In: the entry before and after each step.  Out: nothing; observers keep what they need.  Owns: nothing.

use crate::pipeline::compile::{Pipeline, Step};
use crate::pipeline::entry::Entry;
use crate::pipeline::lane::Context;
use crate::pipeline::stages::Flow;
use crate::record::Labels;

/// Whoever watches. Lanes are compiled for each kind of observer, so that not watching costs nothing.
pub(crate) trait Observer {
    /// `step` is about to see the entry. Setting `context.failures` makes stages say what they could not do.
    fn before(&mut self, step: &Step, entry: &Entry, context: &mut Context<'_>);

    /// `step` has seen it.
    fn after(&mut self, step: &Step, entry: &Entry, context: &mut Context<'_>, flow: &Flow<'_>);

    /// An entry that `step` held back goes on, unless `flow` says otherwise.
    fn resumed(&mut self, step: &Step, entry: &Entry, pipeline: &Pipeline, fixed: &Labels, flow: &Flow<'_>);

    /// The entry has passed all steps.
    fn emitted(&mut self, entry: &Entry, pipeline: &Pipeline, fixed: &Labels);
}

/// Nobody watches.
#[derive(Debug)]
pub(crate) struct Unobserved;

impl Observer for Unobserved {
    fn before(&mut self, _: &Step, _: &Entry, _: &mut Context<'_>) {}

    fn after(&mut self, _: &Step, _: &Entry, _: &mut Context<'_>, _: &Flow<'_>) {}

    fn resumed(&mut self, _: &Step, _: &Entry, _: &Pipeline, _: &Labels, _: &Flow<'_>) {}

    fn emitted(&mut self, _: &Entry, _: &Pipeline, _: &Labels) {}
}
