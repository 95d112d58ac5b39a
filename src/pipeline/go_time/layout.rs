//! A Go reference layout cut into steps, once, when the configuration is read.
//! In: the layout as written.  Out: literal text and tokens, in order.  Owns: the literal text.
//!
//! A layout is an example: the moment `Mon Jan 2 15:04:05 MST 2006` written the way the log writes it.
//! Whatever is not a piece of that moment stands for itself. Described in
//! <https://pkg.go.dev/time#pkg-constants>.

/// How a number may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// As many digits as there are, up to the most the field can have.
    Free,
    /// Exactly as many digits as the layout shows.
    Fixed,
    /// Like `Free`, and a space may stand where a leading zero would.
    SpacePadded,
}

/// How the digits of a zone offset are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OffsetShape {
    /// `-07`
    Hour,
    /// `-0700`
    Minute,
    /// `-07:00`
    ColonMinute,
    /// `-070000`
    Second,
    /// `-07:00:00`
    ColonSecond,
}

/// One piece of the reference moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    LongYear,
    ShortYear,
    LongMonth,
    ShortMonth,
    Month(Width),
    LongWeekday,
    ShortWeekday,
    Day(Width),
    YearDay(Width),
    Hour24,
    Hour12(Width),
    Minute(Width),
    /// `fraction_follows`: the next token is a fraction, so this one must leave the fraction in the text
    /// alone.
    Second {
        width: Width,
        fraction_follows: bool,
    },
    UpperHalf,
    LowerHalf,
    ZoneName,
    /// `z_is_utc`: the layout says `Z07:00`, so a bare `Z` means offset zero.
    Offset {
        shape: OffsetShape,
        z_is_utc: bool,
    },
    /// `.000`: the separator and exactly this many digits.
    Fraction {
        digits: usize,
    },
    /// `.999`: a separator and any number of digits, or nothing.
    OptionalFraction,
}

/// Literal text and the token after it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) literal: Box<[u8]>,
    pub(super) token: Token,
    /// The token as a layout writes it, for messages.
    pub(super) written: &'static str,
}

/// A whole layout.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) steps: Box<[Step]>,
    /// Literal text after the last token.
    pub(super) tail: Box<[u8]>,
}

const fn second(width: Width) -> Token {
    Token::Second { width, fraction_follows: false }
}

const fn offset(shape: OffsetShape, z_is_utc: bool) -> Token {
    Token::Offset { shape, z_is_utc }
}

/// Every token with a fixed spelling. A spelling stands before its own prefixes: the first match wins.
const SPELLINGS: [(&str, Token); 33] = [
    ("January", Token::LongMonth),
    ("Jan", Token::ShortMonth),
    ("Monday", Token::LongWeekday),
    ("Mon", Token::ShortWeekday),
    ("MST", Token::ZoneName),
    ("002", Token::YearDay(Width::Fixed)),
    ("01", Token::Month(Width::Fixed)),
    ("02", Token::Day(Width::Fixed)),
    ("03", Token::Hour12(Width::Fixed)),
    ("04", Token::Minute(Width::Fixed)),
    ("05", second(Width::Fixed)),
    ("06", Token::ShortYear),
    ("15", Token::Hour24),
    ("1", Token::Month(Width::Free)),
    ("2006", Token::LongYear),
    ("2", Token::Day(Width::Free)),
    ("__2", Token::YearDay(Width::SpacePadded)),
    ("_2", Token::Day(Width::SpacePadded)),
    ("3", Token::Hour12(Width::Free)),
    ("4", Token::Minute(Width::Free)),
    ("5", second(Width::Free)),
    ("PM", Token::UpperHalf),
    ("pm", Token::LowerHalf),
    ("-070000", offset(OffsetShape::Second, false)),
    ("-07:00:00", offset(OffsetShape::ColonSecond, false)),
    ("-0700", offset(OffsetShape::Minute, false)),
    ("-07:00", offset(OffsetShape::ColonMinute, false)),
    ("-07", offset(OffsetShape::Hour, false)),
    ("Z070000", offset(OffsetShape::Second, true)),
    ("Z07:00:00", offset(OffsetShape::ColonSecond, true)),
    ("Z0700", offset(OffsetShape::Minute, true)),
    ("Z07:00", offset(OffsetShape::ColonMinute, true)),
    ("Z07", offset(OffsetShape::Hour, true)),
];

impl Layout {
    /// Never fails: text without any token is a layout that matches only itself.
    pub(super) fn cut(layout: &str) -> Layout {
        let mut rest = layout.as_bytes();
        let mut literal = Vec::new();
        let mut steps: Vec<Step> = Vec::new();
        while let Some((&first, after_first)) = rest.split_first() {
            if let Some((token, written, length)) = token_at(rest) {
                let literal = std::mem::take(&mut literal).into_boxed_slice();
                steps.push(Step { literal, token, written });
                rest = &rest[length..];
            } else {
                literal.push(first);
                rest = after_first;
            }
        }
        leave_fractions_to_their_tokens(&mut steps);
        Layout { steps: steps.into_boxed_slice(), tail: literal.into_boxed_slice() }
    }
}

/// The token the text starts with, its spelling for messages, and its length.
fn token_at(text: &[u8]) -> Option<(Token, &'static str, usize)> {
    if let Some((token, length)) = fraction_at(text) {
        return Some((token, "fraction of a second", length));
    }
    let &(written, token) = SPELLINGS.iter().find(|(spelling, _)| spells(text, spelling))?;
    Some((token, written, written.len()))
}

/// Whether the text starts with this spelling and means it. `Janet` is a word, and `_2006` is a year after a
/// `_`.
fn spells(text: &[u8], spelling: &str) -> bool {
    let Some(after) = text.strip_prefix(spelling.as_bytes()) else { return false };
    match spelling {
        "Jan" | "Mon" => !after.first().is_some_and(u8::is_ascii_lowercase),
        "_2" => !after.starts_with(b"006"),
        _ => true,
    }
}

/// A separator and a run of one digit, `0` or `9`, that no other digit touches: `.05` is a separator and the
/// seconds.
fn fraction_at(text: &[u8]) -> Option<(Token, usize)> {
    let (b'.' | b',', after) = text.split_first()? else { return None };
    let digit = *after.first().filter(|digit| matches!(digit, b'0' | b'9'))?;
    let digits = after.iter().take_while(|&&byte| byte == digit).count();
    if after.get(digits).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let token = if digit == b'0' { Token::Fraction { digits } } else { Token::OptionalFraction };
    Some((token, 1 + digits))
}

/// Go looks at the next token wherever it is, not only at one that touches the seconds.
fn leave_fractions_to_their_tokens(steps: &mut [Step]) {
    for at in 1..steps.len() {
        let is_fraction = matches!(steps[at].token, Token::Fraction { .. } | Token::OptionalFraction);
        if let Token::Second { fraction_follows, .. } = &mut steps[at - 1].token {
            *fraction_follows = is_fraction;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SPELLINGS;

    #[test]
    fn no_spelling_hides_a_longer_one() {
        for (at, (spelling, _)) in SPELLINGS.iter().enumerate() {
            let hidden = SPELLINGS[at + 1..].iter().find(|(later, _)| later.starts_with(spelling));
            assert_eq!(hidden, None, "behind {spelling}");
        }
    }
}
