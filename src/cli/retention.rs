//! The command `retention`: what other programs have to know of it.
//! In: the configuration.  Out: Loki's configuration, an exit code.  Owns: nothing.

use std::process::ExitCode;

use crate::cli::flags::Given;
use crate::cli::{checks, print, wrong};
use crate::retention::loki_retention;

/// Prints what was asked for.
pub(super) fn run(given: &Given) -> ExitCode {
    if given.positional != ["loki"] {
        return wrong(&"the command retention knows one word: loki; see `tailwater help retention`");
    }
    let loaded = match checks::load(given) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    match loaded.settings.retention.as_deref().map(loki_retention) {
        Some(Some(yaml)) => print(&yaml),
        retention => {
            let missing = if retention.is_some() { "tier without a `store`" } else { "`retention` block" };
            eprintln!(
                "{} has no {missing}, so it says nothing of what Loki keeps\n  = help: a first tier such as {{name: hot, until: 30d}} does",
                loaded.name
            );
            ExitCode::FAILURE
        }
    }
}
