//! Notices when the wall clock jumps: times of lines and of their retention go by it.
//! In: both clocks.  Out: a warning and a count.  Owns: the moment before.

use tracing::warn;

use crate::clock::{self, Moment};
use crate::metrics::Own;

/// How often it is looked at.
pub(super) const LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// What is set right little by little stays below this between two looks.
const JUMP_NANOS: i128 = 1_000_000_000;

/// The moment of the last look.
pub(super) struct Jumps(Moment);

impl Jumps {
    pub(super) fn new(own: &Own) -> Jumps {
        for direction in ["forward", "backward"] {
            own.clock_jumps.with("direction", direction);
        }
        Jumps(clock::moment())
    }

    /// Looks, at `now`.
    pub(super) fn look(&mut self, now: Moment, own: &Own) {
        let before = std::mem::replace(&mut self.0, now);
        let passed = now.instant.duration_since(before.instant).as_nanos() as i128;
        let jump = i128::from(now.wall.0) - i128::from(before.wall.0) - passed;
        if jump.abs() < JUMP_NANOS {
            return;
        }
        let direction = if jump > 0 { "forward" } else { "backward" };
        own.clock_jumps.with("direction", direction).add(1.0);
        let seconds = jump as f64 / 1e9;
        warn!(
            seconds,
            "the clock of this machine jumped, lines that have no time of their own carry the new time"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::Registry;
    use crate::record::UnixNanos;

    #[test]
    fn only_what_the_other_clock_does_not_explain_is_a_jump() {
        let own = Own::register(&Registry::default());
        let mut jumps = Jumps::new(&own);
        let start = jumps.0;
        let at = |seconds: u64, ahead: i64| Moment {
            instant: start.instant + Duration::from_secs(seconds),
            wall: UnixNanos(start.wall.0 + (seconds as i64 + ahead) * 1_000_000_000),
        };
        let count = |direction| own.clock_jumps.with("direction", direction).value();
        // A late look is none, a jump is one once.
        for (moment, forward, backward) in [
            (at(1, 0), 0.0, 0.0),
            (at(600, 0), 0.0, 0.0),
            (at(601, 3600), 1.0, 0.0),
            (at(602, 3600), 1.0, 0.0),
            (at(603, -7), 1.0, 1.0),
        ] {
            jumps.look(moment, &own);
            assert_eq!((count("forward"), count("backward")), (forward, backward));
        }
    }
}
