//! Numbers for the label sets of a lane, so that a line's is looked up once and not by each stage.
//! In: an entry.  Out: the number of its label set.  Owns: the sets met lately; the lane bounds them.

use std::collections::HashMap;

use crate::pipeline::entry::Entry;

/// Label sets, by what makes them different.
#[derive(Debug, Default)]
pub(crate) struct LabelSets {
    numbers: HashMap<Box<[u8]>, usize, foldhash::fast::RandomState>,
    key: Vec<u8>,
}

impl LabelSets {
    /// The number of the entry's label set.
    pub(crate) fn number(&mut self, entry: &mut Entry) -> usize {
        if let Some(number) = entry.label_set() {
            return number;
        }
        let number = self.number_of(entry, |_| {});
        entry.set_label_set(number);
        number
    }

    /// The same for a label set that has a number already.
    pub(crate) fn known(&mut self, entry: &mut Entry) -> Option<usize> {
        if entry.label_set().is_none() {
            entry.label_key(&mut self.key);
            let number = *self.numbers.get(self.key.as_slice())?;
            entry.set_label_set(number);
        }
        entry.label_set()
    }

    /// The number of the entry's label set with what `mark` adds to tell it from the set itself.
    pub(crate) fn number_of(&mut self, entry: &Entry, mark: impl FnOnce(&mut Vec<u8>)) -> usize {
        entry.label_key(&mut self.key);
        mark(&mut self.key);
        if let Some(number) = self.numbers.get(self.key.as_slice()) {
            return *number;
        }
        let number = self.numbers.len();
        self.numbers.insert(self.key.as_slice().into(), number);
        number
    }

    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }
}

/// Something for each of a number of label sets.
#[derive(Debug)]
pub(crate) struct BySet<T>(Vec<Option<T>>);

impl<T> Default for BySet<T> {
    fn default() -> BySet<T> {
        BySet(Vec::new())
    }
}

impl<T> BySet<T> {
    pub(crate) fn get(&self, number: usize) -> Option<&T> {
        self.0.get(number)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        self.0.get_mut(number)?.as_mut()
    }

    pub(crate) fn insert(&mut self, number: usize, value: T) {
        if self.0.len() <= number {
            self.0.resize_with(number + 1, || None);
        }
        self.0[number] = Some(value);
    }
}
