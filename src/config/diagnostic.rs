//! What is wrong with a configuration, where, and the way out.
//! In: an [`Invalid`] from any part of the configuration.  Out: one message with a caret.  Owns: nothing.

use std::fmt;

/// Line and column, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Position {
    /// The beginning of a file.
    pub(crate) const START: Position = Position { line: 1, column: 1 };

    /// Not in the file at all: given by a flag.
    pub(crate) const COMMAND_LINE: Position = Position { line: 0, column: 0 };

    /// The place of a byte of a text.
    pub(crate) fn of(text: &str, byte: usize) -> Position {
        let before = &text[..text.floor_char_boundary(byte)];
        let last = lines(before).last().unwrap_or_default();
        Position { line: lines(before).count(), column: last.chars().count() + 1 }
    }
}

/// The lines of a text as YAML counts them: a lone carriage return ends one too. Behind the last end there is one more.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let line = rest?;
        let Some(end) = line.find(['\r', '\n']) else { return rest.take() };
        rest = Some(line[end..].strip_prefix("\r\n").unwrap_or(&line[end + 1..]));
        Some(&line[..end])
    })
}

/// One problem, not yet tied to a file.
#[derive(Clone, Debug)]
pub(crate) struct Invalid {
    pub(crate) at: Position,
    message: String,
    /// How many characters the caret underlines.
    length: usize,
    /// What to do about it.
    help: Option<String>,
}

impl Invalid {
    pub(crate) fn new(at: Position, message: impl Into<String>) -> Self {
        Invalid { at, message: message.into(), length: 1, help: None }
    }

    /// Underlines as much as `text` is long.
    pub(crate) fn marking(mut self, text: &str) -> Self {
        self.length = text.chars().count().max(1);
        self
    }

    /// Adds the way out.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The whole message as that of something allowed: `file:line:column: warning: what`.
    pub(crate) fn render_warning(&self, file: &str, text: &str) -> String {
        Invalid { message: format!("warning: {}", self.message), ..self.clone() }.render(file, text)
    }

    /// The whole message: `file:line:column: what`, the line, a caret, the fix.
    pub(crate) fn render(&self, file: &str, text: &str) -> String {
        let Position { line, column } = self.at;
        if self.at == Position::COMMAND_LINE {
            return format!("on the command line: {}", self.message);
        }
        let source = lines(text).nth(line - 1).unwrap_or_default();
        let gutter = " ".repeat(line.to_string().len());
        let caret = "^".repeat(self.length.min(source.chars().count().saturating_sub(column - 1)).max(1));
        let pad: String =
            source.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let mut message = format!("{file}:{line}:{column}: {}\n", self.message);
        message.push_str(&format!("{gutter} |\n{line} | {}\n{gutter} | {pad}{caret}", shown(text, line)));
        if let Some(help) = &self.help {
            message.push_str(&format!("\n{gutter} = help: {help}"));
        }
        message
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A line as messages show it: starred out where it lies inside of something secret, such as a password of several
/// lines or a block of headers.
fn shown(text: &str, number: usize) -> String {
    const HEADERS: [&str; 4] = ["headers", "http_headers", "proxy_connect_header", "endpoint_params"];
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut before: Vec<&str> = lines(text).take(number).collect();
    let Some(line) = before.pop() else { return String::new() };
    let mut outer = indent(line);
    for above in before.into_iter().rev().filter(|line| !line.trim().is_empty()) {
        // A list may stand as far left as its key.
        let holds = indent(above) < outer || (indent(above) == outer && line.trim_start().starts_with('-'));
        if !holds {
            continue;
        }
        outer = indent(above);
        let Some((key, value)) = above.trim_start_matches(['-', ' ', '\t']).split_once(':') else { continue };
        let key = key.trim_matches(['"', '\'']);
        let is_block = matches!(value.trim().as_bytes(), [] | [b'|' | b'>' | b'#' | b'&' | b'!', ..]);
        let secret =
            HEADERS.contains(&key) || TELLING.iter().any(|word| key.to_ascii_lowercase().contains(word));
        // `authorization` has keys of its own, most of which are nothing secret.
        if is_block && secret && key != "authorization" {
            let name = line.split_once(": ").map_or(&line[..indent(line)], |(name, _)| name);
            return if name.trim().is_empty() { format!("{name}***") } else { format!("{name}: ***") };
        }
    }
    masked(line)
}

const TELLING: [&str; 8] =
    ["password", "secret", "token", "credentials", "authorization", "cookie", "api-key", "api_key"];

/// The source line with what may be a secret starred out: everything after the first telling key, as a line may hold
/// several, and passwords inside URLs.
fn masked(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let telling = TELLING.iter().flat_map(|word| lower.match_indices(word));
    let secret = telling.filter_map(|(at, _)| end_of_key(line, at)).min();
    let key = lower.find("-----begin").or(secret).or_else(|| misspelt(line));
    let (shown, stars) = match key.map(|end| &line[..end]) {
        Some(shown) if shown.ends_with(':') => (shown, " ***"),
        Some(shown) => (shown, "***"),
        None => (line, ""),
    };
    let shown = match (shown.find("://"), shown.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 < at => {
            format!("{}***{}", &shown[..scheme + 3], &shown[at..])
        }
        // A URL whose scheme was forgotten.
        (None, Some(at)) if lower.contains("url") => {
            let start = shown[..at].rfind([' ', '"', '\'', '{', ',']).map_or(0, |space| space + 1);
            format!("{}***{}", &shown[..start], &shown[at..])
        }
        _ => shown.to_owned(),
    };
    format!("{shown}{stars}")
}

/// The end of a line's first key, where that is nearly one that holds a secret, or a block of them that is no block.
fn misspelt(line: &str) -> Option<usize> {
    const NAMES: [&str; 7] =
        ["password", "bearer_token", "client_secret", "credentials", "authorization", "basic_auth", "oauth2"];
    let start = line.len() - line.trim_start_matches(['-', ' ', '\t']).len();
    let end = start + line[start..].find(':')?;
    let name = line[start..end].trim_matches(['"', '\'']);
    // Files and blocks are no secrets.
    let harmless = name.ends_with("_file") || line[end + 1..].trim_start().starts_with('{');
    (!harmless && nearest(name, NAMES).is_some()).then_some(end + 1)
}

/// Where the key that has this word in it ends, with its colon; none where the word is in a value.
fn end_of_key(line: &str, word: usize) -> Option<usize> {
    let in_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '"' | '\'' | ' ');
    let colon = word + line[word..].find(|c| !in_key(c))?;
    let after = line[colon..].strip_prefix(':')?;
    let quoted = line[..colon].ends_with(['"', '\'']);
    (quoted || after.is_empty() || after.starts_with(' ')).then_some(colon + 1)
}

/// The name in `known` closest to `given`, if any is close enough to be what was meant.
pub(crate) fn nearest<'n>(given: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let given = given.to_ascii_lowercase();
    let close = known.into_iter().map(|name| (distance(&given, name), name));
    close
        .filter(|(distance, name)| *distance <= 1 + name.len().min(given.len()) / 4)
        .min()
        .map(|(_, name)| name)
}

/// Edits (insert, delete, replace, swap neighbours) that turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_shows_the_line_the_place_and_the_fix() {
        let invalid = Invalid::new(Position { line: 2, column: 3 }, "unknown key `urll`")
            .marking("urll")
            .help("did you mean `url`?");
        assert_eq!(
            invalid.render("a.yaml", "clients:\n- urll: http://x\n"),
            "a.yaml:2:3: unknown key `urll`\n  |\n2 | - urll: http://x\n  |   ^^^^\n  = help: did you mean `url`?"
        );
    }

    #[test]
    fn lines_end_where_yaml_says_they_end() {
        let text = "a: 1\rb: 2\r\nc: 3\n\rurll: x";
        assert_eq!(lines(text).collect::<Vec<_>>(), ["a: 1", "b: 2", "c: 3", "", "urll: x"]);
        assert_eq!(lines("a\n").collect::<Vec<_>>(), ["a", ""]);
        let place = Position::of(text, text.find("urll").unwrap() + 1);
        assert_eq!(place, Position { line: 5, column: 2 });
        let message = Invalid::new(place, "wrong").render("f", text);
        assert_eq!(message, "f:5:2: wrong\n  |\n5 | urll: x\n  |  ^");
        let root = crate::config::parse_yaml(text).unwrap();
        assert_eq!(root.entries().unwrap()[3].0.at, Position { line: 5, column: 1 });
    }

    #[test]
    fn secrets_are_starred_out() {
        assert_eq!(masked("  password: hunter2"), "  password: ***");
        assert_eq!(masked("- url: http://me:hunter2@loki/push"), "- url: http://***@loki/push");
        assert_eq!(masked("- url: http://loki/push"), "- url: http://loki/push");
        assert_eq!(masked("- url: http://tokens:3100/push"), "- url: http://tokens:3100/push");
        assert_eq!(
            masked("- {url: http://me:hunter2@loki/push, basic_auth: {password: hunter2}}"),
            "- {url: http://***@loki/push, basic_auth: {password: ***"
        );
        assert_eq!(masked("headers: {\"X-Api-Key\":hunter2}"), "headers: {\"X-Api-Key\": ***");
        assert_eq!(masked("key: \"-----BEGIN PRIVATE KEY-----\\nx\""), "key: \"***");
        assert_eq!(masked("- url: 'me:hunter2@loki/push'"), "- url: '***@loki/push'");
        assert_eq!(masked("  bearer_tokne: hunter2"), "  bearer_tokne: ***");
        assert_eq!(masked("  passwrd: hunter2"), "  passwrd: ***");
        assert_eq!(masked("  basic_auth: hunter2"), "  basic_auth: ***");
        assert_eq!(masked("  basic_auth: {username: me}"), "  basic_auth: {username: me}");
        assert_eq!(masked("- source_labels: [a@b]"), "- source_labels: [a@b]");
    }

    #[test]
    fn what_lies_inside_of_something_secret_is_starred_out() {
        let text = "\
clients:
- url: http://loki
  headers:
    X-Key: \"hunter2\"
  basic_auth:
    username: me
    password: |
      hunter2

      more
    foo: bar
  endpoint_params:
  - hunter2
";
        let lines = [
            (2, "- url: http://loki"),
            (4, "    X-Key: ***"),
            (6, "    username: me"),
            (8, "      ***"),
            (10, "      ***"),
            (11, "    foo: bar"),
            (13, "  ***"),
        ];
        for (number, expected) in lines {
            assert_eq!(shown(text, number), expected, "line {number}");
        }
    }

    #[test]
    fn a_typo_is_matched_and_a_foreign_word_is_not() {
        let known = ["clients", "positions", "scrape_configs"];
        assert_eq!(nearest("cleints", known), Some("clients"));
        assert_eq!(nearest("scrape_config", known), Some("scrape_configs"));
        assert_eq!(nearest("retention", known), None);
    }
}
