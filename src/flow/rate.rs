//! How fast lines may go: a token bucket, as in Go's x/time/rate.
//! In: moments at which one more wants to pass.  Out: whether it may, or how long it has to wait.  Owns: the tokens.

use std::time::Duration;

use crate::clock::Instant;

/// The longest pause one line asks for; a slower rate is not kept exactly.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Fills at a rate, up to a burst, and starts full.
#[derive(Clone, Debug)]
pub(crate) struct TokenBucket {
    /// Tokens a second.
    rate: f64,
    burst: f64,
    /// Negative where more was promised than there is.
    tokens: f64,
    filled: Option<Instant>,
}

impl TokenBucket {
    /// `rate` tokens a second, both above 0.
    pub(crate) fn new(rate: f64, burst: u64) -> TokenBucket {
        TokenBucket { rate, burst: burst as f64, tokens: burst as f64, filled: None }
    }

    /// True for a bucket that fills as this one does.
    pub(crate) fn is_like(&self, other: &TokenBucket) -> bool {
        self.rate == other.rate && self.burst == other.burst
    }

    /// Takes a token if there is one.
    pub(crate) fn allow(&mut self, now: Instant) -> bool {
        self.fill(now);
        let may = self.tokens >= 1.0;
        if may {
            self.tokens -= 1.0;
        }
        may
    }

    /// Takes a token, one that is not there yet if need be; how long to wait for it.
    pub(crate) fn reserve(&mut self, now: Instant) -> Duration {
        self.fill(now);
        self.tokens -= 1.0;
        let missing = (-self.tokens / self.rate).clamp(0.0, LONGEST_PAUSE.as_secs_f64());
        Duration::from_secs_f64(missing)
    }

    fn fill(&mut self, now: Instant) {
        let since = self.filled.map_or(Duration::ZERO, |filled| now.saturating_duration_since(filled));
        self.tokens = (self.tokens + since.as_secs_f64() * self.rate).min(self.burst);
        self.filled = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_fills_at_its_rate() {
        let mut bucket = TokenBucket::new(2.0, 3);
        let start = Instant::now();
        let mut allowed = |second| {
            let now = start + Duration::from_secs(second);
            (0..5).filter(|_| bucket.allow(now)).count()
        };
        assert_eq!(allowed(0), 3);
        assert_eq!(allowed(1), 2);
        assert_eq!(allowed(60), 3, "it holds no more than its burst");
    }

    #[test]
    fn who_does_not_drop_waits_for_a_token_of_its_own() {
        let mut bucket = TokenBucket::new(4.0, 1);
        let start = Instant::now();
        let waits: Vec<u128> = (0..3).map(|_| bucket.reserve(start).as_millis()).collect();
        assert_eq!(waits, [0, 250, 500]);
        assert_eq!(bucket.reserve(start + Duration::from_secs(1)), Duration::ZERO);
    }
}
