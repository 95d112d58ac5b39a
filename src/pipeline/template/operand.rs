//! Reads what stands inside an action: pipelines, commands, operands.
//! In: tokens.  Out: the tree of one pipeline, functions looked up.  Owns: nothing beyond the parser.

use super::ast::{Command, Operand, Pipeline};
use super::call::Row;
use super::error::TemplateError;
use super::functions;
use super::lex::{Kind, Token};
use super::limits;
use super::literal;
use super::parse::{KEYWORDS, Parser};

impl Parser<'_> {
    /// A pipeline and the token that closes it.
    pub(super) fn pipeline(&mut self, place: &str, closing: Kind) -> Result<Pipeline, TemplateError> {
        self.skip_blanks();
        let offset = self.peek().offset;
        let mut pipeline = Pipeline { offset, variables: Vec::new(), assigns: false, commands: Vec::new() };
        self.declarations(&mut pipeline, place)?;
        loop {
            self.skip_blanks();
            let token = self.peek();
            match token.kind {
                kind if kind == closing => {
                    self.next();
                    break;
                }
                Kind::Word | Kind::Field | Kind::Variable | Kind::Dot | Kind::Number | Kind::Quoted => {}
                Kind::LeftParen => {}
                _ => return self.unexpected(token, place),
            }
            let command = self.command()?;
            if !pipeline.commands.is_empty() && !can_take_a_value(&command.first) {
                return self.fail(command.offset, "a value cannot be piped into this: it is no function");
            }
            pipeline.commands.push(command);
        }
        if pipeline.commands.is_empty() {
            return self.fail(offset, format!("missing value for {place}"));
        }
        Ok(pipeline)
    }

    /// `$x :=`, `$x =`, and in a range `$key, $value :=`.
    fn declarations(&mut self, pipeline: &mut Pipeline, place: &str) -> Result<(), TemplateError> {
        loop {
            self.skip_blanks();
            let before = self.mark();
            let name = self.peek();
            if name.kind != Kind::Variable {
                return Ok(());
            }
            self.next();
            self.skip_blanks();
            let after = self.next();
            match after.kind {
                Kind::Declare | Kind::Assign => {
                    pipeline.assigns = after.kind == Kind::Assign;
                    self.declare(pipeline, name);
                    return Ok(());
                }
                Kind::Comma => {
                    self.declare(pipeline, name);
                    let may_go_on = place == "range" && pipeline.variables.len() < 2;
                    self.skip_blanks();
                    match self.peek().kind {
                        _ if !may_go_on => {
                            return self.fail(after.offset, format!("too many declarations in {place}"));
                        }
                        Kind::Variable | Kind::Close | Kind::RightParen => {}
                        _ => return self.fail(after.offset, "range can only initialize variables"),
                    }
                }
                _ => {
                    self.back_to(before);
                    return Ok(());
                }
            }
        }
    }

    fn declare(&mut self, pipeline: &mut Pipeline, name: Token<'_>) {
        pipeline.variables.push(name.text.to_owned());
        self.variables.push(name.text.to_owned());
    }

    fn command(&mut self) -> Result<Command, TemplateError> {
        let offset = self.peek().offset;
        let mut operands = Vec::new();
        loop {
            self.skip_blanks();
            operands.extend(self.operand()?);
            let token = self.peek();
            match token.kind {
                Kind::Blank => {}
                Kind::Pipe => {
                    self.next();
                    break;
                }
                Kind::Close | Kind::RightParen => break,
                _ => return self.unexpected(token, "operand"),
            }
        }
        let mut operands = operands.into_iter();
        let Some(first) = operands.next() else { return self.fail(offset, "empty command") };
        let mut command = Command { offset, first, arguments: operands.collect() };
        prepare_regex(&mut command);
        Ok(command)
    }

    /// A term and the fields read from it; nothing where the command ends.
    fn operand(&mut self) -> Result<Option<Operand>, TemplateError> {
        let token = self.peek();
        let Some(term) = self.term()? else { return Ok(None) };
        let mut fields = Vec::new();
        while self.peek().kind == Kind::Field {
            fields.push(field_name(self.next()));
        }
        if fields.is_empty() {
            return Ok(Some(term));
        }
        Ok(Some(match term {
            Operand::Field(mut path) => {
                path.append(&mut fields);
                Operand::Field(path)
            }
            Operand::Variable(name, mut path) => {
                path.append(&mut fields);
                Operand::Variable(name, path)
            }
            Operand::Nested(_) | Operand::Function { .. } => Operand::Chain(Box::new(term), fields),
            _ => return self.fail(token.offset, format!("a field cannot be read from {:?}", token.text)),
        }))
    }

    fn term(&mut self) -> Result<Option<Operand>, TemplateError> {
        let before = self.mark();
        let token = self.next();
        let operand = match token.kind {
            Kind::Word => self.word(token)?,
            Kind::Dot => Operand::Dot,
            Kind::Field => Operand::Field(vec![field_name(token)]),
            Kind::Variable => {
                if !self.variables.iter().any(|known| known == token.text) {
                    return self.fail(token.offset, format!("undefined variable {:?}", token.text));
                }
                Operand::Variable(token.text.to_owned(), Vec::new())
            }
            Kind::Number => match literal::number(token.text) {
                Some(number) => Operand::Number(number),
                None => return self.fail(token.offset, format!("{:?} is not a number", token.text)),
            },
            Kind::Quoted => Operand::Text(self.unquote(token)?),
            Kind::LeftParen => {
                let inner =
                    self.deeper(|parser| parser.pipeline("parenthesized pipeline", Kind::RightParen))?;
                Operand::Nested(Box::new(inner))
            }
            _ => {
                self.back_to(before);
                return Ok(None);
            }
        };
        Ok(Some(operand))
    }

    fn word(&self, token: Token<'_>) -> Result<Operand, TemplateError> {
        match token.text {
            "true" => return Ok(Operand::Bool(true)),
            "false" => return Ok(Operand::Bool(false)),
            "nil" => return Ok(Operand::Nil),
            _ => {}
        }
        if KEYWORDS.contains(&token.text) {
            return self.fail(token.offset, format!("unexpected {} inside an action", token.text));
        }
        match functions::find(token.text) {
            Ok(row) => Ok(Operand::Function { row, regex: None }),
            Err(problem) => self.fail(token.offset, problem),
        }
    }

    pub(super) fn unquote(&self, token: Token<'_>) -> Result<String, TemplateError> {
        match literal::unquote(token.text) {
            Some(text) => Ok(text),
            None => self.fail(token.offset, format!("invalid escape in {}", token.text)),
        }
    }
}

fn field_name(token: Token<'_>) -> String {
    token.text.trim_start_matches('.').to_owned()
}

fn can_take_a_value(first: &Operand) -> bool {
    !matches!(first, Operand::Bool(_) | Operand::Dot | Operand::Nil | Operand::Number(_) | Operand::Text(_))
}

/// Compiles the expression of a regex function now if it is a literal. One that does not compile is left to fail when
/// it is used: Promtail starts with such a template.
fn prepare_regex(command: &mut Command) {
    let Operand::Function { row: Row { regex_first: true, .. }, regex } = &mut command.first else { return };
    let Some(Operand::Text(expression)) = command.arguments.first() else { return };
    if let Ok(compiled) = limits::compile(expression) {
        *regex = Some(Box::new(compiled));
    }
}
