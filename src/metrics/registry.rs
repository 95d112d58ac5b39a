//! Families and series, cheap to update from any task.
//! In: `add`, `set`, `observe`.  Out: values at scrape time.  Owns: every series, a bounded number in each family.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock;
use crate::metrics::kept::{Change, Settled};
use crate::record::UnixNanos;

/// Series a family may have unless it is told otherwise. Label values of derived metrics come from log lines, so something must say stop; what
/// exceeds it is counted together under `overflow="true"`.
pub(crate) const SERIES_LIMIT: usize = 1000;

/// Label pairs of one series, sorted by name.
pub(crate) type Pairs = Vec<(String, String)>;

/// What a family measures.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations below each of these bounds (`+Inf` is implied).
    Histogram(Vec<f64>),
}

/// All families by name.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    families: Mutex<BTreeMap<String, Arc<Family>>>,
}

/// The name is taken by a family that measures something else.
#[derive(Debug, thiserror::Error)]
#[error("metric `{name}` exists already with another type or other buckets")]
pub(crate) struct FamilyError {
    name: String,
}

/// One metric name.
#[derive(Debug)]
pub(crate) struct Family {
    /// Full name.
    pub(crate) name: String,
    /// One line for people.
    pub(crate) help: String,
    /// Counter, gauge or histogram.
    pub(crate) kind: Kind,
    /// Series not updated for this long disappear; `None` keeps them.
    idle: Option<Duration>,
    /// Of lines, by the configuration.
    derived: bool,
    /// Series it may have.
    limit: AtomicUsize,
    /// A page is made of all of them while others look for theirs: so labels are shared, not copied.
    series: Mutex<HashMap<Arc<Pairs>, Arc<Series>>>,
}

/// One label set of a family. Updates never lock.
#[derive(Debug)]
pub(crate) struct Series {
    /// Counter or gauge value, or a histogram's sum, as the bits of an `f64`.
    value: AtomicU64,
    /// A histogram's counts per bucket, `+Inf` last; not cumulative. Empty for the other kinds.
    buckets: Box<[AtomicU64]>,
    /// What of a derived series is settled.
    settled: Mutex<Settled>,
    updated: AtomicI64,
    /// Taken out of its family: an update made now would never be seen.
    detached: AtomicBool,
}

impl Registry {
    /// The family of `name`, made on first use.
    pub(crate) fn family(
        &self,
        name: &str,
        help: &str,
        kind: Kind,
        idle: Option<Duration>,
    ) -> Result<Arc<Family>, FamilyError> {
        self.entry(name, help, kind, idle, false)
    }

    /// The same, for what is derived from lines. Several jobs may share one.
    pub(crate) fn derived(
        &self,
        name: &str,
        help: &str,
        kind: Kind,
        idle: Option<Duration>,
    ) -> Result<Arc<Family>, FamilyError> {
        self.entry(name, help, kind, idle, true)
    }

    fn entry(
        &self,
        name: &str,
        help: &str,
        kind: Kind,
        idle: Option<Duration>,
        derived: bool,
    ) -> Result<Arc<Family>, FamilyError> {
        let mut families = lock(&self.families);
        let family = families.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(Family {
                name: name.to_owned(),
                help: help.to_owned(),
                kind: kind.clone(),
                idle,
                derived,
                limit: AtomicUsize::new(SERIES_LIMIT),
                series: Mutex::default(),
            })
        });
        if family.kind == kind { Ok(family.clone()) } else { Err(FamilyError { name: name.to_owned() }) }
    }

    /// A name that the other has for something else.
    pub(crate) fn conflict(&self, other: &Registry) -> Option<FamilyError> {
        let mine = lock(&self.families);
        let clashes =
            |theirs: &Arc<Family>| mine.get(&theirs.name).is_some_and(|family| family.kind != theirs.kind);
        let clash = other.families().into_iter().find(clashes)?;
        Some(FamilyError { name: clash.name.clone() })
    }

    /// Every family, by name.
    pub(crate) fn families(&self) -> Vec<Arc<Family>> {
        lock(&self.families).values().cloned().collect()
    }
}

impl Family {
    /// The series with these labels, made on first use; over the limit, the overflow series.
    pub(crate) fn series(&self, mut pairs: Pairs) -> Arc<Series> {
        pairs.sort();
        let mut series = lock(&self.series);
        if let Some(known) = series.get(&pairs) {
            return known.clone();
        }
        if series.len() >= self.limit.load(Ordering::Relaxed) {
            pairs = vec![("overflow".to_owned(), "true".to_owned())];
        }
        series.entry(Arc::new(pairs)).or_insert_with(|| Arc::new(Series::new(&self.kind))).clone()
    }

    /// Lets it have so many series.
    pub(crate) fn limit_to(&self, series: usize) {
        self.limit.store(series, Ordering::Relaxed);
    }

    /// The series with one label.
    pub(crate) fn with(&self, name: &str, value: &str) -> Arc<Series> {
        self.series(pairs([(name, value)]))
    }

    /// The series with two labels.
    pub(crate) fn with_two(&self, labels: [(&str, &str); 2]) -> Arc<Series> {
        self.series(pairs(labels))
    }

    /// The series without labels.
    pub(crate) fn single(&self) -> Arc<Series> {
        self.series(Vec::new())
    }

    /// The sum over all series.
    pub(crate) fn sum(&self) -> f64 {
        // Not `sum`, which makes -0 of nothing.
        lock(&self.series).values().fold(0.0, |sum, series| sum + series.value())
    }

    /// The sum over the series with this label.
    pub(crate) fn sum_where(&self, name: &str, value: &str) -> f64 {
        let series = lock(&self.series);
        let has_it = |pairs: &Pairs| pairs.iter().any(|pair| pair.0 == name && pair.1 == value);
        series.iter().filter(|(pairs, _)| has_it(pairs)).fold(0.0, |sum, (_, series)| sum + series.value())
    }

    /// Whether it is derived from lines.
    pub(crate) fn is_derived(&self) -> bool {
        self.derived
    }

    /// Every series, sorted by labels.
    pub(super) fn all(&self) -> Vec<(Arc<Pairs>, Arc<Series>)> {
        let mut all: Vec<_> =
            lock(&self.series).iter().map(|(pairs, series)| (pairs.clone(), series.clone())).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// The series alive at `now`, sorted by labels; idle ones are taken out first.
    pub(crate) fn collect(&self, now: UnixNanos) -> Vec<(Arc<Pairs>, Arc<Series>)> {
        if let Some(idle) = self.idle {
            let before = now.minus(idle).0;
            lock(&self.series).retain(|_, series| {
                let keep = series.updated.load(Ordering::SeqCst) >= before;
                series.detached.fetch_or(!keep, Ordering::SeqCst);
                keep
            });
        }
        self.all()
    }
}

impl Series {
    fn new(kind: &Kind) -> Series {
        let bounds = if let Kind::Histogram(bounds) = kind { bounds.len() + 1 } else { 0 };
        Series {
            value: AtomicU64::new(0f64.to_bits()),
            buckets: (0..bounds).map(|_| AtomicU64::new(0)).collect(),
            settled: Mutex::default(),
            updated: AtomicI64::new(clock::now().0),
            detached: AtomicBool::new(false),
        }
    }

    /// Adds `amount`; a gauge may be given a negative one.
    pub(crate) fn add(&self, amount: f64) {
        let add = |bits| Some((f64::from_bits(bits) + amount).to_bits());
        // The closure always gives a value, so the update always happens.
        let _ = self.value.fetch_update(Ordering::SeqCst, Ordering::SeqCst, add);
    }

    /// Sets a gauge.
    pub(crate) fn set(&self, value: f64) {
        self.value.store(value.to_bits(), Ordering::SeqCst);
    }

    /// Counts one observation of a histogram with these bounds.
    pub(crate) fn observe(&self, value: f64, bounds: &[f64]) {
        if let Some(count) = self.buckets.get(bucket(value, bounds)) {
            count.fetch_add(1, Ordering::SeqCst);
        }
        self.add(value);
    }

    /// Lines that changed it are settled.
    pub(super) fn settle(&self, change: &Change) {
        lock(&self.settled).take(change);
    }

    /// What of it is settled.
    pub(super) fn settled(&self) -> Settled {
        lock(&self.settled).clone()
    }

    /// Goes on from what was saved of it.
    pub(super) fn begin_at(&self, saved: Settled) {
        self.add(saved.value);
        for (count, more) in self.buckets.iter().zip(&saved.buckets) {
            count.fetch_add(*more, Ordering::SeqCst);
        }
        *lock(&self.settled) = saved;
    }

    /// Marks the series as updated at `now`. False when it has left its family meanwhile: the update has to be made
    /// again on a fresh series.
    #[must_use]
    pub(crate) fn touch(&self, now: UnixNanos) -> bool {
        // Lines of a chunk have one `now`, and to read is cheaper than to write.
        if self.updated.load(Ordering::SeqCst) != now.0 {
            self.updated.store(now.0, Ordering::SeqCst);
        }
        !self.detached.load(Ordering::SeqCst)
    }

    /// Counter or gauge value, or a histogram's sum.
    pub(crate) fn value(&self) -> f64 {
        f64::from_bits(self.value.load(Ordering::SeqCst))
    }

    /// A histogram's cumulative counts, `+Inf` last.
    pub(crate) fn cumulative(&self) -> Vec<u64> {
        let counts = self.buckets.iter().scan(0, |sum, count| {
            *sum += count.load(Ordering::SeqCst);
            Some(*sum)
        });
        counts.collect()
    }
}

/// Label pairs from string slices.
pub(super) fn pairs<const N: usize>(labels: [(&str, &str); N]) -> Pairs {
    labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The number of the bucket that an observation falls into.
pub(super) fn bucket(value: f64, bounds: &[f64]) -> usize {
    bounds.iter().position(|bound| value <= *bound).unwrap_or(bounds.len())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_the_limit_series_share_one_overflow_series() {
        let registry = Registry::default();
        let family = registry.family("lines_total", "", Kind::Counter, None).unwrap();
        for user in 0..SERIES_LIMIT + 10 {
            family.series(vec![("user".to_owned(), user.to_string())]).add(1.0);
        }
        let all = family.collect(clock::now());
        assert_eq!(all.len(), SERIES_LIMIT + 1);
        assert_eq!(all.iter().map(|(_, series)| series.value()).sum::<f64>(), (SERIES_LIMIT + 10) as f64);
        let overflow = family.series(vec![("overflow".to_owned(), "true".to_owned())]);
        assert_eq!(overflow.value(), 10.0);
    }

    #[test]
    fn an_idle_series_disappears_and_says_so_to_who_still_holds_it() {
        let registry = Registry::default();
        let family = registry.family("g", "", Kind::Gauge, Some(Duration::from_secs(60))).unwrap();
        let series = family.single();
        assert!(series.touch(UnixNanos(0)));
        assert_eq!(family.collect(UnixNanos(60_000_000_000)).len(), 1);
        assert_eq!(family.collect(UnixNanos(60_000_000_001)).len(), 0);
        assert!(!series.touch(UnixNanos(60_000_000_002)));
    }

    #[test]
    fn two_jobs_may_share_a_metric_but_not_change_its_type() {
        let registry = Registry::default();
        registry.family("x", "", Kind::Counter, None).unwrap();
        assert!(registry.family("x", "", Kind::Counter, None).is_ok());
        assert!(registry.family("x", "", Kind::Gauge, None).is_err());
        let other = Registry::default();
        other.family("x", "", Kind::Counter, None).unwrap();
        assert!(registry.conflict(&other).is_none());
        other.family("y", "", Kind::Counter, None).unwrap();
        registry.family("y", "", Kind::Gauge, None).unwrap();
        assert!(registry.conflict(&other).unwrap().to_string().contains("`y`"));
    }
}
