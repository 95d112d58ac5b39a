//! How fast one client may push while Loki says that it is too fast.
//! In: sizes that were accepted, refusals for the rate.  Out: how long to wait.  Owns: the pace.
//!
//! Loki's limit is a rate of line bytes for a whole tenant, and it gives no `Retry-After`. So the pace is halved at each
//! refusal and grows with each success, and is forgotten when no refusal came for a while.

use std::time::Duration;

use crate::clock::Instant;

/// Without a refusal for so long there is no limit any more.
const FORGET: Duration = Duration::from_secs(60);

/// Bytes a second that are tried at least.
const SLOWEST: f64 = 16.0 * 1024.0;

/// One push waits at most so long.
const LONGEST: Duration = Duration::from_secs(30);

/// Throughput is measured over so long.
const WINDOW: Duration = Duration::from_secs(10);

/// A pace in line bytes a second; none until Loki asks for one.
#[derive(Debug)]
pub(super) struct Pace {
    rate: Option<f64>,
    limited: Instant,
    next: Instant,
    window: Instant,
    accepted: f64,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Pace {
        Pace { rate: None, limited: now, next: now, window: now, accepted: 0.0 }
    }

    /// True while Loki's refusal is recent.
    pub(super) fn is_set(&self, now: Instant) -> bool {
        self.rate.is_some() && now - self.limited < FORGET
    }

    /// How long the next push has to wait.
    pub(super) fn delay(&self, now: Instant) -> Duration {
        self.next.saturating_duration_since(now)
    }

    /// A push of `size` line bytes went through.
    pub(super) fn accepted(&mut self, size: u64, now: Instant) {
        if now - self.window > WINDOW {
            (self.window, self.accepted) = (now, 0.0);
        }
        self.accepted += size as f64;
        self.rate = self.rate.filter(|_| self.is_set(now)).map(|rate| rate * 1.05);
        if let Some(rate) = self.rate {
            self.next = now + time_for(size, rate);
        }
    }

    /// A push of `size` was refused for its rate; `limit` is what Loki names as the tenant's.
    pub(super) fn limited(&mut self, size: u64, limit: Option<u64>, now: Instant) {
        let measured = || self.accepted / (now - self.window).as_secs_f64().max(1.0) / 2.0;
        let rate = match (self.rate, limit) {
            (Some(rate), _) => rate / 2.0,
            (None, Some(limit)) => limit as f64 * 0.8,
            (None, None) => measured(),
        };
        let rate = rate.max(SLOWEST);
        (self.rate, self.limited, self.next) = (Some(rate), now, now + time_for(size, rate));
    }
}

fn time_for(size: u64, rate: f64) -> Duration {
    Duration::from_secs_f64(size as f64 / rate).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_follows_what_loki_takes_and_is_forgotten_when_it_takes_everything() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut pace = Pace::new(start);
        pace.accepted(1_000_000, at(0));
        assert_eq!(pace.delay(at(0)), Duration::ZERO, "no limit is known");
        pace.limited(1_000_000, Some(1_250_000), at(1));
        assert_eq!(pace.delay(at(1)), Duration::from_secs(1), "below what Loki names, as others push too");
        pace.limited(1_000_000, Some(1_250_000), at(2));
        assert_eq!(pace.delay(at(2)), Duration::from_secs(2));
        pace.accepted(1_000_000, at(4));
        assert!(pace.is_set(at(61)) && !pace.is_set(at(62)));
        assert!(pace.delay(at(4)) < Duration::from_secs(2), "it grows again");
        pace.accepted(1_000_000, at(63));
        assert_eq!(pace.delay(at(63)), Duration::ZERO);
    }

    #[test]
    fn without_a_named_limit_it_is_half_of_what_went_through_before_and_never_stands_still() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.accepted(4_000_000, start);
        let now = start + Duration::from_secs(2);
        pace.limited(1_000_000, None, now);
        assert_eq!(pace.delay(now), Duration::from_secs(1));
        (0..100).for_each(|_| pace.limited(1_000_000, None, now));
        assert_eq!(pace.delay(now), LONGEST);
    }
}
