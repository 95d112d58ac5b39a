//! A line of the agent's own log.
//! In: an event.  Out: logfmt or JSON.  Owns: nothing.

use std::fmt::{Debug, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::record::UnixNanos;

/// An event, before it is written.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) time: UnixNanos,
    pub(super) level: Level,
    pub(super) message: String,
    pub(super) fields: Vec<(&'static str, Value)>,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    /// A number or boolean, written the same in every format.
    Bare(String),
}

/// A level as it is written.
pub(super) fn name_of(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

impl Line {
    pub(super) fn of(event: &Event<'_>, time: UnixNanos) -> Line {
        let level = *event.metadata().level();
        let mut line = Line { time, level, message: String::new(), fields: Vec::new() };
        event.record(&mut line);
        line
    }

    /// As Go's logfmt encoder would write it.
    pub(super) fn logfmt(&self) -> String {
        let mut text = format!("ts={} level={} msg=", time(self.time), name_of(self.level));
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

    pub(super) fn json(&self) -> String {
        let (time, level) = (time(self.time), name_of(self.level));
        let mut text = format!("{{\"ts\":\"{time}\",\"level\":\"{level}\",\"msg\":");
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
        let name = name(field);
        match value {
            Value::Text(text) | Value::Bare(text) if name == "message" => self.message = text,
            value => self.fields.push((name, value)),
        }
    }
}

/// Fields named like a keyword of Rust are written `r#type`.
pub(super) fn name(field: &Field) -> &'static str {
    field.name().trim_start_matches("r#")
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

/// A time as it is written.
pub(super) fn time(time: UnixNanos) -> String {
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
