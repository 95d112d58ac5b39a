//! What a page of metrics shows: families with their values at one moment.
//! In: the registry, or whoever computes values when asked.  Out: the same for every format.  Owns: nothing.

use std::sync::Arc;

use crate::metrics::registry::{Kind, Pairs, Registry};
use crate::record::UnixNanos;

/// One family.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) name: String,
    /// One line for people.
    pub(crate) help: String,
    pub(crate) kind: Kind,
    /// No two with the same labels.
    pub(crate) samples: Vec<(Arc<Pairs>, Reading)>,
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reading {
    Number(f64),
    Histogram {
        /// Cumulative, `+Inf` last.
        counts: Vec<u64>,
        sum: f64,
    },
}

impl Registry {
    /// All families that have a series, by name.
    pub(crate) fn shown(&self, now: UnixNanos) -> Vec<Shown> {
        let shown = self.families().into_iter().map(|family| Shown {
            name: family.name.clone(),
            help: family.help.clone(),
            kind: family.kind.clone(),
            samples: family
                .collect(now)
                .into_iter()
                .map(|(pairs, series)| {
                    let reading = match family.kind {
                        Kind::Histogram(_) => {
                            Reading::Histogram { counts: series.cumulative(), sum: series.value() }
                        }
                        Kind::Counter | Kind::Gauge => Reading::Number(series.value()),
                    };
                    (pairs, reading)
                })
                .collect(),
        });
        shown.filter(|family| !family.samples.is_empty()).collect()
    }
}
