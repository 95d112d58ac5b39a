//! What `limits_config` ends every pipeline with: a rate over all of them, and a longest line.
//! In: entries that passed all stages.  Out: the same, later, shorter or not at all.  Owns: the one bucket of tokens.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::flow::TokenBucket;
use crate::metrics::{Own, Series};
use crate::pipeline::compile::{Compiler, DropReason};
use crate::pipeline::entry::{Entry, Span};
use crate::pipeline::guard::Guard;
use crate::pipeline::lane::Context;
use crate::pipeline::stages::{Flow, Stage};

/// The limits there are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) rate: Option<RateLimit>,
    pub(crate) line: Option<LineLimit>,
    /// How many streams labels may make. No step of a pipeline: lanes ask it, where it is enabled.
    pub(crate) guard: Option<Guard>,
}

/// How many entries may leave all pipelines together.
#[derive(Clone, Debug)]
pub(crate) struct RateLimit {
    bucket: Arc<Mutex<TokenBucket>>,
    /// What is above the rate is dropped for this reason; `None` makes it wait.
    reason: Option<DropReason>,
}

/// How long a line may be.
#[derive(Clone, Debug)]
pub(crate) struct LineLimit {
    bytes: usize,
    truncate: bool,
    reason: DropReason,
    truncated: Arc<Series>,
}

impl Limits {
    /// Adds what limits there are behind the last stage.
    pub(super) fn add_to(&self, compiler: &mut Compiler<'_>) {
        if let Some(rate) = &self.rate {
            compiler.add(rate.clone());
        }
        if let Some(line) = &self.line {
            compiler.add(line.clone());
        }
    }

    /// Says in metrics what they are.
    pub(crate) fn announce(&self, own: &Own) {
        self.guard.iter().for_each(|guard| guard.announce(own));
    }

    /// True where there is nothing to add to a pipeline.
    pub(super) fn is_empty(&self) -> bool {
        self.rate.is_none() && self.line.is_none()
    }
}

impl RateLimit {
    /// One rate that clones of this share.
    pub(crate) fn over_all(rate: f64, burst: u64, drops: bool, own: &Own) -> RateLimit {
        let bucket = Arc::new(Mutex::new(TokenBucket::new(rate, burst)));
        RateLimit { bucket, reason: drops.then(|| DropReason::new("global_rate_limiter_drop", own)) }
    }

    /// The limit that runs already, where it says the same: jobs that stay and jobs that change share one rate.
    pub(crate) fn or_running(self, running: Option<&RateLimit>) -> RateLimit {
        let same = |running: &&RateLimit| {
            running.reason.is_some() == self.reason.is_some() && running.bucket().is_like(&self.bucket())
        };
        running.filter(same).cloned().unwrap_or(self)
    }

    fn bucket(&self) -> MutexGuard<'_, TokenBucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LineLimit {
    /// At most `bytes`; `truncate` cuts what others drop.
    pub(crate) fn new(bytes: u64, truncate: bool, own: &Own) -> LineLimit {
        LineLimit {
            bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
            truncate,
            reason: DropReason::new("line_too_long", own),
            truncated: own.lines_truncated.clone(),
        }
    }
}

impl Stage for RateLimit {
    fn apply<'s>(&'s self, _: &mut Entry, context: &mut Context<'_>) -> Flow<'s> {
        let mut bucket = self.bucket();
        match &self.reason {
            Some(_) if bucket.allow(context.instant) => Flow::Continue,
            Some(reason) => Flow::Drop(reason),
            None => {
                *context.pause = bucket.reserve(context.instant).max(*context.pause);
                Flow::Continue
            }
        }
    }
}

impl Stage for LineLimit {
    fn apply<'s>(&'s self, entry: &mut Entry, _: &mut Context<'_>) -> Flow<'s> {
        let line = entry.line_bytes();
        if line.len() <= self.bytes {
            return Flow::Continue;
        }
        if !self.truncate {
            return Flow::Drop(&self.reason);
        }
        let end = floor_char_boundary(line, self.bytes);
        entry.line = Span { end: entry.line.start + end as u32, ..entry.line };
        self.truncated.add(1.0);
        Flow::Continue
    }
}

/// The last place up to `at` that is not inside a UTF-8 character, where the text is UTF-8.
pub(super) fn floor_char_boundary(text: &[u8], at: usize) -> usize {
    let is_inside = |at: usize| text.get(at).is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000);
    (at.saturating_sub(3)..=at).rev().find(|at| !is_inside(*at)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Registry;

    #[test]
    fn a_rate_that_stays_the_same_stays_one_rate() {
        let own = Own::register(&Registry::default());
        let limit = |rate, drops| RateLimit::over_all(rate, 10, drops, &own);
        let running = limit(5.0, true);
        let shares =
            |other: RateLimit| Arc::ptr_eq(&other.or_running(Some(&running)).bucket, &running.bucket);
        assert!(shares(limit(5.0, true)));
        assert!(!shares(limit(6.0, true)));
        assert!(!shares(limit(5.0, false)));
    }

    #[test]
    fn a_line_is_cut_at_a_character() {
        let text = "aé€😀";
        let cuts: Vec<usize> = (0..=text.len()).map(|at| floor_char_boundary(text.as_bytes(), at)).collect();
        assert_eq!(cuts, [0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10]);
        assert_eq!(floor_char_boundary(&[0x80; 9], 7), 7, "bytes that are no text are cut where they are");
    }
}
