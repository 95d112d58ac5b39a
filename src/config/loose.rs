//! Scalars as yaml.v2 resolves them, and as the stages take them whose options Promtail decodes loosely.
//! In: a scalar.  Out: text, booleans, numbers.  Owns: nothing.

use std::borrow::Cow;
use std::time::Duration;

use crate::config::diagnostic::Invalid;
use crate::config::yaml::{Node, Value};

impl Node {
    /// A text in a stage that Promtail reads loosely: a boolean is 1 or 0, a number is written as Go does.
    pub(crate) fn loose_text(&self) -> Result<Cow<'_, str>, Invalid> {
        let text = self.text()?;
        if !matches!(self.value, Value::Scalar { plain: true, .. }) {
            return Ok(text.into());
        }
        Ok(match (yaml_bool(text), yaml_number(text)) {
            (Some(given), _) => if given { "1" } else { "0" }.into(),
            (_, Some(Number::Whole(number))) => number.to_string().into(),
            (_, Some(Number::Float(number))) => number.to_string().into(),
            _ => text.into(),
        })
    }

    /// A boolean in a stage that Promtail reads loosely: also a number, or a text that Go takes for one.
    pub(crate) fn loose_boolean(&self) -> Result<bool, Invalid> {
        let text = self.scalar().ok_or_else(|| self.expected("true or false"))?;
        let plain = matches!(self.value, Value::Scalar { plain: true, .. });
        match (yaml_bool(text), yaml_number(text), text) {
            (Some(given), _, _) if plain => Ok(given),
            (_, Some(number), _) if plain => Ok(number.float() != 0.0),
            (_, _, "1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
            (_, _, "0" | "f" | "F" | "false" | "FALSE" | "False" | "") => Ok(false),
            _ => Err(self.expected("true or false")),
        }
    }

    /// A whole number in a stage that Promtail reads loosely: fractions are cut off, a boolean is 1 or 0.
    pub(crate) fn loose_count(&self) -> Result<u64, Invalid> {
        let plain = matches!(self.value, Value::Scalar { plain: true, .. });
        let read = |text: &str| match (yaml_bool(text), yaml_number(text)) {
            (Some(given), _) if plain => Some(u64::from(given)),
            (_, Some(Number::Whole(number))) => u64::try_from(number).ok(),
            (_, Some(Number::Float(number))) if plain && number >= 0.0 => Some(number as u64),
            _ => None,
        };
        self.scalar().and_then(read).ok_or_else(|| self.expected("a whole number"))
    }

    /// A Go duration with its unit, where Promtail hands a text to Go's own parser.
    pub(crate) fn duration_with_unit(&self) -> Result<Duration, Invalid> {
        match self.scalar().and_then(|text| text.parse::<u64>().ok()) {
            Some(number) if number > 0 => {
                Err(self.expected("a duration with a unit, such as 500ms or 1h30m"))
            }
            _ => self.duration(),
        }
    }
}

/// The booleans of YAML 1.1, which Promtail's decoder follows.
pub(super) fn yaml_bool(text: &str) -> Option<bool> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// A number as yaml.v2 reads it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Whole(i128),
    Float(f64),
}

impl Number {
    fn float(self) -> f64 {
        match self {
            Number::Whole(number) => number as f64,
            Number::Float(number) => number,
        }
    }
}

/// The number that unquoted text is: with `_` between digits, in the bases that Go knows, or a fraction.
pub(super) fn yaml_number(text: &str) -> Option<Number> {
    let plain = text.replace('_', "");
    let unsigned = plain.strip_prefix(['+', '-']).unwrap_or(&plain);
    if !unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    let lower = unsigned.to_ascii_lowercase();
    let (digits, base) = match lower.as_bytes() {
        [b'0', b'x', ..] => (&lower[2..], 16),
        [b'0', b'o', ..] => (&lower[2..], 8),
        [b'0', b'b', ..] => (&lower[2..], 2),
        [b'0', _, ..] => (&lower[1..], 8),
        _ => (&lower[..], 10),
    };
    let sign = if plain.starts_with('-') { -1 } else { 1 };
    let whole = digits.bytes().all(|digit| digit.is_ascii_alphanumeric());
    if whole && let Ok(number) = u64::from_str_radix(digits, base) {
        return Some(Number::Whole(sign * i128::from(number)));
    }
    match lower.as_str() {
        ".inf" => return Some(Number::Float(f64::from(sign as i8) * f64::INFINITY)),
        ".nan" => return Some(Number::Float(f64::NAN)),
        _ => {}
    }
    let is_float = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    is_float.then(|| plain.parse().ok().map(Number::Float)).flatten()
}

#[cfg(test)]
mod tests {
    use crate::config::yaml::parse;

    #[test]
    fn loose_stages_take_what_go_makes_of_a_scalar() {
        let node = parse("[yes, no, 007, 1.50, '007', plain, 1_000, '0x10', '', 2.9]").unwrap();
        let list = node.list().unwrap();
        let texts: Vec<_> = list.iter().map(|item| item.loose_text().unwrap()).collect();
        assert_eq!(texts, ["1", "0", "7", "1.5", "007", "plain", "1000", "0x10", "", "2.9"]);
        let counts: Vec<_> = list.iter().map(|item| item.loose_count().ok()).collect();
        let expected =
            [Some(1), Some(0), Some(7), Some(1), Some(7), None, Some(1000), Some(16), None, Some(2)];
        assert_eq!(counts, expected);
        let node = parse("['true', 'F', 1, 0, on, '', 'yes', 't', []]").unwrap();
        let booleans: Vec<_> = node.list().unwrap().iter().map(|item| item.loose_boolean().ok()).collect();
        let [yes, no] = [Some(true), Some(false)];
        assert_eq!(booleans, [yes, no, yes, no, yes, no, None, yes, None]);
    }
}
