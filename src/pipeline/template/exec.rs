//! Runs the tree: text, control structures, templates calling templates.
//! In: nodes and dot.  Out: text in a sink.  Owns: the variables and the budget of one rendering.

use super::Template;
use super::ast::{Branch, Node, Pipeline};
use super::error::{Problem, RenderError};
use super::limits::{Budget, DEPTH_LIMIT, Sink};
use super::print;
use super::value::{Integer, Value};

/// How a run of nodes ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

/// One rendering.
pub(super) struct Renderer<'a, 'o> {
    template: &'a Template,
    pub(super) budget: Budget<'a>,
    /// Innermost last. Go looks variables up by name as well.
    variables: Vec<(&'a str, Value<'a>)>,
    /// Where the variables of the running template begin.
    base: usize,
    depth: usize,
    sink: Sink<'o>,
}

/// Renders the whole template.
pub(super) fn render<'a>(
    template: &'a Template,
    root: Value<'a>,
    out: &mut String,
) -> Result<(), RenderError> {
    let mut renderer = Renderer {
        template,
        budget: Budget::new(),
        variables: Vec::new(),
        base: 0,
        depth: 0,
        sink: Sink::new(out),
    };
    renderer.variables.push(("$", root.clone()));
    renderer.nodes(&template.main, &root).map(|_| ())
}

/// Gives a problem its place in the template.
pub(super) fn at(offset: usize) -> impl Fn(Problem) -> RenderError {
    move |problem| RenderError::new(offset, problem)
}

impl<'a> Renderer<'a, '_> {
    fn nodes(&mut self, nodes: &'a [Node], dot: &Value<'a>) -> Result<Flow, RenderError> {
        for node in nodes {
            match self.node(node, dot)? {
                Flow::Next => {}
                ended => return Ok(ended),
            }
        }
        Ok(Flow::Next)
    }

    fn node(&mut self, node: &'a Node, dot: &Value<'a>) -> Result<Flow, RenderError> {
        match node {
            Node::Text(text) => {
                self.budget.step(1).map_err(at(0))?;
                self.sink.push_str(text).map_err(at(0))?;
            }
            Node::Action(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    self.print(&value).map_err(at(pipeline.offset))?;
                }
            }
            Node::If(branch) => return self.scoped(branch, dot, Self::if_),
            Node::With(branch) => return self.scoped(branch, dot, Self::with),
            Node::Range(branch) => return self.scoped(branch, dot, Self::range),
            Node::Template { offset, name, argument } => self.call(*offset, name, argument.as_ref(), dot)?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn print(&mut self, value: &Value<'a>) -> Result<(), Problem> {
        match value {
            Value::Nil => self.sink.push_str("<no value>"),
            value => print::show(&mut self.sink, value),
        }
    }

    /// One level deeper; what was declared inside is forgotten.
    fn scoped(
        &mut self,
        branch: &'a Branch,
        dot: &Value<'a>,
        run: fn(&mut Self, &'a Branch, &Value<'a>) -> Result<Flow, RenderError>,
    ) -> Result<Flow, RenderError> {
        self.enter(branch.pipeline.offset)?;
        let scope = self.variables.len();
        let flow = run(self, branch, dot);
        self.variables.truncate(scope);
        self.leave();
        flow
    }

    /// Every recursion of the renderer passes here.
    pub(super) fn enter(&mut self, offset: usize) -> Result<(), RenderError> {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            let problem = Problem::Limit { what: "levels of templates and blocks", limit: DEPTH_LIMIT };
            return Err(RenderError::new(offset, problem));
        }
        Ok(())
    }

    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    fn if_(&mut self, branch: &'a Branch, dot: &Value<'a>) -> Result<Flow, RenderError> {
        let value = self.pipeline(&branch.pipeline, dot)?;
        self.nodes(if value.truth() { &branch.body } else { &branch.otherwise }, dot)
    }

    fn with(&mut self, branch: &'a Branch, dot: &Value<'a>) -> Result<Flow, RenderError> {
        let value = self.pipeline(&branch.pipeline, dot)?;
        if value.truth() { self.nodes(&branch.body, &value) } else { self.nodes(&branch.otherwise, dot) }
    }

    fn range(&mut self, branch: &'a Branch, dot: &Value<'a>) -> Result<Flow, RenderError> {
        let offset = branch.pipeline.offset;
        let value = self.pipeline(&branch.pipeline, dot)?;
        let value = self.settled(value).map_err(at(offset))?;
        let mut ran = false;
        match &value {
            Value::List(list) => {
                for (index, item) in list.items.iter().enumerate() {
                    ran = true;
                    if self.iterate(branch, Value::count(index), item.clone())? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Dict(dict) => {
                let entries = dict.entries.borrow().clone();
                self.budget.step(entries.len()).map_err(at(offset))?;
                for (key, item) in entries {
                    ran = true;
                    if self.iterate(branch, Value::text(key), item)? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Int(end, Integer::Int | Integer::Int64 | Integer::Uint8 | Integer::Uint64) => {
                if branch.pipeline.variables.len() > 1 {
                    let problem = Problem::said("range over an integer takes one variable");
                    return Err(RenderError::new(offset, problem));
                }
                ran = self.count_to(*end, &value, branch)?;
            }
            Value::Nil => {}
            other => {
                let problem = format!("range cannot iterate over a value of type {}", other.type_name());
                return Err(RenderError::new(offset, Problem::said(problem)));
            }
        }
        if ran { Ok(Flow::Next) } else { self.nodes(&branch.otherwise, dot) }
    }

    fn count_to(&mut self, end: i64, value: &Value<'a>, branch: &'a Branch) -> Result<bool, RenderError> {
        let Value::Int(_, integer) = value else { return Ok(false) };
        for index in 0..end {
            let item = Value::Int(index, *integer);
            if self.iterate(branch, item.clone(), item)? == Flow::Break {
                break;
            }
        }
        Ok(end > 0)
    }

    /// One pass through the body of a range.
    fn iterate(&mut self, branch: &'a Branch, key: Value<'a>, item: Value<'a>) -> Result<Flow, RenderError> {
        let pipeline = &branch.pipeline;
        self.budget.step(1).map_err(at(pipeline.offset))?;
        match pipeline.variables.as_slice() {
            [] => {}
            [one] => self.set(one, item.clone()).map_err(at(pipeline.offset))?,
            [first, second, ..] => {
                self.set(first, key).map_err(at(pipeline.offset))?;
                self.set(second, item.clone()).map_err(at(pipeline.offset))?;
            }
        }
        let scope = self.variables.len();
        let flow = self.nodes(&branch.body, &item);
        self.variables.truncate(scope);
        flow
    }

    fn call(
        &mut self,
        offset: usize,
        name: &str,
        argument: Option<&'a Pipeline>,
        dot: &Value<'a>,
    ) -> Result<(), RenderError> {
        let dot = match argument {
            Some(pipeline) => self.pipeline(pipeline, dot)?,
            None => Value::Nil,
        };
        let template = self.template;
        let body = match template.defined.get(name) {
            Some(body) => body,
            None if name == super::MAIN_NAME => &template.main,
            None => {
                let problem = Problem::said(format!("template {name:?} is not defined"));
                return Err(RenderError::new(offset, problem));
            }
        };
        self.enter(offset)?;
        self.budget.step(1).map_err(at(offset))?;
        let scope = self.variables.len();
        let base = std::mem::replace(&mut self.base, scope);
        self.variables.push(("$", dot.clone()));
        let result = self.nodes(body, &dot);
        self.variables.truncate(scope);
        self.base = base;
        self.leave();
        result.map(|_| ())
    }

    pub(super) fn declare(&mut self, name: &'a str, value: Value<'a>) {
        self.variables.push((name, value));
    }

    pub(super) fn set(&mut self, name: &str, value: Value<'a>) -> Result<(), Problem> {
        let visible = self.variables.get_mut(self.base..).unwrap_or_default();
        match visible.iter_mut().rev().find(|(known, _)| *known == name) {
            Some((_, place)) => {
                *place = value;
                Ok(())
            }
            None => Err(Problem::said(format!("undefined variable {name:?}"))),
        }
    }

    pub(super) fn variable(&self, name: &str) -> Result<Value<'a>, Problem> {
        let visible = self.variables.get(self.base..).unwrap_or_default();
        match visible.iter().rev().find(|(known, _)| *known == name) {
            Some((_, value)) => Ok(value.clone()),
            None => Err(Problem::said(format!("undefined variable {name:?}"))),
        }
    }
}
