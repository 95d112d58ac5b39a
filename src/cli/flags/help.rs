//! Help as text.
//! In: the table, a command.  Out: lines of at most 100 columns.  Owns: nothing.

use crate::cli::flags::{FLAGS, Flag, Group, Kind, Verb};

pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// No line is longer.
const WIDTH: usize = 100;

/// Where explanations begin; a name that reaches further has a line of its own.
const COLUMN: usize = 38;

const SPELLINGS: &str = "A flag is written -name=value or -name value, with one dash or two; a flag without a value \
    is switched on by its name and off by -name=false. What is given here wins over the configuration file.";

/// All about one command.
pub(crate) fn help_text(verb: Verb) -> String {
    let mut out = match verb {
        Verb::Run => "tailwater carries container and file logs to Loki and loses none.\n".to_owned(),
        _ => paragraph(&format!("{}.", verb.about())),
    };
    out.push_str(&format!("\nUsage: tailwater {}\n", verb.usage()));
    if matches!(verb, Verb::Run | Verb::Help) {
        out.push_str("\nCommands:\n");
        for verb in Verb::ALL {
            out.push_str(&entry(verb.name(), verb.about()));
        }
    }
    if verb.takes_flags() {
        out.push('\n');
        out.push_str(&paragraph(SPELLINGS));
        for group in Group::ALL {
            let mut rows = FLAGS.iter().filter(|flag| flag.group == group && flag.is_for(verb)).peekable();
            if rows.peek().is_some() {
                out.push_str(&format!("\n{}:\n", group.title()));
            }
            for flag in rows {
                out.push_str(&entry(&spelled(flag), &explained(flag)));
            }
        }
        out.push_str(&format!("\n{:COLUMN$}{}\n", "  -h, -help", "Print this help"));
    }
    out
}

/// A flag as it is typed: `-log.level debug|info|warn|error`.
pub(super) fn spelled(flag: &Flag) -> String {
    match placeholder(flag.kind) {
        Some(value) => format!("-{} {value}", flag.name),
        None => format!("-{}", flag.name),
    }
}

/// What stands for a value in help.
pub(super) fn placeholder(kind: Kind) -> Option<String> {
    let word = match kind {
        Kind::Bool => return None,
        Kind::OneOf(values) => return Some(values.join("|")),
        Kind::Text => "TEXT",
        Kind::File => "FILE",
        Kind::Number | Kind::Decimal => "NUMBER",
        Kind::Duration => "DURATION",
        Kind::Bytes => "SIZE",
        Kind::Labels => "LABELS",
    };
    Some(word.to_owned())
}

/// The default, unless it is nothing or off.
pub(super) fn shown_default(flag: &Flag) -> Option<&'static str> {
    Some(flag.default)
        .filter(|default| !default.is_empty() && (flag.kind != Kind::Bool || *default != "false"))
}

fn explained(flag: &Flag) -> String {
    match shown_default(flag) {
        Some(default) => format!("{} [default: {default}]", flag.help),
        None => flag.help.to_owned(),
    }
}

/// A name and its explanation, in two columns.
fn entry(name: &str, explanation: &str) -> String {
    let mut lines = wrapped(explanation, WIDTH - COLUMN).into_iter();
    let mut out = format!("  {name}");
    if out.len() + 2 <= COLUMN {
        out = format!("{out:COLUMN$}{}", lines.next().unwrap_or_default());
    }
    out.push('\n');
    for line in lines {
        out.push_str(&format!("{:COLUMN$}{line}\n", ""));
    }
    out
}

fn paragraph(text: &str) -> String {
    wrapped(text, WIDTH).join("\n") + "\n"
}

/// Breaks at spaces; a word longer than the width stays whole.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
