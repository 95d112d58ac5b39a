//! How what is in an archive is written.
//! In: entries, stocks.  Out: lines.  Owns: nothing.

use std::io::{self, IsTerminal as _, Write};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::retention::{Entry, Stocks, show_time};

/// How an entry is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Time, labels and line, as lines are printed that have nowhere to go.
    Text,
    /// An object a line.
    Json,
    /// The line alone.
    Raw,
    Logfmt,
}

impl Format {
    /// By its name; what is not known is not given.
    pub(super) fn named(name: Option<&str>) -> Format {
        match name {
            Some("json") => Format::Json,
            Some("raw") => Format::Raw,
            Some("logfmt") => Format::Logfmt,
            _ => Format::Text,
        }
    }
}

#[derive(Serialize)]
struct EntryObject<'e> {
    timestamp: String,
    labels: Box<RawValue>,
    line: &'e str,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'e str>,
}

/// Writes one entry.
pub(super) fn entry(entry: &Entry, format: Format, out: &mut impl Write) -> io::Result<()> {
    let line = String::from_utf8_lossy(&entry.line);
    let stream = &entry.stream;
    match format {
        Format::Raw => writeln!(out, "{line}"),
        Format::Json => {
            let raw = |text: &str| RawValue::from_string(text.to_owned());
            let object = EntryObject {
                timestamp: show_time(entry.time),
                labels: raw(&stream.text)?,
                line: &line,
                metadata: entry.metadata.as_deref().map(raw).transpose()?,
                tenant: stream.tenant.as_deref(),
            };
            serde_json::to_writer(&mut *out, &object)?;
            writeln!(out)
        }
        Format::Text => {
            let labels: crate::record::Labels =
                stream.labels.iter().map(|(name, value)| (name, value.as_str())).collect();
            let time = show_time(entry.time);
            writeln!(out, "{time}\t{}\t{}", labels.render(), for_terminal(&line))
        }
        Format::Logfmt => {
            write!(out, "ts={}", show_time(entry.time))?;
            for (name, value) in &stream.labels {
                write!(out, " {name}={}", quoted(value))?;
            }
            writeln!(out, " line={}", quoted(&line))
        }
    }
}

/// A log line must not be able to steer the terminal it is shown on.
fn for_terminal(line: &str) -> String {
    let replaced = |c: char| if c.is_control() && c != '\t' { '\u{fffd}' } else { c };
    if io::stdout().is_terminal() { line.chars().map(replaced).collect() } else { line.to_owned() }
}

/// Quoted where it would not be one word.
fn quoted(value: &str) -> String {
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && !matches!(c, '"' | '=' | '\\');
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    // Texts always can be written.
    serde_json::to_string(value).unwrap_or_default()
}

/// Writes a table.
pub(super) fn stocks(stocks: &Stocks, waiting: u64, out: &mut impl Write) -> io::Result<()> {
    let mut rows: Vec<[String; 6]> =
        vec![["TIER", "DATE", "SERVICE", "OBJECTS", "LINES", "BYTES"].map(str::to_owned)];
    let mut total = [0; 3];
    for ((tier, date, service), stock) in stocks {
        let numbers = [stock.objects, stock.lines, stock.bytes];
        total.iter_mut().zip(numbers).for_each(|(total, number)| *total += number);
        let service = if service.is_empty() { "_" } else { service };
        let [objects, lines, bytes] = numbers.map(|number| number.to_string());
        rows.push([tier.clone(), date.clone(), service.to_owned(), objects, lines, bytes]);
    }
    let [objects, lines, bytes] = total.map(|number| number.to_string());
    rows.push(["total".to_owned(), String::new(), String::new(), objects, lines, bytes]);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    for row in &rows {
        let mut text = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            match column {
                0..3 => text.push_str(&format!("{cell:width$}  ")),
                _ => text.push_str(&format!("{cell:>width$}  ")),
            }
        }
        writeln!(out, "{}", text.trim_end())?;
    }
    writeln!(out, "not sealed yet: {waiting} lines")
}

#[derive(Serialize)]
struct StockObject<'s> {
    tier: &'s str,
    date: &'s str,
    service: &'s str,
    objects: u64,
    lines: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct StocksObject<'s> {
    objects: Vec<StockObject<'s>>,
    unsealed_lines: u64,
}

/// Writes the same as one JSON object.
pub(super) fn stocks_as_json(stocks: &Stocks, waiting: u64, out: &mut impl Write) -> io::Result<()> {
    let objects = stocks.iter().map(|((tier, date, service), stock)| StockObject {
        tier,
        date,
        service,
        objects: stock.objects,
        lines: stock.lines,
        bytes: stock.bytes,
    });
    let all = StocksObject { objects: objects.collect(), unsealed_lines: waiting };
    serde_json::to_writer(&mut *out, &all)?;
    writeln!(out)
}
