//! Constraints on versions: `>=1.2 <2, ~3.4 || ^5`.
//! In: a constraint.  Out: alternatives, each of which must hold whole.  Owns: nothing.

use std::cmp::Ordering;

use super::Version;

/// Longest first: one operator can begin another.
const OPERATORS: [(&str, Operator); 12] = [
    ("!=", Operator::NotEqual),
    (">=", Operator::AtLeast),
    ("=>", Operator::AtLeast),
    ("<=", Operator::AtMost),
    ("=<", Operator::AtMost),
    ("~>", Operator::Tilde),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("=", Operator::Equal),
    ("~", Operator::Tilde),
    ("^", Operator::Caret),
    ("", Operator::Equal),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    AtLeast,
    Less,
    AtMost,
    Tilde,
    Caret,
}

/// How much of the version was written; the rest is `x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Written {
    Nothing,
    Major,
    Minor,
    Whole,
}

/// One comparison.
#[derive(Debug)]
pub(super) struct Constraint {
    operator: Operator,
    version: Version,
    written: Written,
}

/// Alternatives of comparisons that must all hold.
pub(super) fn parse(text: &str) -> Option<Vec<Vec<Constraint>>> {
    text.split("||").map(all).collect()
}

fn all(text: &str) -> Option<Vec<Constraint>> {
    let spread = spread_ranges(text);
    let mut rest = spread.trim();
    let mut constraints = Vec::new();
    if rest.is_empty() {
        constraints.push(one("*")?.0);
    }
    while !rest.is_empty() {
        let (constraint, after) = one(rest)?;
        constraints.push(constraint);
        let trimmed = after.trim_start();
        rest = match trimmed.strip_prefix(',') {
            Some(after_comma) if !after_comma.trim().is_empty() => after_comma.trim_start(),
            Some(_) => return None,
            None if trimmed.len() == after.len() && !after.is_empty() => return None,
            None => trimmed,
        };
    }
    Some(constraints)
}

/// `1.2 - 1.4` is `>=1.2 <=1.4`.
fn spread_ranges(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    if !words.contains(&"-") {
        return text.to_owned();
    }
    let mut spread = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let next_is_dash = words.get(at + 1) == Some(&"-");
        let before_is_dash = at.checked_sub(1).and_then(|before| words.get(before)) == Some(&"-");
        match (*word, next_is_dash, before_is_dash) {
            ("-", ..) => {}
            (word, true, _) => spread.push(format!(">={word}")),
            (word, _, true) => spread.push(format!("<={word}")),
            (word, ..) => spread.push(word.to_owned()),
        }
    }
    spread.join(" ")
}

/// One comparison and what follows it.
fn one(text: &str) -> Option<(Constraint, &str)> {
    let (after, operator) =
        OPERATORS.iter().find_map(|(sign, operator)| Some((text.strip_prefix(sign)?, *operator)))?;
    let after = after.trim_start();
    let length = after.find(|next: char| next.is_whitespace() || next == ',').unwrap_or(after.len());
    let (version, rest) = after.split_at(length);
    let (version, written) = version_with_x(version)?;
    Some((Constraint { operator, version, written }, rest))
}

/// A version in which trailing numbers may be missing, or `x`, `X` or `*`.
fn version_with_x(text: &str) -> Option<(Version, Written)> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let numbers_end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, suffix) = text.split_at(numbers_end);
    if numbers.is_empty() {
        return None;
    }
    let mut known = Vec::new();
    let mut is_open = false;
    for number in numbers.split('.') {
        is_open |= matches!(number, "x" | "X" | "*");
        if !is_open {
            known.push(number);
        }
    }
    let written = match known.len() {
        0 => Written::Nothing,
        1 => Written::Major,
        2 => Written::Minor,
        _ => Written::Whole,
    };
    while known.len() < 3 {
        known.push("0");
    }
    let version = Version::parse(&format!("{}{suffix}", known.join(".")))?;
    Some((version, written))
}

impl Constraint {
    /// A pre-release is admitted only where the constraint names one.
    pub(super) fn admits(&self, version: &Version) -> bool {
        let wanted = &self.version;
        let is_open = self.written < Written::Whole;
        let unasked_pre = !version.pre.is_empty() && wanted.pre.is_empty();
        if unasked_pre && (is_open || self.operator != Operator::NotEqual) {
            return false;
        }
        let order = version.precedence(wanted);
        match self.operator {
            Operator::Equal if is_open => self.tilde(version),
            Operator::Equal => order == Ordering::Equal,
            Operator::NotEqual => order != Ordering::Equal && !(is_open && self.same(version)),
            Operator::Greater if is_open => order == Ordering::Greater && !self.same(version),
            Operator::Greater => order == Ordering::Greater,
            Operator::AtLeast => order != Ordering::Less,
            Operator::Less => order == Ordering::Less,
            Operator::AtMost if is_open => order != Ordering::Greater || self.same(version),
            Operator::AtMost => order != Ordering::Greater,
            Operator::Tilde => self.tilde(version),
            Operator::Caret => self.caret(version),
        }
    }

    /// The written numbers agree.
    fn same(&self, version: &Version) -> bool {
        let wanted = &self.version;
        (self.written < Written::Major || version.major == wanted.major)
            && (self.written < Written::Minor || version.minor == wanted.minor)
    }

    fn tilde(&self, version: &Version) -> bool {
        let wanted = &self.version;
        if version.precedence(wanted) == Ordering::Less {
            return false;
        }
        let from_zero = (wanted.major, wanted.minor, wanted.patch) == (0, 0, 0);
        if from_zero && matches!(self.written, Written::Nothing | Written::Whole) {
            return true;
        }
        version.major == wanted.major && (self.written < Written::Minor || version.minor == wanted.minor)
    }

    /// Up to the next change of the first number that is not zero.
    fn caret(&self, version: &Version) -> bool {
        let wanted = &self.version;
        if version.precedence(wanted) == Ordering::Less {
            return false;
        }
        match self.written {
            Written::Nothing => true,
            _ if version.major != wanted.major => false,
            Written::Major => true,
            _ if wanted.major > 0 => true,
            _ if version.minor != wanted.minor => false,
            Written::Minor => true,
            _ if wanted.minor > 0 => true,
            _ => version.patch == wanted.patch,
        }
    }
}
