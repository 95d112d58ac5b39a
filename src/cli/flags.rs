//! The one table of flags, and all that is made of it: parsing, help, manual page, completions.
//! In: arguments.  Out: what was given, or text to print.  Owns: nothing.
//!
//! A flag is a row of [`table::FLAGS`] and nothing else; whoever acts on it asks [`Given`] by name. Values given here
//! win over the configuration file, so defaults are only shown, never filled in.

mod completions;
mod help;
mod man;
mod parse;
mod table;
mod value;

use crate::agent::reference;

pub(crate) use completions::{Shell, completions};
pub(crate) use help::{VERSION, help_text};
pub(crate) use man::man_page;
pub(crate) use parse::{Given, Parsed, parse};
pub(crate) use table::FLAGS;
pub(crate) use value::external_labels;

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Flag {
    /// Without dashes.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// As one would type it; what counts when neither the command line nor the file says anything.
    pub(crate) default: &'static str,
    /// One sentence, no final period.
    pub(crate) help: &'static str,
    pub(crate) group: Group,
    pub(crate) effect: Effect,
    /// The key of the configuration that says the same, if there is one.
    pub(crate) yaml: Option<&'static str>,
}

impl Flag {
    /// Whether a command knows the flag.
    pub(crate) fn is_for(&self, verb: Verb) -> bool {
        match self.group {
            Group::Inspect => verb == Verb::Inspect,
            Group::Archive => verb == Verb::Archive,
            _ => true,
        }
    }
}

/// What a flag's value may be. All but text is checked when parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Needs no value, and takes one only after `=`.
    Bool,
    Text,
    /// Text that names a file, or several by comma.
    File,
    /// A whole number as Go writes it in source: `80`, `0x50`, `1_000`.
    Number,
    /// A number with a fraction.
    Decimal,
    /// `300ms`, `1h30m`.
    Duration,
    /// `4096`, `256kb`.
    Bytes,
    /// `k=v,k2=v2`.
    Labels,
    OneOf(&'static [&'static str]),
}

/// What a given flag changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// What its help says.
    Supported,
    /// Nothing: Promtail has it, there is nothing here it could change. One notice names all such flags given.
    Accepted,
}

/// Where help lists a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    General,
    Client,
    Positions,
    Files,
    Limits,
    Server,
    /// Only for the command `inspect`.
    Inspect,
    /// Only for the command `archive`.
    Archive,
    Ignored,
}

impl Group {
    /// In the order of help.
    pub(crate) const ALL: [Group; 9] = [
        Group::General,
        Group::Client,
        Group::Positions,
        Group::Files,
        Group::Limits,
        Group::Server,
        Group::Inspect,
        Group::Archive,
        Group::Ignored,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Group::General => "General",
            Group::Client => "One client without a configuration file",
            Group::Positions => "Positions",
            Group::Files => "Files",
            Group::Limits => "Limits over all jobs",
            Group::Inspect => "Of the command inspect",
            Group::Archive => "Of the command archive",
            Group::Server => "HTTP server",
            Group::Ignored => "Promtail's, accepted and ignored",
        }
    }
}

/// What the program is asked to do; the first argument, `run` where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Run,
    Check,
    Inspect,
    Archive,
    Retention,
    Version,
    Help,
}

impl Verb {
    pub(crate) const ALL: [Verb; 7] =
        [Verb::Run, Verb::Check, Verb::Inspect, Verb::Archive, Verb::Retention, Verb::Version, Verb::Help];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Verb::Run => "run",
            Verb::Check => "check",
            Verb::Inspect => "inspect",
            Verb::Archive => "archive",
            Verb::Retention => "retention",
            Verb::Version => "version",
            Verb::Help => "help",
        }
    }

    /// One sentence, no final period.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Verb::Run => {
                "Carries logs to Loki until it is told to stop; the command meant when none is named"
            }
            Verb::Check => "Says everything that a start would refuse, and what looks like a mistake",
            Verb::Inspect => {
                "Shows what each stage does to the lines of standard input; fails when one cannot do its work"
            }
            Verb::Archive => {
                "Searches, lists, verifies, exports or replays what is archived, whether the agent runs or not; moves and removes what is due"
            }
            Verb::Retention => "Prints what makes Loki keep the hot tier, by the same rules",
            Verb::Version => "Prints the version",
            Verb::Help => "Prints help for a command, the manual page or completions for a shell",
        }
    }

    /// What may stand after the verb.
    pub(crate) fn usage(self) -> &'static str {
        match self {
            Verb::Run => "[run] [-flag[=value] ...]",
            Verb::Check => "check -config.file=FILE [-flag[=value] ...]",
            Verb::Inspect => "inspect -config.file=FILE [-job=NAME] [-flag[=value] ...] < SAMPLE",
            Verb::Archive => {
                "archive query|ls|verify|export|replay|lifecycle ['{name=\"value\"}'] [-flag ...]"
            }
            Verb::Retention => "retention loki -config.file=FILE",
            Verb::Version => "version",
            Verb::Help => "help [run|check|inspect|archive|retention|config|man|bash|zsh|fish]",
        }
    }

    /// Whether the command acts on flags at all.
    pub(crate) fn takes_flags(self) -> bool {
        matches!(self, Verb::Run | Verb::Check | Verb::Inspect | Verb::Archive | Verb::Retention)
    }
}

/// What the command `help` is asked for by its first word: a command, `man`, or a shell.
pub(crate) fn topic(word: Option<&str>) -> Option<String> {
    match word {
        None => Some(help_text(Verb::Run)),
        Some("man") => Some(man_page()),
        Some("config") => Some(reference()),
        Some(word) => {
            let verb = Verb::ALL.into_iter().find(|verb| verb.name() == word).map(help_text);
            verb.or_else(|| Shell::named(word).map(completions))
        }
    }
}

#[cfg(test)]
mod tests;
