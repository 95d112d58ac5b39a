//! `match`: runs stages, or drops, only for entries that a LogQL selector picks.
//! In: labels and line.  Out: the entry after the nested stages.  Owns: selector and nested stages.
//!
//! Matching entries take the nested stages in place, so lines keep their order (Promtail reorders them here).

use crate::config::{Invalid, Node};
use crate::pipeline::compile::{Compiler, DropReason, warn_unknown};
use crate::pipeline::entry::{Entry, Symbol};
use crate::pipeline::lane::{self, Context};
use crate::pipeline::selector::Selector;
use crate::pipeline::stages::{Flow, Stage, StageKind};

pub(crate) const KIND: StageKind = StageKind { name: "match", build };

#[derive(Debug)]
struct Match {
    selector: Selector,
    /// Names of the selector's matchers, in order.
    names: Vec<Symbol>,
    action: Action,
}

#[derive(Debug)]
enum Action {
    Keep(Vec<Box<dyn Stage>>),
    Drop(DropReason),
}

fn build(options: &Node, compiler: &mut Compiler<'_>) -> Result<Box<dyn Stage>, Invalid> {
    let block = options.loose_block()?;
    let node = block.required("selector")?;
    let selector = Selector::parse(node.strict_text()?).map_err(|error| {
        node.invalid(format!("not a selector: {error}")).help("such as {app=\"api\"} |= \"error\"")
    })?;
    let names = selector.matchers.iter().map(|matcher| compiler.symbol(matcher.name())).collect();
    let stages = block.get("stages");
    let given = stages.map(Node::list).transpose()?.unwrap_or_default();
    let reason = match block.optional("drop_counter_reason", Node::strict_text)? {
        None | Some("") => "match_stage",
        Some(reason) => reason,
    };
    if let Some(name) = block.get("pipeline_name")
        && name.strict_text()?.is_empty()
    {
        return Err(name.invalid("`pipeline_name` is empty").help("leave it out, it has no effect"));
    }
    let action = match block.optional("action", Node::strict_text)? {
        None | Some("keep") => match stages {
            Some(list) if !given.is_empty() => Action::Keep(compiler.stages(list)?),
            _ => return Err(options.invalid("`match` needs `stages` to run, or `action: drop`")),
        },
        Some("drop") if given.is_empty() => Action::Drop(compiler.drop_reason(reason)),
        Some("drop") => return Err(options.invalid("`match` with `action: drop` cannot have `stages`")),
        Some(other) => {
            return Err(options
                .invalid(format!("`action` cannot be `{other}`"))
                .help("use `keep` or `drop`"));
        }
    };
    warn_unknown("match", &block);
    Ok(Box::new(Match { selector, names, action }))
}

impl Match {
    fn picks(&self, entry: &mut Entry) -> bool {
        self.picks_labels(entry) && self.keeps_line(entry)
    }

    fn keeps_line(&self, entry: &mut Entry) -> bool {
        if self.selector.filters.is_empty() {
            return true;
        }
        let line = entry.searchable(entry.line);
        self.selector.filters.iter().all(|filter| filter.keeps(entry.bytes(line)))
    }

    fn picks_labels(&self, entry: &Entry) -> bool {
        // Every name a selector speaks of has a symbol, so it is never among the fixed labels.
        let value = |name: Symbol| entry.label(name).map_or(b"".as_slice(), |span| entry.bytes(span));
        let mut matchers = self.selector.matchers.iter().zip(&self.names);
        matchers.all(|(matcher, name)| matcher.matches(value(*name)))
    }
}

impl Stage for Match {
    fn apply<'s>(&'s self, entry: &mut Entry, context: &mut Context<'_>) -> Flow<'s> {
        if !self.picks(entry) {
            return Flow::Continue;
        }
        match &self.action {
            Action::Drop(reason) => Flow::Drop(reason),
            Action::Keep(stages) => {
                entry.extract_labels();
                lane::run(stages, entry, context)
            }
        }
    }
}
