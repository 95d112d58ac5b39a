//! `no_proxy` lists, as Go's `httpproxy` reads them.
//! In: a comma-separated list, a target.  Out: whether the target is reached directly.  Owns: the rules.

use std::net::IpAddr;

use reqwest::Url;

/// Targets that are reached directly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NoProxy {
    rules: Vec<Rule>,
    /// Loopback is never proxied where there is a list, even an empty one: Go's way.
    loopback: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    host: Host,
    /// `None` is every port.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Any,
    Network {
        address: IpAddr,
        bits: u8,
    },
    /// With its leading dot; `itself` where the name without it matches too.
    Domain {
        dotted: String,
        itself: bool,
    },
}

impl NoProxy {
    /// Where no list is given: everything goes by way of the proxy, loopback too.
    pub(crate) fn nothing() -> NoProxy {
        NoProxy::default()
    }

    /// Entries that make no sense are passed over, as in Go.
    pub(crate) fn parse(list: &str) -> NoProxy {
        let entries = list.split(',').map(|entry| entry.trim().to_ascii_lowercase());
        NoProxy { rules: entries.filter_map(|entry| Rule::parse(&entry)).collect(), loopback: true }
    }

    pub(crate) fn matches(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
        let is_loopback = host == "localhost" || address.is_some_and(|address| address.is_loopback());
        let port = url.port_or_known_default();
        (self.loopback && is_loopback)
            || self
                .rules
                .iter()
                .any(|rule| rule.host.matches(&host, address) && (rule.port.is_none() || rule.port == port))
    }
}

impl Rule {
    fn parse(entry: &str) -> Option<Rule> {
        if entry == "*" {
            return Some(Rule { host: Host::Any, port: None });
        }
        if let Some((address, bits)) = entry.split_once('/') {
            let (address, bits) = (address.parse::<IpAddr>().ok()?, bits.parse().ok()?);
            let longest = if address.is_ipv4() { 32 } else { 128 };
            return (bits <= longest).then_some(Rule { host: Host::Network { address, bits }, port: None });
        }
        // A bare IPv6 address has colons of its own.
        let (host, port) = match entry.rsplit_once(':') {
            Some((host, port)) if entry.parse::<IpAddr>().is_err() => (host, Some(port.parse().ok()?)),
            _ => (entry, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = host.parse::<IpAddr>() {
            let bits = if address.is_ipv4() { 32 } else { 128 };
            return Some(Rule { host: Host::Network { address, bits }, port });
        }
        let host = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
        match host.strip_prefix('.') {
            _ if host.is_empty() => None,
            Some(_) => Some(Rule { host: Host::Domain { dotted: host.to_owned(), itself: false }, port }),
            None => Some(Rule { host: Host::Domain { dotted: format!(".{host}"), itself: true }, port }),
        }
    }
}

impl Host {
    fn matches(&self, host: &str, address: Option<IpAddr>) -> bool {
        match self {
            Host::Any => true,
            Host::Network { address: network, bits } => {
                address.is_some_and(|address| within(address, network.to_canonical(), *bits))
            }
            // An address is no domain, whatever its digits end with.
            Host::Domain { dotted, itself } => {
                address.is_none() && (host.ends_with(dotted) || (*itself && host == &dotted[1..]))
            }
        }
    }
}

fn within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let same = |one: u128, other: u128, width: u32| {
        let ignored = width.saturating_sub(u32::from(bits));
        one.checked_shr(ignored).unwrap_or(0) == other.checked_shr(ignored).unwrap_or(0)
    };
    match (address, network) {
        (IpAddr::V4(one), IpAddr::V4(other)) => same(one.to_bits().into(), other.to_bits().into(), 32),
        (IpAddr::V6(one), IpAddr::V6(other)) => same(one.to_bits(), other.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_match_as_in_go() {
        let table = [
            ("", "http://localhost:1", true),
            ("", "http://127.0.0.1", true),
            ("", "http://[::1]/", true),
            ("", "http://loki", false),
            ("*", "http://loki", true),
            ("loki", "http://loki:3100", true),
            ("loki", "http://eu.loki", true),
            ("loki", "http://oloki", false),
            (".loki", "http://loki", false),
            ("*.example.org", "http://a.example.org", true),
            (" a , LOKI ", "http://loki", true),
            ("loki:80", "http://loki", true),
            ("loki:81", "http://loki", false),
            ("10.0.0.0/8", "http://10.1.2.3:99", true),
            ("10.0.0.0/8", "http://11.1.2.3", false),
            ("0.0.0.0/0", "http://11.1.2.3", true),
            ("fd00::/8", "http://[fd12::1]", true),
            ("10.0.0.1:80", "http://10.0.0.1", true),
            ("10.0.0.1:81", "http://10.0.0.1", false),
            ("fd00::1", "http://[fd00::1]", true),
            ("[fd00::1]:80", "http://[fd00::1]", true),
            ("3", "http://10.0.0.3", false),
            (":80,,", "http://loki", false),
        ];
        for (list, url, direct) in table {
            assert_eq!(NoProxy::parse(list).matches(&Url::parse(url).unwrap()), direct, "{list:?} {url}");
        }
        assert!(!NoProxy::nothing().matches(&Url::parse("http://127.0.0.1").unwrap()));
    }
}
