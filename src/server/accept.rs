//! What a client of the pages accepts.
//! In: values of `Accept` and `Accept-Encoding`.  Out: a format, whether to compress.  Owns: nothing.

use crate::metrics::Format;

/// Media ranges that are looked at; Prometheus sends six.
const MOST_RANGES: usize = 32;

/// One item of such a header.
struct Item<'h> {
    name: &'h str,
    parameters: Vec<(&'h str, &'h str)>,
    quality: f64,
}

/// The format that is wanted most of those there are, and its media type; the text format when in doubt.
pub(super) fn format(accept: &str) -> (Format, &'static str) {
    let mut best = (0.0, Format::Text, "text/plain; version=0.0.4; charset=utf-8");
    for item in items(accept) {
        let (format, media) = match (item.name, item.parameter("version")) {
            ("application/openmetrics-text", None | Some("1.0.0")) => {
                (Format::OpenMetrics, "application/openmetrics-text; version=1.0.0; charset=utf-8")
            }
            // What is written here is the same in both.
            ("application/openmetrics-text", Some("0.0.1")) => {
                (Format::OpenMetrics, "application/openmetrics-text; version=0.0.1; charset=utf-8")
            }
            ("text/plain", None | Some("0.0.4" | "1.0.0")) | ("text/*" | "*/*", _) => {
                (Format::Text, "text/plain; version=0.0.4; charset=utf-8")
            }
            _ => continue,
        };
        if item.quality > best.0 {
            best = (item.quality, format, media);
        }
    }
    (best.1, best.2)
}

/// Whether the answer may be compressed with gzip.
pub(super) fn takes_gzip(accept_encoding: &str) -> bool {
    items(accept_encoding).find(|item| item.name == "gzip").is_some_and(|item| item.quality > 0.0)
}

fn items(header: &str) -> impl Iterator<Item = Item<'_>> {
    header.split(',').take(MOST_RANGES).map(|item| {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let pairs = parts.filter_map(|part| part.split_once('='));
        let parameters: Vec<_> =
            pairs.map(|(name, value)| (name.trim(), value.trim().trim_matches('"'))).collect();
        let mut item = Item { name, parameters, quality: 1.0 };
        if let Some(quality) = item.parameter("q") {
            item.quality = quality.parse().ok().filter(|quality: &f64| quality.is_finite()).unwrap_or(0.0);
        }
        item
    })
}

impl<'h> Item<'h> {
    fn parameter(&self, wanted: &str) -> Option<&'h str> {
        self.parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_what_the_client_wants_most_of_those_there_are() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0;q=0.5,\
            application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let with_protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
            encoding=delimited;q=0.7,application/openmetrics-text; version=\"1.0.0\"; Q=0.6, text/plain;q=0.3";
        let text_first = "text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5";
        for (accept, media) in [
            (prometheus_2, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
            (prometheus_3, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
            (with_protobuf, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
            (
                "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5",
                "application/openmetrics-text; version=0.0.1; charset=utf-8",
            ),
            ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
            (text_first, "text/plain; version=0.0.4; charset=utf-8"),
            ("application/openmetrics-text;q=0, text/html;q=0.9", "text/plain; version=0.0.4; charset=utf-8"),
            ("application/openmetrics-text; version=2.0.0", "text/plain; version=0.0.4; charset=utf-8"),
            ("application/openmetrics-text;q=NaN", "text/plain; version=0.0.4; charset=utf-8"),
            ("text/html,application/xhtml+xml,*/*;q=0.8", "text/plain; version=0.0.4; charset=utf-8"),
            ("", "text/plain; version=0.0.4; charset=utf-8"),
            (";;,=;q==,", "text/plain; version=0.0.4; charset=utf-8"),
        ] {
            assert_eq!(format(accept).1, media, "{accept}");
        }
    }

    #[test]
    fn the_page_is_compressed_for_who_says_so() {
        for (accepted, expected) in [
            ("gzip", true),
            ("deflate, gzip;q=0.5", true),
            ("gzip;q=0", false),
            ("identity", false),
            ("", false),
        ] {
            assert_eq!(takes_gzip(accepted), expected, "{accepted}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_client_sends_gets_an_answer(header in "[ -~]{0,80}", any in ".{0,40}") {
            for header in [header, any] {
                let (format, media) = super::format(&header);
                proptest::prop_assert_eq!(format == Format::OpenMetrics, media.starts_with("application/"));
                takes_gzip(&header);
            }
        }
    }
}
