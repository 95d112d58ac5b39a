//! Whether the clock is to be believed: nothing goes because a clock was set wrong.
//! In: what the clock says at each pass.  Out: yes, or not yet.  Owns: the file `clock` beside the log.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::custody::Disk;
use crate::record::UnixNanos;
use crate::retention::lifecycle::nanos;
use crate::retention::objects::{Directory, Objects as _};

const FILE: &str = "clock";

/// How far the clock may be ahead of the last pass where nobody knows how long ago that was.
const AWAY: Duration = Duration::from_secs(2 * 24 * 3600);

/// How far ahead of the time that has passed since.
const TOLERANCE: Duration = Duration::from_secs(3600);

/// A clock that has jumped is believed when it has gone steadily for so long.
const STEADY: Duration = Duration::from_secs(24 * 3600);

/// What the clock said before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClockGuard {
    /// The latest time that was believed, in nanoseconds since 1970, and what has passed since then.
    #[serde(default)]
    believed: Option<i64>,
    /// A clock that is ahead: what it said first, and last.
    #[serde(default)]
    ahead: Option<(i64, i64)>,
}

impl ClockGuard {
    /// One that believes a clock.
    pub(crate) fn believing(now: UnixNanos) -> ClockGuard {
        ClockGuard { believed: Some(now.0), ahead: None }
    }

    /// Reads what was kept beside the log. What is lost or damaged is no reason to believe anything.
    pub(crate) fn load(disk: &Arc<dyn Disk>, directory: &Path) -> io::Result<ClockGuard> {
        match Directory::new(disk.clone(), directory).read(FILE) {
            Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or_else(|error| {
                warn!(path = %directory.join(FILE).display(), %error, "what the clock said before is damaged");
                ClockGuard::default()
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(ClockGuard::default()),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn save(&self, disk: &Arc<dyn Disk>, directory: &Path) -> io::Result<()> {
        Directory::new(disk.clone(), directory).put(FILE, serde_json::to_vec(self)?.into())
    }

    /// Whether `now` is believed; `passed` is the time since the last pass, where that is known.
    pub(crate) fn believes(&mut self, now: UnixNanos, passed: Option<Duration>) -> bool {
        let allowed = nanos(passed.map_or(AWAY, |passed| passed.saturating_add(TOLERANCE)));
        let steady = |since: i64| now.0 <= since.saturating_add(allowed);
        self.ahead = match (self.believed, self.ahead) {
            (Some(believed), _) if steady(believed) => None,
            // A clock that goes back has not gone steadily.
            (_, Some((first, last))) if steady(last) && now.0 >= last => {
                if now.0.saturating_sub(first) < nanos(STEADY) { Some((first, now.0)) } else { None }
            }
            _ => Some((now.0, now.0)),
        };
        match &mut self.believed {
            believed if self.ahead.is_none() => *believed = (*believed).max(Some(now.0)),
            // A clock that comes back is believed at once.
            Some(believed) => *believed = believed.saturating_add(nanos(passed.unwrap_or_default())),
            None => {}
        }
        self.ahead.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::custody::{RealDisk, SimDisk};

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(hours: i64) -> UnixNanos {
        UnixNanos(1_800_000_000_000_000_000 + hours * nanos(HOUR))
    }

    #[test]
    fn a_clock_that_jumps_ahead_is_believed_after_a_day_and_one_that_comes_back_at_once() {
        let mut guard = ClockGuard::believing(at(0));
        assert!((1..50).all(|hour| guard.believes(at(hour), Some(HOUR))));
        let jump = 24 * 365;
        assert!((50..74).all(|hour| !guard.believes(at(jump + hour), Some(HOUR))));
        assert!(guard.believes(at(75), Some(HOUR)), "it came back");
        assert!(!guard.believes(at(jump + 75), Some(HOUR)), "it does not count that it was there before");
        assert!((76..99).all(|hour| !guard.believes(at(jump + hour), Some(HOUR))));
        assert!(guard.believes(at(jump + 99), Some(HOUR)), "a day of it was right");
    }

    #[test]
    fn an_agent_that_was_away_for_two_days_goes_on_at_once_and_later_after_a_day() {
        let mut guard = ClockGuard::believing(at(0));
        assert!(guard.believes(at(48), None));
        assert!(!guard.believes(at(48 + 49), None));
        assert!((98..121).all(|hour| !guard.believes(at(hour), Some(HOUR))));
        assert!(guard.believes(at(121), Some(HOUR)));
        let mut guard = ClockGuard::believing(at(0));
        assert!(guard.believes(at(-1000), Some(HOUR)), "nothing goes early where it is early");
        assert!(guard.believes(at(1), Some(HOUR)));
    }

    #[test]
    fn what_is_lost_or_damaged_is_no_reason_to_believe() {
        let directory = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let load = || ClockGuard::load(&disk, directory.path()).unwrap();
        assert!(!load().believes(at(0), None));
        let guard = ClockGuard::believing(at(0));
        guard.save(&disk, directory.path()).unwrap();
        assert_eq!(load(), guard);
        std::fs::write(directory.path().join(FILE), "\0\0").unwrap();
        assert_eq!(load(), ClockGuard::default());
        let failing = SimDisk::new(0);
        failing.fail_next(100);
        let failing: Arc<dyn Disk> = Arc::new(failing);
        assert!(guard.save(&failing, Path::new("/log")).is_err());
    }
}
