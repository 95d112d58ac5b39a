//! Reading named values out of a JSON line in one pass.
//! In: a JSON text and the paths asked for.  Out: values by symbol.  Owns: nothing; [`Extraction`] is the caller's.
//!
//! Plain paths (`level`, `context.symbol`, `items[0].id`) form a tree that is walked while serde_json reads: what
//! nobody asked for is skipped, never built. All other JMESPath expressions go to the `jmespath` crate.

mod scan;
mod specials;

#[cfg(any(fuzzing, test))]
pub(super) use scan::compare;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

use crate::pipeline::entry::{Entry, Span, Symbol, Value};
use crate::pipeline::go_json;

/// One step of a plain path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// The plain paths of one stage as a tree.
#[derive(Debug, Default)]
pub(crate) struct PathTree {
    keys: Vec<(String, PathTree)>,
    items: Vec<(usize, PathTree)>,
    /// Names that get the value found here.
    names: Vec<Symbol>,
}

/// Values found in one line, before they are put into the entry: a line that turns out malformed leaves no trace.
#[derive(Debug, Default)]
pub(crate) struct Extraction {
    values: Vec<(Symbol, Value)>,
    /// Texts of `values`; their spans are relative to this buffer.
    text: Vec<u8>,
}

/// The line is no JSON object (nor null).
#[derive(Debug)]
pub(crate) struct Malformed;

/// The steps of `expression` if it is a plain path: names, quoted names and indexes.
pub(crate) fn plain_path(expression: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = expression;
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"')?;
            let name = &quoted[..end];
            if name.is_empty() || name.contains('\\') {
                return None;
            }
            steps.push(Step::Key(name.to_owned()));
            rest = &quoted[end + 1..];
        } else {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
                return None;
            }
            steps.push(Step::Key(name.to_owned()));
            rest = after;
        }
        while let Some(index) = rest.strip_prefix('[') {
            let end = index.find(']')?;
            let digits = &index[..end];
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            steps.push(Step::Index(digits.parse().ok()?));
            rest = &index[end + 1..];
        }
        match rest.strip_prefix('.') {
            Some(after) => rest = after,
            None => return rest.is_empty().then_some(steps),
        }
    }
}

impl PathTree {
    /// Adds a path whose value goes to `name`.
    pub(crate) fn insert(&mut self, steps: &[Step], name: Symbol) {
        let Some((step, rest)) = steps.split_first() else { return self.names.push(name) };
        let below = match step {
            Step::Key(key) => child(&mut self.keys, key),
            Step::Index(index) => child(&mut self.items, index),
        };
        below.insert(rest, name);
    }

    /// Reads `text`, which must be an object or null.
    pub(crate) fn read(&self, text: &[u8], found: &mut Extraction) -> Result<(), Malformed> {
        if self.is_flat() {
            self.begin(found);
            if scan::scan(text, self, found).is_some() {
                return Ok(());
            }
        }
        self.begin(found);
        // Go reads broken UTF-8 in JSON as replacement characters and does not call the line malformed.
        let text = String::from_utf8_lossy(text);
        let first = text.trim_start_matches([' ', '\t', '\n', '\r']).as_bytes().first();
        if !matches!(first, Some(b'{' | b'n')) {
            return Err(Malformed);
        }
        self.read_with_serde(&text, found)
    }

    fn begin(&self, found: &mut Extraction) {
        found.values.clear();
        found.text.clear();
        self.missing(found);
    }

    /// The same for every text, after `begin`.
    fn read_with_serde(&self, text: &str, found: &mut Extraction) -> Result<(), Malformed> {
        let mut reader = serde_json::Deserializer::from_str(text);
        Seed { tree: self, found }.deserialize(&mut reader).map_err(|_| Malformed)?;
        reader.end().map_err(|_| Malformed)
    }

    /// Null for every name at or below here: what a path that leads nowhere yields.
    fn missing(&self, found: &mut Extraction) {
        found.values.extend(self.names.iter().map(|name| (*name, Value::Null)));
        self.keys.iter().for_each(|(_, below)| below.missing(found));
        self.items.iter().for_each(|(_, below)| below.missing(found));
    }

    /// Only keys of the object itself are asked for.
    fn is_flat(&self) -> bool {
        let is_leaf = |(_, below): &(String, PathTree)| below.is_leaf();
        self.names.is_empty() && self.items.is_empty() && self.keys.iter().all(is_leaf)
    }

    fn is_leaf(&self) -> bool {
        self.keys.is_empty() && self.items.is_empty()
    }

    /// Walks a value that was built because something above it is wanted as text.
    fn walk(&self, value: &serde_json::Value, found: &mut Extraction) {
        found.set(&self.names, value);
        for (key, below) in &self.keys {
            below.walk(value.get(key).unwrap_or(&serde_json::Value::Null), found);
        }
        for (index, below) in &self.items {
            below.walk(value.get(index).unwrap_or(&serde_json::Value::Null), found);
        }
    }
}

fn child<'t, K: PartialEq + Clone>(children: &'t mut Vec<(K, PathTree)>, key: &K) -> &'t mut PathTree {
    let index = children.iter().position(|(known, _)| known == key).unwrap_or_else(|| {
        children.push((key.clone(), PathTree::default()));
        children.len() - 1
    });
    &mut children[index].1
}

impl Extraction {
    /// Moves what was found into the entry.
    pub(crate) fn commit(&self, entry: &mut Entry) {
        let base = entry.store(&self.text).start;
        for (name, value) in &self.values {
            let value = match value {
                Value::Text(span) => Value::Text(Span { start: base + span.start, end: base + span.end }),
                other => *other,
            };
            entry.extract(*name, value);
        }
    }

    fn push(&mut self, names: &[Symbol], value: Value) {
        self.values.extend(names.iter().map(|name| (*name, value)));
    }

    fn push_text(&mut self, names: &[Symbol], text: &str) {
        let start = self.text.len() as u32;
        self.text.extend_from_slice(text.as_bytes());
        self.push(names, Value::Text(Span { start, end: self.text.len() as u32 }));
    }

    fn set(&mut self, names: &[Symbol], value: &serde_json::Value) {
        match value {
            _ if names.is_empty() => {}
            serde_json::Value::Null => self.push(names, Value::Null),
            serde_json::Value::Bool(value) => self.push(names, Value::Bool(*value)),
            serde_json::Value::Number(number) => {
                self.push(names, number.as_f64().map_or(Value::Null, Value::Number));
            }
            serde_json::Value::String(text) => self.push_text(names, text),
            nested => {
                let mut text = String::new();
                go_json::write(nested, &mut text);
                self.push_text(names, &text);
            }
        }
    }
}

/// Stores a value found by an expression that is no plain path.
pub(crate) fn store_found(entry: &mut Entry, name: Symbol, value: &serde_json::Value) {
    let mut found = Extraction::default();
    found.set(&[name], value);
    found.commit(entry);
}

struct Seed<'t, 'f> {
    tree: &'t PathTree,
    found: &'f mut Extraction,
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.found.push(&self.tree.names, Value::Null);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.found.push(&self.tree.names, Value::Bool(value));
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.found.push(&self.tree.names, Value::Number(value as f64));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.found.push(&self.tree.names, Value::Number(value as f64));
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.found.push(&self.tree.names, Value::Number(value));
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.found.push_text(&self.tree.names, value);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if !self.tree.names.is_empty() {
            let value = <serde_json::Value as serde::Deserialize>::deserialize(
                serde::de::value::MapAccessDeserializer::new(map),
            )?;
            self.tree.walk(&value, self.found);
            return Ok(());
        }
        while let Some(below) = map.next_key_seed(Key(self.tree))? {
            match below {
                // A repeated key replaces what the first one held, all of it.
                Some(below) => {
                    if !below.is_leaf() {
                        below.missing(self.found);
                    }
                    map.next_value_seed(Seed { tree: below, found: &mut *self.found })?;
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        if !self.tree.names.is_empty() {
            let value = <serde_json::Value as serde::Deserialize>::deserialize(
                serde::de::value::SeqAccessDeserializer::new(items),
            )?;
            self.tree.walk(&value, self.found);
            return Ok(());
        }
        for index in 0.. {
            let more = match self.tree.items.iter().find(|(wanted, _)| *wanted == index) {
                Some((_, below)) => {
                    items.next_element_seed(Seed { tree: below, found: &mut *self.found })?.is_some()
                }
                None => items.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                break;
            }
        }
        Ok(())
    }
}

/// Finds a key's subtree without building the key.
struct Key<'t>(&'t PathTree);

impl<'de, 't> DeserializeSeed<'de> for Key<'t> {
    type Value = Option<&'t PathTree>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'t> Visitor<'_> for Key<'t> {
    type Value = Option<&'t PathTree>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.keys.iter().find(|(known, _)| known == key).map(|(_, below)| below))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_are_told_from_other_expressions() {
        let key = |name: &str| Step::Key(name.to_owned());
        assert_eq!(plain_path("a.b_2"), Some(vec![key("a"), key("b_2")]));
        assert_eq!(plain_path("\"a.b\".c[1].t"), Some(vec![key("a.b"), key("c"), Step::Index(1), key("t")]));
        for other in [
            "",
            "a.",
            "length(a)",
            "a[-1]",
            "a[*]",
            "a b",
            "a||b",
            "@",
            "a##b",
            "\"\\u0041\"",
            "a[]",
            "1a",
            "a[0]b",
        ] {
            assert_eq!(plain_path(other), None, "{other}");
        }
    }
}
