//! What may be given to a flag of each kind.
//! In: a row of the table and a text.  Out: the value as the configuration would write it, or what was expected.
//! Owns: nothing.

use crate::cli::flags::{Flag, Kind};
use crate::config::{bytes, go_duration};

/// Checks a value. Booleans come out as `true` or `false`, whole numbers in decimal, all else as given.
pub(super) fn check(flag: &Flag, given: &str) -> Result<String, String> {
    let as_given = |valid: bool, expected: &str| match valid {
        true => Ok(given.to_owned()),
        false => Err(format!("expected {expected}")),
    };
    match flag.kind {
        Kind::Text | Kind::File => Ok(given.to_owned()),
        Kind::Bool => boolean(given).ok_or_else(|| "expected true or false".to_owned()),
        Kind::Number => whole_number(given).ok_or_else(|| "expected a whole number".to_owned()),
        Kind::Decimal => as_given(given.parse::<f64>().is_ok_and(f64::is_finite), "a number"),
        Kind::Duration => duration(given),
        Kind::Bytes => as_given(bytes(given).is_some(), "a size such as 4096, 256kb or 1mb"),
        Kind::Labels => external_labels(given).map(|_| given.to_owned()),
        // Giving nothing is leaving it out, where there is no default.
        Kind::OneOf(values) => as_given(
            values.contains(&given) || given.is_empty() && flag.default.is_empty(),
            &format!("one of {}", values.join(", ")),
        ),
    }
}

fn boolean(given: &str) -> Option<String> {
    match given {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some("true".to_owned()),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some("false".to_owned()),
        _ => None,
    }
}

/// A whole number as in Go source: signs, `0x`, `0o`, `0b`, a leading `0` for octal, underscores between digits.
fn whole_number(given: &str) -> Option<String> {
    let unsigned = given.strip_prefix(['+', '-']).unwrap_or(given);
    let lower = unsigned.to_ascii_lowercase();
    let (radix, digits, after_prefix) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..], true),
        Some("0o") => (8, &lower[2..], true),
        Some("0b") => (2, &lower[2..], true),
        Some(two) if two.starts_with('0') => (8, &lower[1..], true),
        _ => (10, lower.as_str(), false),
    };
    let misplaced =
        digits.contains("__") || digits.ends_with('_') || digits.starts_with('_') && !after_prefix;
    if misplaced || digits.starts_with(['+', '-']) {
        return None;
    }
    let size = i128::from(u64::from_str_radix(&digits.replace('_', ""), radix).ok()?);
    let number = if given.starts_with('-') { -size } else { size };
    i64::try_from(number).ok().map(|number| number.to_string())
}

/// A duration of Go. A number needs its unit here: in the file it would be nanoseconds.
fn duration(given: &str) -> Result<String, String> {
    let expected = || "expected a duration such as 300ms, 10s or 1h30m".to_owned();
    if let Some(positive) = given.strip_prefix('-') {
        let is_duration = duration(positive).is_ok();
        return Err(if is_duration {
            "expected a duration that is not negative".to_owned()
        } else {
            expected()
        });
    }
    match given.parse::<u64>() {
        Ok(0) => Ok("0s".to_owned()),
        Ok(_) => Err(format!("expected a unit, such as {given}s")),
        Err(_) => go_duration(given).map(|_| given.to_owned()).ok_or_else(expected),
    }
}

/// Reads `k=v,k2=v2`. With more than one `=` the commas are those of a CSV record: `"a=1,2",b=3`.
pub(crate) fn external_labels(given: &str) -> Result<Vec<(String, String)>, String> {
    let expected = || "expected labels such as host=web1,zone=b".to_owned();
    let fields = match given.matches('=').count() {
        0 if given.is_empty() => Vec::new(),
        1 => vec![given.trim_matches('"').to_owned()],
        _ => fields(given).ok_or_else(expected)?,
    };
    let pair = |field: &String| match field.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(expected()),
    };
    fields.iter().map(pair).collect()
}

/// The fields of one CSV record; `None` if its quotes are wrong.
fn fields(record: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = record;
    loop {
        let field = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (field, after) = quoted_field(quoted)?;
                rest = after;
                field
            }
            None => {
                let (field, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
                rest = after;
                Some(field).filter(|field| !field.contains('"'))?.to_owned()
            }
        };
        fields.push(field);
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None => return rest.is_empty().then_some(fields),
        }
    }
}

/// A field behind its opening quote, and what follows the closing one. Two quotes are one.
fn quoted_field(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        field.push_str(before);
        match after.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None => return Some((field, after)),
        }
    }
}
