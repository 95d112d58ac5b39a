//! Metrics of each target, computed when they are asked for: they are gone with their target.
//! In: what is known of targets.  Out: families.  Owns: nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::metrics::registry::{Kind, Pairs, SERIES_LIMIT};
use crate::metrics::{Reading, Shown};

/// A name that targets go by, and what is known of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct TargetReading {
    pub(crate) job: String,
    /// The kind of source.
    pub(crate) kind: &'static str,
    /// A container's name, a path, an address.
    pub(crate) name: String,
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
    /// Lines, by reason.
    pub(crate) dropped: Vec<(String, u64)>,
    /// Written and not settled, as far as anybody can tell.
    pub(crate) bytes_behind: u64,
    /// Of the oldest of these.
    pub(crate) seconds_behind: f64,
    pub(crate) unreadable: bool,
    /// Offset and length of the file at the path, where it is one.
    #[allow(dead_code, reason = "Promtail's names need it")]
    pub(crate) file: Option<(u64, u64)>,
}

/// How values of targets beyond the limit become one.
#[derive(Clone, Copy)]
enum Join {
    Sum,
    Largest,
}

/// The families of these targets, of which each has at most 1,000 series: what exceeds them is in one with
/// `overflow="true"`.
pub(crate) fn of_targets(readings: &[TargetReading]) -> Vec<Shown> {
    let counter = |name: &str, help: &str, value: fn(&TargetReading) -> u64| {
        family(name, help, Kind::Counter, readings, Join::Sum, |reading| vec![(None, value(reading) as f64)])
    };
    let gauge = |name: &str, help: &str, join: Join, value: fn(&TargetReading) -> f64| {
        family(name, help, Kind::Gauge, readings, join, |reading| vec![(None, value(reading))])
    };
    let dropped = |reading: &TargetReading| {
        let each = |(reason, lines): &(String, u64)| (Some(reason.clone()), *lines as f64);
        reading.dropped.iter().map(each).collect()
    };
    let families = [
        gauge(
            "tailwater_target_bytes_behind",
            "Bytes that were written and are not settled, as far as anybody can tell",
            Join::Sum,
            |reading| reading.bytes_behind as f64,
        ),
        counter("tailwater_target_bytes_read_total", "Bytes of lines read", |reading| reading.bytes),
        family(
            "tailwater_target_lines_dropped_total",
            "Lines removed by a rule of the configuration",
            Kind::Counter,
            readings,
            Join::Sum,
            dropped,
        ),
        counter("tailwater_target_lines_read_total", "Lines read", |reading| reading.lines),
        gauge(
            "tailwater_target_seconds_behind",
            "For how long the oldest byte that is not settled has been there",
            Join::Largest,
            |reading| reading.seconds_behind,
        ),
        gauge("tailwater_target_unreadable", "1 when the target cannot be read", Join::Sum, |reading| {
            f64::from(u8::from(reading.unreadable))
        }),
    ];
    families.into_iter().filter(|family| !family.samples.is_empty()).collect()
}

fn family(
    name: &str,
    help: &str,
    kind: Kind,
    readings: &[TargetReading],
    join: Join,
    values: impl Fn(&TargetReading) -> Vec<(Option<String>, f64)>,
) -> Shown {
    let mut samples: BTreeMap<Pairs, f64> = BTreeMap::new();
    let mut overflow = None;
    for reading in readings {
        for (reason, value) in values(reading) {
            if samples.len() < SERIES_LIMIT {
                samples.insert(labels(reading, reason), value);
            } else {
                let before = overflow.unwrap_or(0.0);
                overflow = Some(match join {
                    Join::Sum => before + value,
                    Join::Largest => value.max(before),
                });
            }
        }
    }
    if let Some(overflow) = overflow {
        samples.insert(vec![("overflow".to_owned(), "true".to_owned())], overflow);
    }
    let samples =
        samples.into_iter().map(|(pairs, value)| (Arc::new(pairs), Reading::Number(value))).collect();
    Shown { name: name.to_owned(), help: help.to_owned(), kind, samples }
}

fn labels(reading: &TargetReading, reason: Option<String>) -> Pairs {
    let mut pairs = vec![
        ("job".to_owned(), reading.job.clone()),
        ("source".to_owned(), reading.kind.to_owned()),
        ("target".to_owned(), reading.name.clone()),
    ];
    if let Some(reason) = reason {
        pairs.insert(1, ("reason".to_owned(), reason));
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(name: &str) -> TargetReading {
        TargetReading {
            job: "j".to_owned(),
            kind: "file",
            name: name.to_owned(),
            lines: 3,
            dropped: vec![("old".to_owned(), 1), ("rate".to_owned(), 2)],
            seconds_behind: name.len() as f64,
            ..TargetReading::default()
        }
    }

    #[test]
    fn each_target_has_its_series() {
        let text = crate::metrics::text(&of_targets(&[reading("/a.log")]));
        for line in [
            r#"tailwater_target_lines_read_total{job="j",source="file",target="/a.log"} 3"#,
            r#"tailwater_target_lines_dropped_total{job="j",reason="rate",source="file",target="/a.log"} 2"#,
            r#"tailwater_target_seconds_behind{job="j",source="file",target="/a.log"} 6"#,
            r#"tailwater_target_unreadable{job="j",source="file",target="/a.log"} 0"#,
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}:\n{text}");
        }
        assert!(of_targets(&[]).is_empty());
    }

    #[test]
    fn what_is_beyond_the_limit_is_in_one_series() {
        let readings: Vec<_> =
            (0..SERIES_LIMIT + 10).map(|number| reading(&format!("{number:05}"))).collect();
        for family in of_targets(&readings) {
            assert_eq!(family.samples.len(), SERIES_LIMIT + 1, "{}", family.name);
            let sum: f64 = family
                .samples
                .iter()
                .map(|(_, reading)| if let Reading::Number(value) = reading { *value } else { 0.0 })
                .sum();
            match family.name.as_str() {
                "tailwater_target_lines_read_total" => assert_eq!(sum, 3.0 * readings.len() as f64),
                "tailwater_target_seconds_behind" => assert_eq!(sum, 5.0 * (SERIES_LIMIT + 1) as f64),
                _ => {}
            }
        }
    }
}
