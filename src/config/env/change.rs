//! What a reference may do to its variable's value: cut, trim, replace, change letters.
//! In: a value and an operator's arguments.  Out: the changed value, or why it cannot be.  Owns: nothing.

/// Which letters to make.
#[derive(Clone, Copy)]
pub(super) enum Letters {
    Upper,
    Lower,
}

/// Which end of a value to trim.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Side {
    Start,
    End,
}

/// Trimming costs pattern times value.
const MAX_PATTERN: usize = 1024;

/// The value with its first letter changed.
pub(super) fn first(value: &str, letters: Letters) -> String {
    let mut rest = value.chars();
    rest.next().map(|first| change(first, letters)).into_iter().chain(rest).collect()
}

/// The value with all letters changed.
pub(super) fn all(value: &str, letters: Letters) -> String {
    value.chars().map(|letter| change(letter, letters)).collect()
}

/// Go maps one letter to one: `ß` stays.
fn change(letter: char, letters: Letters) -> char {
    let (mut upper, mut lower) = (letter.to_uppercase(), letter.to_lowercase());
    match letters {
        Letters::Upper if upper.len() == 1 => upper.next().unwrap_or(letter),
        Letters::Lower if lower.len() == 1 => lower.next().unwrap_or(letter),
        _ => letter,
    }
}

/// A part of the value, in bytes; a negative position counts from the end. What is no number leaves the value whole.
pub(super) fn substring(value: &str, position: &str, length: Option<&str>) -> Result<String, String> {
    let Ok(position) = position.parse::<i64>() else { return Ok(value.to_owned()) };
    let size = i64::try_from(value.len()).unwrap_or(i64::MAX);
    let start = if position < 0 { (size + position.max(-size)).max(0) } else { position.min(size) };
    let end = match length.map(str::parse::<i64>) {
        None => size,
        Some(Err(_)) => return Ok(value.to_owned()),
        Some(Ok(length)) if length < 0 => return Err("has a negative length".to_owned()),
        Some(Ok(length)) => start.saturating_add(length).min(size),
    };
    let range = usize::try_from(start).unwrap_or_default()..usize::try_from(end).unwrap_or_default();
    value.get(range).map(str::to_owned).ok_or_else(|| "cuts a character in two: it counts bytes".to_owned())
}

/// The value with what `pattern` finds replaced, literally; `None` if it would be longer than `limit`.
pub(super) fn replace(
    value: String,
    operator: &str,
    pattern: &str,
    with: Option<&str>,
    limit: usize,
) -> Option<String> {
    let changed = match (operator, with) {
        ("/", _) => value.replacen(pattern, with.unwrap_or_default(), 1),
        ("//", _) => {
            let with = with.unwrap_or_default();
            let growth = value.matches(pattern).count().checked_mul(with.len())?;
            if value.len().checked_add(growth)? > limit {
                return None;
            }
            value.replace(pattern, with)
        }
        ("/#", Some(with)) => match value.strip_prefix(pattern) {
            Some(rest) => format!("{with}{rest}"),
            None => value,
        },
        ("/%", Some(with)) => match value.strip_suffix(pattern) {
            Some(rest) => format!("{rest}{with}"),
            None => value,
        },
        // At one end only, a missing replacement changes nothing.
        _ => value,
    };
    (changed.len() <= limit).then_some(changed)
}

/// The value without the shortest or longest part at one side that the glob `pattern` matches; never less than one
/// character of it. A malformed glob matches nothing.
pub(super) fn trim(value: String, pattern: &str, side: Side, longest: bool) -> Result<String, String> {
    if pattern.len() > MAX_PATTERN {
        return Err(format!("a pattern is longer than {MAX_PATTERN} bytes"));
    }
    let Some(mut pieces) = glob(pattern) else { return Ok(value) };
    let mut letters: Vec<char> = value.chars().collect();
    if side == Side::End {
        pieces.reverse();
        letters.reverse();
    }
    let matched = matched_lengths(&pieces, &letters);
    let mut lengths = (1..matched.len()).filter(|length| matched[*length]);
    let Some(length) = (if longest { lengths.next_back() } else { lengths.next() }) else { return Ok(value) };
    let rest = letters[length..].iter();
    Ok(if side == Side::End { rest.rev().collect() } else { rest.collect() })
}

enum Piece {
    Many,
    One,
    Letter(char),
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Piece {
    fn fits(&self, letter: char) -> bool {
        match self {
            Piece::Many | Piece::One => true,
            Piece::Letter(own) => *own == letter,
            Piece::Class { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&letter)) != *negated
            }
        }
    }
}

/// Go's globs, where `*` also crosses `/`.
fn glob(pattern: &str) -> Option<Vec<Piece>> {
    let mut letters = pattern.chars();
    let mut pieces = Vec::new();
    while let Some(letter) = letters.next() {
        pieces.push(match letter {
            '*' => Piece::Many,
            '?' => Piece::One,
            '\\' => Piece::Letter(letters.next()?),
            '[' => class(&mut letters)?,
            letter => Piece::Letter(letter),
        });
    }
    Some(pieces)
}

/// A class up to its `]`, after its `[`.
fn class(letters: &mut std::str::Chars<'_>) -> Option<Piece> {
    let negated = letters.as_str().starts_with('^');
    if negated {
        letters.next();
    }
    let mut ranges = Vec::new();
    while ranges.is_empty() || !letters.as_str().starts_with(']') {
        let low = member(letters)?;
        let high = match letters.as_str().starts_with('-') {
            true => {
                letters.next();
                member(letters)?
            }
            false => low,
        };
        ranges.push((low, high));
    }
    letters.next();
    Some(Piece::Class { negated, ranges })
}

fn member(letters: &mut std::str::Chars<'_>) -> Option<char> {
    match letters.next()? {
        '-' | ']' => None,
        '\\' => letters.next(),
        letter => Some(letter),
    }
}

/// For each length, whether the pieces match exactly that many letters from the start.
fn matched_lengths(pieces: &[Piece], letters: &[char]) -> Vec<bool> {
    let mut reached = vec![false; letters.len() + 1];
    reached[0] = true;
    for piece in pieces {
        if matches!(piece, Piece::Many) {
            let first = reached.iter().position(|reached| *reached).unwrap_or(reached.len());
            reached[first..].fill(true);
        } else {
            for length in (0..letters.len()).rev() {
                reached[length + 1] = reached[length] && piece.fits(letters[length]);
            }
            reached[0] = false;
        }
    }
    reached
}
