//! Writes an RE2 expression again in the Rust crate's syntax.
//! In: the expression.  Out: a pattern with the same meaning and the same groups, or the reason Go refuses it.
//! Owns: the output so far, the groups still open and the flags in force.
//!
//! Flags are resolved here: `(?i)` and its kind never reach the output, each piece carries its own (`(?i:k)`). The
//! scopes of the two dialects then cannot disagree, and `a(?i)*`, which Go reads as `a*`, needs no special care.

use super::cursor::Cursor;
use super::group::{Flags, Opening, opening};
use super::repeat::{self, Count};
use super::{NESTING_LIMIT, PatternError, class, escape};

/// Translates one expression.
pub(super) fn translate(expression: &str) -> Result<String, PatternError> {
    let mut translator = Translator::new(expression);
    while let Some(next) = translator.cursor.peek() {
        translator.piece(next)?;
    }
    translator.finish()
}

/// How much there is of a part.
#[derive(Clone, Copy)]
struct Extent {
    /// Copies of its innermost piece that its counts ask for, multiplied.
    copies: u32,
    /// Brackets in brackets in the output.
    height: usize,
}

impl Extent {
    const PIECE: Self = Self { copies: 1, height: 0 };

    fn include(&mut self, part: Self) {
        self.copies = self.copies.max(part.copies);
        self.height = self.height.max(part.height);
    }

    /// One more bracket around it, if the limit allows; `offset` is where the expression asks for it.
    fn bracketed(mut self, offset: usize) -> Result<Self, PatternError> {
        self.height += 1;
        if self.height > NESTING_LIMIT { Err(too_deep(offset)) } else { Ok(self) }
    }
}

/// What a repetition operator written next would repeat.
#[derive(Clone, Copy)]
struct Atom {
    /// Where it begins in the output; it ends where the output ends.
    start: usize,
    extent: Extent,
    /// It ends in a repetition already and needs brackets before another one.
    repeated: bool,
}

/// A group that is open, or the whole expression.
struct Group {
    /// Offset of its parenthesis in the expression.
    opened_at: usize,
    /// Offset of its parenthesis in the output.
    out_start: usize,
    /// The flags in force again once it closes.
    flags_around: Flags,
    /// None at the start of each alternative.
    atom: Option<Atom>,
    /// The largest of its parts.
    extent: Extent,
}

impl Group {
    fn new(opened_at: usize, out_start: usize, flags_around: Flags) -> Self {
        Self { opened_at, out_start, flags_around, atom: None, extent: Extent::PIECE }
    }
}

struct Translator<'a> {
    cursor: Cursor<'a>,
    out: String,
    flags: Flags,
    group: Group,
    /// The groups around `group`, outermost first.
    outer: Vec<Group>,
    names: Vec<&'a str>,
    /// The last repetition operator: where it starts and ends in the expression.
    last_repetition: Option<(usize, usize)>,
}

impl<'a> Translator<'a> {
    fn new(expression: &'a str) -> Self {
        Self {
            cursor: Cursor::new(expression),
            out: String::with_capacity(expression.len() * 2),
            flags: Flags::default(),
            group: Group::new(0, 0, Flags::default()),
            outer: Vec::new(),
            names: Vec::new(),
            last_repetition: None,
        }
    }

    fn piece(&mut self, next: char) -> Result<(), PatternError> {
        match next {
            '\\' => self.escape(),
            '(' => self.open(),
            ')' => self.close(),
            '[' => {
                let class = class::bracketed(&mut self.cursor)?;
                self.class(&class);
                Ok(())
            }
            _ => self.character(),
        }
    }

    /// A character that is a piece or an operator by itself.
    fn character(&mut self) -> Result<(), PatternError> {
        let start = self.cursor.at();
        match self.cursor.next() {
            Some('*') => return self.repeat(start, Count { low: 0, high: None }),
            Some('+') => return self.repeat(start, Count { low: 1, high: None }),
            Some('?') => return self.repeat(start, Count { low: 0, high: Some(1) }),
            Some('{') => match repeat::read_braced(&mut self.cursor) {
                Some(count) => return self.repeat(start, count),
                None => self.literal('{'),
            },
            Some('|') => {
                self.out.push('|');
                self.group.atom = None;
            }
            Some('^') => self.atom(if self.flags.multi_line { "(?m:^)" } else { r"\A" }),
            Some('$') => self.atom(if self.flags.multi_line { "(?m:$)" } else { r"\z" }),
            Some('.') => self.atom(if self.flags.dot_newline { "(?s:.)" } else { "." }),
            Some(other) => self.literal(other),
            None => {}
        }
        Ok(())
    }

    fn escape(&mut self) -> Result<(), PatternError> {
        // ASCII boundaries, as in Go; the crate's own are Unicode.
        let assertions = [(r"\A", r"\A"), (r"\z", r"\z"), (r"\b", r"(?-u:\b)"), (r"\B", r"(?-u:\B)")];
        if let Some((_, ours)) = assertions.iter().find(|(theirs, _)| self.cursor.eat(theirs)) {
            self.atom(ours);
        } else if self.cursor.eat(r"\Q") {
            self.quoted();
        } else if let Some(class) = class::shorthand(&mut self.cursor)? {
            self.class(&class);
        } else {
            let code_point = escape::one_character(&mut self.cursor)?;
            match char::from_u32(code_point) {
                Some(character) => self.literal(character),
                None => self.class(&class::single(code_point)),
            }
        }
        Ok(())
    }

    /// The text up to `\E`, or to the end, each character standing for itself.
    fn quoted(&mut self) {
        let rest = self.cursor.rest();
        let text = rest.split_once(r"\E").map_or(rest, |(text, _)| text);
        self.cursor.skip(text.len());
        self.cursor.eat(r"\E");
        for character in text.chars() {
            self.literal(character);
        }
    }

    fn literal(&mut self, character: char) {
        let escaped = regex::escape(character.encode_utf8(&mut [0; 4]));
        let has_cases = character.is_ascii_alphabetic() || !character.is_ascii();
        if self.flags.ignore_case && has_cases {
            self.atom(&format!("(?i:{escaped})"));
        } else {
            self.atom(&escaped);
        }
    }

    fn class(&mut self, class: &str) {
        if self.flags.ignore_case {
            self.atom(&format!("(?i:{class})"));
        } else {
            self.atom(class);
        }
    }

    fn atom(&mut self, pattern: &str) {
        self.group.atom = Some(Atom { start: self.out.len(), extent: Extent::PIECE, repeated: false });
        self.out.push_str(pattern);
    }

    /// Writes the repetition whose operator starts at `start` and has just been read, but for a `?` after it.
    fn repeat(&mut self, start: usize, count: Count) -> Result<(), PatternError> {
        let operator = self.cursor.since(start);
        let lazy = self.cursor.eat("?") != self.flags.ungreedy;
        let written = self.cursor.since(start);
        if let Some((previous, _)) = self.last_repetition.filter(|(_, end)| *end == start) {
            let both = self.cursor.since(previous);
            let problem = format!("invalid nested repetition operator: `{both}`");
            return Err(PatternError::syntax(previous, problem));
        }
        let Some(mut atom) = self.group.atom else {
            let problem = format!("missing argument to repetition operator: `{written}`");
            return Err(PatternError::syntax(start, problem));
        };
        atom.extent.copies = count.copies_of(atom.extent.copies).ok_or_else(|| {
            let limit = repeat::LIMIT;
            let problem =
                format!("invalid repeat count: `{written}` (at most {limit}, nested ones multiplied)");
            PatternError::syntax(start, problem)
        })?;
        if count.is_nothing() {
            // The engine forgets the groups inside `x{0}`, which would renumber the ones after it; an optional part
            // that cannot match keeps them.
            atom.extent = atom.extent.bracketed(start)?;
            self.out.insert_str(atom.start, class::NOTHING);
            self.out.insert_str(atom.start, "(?:");
            self.out.push_str(")?");
        } else {
            if atom.repeated {
                atom.extent = atom.extent.bracketed(start)?;
                self.out.insert_str(atom.start, "(?:");
                self.out.push(')');
            }
            self.out.push_str(operator);
        }
        if lazy {
            self.out.push('?');
        }
        atom.repeated = true;
        self.group.atom = Some(atom);
        self.group.extent.include(atom.extent);
        self.last_repetition = Some((start, self.cursor.at()));
        Ok(())
    }

    /// Begins a group, or switches flags.
    fn open(&mut self) -> Result<(), PatternError> {
        let start = self.cursor.at();
        let (written, flags) = match opening(&mut self.cursor, self.flags)? {
            Opening::Switch(flags) => {
                self.flags = flags;
                return Ok(());
            }
            Opening::Captured => ("(".to_owned(), self.flags),
            Opening::Plain(flags) => ("(?:".to_owned(), flags),
            Opening::Named(name) => {
                self.take_name(name, start)?;
                (format!("(?P<{name}>"), self.flags)
            }
        };
        if self.outer.len() >= NESTING_LIMIT {
            return Err(too_deep(start));
        }
        let inner = Group::new(start, self.out.len(), self.flags);
        self.outer.push(std::mem::replace(&mut self.group, inner));
        self.out.push_str(&written);
        self.flags = flags;
        Ok(())
    }

    /// Go lets several groups share a name and reads them in two ways (first that matched, or last); here a name is
    /// one group's.
    fn take_name(&mut self, name: &'a str, start: usize) -> Result<(), PatternError> {
        if self.names.contains(&name) {
            return Err(PatternError::syntax(start, format!("another group is named `{name}` already")));
        }
        self.names.push(name);
        Ok(())
    }

    fn close(&mut self) -> Result<(), PatternError> {
        let start = self.cursor.at();
        self.cursor.next();
        let Some(around) = self.outer.pop() else {
            return Err(PatternError::syntax(start, "unexpected )"));
        };
        let closed = std::mem::replace(&mut self.group, around);
        self.out.push(')');
        self.flags = closed.flags_around;
        let extent = closed.extent.bracketed(closed.opened_at)?;
        self.group.atom = Some(Atom { start: closed.out_start, extent, repeated: false });
        self.group.extent.include(extent);
        Ok(())
    }

    fn finish(self) -> Result<String, PatternError> {
        if self.outer.is_empty() {
            return Ok(self.out);
        }
        let opened_at = self.group.opened_at;
        let written = self.cursor.all_from(opened_at);
        Err(PatternError::syntax(opened_at, format!("missing closing ): `{written}`")))
    }
}

fn too_deep(offset: usize) -> PatternError {
    PatternError::syntax(offset, format!("the expression nests deeper than {NESTING_LIMIT} levels"))
}
