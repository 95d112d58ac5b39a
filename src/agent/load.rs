//! Finds the configuration file and reads it.
//! In: what the command line says.  Out: settings.  Owns: the built-in configuration.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tracing::warn;

use crate::agent::lint;
use crate::agent::settings::{self, CLIENT, ROOT, Settings};
use crate::config::{Invalid, Node, Position, dump, expand_env, parse_yaml, suspicious_references};
use crate::delivery::{Client, ClientError};
use crate::metrics::{Own, Registry};
use crate::pipeline::Limits;

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

impl Request {
    /// The files to look for, in this order.
    fn names(&self) -> impl Iterator<Item = &str> {
        let list = self.files.as_deref().unwrap_or(DEFAULT_FILE);
        list.split(',').map(str::trim).filter(|file| !file.is_empty())
    }

    /// Where these files are, or may appear.
    pub(super) fn directories(&self) -> BTreeSet<PathBuf> {
        let parents = self.names().filter_map(|file| Path::new(file).parent());
        let here = Path::new(".");
        parents.map(|parent| if parent.as_os_str().is_empty() { here } else { parent }.to_owned()).collect()
    }
}

/// A configuration that can run.
pub(crate) struct Loaded {
    /// The file's name.
    pub(crate) name: String,
    /// As it was read.
    pub(super) source: Source,
    pub(super) root: Node,
    pub(crate) settings: Settings,
    /// What is allowed and looks like a mistake.
    warnings: Vec<Warning>,
}

/// A warning, and how it is shown with the line it is about: as the file has it, or with its references replaced.
struct Warning {
    invalid: Invalid,
    shown: String,
}

impl Loaded {
    /// What looks like a mistake, each with its place, the line and a way out.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = &str> {
        self.warnings.iter().map(|warning| warning.shown.as_str())
    }

    /// Refuses what only a start would notice, such as a certificate that cannot be read.
    pub(crate) fn verify(&self, own: &Own) -> Result<(), ClientError> {
        let mut clients = self.settings.clients.iter();
        clients.try_for_each(|client| Client::new(client.clone(), own.client(&client.name)).map(drop))
    }

    /// Logs what looks like a mistake, a line each.
    pub(crate) fn log_warnings(&self) {
        for Warning { invalid: warning, .. } in &self.warnings {
            warn!(config = self.name, line = warning.at.line, column = warning.at.column, "{warning}");
        }
    }

    /// The clients in effect, as YAML each, without secrets.
    pub(crate) fn clients(&self) -> Vec<String> {
        settings::clients(&self.root).iter().map(|client| dump(client, &CLIENT)).collect()
    }

    /// The configuration in effect, as YAML, without secrets.
    pub(crate) fn effective(&self) -> String {
        dump(&self.root, &ROOT)
    }
}

impl Warning {
    fn of(invalid: Invalid, name: &str, text: &str) -> Warning {
        Warning { shown: invalid.render_warning(name, text), invalid }
    }
}

/// The text of a configuration.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) text: String,
}

/// Loads the first existing file of the list; without one, the default.
pub(crate) fn load(request: &Request, registry: &Registry, own: &Own) -> Result<Loaded, LoadError> {
    decode(request, find(request)?, None, registry, own)
}

/// Reads the first existing file of the list; without one, the default.
pub(super) fn find(request: &Request) -> Result<Source, LoadError> {
    let source = |name: &str, text| Source { name: name.to_owned(), text };
    match &request.files {
        Some(list) => {
            let Some(file) = request.names().find(|file| Path::new(file).exists()) else {
                return Err(LoadError::Missing(list.to_owned()));
            };
            Ok(source(file, read(file)?))
        }
        None if Path::new(DEFAULT_FILE).exists() => Ok(source(DEFAULT_FILE, read(DEFAULT_FILE)?)),
        None => Ok(source(BUILT_IN_NAME, BUILT_IN.to_owned())),
    }
}

/// Makes settings of a text. `running` are the limits in force.
pub(super) fn decode(
    request: &Request,
    source: Source,
    running: Option<&Limits>,
    registry: &Registry,
    own: &Own,
) -> Result<Loaded, LoadError> {
    let Source { name, text } = &source;
    let (text, mut warnings) =
        if request.expand_env { expanded(name, text)? } else { (text.clone(), Vec::new()) };
    let decoded = parse_yaml(&text).and_then(|mut root| {
        for (path, value) in &request.overlay {
            root.set(&path.split('.').collect::<Vec<_>>(), value);
        }
        let settings = Settings::decode_beside(running, &root, registry, own)?;
        Ok((root, settings))
    });
    match decoded {
        Ok((root, mut settings)) => {
            settings.add_external_labels(&request.external_labels);
            let decoded = std::mem::take(&mut settings.warnings);
            let found = lint::warnings(&root).into_iter().chain(decoded);
            warnings.extend(found.map(|invalid| Warning::of(invalid, name, &text)));
            Ok(Loaded { name: name.clone(), source, root, settings, warnings })
        }
        Err(invalid) => {
            // Promtail's hint: much of what does not decode was meant to be expanded first.
            let hint = if !request.expand_env && text.contains("${") {
                "\n  = note: references such as ${VAR} are replaced only with -config.expand-env=true"
            } else {
                ""
            };
            Err(LoadError::Invalid(invalid.render(name, &text) + hint))
        }
    }
}

/// The text with its references replaced, and warnings of those that become nothing.
fn expanded(name: &str, text: &str) -> Result<(String, Vec<Warning>), LoadError> {
    let suspicious = suspicious_references(text).into_iter().map(|(at, reference)| {
        let message = format!("-config.expand-env makes nothing of {reference}");
        let invalid = Invalid::new(Position::of(text, at), message).marking(&reference);
        Warning::of(invalid.help("write $1 for a group"), name, text)
    });
    // A variable that is no text has no place in a configuration, and counts as unset.
    match expand_env(text, &|variable| std::env::var(variable).ok()) {
        Ok(expanded) => Ok((expanded, suspicious.collect())),
        Err(error) => {
            let invalid = Invalid::new(Position::of(text, error.at), error.to_string());
            Err(LoadError::Invalid(invalid.render(name, text)))
        }
    }
}

fn read(file: &str) -> Result<String, LoadError> {
    let bytes = fs::read(file).map_err(|source| LoadError::Unreadable { file: file.to_owned(), source })?;
    // What PowerShell writes; Promtail's decoder takes it too.
    let wide = match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => Some((rest, u16::from_le_bytes as fn([u8; 2]) -> u16)),
        [0xfe, 0xff, rest @ ..] => Some((rest, u16::from_be_bytes as fn([u8; 2]) -> u16)),
        _ => None,
    };
    if let Some((rest, unit)) = wide {
        let units: Vec<u16> = rest.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        return Ok(String::from_utf16_lossy(&units));
    }
    let not_text =
        |error: std::string::FromUtf8Error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error());
    String::from_utf8(bytes)
        .map_err(|error| LoadError::Unreadable { file: file.to_owned(), source: not_text(error) })
}
