//! `match`: runs stages, or drops, only for entries that a LogQL selector picks.
//! In: labels and line.  Out: the entry, on to the nested stages or past them.  Owns: the selector.
//!
//! One task runs all of it, so lines keep their order (Promtail reorders them here).

use crate::config::{Invalid, Kind, Node, Table, row};
use crate::pipeline::compile::{Compiler, DropReason};
use crate::pipeline::entry::{Entry, Symbol};
use crate::pipeline::lane::Context;
use crate::pipeline::selector::Selector;
use crate::pipeline::stages::{Flow, Options, Stage, StageKind};

pub(crate) const KIND: StageKind = StageKind {
    name: "match",
    about: "Runs stages, or drops, only for lines that a LogQL selector picks",
    options: Options::Block(&OPTIONS),
    build,
};

static OPTIONS: Table = Table(&[
    row(
        "selector",
        Kind::Text,
        "",
        "Required: matchers and line filters, such as `{app=\"api\"} |= \"error\"`",
    ),
    row("stages", Kind::Stages, "", "What runs for the lines picked"),
    row("action", Kind::Text, "keep", "`keep` or `drop`"),
    row("drop_counter_reason", Kind::Text, "match_stage", "Under what the dropped lines are counted"),
    row("pipeline_name", Kind::Text, "", "Without effect"),
]);

#[derive(Debug)]
struct Match {
    selector: Selector,
    /// Names of the selector's matchers, in order.
    names: Vec<Symbol>,
    action: Action,
}

#[derive(Debug)]
enum Action {
    /// Runs the steps behind this one; skips so many where the selector does not pick.
    Keep(usize),
    Drop(DropReason),
}

fn build(options: &Node, compiler: &mut Compiler<'_>) -> Result<(), Invalid> {
    let block = options.options(&OPTIONS)?;
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
    match block.optional("action", Node::strict_text)? {
        None | Some("keep") => match stages {
            Some(list) if !given.is_empty() => {
                compiler.nest(list, |steps| Match { selector, names, action: Action::Keep(steps) })
            }
            _ => Err(options.invalid("`match` needs `stages` to run, or `action: drop`")),
        },
        Some("drop") if given.is_empty() => {
            let reason = compiler.drop_reason(reason);
            compiler.add(Match { selector, names, action: Action::Drop(reason) });
            Ok(())
        }
        Some("drop") => Err(options.invalid("`match` with `action: drop` cannot have `stages`")),
        Some(other) => {
            Err(options.invalid(format!("`action` cannot be `{other}`")).help("use `keep` or `drop`"))
        }
    }
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
    fn apply<'s>(&'s self, entry: &mut Entry, _: &mut Context<'_>) -> Flow<'s> {
        match (&self.action, self.picks(entry)) {
            (Action::Keep(_), true) => {
                entry.extract_labels();
                Flow::Continue
            }
            (Action::Keep(steps), false) => Flow::Skip(*steps),
            (Action::Drop(reason), true) => Flow::Drop(reason),
            (Action::Drop(_), false) => Flow::Continue,
        }
    }
}
