//! The values templates work on.
//! In: texts of the line, literals, what functions return.  Out: values and the names Go gives their types.
//! Owns: lists and dicts, shared by reference within one rendering.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use jiff::ZonedDateTime;

use super::Fields;
use super::functions::semver::Version;
use super::text::Text;

/// Which of Go's integer types a number has: parameters take exactly one, and `typeOf` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Integer {
    Int,
    Int64,
    Uint8,
    Uint64,
    /// `time.Month` and `time.Weekday` are integers that print as words.
    Month,
    Weekday,
}

/// What a list or dict is declared to hold in Go; it matters to typed parameters and to `typeOf`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    Any,
    Text,
    Int,
    Lists,
}

/// A value. Texts are borrowed from the line or the template where nobody changed them.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    /// Nothing: a missing field, JSON null, `nil`.
    Nil,
    Bool(bool),
    Int(i64, Integer),
    Float(f64),
    Text(Text<'a>),
    List(Rc<List<'a>>),
    Dict(Rc<Dict<'a>>),
    /// What the template was called with. Becomes a dict when a function needs one.
    Root(Root<'a>),
    Time(Rc<ZonedDateTime>),
    Version(Rc<Version>),
}

/// The data of the line.
#[derive(Clone, Copy)]
pub(super) struct Root<'a>(pub(super) &'a dyn Fields);

impl std::fmt::Debug for Root<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Root")
    }
}

/// A list; immutable, as in Sprig.
#[derive(Debug)]
pub(super) struct List<'a> {
    pub(super) items: Vec<Value<'a>>,
    pub(super) element: Element,
    /// Lists in lists; a list cannot be deeper than the limit, so it can be dropped recursively.
    pub(super) depth: usize,
}

/// A dict; `set` and its like change it in place. Ordered as Go prints maps.
#[derive(Debug)]
pub(super) struct Dict<'a> {
    pub(super) entries: RefCell<Entries<'a>>,
    pub(super) element: Element,
}

pub(super) type Entries<'a> = BTreeMap<String, Value<'a>>;

impl<'a> Dict<'a> {
    /// A missing key of a dict of texts reads as the empty text, as in Go.
    pub(super) fn get(&self, key: &str) -> Option<Value<'a>> {
        self.entries.borrow().get(key).cloned()
    }

    pub(super) fn zero(&self) -> Value<'a> {
        match self.element {
            Element::Text => Value::text(""),
            _ => Value::Nil,
        }
    }
}

impl<'a> Value<'a> {
    pub(super) fn text(text: impl Into<Text<'a>>) -> Self {
        Value::Text(text.into())
    }

    /// A number as Go's `int`.
    pub(super) fn int(number: i64) -> Self {
        Value::Int(number, Integer::Int)
    }

    /// A number as Go's `int64`, which is what Sprig's arithmetic returns.
    pub(super) fn int64(number: i64) -> Self {
        Value::Int(number, Integer::Int64)
    }

    /// A length as Go's `int`.
    pub(super) fn count(number: usize) -> Self {
        Value::int(i64::try_from(number).unwrap_or(i64::MAX))
    }

    /// The type as Go's `%T` prints it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Value::Nil => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_, Integer::Int) => "int",
            Value::Int(_, Integer::Int64) => "int64",
            Value::Int(_, Integer::Uint8) => "uint8",
            Value::Int(_, Integer::Uint64) => "uint64",
            Value::Int(_, Integer::Month) => "time.Month",
            Value::Int(_, Integer::Weekday) => "time.Weekday",
            Value::Float(_) => "float64",
            Value::Text(_) => "string",
            Value::List(list) => match list.element {
                Element::Any => "[]interface {}",
                Element::Text => "[]string",
                Element::Int => "[]int",
                Element::Lists => "[][]interface {}",
            },
            Value::Dict(dict) => match dict.element {
                Element::Text => "map[string]string",
                _ => "map[string]interface {}",
            },
            Value::Root(_) => "map[string]interface {}",
            Value::Time(_) => "time.Time",
            Value::Version(_) => "*semver.Version",
        }
    }

    /// The kind as Go's reflection names it.
    pub(super) fn kind_name(&self) -> &'static str {
        match self {
            Value::Nil => "invalid",
            Value::Int(_, Integer::Month | Integer::Weekday) => "int",
            Value::List(_) => "slice",
            Value::Dict(_) | Value::Root(_) => "map",
            Value::Time(_) => "struct",
            Value::Version(_) => "ptr",
            other => other.type_name(),
        }
    }

    /// Go's idea of truth, which is also Sprig's of not being empty.
    pub(super) fn truth(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Bool(truth) => *truth,
            Value::Int(number, _) => *number != 0,
            Value::Float(number) => *number != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::List(list) => !list.items.is_empty(),
            Value::Dict(dict) => !dict.entries.borrow().is_empty(),
            Value::Root(root) => {
                let mut any = false;
                root.0.for_each(&mut |_, _| any = true);
                any
            }
            Value::Time(_) | Value::Version(_) => true,
        }
    }
}
