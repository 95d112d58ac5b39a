//! Reads the control structures of a template.
//! In: the text.  Out: the tree and the templates it defines.  Owns: the position among the tokens.

use std::collections::BTreeMap;

use super::ast::{Branch, Node, Nodes, Pipeline};
use super::error::TemplateError;
use super::lex::{Kind, Token, lex};
use super::limits::NESTING_LIMIT;

/// Words that are no functions.
pub(super) const KEYWORDS: [&str; 10] =
    ["block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"];

/// The trees of one text.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) main: Nodes,
    pub(super) defined: BTreeMap<String, Nodes>,
}

/// Reads a whole template.
pub(super) fn parse(text: &str) -> Result<Parsed, TemplateError> {
    let tokens = lex(text)?;
    let mut parser = Parser {
        text,
        tokens,
        at: 0,
        variables: vec!["$".to_owned()],
        loops: 0,
        nesting: 0,
        defined: BTreeMap::new(),
    };
    let mut main = Nodes::new();
    match parser.nodes(&mut main, true)? {
        Closed::ByEnd => Ok(Parsed { main, defined: parser.defined }),
        Closed::By(offset, word) => {
            parser.fail(offset, format!("unexpected {{{{{word}}}}}: nothing is open here"))
        }
    }
}

/// What ended a run of nodes.
enum Closed {
    /// The end of the text.
    ByEnd,
    /// `else` or `end`; the word has been read, what follows it has not.
    By(usize, &'static str),
}

pub(super) struct Parser<'t> {
    pub(super) text: &'t str,
    tokens: Vec<Token<'t>>,
    at: usize,
    /// Variables in scope, by name; Go knows the names at parse time and the values by name at run time.
    pub(super) variables: Vec<String>,
    loops: usize,
    nesting: usize,
    defined: BTreeMap<String, Nodes>,
}

impl<'t> Parser<'t> {
    pub(super) fn fail<T>(&self, offset: usize, problem: impl Into<String>) -> Result<T, TemplateError> {
        Err(TemplateError::new(self.text, offset, problem))
    }

    pub(super) fn peek(&self) -> Token<'t> {
        let end = Token { kind: Kind::End, offset: self.text.len(), text: "" };
        self.tokens.get(self.at).copied().unwrap_or(end)
    }

    pub(super) fn next(&mut self) -> Token<'t> {
        let token = self.peek();
        self.at += 1;
        token
    }

    pub(super) fn skip_blanks(&mut self) {
        while self.peek().kind == Kind::Blank {
            self.at += 1;
        }
    }

    /// Where the parser stands, to come back to.
    pub(super) fn mark(&self) -> usize {
        self.at
    }

    pub(super) fn back_to(&mut self, mark: usize) {
        self.at = mark;
    }

    pub(super) fn unexpected<T>(&self, token: Token<'_>, place: &str) -> Result<T, TemplateError> {
        match token.kind {
            Kind::End => self.fail(token.offset, format!("the template ends inside {place}")),
            Kind::Blank => self.fail(token.offset, format!("unexpected blank in {place}")),
            _ => self.fail(token.offset, format!("unexpected {:?} in {place}", token.text)),
        }
    }

    /// Runs one level deeper; the parser calls itself, and so does what renders the tree.
    pub(super) fn deeper<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, TemplateError>,
    ) -> Result<T, TemplateError> {
        self.nesting += 1;
        if self.nesting > NESTING_LIMIT {
            return self.fail(self.peek().offset, format!("more than {NESTING_LIMIT} levels of nesting"));
        }
        let result = read(self);
        self.nesting -= 1;
        result
    }

    /// Nodes up to the next `else` or `end`. Only the outermost level may define templates.
    fn nodes(&mut self, nodes: &mut Nodes, outermost: bool) -> Result<Closed, TemplateError> {
        loop {
            let token = self.next();
            match token.kind {
                Kind::End => return Ok(Closed::ByEnd),
                Kind::Text => nodes.push(Node::Text(token.text.to_owned())),
                Kind::Open => {
                    self.skip_blanks();
                    let word = self.peek();
                    let keyword =
                        KEYWORDS.iter().find(|known| word.kind == Kind::Word && word.text == **known);
                    let Some(&keyword) = keyword else {
                        nodes.push(self.action()?);
                        continue;
                    };
                    self.at += 1;
                    match keyword {
                        "end" | "else" => return Ok(Closed::By(word.offset, keyword)),
                        "define" if outermost => self.define()?,
                        "define" => {
                            return self.fail(word.offset, "a template can be defined at top level only");
                        }
                        _ => nodes.push(self.deeper(|parser| parser.control(keyword, word.offset))?),
                    }
                }
                _ => return self.unexpected(token, "text"),
            }
        }
    }

    fn action(&mut self) -> Result<Node, TemplateError> {
        let pipeline = self.pipeline("command", Kind::Close)?;
        Ok(Node::Action(pipeline))
    }

    fn control(&mut self, keyword: &str, offset: usize) -> Result<Node, TemplateError> {
        match keyword {
            "if" => Ok(Node::If(Box::new(self.branch("if")?))),
            "with" => Ok(Node::With(Box::new(self.branch("with")?))),
            "range" => Ok(Node::Range(Box::new(self.branch("range")?))),
            "template" => self.template(offset),
            "block" => self.block(offset),
            _ => {
                self.close(keyword)?;
                match (self.loops, keyword) {
                    (0, _) => self.fail(offset, format!("{{{{{keyword}}}}} outside {{{{range}}}}")),
                    (_, "break") => Ok(Node::Break),
                    _ => Ok(Node::Continue),
                }
            }
        }
    }

    /// `pipeline }} body {{else}} otherwise {{end}}`, also with `{{else if}}` and `{{else with}}`.
    fn branch(&mut self, keyword: &'static str) -> Result<Branch, TemplateError> {
        let scope = self.variables.len();
        let is_loop = usize::from(keyword == "range");
        let pipeline = self.pipeline(keyword, Kind::Close)?;
        self.loops += is_loop;
        let (body, closed) = self.body()?;
        self.loops -= is_loop;
        let mut otherwise = Nodes::new();
        if closed == "else" {
            otherwise = self.otherwise(keyword)?;
        }
        self.variables.truncate(scope);
        Ok(Branch { pipeline, body, otherwise })
    }

    /// What follows `else`, the end of the structure included.
    fn otherwise(&mut self, keyword: &'static str) -> Result<Nodes, TemplateError> {
        self.skip_blanks();
        let word = self.peek();
        if word.kind == Kind::Word && word.text == keyword && keyword != "range" {
            self.at += 1;
            let inner = self.deeper(|parser| parser.control(keyword, word.offset))?;
            return Ok(vec![inner]);
        }
        self.close("else")?;
        match self.body()? {
            (otherwise, "end") => Ok(otherwise),
            _ => self.fail(word.offset, "more than one {{else}}"),
        }
    }

    /// Nodes and the word that closed them; after `end`, the action is closed too.
    fn body(&mut self) -> Result<(Nodes, &'static str), TemplateError> {
        let mut nodes = Nodes::new();
        match self.nodes(&mut nodes, false)? {
            Closed::ByEnd => self.fail(self.text.len(), "the template ends before an {{end}}"),
            Closed::By(_, "end") => {
                self.close("end")?;
                Ok((nodes, "end"))
            }
            Closed::By(_, word) => Ok((nodes, word)),
        }
    }

    fn close(&mut self, keyword: &str) -> Result<(), TemplateError> {
        self.skip_blanks();
        match self.next() {
            Token { kind: Kind::Close, .. } => Ok(()),
            token => self.unexpected(token, keyword),
        }
    }

    fn template(&mut self, offset: usize) -> Result<Node, TemplateError> {
        let name = self.template_name("template")?;
        let argument = self.optional_argument()?;
        Ok(Node::Template { offset, name, argument })
    }

    fn optional_argument(&mut self) -> Result<Option<Pipeline>, TemplateError> {
        self.skip_blanks();
        if self.peek().kind == Kind::Close {
            self.at += 1;
            return Ok(None);
        }
        self.pipeline("template", Kind::Close).map(Some)
    }

    fn template_name(&mut self, place: &str) -> Result<String, TemplateError> {
        self.skip_blanks();
        let token = self.next();
        match token.kind {
            Kind::Quoted => self.unquote(token),
            _ => self.unexpected(token, &format!("the name of a {place}")),
        }
    }

    fn define(&mut self) -> Result<(), TemplateError> {
        let offset = self.peek().offset;
        let name = self.template_name("definition")?;
        self.close("define")?;
        let body = self.own_scope()?;
        self.add(offset, name, body)
    }

    /// Defines a template and calls it.
    fn block(&mut self, offset: usize) -> Result<Node, TemplateError> {
        let name = self.template_name("block")?;
        let argument = self.pipeline("block", Kind::Close)?;
        let body = self.own_scope()?;
        self.add(offset, name.clone(), body)?;
        Ok(Node::Template { offset, name, argument: Some(argument) })
    }

    /// A body that sees no variables and no loop from outside.
    fn own_scope(&mut self) -> Result<Nodes, TemplateError> {
        let variables = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let loops = std::mem::take(&mut self.loops);
        let offset = self.peek().offset;
        let (body, closed) = self.body()?;
        self.variables = variables;
        self.loops = loops;
        if closed == "else" {
            return self.fail(offset, "unexpected {{else}} in a template definition");
        }
        Ok(body)
    }

    /// An empty definition gives way to a full one, as in Go.
    fn add(&mut self, offset: usize, name: String, body: Nodes) -> Result<(), TemplateError> {
        if is_blank(&body) {
            self.defined.entry(name).or_insert(body);
            return Ok(());
        }
        if self.defined.get(&name).is_some_and(|known| !is_blank(known)) {
            return self.fail(offset, format!("template {name:?} is defined twice"));
        }
        self.defined.insert(name, body);
        Ok(())
    }
}

fn is_blank(nodes: &[Node]) -> bool {
    nodes.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
}
