//! How many pushes may be under way at once: several while Loki answers quickly, one while anything is wrong.
//! In: answers.  Out: a number.  Owns: it.

use std::time::Duration;

/// An answer that takes longer is not late because of the way: more at once would only wait for each other, up to the
/// timeout.
const QUICK: Duration = Duration::from_secs(1);

/// From one to as many as are configured.
#[derive(Debug)]
pub(super) struct Window {
    most: usize,
    size: usize,
}

impl Window {
    pub(super) fn new(most: usize) -> Window {
        Window { most, size: 1 }
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Loki has settled something, so long after it was sent.
    pub(super) fn answered(&mut self, took: Duration) {
        self.size = match took <= QUICK {
            true => (self.size + 1).min(self.most),
            false => (self.size - 1).max(1),
        };
    }

    /// A push has to be tried again: trouble is handled one at a time.
    pub(super) fn failed(&mut self) {
        self.size = 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_with_quick_answers_shrinks_with_slow_ones_and_begins_anew_after_a_failure() {
        let mut window = Window::new(3);
        let mut sizes = Vec::new();
        for seconds in [0, 1, 1, 0, 2, 9, 9, 0] {
            window.answered(Duration::from_secs(seconds));
            sizes.push(window.size());
        }
        assert_eq!(sizes, [2, 3, 3, 3, 2, 1, 1, 2]);
        window.answered(Duration::ZERO);
        window.failed();
        assert_eq!(window.size(), 1);
        let mut alone = Window::new(1);
        alone.answered(Duration::ZERO);
        assert_eq!(alone.size(), 1);
    }
}
