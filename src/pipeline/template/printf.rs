//! `printf`: Go's format strings.
//! In: a format and values.  Out: text in a sink.  Owns: the position among the values.

use super::error::Problem;
use super::limits::Sink;
use super::print::{Printer, Spec};
use super::value::Value;

/// Go refuses greater widths and precisions.
const WIDTH_LIMIT: usize = 1_000_000;

/// `fmt.Fprintf`.
pub(super) fn printf(sink: &mut Sink<'_>, format: &str, values: &[Value<'_>]) -> Result<(), Problem> {
    let mut state = Formatting { values, next: 0, reordered: false, rest: format, good_index: true };
    while let Some((literal, after)) = state.rest.split_once('%') {
        sink.push_str(literal)?;
        state.rest = after;
        state.directive(sink)?;
    }
    sink.push_str(state.rest)?;
    state.extra(sink)
}

struct Formatting<'f, 'v, 'a> {
    values: &'v [Value<'a>],
    next: usize,
    /// An explicit index was used, so superfluous values are no mistake.
    reordered: bool,
    good_index: bool,
    rest: &'f str,
}

impl Formatting<'_, '_, '_> {
    fn directive(&mut self, sink: &mut Sink<'_>) -> Result<(), Problem> {
        let mut spec = self.flags();
        self.good_index = true;
        let mut after_index = self.index();
        if self.eat('*') {
            match self.number_value() {
                Some(width) => {
                    spec.minus |= width < 0;
                    spec.zero &= !spec.minus;
                    spec.width = Some(width.unsigned_abs() as usize);
                }
                None => sink.push_str("%!(BADWIDTH)")?,
            }
            after_index = false;
        } else {
            spec.width = self.number();
            if after_index && spec.width.is_some() {
                self.good_index = false;
            }
        }
        if self.eat('.') {
            if after_index {
                self.good_index = false;
            }
            after_index = self.index();
            if self.eat('*') {
                match self.number_value() {
                    Some(precision) if precision >= 0 => spec.precision = usize::try_from(precision).ok(),
                    _ => sink.push_str("%!(BADPREC)")?,
                }
                after_index = false;
            } else {
                spec.precision = Some(self.number().unwrap_or(0));
            }
        }
        if !after_index {
            self.index();
        }
        self.verb(sink, spec)
    }

    fn verb(&mut self, sink: &mut Sink<'_>, spec: Spec) -> Result<(), Problem> {
        let Some(verb) = self.rest.chars().next() else { return sink.push_str("%!(NOVERB)") };
        self.rest = &self.rest[verb.len_utf8()..];
        if verb == '%' {
            return sink.push('%');
        }
        if !self.good_index {
            return sink.write(format_args!("%!{verb}(BADINDEX)"));
        }
        let Some(value) = self.values.get(self.next) else {
            return sink.write(format_args!("%!{verb}(MISSING)"));
        };
        self.next += 1;
        // `%+v` asks for field names, not for signs, and no value of a template has fields.
        let spec = match verb {
            'v' => Spec { plus: false, sharp: false, go_syntax: spec.sharp, ..spec },
            _ => spec,
        };
        Printer { sink, spec }.print(value, verb, 0)
    }

    fn flags(&mut self) -> Spec {
        let mut spec = Spec::default();
        loop {
            match self.rest.as_bytes().first() {
                Some(b'-') => {
                    spec.minus = true;
                    spec.zero = false;
                }
                Some(b'+') => spec.plus = true,
                Some(b'#') => spec.sharp = true,
                Some(b' ') => spec.space = true,
                Some(b'0') => spec.zero = !spec.minus,
                _ => return spec,
            }
            self.rest = &self.rest[1..];
        }
    }

    fn eat(&mut self, character: char) -> bool {
        match self.rest.strip_prefix(character) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Digits. Behind too great a number Go reads no further.
    fn number(&mut self) -> Option<usize> {
        let length = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, after) = self.rest.split_at(length);
        self.rest = after;
        if digits.is_empty() {
            return None;
        }
        // The check is made before the last digit.
        let number: Option<usize> = digits.parse().ok().filter(|number| number / 10 <= WIDTH_LIMIT);
        if number.is_none() {
            self.rest = "";
        }
        number
    }

    /// A width or precision taken from the values.
    fn number_value(&mut self) -> Option<i64> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        match value {
            Value::Int(number, _) if number.unsigned_abs() <= WIDTH_LIMIT as u64 => Some(*number),
            _ => None,
        }
    }

    /// `[2]`: the second value comes next.
    fn index(&mut self) -> bool {
        let Some(after) = self.rest.strip_prefix('[') else { return false };
        self.reordered = true;
        let Some((digits, rest)) = after.split_once(']') else {
            self.good_index = false;
            self.rest = after;
            return false;
        };
        self.rest = rest;
        match digits.parse::<usize>() {
            Ok(index) if (1..=self.values.len()).contains(&index) => {
                self.next = index - 1;
                true
            }
            _ => {
                self.good_index = false;
                false
            }
        }
    }

    /// `%!(EXTRA int=1)`
    fn extra(&self, sink: &mut Sink<'_>) -> Result<(), Problem> {
        let extra = self.values.get(self.next..).unwrap_or(&[]);
        if self.reordered || extra.is_empty() {
            return Ok(());
        }
        sink.push_str("%!(EXTRA ")?;
        for (at, value) in extra.iter().enumerate() {
            if at > 0 {
                sink.push_str(", ")?;
            }
            if !matches!(value, Value::Nil) {
                sink.push_str(value.type_name())?;
                sink.push('=')?;
            }
            Printer { sink, spec: Spec::default() }.print(value, 'v', 0)?;
        }
        sink.push(')')
    }
}
