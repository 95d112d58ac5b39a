//! What makes Loki keep the hot tier, by the same rules.
//! In: tiers and rules.  Out: a part of Loki's configuration.  Owns: nothing.

use std::time::Duration;

use crate::retention::tiers::{Rule, Settings, shown};

/// Loki takes no shorter period.
const SHORTEST: Duration = Duration::from_secs(24 * 3600);

/// YAML for Loki; `None` where no tier is Loki's.
pub(crate) fn loki_retention(settings: &Settings) -> Option<String> {
    let hot = settings.tiers.iter().rfind(|tier| tier.store.is_none())?;
    let mut yaml = format!(
        "# Makes Loki keep the tier `{}` of tailwater's `retention`, and delete what is older. Loki's index needs a period of 24h\n\
         # (schema_config), and delete_request_store names one of its stores, such as s3. It is not applied to lines of before.\n\
         limits_config:\n  retention_period: {}\n",
        hot.name,
        period(hot.until, hot.until)
    );
    if !settings.rules.is_empty() {
        yaml.push_str(
            "  # Of those that match a stream the highest priority counts, here as there the first rule.\n",
        );
        yaml.push_str("  retention_stream:\n");
    }
    for (index, Rule { text, until, .. }) in settings.rules.iter().enumerate() {
        let (selector, priority) = (quoted(text), settings.rules.len() - index);
        let period = period(*until, hot.until);
        yaml += &format!("    - selector: {selector}\n      priority: {priority}\n      period: {period}\n");
    }
    yaml.push_str("compactor:\n  retention_enabled: true\n  delete_request_store: filesystem\n");
    Some(yaml)
}

/// How long Loki keeps it, and why not for as long as was asked.
fn period(until: Duration, hot: Duration) -> String {
    if until.is_zero() {
        return format!("{}  # 0 means: not archived", shown(hot.max(SHORTEST)));
    }
    if until.min(hot) < SHORTEST {
        return format!("{}  # not {}: Loki takes no less", shown(SHORTEST), shown(until));
    }
    if until > hot {
        return format!("{}  # then it is in the archive alone, up to {}", shown(hot), shown(until));
    }
    shown(until)
}

/// A scalar of YAML.
fn quoted(text: &str) -> String {
    if text.chars().any(char::is_control) {
        // What JSON calls a string YAML does, too.
        return serde_json::Value::from(text).to_string();
    }
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_yaml;
    use crate::pipeline::Selector;
    use crate::retention::archive::crashes::settings;
    use crate::retention::tiers::{Location, Tier};

    fn of(hot: Option<u64>, rules: &[(&str, u64)]) -> Option<String> {
        let hours = |hours| Duration::from_secs(hours * 3600);
        let warm = Location::Directory("/warm".into());
        let mut settings = std::sync::Arc::into_inner(settings(&warm, 0)).unwrap();
        let hot = hot.map(|hot| Tier { name: "hot".into(), until: hours(hot), store: None });
        settings.tiers.splice(0..0, hot);
        settings.rules = rules
            .iter()
            .map(|(text, until)| Rule {
                streams: Selector::parse(text).unwrap(),
                text: (*text).to_owned(),
                until: hours(*until),
            })
            .collect();
        loki_retention(&settings)
    }

    #[test]
    fn loki_gets_the_hot_tier_and_the_rules_in_their_order() {
        let rules = [
            ("{level=\"ERROR\"}", 365 * 24),
            ("{app=\"it's\"}", 36),
            ("{app=\"a\\\\b\",\n level=~\"D.*\"}", 1),
            ("{level=\"TRACE\"}", 0),
        ];
        let yaml = of(Some(720), &rules).unwrap();
        let wanted = r#"limits_config:
  retention_period: 30d
  # Of those that match a stream the highest priority counts, here as there the first rule.
  retention_stream:
    - selector: '{level="ERROR"}'
      priority: 4
      period: 30d  # then it is in the archive alone, up to 365d
    - selector: '{app="it''s"}'
      priority: 3
      period: 36h
    - selector: "{app=\"a\\\\b\",\n level=~\"D.*\"}"
      priority: 2
      period: 1d  # not 1h: Loki takes no less
    - selector: '{level="TRACE"}'
      priority: 1
      period: 30d  # 0 means: not archived
compactor:
  retention_enabled: true
  delete_request_store: filesystem
"#;
        assert_eq!(yaml.lines().skip(2).collect::<Vec<_>>(), wanted.lines().collect::<Vec<_>>());
        assert!(yaml.starts_with("# Makes Loki keep the tier `hot`"));
        parse_yaml(&yaml).unwrap();
    }

    #[test]
    fn without_rules_there_are_no_streams_and_without_a_hot_tier_there_is_nothing_to_say() {
        let yaml = of(Some(1), &[]).unwrap();
        assert!(
            yaml.contains("  retention_period: 1d  # not 1h: Loki takes no less\ncompactor:\n"),
            "{yaml}"
        );
        assert_eq!(of(None, &[]), None);
    }
}
