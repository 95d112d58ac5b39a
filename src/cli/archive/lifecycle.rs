//! `archive lifecycle`: one look at all objects, and what is due is done or, with -dry-run, only told.
//! In: the configuration.  Out: a line for each step, counts.  Owns: nothing.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use crate::retention::{Settings, Step, preview_lifecycle, run_lifecycle};

/// Says what was done, or would be. An error is one of what reads it; why nothing can be done at all is said in words.
pub(super) fn run(
    settings: Arc<Settings>,
    dry: bool,
    out: &mut impl Write,
) -> io::Result<Result<ExitCode, String>> {
    let (mut steps, mut written) = (0_u64, Ok(()));
    let mut tell = |step: Step| {
        let Step { action, object, reason, bytes, result } = step;
        let line = match result {
            Ok(()) => format!("{action} {object}: {reason}, {bytes} bytes"),
            Err(error) => format!("{action} {object}: failed: {error}"),
        };
        steps += 1;
        if written.is_ok() {
            written = writeln!(out, "{line}");
        }
    };
    let outcome = if dry {
        preview_lifecycle(&settings, &mut tell).map_err(|error| error.to_string())
    } else {
        run_lifecycle(settings, &mut tell).map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            format!("{error}{}", cause.unwrap_or_default())
        })
    };
    written?;
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(problem) => return Ok(Err(problem)),
    };
    if outcome.held {
        let nothing = if dry { "would be" } else { "is" };
        writeln!(
            out,
            "nothing {nothing} done yet: the clock is ahead of what it was at the last look, and is believed when it has gone \
             steadily for a day"
        )?;
    }
    let seen = outcome.seen;
    let (done, foreign) = (steps - seen.failed, seen.foreign);
    let done_or_due = if dry { "due" } else { "done" };
    writeln!(
        out,
        "{} objects, {done} steps {done_or_due}, {} failed, {foreign} objects of others left alone",
        seen.objects, seen.failed
    )?;
    let well = seen.failed == 0 && (dry || !outcome.held);
    Ok(Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }))
}
