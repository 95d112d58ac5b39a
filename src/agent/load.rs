//! Finds the configuration file and reads it.
//! In: the `-config.file` list.  Out: settings.  Owns: the built-in configuration.

use std::fs;
use std::io;
use std::path::Path;

use crate::agent::settings::Settings;
use crate::config::parse_yaml;
use crate::metrics::{Own, Registry};

/// Used without arguments.
const DEFAULT_FILE: &str = "config/tailwater.yaml";

/// The same file, for where only the binary is at hand.
const BUILT_IN: &str = include_str!("../../config/tailwater.yaml");
const BUILT_IN_NAME: &str = "built-in tailwater.yaml";

/// There is no usable configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("there is no configuration file {0}\n  = help: name an existing file with -config.file=FILE")]
    Missing(String),
    #[error("configuration file {file} cannot be read: {source}")]
    Unreadable { file: String, source: io::Error },
    /// Already rendered: place, line, caret, fix.
    #[error("{0}")]
    Invalid(String),
}

/// Loads the first existing file of the comma-separated list; without one, the default.
pub(crate) fn load(
    files: Option<&str>,
    registry: &Registry,
    own: &Own,
) -> Result<(String, Settings), LoadError> {
    let (name, text) = match files {
        Some(list) => {
            let named = list.split(',').map(str::trim).filter(|file| !file.is_empty());
            let Some(file) = named.clone().find(|file| Path::new(file).exists()) else {
                return Err(LoadError::Missing(list.to_owned()));
            };
            (file, read(file)?)
        }
        None if Path::new(DEFAULT_FILE).exists() => (DEFAULT_FILE, read(DEFAULT_FILE)?),
        None => (BUILT_IN_NAME, BUILT_IN.to_owned()),
    };
    let settings = parse_yaml(&text).and_then(|root| Settings::decode(&root, registry, own));
    match settings {
        Ok(settings) => Ok((name.to_owned(), settings)),
        Err(invalid) => Err(LoadError::Invalid(invalid.render(name, &text))),
    }
}

fn read(file: &str) -> Result<String, LoadError> {
    let bytes = fs::read(file).map_err(|source| LoadError::Unreadable { file: file.to_owned(), source })?;
    let not_text =
        |error: std::string::FromUtf8Error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error());
    String::from_utf8(bytes)
        .map_err(|error| LoadError::Unreadable { file: file.to_owned(), source: not_text(error) })
}
