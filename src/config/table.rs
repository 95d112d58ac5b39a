//! Tables of keys: the one place that says which keys a block of the configuration has.
//! In: nothing.  Out: what [`Block`](crate::config::Block) refuses, what the reference documents, what a dump masks.
//! Owns: nothing.
//!
//! A table lies beside the code that reads the block. Reading a key that is not in its table is a bug that tests find.

use crate::config::diagnostic::Invalid;
use crate::config::yaml::Node;

/// The keys of one block.
#[derive(Debug)]
pub(crate) struct Table(pub(crate) &'static [Row]);

/// One key.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) key: &'static str,
    pub(crate) kind: Kind,
    /// As one would write it; empty where there is none.
    pub(crate) default: &'static str,
    /// One sentence or less, no final period.
    pub(crate) doc: &'static str,
    pub(crate) effect: Effect,
}

/// What a key's value may be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Text,
    /// Never shown.
    Secret,
    /// A URL, shown without its password.
    Url,
    Boolean,
    /// A whole number.
    Count,
    Number,
    /// Go's, or a bare number of nanoseconds.
    Duration,
    /// Prometheus' (`1d`, `2w`).
    PrometheusDuration,
    /// A number with an optional unit (`256kb`).
    Bytes,
    /// A list of texts.
    Texts,
    /// A mapping of names to texts.
    Labels,
    /// A mapping of names to texts that may be secret.
    Secrets,
    Block(&'static Table),
    /// A list of blocks.
    List(&'static Table),
    /// A mapping of names to blocks.
    Each(&'static Table),
    /// A list of pipeline stages.
    Stages,
    /// Whatever its reader makes of it.
    Any,
}

/// What a key does here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Works,
    /// Checked, and of no consequence: Promtail has it, there is nothing here it could change.
    Nothing,
    /// Refused by name: Promtail has it, this version does not yet.
    NotYet,
    /// Works, and should be written otherwise: says how.
    Old(&'static str),
}

/// A key that does what its documentation says.
pub(crate) const fn row(key: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Row {
    Row { key, kind, default, doc, effect: Effect::Works }
}

impl Row {
    /// The same key, accepted without consequence.
    pub(crate) const fn without_effect(self) -> Row {
        Row { effect: Effect::Nothing, ..self }
    }

    /// The same key, refused by name.
    pub(crate) const fn not_yet(self) -> Row {
        Row { effect: Effect::NotYet, ..self }
    }

    /// The same key, to be written otherwise.
    pub(crate) const fn old(self, instead: &'static str) -> Row {
        Row { effect: Effect::Old(instead), ..self }
    }
}

impl Table {
    /// The row of a key; names of stage options match in any case.
    pub(crate) fn row(&self, name: &str, fold_case: bool) -> Option<&'static Row> {
        let same = |key: &str| if fold_case { key.eq_ignore_ascii_case(name) } else { key == name };
        self.0.iter().find(|row| same(row.key))
    }
}

impl Kind {
    /// Refuses a value that is no such thing.
    pub(crate) fn check(self, node: &Node) -> Result<(), Invalid> {
        if node.is_null() {
            return Ok(());
        }
        match self {
            Kind::Text | Kind::Secret | Kind::Url => node.text().map(drop),
            Kind::Boolean => node.boolean().map(drop),
            Kind::Count => node.count().map(drop),
            Kind::Number => node.number().map(drop),
            Kind::Duration => node.duration().map(drop),
            Kind::PrometheusDuration => node.prometheus_duration().map(drop),
            Kind::Bytes => node.bytes().map(drop),
            Kind::Texts => node.list_of(|text| text.text().map(drop)).map(drop),
            Kind::Labels => node.entries()?.iter().try_for_each(|(_, value)| value.text().map(drop)),
            Kind::Secrets => node.entries().map(drop),
            Kind::Each(table) => {
                node.entries()?.iter().try_for_each(|(_, value)| value.block(table)?.check())
            }
            Kind::Block(table) => node.block(table)?.check(),
            Kind::List(table) => node.list_of(|item| item.block(table)?.check()).map(drop),
            Kind::Stages => node.list().map(drop),
            Kind::Any => Ok(()),
        }
    }

    /// What the reference calls it.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Secret => "secret",
            Kind::Url => "URL",
            Kind::Boolean => "boolean",
            Kind::Count | Kind::Number => "number",
            Kind::Duration => "duration",
            Kind::PrometheusDuration => "duration (`1d`)",
            Kind::Bytes => "size",
            Kind::Texts => "list of texts",
            Kind::Labels => "mapping",
            Kind::Secrets => "mapping of secrets",
            Kind::Block(_) => "block",
            Kind::Each(_) => "block by name",
            Kind::List(_) => "list of blocks",
            Kind::Stages => "list of stages",
            Kind::Any => "",
        }
    }
}
