//! `metrics`: derives counters, gauges and histograms from lines.
//! In: extracted values, labels.  Out: series on `/metrics`; the entry is unchanged.  Owns: the families' handles.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Block, Invalid, NOTHING, Node, go_duration};
use crate::metrics::{Family, Kind, Series};
use crate::pipeline::compile::{Compiler, warn_unknown};
use crate::pipeline::entry::{Entry, Symbol, Value};
use crate::pipeline::lane::{Context, MemoryKind};
use crate::pipeline::stages::{Flow, Stage, StageKind};

pub(crate) const KIND: StageKind = StageKind { name: "metrics", build };

/// Prometheus' default buckets.
const DEFAULT_BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Debug)]
struct Metrics {
    metrics: Vec<Metric>,
}

#[derive(Debug)]
struct Metric {
    family: Arc<Family>,
    source: Symbol,
    /// Only lines whose extracted text is this.
    value: Option<String>,
    action: Action,
    /// Where the lane remembers series by label set.
    memory: usize,
    /// Names the series' labels are limited to.
    labels: Option<Vec<String>>,
    unusable: Arc<Series>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Action {
    Inc,
    Dec,
    Add,
    Sub,
    Set,
    Observe,
    /// Counts every line, whatever is extracted.
    CountLine,
    /// Adds up the length of every line.
    CountBytes,
    /// `match_all` with `add` and nothing to add: Promtail accepts it and does nothing.
    Nothing,
}

fn build(options: &Node, compiler: &mut Compiler<'_>) -> Result<Box<dyn Stage>, Invalid> {
    let metrics = options.entries()?.iter().map(|(key, node)| metric(key, node, compiler));
    Ok(Box::new(Metrics { metrics: metrics.collect::<Result<_, _>>()? }))
}

fn metric(key: &Node, node: &Node, compiler: &mut Compiler<'_>) -> Result<Metric, Invalid> {
    let name = key.text()?;
    let block = node.loose_block()?;
    let config_node = block.get("config");
    let kind_node = block.required("type")?;
    let config = config_node.unwrap_or(&NOTHING).loose_block()?;
    let (kind, action) = match kind_node.strict_text()?.to_ascii_lowercase().as_str() {
        "counter" => (Kind::Counter, counter_action(config_node.unwrap_or(node), &config)?),
        "gauge" => (Kind::Gauge, gauge_action(config_node.unwrap_or(node), &config)?),
        "histogram" => (Kind::Histogram(buckets(&config)?), Action::Observe),
        other => {
            let invalid = kind_node.invalid(format!("a metric cannot be of type `{other}`"));
            return Err(invalid.help("use counter, gauge or histogram"));
        }
    };
    let prefix = match block.optional("prefix", Node::strict_text)? {
        None | Some("") => "promtail_custom_",
        Some(prefix) => prefix,
    };
    let full = format!("{prefix}{name}");
    if !is_metric_name(&full) {
        return Err(key.invalid(format!("`{full}` is no metric name")).help("letters, digits, `_` and `:`"));
    }
    let idle = block.optional("max_idle_duration", idle)?;
    let help = block.optional("description", Node::strict_text)?.unwrap_or_default();
    let family = compiler
        .registry()
        .family(&full, help, kind, idle)
        .map_err(|error| key.invalid(error.to_string()))?;
    let source =
        block.optional("source", Node::strict_text)?.filter(|source| !source.is_empty()).unwrap_or(name);
    let value = config.optional("value", Node::strict_text)?.map(str::to_owned);
    let labels = block.optional("labels", |list| list.list_of(|name| Ok(name.text()?.to_owned())))?;
    warn_unknown("metrics", &block);
    warn_unknown("metrics", &config);
    Ok(Metric {
        family,
        source: compiler.symbol(source),
        value,
        action,
        memory: compiler.memory(MemoryKind::Series),
        labels,
        unusable: compiler.own().values_unusable.with("metric", &full),
    })
}

fn counter_action(at: &Node, config: &Block<'_>) -> Result<Action, Invalid> {
    let match_all = config.optional("match_all", Node::boolean)?.unwrap_or(false);
    let count_bytes = config.optional("count_entry_bytes", Node::boolean)?.unwrap_or(false);
    let action = action(at, config, &[("inc", Action::Inc), ("add", Action::Add)])?;
    if match_all && config.get("value").is_some() {
        return Err(at.invalid("`match_all` and `value` cannot be given together"));
    }
    if count_bytes && !(match_all && action == Action::Add) {
        return Err(at.invalid("`count_entry_bytes` needs `match_all: true` and `action: add`"));
    }
    Ok(match (match_all, action) {
        (true, Action::Inc) => Action::CountLine,
        (true, Action::Add) if count_bytes => Action::CountBytes,
        (true, _) => Action::Nothing,
        (false, action) => action,
    })
}

fn gauge_action(at: &Node, config: &Block<'_>) -> Result<Action, Invalid> {
    let known = [
        ("set", Action::Set),
        ("inc", Action::Inc),
        ("dec", Action::Dec),
        ("add", Action::Add),
        ("sub", Action::Sub),
    ];
    action(at, config, &known)
}

fn action(at: &Node, config: &Block<'_>, known: &[(&str, Action)]) -> Result<Action, Invalid> {
    let names = || known.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let Some(node) = config.get("action") else {
        return Err(at.invalid("`config` needs an `action`").help(format!("one of {}", names())));
    };
    let given = node.strict_text()?.to_ascii_lowercase();
    let found = known.iter().find(|(name, _)| *name == given).map(|(_, action)| *action);
    found.ok_or_else(|| {
        node.invalid(format!("`action` cannot be `{given}`")).help(format!("one of {}", names()))
    })
}

fn buckets(config: &Block<'_>) -> Result<Vec<f64>, Invalid> {
    let Some(node) = config.get("buckets") else { return Ok(DEFAULT_BUCKETS.to_vec()) };
    let mut bounds = node.list_of(Node::number)?;
    if bounds.is_empty() {
        bounds = DEFAULT_BUCKETS.to_vec();
    }
    if bounds.is_sorted_by(|a, b| a < b) {
        Ok(bounds)
    } else {
        Err(node.invalid("`buckets` must be in increasing order"))
    }
}

fn idle(node: &Node) -> Result<Duration, Invalid> {
    let idle = node.duration()?;
    if idle < Duration::from_secs(1) {
        return Err(node.invalid("`max_idle_duration` must be at least 1s"));
    }
    Ok(idle)
}

fn is_metric_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':'))
}

impl Metric {
    fn update(&self, entry: &mut Entry, context: &mut Context<'_>) {
        let Some(amount) = self.amount(entry) else { return };
        // A negative step would make a counter go down, which Prometheus reads as a restart (Promtail panics).
        // One value that is not finite would stay in the sum for good.
        if !amount.is_finite() || (self.family.kind == Kind::Counter && amount < 0.0) {
            return self.unusable.add(1.0);
        }
        loop {
            let series = self.series(entry, context);
            match (&self.family.kind, self.action) {
                (Kind::Histogram(bounds), _) => series.observe(amount, bounds),
                (_, Action::Set) => series.set(amount),
                _ => series.add(amount),
            }
            if series.touch(context.now) {
                return;
            }
            // It expired between lookup and update; nobody will see that update, so make it again on a new one.
            context.remember_series(self.memory, self.family.series(self.pairs(entry, context)));
        }
    }

    /// How much to add, set or observe; `None` when this line does not count.
    fn amount(&self, entry: &mut Entry) -> Option<f64> {
        match self.action {
            Action::CountLine => return Some(1.0),
            Action::CountBytes => return Some(entry.line_bytes().len() as f64),
            Action::Nothing => return None,
            _ => {}
        }
        let found = entry.extracted(self.source);
        if found == Value::Absent {
            return None;
        }
        if let Some(wanted) = &self.value {
            let span = entry.text(self.source)?;
            if entry.bytes(span) != wanted.as_bytes() {
                return None;
            }
        }
        let number = match self.action {
            Action::Inc => return Some(1.0),
            Action::Dec => return Some(-1.0),
            _ => number(entry, found),
        };
        if number.is_none() && found != Value::Null {
            self.unusable.add(1.0);
        }
        if self.action == Action::Sub { number.map(|number| -number) } else { number }
    }

    fn series(&self, entry: &Entry, context: &mut Context<'_>) -> Arc<Series> {
        if let Some(series) = context.recall_series(self.memory, entry) {
            return series;
        }
        let series = self.family.series(self.pairs(entry, context));
        context.remember_series(self.memory, series.clone());
        series
    }

    fn pairs(&self, entry: &Entry, context: &Context<'_>) -> Vec<(String, String)> {
        let labels = context.labels(entry);
        let wanted = |name: &str| match &self.labels {
            Some(names) => names.iter().any(|wanted| wanted == name),
            None => !name.starts_with("__"),
        };
        let pairs = labels.iter().filter(|(name, _)| wanted(name));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

/// A value as a number: numbers as they are, booleans as 1 and 0, texts as a float or else a Go duration in seconds.
fn number(entry: &Entry, value: Value) -> Option<f64> {
    match value {
        Value::Absent | Value::Null => None,
        Value::Bool(value) => Some(f64::from(u8::from(value))),
        Value::Number(number) => Some(number),
        Value::Text(span) => {
            let text = std::str::from_utf8(entry.bytes(span)).ok()?;
            let seconds = || match text.strip_prefix('-') {
                Some(positive) => go_duration(positive).map(|duration| -duration.as_secs_f64()),
                None => go_duration(text).map(|duration| duration.as_secs_f64()),
            };
            text.parse().ok().or_else(seconds)
        }
    }
}

impl Stage for Metrics {
    fn apply<'s>(&'s self, entry: &mut Entry, context: &mut Context<'_>) -> Flow<'s> {
        for metric in &self.metrics {
            metric.update(entry, context);
        }
        Flow::Continue
    }
}
