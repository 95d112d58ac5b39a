//! What one rendering may use. A template runs on every line, so none may hang the agent or fill its memory.
//! In: what is about to be used.  Out: leave, or the limit that was hit.  Owns: the counters of one rendering.

use std::rc::Rc;

use regex::bytes::Regex;

use super::error::Problem;
use super::value::Dict;

/// Bytes of one text, the output included; Loki refuses longer lines anyway.
pub(super) const TEXT_LIMIT: usize = 1 << 20;

/// Bytes of all texts and lists that functions make during one rendering.
const TOTAL_LIMIT: usize = 16 << 20;

/// Nodes, calls and list elements visited in one rendering.
const STEP_LIMIT: usize = 100_000;

/// Templates calling templates, and control structures and parentheses in each other while rendering.
pub(super) const DEPTH_LIMIT: usize = 100;

/// The same for the text of a template: the parser and what runs the tree are recursive.
pub(super) const NESTING_LIMIT: usize = 100;

/// Lists and dicts in each other. Printing, comparing and copying are recursive.
pub(super) const VALUE_DEPTH_LIMIT: usize = 100;

/// Bytes of text that count as one step for the function that reads them.
const BYTES_PER_STEP: usize = 1024;

/// Steps that compiling an expression counts for. Most take tens of microseconds, the largest a tenth of a second.
const COMPILE_STEPS: usize = 5000;

/// The counters of one rendering, and what must live as long as it.
#[derive(Debug)]
pub(super) struct Budget<'a> {
    steps: usize,
    bytes: usize,
    /// Every dict made, so that cycles and long chains can be taken apart in the end; see `Drop`.
    dicts: Vec<Rc<Dict<'a>>>,
    /// Expressions that were not in the template as literals.
    regexes: Vec<(String, Rc<Regex>)>,
}

impl<'a> Budget<'a> {
    pub(super) fn new() -> Self {
        Self { steps: STEP_LIMIT, bytes: TOTAL_LIMIT, dicts: Vec::new(), regexes: Vec::new() }
    }

    /// Counts work before it is done.
    pub(super) fn step(&mut self, steps: usize) -> Result<(), Problem> {
        self.steps = self.steps.checked_sub(steps).ok_or(STEPS_EXCEEDED)?;
        Ok(())
    }

    /// Counts text that is about to be read.
    pub(super) fn read(&mut self, bytes: usize) -> Result<(), Problem> {
        self.step(bytes / BYTES_PER_STEP)
    }

    /// Counts memory that was made.
    pub(super) fn made(&mut self, bytes: usize) -> Result<(), Problem> {
        self.bytes = self
            .bytes
            .checked_sub(bytes)
            .ok_or(Problem::Limit { what: "bytes of intermediate values", limit: TOTAL_LIMIT })?;
        Ok(())
    }

    pub(super) fn keep(&mut self, dict: &Rc<Dict<'a>>) {
        self.dicts.push(Rc::clone(dict));
    }

    /// The expression, compiled at most once per rendering.
    pub(super) fn regex(&mut self, expression: &str) -> Result<Rc<Regex>, Problem> {
        if let Some((_, regex)) = self.regexes.iter().find(|(known, _)| known == expression) {
            return Ok(Rc::clone(regex));
        }
        self.step(COMPILE_STEPS)?;
        let regex = Rc::new(compile(expression)?);
        self.regexes.push((expression.to_owned(), Rc::clone(&regex)));
        Ok(regex)
    }
}

pub(super) fn compile(expression: &str) -> Result<Regex, Problem> {
    crate::pipeline::re2::compile(expression)
        .map_err(|error| Problem::said(format!("invalid regular expression: {error}")))
}

impl Drop for Budget<'_> {
    /// `set` can put a dict into itself, and dicts into dicts without end. Emptied while all are still held, they
    /// neither leak nor fall recursively.
    fn drop(&mut self) {
        for dict in &self.dicts {
            let entries = std::mem::take(&mut *dict.entries.borrow_mut());
            drop(entries);
        }
    }
}

const STEPS_EXCEEDED: Problem = Problem::Limit { what: "steps", limit: STEP_LIMIT };

const TEXT_EXCEEDED: Problem = Problem::Limit { what: "bytes in one text", limit: TEXT_LIMIT };

/// Refuses a text of that length.
pub(super) fn text_length(bytes: Option<usize>) -> Result<usize, Problem> {
    bytes.filter(|&bytes| bytes <= TEXT_LIMIT).ok_or(TEXT_EXCEEDED)
}

/// A text under construction that cannot outgrow the limit.
#[derive(Debug)]
pub(super) struct Sink<'o> {
    text: &'o mut String,
    end: usize,
}

impl<'o> Sink<'o> {
    /// Appends to `text`; what is there already does not count.
    pub(super) fn new(text: &'o mut String) -> Self {
        let end = text.len().saturating_add(TEXT_LIMIT);
        Self { text, end }
    }

    pub(super) fn push_str(&mut self, piece: &str) -> Result<(), Problem> {
        if piece.len() > self.end - self.text.len() {
            return Err(TEXT_EXCEEDED);
        }
        self.text.push_str(piece);
        Ok(())
    }

    pub(super) fn push(&mut self, character: char) -> Result<(), Problem> {
        self.push_str(character.encode_utf8(&mut [0; 4]))
    }

    pub(super) fn push_times(&mut self, character: char, times: usize) -> Result<(), Problem> {
        text_length(times.checked_mul(character.len_utf8()))?;
        (0..times).try_for_each(|_| self.push(character))
    }

    pub(super) fn write(&mut self, arguments: std::fmt::Arguments<'_>) -> Result<(), Problem> {
        std::fmt::Write::write_fmt(self, arguments).map_err(|_| TEXT_EXCEEDED)
    }
}

impl std::fmt::Write for Sink<'_> {
    fn write_str(&mut self, piece: &str) -> std::fmt::Result {
        self.push_str(piece).map_err(|_| std::fmt::Error)
    }
}

/// Builds one text within the limit.
pub(super) fn build(fill: impl FnOnce(&mut Sink<'_>) -> Result<(), Problem>) -> Result<String, Problem> {
    let mut text = String::new();
    fill(&mut Sink::new(&mut text))?;
    Ok(text)
}
