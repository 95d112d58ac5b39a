//! Evaluates pipelines: commands, operands, fields, calls.
//! In: the tree of a pipeline and dot.  Out: a value.  Owns: nothing beyond the renderer.

use regex::bytes::Regex;

use super::ast::{Command, Number, Operand, Pipeline};
use super::call::{self, Call, Row, validate};
use super::error::{Problem, RenderError};
use super::exec::{Renderer, at};
use super::functions::{dates, semver};
use super::text::Text;
use super::value::{Element, Entries, Value};

impl<'a> Renderer<'a, '_> {
    /// The value of a pipeline; its variables are declared or set.
    pub(super) fn pipeline(
        &mut self,
        pipeline: &'a Pipeline,
        dot: &Value<'a>,
    ) -> Result<Value<'a>, RenderError> {
        let mut value = None;
        for command in &pipeline.commands {
            self.budget.step(1).map_err(at(command.offset))?;
            value = Some(self.command(command, dot, value)?);
        }
        let value = value.unwrap_or(Value::Nil);
        for name in &pipeline.variables {
            if pipeline.assigns {
                self.set(name, value.clone()).map_err(at(pipeline.offset))?;
            } else {
                self.declare(name, value.clone());
            }
        }
        Ok(value)
    }

    /// `piped` is what the command before handed over.
    fn command(
        &mut self,
        command: &'a Command,
        dot: &Value<'a>,
        piped: Option<Value<'a>>,
    ) -> Result<Value<'a>, RenderError> {
        let offset = command.offset;
        if let Operand::Function { row, regex } = &command.first {
            return self.function(row, regex.as_deref(), command, dot, piped);
        }
        if !command.arguments.is_empty() || piped.is_some() {
            if let Operand::Chain(..) | Operand::Field(_) | Operand::Variable(..) = &command.first {
                return self.method(command, dot, piped);
            }
            let problem = Problem::said("arguments can be given to functions only");
            return Err(RenderError::new(offset, problem));
        }
        if matches!(command.first, Operand::Nil) {
            return Err(RenderError::new(offset, Problem::said("nil is not a command")));
        }
        self.operand(&command.first, offset, dot)
    }

    /// An operand where any type may stand.
    fn operand(
        &mut self,
        operand: &'a Operand,
        offset: usize,
        dot: &Value<'a>,
    ) -> Result<Value<'a>, RenderError> {
        match operand {
            Operand::Dot => Ok(dot.clone()),
            Operand::Nil => Ok(Value::Nil),
            Operand::Bool(truth) => Ok(Value::Bool(*truth)),
            Operand::Number(number) => ideal(number).map_err(at(offset)),
            Operand::Text(text) => Ok(Value::Text(Text::Borrowed(text))),
            Operand::Field(path) => fields(dot.clone(), path).map_err(at(offset)),
            Operand::Variable(name, path) => {
                let value = self.variable(name).map_err(at(offset))?;
                fields(value, path).map_err(at(offset))
            }
            Operand::Chain(of, path) => {
                let value = self.operand(of, offset, dot)?;
                fields(value, path).map_err(at(offset))
            }
            Operand::Nested(pipeline) => {
                self.enter(offset)?;
                let value = self.pipeline(pipeline, dot);
                self.leave();
                value
            }
            Operand::Function { row, regex } => self.evaluate_call(row, regex.as_deref(), offset, Vec::new()),
        }
    }

    fn function(
        &mut self,
        row: &'static Row,
        regex: Option<&'a Regex>,
        command: &'a Command,
        dot: &Value<'a>,
        piped: Option<Value<'a>>,
    ) -> Result<Value<'a>, RenderError> {
        let offset = command.offset;
        let count = command.arguments.len() + usize::from(piped.is_some());
        row.check_count(count).map_err(at(offset))?;
        if let Some(stops_at) = short_circuit(row.name) {
            return self.logic(stops_at, command, dot, piped);
        }
        let mut arguments = Vec::with_capacity(count);
        for (place, operand) in command.arguments.iter().enumerate() {
            arguments.push(self.argument(row.parameter(place), operand, offset, dot)?);
        }
        if let Some(piped) = piped {
            validate(row.parameter(command.arguments.len()), &piped).map_err(at(offset))?;
            arguments.push(piped);
        }
        self.evaluate_call(row, regex, offset, arguments)
    }

    /// `and` and `or` evaluate no more than they need.
    fn logic(
        &mut self,
        stops_at: bool,
        command: &'a Command,
        dot: &Value<'a>,
        piped: Option<Value<'a>>,
    ) -> Result<Value<'a>, RenderError> {
        let mut last = Value::Nil;
        for operand in &command.arguments {
            last = self.argument(b'a', operand, command.offset, dot)?;
            if last.truth() == stops_at {
                return Ok(last);
            }
        }
        Ok(piped.unwrap_or(last))
    }

    /// An argument for a parameter: literals take its type, anything else must have it.
    fn argument(
        &mut self,
        letter: u8,
        operand: &'a Operand,
        offset: usize,
        dot: &Value<'a>,
    ) -> Result<Value<'a>, RenderError> {
        let value = match (letter, operand) {
            (b'i', Operand::Number(Number { int: Some(int), .. })) => return Ok(Value::int(*int)),
            (b'I', Operand::Number(Number { int: Some(int), .. })) => return Ok(Value::int64(*int)),
            (b'f', Operand::Number(number)) => return Ok(Value::Float(number.float)),
            _ => self.operand(operand, offset, dot)?,
        };
        validate(letter, &value).map_err(at(offset))?;
        Ok(value)
    }

    fn evaluate_call(
        &mut self,
        row: &'static Row,
        prepared: Option<&'a Regex>,
        offset: usize,
        mut arguments: Vec<Value<'a>>,
    ) -> Result<Value<'a>, RenderError> {
        row.check_count(arguments.len()).map_err(at(offset))?;
        let read: usize = arguments.iter().map(bytes_read).sum();
        self.budget.read(read).map_err(at(offset))?;
        if !row.takes_root {
            for argument in &mut arguments {
                if matches!(argument, Value::Root(_)) {
                    let root = std::mem::replace(argument, Value::Nil);
                    *argument = self.settled(root).map_err(at(offset))?;
                }
            }
        }
        let mut call = Call { function: row.name, arguments, budget: &mut self.budget, prepared };
        let value = (row.run)(&mut call).map_err(at(offset))?;
        if let Value::Text(text) = &value {
            let bytes = text.own_bytes();
            super::limits::text_length(Some(bytes)).map_err(at(offset))?;
            self.budget.made(bytes).map_err(at(offset))?;
        }
        Ok(value)
    }

    /// The data of the line as a dict.
    pub(super) fn settled(&mut self, value: Value<'a>) -> Result<Value<'a>, Problem> {
        let Value::Root(root) = value else { return Ok(value) };
        let mut entries = Entries::new();
        root.0.for_each(&mut |name, text| {
            entries.insert(name.to_owned(), Value::text(text.to_owned()));
        });
        call::new_dict(&mut self.budget, Element::Any, entries)
    }

    /// The few methods of values that take an argument: `(now).Format "2006"`.
    fn method(
        &mut self,
        command: &'a Command,
        dot: &Value<'a>,
        piped: Option<Value<'a>>,
    ) -> Result<Value<'a>, RenderError> {
        let offset = command.offset;
        let (receiver, path) = match &command.first {
            Operand::Field(path) => (dot.clone(), path),
            Operand::Variable(name, path) => (self.variable(name).map_err(at(offset))?, path),
            Operand::Chain(of, path) => (self.operand(of, offset, dot)?, path),
            _ => (Value::Nil, &NO_PATH),
        };
        let refused = || RenderError::new(offset, Problem::said("arguments can be given to functions only"));
        let Some((method, before)) = path.split_last() else { return Err(refused()) };
        let time = match fields(receiver, before).map_err(at(offset))? {
            Value::Time(time) => time,
            // What is missing takes anything.
            Value::Nil => return Ok(Value::Nil),
            _ => return Err(refused()),
        };
        let mut arguments = Vec::new();
        for operand in &command.arguments {
            arguments.push(self.operand(operand, offset, dot)?);
        }
        arguments.extend(piped);
        dates::method(&time, method, &arguments).map_err(at(offset))
    }
}

static NO_PATH: Vec<String> = Vec::new();

/// The truth at which `and` and `or` stop.
fn short_circuit(name: &str) -> Option<bool> {
    match name {
        "and" => Some(false),
        "or" => Some(true),
        _ => None,
    }
}

/// A number where any type may stand.
fn ideal<'a>(number: &Number) -> Result<Value<'a>, Problem> {
    match number.int {
        _ if number.is_float => Ok(Value::Float(number.float)),
        Some(int) => Ok(Value::int(int)),
        None => Err(Problem::said("the number overflows int")),
    }
}

fn bytes_read(value: &Value<'_>) -> usize {
    if let Value::Text(text) = value { text.len() } else { 0 }
}

/// `.a.b` of a value. What is missing has all fields, and all are missing; a nil that was put into a dict has none.
fn fields<'a>(mut value: Value<'a>, path: &[String]) -> Result<Value<'a>, Problem> {
    let mut was_put = false;
    for name in path {
        let found = match &value {
            Value::Root(root) => root.0.get(name).map(|text| Value::Text(Text::Borrowed(text))),
            Value::Dict(dict) => dict.get(name),
            Value::Nil if !was_put => None,
            Value::Time(time) => Some(dates::method(time, name, &[])?),
            Value::Version(version) => Some(semver::field(version, name)?),
            other => return Err(Problem::NoField { field: name.as_str().into(), found: other.type_name() }),
        };
        was_put = found.is_some();
        value = found.unwrap_or(Value::Nil);
    }
    Ok(value)
}
