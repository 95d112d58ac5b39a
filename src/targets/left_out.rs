//! What discovery finds and does not read.
//! In: labels and a reason.  Out: a count, and the first of them.  Owns: no more than are shown.

use std::collections::BTreeMap;

/// Shown of a job.
const SHOWN: usize = 100;

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct LeftOut {
    pub(crate) discovered: BTreeMap<String, String>,
    pub(crate) reason: String,
}

/// Those of one job.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeftOutJob {
    pub(crate) count: usize,
    pub(crate) first: Vec<LeftOut>,
}

impl LeftOutJob {
    /// One more; its labels are asked for only where they are shown.
    pub(crate) fn add(
        &mut self,
        reason: impl Into<String>,
        discovered: impl FnOnce() -> BTreeMap<String, String>,
    ) {
        self.count += 1;
        if self.first.len() < SHOWN {
            self.first.push(LeftOut { discovered: discovered(), reason: reason.into() });
        }
    }

    /// Both together.
    pub(crate) fn and(mut self, other: LeftOutJob) -> LeftOutJob {
        self.count += other.count;
        let room = SHOWN - self.first.len();
        self.first.extend(other.first.into_iter().take(room));
        self
    }
}
