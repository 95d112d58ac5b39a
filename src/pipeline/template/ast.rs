//! The tree of a parsed template, with functions already looked up.
//! In: nothing.  Out: types.  Owns: the literals of the template.

use regex::bytes::Regex;

use super::call::Row;

/// A run of nodes.
pub(super) type Nodes = Vec<Node>;

/// One piece of a template.
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    /// `{{ pipeline }}`; prints unless it declares or assigns.
    Action(Pipeline),
    If(Box<Branch>),
    With(Box<Branch>),
    Range(Box<Branch>),
    /// `{{ template "name" pipeline }}`
    Template {
        offset: usize,
        name: String,
        argument: Option<Pipeline>,
    },
    Break,
    Continue,
}

/// The parts of a control structure.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) pipeline: Pipeline,
    pub(super) body: Nodes,
    pub(super) otherwise: Nodes,
}

/// Commands, each handing its value to the next.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) offset: usize,
    /// Variables that take the value.
    pub(super) variables: Vec<String>,
    /// `=` instead of `:=`.
    pub(super) assigns: bool,
    pub(super) commands: Vec<Command>,
}

/// A value or a call: the first operand says which.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) offset: usize,
    pub(super) first: Operand,
    pub(super) arguments: Vec<Operand>,
}

/// One word of a command.
#[derive(Debug)]
pub(super) enum Operand {
    Dot,
    Nil,
    Bool(bool),
    Number(Number),
    Text(String),
    /// `.a.b`
    Field(Vec<String>),
    /// `$x.a.b`
    Variable(String, Vec<String>),
    /// `(pipeline).a.b`
    Chain(Box<Operand>, Vec<String>),
    Nested(Box<Pipeline>),
    Function {
        row: &'static Row,
        /// The expression of a regex function, when the template has it as a literal that compiles.
        regex: Option<Box<Regex>>,
    },
}

/// A number as written: what it is depends on where it goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Number {
    /// Its value as an integer, if it has one: `1e3` does.
    pub(super) int: Option<i64>,
    pub(super) float: f64,
    /// Without a typed parameter to go to, it is a float: it has a point or an exponent.
    pub(super) is_float: bool,
}
