//! How long to wait before something is tried again: exponential, with jitter.
//! In: failures.  Out: delays.  Owns: the current range.

use std::time::Duration;

/// Delays double, and nothing doubled is nothing: a range from 0 would be no pause at all, ever.
const SHORTEST: Duration = Duration::from_millis(10);

/// The range delays grow through.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Settings {
    /// Shortest first delay.
    pub(crate) min: Duration,
    /// Longest delay.
    pub(crate) max: Duration,
}

/// Delays of one attempt after another: each is drawn from a range that doubles, so that agents that failed together
/// do not come back together.
#[derive(Debug)]
pub(crate) struct Backoff {
    settings: Settings,
    low: Duration,
    high: Duration,
}

impl Backoff {
    /// Starts at the shortest delay.
    pub(crate) fn new(settings: Settings) -> Backoff {
        let settings = Settings { min: settings.min.max(SHORTEST), max: settings.max.max(SHORTEST) };
        let low = settings.min.min(settings.max);
        Backoff { settings, low, high: (low * 2).min(settings.max) }
    }

    /// The next delay.
    pub(crate) fn next(&mut self) -> Duration {
        // Without randomness the middle of the range has to do.
        self.draw(getrandom::u64().unwrap_or(u64::MAX / 2))
    }

    /// `random` is uniform over all of `u64`.
    fn draw(&mut self, random: u64) -> Duration {
        let width = self.high.saturating_sub(self.low);
        let delay = self.low + width.mul_f64(random as f64 / u64::MAX as f64);
        if self.high < self.settings.max {
            self.low = (self.low * 2).min(self.settings.max);
            self.high = (self.high * 2).min(self.settings.max);
        }
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_are_spread_within_their_range() {
        let settings = Settings { min: Duration::from_millis(500), max: Duration::from_secs(4) };
        let ranges = |random| {
            let mut backoff = Backoff::new(settings);
            (0..5).map(|_| backoff.draw(random).as_millis()).collect::<Vec<_>>()
        };
        assert_eq!(ranges(0), [500, 1000, 2000, 2000, 2000]);
        assert_eq!(ranges(u64::MAX), [1000, 2000, 4000, 4000, 4000]);
        assert_eq!(ranges(u64::MAX / 2), [750, 1500, 3000, 3000, 3000]);
    }

    #[test]
    fn there_is_a_pause_whatever_is_configured() {
        let mut backoff = Backoff::new(Settings { min: Duration::ZERO, max: Duration::ZERO });
        assert_eq!([(); 2].map(|()| backoff.next()), [SHORTEST; 2]);
        let mut backoff = Backoff::new(Settings { min: Duration::ZERO, max: Duration::from_secs(1) });
        assert_eq!([(); 3].map(|()| backoff.draw(0).as_millis()), [10, 20, 40]);
    }
}
