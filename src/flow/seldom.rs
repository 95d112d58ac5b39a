//! Keeps what takes work to say, and may be said of every line, from being said all the time.
//! In: something to say.  Out: whether to say it now.  Owns: when that was last.

use std::time::Duration;

use crate::clock::Instant;

const PERIOD: Duration = Duration::from_secs(60);

/// One thing to say, at most once a minute.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    said: Option<Instant>,
    silent: u64,
}

impl Seldom {
    /// Some when it is to be said now: how often it was not since it was said before.
    pub(crate) fn speak(&mut self) -> Option<u64> {
        self.speak_at(Instant::now())
    }

    fn speak_at(&mut self, now: Instant) -> Option<u64> {
        if self.said.is_some_and(|said| now < said + PERIOD) {
            self.silent += 1;
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.silent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_said_once_a_minute() {
        let (mut seldom, start) = (Seldom::default(), Instant::now());
        let said = [0, 1, 59, 60, 61].map(|after| seldom.speak_at(start + Duration::from_secs(after)));
        assert_eq!(said, [Some(0), None, None, Some(2), None]);
    }
}
