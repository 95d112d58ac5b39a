//! Typed reading of nodes, with every refusal saying what was expected.
//! In: a [`Node`].  Out: values, or an [`Invalid`] at its place.  Owns: which keys of a mapping were asked for.

use std::cell::RefCell;
use std::time::Duration;

use crate::config::diagnostic::{Invalid, nearest};
use crate::config::units;
use crate::config::yaml::{Node, Value};

/// A mapping being read. Keys that nobody asks for are unknown keys.
pub(crate) struct Block<'n> {
    node: &'n Node,
    entries: &'n [(Node, Node)],
    asked: RefCell<Vec<&'static str>>,
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
        self.asked.borrow_mut().push(key);
        let same = |name: &str| if self.fold_case { name.eq_ignore_ascii_case(key) } else { name == key };
        self.entries.iter().find(|(name, _)| name.scalar().is_some_and(same)).map(|(_, value)| value)
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

    /// Refuses keys that Promtail knows and this version does not.
    pub(crate) fn not_yet(&self, keys: &[&'static str]) -> Result<(), Invalid> {
        match self.entries.iter().find(|(name, _)| name.scalar().is_some_and(|name| keys.contains(&name))) {
            Some((name, _)) => {
                let key = name.scalar().unwrap_or_default();
                let message =
                    format!("`{key}` is an option of Promtail that this version does not support yet");
                Err(Invalid::new(name.at, message)
                    .marking(key)
                    .help("remove it, or keep this job on Promtail for now"))
            }
            None => Ok(()),
        }
    }

    /// Refuses the first key that was not asked for.
    pub(crate) fn finish(self) -> Result<(), Invalid> {
        let Some((key, name)) = self.unknown().next() else { return Ok(()) };
        let asked = self.asked.borrow();
        let help = match nearest(name, asked.iter().copied()) {
            Some(close) => format!("did you mean `{close}`?"),
            None => format!("known here: {}", asked.join(", ")),
        };
        Err(Invalid::new(key.at, format!("unknown key `{name}`")).marking(name).help(help))
    }

    /// Keys that were not asked for.
    pub(crate) fn unknown(&self) -> impl Iterator<Item = (&'n Node, &'n str)> {
        let asked = self.asked.borrow().clone();
        let (entries, fold) = (self.entries, self.fold_case);
        entries.iter().filter_map(|(key, _)| key.scalar().map(|name| (key, name))).filter(move |(_, name)| {
            !asked.iter().any(|known| if fold { name.eq_ignore_ascii_case(known) } else { name == known })
        })
    }
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

    fn expected(&self, what: &str) -> Invalid {
        self.invalid(format!("expected {what}, found {}", self.describe()))
    }

    /// A mapping with strict keys; null is an empty one.
    pub(crate) fn block(&self) -> Result<Block<'_>, Invalid> {
        Ok(Block { node: self, entries: self.entries()?, asked: RefCell::default(), fold_case: false })
    }

    /// A mapping of stage options: keys match in any case.
    pub(crate) fn loose_block(&self) -> Result<Block<'_>, Invalid> {
        Ok(Block { fold_case: true, ..self.block()? })
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
            && (yaml_bool(text).is_some() || text.parse::<f64>().is_ok())
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

/// The booleans of YAML 1.1, which Promtail's decoder follows.
fn yaml_bool(text: &str) -> Option<bool> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::config::yaml::parse;

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_known_one() {
        let node = parse("batchwait: 1s\nurll: x\n").unwrap();
        let block = node.block().unwrap();
        block.get("url");
        block.get("batchwait");
        let message = block.finish().unwrap_err().render("f", "batchwait: 1s\nurll: x\n");
        assert!(
            message.starts_with("f:2:1: unknown key `urll`") && message.ends_with("did you mean `url`?"),
            "{message}"
        );
    }

    #[test]
    fn a_bare_boolean_is_no_text_in_a_stage() {
        let node = parse("[n, '5', 5, plain]").unwrap();
        let accepted: Vec<bool> =
            node.list().unwrap().iter().map(|item| item.strict_text().is_ok()).collect();
        assert_eq!(accepted, [false, true, false, true]);
    }

    #[test]
    fn stage_options_match_in_any_case() {
        let node = parse("Source: a").unwrap();
        assert_eq!(node.loose_block().unwrap().required("source").unwrap().text().unwrap(), "a");
    }
}
