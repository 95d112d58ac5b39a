//! A stream's labels, and how Loki wants them written.
//! In: names and values from discovery and the pipeline.  Out: the label string.  Owns: one rendered set.

use std::fmt::Write as _;

/// Loki refuses an entry whose label value is longer (`max_label_value_length`, 2048 by default); values are cut here
/// so that the line survives.
pub(crate) const MAX_LABEL_VALUE: usize = 2048;

/// A label set by name. Names are valid for Loki, values are UTF-8.
///
/// Sorted by name: every target and every stream keeps some, of a few labels each, which a tree would take several times
/// the memory for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Labels(Vec<(String, String)>);

impl Labels {
    /// Sets one label; an invalid name is made valid, an over-long value cut. True when it was cut.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) -> bool {
        let mut value = value.into();
        let too_long = value.len() > MAX_LABEL_VALUE;
        if too_long {
            value.truncate(value.floor_char_boundary(MAX_LABEL_VALUE));
        }
        let name = valid_label_name(name);
        match self.place(&name) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (name, value)),
        }
        too_long
    }

    /// Takes one label out.
    pub(crate) fn remove(&mut self, name: &str) -> Option<String> {
        self.place(name).ok().map(|at| self.0.remove(at).1)
    }

    /// True where there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Name and value pairs, sorted by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Adds those of `defaults` that are not set here.
    pub(crate) fn with_defaults(mut self, defaults: &Labels) -> Labels {
        for label in &defaults.0 {
            if let Err(at) = self.place(&label.0) {
                self.0.insert(at, label.clone());
            }
        }
        self
    }

    /// Gives back the room for more labels.
    pub(crate) fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }

    /// Where a name is, or would be.
    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(own, _)| own.as_str().cmp(name))
    }

    /// The label string of a push: `{a="x", b="y"}`, names sorted, values quoted as Go does.
    pub(crate) fn render(&self) -> String {
        let mut text = String::from("{");
        for (name, value) in &self.0 {
            if text.len() > 1 {
                text.push_str(", ");
            }
            text.push_str(name);
            text.push('=');
            quote(value, &mut text);
        }
        text.push('}');
        text
    }
}

impl<N: AsRef<str>, V: Into<String>> FromIterator<(N, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut labels = Labels::default();
        for (name, value) in pairs {
            labels.set(name.as_ref(), value);
        }
        labels
    }
}

/// `name` with every character that Loki's label syntax does not know replaced by `_`.
///
/// One bad name would make Loki refuse the whole push, the good streams in it included.
pub(crate) fn valid_label_name(name: &str) -> String {
    let starts_with_digit = name.starts_with(|c: char| c.is_ascii_digit());
    let mut valid = String::with_capacity(name.len() + 1);
    if name.is_empty() || starts_with_digit {
        valid.push('_');
    }
    valid.extend(name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }));
    valid
}

/// Appends `value` quoted as Go's `strconv.Quote` does, which is what Loki's label parser reads.
fn quote(value: &str, text: &mut String) {
    text.push('"');
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    if value.bytes().all(is_plain) {
        text.push_str(value);
        text.push('"');
        return;
    }
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\x07' => text.push_str("\\a"),
            '\x08' => text.push_str("\\b"),
            '\x0b' => text.push_str("\\v"),
            '\x0c' => text.push_str("\\f"),
            // Writing to a String cannot fail.
            c if (c as u32) < 0x20 || c as u32 == 0x7f => drop(write!(text, "\\x{:02x}", c as u32)),
            c if is_go_printable(c) => text.push(c),
            c if (c as u32) < 0x10000 => drop(write!(text, "\\u{:04x}", c as u32)),
            c => drop(write!(text, "\\U{:08x}", c as u32)),
        }
    }
    text.push('"');
}

/// Close enough to Go's `IsPrint` for the label parser: controls, separators other than the ASCII space, private use
/// and the replacement-like specials are escaped. Both spellings parse to the same label.
fn is_go_printable(c: char) -> bool {
    let code = c as u32;
    !(c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(code, 0xad | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xe000..=0xf8ff | 0xfeff)
        || matches!(code, 0xfff0..=0xfffb | 0xf0000..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_string_is_sorted_and_quoted_as_go_does() {
        let labels: Labels = [("job", "f"), ("a", "say \"hi\"\\\n\u{1}é\u{a0}")].into_iter().collect();
        assert_eq!(labels.render(), r#"{a="say \"hi\"\\\n\x01é\u00a0", job="f"}"#);
        assert_eq!(Labels::default().render(), "{}");
    }

    #[test]
    fn a_name_loki_would_refuse_is_made_valid() {
        assert_eq!(valid_label_name("a.b-c"), "a_b_c");
        assert_eq!(valid_label_name("9lives"), "_9lives");
        assert_eq!(valid_label_name(""), "_");
    }

    #[test]
    fn a_value_over_the_limit_is_cut_at_a_character() {
        let mut labels = Labels::default();
        labels.set("v", "é".repeat(2000));
        assert_eq!(labels.iter().next().map(|(_, value)| value.len()), Some(2048));
    }
}
