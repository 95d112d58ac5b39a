//! `limit`: lets lines pass at a rate.
//! In: an entry.  Out: the entry, perhaps after a pause, or nothing.  Owns: the tokens, shared by all targets of the
//! job.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::Instant;
use crate::config::{Invalid, Kind, Node, Table, row};
use crate::flow::TokenBucket;
use crate::metrics::Family;
use crate::pipeline::compile::{Compiler, DropReason};
use crate::pipeline::entry::{Entry, Symbol};
use crate::pipeline::lane::Context;
use crate::pipeline::stages::{Flow, Options, Stage, StageKind};

pub(crate) const KIND: StageKind =
    StageKind { name: "limit", about: "Lets lines pass at a rate", options: Options::Block(&OPTIONS), build };

static OPTIONS: Table = Table(&[
    row("rate", Kind::Number, "", "Required: lines a second, over all targets of the job"),
    row("burst", Kind::Count, "", "Required: lines that may pass at once"),
    row("drop", Kind::Boolean, "false", "Drop and count lines above the rate; if false, reading waits"),
    row("by_label_name", Kind::Text, "", "A rate for each value of this label; needs `drop: true`"),
    row("max_distinct_labels", Kind::Count, "10000", "Values remembered at least; not below the default"),
]);

/// Fewer label values than this are never remembered.
const FEWEST_VALUES: u64 = 10_000;

/// More could not be paid for.
const MOST_VALUES: u64 = 1_000_000;

#[derive(Debug)]
struct Limit {
    /// As it is when nothing has passed.
    full: TokenBucket,
    tokens: Mutex<TokenBucket>,
    /// Lines above the rate are dropped; `None` makes them wait.
    reason: Option<DropReason>,
    by_label: Option<ByLabel>,
}

/// A bucket for each value of a label.
#[derive(Debug)]
struct ByLabel {
    name: String,
    label: Symbol,
    tokens: Mutex<Generations>,
    /// Counts drops by value.
    dropped: Arc<Family>,
}

/// Values seen lately, and those seen before: when the young ones are too many they become the old ones, and what was
/// not seen since the last time is forgotten.
#[derive(Debug)]
struct Generations {
    young: HashMap<Box<[u8]>, TokenBucket>,
    old: HashMap<Box<[u8]>, TokenBucket>,
    limit: usize,
}

fn build(options: &Node, compiler: &mut Compiler<'_>) -> Result<(), Invalid> {
    let block = options.options(&OPTIONS)?;
    let rate_node = block.required("rate")?;
    let rate = rate_node.number()?;
    if rate <= 0.0 {
        return Err(rate_node.invalid("`rate` must be above 0"));
    }
    let burst_node = block.required("burst")?;
    let burst = burst_node.loose_count()?;
    if burst == 0 {
        return Err(burst_node.invalid("`burst` must be above 0"));
    }
    let drops = block.optional("drop", Node::loose_boolean)?.unwrap_or(false);
    let most = block.optional("max_distinct_labels", Node::loose_count)?.unwrap_or(FEWEST_VALUES);
    let by_label = match block.get("by_label_name").map(|node| Ok((node, node.text()?))).transpose()? {
        None | Some((_, "")) => None,
        Some((node, _)) if !drops => {
            return Err(node.invalid("`by_label_name` needs `drop: true`"));
        }
        Some((_, name)) => Some(ByLabel {
            name: name.to_owned(),
            label: compiler.symbol(name),
            tokens: Mutex::new(Generations {
                young: HashMap::new(),
                old: HashMap::new(),
                limit: most.clamp(FEWEST_VALUES, MOST_VALUES) as usize,
            }),
            dropped: compiler.own().lines_dropped_by_label.clone(),
        }),
    };
    let reason = drops.then(|| compiler.drop_reason("ratelimit_drop_stage"));
    let full = TokenBucket::new(rate, burst);
    compiler.add(Limit { tokens: Mutex::new(full.clone()), full, reason, by_label });
    Ok(())
}

impl Limit {
    fn passes(&self, entry: &Entry, now: Instant) -> bool {
        let Some(by_label) = &self.by_label else {
            return self.tokens.lock().unwrap_or_else(PoisonError::into_inner).allow(now);
        };
        let Some(span) = entry.label(by_label.label) else { return true };
        let value = entry.bytes(span);
        let mut tokens = by_label.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let passes = tokens.bucket(value, &self.full).allow(now);
        if !passes {
            let value = String::from_utf8_lossy(value).into_owned();
            let labels =
                vec![("label_name".to_owned(), by_label.name.clone()), ("label_value".to_owned(), value)];
            by_label.dropped.series(labels).add(1.0);
        }
        passes
    }
}

impl Generations {
    fn bucket(&mut self, value: &[u8], full: &TokenBucket) -> &mut TokenBucket {
        if self.young.len() >= self.limit && !self.young.contains_key(value) {
            self.old = std::mem::take(&mut self.young);
        }
        let old = &mut self.old;
        self.young.entry(value.into()).or_insert_with(|| old.remove(value).unwrap_or_else(|| full.clone()))
    }
}

impl Stage for Limit {
    fn apply<'s>(&'s self, entry: &mut Entry, context: &mut Context<'_>) -> Flow<'s> {
        match &self.reason {
            Some(reason) if !self.passes(entry, context.instant) => Flow::Drop(reason),
            Some(_) => Flow::Continue,
            None => {
                let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
                *context.pause = tokens.reserve(context.instant).max(*context.pause);
                Flow::Continue
            }
        }
    }
}
