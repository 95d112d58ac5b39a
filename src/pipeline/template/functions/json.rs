//! JSON in and out, as Go's `encoding/json` has it.
//! In: texts and values.  Out: values and texts.  Owns: nothing.

use serde_json::Value as Json;

use super::super::call::{Call, Outcome, Row, new_dict, new_list, row};
use super::super::error::Problem;
use super::super::float;
use super::super::limits::{Budget, Sink, VALUE_DEPTH_LIMIT, build};
use super::super::value::{Element, Entries, Value};
use super::dates;

pub(super) const ROWS: &[Row] = &[
    row("fromJson", "s", |call| Ok(decode(call)?.unwrap_or(Value::Nil))),
    row("mustFromJson", "s", |call| match decode(call)? {
        Some(value) => Ok(value),
        None => call.fail("the text is not JSON"),
    }),
    row("toJson", "a", |call| encode(call, Style { html: true, indented: false }, false)),
    row("mustToJson", "a", |call| encode(call, Style { html: true, indented: false }, true)),
    row("toPrettyJson", "a", |call| encode(call, Style { html: true, indented: true }, false)),
    row("mustToPrettyJson", "a", |call| encode(call, Style { html: true, indented: true }, true)),
    row("toRawJson", "a", |call| encode(call, Style { html: false, indented: false }, false)),
    row("mustToRawJson", "a", |call| encode(call, Style { html: false, indented: false }, true)),
];

/// Nothing where the text is no JSON.
fn decode<'a>(call: &mut Call<'_, 'a>) -> Result<Option<Value<'a>>, Problem> {
    match serde_json::from_str::<Json>(call.text(0)) {
        Ok(json) => value(call.budget, json).map(Some),
        Err(_) => Ok(None),
    }
}

/// Numbers are float64, as they are in Go when the target has no type.
fn value<'a>(budget: &mut Budget<'a>, json: Json) -> Outcome<'a> {
    budget.step(1)?;
    Ok(match json {
        Json::Null => Value::Nil,
        Json::Bool(truth) => Value::Bool(truth),
        Json::Number(number) => Value::Float(number.as_f64().unwrap_or(0.0)),
        Json::String(text) => {
            budget.made(text.len())?;
            Value::text(text)
        }
        Json::Array(array) => {
            let mut items = Vec::new();
            for item in array {
                items.push(value(budget, item)?);
            }
            new_list(budget, Element::Any, items)?
        }
        Json::Object(object) => {
            let mut entries = Entries::new();
            for (key, item) in object {
                entries.insert(key, value(budget, item)?);
            }
            new_dict(budget, Element::Any, entries)?
        }
    })
}

#[derive(Clone, Copy)]
struct Style {
    /// `<`, `>` and `&` are escaped.
    html: bool,
    indented: bool,
}

/// What has no JSON, such as an infinity, gives the empty text, or an error from the `must` forms.
fn encode<'a>(call: &Call<'_, 'a>, style: Style, must: bool) -> Outcome<'a> {
    let mut representable = true;
    let text = build(|sink| {
        let mut encoder = Encoder { sink, style, representable: true };
        encoder.value(call.value(0), 0)?;
        representable = encoder.representable;
        Ok(())
    })?;
    match (representable, must) {
        (true, _) => Ok(Value::text(text)),
        (false, false) => Ok(Value::text("")),
        (false, true) => call.fail("the value has no JSON form"),
    }
}

struct Encoder<'e, 'o> {
    sink: &'e mut Sink<'o>,
    style: Style,
    representable: bool,
}

impl Encoder<'_, '_> {
    fn value(&mut self, value: &Value<'_>, depth: usize) -> Result<(), Problem> {
        if depth > VALUE_DEPTH_LIMIT {
            return Err(Problem::Limit { what: "values in each other", limit: VALUE_DEPTH_LIMIT });
        }
        match value {
            // The data of the line arrives as a dict.
            Value::Nil | Value::Root(_) => self.sink.push_str("null"),
            Value::Bool(truth) => self.sink.push_str(if *truth { "true" } else { "false" }),
            Value::Int(number, _) => self.sink.write(format_args!("{number}")),
            Value::Float(number) => self.float(*number),
            Value::Text(text) => self.text(text),
            Value::Time(time) => self.text(&dates::rfc3339(time)),
            Value::Version(version) => self.text(&version.to_string()),
            Value::List(list) => {
                self.sink.push('[')?;
                for (at, item) in list.items.iter().enumerate() {
                    self.before_item(at, depth + 1)?;
                    self.value(item, depth + 1)?;
                }
                self.close(']', list.items.is_empty(), depth)
            }
            Value::Dict(dict) => {
                let entries = dict.entries.borrow();
                self.sink.push('{')?;
                for (at, (key, item)) in entries.iter().enumerate() {
                    self.before_item(at, depth + 1)?;
                    self.text(key)?;
                    self.sink.push_str(if self.style.indented { ": " } else { ":" })?;
                    self.value(item, depth + 1)?;
                }
                self.close('}', entries.is_empty(), depth)
            }
        }
    }

    fn before_item(&mut self, at: usize, depth: usize) -> Result<(), Problem> {
        if at > 0 {
            self.sink.push(',')?;
        }
        self.line(depth)
    }

    fn close(&mut self, bracket: char, is_empty: bool, depth: usize) -> Result<(), Problem> {
        if !is_empty {
            self.line(depth)?;
        }
        self.sink.push(bracket)
    }

    fn line(&mut self, depth: usize) -> Result<(), Problem> {
        if self.style.indented {
            self.sink.push('\n')?;
            self.sink.push_times(' ', 2 * depth)?;
        }
        Ok(())
    }

    /// As in JavaScript: no exponent between 1e-6 and 1e21.
    fn float(&mut self, number: f64) -> Result<(), Problem> {
        if !number.is_finite() {
            self.representable = false;
            return Ok(());
        }
        let magnitude = number.abs();
        if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
            let text = float::format(number, 'e', None);
            return self.sink.push_str(&text.replace("e-0", "e-"));
        }
        self.sink.push_str(&float::format(number, 'f', None))
    }

    fn text(&mut self, text: &str) -> Result<(), Problem> {
        self.sink.push('"')?;
        for character in text.chars() {
            match character {
                '"' | '\\' => {
                    self.sink.push('\\')?;
                    self.sink.push(character)?;
                }
                '\n' => self.sink.push_str("\\n")?,
                '\r' => self.sink.push_str("\\r")?,
                '\t' => self.sink.push_str("\\t")?,
                '\u{8}' => self.sink.push_str("\\b")?,
                '\u{c}' => self.sink.push_str("\\f")?,
                '<' | '>' | '&' if !self.style.html => self.sink.push(character)?,
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..' ' => {
                    self.sink.write(format_args!("\\u{:04x}", u32::from(character)))?;
                }
                _ => self.sink.push(character)?,
            }
        }
        self.sink.push('"')
    }
}
