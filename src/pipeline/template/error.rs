//! What can be wrong with a template, and with one rendering of it.
//! In: the offset and the trouble.  Out: sentences.  Owns: nothing.

use std::borrow::Cow;
use std::fmt;

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem} (line {line}, byte {offset})")]
pub(crate) struct TemplateError {
    /// Counted from one.
    pub(crate) line: usize,
    /// Bytes from the start of the template.
    pub(crate) offset: usize,
    /// One sentence.
    pub(crate) problem: String,
}

impl TemplateError {
    pub(super) fn new(text: &str, offset: usize, problem: impl Into<String>) -> Self {
        let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        Self { line, offset, problem: problem.into() }
    }
}

/// Why a rendering stopped. Cheap to make: a template that does not suit the data costs one per line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RenderError {
    /// Bytes from the start of the template.
    offset: usize,
    problem: Problem,
}

impl RenderError {
    pub(super) fn new(offset: usize, problem: Problem) -> Self {
        Self { offset, problem }
    }

    /// What it is, without anything that the data says.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.problem {
            Problem::Said(Cow::Borrowed(sentence)) => sentence,
            Problem::Said(Cow::Owned(_)) => "the template cannot be rendered",
            Problem::WrongType { .. } => "wrong type for a value",
            Problem::NoValue { .. } => "no value where one is expected",
            Problem::Count { .. } => "wrong number of arguments",
            Problem::Limit { .. } => "a limit of templates is exceeded",
            Problem::NoField { .. } => "a value has no such field",
        }
    }
}

impl fmt::Display for RenderError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} (at byte {} of the template)", self.problem, self.offset)
    }
}

impl std::error::Error for RenderError {}

/// The trouble itself, before it is known where in the template it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    /// A sentence.
    Said(Cow<'static, str>),
    /// A parameter got a value of another type; Go names types, so do we.
    WrongType { wanted: &'static str, found: &'static str },
    /// A field that is not there was passed where a value is needed.
    NoValue { wanted: &'static str },
    /// Too many or too few arguments.
    Count { function: &'static str, least: usize, most: Option<usize>, found: usize },
    /// One of the limits of this module.
    Limit { what: &'static str, limit: usize },
    /// A field or method this value has not: `{{ .a.b }}` on a text.
    NoField { field: Box<str>, found: &'static str },
}

impl Problem {
    pub(super) fn said(sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::Said(sentence.into())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Said(sentence) => out.write_str(sentence),
            Problem::WrongType { wanted, found } => {
                write!(out, "wrong type for value: expected {wanted}, got {found}")
            }
            Problem::NoValue { wanted } => write!(out, "no value where {wanted} is expected"),
            Problem::Count { function, least, most, found } => {
                write!(out, "wrong number of arguments for {function}: ")?;
                match most {
                    Some(most) if most == least => write!(out, "wants {least}, got {found}"),
                    _ => write!(out, "wants at least {least}, got {found}"),
                }
            }
            Problem::Limit { what, limit } => write!(out, "the template exceeds the limit of {limit} {what}"),
            Problem::NoField { field, found } => write!(out, "a value of type {found} has no field {field}"),
        }
    }
}
