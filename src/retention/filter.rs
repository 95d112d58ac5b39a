//! Which entries somebody asks for.
//! In: a selector, two times.  Out: yes or no, of a time, a stream, a line.  Owns: nothing.

use std::collections::BTreeMap;

use crate::pipeline::Selector;
use crate::record::UnixNanos;
use crate::retention::tiers::matches;

/// Entries that are asked for. The parts stand apart so that what is cheap to know is asked first.
#[derive(Debug)]
pub(crate) struct Filter {
    /// `None` for all streams and lines.
    pub(crate) selector: Option<Selector>,
    /// The earliest time.
    pub(crate) from: UnixNanos,
    /// The latest time.
    pub(crate) to: UnixNanos,
}

impl Filter {
    /// All there is.
    pub(crate) fn everything() -> Filter {
        Filter { selector: None, from: UnixNanos(i64::MIN), to: UnixNanos(i64::MAX) }
    }

    /// Whether any of the times between these two is asked for.
    pub(super) fn overlaps(&self, first: UnixNanos, last: UnixNanos) -> bool {
        first <= self.to && last >= self.from
    }

    pub(super) fn wants_stream(&self, labels: &BTreeMap<String, String>) -> bool {
        self.selector.as_ref().is_none_or(|selector| matches(selector, labels))
    }

    pub(super) fn wants_line(&self, line: &[u8]) -> bool {
        self.selector.as_ref().is_none_or(|selector| selector.filters.iter().all(|filter| filter.keeps(line)))
    }

    /// The only service that is asked for, if it is one; it may be none at all.
    pub(super) fn service(&self) -> Option<&str> {
        let matchers = &self.selector.as_ref()?.matchers;
        let of_service = matchers.iter().filter(|matcher| matcher.name() == "service");
        of_service.filter_map(|matcher| str::from_utf8(matcher.only_value()?).ok()).next()
    }
}
