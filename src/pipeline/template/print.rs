//! Values as Go's `fmt` prints them, by verb.
//! In: a value, a verb, flags.  Out: text in a sink.  Owns: nothing.

use super::error::Problem;
use super::float;
use super::functions::dates;
use super::limits::{Sink, VALUE_DEPTH_LIMIT, build, text_length};
use super::quote;
use super::value::{Entries, Integer, Value};

/// What stands between `%` and the verb.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spec {
    pub(super) minus: bool,
    pub(super) plus: bool,
    pub(super) sharp: bool,
    /// `%#v`; in any other place `#` means something else.
    pub(super) go_syntax: bool,
    pub(super) space: bool,
    pub(super) zero: bool,
    pub(super) width: Option<usize>,
    pub(super) precision: Option<usize>,
}

/// `%v` without flags.
pub(super) fn show(sink: &mut Sink<'_>, value: &Value<'_>) -> Result<(), Problem> {
    match value {
        Value::Text(text) => sink.push_str(text),
        _ => Printer { sink, spec: Spec::default() }.print(value, 'v', 0),
    }
}

/// `%v` as a text of its own.
pub(super) fn shown(value: &Value<'_>) -> Result<String, Problem> {
    build(|sink| show(sink, value))
}

/// Prints one value after another with the same flags.
pub(super) struct Printer<'p, 'o> {
    pub(super) sink: &'p mut Sink<'o>,
    pub(super) spec: Spec,
}

impl Printer<'_, '_> {
    /// `depth` counts the lists and dicts around the value.
    pub(super) fn print(&mut self, value: &Value<'_>, verb: char, depth: usize) -> Result<(), Problem> {
        if depth > VALUE_DEPTH_LIMIT {
            return Err(Problem::Limit { what: "values in each other", limit: VALUE_DEPTH_LIMIT });
        }
        if verb == 'T' && !matches!(value, Value::Nil) {
            return self.text(value.type_name(), value, 's');
        }
        match value {
            // A precision cuts the names of types, but not this.
            Value::Nil if matches!(verb, 'v' | 'T') || depth > 0 => self.pad("<nil>"),
            Value::Nil => self.sink.write(format_args!("%!{verb}(<nil>)")),
            Value::Bool(truth) if matches!(verb, 't' | 'v') => {
                self.pad(if *truth { "true" } else { "false" })
            }
            Value::Text(text) => self.text(text, value, verb),
            Value::Float(number) => self.float(*number, value, verb),
            Value::Int(number, Integer::Month | Integer::Weekday)
                if matches!(verb, 'v' | 's' | 'q' | 'x' | 'X') =>
            {
                let word = dates::word(*number, value);
                self.text(word, value, verb)
            }
            Value::Int(number, integer) => self.int(*number, *integer, value, verb),
            Value::Time(time) => self.text(&dates::shown(time), value, verb),
            Value::Version(version) => self.text(&version.to_string(), value, verb),
            Value::List(list) => self.list(value, &list.items, verb, depth),
            Value::Dict(dict) => self.dict(value, &dict.entries.borrow(), verb, depth),
            Value::Root(root) => {
                let mut entries = Entries::new();
                root.0.for_each(&mut |name, text| {
                    entries.insert(name.to_owned(), Value::text(text.to_owned()));
                });
                self.dict(value, &entries, verb, depth)
            }
            Value::Bool(_) => self.bad_verb(value, verb),
        }
    }

    fn is_go_syntax(&self, verb: char) -> bool {
        verb == 'v' && self.spec.go_syntax
    }

    fn list(
        &mut self,
        list: &Value<'_>,
        items: &[Value<'_>],
        verb: char,
        depth: usize,
    ) -> Result<(), Problem> {
        let (open, between, close) = if self.is_go_syntax(verb) { ("{", ", ", "}") } else { ("[", " ", "]") };
        if self.is_go_syntax(verb) {
            self.sink.push_str(list.type_name())?;
        }
        self.sink.push_str(open)?;
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                self.sink.push_str(between)?;
            }
            self.print(item, verb, depth + 1)?;
        }
        self.sink.push_str(close)
    }

    fn dict(
        &mut self,
        dict: &Value<'_>,
        entries: &Entries<'_>,
        verb: char,
        depth: usize,
    ) -> Result<(), Problem> {
        let (open, between, close) = if self.is_go_syntax(verb) { ("{", ", ", "}") } else { ("[", " ", "]") };
        self.sink.push_str(if self.is_go_syntax(verb) { dict.type_name() } else { "map" })?;
        self.sink.push_str(open)?;
        for (at, (key, item)) in entries.iter().enumerate() {
            if at > 0 {
                self.sink.push_str(between)?;
            }
            self.text(key, &Value::Nil, verb)?;
            self.sink.push(':')?;
            self.print(item, verb, depth + 1)?;
        }
        self.sink.push_str(close)
    }

    /// `%!d(string=x)`
    fn bad_verb(&mut self, value: &Value<'_>, verb: char) -> Result<(), Problem> {
        self.sink.write(format_args!("%!{verb}({}=", value.type_name()))?;
        self.print(value, 'v', 0)?;
        self.sink.push(')')
    }

    fn text(&mut self, text: &str, value: &Value<'_>, verb: char) -> Result<(), Problem> {
        match verb {
            'v' if self.spec.go_syntax => self.quoted(text),
            'v' | 's' => self.pad(self.within_precision(text)),
            'q' => self.quoted(text),
            'x' | 'X' => self.hex(text, verb == 'X'),
            _ => {
                // The key of a dict has no value of its own.
                let name = if matches!(value, Value::Nil) { "string" } else { value.type_name() };
                self.sink.write(format_args!("%!{verb}({name}="))?;
                self.text(text, value, 'v')?;
                self.sink.push(')')
            }
        }
    }

    /// Texts are cut to so many characters.
    fn within_precision<'t>(&self, text: &'t str) -> &'t str {
        let end = self.spec.precision.and_then(|most| text.char_indices().nth(most));
        end.map_or(text, |(end, _)| &text[..end])
    }

    fn quoted(&mut self, text: &str) -> Result<(), Problem> {
        let text = self.within_precision(text);
        if self.spec.sharp && quote::fits_backquotes(text) {
            return self.pad(&format!("`{text}`"));
        }
        let quoted = build(|sink| quote::push_quoted(sink, text, self.spec.plus))?;
        self.pad(&quoted)
    }

    fn hex(&mut self, text: &str, upper: bool) -> Result<(), Problem> {
        let prefix = if upper { "0X" } else { "0x" };
        let most = self.spec.precision.unwrap_or(text.len()).min(text.len());
        let mut out = String::new();
        for (at, byte) in text.bytes().take(most).enumerate() {
            if self.spec.space && at > 0 {
                out.push(' ');
            }
            if self.spec.sharp && (self.spec.space || at == 0) {
                out.push_str(prefix);
            }
            out.push_str(&if upper { format!("{byte:02X}") } else { format!("{byte:02x}") });
        }
        self.pad(&out)
    }

    fn int(&mut self, number: i64, integer: Integer, value: &Value<'_>, verb: char) -> Result<(), Problem> {
        let character = || u32::try_from(number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
        let is_unsigned = matches!(integer, Integer::Uint8 | Integer::Uint64);
        match verb {
            'v' if self.spec.go_syntax && is_unsigned => self.digits(number, 16, 'x'),
            'v' => self.digits(number, 10, 'd'),
            'd' => self.digits(number, 10, 'd'),
            'b' => self.digits(number, 2, 'b'),
            'o' | 'O' => self.digits(number, 8, verb),
            'x' | 'X' => self.digits(number, 16, verb),
            'c' => self.pad(character().encode_utf8(&mut [0; 4])),
            'q' => {
                let ascii = self.spec.plus;
                let quoted = build(|sink| quote::push_quoted_character(sink, character(), ascii))?;
                self.pad(&quoted)
            }
            'U' => self.code_point(number, character()),
            _ => self.bad_verb(value, verb),
        }
    }

    fn code_point(&mut self, number: i64, character: char) -> Result<(), Problem> {
        let digits = self.spec.precision.unwrap_or(4).max(4);
        text_length(Some(digits))?;
        let code = format!("{number:X}");
        let mut text = format!("U+{}{code}", "0".repeat(digits.saturating_sub(code.len())));
        if self.spec.sharp && i64::from(u32::from(character)) == number && quote::is_printable(character) {
            text.push_str(&format!(" '{character}'"));
        }
        self.pad_with(&text, false)
    }

    /// An integer: sign, prefix, leading zeros up to the precision, blanks up to the width.
    fn digits(&mut self, number: i64, base: u32, verb: char) -> Result<(), Problem> {
        let spec = self.spec;
        let magnitude = number.unsigned_abs();
        let signed = number < 0 || spec.plus || spec.space;
        let mut least = 0;
        if let Some(precision) = spec.precision {
            if precision == 0 && number == 0 {
                return self.sink.push_times(' ', spec.width.unwrap_or(0));
            }
            least = precision;
        } else if spec.zero
            && !spec.minus
            && let Some(width) = spec.width
        {
            least = width.saturating_sub(usize::from(signed));
        }
        text_length(Some(least))?;
        let digits = match base {
            2 => format!("{magnitude:b}"),
            8 => format!("{magnitude:o}"),
            16 if verb == 'X' => format!("{magnitude:X}"),
            16 => format!("{magnitude:x}"),
            _ => magnitude.to_string(),
        };
        let zeros = "0".repeat(least.saturating_sub(digits.len()));
        let prefix = match (base, spec.sharp) {
            (8, true) if verb == 'O' && !digits.starts_with('0') && zeros.is_empty() => "0o0",
            (8, _) if verb == 'O' => "0o",
            (_, false) => "",
            (2, _) => "0b",
            (8, _) if !zeros.is_empty() || digits.starts_with('0') => "",
            (8, _) => "0",
            (16, _) if verb == 'X' => "0X",
            (16, _) => "0x",
            _ => "",
        };
        let sign = match number {
            ..0 => "-",
            _ if spec.plus => "+",
            _ if spec.space => " ",
            _ => "",
        };
        self.pad_with(&format!("{sign}{prefix}{zeros}{digits}"), false)
    }

    fn float(&mut self, number: f64, value: &Value<'_>, verb: char) -> Result<(), Problem> {
        let spec = self.spec;
        let (notation, default) = match verb {
            'v' | 'g' => ('g', None),
            'G' => ('G', None),
            'e' | 'E' => (verb, Some(6)),
            'f' | 'F' => ('f', Some(6)),
            _ => return self.bad_verb(value, verb),
        };
        let precision = spec.precision.or(default);
        text_length(precision.or(Some(0)))?;
        let mut text = float::format(number, notation, precision);
        if !text.starts_with(['+', '-']) {
            text.insert(0, if spec.space && !spec.plus { ' ' } else { '+' });
        }
        let keeps_sign = spec.plus || !text.starts_with('+');
        let shown = if keeps_sign { text.as_str() } else { &text[1..] };
        let pads_zeros = spec.zero && !spec.minus && number.is_finite();
        match spec.width {
            Some(width) if pads_zeros && keeps_sign && width > shown.len() => {
                self.sink.push_str(&shown[..1])?;
                self.sink.push_times('0', width - shown.len())?;
                self.sink.push_str(&shown[1..])
            }
            _ => self.pad_with(shown, pads_zeros),
        }
    }

    /// The text filled up to the width; Go counts characters, and fills texts with zeros too if told so.
    fn pad(&mut self, text: &str) -> Result<(), Problem> {
        self.pad_with(text, self.spec.zero)
    }

    fn pad_with(&mut self, text: &str, zeros: bool) -> Result<(), Problem> {
        let Some(width) = self.spec.width else { return self.sink.push_str(text) };
        let missing = width.saturating_sub(text.chars().count());
        if self.spec.minus {
            self.sink.push_str(text)?;
            return self.sink.push_times(' ', missing);
        }
        self.sink.push_times(if zeros { '0' } else { ' ' }, missing)?;
        self.sink.push_str(text)
    }
}
