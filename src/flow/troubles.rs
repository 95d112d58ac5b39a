//! What keeps the agent from doing all of its work, in words.
//! In: who has trouble, and when it is over.  Out: lists for `/ready`.  Owns: one text for each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared by those who may have trouble and those who tell of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Troubles(Arc<Mutex<BTreeMap<String, Trouble>>>);

#[derive(Debug, PartialEq)]
struct Trouble {
    what: String,
    /// Work is not done.
    grave: bool,
}

/// All troubles, a line each.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Work is not done.
    pub(crate) grave: Vec<String>,
    /// Work is done, but somebody should look.
    pub(crate) slight: Vec<String>,
}

impl Troubles {
    /// `who` cannot do its work, and why. True where that is news.
    pub(crate) fn set(&self, who: &str, what: impl Into<String>) -> bool {
        self.insert(who, what.into(), true)
    }

    /// `who` does its work, and yet something is wrong. True where that is news.
    pub(crate) fn warn(&self, who: &str, what: impl Into<String>) -> bool {
        self.insert(who, what.into(), false)
    }

    /// All is well with `who`. True where that is news.
    pub(crate) fn clear(&self, who: &str) -> bool {
        self.lock().remove(who).is_some()
    }

    /// All of them, by who has them.
    pub(crate) fn list(&self) -> Listed {
        let mut listed = Listed::default();
        for (who, Trouble { what, grave }) in self.lock().iter() {
            let list = if *grave { &mut listed.grave } else { &mut listed.slight };
            list.push(format!("{who}: {what}"));
        }
        listed
    }

    fn insert(&self, who: &str, what: String, grave: bool) -> bool {
        let trouble = Trouble { what, grave };
        let mut troubles = self.lock();
        let is_news = troubles.get(who) != Some(&trouble);
        troubles.insert(who.to_owned(), trouble);
        is_news
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Trouble>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_one_trouble_until_it_is_over() {
        let troubles = Troubles::default();
        troubles.warn("client", "slow");
        troubles.set("client", "gone");
        troubles.warn("positions", "old");
        let listed = troubles.list();
        assert_eq!(
            (listed.grave, listed.slight),
            (vec!["client: gone".to_owned()], vec!["positions: old".to_owned()])
        );
        troubles.clear("client");
        troubles.clear("positions");
        assert_eq!(troubles.list(), Listed::default());
    }
}
