//! Patience with streams that Loki does not take because there are too many.
//! In: streams that were refused.  Out: whether they are worth another try.  Owns: the streams known to be refused.

use std::collections::HashSet;
use std::time::Duration;

use crate::clock::Instant;

/// An ingester that restarts forgets its streams within this time; later only a person helps, and other lines are
/// waiting for memory.
const PATIENCE: Duration = Duration::from_secs(60);

/// Without a refusal for so long the next one is a new case.
const OVER: Duration = Duration::from_secs(300);

/// Between two tries.
pub(super) const TRY_AGAIN: Duration = Duration::from_secs(10);

/// Streams remembered; more are found out again with each push.
const REMEMBERED: usize = 10_000;

/// The case of one client.
#[derive(Debug, Default)]
pub(super) struct StreamLimit {
    /// When it began, and when it was last met.
    case: Option<(Instant, Instant)>,
    refused: HashSet<String>,
}

impl StreamLimit {
    /// Takes note that Loki spoke of its limit. True while the streams are worth another try.
    pub(super) fn met(&mut self, now: Instant) -> bool {
        let began = match self.case {
            Some((began, last)) if now - last < OVER => began,
            _ => {
                self.refused.clear();
                now
            }
        };
        self.case = Some((began, now));
        now - began < PATIENCE
    }

    /// Remembers a stream that was refused by itself.
    pub(super) fn refuse(&mut self, stream: &str) {
        if self.refused.len() < REMEMBERED {
            self.refused.insert(stream.to_owned());
        }
    }

    /// Loki has taken it.
    pub(super) fn forget(&mut self, stream: &str) {
        self.refused.remove(stream);
    }

    /// True for a stream that was refused by itself.
    pub(super) fn has_refused(&self, stream: &str) -> bool {
        self.refused.contains(stream)
    }

    /// True while any is.
    pub(super) fn has_refused_any(&self) -> bool {
        !self.refused.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_a_minute_after_the_first_refusal_and_begins_anew_with_another_case() {
        let start = Instant::now();
        let mut limit = StreamLimit::default();
        assert!(limit.met(start));
        limit.refuse("{a=\"b\"}");
        assert!(limit.met(start + Duration::from_secs(59)));
        assert!(!limit.met(start + Duration::from_secs(60)));
        assert!(limit.has_refused("{a=\"b\"}"));
        assert!(!limit.met(start + Duration::from_secs(200)));
        assert!(limit.met(start + Duration::from_secs(501)));
        assert!(!limit.has_refused_any());
    }
}
