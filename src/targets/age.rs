//! For how long the oldest byte that nobody has read has been there.
//! In: how much was written at a time, as far as anybody looked.  Out: an age.  Owns: a few such looks.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Instant;

/// Looks that are remembered. When there are more, every second one is forgotten, so that ages become coarser as they grow.
const LOOKS: usize = 64;

/// When how much had been written, of what is not read yet.
#[derive(Debug, Default)]
pub(super) struct Age {
    looks: VecDeque<(Instant, u64)>,
}

impl Age {
    /// So much is read, and so much is written in all, at `now`.
    pub(super) fn look(&mut self, read: u64, written: u64, now: Instant) {
        while self.looks.front().is_some_and(|(_, written)| *written <= read) {
            self.looks.pop_front();
        }
        // A rotation may take back what was seen of a file.
        while self.looks.back().is_some_and(|(_, before)| *before > written) {
            self.looks.pop_back();
        }
        if written > read && self.looks.back().is_none_or(|(_, before)| *before < written) {
            if self.looks.len() == LOOKS {
                let mut index = 0;
                self.looks.retain(|_| {
                    index += 1;
                    index % 2 == 1
                });
            }
            self.looks.push_back((now, written));
        }
    }

    /// The age of the oldest unread byte.
    pub(super) fn at(&self, now: Instant) -> Option<Duration> {
        self.looks.front().map(|(since, _)| now.duration_since(*since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_unread_byte_is_as_old_as_the_first_look_that_saw_it() {
        let (mut age, start) = (Age::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(age.at(start), None);
        for second in 0..10 {
            // 100 bytes a second are written, and reading is 300 behind.
            age.look((second * 100_u64).saturating_sub(300), second * 100, at(second));
        }
        assert_eq!(age.at(at(9)), Some(Duration::from_secs(2)), "700 were written at second 7, 600 are read");
        age.look(900, 900, at(10));
        assert_eq!(age.at(at(10)), None);
    }

    #[test]
    fn a_long_wait_is_remembered_by_a_few_looks() {
        let (mut age, start) = (Age::default(), Instant::now());
        for second in 0..10_000 {
            age.look(0, second + 1, start + Duration::from_secs(second));
        }
        assert!(age.looks.len() <= LOOKS);
        assert_eq!(age.at(start + Duration::from_secs(10_000)), Some(Duration::from_secs(10_000)));
    }
}
