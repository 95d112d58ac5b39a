//! Durations and sizes as Promtail's configuration writes them.
//! In: text.  Out: values, `None` where the text is no such thing.  Owns: nothing.

use std::time::Duration;

/// Go's `time.ParseDuration` (`1h30m`, `1.5s`, `300ms`), or a bare whole number of nanoseconds as yaml.v2 reads it.
/// Negative durations make no sense in any option and are refused.
pub(crate) fn go_duration(text: &str) -> Option<Duration> {
    if let Ok(nanos) = text.parse::<u64>() {
        return Some(Duration::from_nanos(nanos));
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut nanos: f64 = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let scale = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        nanos += number.parse::<f64>().ok()? * scale;
        rest = after;
    }
    // Above 292 years Go overflows.
    (!text.is_empty() && nanos <= i64::MAX as f64).then(|| Duration::from_nanos(nanos.round() as u64))
}

/// Prometheus' durations: digits and unit, units descending (`1h30m`, `1d`, `2w`).
pub(crate) fn prometheus_duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 7] = [
        ("y", 365 * 24 * 3600 * 1000),
        ("w", 7 * 24 * 3600 * 1000),
        ("d", 24 * 3600 * 1000),
        ("h", 3600 * 1000),
        ("m", 60 * 1000),
        ("s", 1000),
        ("ms", 1),
    ];
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut millis, mut next) = (text, 0u64, 0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|digits| *digits > 0)?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let index = next + UNITS[next..].iter().position(|(name, _)| *name == unit)?;
        millis = millis.checked_add(number.parse::<u64>().ok()?.checked_mul(UNITS[index].1)?)?;
        next = index + 1;
        rest = after;
    }
    (!text.is_empty()).then(|| Duration::from_millis(millis))
}

/// Promtail's byte sizes: a whole number with an optional unit in any case, powers of 1024.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let power = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" => 1,
        "m" | "mb" => 2,
        "g" | "gb" => 3,
        "t" | "tb" => 4,
        "p" | "pb" => 5,
        "e" | "eb" => 6,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1024u64.pow(power))
}

/// A duration as Go writes it: `1h30m0s`, `1.5s`, `500ms`, `5ns`.
pub(crate) fn show_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let decimal = |unit: u128, name: &str| {
        let fraction = format!("{:0width$}", nanos % unit, width = unit.ilog10() as usize);
        match fraction.trim_end_matches('0') {
            "" => format!("{}{name}", nanos / unit),
            digits => format!("{}.{digits}{name}", nanos / unit),
        }
    };
    match duration.as_secs() {
        0 if nanos == 0 => "0s".to_owned(),
        0 if nanos < 1_000 => format!("{nanos}ns"),
        0 if nanos < 1_000_000 => decimal(1_000, "µs"),
        0 => decimal(1_000_000, "ms"),
        seconds if seconds < 60 => decimal(1_000_000_000, "s"),
        seconds => {
            let rest = show_duration(duration - Duration::from_secs(seconds / 60 * 60));
            // Below a minute Go has smaller units, but not beside minutes.
            let rest = if seconds % 60 == 0 {
                format!("{}s", f64::from(duration.subsec_nanos()) / 1e9)
            } else {
                rest
            };
            match seconds / 3600 {
                0 => format!("{}m{rest}", seconds / 60),
                hours => format!("{hours}h{}m{rest}", seconds / 60 % 60),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations() {
        let millis = |text| go_duration(text).map(|duration| duration.as_millis());
        assert_eq!(millis("1h30m"), Some(5_400_000));
        assert_eq!(millis("1.5s"), Some(1500));
        assert_eq!(millis("300ms"), Some(300));
        assert_eq!(go_duration("5"), Some(Duration::from_nanos(5)));
        for bad in ["", "1d", "s", "1", "-1s", "1 s", "..s", "1e3s"].iter().filter(|text| **text != "1") {
            assert_eq!(go_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations_are_written_as_go_does() {
        for text in
            ["0s", "5ns", "1.5µs", "500ms", "1.25s", "10s", "5m0s", "1h30m0s", "2h0m0.5s", "1m0.000000005s"]
        {
            assert_eq!(show_duration(go_duration(text).unwrap()), text);
        }
    }

    #[test]
    fn prometheus_durations() {
        let seconds = |text| prometheus_duration(text).map(|duration| duration.as_secs());
        assert_eq!(seconds("5s"), Some(5));
        assert_eq!(seconds("1d12h"), Some(129_600));
        assert_eq!(seconds("2w"), Some(1_209_600));
        for bad in ["", "1", "1m1h", "1.5s", "h", "5sec", "99999999999999999y"] {
            assert_eq!(prometheus_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn byte_sizes() {
        assert_eq!(bytes("4096"), Some(4096));
        assert_eq!(bytes("256kb"), Some(262_144));
        assert_eq!(bytes("1MB"), Some(1_048_576));
        for bad in ["", "1KiB", "1.5MB", "MB", "-1", "99999999EB"] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
    }
}
