//! Arguments as Go's `flag` package reads them, after an optional verb.
//! In: arguments, the program's name first.  Out: what was given, a wish for help, or what is wrong.  Owns: nothing.
//!
//! `-name value`, `-name=value` and the same with two dashes are all one; a boolean takes its value only after `=`; the
//! first argument that is no flag, and `--`, end the flags; of repeated flags the last counts, but for labels of a replay.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;

use crate::cli::flags::value::check;
use crate::cli::flags::{Effect, FLAGS, Flag, Kind, Verb};
use crate::config::nearest;

/// The flag that counts each time.
const REPEATED: &str = "label";

/// What the arguments ask for.
#[derive(Debug)]
pub(crate) enum Parsed {
    Given(Given),
    /// `-h` or `-help`.
    Help(Verb),
}

/// What was given explicitly, each value checked.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) verb: Verb,
    /// What stands behind the flags.
    pub(crate) positional: Vec<String>,
    values: Vec<(&'static Flag, String)>,
}

impl Given {
    /// The value given for a flag: booleans as `true` or `false`, whole numbers in decimal, all else as typed.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        debug_assert!(FLAGS.iter().any(|flag| flag.name == name), "there is no flag -{name}");
        self.iter().find(|(flag, _)| flag.name == name).map(|(_, value)| value)
    }

    /// Whether a boolean flag was given and is true.
    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }

    /// Every value given for a flag that may be repeated.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.iter().filter(move |(flag, _)| flag.name == name).map(|(_, value)| value)
    }

    /// All that was given, in the order in which it was first named.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static Flag, &str)> {
        self.values.iter().map(|(flag, value)| (*flag, value.as_str()))
    }

    /// The flags that were given and change nothing; the caller says so once.
    pub(crate) fn ignored(&self) -> impl Iterator<Item = &'static Flag> {
        self.iter().map(|(flag, _)| flag).filter(|flag| flag.effect == Effect::Accepted)
    }

    fn set(&mut self, flag: &'static Flag, value: String) {
        match self.values.iter_mut().find(|(known, _)| known.name == flag.name) {
            Some((_, old)) if flag.name != REPEATED => *old = value,
            _ => self.values.push((flag, value)),
        }
    }
}

/// Arguments that cannot be read. The caller prints it and exits with code 2, whatever it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FlagError {
    sentence: String,
    help: Option<String>,
}

impl fmt::Display for FlagError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)?;
        match &self.help {
            Some(help) => write!(f, "\n  = help: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for FlagError {}

/// Reads arguments, the program's name first.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Parsed, FlagError> {
    let mut rest = arguments.into_iter().skip(1).map(text).collect::<Result<VecDeque<_>, _>>()?;
    let verb = take_verb(&mut rest)?.unwrap_or(Verb::Run);
    let mut given = Given { verb, positional: Vec::new(), values: Vec::new() };
    while let Some(argument) = rest.pop_front() {
        if argument.len() < 2 || !argument.starts_with('-') {
            // A question reads better before its flags.
            if matches!(verb, Verb::Archive | Verb::Retention) {
                given.positional.push(argument);
                continue;
            }
            rest.push_front(argument);
            break;
        }
        if argument == "--" {
            break;
        }
        let (name, value) = split(&argument)?;
        let known = |flag: &&Flag| flag.name == name && flag.is_for(verb);
        let Some(flag) = FLAGS.iter().find(known) else {
            return match name {
                "h" | "help" => Ok(Parsed::Help(verb)),
                _ => Err(unknown(name)),
            };
        };
        let value = match value {
            Some(value) => value.to_owned(),
            None if flag.kind == Kind::Bool => "true".to_owned(),
            None => rest.pop_front().ok_or_else(|| FlagError {
                sentence: format!("flag needs an argument: -{name}"),
                help: Some(flag.help.to_owned()),
            })?,
        };
        given.set(flag, check(flag, &value).map_err(|expected| invalid(flag, &value, &expected))?);
    }
    given.positional.extend(rest);
    Ok(Parsed::Given(given))
}

/// The verb, if the first argument is one. Promtail would ignore a word there, and every flag behind it with it.
fn take_verb(arguments: &mut VecDeque<String>) -> Result<Option<Verb>, FlagError> {
    let Some(word) = arguments.front().filter(|word| !word.is_empty() && !word.starts_with('-')) else {
        return Ok(None);
    };
    let Some(verb) = Verb::ALL.into_iter().find(|verb| verb.name() == word) else {
        let names = Verb::ALL.map(Verb::name);
        let help = match nearest(word, names) {
            Some(near) => format!("did you mean `tailwater {near}`?"),
            None => format!("commands are {}; flags begin with a dash", names.join(", ")),
        };
        return Err(FlagError { sentence: format!("there is no command `{word}`"), help: Some(help) });
    };
    arguments.pop_front();
    Ok(Some(verb))
}

/// The name of a flag and what stands behind its `=`.
fn split(argument: &str) -> Result<(&str, Option<&str>), FlagError> {
    let dashes = if argument.starts_with("--") { 2 } else { 1 };
    let flag = &argument[dashes..];
    if flag.is_empty() || flag.starts_with(['-', '=']) {
        return Err(FlagError { sentence: format!("bad flag syntax: {argument}"), help: None });
    }
    Ok(match flag.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (flag, None),
    })
}

fn unknown(name: &str) -> FlagError {
    if let Some(flag) = FLAGS.iter().find(|flag| flag.name == name) {
        let verb = if flag.is_for(Verb::Inspect) { Verb::Inspect } else { Verb::Archive };
        let sentence = format!("-{name} is a flag of the command {}", verb.name());
        return FlagError { sentence, help: Some(format!("tailwater {}", verb.usage())) };
    }
    let near = nearest(name, FLAGS.iter().map(|flag| flag.name));
    let help = near.map(|near| format!("did you mean -{near}?"));
    FlagError { sentence: format!("flag provided but not defined: -{name}"), help }
}

fn invalid(flag: &Flag, value: &str, expected: &str) -> FlagError {
    let name = flag.name;
    let sentence = match flag.kind {
        Kind::Bool => format!("invalid boolean value {value:?} for -{name}: {expected}"),
        _ => format!("invalid value {value:?} for flag -{name}: {expected}"),
    };
    FlagError { sentence, help: None }
}

fn text(argument: OsString) -> Result<String, FlagError> {
    argument.into_string().map_err(|argument| FlagError {
        sentence: format!("argument {argument:?} is not valid UTF-8"),
        help: None,
    })
}
