//! What keeps the agent from doing all of its work, in words.
//! In: who has trouble, and when it is over.  Out: a list for `/ready`.  Owns: one text for each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared by those who may have trouble and those who tell of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Troubles(Arc<Mutex<BTreeMap<String, String>>>);

impl Troubles {
    /// `who` cannot do its work, and why. True where that is news.
    pub(crate) fn set(&self, who: &str, what: impl Into<String>) -> bool {
        let what = what.into();
        self.lock().insert(who.to_owned(), what.clone()) != Some(what)
    }

    /// `who` can do its work. True where that is news.
    pub(crate) fn clear(&self, who: &str) -> bool {
        self.lock().remove(who).is_some()
    }

    /// All of them, a line each; empty where all is well.
    pub(crate) fn list(&self) -> String {
        self.lock().iter().map(|(who, what)| format!("{who}: {what}\n")).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
