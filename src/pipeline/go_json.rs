//! JSON as Go's encoder writes it: what a nested value becomes when it is extracted as a text.
//! In: a JSON value.  Out: text.  Owns: nothing.

/// Compact JSON as Go's encoder writes it: `<`, `>`, `&` and the two line separators escaped, numbers from `f64`.
/// Keys are sorted, where Promtail's order is random.
pub(super) fn write(value: &serde_json::Value, text: &mut String) {
    match value {
        serde_json::Value::Null => text.push_str("null"),
        serde_json::Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        serde_json::Value::Number(value) => text.push_str(&number(value.as_f64().unwrap_or(0.0))),
        serde_json::Value::String(value) => string(value, text),
        serde_json::Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(item, text);
            }
            text.push(']');
        }
        serde_json::Value::Object(entries) => {
            text.push('{');
            for (index, (key, item)) in entries.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                string(key, text);
                text.push(':');
                write(item, text);
            }
            text.push('}');
        }
    }
}

/// A quoted string.
pub(crate) fn string(value: &str, text: &mut String) {
    text.push('"');
    escape(value, text);
    text.push('"');
}

/// A quoted string of bytes that need not be UTF-8: each byte that is not becomes `\ufffd`.
pub(crate) fn bytes(value: &[u8], text: &mut String) {
    text.push('"');
    for chunk in value.utf8_chunks() {
        escape(chunk.valid(), text);
        chunk.invalid().iter().for_each(|_| text.push_str("\\ufffd"));
    }
    text.push('"');
}

fn escape(value: &str, text: &mut String) {
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => text.push_str(&format!("\\u{:04x}", c as u32)),
            c if (c as u32) < 0x20 => text.push_str(&format!("\\u{:04x}", c as u32)),
            c => text.push(c),
        }
    }
}

/// Go's encoder switches to exponents below 1e-6 and from 1e21 on, and writes at least two exponent digits only
/// where the sign is positive.
fn number(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return value.to_string();
    }
    match format!("{value:e}").split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
        Some((digits, exponent)) => format!("{digits}e{exponent}"),
        None => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nested_value_is_written_as_go_does() {
        let value = serde_json::from_str(r#"{"b":[1.0,2.5e10,1e21,1e-7,-0.5],"a":"<é>&\u0001"}"#).unwrap();
        let mut text = String::new();
        write(&value, &mut text);
        assert_eq!(text, r#"{"a":"\u003cé\u003e\u0026\u0001","b":[1,25000000000,1e+21,1e-7,-0.5]}"#);
    }
}
