//! Arguments, spelled as Go's `flag` package accepts them.
//! In: `-config.file=x`, `--config.file x`.  Out: [`Args`].  Owns: nothing.

use std::ffi::OsString;

use clap::{Parser, error::Error};

/// Carries container and file logs to Loki and loses none.
#[derive(Debug, Parser)]
#[command(name = "tailwater", version, about)]
pub(super) struct Args {
    /// Configuration file, or a comma-separated list of which the first existing one is used
    /// [default: config/tailwater.yaml, else the one built in]
    #[arg(long = "config.file", value_name = "FILE")]
    pub(super) config_file: Option<String>,
}

impl Args {
    /// Reads arguments, the program's name first.
    pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Args, Error> {
        Args::try_parse_from(arguments.into_iter().map(two_dashes))
    }
}

/// Go takes one dash or two for the same; clap would read `-config.file` as a bundle of short options.
fn two_dashes(argument: OsString) -> OsString {
    match argument.to_str() {
        Some(text) if text.len() > 2 && text.starts_with('-') && !text.starts_with("--") => {
            format!("-{text}").into()
        }
        _ => argument,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(arguments: &[&str]) -> Option<String> {
        let arguments = ["tailwater"].iter().chain(arguments).map(OsString::from);
        Args::parse(arguments).unwrap().config_file
    }

    #[test]
    fn go_spellings_all_mean_the_same() {
        for spelling in
            [&["-config.file=a"][..], &["--config.file=a"], &["-config.file", "a"], &["--config.file", "a"]]
        {
            assert_eq!(file(spelling).as_deref(), Some("a"), "{spelling:?}");
        }
        assert_eq!(file(&[]), None);
    }
}
