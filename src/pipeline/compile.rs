//! From `pipeline_stages` to stages that run.
//! In: YAML nodes.  Out: a [`Pipeline`].  Owns: the symbol table while it is built.

use std::sync::Arc;

use tracing::warn;

use crate::config::{Block, Invalid, Node, Position, nearest};
use crate::metrics::{Own, Registry, Series};
use crate::pipeline::entry::Symbol;
use crate::pipeline::lane::MemoryKind;
use crate::pipeline::stages::{NOT_YET, STAGES, Stage};

/// A job's stages, compiled once and shared by its targets.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) stages: Vec<Box<dyn Stage>>,
    /// Names by symbol.
    pub(crate) names: Vec<Arc<str>>,
    /// What a lane has to remember, by [`Memory`](crate::pipeline::lane::Memory) index.
    pub(crate) memories: Vec<MemoryKind>,
    /// Counts label values that were cut, once for each stream they made.
    pub(crate) label_values_cut: Arc<Series>,
}

/// What stages need while they are built.
pub(crate) struct Compiler<'m> {
    names: Vec<Arc<str>>,
    memories: Vec<MemoryKind>,
    registry: &'m Registry,
    own: &'m Own,
}

/// A reason for dropping lines, with its counter.
#[derive(Clone, Debug)]
pub(crate) struct DropReason(Arc<Series>);

impl DropReason {
    /// Counts one dropped line.
    pub(crate) fn count(&self) {
        self.0.add(1.0);
    }
}

impl Pipeline {
    /// Compiles a `pipeline_stages` list; `None` is a pipeline that changes nothing.
    pub(crate) fn compile(list: Option<&Node>, registry: &Registry, own: &Own) -> Result<Pipeline, Invalid> {
        let mut compiler = Compiler::new(registry, own);
        // Clients read the tenant from this label, so it always has a symbol.
        compiler.symbol("__tenant_id__");
        let stages = match list {
            Some(list) => compiler.stages(list)?,
            None => Vec::new(),
        };
        if compiler.names.len() > usize::from(u16::MAX) {
            let at = list.map_or(Position::START, |list| list.at);
            return Err(Invalid::new(at, "a pipeline cannot speak of more than 65,535 names"));
        }
        let Compiler { names, memories, .. } = compiler;
        Ok(Pipeline { stages, names, memories, label_values_cut: own.label_values_cut.clone() })
    }
}

impl<'m> Compiler<'m> {
    /// Nothing spoken of yet.
    pub(crate) fn new(registry: &'m Registry, own: &'m Own) -> Compiler<'m> {
        Compiler { names: Vec::new(), memories: Vec::new(), registry, own }
    }

    /// Compiles a list of stages, top level or nested.
    pub(crate) fn stages(&mut self, list: &Node) -> Result<Vec<Box<dyn Stage>>, Invalid> {
        list.list()?.iter().map(|item| self.stage(item)).collect()
    }

    fn stage(&mut self, item: &Node) -> Result<Box<dyn Stage>, Invalid> {
        let [(key, options)] = item.entries()? else {
            return Err(item
                .invalid("a stage is a mapping with one key, the stage's name")
                .help("write each stage as its own list item, such as `- json: {…}`"));
        };
        let name = key.text()?;
        let Some(kind) = STAGES.iter().find(|kind| kind.name == name) else {
            return Err(unknown_stage(key, name));
        };
        (kind.build)(options, self)
    }

    /// The symbol of a name.
    pub(crate) fn symbol(&mut self, name: &str) -> Symbol {
        let index = self.names.iter().position(|known| **known == *name).unwrap_or_else(|| {
            self.names.push(name.into());
            self.names.len() - 1
        });
        // More than u16::MAX names are refused after compilation, before anything runs.
        Symbol(index as u16)
    }

    /// Reserves a place in every lane's memory.
    pub(crate) fn memory(&mut self, kind: MemoryKind) -> usize {
        self.memories.push(kind);
        self.memories.len() - 1
    }

    /// The counter of a drop reason.
    pub(crate) fn drop_reason(&self, reason: &str) -> DropReason {
        DropReason(self.own.lines_dropped.with("reason", reason))
    }

    /// Where derived metrics are registered.
    pub(crate) fn registry(&self) -> &'m Registry {
        self.registry
    }

    /// The agent's own metrics.
    pub(crate) fn own(&self) -> &'m Own {
        self.own
    }
}

/// Says which options of a stage nobody asked for; Promtail ignores them in silence.
pub(crate) fn warn_unknown(stage: &str, block: &Block<'_>) {
    for (key, name) in block.unknown() {
        warn!(
            stage,
            option = name,
            line = key.at.line,
            column = key.at.column,
            "this stage has no such option, it is ignored"
        );
    }
}

fn unknown_stage(key: &Node, name: &str) -> Invalid {
    if NOT_YET.contains(&name) {
        let invalid =
            key.invalid(format!("the stage `{name}` of Promtail is not supported by this version yet"));
        return invalid.help("remove it, or keep this job on Promtail for now");
    }
    let known: Vec<&str> = STAGES.iter().map(|kind| kind.name).collect();
    let invalid = key.invalid(format!("unknown stage `{name}`"));
    match nearest(name, known.iter().copied()) {
        Some(close) => invalid.help(format!("did you mean `{close}`?")),
        None => invalid.help(format!("stages: {}", known.join(", "))),
    }
}
