//! Commands that read a configuration and start nothing: `check` and `inspect`.
//! In: what was given, standard input.  Out: an exit code, words.  Owns: nothing.

use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::process::ExitCode;

use crate::agent::{self, InspectFormat, Loaded};
use crate::cli::flags::{self, Given};
use crate::cli::log::Log;
use crate::cli::{early_format, print, refused, request, use_ring, wrong};
use crate::metrics::{Own, Registry};

/// Refuses what a start would refuse, and says what looks like a mistake.
pub(super) fn check(given: &Given) -> ExitCode {
    let loaded = match load(given) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    use_ring();
    if let Err(error) = loaded.verify(&Own::register(&Registry::default())) {
        return refused(&error);
    }
    loaded.warnings().for_each(|warning| eprintln!("{warning}"));
    match loaded.warnings().count() {
        0 => print(&format!("{}: nothing is wrong\n", loaded.name)),
        1 => print(&format!("{}: valid, with 1 warning\n", loaded.name)),
        count => print(&format!("{}: valid, with {count} warnings\n", loaded.name)),
    }
}

/// Shows what each stage does to the lines of standard input. Fails when a stage could not do its work on any.
pub(super) fn inspect(given: &Given) -> ExitCode {
    let labels = match given.text("labels").map(flags::external_labels).transpose() {
        Ok(labels) => labels.unwrap_or_default(),
        Err(error) => return wrong(&error),
    };
    let loaded = match load(given) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let format = match given.text("format") {
        Some("json") => InspectFormat::Json,
        _ => InspectFormat::Text { coloured: io::stdout().is_terminal() },
    };
    let mut out = BufWriter::new(io::stdout());
    let inspected = agent::inspect(loaded, given.text("job"), &labels, format, io::stdin().lock(), &mut out);
    // A reader that went away has seen what it wanted.
    drop(out.flush());
    match inspected {
        Ok(false) => ExitCode::SUCCESS,
        Ok(true) => ExitCode::FAILURE,
        Err(error) => refused(&error),
    }
}

pub(super) fn load(given: &Given) -> Result<Loaded, ExitCode> {
    let registry = Registry::default();
    let own = Own::register(&registry);
    Log::start(early_format(given), own.log_lines.clone());
    let request = request(given).map_err(|error| wrong(&error))?;
    agent::load(&request, &registry, &own).map_err(|error| refused(&error))
}
