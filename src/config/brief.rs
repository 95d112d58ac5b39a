//! A part of a configuration on one line, to recognise it by.
//! In: a node.  Out: as much of it as there is room for, as YAML would have it in one line.  Owns: nothing.

use crate::config::yaml::{Node, Value};

impl Node {
    /// At most `limit` characters. Lists of other things than texts are only hinted at.
    pub(crate) fn brief(&self, limit: usize) -> String {
        let mut brief = String::new();
        match &self.value {
            Value::Mapping(entries) => mapping(entries, limit, &mut brief),
            Value::Scalar { text, .. } => brief.push_str(text),
            Value::Sequence(_) => write(self, limit, &mut brief),
        }
        match brief.char_indices().nth(limit) {
            Some((end, _)) => format!("{}…", &brief[..end]),
            None => brief,
        }
    }
}

fn mapping(entries: &[(Node, Node)], limit: usize, out: &mut String) {
    for (number, (key, value)) in entries.iter().enumerate() {
        // Every character has at most four bytes: what is longer is cut in any case.
        if out.len() > 4 * limit {
            return;
        }
        out.push_str(if number == 0 { "" } else { ", " });
        write(key, limit, out);
        if !value.is_null() {
            out.push_str(": ");
            write(value, limit, out);
        }
    }
}

fn write(node: &Node, limit: usize, out: &mut String) {
    match &node.value {
        Value::Scalar { .. } if node.is_null() => {}
        Value::Scalar { text, plain: true } => out.push_str(text),
        Value::Scalar { text, .. } => out.push_str(&format!("{text:?}")),
        Value::Mapping(entries) => {
            out.push('{');
            mapping(entries, limit, out);
            out.push('}');
        }
        Value::Sequence(items) if items.iter().all(|item| item.scalar().is_some()) => {
            out.push('[');
            for (number, item) in items.iter().enumerate().take_while(|(number, _)| *number <= limit) {
                out.push_str(if number == 0 { "" } else { ", " });
                write(item, limit, out);
            }
            out.push(']');
        }
        Value::Sequence(_) => out.push_str("[…]"),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::parse_yaml;

    #[test]
    fn options_are_recognised_on_one_line() {
        let brief = |text: &str, limit| parse_yaml(text).unwrap().brief(limit);
        assert_eq!(
            brief("expressions:\n  level:\n  msg: a.b\nsource: x", 99),
            "expressions: {level, msg: a.b}, source: x"
        );
        assert_eq!(
            brief("selector: '{a=\"b\"}'\nstages: [{json: {}}]", 99),
            "selector: \"{a=\\\"b\\\"}\", stages: […]"
        );
        assert_eq!(brief("[level, trace]", 99), "[level, trace]");
        assert_eq!(brief("'{a=\"b\"}'", 99), "{a=\"b\"}");
        assert_eq!(brief("", 99), "");
        assert_eq!(brief("a: äöü\nb: 2", 5), "a: äö…");
        let long = format!("[{}]", "xy, ".repeat(10_000));
        assert!(brief(&long, 10).chars().count() == 11);
    }
}
