//! The Prometheus text format, version 0.0.4.
//! In: families and their values.  Out: the body of `/metrics`.  Owns: nothing.

use std::fmt::Write as _;

use crate::metrics::{Kind, Reading, Shown};

/// Prometheus' text format.
pub(crate) fn text(families: &[Shown]) -> String {
    let mut text = String::new();
    for family in families {
        header(family, &mut text);
        for (pairs, reading) in &family.samples {
            match (reading, &family.kind) {
                (Reading::Histogram { counts, sum }, Kind::Histogram(bounds)) => {
                    histogram(&family.name, pairs, bounds, counts, *sum, &mut text);
                }
                (Reading::Number(value) | Reading::Histogram { sum: value, .. }, _) => {
                    sample(&family.name, pairs, None, *value, &mut text);
                }
            }
        }
    }
    text
}

fn header(family: &Shown, text: &mut String) {
    let kind = match family.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    };
    let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(text, "# HELP {0} {help}\n# TYPE {0} {kind}", family.name);
}

fn histogram(
    name: &str,
    pairs: &[(String, String)],
    bounds: &[f64],
    counts: &[u64],
    sum: f64,
    text: &mut String,
) {
    let bounds = bounds.iter().copied().chain([f64::INFINITY]);
    for (bound, count) in bounds.zip(counts) {
        sample(&format!("{name}_bucket"), pairs, Some(bound), *count as f64, text);
    }
    sample(&format!("{name}_sum"), pairs, None, sum, text);
    sample(&format!("{name}_count"), pairs, None, counts.last().copied().unwrap_or(0) as f64, text);
}

fn sample(name: &str, pairs: &[(String, String)], bound: Option<f64>, value: f64, text: &mut String) {
    text.push_str(name);
    let bound = bound.map(|bound| ("le".to_owned(), number(bound)));
    let mut open = false;
    for (name, value) in pairs.iter().chain(&bound) {
        text.push(if open { ',' } else { '{' });
        open = true;
        text.push_str(name);
        text.push_str("=\"");
        let mut rest = value.as_str();
        while let Some(at) = rest.find(['\\', '"', '\n']) {
            text.push_str(&rest[..at]);
            text.push_str(match rest.as_bytes()[at] {
                b'\\' => "\\\\",
                b'"' => "\\\"",
                _ => "\\n",
            });
            rest = &rest[at + 1..];
        }
        text.push_str(rest);
        text.push('"');
    }
    if open {
        text.push('}');
    }
    let _ = writeln!(text, " {}", number(value));
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Registry;
    use crate::record::UnixNanos;

    #[test]
    fn families_are_written_as_prometheus_reads_them() {
        let registry = Registry::default();
        let label = |value: &str| vec![("path".to_owned(), value.to_owned())];
        let lines = registry.family("lines_total", "Lines\nread", Kind::Counter, None).unwrap();
        lines.series(label("a\"\\\nb")).add(3.0);
        let seconds = registry.family("seconds", "", Kind::Histogram(vec![0.5, 1.0]), None).unwrap();
        seconds.single().observe(0.5, &[0.5, 1.0]);
        seconds.single().observe(7.0, &[0.5, 1.0]);
        registry.family("unused", "", Kind::Gauge, None).unwrap();
        assert_eq!(
            text(&registry.shown(UnixNanos(0))),
            r#"# HELP lines_total Lines\nread
# TYPE lines_total counter
lines_total{path="a\"\\\nb"} 3
# HELP seconds 
# TYPE seconds histogram
seconds_bucket{le="0.5"} 1
seconds_bucket{le="1"} 1
seconds_bucket{le="+Inf"} 2
seconds_sum 7.5
seconds_count 2
"#
        );
    }
}
