//! Which fields of the line a template reads, told from its tree.
//! In: the tree.  Out: names, or that it may read any.  Owns: nothing.
//!
//! Dot and `$` may be the line's data in the main template and in defined ones; inside `range` and `with` dot is
//! something else, unless the line's data went there as a whole, which counts as reading everything already.

use std::collections::BTreeSet;

use super::ast::{Branch, Command, Node, Operand, Pipeline};

/// Functions whose second operand names the field they read from the first.
const READERS: [&str; 3] = ["index", "hasKey", "get"];

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Reads {
    pub(super) fields: BTreeSet<String>,
    pub(super) everything: bool,
}

impl Reads {
    /// `dot`: whether dot may be the line's data here.
    pub(super) fn nodes(&mut self, nodes: &[Node], dot: bool) {
        for node in nodes {
            match node {
                Node::Action(pipeline) => self.pipeline(pipeline, dot),
                Node::If(branch) => self.branch(branch, dot, dot),
                Node::With(branch) | Node::Range(branch) => self.branch(branch, dot, false),
                Node::Template { argument: Some(pipeline), .. } if is_whole(pipeline, dot) => {}
                Node::Template { argument: Some(pipeline), .. } => self.pipeline(pipeline, dot),
                _ => {}
            }
        }
    }

    fn branch(&mut self, branch: &Branch, dot: bool, dot_inside: bool) {
        self.pipeline(&branch.pipeline, dot);
        self.nodes(&branch.body, dot_inside);
        self.nodes(&branch.otherwise, dot);
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: bool) {
        for command in &pipeline.commands {
            self.command(command, dot);
        }
    }

    fn command(&mut self, command: &Command, dot: bool) {
        self.operand(&command.first, dot);
        let mut arguments = command.arguments.as_slice();
        if let (Operand::Function { row, .. }, [of, Operand::Text(name), rest @ ..]) =
            (&command.first, arguments)
            && READERS.contains(&row.name)
            && may_be_root(of, dot)
        {
            self.fields.insert(name.clone());
            arguments = rest;
        }
        for operand in arguments {
            self.operand(operand, dot);
        }
    }

    fn operand(&mut self, operand: &Operand, dot: bool) {
        match operand {
            Operand::Field(path) | Operand::Variable(_, path) if !path.is_empty() => {
                self.fields.extend(path.first().cloned());
            }
            Operand::Chain(of, path) => {
                self.operand(of, dot);
                self.fields.extend(path.first().cloned());
            }
            Operand::Nested(pipeline) => self.pipeline(pipeline, dot),
            operand if may_be_root(operand, dot) => self.everything = true,
            _ => {}
        }
    }
}

/// `.` or `$`, alone.
fn may_be_root(operand: &Operand, dot: bool) -> bool {
    match operand {
        Operand::Dot => dot,
        Operand::Variable(name, path) => name == "$" && path.is_empty(),
        _ => false,
    }
}

/// `{{ template "x" . }}` hands the data on; the body of `x` tells what is read.
fn is_whole(pipeline: &Pipeline, dot: bool) -> bool {
    match pipeline.commands.as_slice() {
        [only] => only.arguments.is_empty() && pipeline.variables.is_empty() && may_be_root(&only.first, dot),
        _ => false,
    }
}
