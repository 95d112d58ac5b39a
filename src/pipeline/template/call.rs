//! Calling a function: its row in the table, its parameters, its arguments.
//! In: evaluated arguments.  Out: typed ones.  Owns: the rules which value fits which parameter.
//!
//! The types of parameters are Go's, and as strict: `repeat` takes an `int` and refuses the `int64` that `add` returns.
//! A signature is a letter per parameter, and a `*` before the last when it repeats:
//! `s` string, `i` int, `I` int64, `f` float64, `b` bool, `d` `map[string]interface{}`, `l` `[]interface{}`,
//! `S` []string, `t` time.Time, `a` anything.

use std::borrow::Cow;
use std::ops::Deref;
use std::rc::Rc;

use regex::bytes::Regex;

use super::error::Problem;
use super::limits::{self, Budget, VALUE_DEPTH_LIMIT};
use super::text::Text;
use super::value::{Dict, Element, Entries, Integer, List, Value};

/// What a function returns.
pub(super) type Outcome<'a> = Result<Value<'a>, Problem>;

/// A function of the table.
pub(super) type Function = for<'c, 'a> fn(&mut Call<'c, 'a>) -> Outcome<'a>;

/// A row of the function table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    signature: &'static str,
    pub(super) run: Function,
    /// The first parameter is a regular expression.
    pub(super) regex_first: bool,
    /// The function can look into the data of the line without a copy of it.
    pub(super) takes_root: bool,
}

/// A row; see the module for the signature.
pub(super) const fn row(name: &'static str, signature: &'static str, run: Function) -> Row {
    Row { name, signature, run, regex_first: false, takes_root: false }
}

impl Row {
    pub(super) const fn regex_first(self) -> Row {
        Row { regex_first: true, ..self }
    }

    pub(super) const fn takes_root(self) -> Row {
        Row { takes_root: true, ..self }
    }

    /// The parameters every call fills, and the one that repeats.
    fn parameters(&self) -> (&'static [u8], Option<u8>) {
        match self.signature.split_once('*') {
            Some((fixed, last)) => (fixed.as_bytes(), last.as_bytes().first().copied()),
            None => (self.signature.as_bytes(), None),
        }
    }

    pub(super) fn check_count(&self, found: usize) -> Result<(), Problem> {
        let (fixed, repeated) = self.parameters();
        let least = fixed.len();
        let most = if repeated.is_some() { None } else { Some(least) };
        if found < least || most.is_some_and(|most| found > most) {
            return Err(Problem::Count { function: self.name, least, most, found });
        }
        Ok(())
    }

    /// The letter of the parameter at this place.
    pub(super) fn parameter(&self, at: usize) -> u8 {
        let (fixed, repeated) = self.parameters();
        fixed.get(at).copied().or(repeated).unwrap_or(b'a')
    }
}

/// Go's name of a parameter type.
pub(super) fn wanted(letter: u8) -> &'static str {
    match letter {
        b's' => "string",
        b'i' => "int",
        b'I' => "int64",
        b'f' => "float64",
        b'b' => "bool",
        b'd' => "map[string]interface {}",
        b'l' => "[]interface {}",
        b'S' => "[]string",
        b't' => "time.Time",
        _ => "interface {}",
    }
}

/// Whether a value may go where the letter says.
pub(super) fn validate(letter: u8, value: &Value<'_>) -> Result<(), Problem> {
    let fits = match (letter, value) {
        (b'a', _) | (b'd' | b'l' | b'S', Value::Nil) => true,
        (b's', Value::Text(_)) | (b'f', Value::Float(_)) | (b'b', Value::Bool(_)) => true,
        (b't', Value::Time(_)) | (b'd', Value::Root(_)) => true,
        (b'i', Value::Int(_, integer)) => *integer == Integer::Int,
        (b'I', Value::Int(_, integer)) => *integer == Integer::Int64,
        (b'd', Value::Dict(dict)) => dict.element == Element::Any,
        (b'l', Value::List(list)) => list.element == Element::Any,
        (b'S', Value::List(list)) => list.element == Element::Text,
        (_, Value::Nil) => return Err(Problem::NoValue { wanted: wanted(letter) }),
        _ => false,
    };
    if fits {
        return Ok(());
    }
    Err(Problem::WrongType { wanted: wanted(letter), found: value.type_name() })
}

/// A call under way.
#[derive(Debug)]
pub(super) struct Call<'c, 'a> {
    pub(super) function: &'static str,
    /// Checked against the signature.
    pub(super) arguments: Vec<Value<'a>>,
    pub(super) budget: &'c mut Budget<'a>,
    /// The first argument as a regex, where it is a literal.
    pub(super) prepared: Option<&'a Regex>,
}

/// An expression ready to match. Not a clone of the regex: each clone starts with empty caches.
pub(super) enum Compiled<'a> {
    Prepared(&'a Regex),
    Now(Rc<Regex>),
}

impl Deref for Compiled<'_> {
    type Target = Regex;

    fn deref(&self) -> &Regex {
        match self {
            Compiled::Prepared(regex) => regex,
            Compiled::Now(regex) => regex,
        }
    }
}

impl<'a> Call<'_, 'a> {
    /// A refusal by the function itself.
    pub(super) fn fail<T>(&self, reason: impl Into<Cow<'static, str>>) -> Result<T, Problem> {
        let reason: Cow<'static, str> = reason.into();
        Err(Problem::said(format!("{}: {reason}", self.function)))
    }

    pub(super) fn count(&self) -> usize {
        self.arguments.len()
    }

    /// Anything; missing arguments read as nothing.
    pub(super) fn value(&self, at: usize) -> &Value<'a> {
        self.arguments.get(at).unwrap_or(&Value::Nil)
    }

    pub(super) fn take(&mut self, at: usize) -> Value<'a> {
        self.arguments.get_mut(at).map_or(Value::Nil, |value| std::mem::replace(value, Value::Nil))
    }

    /// A parameter of type string.
    pub(super) fn text(&self, at: usize) -> &str {
        match self.value(at) {
            Value::Text(text) => text,
            _ => "",
        }
    }

    /// The same, for functions that hand a piece of it on.
    pub(super) fn take_text(&mut self, at: usize) -> Text<'a> {
        match self.take(at) {
            Value::Text(text) => text,
            _ => Text::Borrowed(""),
        }
    }

    /// A parameter of type int or int64.
    pub(super) fn int(&self, at: usize) -> i64 {
        match self.value(at) {
            Value::Int(number, _) => *number,
            _ => 0,
        }
    }

    pub(super) fn float(&self, at: usize) -> f64 {
        match self.value(at) {
            Value::Float(number) => *number,
            _ => 0.0,
        }
    }

    pub(super) fn bool(&self, at: usize) -> bool {
        matches!(self.value(at), Value::Bool(true))
    }

    /// A parameter that is a dict; nil is Go's nil map.
    pub(super) fn dict(&self, at: usize) -> Option<Rc<Dict<'a>>> {
        match self.value(at) {
            Value::Dict(dict) => Some(Rc::clone(dict)),
            _ => None,
        }
    }

    /// The expression in the first parameter, compiled.
    pub(super) fn regex(&mut self) -> Result<Compiled<'a>, Problem> {
        match self.prepared {
            Some(regex) => Ok(Compiled::Prepared(regex)),
            None => {
                let expression = self.take_text(0);
                Ok(Compiled::Now(self.budget.regex(&expression)?))
            }
        }
    }

    /// A new list of anything.
    pub(super) fn list(&mut self, items: Vec<Value<'a>>) -> Outcome<'a> {
        self.list_of(Element::Any, items)
    }

    pub(super) fn list_of(&mut self, element: Element, items: Vec<Value<'a>>) -> Outcome<'a> {
        new_list(self.budget, element, items)
    }

    pub(super) fn texts<T: Into<Text<'a>>>(&mut self, texts: impl IntoIterator<Item = T>) -> Outcome<'a> {
        let mut items = Vec::new();
        for text in texts {
            let text = text.into();
            self.budget.made(text.own_bytes())?;
            items.push(Value::Text(text));
            self.budget.step(1)?;
        }
        self.list_of(Element::Text, items)
    }

    pub(super) fn new_dict(&mut self, element: Element, entries: Entries<'a>) -> Outcome<'a> {
        new_dict(self.budget, element, entries)
    }

    /// A text whose length is counted when the call returns.
    pub(super) fn built(
        &mut self,
        fill: impl FnOnce(&mut limits::Sink<'_>, &[Value<'a>], &mut Budget<'a>) -> Result<(), Problem>,
    ) -> Outcome<'a> {
        let mut text = String::new();
        fill(&mut limits::Sink::new(&mut text), &self.arguments, self.budget)?;
        Ok(Value::text(text))
    }
}

pub(super) fn new_list<'a>(budget: &mut Budget<'a>, element: Element, items: Vec<Value<'a>>) -> Outcome<'a> {
    budget.step(items.len() / 8)?;
    budget.made(items.len() * size_of::<Value<'a>>())?;
    let depth_of = |item: &Value<'a>| if let Value::List(list) = item { list.depth } else { 0 };
    let depth = 1 + items.iter().map(depth_of).max().unwrap_or(0);
    if depth > VALUE_DEPTH_LIMIT {
        return Err(Problem::Limit { what: "lists in each other", limit: VALUE_DEPTH_LIMIT });
    }
    Ok(Value::List(Rc::new(List { items, element, depth })))
}

pub(super) fn new_dict<'a>(budget: &mut Budget<'a>, element: Element, entries: Entries<'a>) -> Outcome<'a> {
    let bytes = |(key, value): (&String, &Value<'a>)| match value {
        Value::Text(text) => key.len() + text.own_bytes() + 64,
        _ => key.len() + 64,
    };
    budget.step(1 + entries.len())?;
    budget.made(64 + entries.iter().map(bytes).sum::<usize>())?;
    let dict = Rc::new(Dict { entries: entries.into(), element });
    budget.keep(&dict);
    Ok(Value::Dict(dict))
}
