//! What a Loki takes, as far as it says so.
//! In: a client.  Out: limits, Loki's defaults where it does not say.  Owns: nothing.
//!
//! Nothing is pushed to find out: it would be stored. `/config` is Loki's configuration in effect; it may be out of reach
//! behind a gateway, and a tenant may have limits of its own.

use std::time::Duration;

use reqwest::Url;
use tokio::time::timeout;

use crate::config::{Node, parse_yaml};
use crate::http;

/// Where pushes go, below Loki's address.
const PUSH: &str = "/loki/api/v1/push";

/// A configuration in effect has about 60 KiB.
const LONGEST: usize = 1024 * 1024;

/// A Loki that does not answer soon does not say.
const PATIENCE: Duration = Duration::from_secs(5);

/// What Loki takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Limits {
    /// Loki's own word, not its defaults.
    pub(crate) are_known: bool,
    /// Older entries are refused.
    pub(crate) max_age: Option<Duration>,
    /// Bytes a second, of a tenant.
    pub(crate) rate: u64,
    /// Active streams of a tenant; 0 is any number.
    pub(crate) streams: u64,
    /// Labels of a stream.
    pub(crate) labels: u64,
}

/// Loki's defaults.
const DEFAULTS: Limits = Limits {
    are_known: false,
    max_age: Some(Duration::from_secs(7 * 24 * 3600)),
    rate: 4 * 1024 * 1024,
    streams: 5_000,
    labels: 15,
};

/// Asks. Where there is no answer, or none that is understood, there are the defaults.
pub(super) async fn ask(push: &Url, settings: http::Settings) -> Limits {
    let Some(url) = address(push) else { return DEFAULTS };
    let answer = async {
        let client = http::Client::new(settings).ok()?;
        let mut response = client.get(&url).await.ok().filter(|response| response.status().is_success())?;
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.ok()? {
            body.extend_from_slice(&piece);
            if body.len() > LONGEST {
                return None;
            }
        }
        read(str::from_utf8(&body).ok()?)
    };
    timeout(PATIENCE, answer).await.ok().flatten().unwrap_or(DEFAULTS)
}

fn address(push: &Url) -> Option<Url> {
    let mut url = push.clone();
    let below = push.path().strip_suffix(PUSH)?;
    url.set_path(&format!("{below}/config"));
    url.set_query(None);
    Some(url)
}

/// `None` where it is not the configuration of a Loki.
fn read(text: &str) -> Option<Limits> {
    let root = parse_yaml(text).ok()?;
    let block = under(&root, "limits_config")?;
    let count = |key, default| under(block, key).and_then(|node| node.count().ok()).unwrap_or(default);
    let age = under(block, "reject_old_samples_max_age").and_then(|node| {
        // `1w` as Loki shows it; both are written by people.
        node.prometheus_duration().or_else(|_| node.duration()).ok()
    });
    let rejects = under(block, "reject_old_samples").and_then(|node| node.boolean().ok()).unwrap_or(true);
    let rate = under(block, "ingestion_rate_mb").and_then(|node| node.number().ok());
    let rate = rate.filter(|rate| *rate > 0.0).map(|rate| (rate * 1024.0 * 1024.0) as u64);
    Some(Limits {
        are_known: true,
        max_age: age.or(DEFAULTS.max_age).filter(|_| rejects),
        rate: rate.unwrap_or(DEFAULTS.rate),
        streams: count("max_global_streams_per_user", DEFAULTS.streams),
        labels: count("max_label_names_per_series", DEFAULTS.labels),
    })
}

fn under<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    node.entries().ok()?.iter().find(|(name, _)| name.scalar() == Some(key)).map(|(_, value)| value)
}

/// Any text is somebody's limits, or nobody's.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz(text: &str) {
    if let Some(limits) = read(text) {
        assert!(limits.are_known && limits.rate > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_of_a_loki_says_what_it_takes() {
        let text = "target: all\nlimits_config:\n  ingestion_rate_mb: 8.5\n  reject_old_samples: true\n  \
            reject_old_samples_max_age: 30d\n  max_global_streams_per_user: 0\n  max_label_names_per_series: 30\n";
        let limits = Limits {
            are_known: true,
            max_age: Some(Duration::from_secs(30 * 24 * 3600)),
            rate: 8_912_896,
            streams: 0,
            labels: 30,
        };
        assert_eq!(read(text), Some(limits));
        let any_age = text.replace("samples: true", "samples: false");
        assert_eq!(read(&any_age), Some(Limits { max_age: None, ..limits }));
        let in_hours = text.replace("30d", "720h0m0s");
        assert_eq!(read(&in_hours), Some(limits));
        assert_eq!(read("limits_config: {}"), Some(Limits { are_known: true, ..DEFAULTS }));
        for text in ["", "a: b", "[]", "<html>", "limits_config", "\t", "404 page not found"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn it_is_asked_for_beside_where_pushes_go() {
        let asked = |push: &str| address(&Url::parse(push).unwrap()).map(|url| url.to_string());
        assert_eq!(asked("http://loki:3100/loki/api/v1/push").as_deref(), Some("http://loki:3100/config"));
        assert_eq!(asked("https://x/logs/loki/api/v1/push?a=b").as_deref(), Some("https://x/logs/config"));
        assert_eq!(asked("https://x/api/push"), None);
    }
}
