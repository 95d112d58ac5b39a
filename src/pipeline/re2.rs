//! Go's regular expressions on the Rust engine: the dialect every expression of a configuration is written in.
//! In: an RE2 expression, or a template with `$1` references.  Out: a compiled regex, or the expanded text.
//! Owns: the limits below and the translation; no state.
//!
//! Both engines search leftmost-first in linear time, so only the notation differs: the expression is parsed by Go's
//! rules and written again in the Rust crate's syntax, or refused for the reason Go would refuse it.
//!
//! Where the two still part:
//! - Go reads each byte of invalid UTF-8 as one U+FFFD; here `.`, `[^a]` and `\W` do not match such a byte, so callers
//!   search a copy in which it is one (`Entry::searchable`).
//! - An empty match can lie inside a character of several bytes: `\B` may find one, and an iteration over all matches
//!   visits them, so whoever replaces matches must pass over those.
//! - Refused with their own sentences: two groups of one name, names that begin with a digit, nesting over 250 levels,
//!   automata over 10 MiB. Unicode names are matched loosely (`\p{greek}`), as Go does since 1.25.

mod class;
#[cfg(test)]
mod conformance;
pub(crate) mod cursor;
mod escape;
mod group;
mod repeat;
mod replacement;
#[cfg(test)]
mod tests;
mod translate;

pub(crate) use replacement::Replacement;

use regex::bytes::{Regex, RegexBuilder};

/// Upper bound of one compiled expression; the default of the regex crate, named because an operator can hit it.
const COMPILED_LIMIT: usize = 10 << 20;

/// Levels of groups in each other. Go's bound is 1000, but the engine compiles recursively and overflows the 2 MiB
/// stack of a thread at 900; nothing written by hand comes near either.
const NESTING_LIMIT: usize = 250;

/// The engine counts its own syntax nodes, several per level of ours, so its bound must stand well above ours.
const ENGINE_NESTING_LIMIT: u32 = 16 * NESTING_LIMIT as u32;

/// Why an expression cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PatternError {
    /// Not RE2; `offset` is the byte of the expression where the trouble starts.
    #[error("{problem} (at byte {offset})")]
    Syntax {
        /// Byte offset into the expression as it was written.
        offset: usize,
        /// One sentence, quoting the piece at fault.
        problem: String,
    },
    /// Valid, but its automaton is larger than one expression may be.
    #[error(
        "the compiled expression would be larger than {limit} bytes; use smaller repeat counts or classes"
    )]
    TooLarge {
        /// The bound, in bytes.
        limit: usize,
    },
    /// The engine refused what the translation wrote: a defect of the translation, reported instead of hidden.
    #[error("the regex engine refused the expression: {reason}")]
    Engine {
        /// The engine's own words.
        reason: String,
    },
}

impl PatternError {
    fn syntax(offset: usize, problem: impl Into<String>) -> Self {
        Self::Syntax { offset, problem: problem.into() }
    }

    /// The same error with the offset counted from after a prefix the user did not write.
    fn after_prefix(self, prefix: &str) -> Self {
        match self {
            Self::Syntax { offset, problem } => {
                Self::Syntax { offset: offset.saturating_sub(prefix.len()), problem }
            }
            other => other,
        }
    }
}

/// Compiles an RE2 expression for an unanchored search.
pub(crate) fn compile(expression: &str) -> Result<Regex, PatternError> {
    build(&translate::translate(expression)?)
}

/// Compiles `^(?s:<expression>)$`: the whole text, dot matching newlines too, as relabel rules have it.
pub(crate) fn compile_anchored_dotall(expression: &str) -> Result<Regex, PatternError> {
    compile_between("^(?s:", expression, ")$")
}

/// Compiles `^(?:<expression>)$`: the whole text, as the label matchers of selectors have it.
pub(crate) fn compile_anchored(expression: &str) -> Result<Regex, PatternError> {
    compile_between("^(?:", expression, ")$")
}

/// Go joins the three texts before parsing, so `a)|(b` is legal between brackets; that is kept. The complaint, though,
/// must be about the text the user knows, so a failure is looked for in the bare expression first.
fn compile_between(prefix: &str, expression: &str, suffix: &str) -> Result<Regex, PatternError> {
    let joined = format!("{prefix}{expression}{suffix}");
    match translate::translate(&joined) {
        Ok(pattern) => build(&pattern),
        Err(error) => match translate::translate(expression) {
            Err(bare) => Err(bare),
            Ok(_) => Err(error.after_prefix(prefix)),
        },
    }
}

fn build(pattern: &str) -> Result<Regex, PatternError> {
    let built =
        RegexBuilder::new(pattern).size_limit(COMPILED_LIMIT).nest_limit(ENGINE_NESTING_LIMIT).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(limit) => PatternError::TooLarge { limit },
        other => PatternError::Engine { reason: other.to_string() },
    })
}
