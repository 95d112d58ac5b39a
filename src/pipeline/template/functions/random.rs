//! Randomness from the operating system.
//! In: lengths and bounds.  Out: texts and numbers nobody can foretell.  Owns: nothing.

use data_encoding::BASE64;

use super::super::call::{Call, Outcome, Row, row};
use super::super::error::Problem;
use super::super::limits::text_length;
use super::super::value::Value;

pub(super) const ROWS: &[Row] = &[
    row("randAlpha", "i", |call| letters(call, LETTERS)),
    row("randAlphaNum", "i", |call| letters(call, LETTERS_AND_DIGITS)),
    row("randAscii", "i", |call| letters(call, PRINTABLE)),
    row("randBytes", "i", rand_bytes),
    row("randInt", "ii", rand_int),
    row("randNumeric", "i", |call| letters(call, DIGITS)),
    row("shuffle", "s", shuffle),
    row("uuidv4", "", uuidv4),
];

const DIGITS: &str = "0123456789";
const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const LETTERS_AND_DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const PRINTABLE: &str =
    " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~";

fn fill(bytes: &mut [u8]) -> Result<(), Problem> {
    getrandom::fill(bytes).map_err(|_| Problem::said("the system has no random numbers to give"))
}

/// A number below `bound`, each as likely as the others.
fn below(bound: u64) -> Result<u64, Problem> {
    let unfair_from = u64::MAX - u64::MAX % bound.max(1);
    loop {
        let mut bytes = [0; 8];
        fill(&mut bytes)?;
        let number = u64::from_le_bytes(bytes);
        if number < unfair_from {
            return Ok(number % bound.max(1));
        }
    }
}

/// An index below `length`.
fn index(length: usize) -> Result<usize, Problem> {
    Ok(usize::try_from(below(length as u64)?).unwrap_or(0))
}

/// A negative length gives nothing, as in Sprig. One system call per letter, so each counts as a step.
fn letters<'a>(call: &mut Call<'_, 'a>, alphabet: &str) -> Outcome<'a> {
    let count = text_length(Some(usize::try_from(call.int(0)).unwrap_or(0)))?;
    call.budget.step(count)?;
    let mut text = String::new();
    for _ in 0..count {
        let at = index(alphabet.len())?;
        text.push_str(alphabet.get(at..=at).unwrap_or(""));
    }
    Ok(Value::text(text))
}

fn rand_bytes<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let count = text_length(Some(usize::try_from(call.int(0)).unwrap_or(0)))?;
    call.budget.step(count / 64)?;
    let mut bytes = vec![0; count];
    fill(&mut bytes)?;
    Ok(Value::text(BASE64.encode(&bytes)))
}

fn rand_int<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let (least, end) = (call.int(0), call.int(1));
    match u64::try_from(i128::from(end) - i128::from(least)) {
        Ok(span) if span > 0 => Ok(Value::int(least.wrapping_add_unsigned(below(span)?))),
        _ => call.fail("the second bound must be greater than the first"),
    }
}

fn shuffle<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let mut characters: Vec<char> = call.text(0).chars().collect();
    call.budget.step(characters.len())?;
    for at in (1..characters.len()).rev() {
        characters.swap(at, index(at + 1)?);
    }
    Ok(Value::text(characters.into_iter().collect::<String>()))
}

fn uuidv4<'a>(_: &mut Call<'_, 'a>) -> Outcome<'a> {
    let mut bytes = [0; 16];
    fill(&mut bytes)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = super::promtail::hex(&bytes);
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    Ok(Value::text(parts.join("-")))
}
