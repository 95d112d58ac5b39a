//! References to the environment, replaced in the whole text before YAML is read (`-config.expand-env`).
//! In: the text of a file, a lookup of variables.  Out: the text to parse, or which reference is wrong.  Owns: nothing.
//!
//! The grammar is that of drone/envsubst 1.0.3, which Promtail uses, with its surprises: `:-`, `:=`, `=`, `:?` and
//! `:+` all mean "if unset or empty"; `$$`, `\\` and `\/` are escapes in plain text and in `/pattern/replacement`,
//! but not in defaults; a default ends at the first `}` outside a nested reference. Comments are no exception.

mod change;

use crate::config::env::change::{Letters, Side};

/// References within references; real files have two or three.
const MAX_DEPTH: usize = 32;

/// No configuration is larger: a few bytes can ask for gigabytes (`${A//x/${B}}`).
const MAX_OUTPUT: usize = 16 << 20;

/// A reference that cannot be replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub(crate) struct EnvError {
    /// Where the reference begins: a byte offset into the text.
    pub(crate) at: usize,
    /// What is wrong. Names the variable, never its value.
    pub(crate) sentence: String,
}

/// Replaces every reference; `lookup` gives the value of a variable that is set.
pub(crate) fn expand(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, EnvError> {
    Expander { text, at: 0, lookup, groups: Vec::new() }.document()
}

/// References that look like a regex group (`${1}` in a relabel replacement) and would be emptied: offset and text.
pub(crate) fn suspicious(text: &str) -> Vec<(usize, String)> {
    let mut expander = Expander { text, at: 0, lookup: &|_| None, groups: Vec::new() };
    // What stands behind an error is not looked at: `expand` refuses such a text anyway.
    drop(expander.document());
    expander.groups
}

struct Expander<'t> {
    text: &'t str,
    at: usize,
    lookup: &'t dyn Fn(&str) -> Option<String>,
    /// Plain references to a number, seen so far.
    groups: Vec<(usize, String)>,
}

impl<'t> Expander<'t> {
    fn document(&mut self) -> Result<String, EnvError> {
        let mut out = String::with_capacity(self.text.len());
        while self.at < self.text.len() {
            let start = self.at;
            let piece = match self.rest().starts_with("${") {
                true => self.reference(0)?,
                false => self.plain(&[], true),
            };
            append(&mut out, &piece).map_err(|sentence| EnvError { at: start, sentence })?;
        }
        Ok(out)
    }

    /// Text up to the next reference, the next of `ends`, or the end.
    fn plain(&mut self, ends: &[char], escapes: bool) -> String {
        let mut out = String::new();
        while let Some(next) = self.rest().chars().next() {
            let pair = self.rest().get(..2).unwrap_or_default();
            if escapes && matches!(pair, "$$" | "\\\\" | "\\/") {
                out.push_str(&pair[1..]);
                self.at += 2;
            } else if pair == "${" || ends.contains(&next) {
                break;
            } else {
                out.push(next);
                self.at += next.len_utf8();
            }
        }
        out
    }

    /// One reference, from its `${` to its `}`.
    fn reference(&mut self, depth: usize) -> Result<String, EnvError> {
        let start = self.at;
        self.at += "${".len();
        if depth >= MAX_DEPTH {
            return Err(wrong(start, format!("references are nested more than {MAX_DEPTH} deep")));
        }
        if self.eat("#") {
            let name = self.name(start)?;
            self.close(start, name)?;
            return Ok(self.value(name).len().to_string());
        }
        let name = self.name(start)?;
        let value = self.value(name);
        let inner = Inner { start, depth, name };
        match self.rest().chars().next() {
            Some(':') if self.rest()[1..].starts_with(['=', '-', '?', '+']) => {
                self.at += 2;
                self.default(inner, value)
            }
            Some(':') => self.substring(inner, &value),
            Some('=') => {
                self.at += 1;
                self.default(inner, value)
            }
            Some(',' | '^') => self.letters(inner, value),
            Some('#' | '%') => self.trim(inner, value),
            Some('/') => self.replace(inner, value),
            _ => {
                self.close(start, name)?;
                if name.bytes().all(|byte| byte.is_ascii_digit()) {
                    self.groups.push((start, self.text[start..self.at].to_owned()));
                }
                Ok(value)
            }
        }
    }

    /// `${V:-d}` and its kin: all of them use `d` when the variable is unset or empty.
    fn default(&mut self, inner: Inner<'_>, value: String) -> Result<String, EnvError> {
        let mut default = String::new();
        while !self.eat("}") {
            let piece = self.argument(inner, &['}'], false)?;
            append(&mut default, &piece).map_err(|sentence| wrong(inner.start, sentence))?;
        }
        Ok(if value.is_empty() { default } else { value })
    }

    /// `${V:position}` and `${V:position:length}`, in bytes.
    fn substring(&mut self, inner: Inner<'_>, value: &str) -> Result<String, EnvError> {
        self.at += 1;
        let position = self.argument(inner, &[':', '}'], false)?;
        let length = match self.eat(":") {
            true => {
                while self.eat(":") {}
                Some(self.argument(inner, &['}'], false)?)
            }
            false => None,
        };
        self.close(inner.start, inner.name)?;
        change::substring(value, &position, length.as_deref())
            .map_err(|cause| wrong(inner.start, format!("`${{{}:` {cause}", inner.name)))
    }

    /// `${V^}`, `${V^^}`, `${V,}`, `${V,,}`.
    fn letters(&mut self, inner: Inner<'_>, value: String) -> Result<String, EnvError> {
        let operator = self.take(|index, next| index < 2 && matches!(next, ',' | '^'));
        self.close(inner.start, inner.name)?;
        Ok(match operator {
            "^" => change::first(&value, Letters::Upper),
            "^^" => change::all(&value, Letters::Upper),
            "," => change::first(&value, Letters::Lower),
            ",," => change::all(&value, Letters::Lower),
            // `^,` is read, and changes nothing.
            _ => value,
        })
    }

    /// `${V#p}`, `${V##p}`, `${V%p}`, `${V%%p}`.
    fn trim(&mut self, inner: Inner<'_>, value: String) -> Result<String, EnvError> {
        let sign = if self.rest().starts_with('#') { '#' } else { '%' };
        let operator = self.take(|index, next| index < 2 && next == sign);
        let pattern = self.argument(inner, &['}'], false)?;
        self.close(inner.start, inner.name)?;
        let side = if sign == '#' { Side::Start } else { Side::End };
        change::trim(value, &pattern, side, operator.len() == 2).map_err(|cause| wrong(inner.start, cause))
    }

    /// `${V/p/r}`, `${V//p/r}`, `${V/#p/r}`, `${V/%p/r}`; the replacement may be missing.
    fn replace(&mut self, inner: Inner<'_>, value: String) -> Result<String, EnvError> {
        let operator = self.take(|index, next| match index {
            0 => next == '/',
            1 => matches!(next, '/' | '#' | '%'),
            _ => false,
        });
        let pattern = self.argument(inner, &['/'], true)?;
        if !self.eat("/") {
            return Err(wrong(inner.start, format!("`${{{}/` lacks the `/` after its pattern", inner.name)));
        }
        while self.eat("/") {}
        let with = match self.rest().starts_with('}') {
            true => None,
            false => Some(self.argument(inner, &['}'], true)?),
        };
        self.close(inner.start, inner.name)?;
        change::replace(value, operator, &pattern, with.as_deref(), MAX_OUTPUT)
            .ok_or_else(|| wrong(inner.start, too_large()))
    }

    /// One argument: a nested reference, or text that ends before one of `ends` and before the next reference.
    fn argument(&mut self, inner: Inner<'_>, ends: &[char], escapes: bool) -> Result<String, EnvError> {
        if self.rest().starts_with("${") {
            return self.reference(inner.depth + 1);
        }
        let text = self.plain(ends, escapes);
        match (text.is_empty(), self.rest().is_empty()) {
            (false, _) => Ok(text),
            (true, true) => Err(unclosed(inner.start, inner.name)),
            (true, false) => {
                let read = &self.text[inner.start..self.at];
                Err(wrong(inner.start, format!("`{read}` must be followed by something")))
            }
        }
    }

    fn name(&mut self, start: usize) -> Result<&'t str, EnvError> {
        let name = self.take(|_, next| next.is_alphanumeric() || next == '_');
        match (name.is_empty(), self.rest().is_empty()) {
            (false, _) => Ok(name),
            (true, true) => Err(unclosed(start, name)),
            (true, false) => Err(wrong(start, "there is no variable name after `${`".to_owned())),
        }
    }

    fn close(&mut self, start: usize, name: &str) -> Result<(), EnvError> {
        match self.rest().chars().next() {
            Some('}') => {
                self.at += 1;
                Ok(())
            }
            None => Err(unclosed(start, name)),
            Some(next) => {
                let hint = match next {
                    '-' | '+' | '?' => format!("; a default is written `${{{name}:-default}}`"),
                    _ => String::new(),
                };
                Err(wrong(start, format!("missing closing brace: `${{{name}` goes on with {next:?}{hint}")))
            }
        }
    }

    fn value(&self, name: &str) -> String {
        (self.lookup)(name).unwrap_or_default()
    }

    fn take(&mut self, accept: impl Fn(usize, char) -> bool) -> &'t str {
        let rest = self.rest();
        let refused = rest.char_indices().enumerate().find(|(index, (_, next))| !accept(*index, *next));
        let taken = &rest[..refused.map_or(rest.len(), |(_, (at, _))| at)];
        self.at += taken.len();
        taken
    }

    fn eat(&mut self, text: &str) -> bool {
        let eaten = self.rest().starts_with(text);
        self.at += if eaten { text.len() } else { 0 };
        eaten
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }
}

/// Inside a reference: where it begins, how deep it is, its variable.
#[derive(Clone, Copy)]
struct Inner<'t> {
    start: usize,
    depth: usize,
    name: &'t str,
}

fn append(out: &mut String, piece: &str) -> Result<(), String> {
    if out.len() + piece.len() > MAX_OUTPUT {
        return Err(too_large());
    }
    out.push_str(piece);
    Ok(())
}

fn too_large() -> String {
    format!("the text would grow over {} MiB here", MAX_OUTPUT >> 20)
}

fn unclosed(start: usize, name: &str) -> EnvError {
    wrong(start, format!("missing closing brace: `${{{name}` is never closed"))
}

fn wrong(at: usize, sentence: String) -> EnvError {
    EnvError { at, sentence }
}

#[cfg(test)]
mod tests;
