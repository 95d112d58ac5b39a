//! `metrics`: derives counters, gauges and histograms from lines.
//! In: extracted values, labels.  Out: series on `/metrics`; the entry is unchanged.  Owns: the families' handles.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Block, Invalid, Kind, NOTHING, Node, Table, go_duration, row};
use crate::metrics::{Changes, Family, Kind as Measure, Series};
use crate::pipeline::compile::Compiler;
use crate::pipeline::entry::{Entry, Symbol, Value};
use crate::pipeline::lane::{Context, MemoryKind};
use crate::pipeline::stages::{Flow, Options, Stage, StageKind};
use crate::record::UnixNanos;

pub(crate) const KIND: StageKind = StageKind {
    name: "metrics",
    about: "Derives counters, gauges and histograms",
    options: Options::Each(&METRIC),
    build,
};

/// Options of each metric.
static METRIC: Table = Table(&[
    row("type", Kind::Text, "", "Required: `counter`, `gauge` or `histogram`"),
    row("description", Kind::Text, "", "Help text on /metrics"),
    row("source", Kind::Text, "the name", "Extracted value to measure"),
    row("prefix", Kind::Text, "promtail_custom_", "What the name on /metrics begins with"),
    row(
        "max_idle_duration",
        Kind::Duration,
        "",
        "Time after which a series that no line updates disappears; at least 1s",
    ),
    row("labels", Kind::Texts, "all", "Labels the series have (an addition to Promtail's options)"),
    row(
        "series",
        Kind::Any,
        "[]",
        "Label sets that are there from the start, at 0, so that `increase()` sees the first line (an addition)",
    ),
    row(
        "max_series",
        Kind::Count,
        "1000",
        "Label sets it may have; what is above that counts together under `overflow=\"true\"` (an addition)",
    ),
    row("config", Kind::Block(&CONFIG), "", "What to do with the value"),
]);

static CONFIG: Table = Table(&[
    row("action", Kind::Text, "", "Counters: `inc`, `add`; gauges: `set`, `inc`, `dec`, `add`, `sub`"),
    row("value", Kind::Text, "", "Only lines whose extracted text is this"),
    row("match_all", Kind::Boolean, "false", "Counters: every line, whatever is extracted"),
    row(
        "count_entry_bytes",
        Kind::Boolean,
        "false",
        "Counters that add and match all: the length of the line",
    ),
    row("buckets", Kind::Any, "Prometheus' default", "Histograms: bounds, in increasing order"),
]);

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

fn build(options: &Node, compiler: &mut Compiler<'_>) -> Result<(), Invalid> {
    let metrics = options.entries()?.iter().map(|(key, node)| metric(key, node, compiler));
    let metrics = metrics.collect::<Result<_, _>>()?;
    compiler.add(Metrics { metrics });
    Ok(())
}

fn metric(key: &Node, node: &Node, compiler: &mut Compiler<'_>) -> Result<Metric, Invalid> {
    let name = key.strict_text()?;
    let block = node.options(&METRIC)?;
    let config_node = block.get("config");
    let kind_node = block.required("type")?;
    let config = config_node.unwrap_or(&NOTHING).options(&CONFIG)?;
    let (kind, action) = match kind_node.strict_text()?.to_ascii_lowercase().as_str() {
        "counter" => (Measure::Counter, counter_action(config_node.unwrap_or(node), &config)?),
        "gauge" => (Measure::Gauge, gauge_action(config_node.unwrap_or(node), &config)?),
        "histogram" => (Measure::Histogram(buckets(&config)?), Action::Observe),
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
        .derived(&full, help, kind, idle)
        .map_err(|error| key.invalid(error.to_string()))?;
    if let Some(limit) = block.optional("max_series", Node::count)? {
        family.limit_to(usize::try_from(limit).unwrap_or(usize::MAX).max(1));
    }
    for declared in block.optional("series", Node::list)?.unwrap_or_default() {
        family.series(pairs(declared)?);
    }
    let source =
        block.optional("source", Node::strict_text)?.filter(|source| !source.is_empty()).unwrap_or(name);
    let value = config.optional("value", Node::strict_text)?.map(str::to_owned);
    let labels = block.optional("labels", |list| list.list_of(|name| Ok(name.text()?.to_owned())))?;
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

/// A label set, as it is written in the configuration.
fn pairs(node: &Node) -> Result<Vec<(String, String)>, Invalid> {
    let pair = |(name, value): &(Node, Node)| Ok((name.text()?.to_owned(), value.text()?.to_owned()));
    node.entries()?.iter().map(pair).collect()
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
    let mut bounds = node.list_of(bound)?;
    if bounds.is_empty() {
        bounds = DEFAULT_BUCKETS.to_vec();
    }
    if bounds.is_sorted_by(|a, b| a < b) {
        Ok(bounds)
    } else {
        Err(node.invalid("`buckets` must be in increasing order"))
    }
}

/// A number without quotes: Promtail refuses a text here.
fn bound(node: &Node) -> Result<f64, Invalid> {
    match node.number() {
        Ok(_) if node.strict_text().is_ok() => Err(node.invalid("expected a number, found a text")),
        read => read,
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
        let Some(amount) = self.amount(entry, context) else { return };
        // A negative step would make a counter go down, which Prometheus reads as a restart (Promtail panics).
        // One value that is not finite would stay in the sum for good.
        if !amount.is_finite() || (self.family.kind == Measure::Counter && amount < 0.0) {
            return self.give_up(&amount.to_string(), context);
        }
        let now = context.now;
        if let Some((series, changes)) = context.series(self.memory, entry)
            && self.count(series, amount, now, changes)
        {
            return;
        }
        // The first of its label set, or it expired between lookup and update: nobody will see that update.
        loop {
            let series = self.family.series(self.pairs(entry, context));
            context.remember_series(self.memory, entry, series.clone());
            if self.count(&series, amount, now, context.changes) {
                return;
            }
        }
    }

    /// Updates a series, and what is saved with the position; false where it has expired.
    fn count(&self, series: &Arc<Series>, amount: f64, now: UnixNanos, changes: &mut Changes) -> bool {
        match (&self.family.kind, self.action) {
            (Measure::Histogram(bounds), _) => series.observe(amount, bounds),
            (_, Action::Set) => series.set(amount),
            _ => series.add(amount),
        }
        if !series.touch(now) {
            return false;
        }
        match (&self.family.kind, self.action) {
            (Measure::Histogram(bounds), _) => changes.observe(series, amount, bounds),
            (_, Action::Set) => changes.set(series, amount),
            _ => changes.add(series, amount),
        }
        true
    }

    fn give_up(&self, value: &str, context: &mut Context<'_>) {
        self.unusable.add(1.0);
        context.fail_with("a value is of no use to its metric", || {
            format!("{value:?} is of no use to {}", self.family.name)
        });
    }

    /// How much to add, set or observe; `None` when this line does not count.
    fn amount(&self, entry: &mut Entry, context: &mut Context<'_>) -> Option<f64> {
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
            let text = entry.text(self.source).map(|span| String::from_utf8_lossy(entry.bytes(span)));
            self.give_up(&text.unwrap_or_default(), context);
        }
        if self.action == Action::Sub { number.map(|number| -number) } else { number }
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
