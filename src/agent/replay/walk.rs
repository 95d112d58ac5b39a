//! Walks over what is to be replayed, in order of time, from a place on.
//! In: an archive, a question, a place.  Out: entries, and the place after them.  Owns: an answer.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::record::{Labels, UnixNanos};
use crate::retention::{Answer, Entry, Filter, Place as Store, Rule, Settings};

/// What is to be replayed.
pub(crate) struct Question {
    /// All of it in words, by which a replay that was interrupted is known again.
    pub(crate) text: String,
    pub(crate) stores: Vec<Store>,
    pub(crate) filter: Filter,
    /// Of the agent whose archive it is, for its rules.
    pub(crate) settings: Option<Arc<Settings>>,
    /// Labels that every stream gets.
    pub(crate) labels: Labels,
    pub(crate) caps: Caps,
}

/// Where a replay ends, whatever there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    pub(crate) entries: u64,
    /// Of lines and structured metadata.
    pub(crate) bytes: u64,
}

/// A place between two entries, and what is before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// Everything older is passed.
    pub(super) time: UnixNanos,
    /// So many entries of this very time are passed too.
    pub(super) count: u64,
    /// What these are, added up. Entries of one time have no order that outlives a change of the archive.
    pub(super) sum: u64,
    /// All that is passed.
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

/// Entries, and the place after those that were given.
pub(super) struct Walk<'q> {
    answer: Answer<'q>,
    caps: Caps,
    pub(super) place: Place,
    /// The caps have ended it.
    pub(super) is_capped: bool,
}

impl Question {
    fn rules(&self) -> &[Rule] {
        self.settings.as_ref().map(|settings| settings.rules.as_slice()).unwrap_or_default()
    }

    fn ask(&self) -> Result<Answer<'_>, String> {
        Answer::begin(&self.stores, &self.filter, self.rules(), true).map_err(|error| error.to_string())
    }
}

impl Default for Place {
    fn default() -> Place {
        Place { time: UnixNanos(i64::MIN), count: 0, sum: 0, entries: 0, bytes: 0 }
    }
}

impl Place {
    fn pass(&mut self, entry: &Entry) {
        if self.time != entry.time {
            (self.time, self.count, self.sum) = (entry.time, 0, 0);
        }
        self.count += 1;
        self.sum = self.sum.wrapping_add(number(entry));
        self.entries += 1;
        self.bytes += size(entry);
    }
}

impl<'q> Walk<'q> {
    /// From a place on; the question asks for nothing older. What was passed of the place's time is passed over. Where that is
    /// not what the archive begins with now, that time is taken from its beginning: what is sent twice Loki stores once.
    pub(super) fn begin(question: &'q Question, mut place: Place) -> Result<Walk<'q>, String> {
        let mut answer = question.ask()?;
        let mut sum = 0u64;
        for _ in 0..place.count {
            match answer.next(&mut |_, _| {}) {
                Some(Ok(entry)) if entry.time == place.time => sum = sum.wrapping_add(number(&entry)),
                // What cannot be read is told when it is met again.
                _ => break,
            }
        }
        if sum != place.sum {
            answer = question.ask()?;
            place.entries = place.entries.saturating_sub(place.count);
            (place.count, place.sum) = (0, 0);
        }
        Ok(Walk { answer, caps: question.caps, place, is_capped: false })
    }

    /// The next entry; `tell` is told how many files were read, of how many. After an error the rest can still be had.
    pub(super) fn next(&mut self, tell: &mut dyn FnMut(usize, usize)) -> Option<Result<Entry, String>> {
        if self.is_capped {
            return None;
        }
        let entry = match self.answer.next(tell)? {
            Ok(entry) => entry,
            Err(error) => return Some(Err(error.to_string())),
        };
        self.is_capped = self.place.entries >= self.caps.entries
            || self.place.bytes.saturating_add(size(&entry)) > self.caps.bytes;
        if self.is_capped {
            return None;
        }
        self.place.pass(&entry);
        Some(Ok(entry))
    }
}

/// Bytes as Loki counts them towards its limits: of the line and of structured metadata.
pub(super) fn size(entry: &Entry) -> u64 {
    (entry.line.len() + entry.metadata.as_ref().map_or(0, |metadata| metadata.len())) as u64
}

/// What an entry is, as far as a sum needs it.
fn number(entry: &Entry) -> u64 {
    // The lower half is as good as all of it.
    entry.identity() as u64
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::retention::tests::{fill, records, seal};

    const NO_CAPS: Caps = Caps { entries: u64::MAX, bytes: u64::MAX };

    fn question(directory: &Path, caps: Caps) -> Question {
        let stores = vec![Store::directory("", directory)];
        let (text, filter, labels) = (String::new(), Filter::everything(), Labels::default());
        Question { text, stores, filter, settings: None, labels, caps }
    }

    /// The entries from a place on, and the place after them.
    fn walk(question: &Question, place: Place) -> (Vec<Entry>, Place) {
        let mut walk = Walk::begin(question, place).unwrap();
        let entries = std::iter::from_fn(|| walk.next(&mut |_, _| {})).collect::<Result<_, _>>().unwrap();
        (entries, walk.place)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn wherever_a_walk_was_left_the_next_one_goes_on_and_leaves_nothing_out(
            records in records(),
            at in any::<prop::sample::Index>(),
            seals in any::<bool>(),
        ) {
            let directory = tempfile::tempdir().unwrap();
            fill(directory.path(), &records);
            let (all, end) = walk(&question(directory.path(), NO_CAPS), Place::default());
            prop_assert_eq!(end.entries, all.len() as u64);
            let entries = at.index(all.len() + 1);
            let capped = Caps { entries: entries as u64, ..NO_CAPS };
            let (first, left_at) = walk(&question(directory.path(), capped), Place::default());
            prop_assert_eq!(&first, &all[..entries]);
            if seals {
                seal(directory.path());
            }
            let mut question = question(directory.path(), NO_CAPS);
            question.filter.from = left_at.time;
            let (rest, end_again) = walk(&question, left_at.clone());
            let passed = end_again.entries as usize - rest.len();
            prop_assert!(first[passed..].iter().all(|entry| entry.time == left_at.time), "no more is given twice");
            prop_assert_eq!(end_again.entries, end.entries);
            // Entries of one time may have changed places.
            let in_order = |mut entries: Vec<Entry>| {
                entries.sort_by_key(|entry| (entry.time, entry.identity()));
                entries
            };
            let got: Vec<Entry> = first[..passed].iter().cloned().chain(rest).collect();
            prop_assert_eq!(in_order(got), in_order(all));
        }
    }

    #[test]
    fn what_is_archived_late_at_the_time_of_a_place_is_not_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let made =
            |line: &str| vec![([("app".into(), "x".into())].into(), 7, line.into(), Default::default())];
        fill(directory.path(), &vec![(None, made("b"), false)]);
        let (_, left_at) = walk(&question(directory.path(), NO_CAPS), Place::default());
        fill(directory.path(), &vec![(None, made("a"), false)]);
        let mut question = question(directory.path(), NO_CAPS);
        question.filter.from = left_at.time;
        let lines: Vec<_> = walk(&question, left_at).0.into_iter().map(|entry| entry.line).collect();
        assert!(lines.contains(&"a".into()), "{lines:?}");
    }
}
