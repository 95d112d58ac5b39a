//! The agent's own log on standard error.
//! In: events.  Out: one line each, in logfmt or JSON.  Owns: level and format; both change once the configuration is
//! read.

use std::fmt::{self, Debug, Write as _};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::agent::{LogFormat, LogLevel};
use crate::clock;
use crate::record::UnixNanos;

/// What is logged, and how.
pub(super) struct Log {
    level: reload::Handle<LevelFilter, tracing_subscriber::Registry>,
    json: Arc<AtomicBool>,
}

impl Log {
    /// Logs from now on, at `info`.
    pub(super) fn start(format: LogFormat) -> Log {
        let json = Arc::new(AtomicBool::new(format == LogFormat::Json));
        let (filter, level) = reload::Layer::new(LevelFilter::INFO);
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(io::stderr)
            .with_ansi(false)
            .event_format(Lines { json: json.clone() });
        // Fails only when logging was started before, as in tests that run the program in-process.
        drop(tracing_subscriber::registry().with(filter).with(lines).try_init());
        Log { level, json }
    }

    /// Does as the configuration says.
    pub(super) fn set(&self, level: LevelFilter, format: LogFormat) {
        self.json.store(format == LogFormat::Json, Ordering::Relaxed);
        self.set_level(level);
    }
}

impl LogLevel for Log {
    fn level(&self) -> LevelFilter {
        // It is gone only when logging is.
        self.level.with_current(|level| *level).unwrap_or(LevelFilter::OFF)
    }

    fn set_level(&self, level: LevelFilter) {
        drop(self.level.modify(|filter| *filter = level));
    }
}

/// Writes events as lines.
struct Lines {
    json: Arc<AtomicBool>,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        let mut line = Line { time: clock::now(), level, message: String::new(), fields: Vec::new() };
        event.record(&mut line);
        let text = if self.json.load(Ordering::Relaxed) { line.json() } else { line.logfmt() };
        writer.write_str(&text)
    }
}

/// An event, before it is written.
struct Line {
    time: UnixNanos,
    level: String,
    message: String,
    fields: Vec<(&'static str, Value)>,
}

enum Value {
    Text(String),
    /// A number or boolean, written the same in every format.
    Bare(String),
}

impl Line {
    /// As Go's logfmt encoder would write it.
    fn logfmt(&self) -> String {
        let mut text = format!("ts={} level={} msg=", time(self.time), self.level);
        logfmt_value(&self.message, &mut text);
        for (name, value) in &self.fields {
            text.push(' ');
            text.push_str(name);
            text.push('=');
            match value {
                Value::Text(value) => logfmt_value(value, &mut text),
                Value::Bare(value) => text.push_str(value),
            }
        }
        text.push('\n');
        text
    }

    fn json(&self) -> String {
        let mut text = format!("{{\"ts\":\"{}\",\"level\":\"{}\",\"msg\":", time(self.time), self.level);
        quoted(&self.message, &mut text);
        for (name, value) in &self.fields {
            text.push(',');
            quoted(name, &mut text);
            text.push(':');
            match value {
                Value::Text(value) => quoted(value, &mut text),
                Value::Bare(value) => text.push_str(value),
            }
        }
        text.push_str("}\n");
        text
    }

    fn add(&mut self, field: &Field, value: Value) {
        // Fields named like a keyword of Rust are written `r#type`.
        let name = field.name().trim_start_matches("r#");
        match value {
            Value::Text(text) | Value::Bare(text) if name == "message" => self.message = text,
            value => self.fields.push((name, value)),
        }
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, Value::Text(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, Value::Text(value.to_owned()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, Value::Bare(value.to_string()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, Value::Bare(value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, Value::Bare(value.to_string()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        let text = value.to_string();
        // JSON has no word for the others.
        self.add(field, if value.is_finite() { Value::Bare(text) } else { Value::Text(text) });
    }
}

fn time(time: UnixNanos) -> String {
    // Every number of nanoseconds is within the calendar's range.
    let timestamp = jiff::Timestamp::from_nanosecond(time.0.into()).unwrap_or_default();
    timestamp.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// A value of logfmt, in quotes where Go's encoder sets them, and where a terminal could be told something.
fn logfmt_value(value: &str, text: &mut String) {
    let telling = |c: char| c <= ' ' || matches!(c, '=' | '"' | char::REPLACEMENT_CHARACTER) || is_escaped(c);
    if value == "null" || value.contains(telling) {
        quoted(value, text);
    } else {
        text.push_str(value);
    }
}

/// A text in quotes, the same in both formats.
fn quoted(value: &str, text: &mut String) {
    text.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if is_escaped(c) => drop(write!(text, "\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text.push('"');
}

/// What ends a line somewhere, or moves a terminal's cursor. All of these have four hexadecimal digits at most.
fn is_escaped(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests;
