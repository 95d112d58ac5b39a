//! A page of metrics in one of the two formats that Prometheus reads.
//! In: families and their values.  Out: the body of `/metrics`.  Owns: nothing.
//!
//! The text format is version 0.0.4; OpenMetrics is 1.0.0. A name is the same in both: what counts and does not end in
//! `_total`, as OpenMetrics wants of counters, is of an unknown type there.

use std::collections::HashSet;
use std::fmt::Write as _;

use crate::metrics::{Kind, Reading, Shown};

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus' text format.
    Text,
    OpenMetrics,
}

/// Prometheus' text format.
#[cfg(test)]
pub(crate) fn text(families: &[Shown]) -> String {
    page(families, Format::Text)
}

/// All of these families, no two with the same name.
pub(crate) fn page(families: &[Shown], format: Format) -> String {
    let names: HashSet<&str> = families.iter().map(|family| family.name.as_str()).collect();
    let mut page = Page { text: String::new(), format };
    for family in families {
        page.header(family, &names);
        for (pairs, reading) in &family.samples {
            match (reading, &family.kind) {
                (Reading::Histogram { counts, sum }, Kind::Histogram(bounds)) => {
                    page.histogram(&family.name, pairs, bounds, counts, *sum);
                }
                (Reading::Number(value) | Reading::Histogram { sum: value, .. }, _) => {
                    page.sample(&family.name, pairs, None, &page.number(*value));
                }
            }
        }
    }
    if format == Format::OpenMetrics {
        page.text.push_str("# EOF\n");
    }
    page.text
}

struct Page {
    text: String,
    format: Format,
}

impl Page {
    fn header(&mut self, family: &Shown, names: &HashSet<&str>) {
        let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
        // Writing to a String cannot fail, here and below.
        let _ = match self.format {
            Format::Text => {
                let (name, kind) = (&family.name, kind(&family.kind));
                writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}")
            }
            Format::OpenMetrics => {
                let (name, kind) = in_open_metrics(family, names);
                let help = help.replace('"', "\\\"");
                let head = writeln!(self.text, "# TYPE {name} {kind}");
                if help.is_empty() { head } else { writeln!(self.text, "# HELP {name} {help}") }
            }
        };
    }

    fn histogram(
        &mut self,
        name: &str,
        pairs: &[(String, String)],
        bounds: &[f64],
        counts: &[u64],
        sum: f64,
    ) {
        let bounds = bounds.iter().copied().chain([f64::INFINITY]);
        for (bound, count) in bounds.zip(counts) {
            let bound = ("le".to_owned(), self.number(bound));
            self.sample(&format!("{name}_bucket"), pairs, Some(bound), &count.to_string());
        }
        self.sample(&format!("{name}_sum"), pairs, None, &self.number(sum));
        let count = counts.last().copied().unwrap_or(0);
        self.sample(&format!("{name}_count"), pairs, None, &count.to_string());
    }

    fn sample(
        &mut self,
        name: &str,
        pairs: &[(String, String)],
        bound: Option<(String, String)>,
        value: &str,
    ) {
        let text = &mut self.text;
        text.push_str(name);
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
        let _ = writeln!(text, " {value}");
    }

    fn number(&self, value: f64) -> String {
        match self.format {
            _ if value.is_nan() => "NaN".to_owned(),
            _ if value.is_infinite() => if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
            Format::Text => value.to_string(),
            // With a decimal point also where it is whole, so that bounds are written in one way only.
            Format::OpenMetrics => format!("{value:?}"),
        }
    }
}

fn kind(kind: &Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    }
}

/// What the family is called and what it is. There a counter's name is its samples' without `_total`, which must not be
/// another family's.
fn in_open_metrics<'f>(family: &'f Shown, names: &HashSet<&str>) -> (&'f str, &'static str) {
    match (&family.kind, family.name.strip_suffix("_total")) {
        (Kind::Counter, Some(name)) if !name.is_empty() && !names.contains(name) => (name, "counter"),
        (Kind::Counter, _) => (&family.name, "unknown"),
        _ => (&family.name, kind(&family.kind)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Registry;
    use crate::record::UnixNanos;

    fn families() -> Vec<Shown> {
        let registry = Registry::default();
        let label = |value: &str| vec![("path".to_owned(), value.to_owned())];
        let lines = registry.family("lines_total", "\"Lines\"\nread", Kind::Counter, None).unwrap();
        lines.series(label("a\"\\\nb")).add(3.0);
        let seconds = registry.family("seconds", "", Kind::Histogram(vec![0.5, 1.0]), None).unwrap();
        seconds.single().observe(0.5, &[0.5, 1.0]);
        seconds.single().observe(7.0, &[0.5, 1.0]);
        registry.family("unused", "", Kind::Gauge, None).unwrap();
        registry.shown(UnixNanos(0))
    }

    #[test]
    fn families_are_written_as_prometheus_reads_them() {
        assert_eq!(
            text(&families()),
            r#"# HELP lines_total "Lines"\nread
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

    #[test]
    fn open_metrics_has_its_own_ways() {
        assert_eq!(
            page(&families(), Format::OpenMetrics),
            r#"# TYPE lines counter
# HELP lines \"Lines\"\nread
lines_total{path="a\"\\\nb"} 3.0
# TYPE seconds histogram
seconds_bucket{le="0.5"} 1
seconds_bucket{le="1.0"} 1
seconds_bucket{le="+Inf"} 2
seconds_sum 7.5
seconds_count 2
# EOF
"#
        );
    }

    #[test]
    fn no_name_changes_between_formats_and_no_two_families_become_one() {
        let registry = Registry::default();
        for (name, kind) in [
            ("trades", Kind::Counter),
            ("x", Kind::Gauge),
            ("x_total", Kind::Counter),
            ("_total", Kind::Counter),
        ] {
            registry.family(name, "", kind, None).unwrap().single().add(1.0);
        }
        assert_eq!(
            page(&registry.shown(UnixNanos(0)), Format::OpenMetrics),
            "# TYPE _total unknown\n_total 1.0\n# TYPE trades unknown\ntrades 1.0\n# TYPE x gauge\nx 1.0\n\
             # TYPE x_total unknown\nx_total 1.0\n# EOF\n"
        );
    }
}
