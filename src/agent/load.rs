//! Finds the configuration file and reads it.
//! In: what the command line says.  Out: settings.  Owns: the built-in configuration.

use std::fs;
use std::io;
use std::path::Path;

use tracing::warn;

use crate::agent::settings::Settings;
use crate::config::{Invalid, Position, expand_env, parse_yaml, suspicious_references};
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

/// What the command line says about the configuration.
#[derive(Debug, Default)]
pub(crate) struct Request {
    /// The comma-separated list of `-config.file`.
    pub(crate) files: Option<String>,
    /// Replace `${VAR}` before reading.
    pub(crate) expand_env: bool,
    /// Paths of keys and the values that flags put over those of the file.
    pub(crate) overlay: Vec<(&'static str, String)>,
    /// Labels of `-client.external-labels`.
    pub(crate) external_labels: Vec<(String, String)>,
}

/// Loads the first existing file of the list; without one, the default.
pub(crate) fn load(
    request: &Request,
    registry: &Registry,
    own: &Own,
) -> Result<(String, Settings), LoadError> {
    let (name, text) = match &request.files {
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
    let text = if request.expand_env { expanded(name, text)? } else { text };
    let settings = parse_yaml(&text).and_then(|mut root| {
        for (path, value) in &request.overlay {
            root.set(&path.split('.').collect::<Vec<_>>(), value);
        }
        Settings::decode(&root, registry, own)
    });
    match settings {
        Ok(mut settings) => {
            settings.add_external_labels(&request.external_labels);
            Ok((name.to_owned(), settings))
        }
        Err(invalid) => Err(LoadError::Invalid(invalid.render(name, &text))),
    }
}

fn expanded(name: &str, text: String) -> Result<String, LoadError> {
    for (at, reference) in suspicious_references(&text) {
        let line = Position::of(&text, at).line;
        warn!(
            file = name,
            line, reference, "-config.expand-env makes nothing of this reference; write $1 for a group"
        );
    }
    // A variable that is no text has no place in a configuration, and counts as unset.
    expand_env(&text, &|variable| std::env::var(variable).ok()).map_err(|error| {
        let invalid = Invalid::new(Position::of(&text, error.at), error.to_string());
        LoadError::Invalid(invalid.render(name, &text))
    })
}

fn read(file: &str) -> Result<String, LoadError> {
    let bytes = fs::read(file).map_err(|source| LoadError::Unreadable { file: file.to_owned(), source })?;
    let not_text =
        |error: std::string::FromUtf8Error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error());
    String::from_utf8(bytes)
        .map_err(|error| LoadError::Unreadable { file: file.to_owned(), source: not_text(error) })
}
