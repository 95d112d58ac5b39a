//! Units as types, so that bytes cannot be subtracted from milliseconds.
//! In: raw numbers at the edges.  Out: `ByteCount`, `UnixNanos`.  Owns: nothing.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ByteCount(pub(crate) u64);

impl ByteCount {
    /// `n` binary megabytes.
    pub(crate) const fn mib(n: u64) -> Self {
        ByteCount(n * 1024 * 1024)
    }
}

/// Nanoseconds since 1970-01-01T00:00:00Z; negative before. The unit of Loki's timestamps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct UnixNanos(pub(crate) i64);

impl UnixNanos {
    const PER_SECOND: i64 = 1_000_000_000;

    /// Whole seconds, rounded down, as protobuf's `Timestamp.seconds` wants them.
    pub(crate) fn seconds(self) -> i64 {
        self.0.div_euclid(Self::PER_SECOND)
    }

    /// The rest of [`seconds`](Self::seconds): always 0..=999,999,999.
    pub(crate) fn subsec_nanos(self) -> i32 {
        // The remainder by 10^9 fits 30 bits.
        self.0.rem_euclid(Self::PER_SECOND) as i32
    }

    /// This moment and `more`, saturating.
    pub(crate) fn plus(self, more: Duration) -> Self {
        UnixNanos(self.0.saturating_add(i64::try_from(more.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// This moment less `age`, saturating.
    pub(crate) fn minus(self, age: Duration) -> Self {
        UnixNanos(self.0.saturating_sub(i64::try_from(age.as_nanos()).unwrap_or(i64::MAX)))
    }
}

/// RFC 3339 in UTC; as many digits as there are, or as the precision says.
impl fmt::Display for UnixNanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every number of nanoseconds is within the calendar's range.
        jiff::Timestamp::from_nanosecond(self.0.into()).unwrap_or_default().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_before_1970_keeps_its_nanos_positive() {
        let before = UnixNanos(-1);
        assert_eq!((before.seconds(), before.subsec_nanos()), (-1, 999_999_999));
    }
}
