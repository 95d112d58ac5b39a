//! What an opening parenthesis begins: a group, a named group, flags.
//! In: a cursor standing on the parenthesis, and the flags in force.  Out: the opening, and the flags from there on.
//! Owns: nothing.

use super::PatternError;
use super::cursor::Cursor;

/// The four flags of RE2; off at the start of an expression.
#[derive(Clone, Copy, Default)]
pub(super) struct Flags {
    pub(super) ignore_case: bool,
    pub(super) multi_line: bool,
    pub(super) dot_newline: bool,
    pub(super) ungreedy: bool,
}

/// What was read.
pub(super) enum Opening<'a> {
    /// `(`
    Captured,
    /// `(?P<name>` or `(?<name>`
    Named(&'a str),
    /// `(?:` or `(?i:`, with the flags inside.
    Plain(Flags),
    /// `(?i)`: no group, the flags hold until the group around ends.
    Switch(Flags),
}

/// Reads one opening.
pub(super) fn opening<'a>(cursor: &mut Cursor<'a>, flags: Flags) -> Result<Opening<'a>, PatternError> {
    let start = cursor.at();
    cursor.next();
    if !cursor.eat("?") {
        return Ok(Opening::Captured);
    }
    if cursor.eat("P<") || (!is_look_behind(cursor.rest()) && cursor.eat("<")) {
        return name(cursor, start).map(Opening::Named);
    }
    let flags = read_flags(cursor, flags).ok_or_else(|| not_flags(cursor, start))?;
    if cursor.next() == Some(':') { Ok(Opening::Plain(flags)) } else { Ok(Opening::Switch(flags)) }
}

/// The name of a group and the `>` after it.
fn name<'a>(cursor: &mut Cursor<'a>, start: usize) -> Result<&'a str, PatternError> {
    let Some((name, _)) = cursor.rest().split_once('>') else {
        let written = cursor.all_from(start);
        return Err(PatternError::syntax(start, format!("missing > after the group name: `{written}`")));
    };
    cursor.skip(name.len() + 1);
    let problem = if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        "letters, digits and underscores only"
    } else if name.starts_with(|c: char| c.is_ascii_digit()) {
        // Legal in Go, but the engine has no such names, and renaming would change the label.
        "a name that begins with a digit is not supported here"
    } else {
        return Ok(name);
    };
    let written = cursor.since(start);
    Err(PatternError::syntax(start, format!("invalid group name: `{written}` ({problem})")))
}

/// Reads `ims-U` up to the `:` or `)` that ends it, which is left for the caller. Repeated flags are legal, the last
/// one counts; a minus needs a flag after it.
fn read_flags(cursor: &mut Cursor<'_>, mut flags: Flags) -> Option<Flags> {
    let mut on = true;
    let mut complete = true;
    loop {
        match cursor.peek()? {
            ':' | ')' if complete => return Some(flags),
            '-' if on => on = false,
            'i' => flags.ignore_case = on,
            'm' => flags.multi_line = on,
            's' => flags.dot_newline = on,
            'U' => flags.ungreedy = on,
            _ => return None,
        }
        complete = cursor.next() != Some('-');
    }
}

/// Says what is wrong with a `(?` that opens neither a group nor flags; the cursor stands on the culprit.
fn not_flags(cursor: &mut Cursor<'_>, start: usize) -> PatternError {
    cursor.next();
    let written = cursor.since(start);
    let inside = cursor.all_from(start).strip_prefix("(?").unwrap_or_default();
    let problem = if inside.starts_with(['=', '!']) || is_look_behind(inside) {
        format!("`{written}` looks around, which RE2 does not support")
    } else if inside.starts_with("P=") || inside.starts_with("P>") {
        format!("`{written}` refers to another group, which RE2 does not support")
    } else if inside.starts_with('#') {
        format!("`{written}` is a comment, which RE2 does not support")
    } else if inside.starts_with('>') {
        format!("`{written}` is an atomic group, which RE2 does not support")
    } else {
        format!("invalid or unsupported Perl syntax: `{written}` (the flags are i, m, s and U)")
    };
    PatternError::syntax(start, problem)
}

fn is_look_behind(inside: &str) -> bool {
    inside.starts_with("<=") || inside.starts_with("<!")
}
