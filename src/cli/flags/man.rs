//! The manual page, section 1.
//! In: the table.  Out: roff with the `man` macros.  Owns: the prose around the table.

use crate::cli::flags::help::{VERSION, placeholder, shown_default};
use crate::cli::flags::{FLAGS, Flag, Group, Verb};

const ABOUT: &str = "carries container and file logs to Loki and loses none";

const DESCRIPTION: [&str; 2] = [
    "tailwater reads the logs of Docker containers and of files, labels and changes lines by the stages of its \
     configuration, and pushes them to Loki. It takes Promtail's configuration and command line, and refuses by name what it does not support.",
    "A flag is written -name=value or -name value, with one dash or two. A flag without a value is switched on by its \
     name and off by -name=false. The first argument that is no flag, or --, ends the flags. What is given here wins \
     over the configuration file.",
];

const EXIT_STATUS: [(&str, &str); 3] = [
    ("0", "Stopped when told to, or nothing was found wrong."),
    ("1", "The configuration is refused, or the start failed."),
    ("2", "The command line is wrong."),
];

const EXAMPLES: [(&str, &str); 2] = [
    ("tailwater -config.file=promtail.yaml", "Runs what Promtail ran."),
    ("tailwater check -config.file=promtail.yaml -config.expand-env", "Says what is wrong with the file."),
];

/// The page, as `tailwater help man` prints it.
pub(crate) fn man_page() -> String {
    let mut out = format!(".TH TAILWATER 1 \"\" \"tailwater {}\" \"User Commands\"\n", escaped(VERSION));
    out.push_str(&format!(".SH NAME\ntailwater \\- {}\n.SH SYNOPSIS\n", escaped(ABOUT)));
    for verb in Verb::ALL {
        let separator = if verb == Verb::ALL[0] { "" } else { ".br\n" };
        out.push_str(&format!("{separator}.B tailwater\n{}\n", line(verb.usage())));
    }
    out.push_str(".SH DESCRIPTION\n");
    out.push_str(&DESCRIPTION.map(line).join("\n.PP\n"));
    out.push_str("\n.SH COMMANDS\n");
    for verb in Verb::ALL {
        out.push_str(&item(&format!("\\fB{}\\fR", verb.name()), &format!("{}.", verb.about())));
    }
    out.push_str(".SH OPTIONS\n");
    for group in Group::ALL {
        out.push_str(&format!(".SS {}\n", escaped(group.title())));
        for flag in FLAGS.iter().filter(|flag| flag.group == group) {
            out.push_str(&item(&tag(flag), &explained(flag)));
        }
    }
    out.push_str(".SH EXIT STATUS\n");
    for (code, meaning) in EXIT_STATUS {
        out.push_str(&item(&format!("\\fB{code}\\fR"), meaning));
    }
    out.push_str(".SH EXAMPLES\n");
    for (command, meaning) in EXAMPLES {
        out.push_str(&item(&format!("\\fB{}\\fR", escaped(command)), meaning));
    }
    out
}

/// A tagged paragraph.
fn item(tag: &str, text: &str) -> String {
    format!(".TP\n{tag}\n{}\n", line(text))
}

fn tag(flag: &Flag) -> String {
    let name = format!("\\fB\\-{}\\fR", escaped(flag.name));
    match placeholder(flag.kind) {
        Some(value) => format!("{name} \\fI{}\\fR", escaped(&value)),
        None => name,
    }
}

fn explained(flag: &Flag) -> String {
    let mut text = format!("{}.", flag.help);
    if let Some(default) = shown_default(flag) {
        text.push_str(&format!(" Default: {default}."));
    }
    if let Some(yaml) = flag.yaml {
        text.push_str(&format!(" In the configuration: {yaml}."));
    }
    text
}

/// Text that does not begin a line with a control character.
fn line(text: &str) -> String {
    match text.starts_with(['.', '\'']) {
        true => format!("\\&{}", escaped(text)),
        false => escaped(text),
    }
}

/// Text in which nothing is roff's, and dashes can be copied into a shell.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}
