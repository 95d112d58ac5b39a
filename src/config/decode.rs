//! Typed reading of nodes, with every refusal saying what was expected.
//! In: a [`Node`].  Out: values, or an [`Invalid`] at its place.  Owns: which keys of a mapping were asked for.

use std::time::Duration;

use crate::config::diagnostic::{Invalid, nearest};
use crate::config::loose::{yaml_bool, yaml_number};
use crate::config::table::{Effect, Kind, Row, Table};
use crate::config::units;
use crate::config::yaml::{NOTHING, Node, Value};

/// A mapping being read, all of whose keys its table knows.
pub(crate) struct Block<'n> {
    node: &'n Node,
    entries: &'n [(Node, Node)],
    table: &'static Table,
    /// Go's loose decoding of stage options folds the case of keys.
    fold_case: bool,
}

impl<'n> Block<'n> {
    /// The entry of `key`; null counts as absent, as it does in Promtail.
    pub(crate) fn get(&self, key: &'static str) -> Option<&'n Node> {
        self.raw(key).filter(|node| !node.is_null())
    }

    /// The entry of `key`, null included.
    pub(crate) fn raw(&self, key: &'static str) -> Option<&'n Node> {
        debug_assert!(self.table.row(key, false).is_some(), "`{key}` is in no row of its table");
        let same = |name: &str| if self.fold_case { name.eq_ignore_ascii_case(key) } else { name == key };
        let found = self.entries.iter().find(|(name, _)| name.scalar().is_some_and(same));
        found.map(|(_, value)| value)
    }

    /// The entry of `key`, which must be there.
    pub(crate) fn required(&self, key: &'static str) -> Result<&'n Node, Invalid> {
        self.get(key).ok_or_else(|| Invalid::new(self.node.at, format!("`{key}` is required here")))
    }

    /// Reads `key` with `read` if it is there.
    pub(crate) fn optional<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&'n Node) -> Result<T, Invalid>,
    ) -> Result<Option<T>, Invalid> {
        self.get(key).map(read).transpose()
    }

    /// Reads the block under `key`; where it is not there, an empty one.
    pub(crate) fn block(&self, key: &'static str) -> Result<Block<'n>, Invalid> {
        match self.table.row(key, false).map(|row| row.kind) {
            Some(Kind::Block(table)) => self.get(key).unwrap_or(&NOTHING).block(table),
            _ => Err(self.node.invalid(format!("`{key}` is no block"))),
        }
    }

    /// Refuses values that are not what the table says.
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        self.rows().try_for_each(|(row, value)| row.kind.check(value))
    }

    /// Rows of the keys that are there, with their values.
    fn rows(&self) -> impl Iterator<Item = (&'static Row, &'n Node)> {
        let (table, fold) = (self.table, self.fold_case);
        self.entries.iter().filter_map(move |(key, value)| Some((table.row(key.scalar()?, fold)?, value)))
    }

    /// Refuses the first key that is not in the table, or that this version cannot follow.
    fn refuse_foreign(&self) -> Result<(), Invalid> {
        for (key, value) in self.entries {
            let name = key.scalar().unwrap_or_default();
            match self.table.row(name, self.fold_case) {
                None => return Err(unknown(key, name, self.table)),
                Some(row) if row.effect == Effect::NotYet && asks(value, row) => {
                    return Err(not_yet(key, name));
                }
                Some(_) => {}
            }
        }
        let mut idle = self.rows().filter(|(row, _)| row.effect == Effect::Nothing);
        idle.try_for_each(|(row, value)| row.kind.check(value))
    }
}

/// A key that no row of `table` has.
pub(crate) fn unknown(key: &Node, name: &str, table: &Table) -> Invalid {
    let known = || table.0.iter().map(|row| row.key);
    let help = match nearest(name, known()) {
        Some(close) => format!("did you mean `{close}`?"),
        None => format!("known here: {}", known().collect::<Vec<_>>().join(", ")),
    };
    Invalid::new(key.at, format!("unknown key `{name}`")).marking(name).help(help)
}

/// True for a value that says something else than the default.
fn asks(value: &Node, row: &Row) -> bool {
    let is_default = match (row.kind, value.boolean()) {
        (Kind::Boolean, Ok(given)) => row.default == given.to_string(),
        // A list without items is no list at all to Promtail.
        _ if matches!(&value.value, Value::Sequence(items) if items.is_empty()) => true,
        _ => value.scalar().is_some_and(|text| text == row.default),
    };
    !(value.is_null() || is_default)
}

fn not_yet(key: &Node, name: &str) -> Invalid {
    let message = format!("`{name}` is an option of Promtail that this version does not support yet");
    Invalid::new(key.at, message).marking(name).help("remove it, or keep this job on Promtail for now")
}

impl Node {
    /// A scalar's text as written.
    pub(crate) fn scalar(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// An error at this node.
    pub(crate) fn invalid(&self, message: impl Into<String>) -> Invalid {
        let invalid = Invalid::new(self.at, message);
        match self.scalar() {
            Some(text) if !text.contains('\n') => invalid.marking(text),
            _ => invalid,
        }
    }

    pub(super) fn expected(&self, what: &str) -> Invalid {
        self.invalid(format!("expected {what}, found {}", self.describe()))
    }

    /// A mapping with the keys of `table` and no others; null is an empty one.
    pub(crate) fn block(&self, table: &'static Table) -> Result<Block<'_>, Invalid> {
        let block = Block { node: self, entries: self.entries()?, table, fold_case: false };
        block.refuse_foreign()?;
        Ok(block)
    }

    /// A mapping of stage options: keys match in any case, those not in the table are nobody's.
    pub(crate) fn options(&self, table: &'static Table) -> Result<Block<'_>, Invalid> {
        Ok(Block { node: self, entries: self.entries()?, table, fold_case: true })
    }

    /// Key and value pairs in the order written; null is none.
    pub(crate) fn entries(&self) -> Result<&[(Node, Node)], Invalid> {
        match &self.value {
            Value::Mapping(entries) => Ok(entries),
            _ if self.is_null() => Ok(&[]),
            _ => Err(self.expected("a mapping of keys to values")),
        }
    }

    /// A list; null is an empty one.
    pub(crate) fn list(&self) -> Result<&[Node], Invalid> {
        match &self.value {
            Value::Sequence(items) => Ok(items),
            _ if self.is_null() => Ok(&[]),
            _ => Err(self.expected("a list")),
        }
    }

    /// A list read item by item.
    pub(crate) fn list_of<T>(
        &self,
        read: impl FnMut(&Node) -> Result<T, Invalid>,
    ) -> Result<Vec<T>, Invalid> {
        self.list()?.iter().map(read).collect()
    }

    /// Any scalar as text, spelled as written; null is the empty text.
    pub(crate) fn text(&self) -> Result<&str, Invalid> {
        match self.scalar() {
            Some(_) if self.is_null() => Ok(""),
            Some(text) => Ok(text),
            None => Err(self.expected("a text")),
        }
    }

    /// A text in a stage: an unquoted number or boolean is refused, as Promtail does.
    pub(crate) fn strict_text(&self) -> Result<&str, Invalid> {
        let text = self.text()?;
        if let Value::Scalar { plain: true, .. } = &self.value
            && (yaml_bool(text).is_some() || yaml_number(text).is_some())
        {
            let message = format!("expected a text, found the {} {text}", kind_of(text));
            return Err(self.invalid(message).help(format!("write it in quotes: '{text}'")));
        }
        Ok(text)
    }

    /// A boolean of YAML 1.1.
    pub(crate) fn boolean(&self) -> Result<bool, Invalid> {
        let value = match &self.value {
            Value::Scalar { text, plain: true } => yaml_bool(text),
            _ => None,
        };
        value.ok_or_else(|| self.expected("true or false"))
    }

    /// A whole number, not negative.
    pub(crate) fn count(&self) -> Result<u64, Invalid> {
        self.scalar().and_then(|text| text.parse().ok()).ok_or_else(|| self.expected("a whole number"))
    }

    /// Any finite number.
    pub(crate) fn number(&self) -> Result<f64, Invalid> {
        let number =
            self.scalar().and_then(|text| text.parse::<f64>().ok()).filter(|number| number.is_finite());
        number.ok_or_else(|| self.expected("a number"))
    }

    /// A Go duration, or a bare number of nanoseconds.
    pub(crate) fn duration(&self) -> Result<Duration, Invalid> {
        let parsed = self.scalar().and_then(units::go_duration);
        parsed.ok_or_else(|| self.expected("a duration such as 500ms, 1s or 1h30m"))
    }

    /// A Prometheus duration.
    pub(crate) fn prometheus_duration(&self) -> Result<Duration, Invalid> {
        let parsed = self.scalar().and_then(units::prometheus_duration);
        parsed.ok_or_else(|| self.expected("a duration such as 5s, 1m or 1d"))
    }

    /// A number of bytes.
    pub(crate) fn bytes(&self) -> Result<u64, Invalid> {
        self.scalar().and_then(units::bytes).ok_or_else(|| self.expected("a size such as 4096, 256KB or 1MB"))
    }
}

fn kind_of(text: &str) -> &'static str {
    if yaml_bool(text).is_some() { "boolean" } else { "number" }
}

#[cfg(test)]
mod tests {
    use crate::config::table::{Kind, Table, row};
    use crate::config::yaml::parse;

    static CLIENT: Table = Table(&[
        row("url", Kind::Url, "", ""),
        row("batchwait", Kind::Duration, "1s", ""),
        row("enable_http2", Kind::Boolean, "true", "").without_effect(),
        row("wings", Kind::Any, "", "").not_yet(),
    ]);

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_known_one() {
        let text = "batchwait: 1s\nurll: x\n";
        let message = parse(text).unwrap().block(&CLIENT).err().unwrap().render("f", text);
        assert!(
            message.starts_with("f:2:1: unknown key `urll`") && message.ends_with("did you mean `url`?"),
            "{message}"
        );
    }

    #[test]
    fn what_has_no_effect_is_checked_and_what_is_not_there_yet_is_named() {
        let refused = |text: &str| parse(text).unwrap().block(&CLIENT).err().map(|error| error.to_string());
        assert_eq!(refused("enable_http2: yes"), None);
        assert!(refused("enable_http2: maybe").unwrap().contains("expected true or false"));
        assert!(refused("wings: 2").unwrap().contains("does not support yet"));
    }

    #[test]
    fn a_bare_boolean_is_no_text_in_a_stage() {
        let node = parse("[n, '5', 5, plain, nan, inf, 0x1F, 1_000, .5, -1e3, 2020-01-02, 1.2.3]").unwrap();
        let accepted: Vec<bool> =
            node.list().unwrap().iter().map(|item| item.strict_text().is_ok()).collect();
        let expected = [false, true, false, true, true, true, false, false, false, false, true, true];
        assert_eq!(accepted, expected);
    }

    #[test]
    fn an_empty_list_asks_for_nothing() {
        let refused = |text: &str| parse(text).unwrap().block(&CLIENT).err().map(|error| error.to_string());
        assert_eq!(refused("wings: []"), None);
        assert!(refused("wings: {}").is_some());
    }

    #[test]
    fn stage_options_match_in_any_case() {
        let node = parse("{Url: a, other: b}").unwrap();
        assert_eq!(node.options(&CLIENT).unwrap().required("url").unwrap().text().unwrap(), "a");
    }
}
