//! From `pipeline_stages` to stages that run.
//! In: YAML nodes.  Out: a [`Pipeline`].  Owns: the symbol table while it is built.

use std::sync::Arc;

use crate::config::{Invalid, Node, Position, nearest};
use crate::metrics::{Own, Registry, Series, Site, Stages};
use crate::pipeline::entry::Symbol;
use crate::pipeline::guard::Guard;
use crate::pipeline::lane::MemoryKind;
use crate::pipeline::limits::Limits;
use crate::pipeline::stages::{STAGES, Stage};

/// Characters of a stage's options that it is recognised by.
const ABOUT_LIMIT: usize = 120;
/// Stands for the job's name where there is no job.
const NO_JOB: &str = "stdin";

/// A job's stages, compiled once and shared by its targets.
#[derive(Debug)]
pub(crate) struct Pipeline {
    /// In the order a line meets them. What is nested in a `match` stands behind it, and is skipped by those it does
    /// not pick: so an entry that was held back at a step goes on with all that stand after it.
    pub(crate) steps: Vec<Step>,
    /// The stages as they are configured, nested ones too, and what they have done.
    pub(crate) totals: Arc<Stages>,
    /// Names by symbol.
    pub(crate) names: Vec<Arc<str>>,
    /// What a lane has to remember, by [`Memory`](crate::pipeline::lane::Memory) index.
    pub(crate) memories: Vec<MemoryKind>,
    /// Whose it is.
    pub(crate) job: Arc<str>,
    /// What keeps labels from making too many streams.
    pub(crate) guard: Option<Guard>,
    /// Counts label values that were cut, once for each stream they made.
    pub(crate) label_values_cut: Arc<Series>,
    /// Counts lines that became part of another entry.
    pub(crate) lines_merged: Arc<Series>,
    /// Entries held back.
    pub(crate) entries_held: Arc<Series>,
}

/// One step of a pipeline.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) stage: Box<dyn Stage>,
    /// Which configured stage it belongs to: some are made of several steps.
    pub(crate) site: usize,
}

/// What stages need while they are built.
pub(crate) struct Compiler<'m> {
    names: Vec<Arc<str>>,
    memories: Vec<MemoryKind>,
    steps: Vec<Step>,
    sites: Vec<Site>,
    /// The stage being compiled.
    site: usize,
    /// Numbers of the lists' items that are being compiled, outermost first.
    place: Vec<usize>,
    registry: &'m Registry,
    own: &'m Own,
}

/// A reason for dropping lines, with its counter.
#[derive(Clone, Debug)]
pub(crate) struct DropReason {
    pub(crate) name: Arc<str>,
    counter: Arc<Series>,
}

impl DropReason {
    /// The reason of that name.
    pub(crate) fn new(reason: &str, own: &Own) -> DropReason {
        DropReason { name: reason.into(), counter: own.lines_dropped.with("reason", reason) }
    }

    /// Counts one dropped line.
    pub(crate) fn count(&self) {
        self.counter.add(1.0);
    }
}

impl Pipeline {
    /// Compiles a `pipeline_stages` list; `None` is a pipeline that changes nothing.
    pub(crate) fn compile(
        list: Option<&Node>,
        limits: &Limits,
        registry: &Registry,
        own: &Own,
    ) -> Result<Pipeline, Invalid> {
        let mut compiler = Compiler::new(registry, own);
        // Clients read the tenant from this label, so it always has a symbol.
        compiler.symbol("__tenant_id__");
        if let Some(list) = list {
            compiler.stages(list)?;
        }
        if !limits.is_empty() {
            compiler.begin(Site { name: "limits_config", ..Site::default() });
            limits.add_to(&mut compiler);
        }
        if compiler.names.len() > usize::from(u16::MAX) {
            let at = list.map_or(Position::START, |list| list.at);
            return Err(Invalid::new(at, "a pipeline cannot speak of more than 65,535 names"));
        }
        let Compiler { names, memories, steps, sites, .. } = compiler;
        Ok(Pipeline {
            steps,
            totals: Arc::new(Stages::new(sites)),
            names,
            memories,
            job: NO_JOB.into(),
            guard: limits.guard.clone().filter(Guard::is_enabled),
            label_values_cut: own.label_values_cut.clone(),
            lines_merged: own.lines_merged.clone(),
            entries_held: own.entries_held.clone(),
        })
    }

    /// The same, of this job.
    pub(crate) fn of_job(self, name: &str) -> Pipeline {
        Pipeline { job: name.into(), ..self }
    }
}

impl<'m> Compiler<'m> {
    /// Nothing spoken of yet.
    pub(crate) fn new(registry: &'m Registry, own: &'m Own) -> Compiler<'m> {
        Compiler {
            names: Vec::new(),
            memories: Vec::new(),
            steps: Vec::new(),
            sites: Vec::new(),
            site: 0,
            place: Vec::new(),
            registry,
            own,
        }
    }

    fn stages(&mut self, list: &Node) -> Result<(), Invalid> {
        for (number, item) in list.list()?.iter().enumerate() {
            self.place.push(number + 1);
            self.stage(item)?;
            self.place.pop();
        }
        Ok(())
    }

    fn stage(&mut self, item: &Node) -> Result<(), Invalid> {
        let [(key, options)] = item.entries()? else {
            return Err(item
                .invalid("a stage is a mapping with one key, the stage's name")
                .help("write each stage as its own list item, such as `- json: {…}`"));
        };
        let name = key.text()?;
        let Some(kind) = STAGES.iter().find(|kind| kind.name == name) else {
            return Err(unknown_stage(key, name));
        };
        let place: Vec<String> = self.place.iter().map(usize::to_string).collect();
        let site = self.begin(Site {
            name: kind.name,
            place: place.join("."),
            depth: place.len() - 1,
            line: Some(key.at.line).filter(|line| *line > 0),
            about: about(kind.name, options),
            ..Site::default()
        });
        (kind.build)(options, self)?;
        self.sites[site].nested = self.sites.len() - site - 1;
        Ok(())
    }

    fn begin(&mut self, site: Site) -> usize {
        self.site = self.sites.len();
        self.sites.push(site);
        self.site
    }

    /// Adds the next step of the stage being compiled.
    pub(crate) fn add(&mut self, stage: impl Stage + 'static) {
        self.steps.push(Step { stage: Box::new(stage), site: self.site });
    }

    /// Compiles a list of nested stages and puts them behind the step that decides whether they run; `branch` makes
    /// that step of how many it has to skip otherwise.
    pub(crate) fn nest<S: Stage + 'static>(
        &mut self,
        list: &Node,
        branch: impl FnOnce(usize) -> S,
    ) -> Result<(), Invalid> {
        let site = self.site;
        let before = std::mem::take(&mut self.steps);
        self.stages(list)?;
        let nested = std::mem::replace(&mut self.steps, before);
        self.site = site;
        self.add(branch(nested.len()));
        self.steps.extend(nested);
        Ok(())
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
        DropReason::new(reason, self.own)
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

/// What a stage is recognised by.
fn about(name: &str, options: &Node) -> String {
    let shown = if name == "match" { options.under("selector") } else { options };
    shown.brief(ABOUT_LIMIT)
}

fn unknown_stage(key: &Node, name: &str) -> Invalid {
    let known: Vec<&str> = STAGES.iter().map(|kind| kind.name).collect();
    let invalid = key.invalid(format!("unknown stage `{name}`"));
    match nearest(name, known.iter().copied()) {
        Some(close) => invalid.help(format!("did you mean `{close}`?")),
        None => invalid.help(format!("stages: {}", known.join(", "))),
    }
}
