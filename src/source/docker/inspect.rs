//! What the daemon says of one container.
//! In: JSON of `/containers/<id>/json`.  Out: what reading its log depends on.  Owns: nothing.
//!
//! Read leniently: a word of Podman's or of a newer daemon in a part that nobody here looks at is no reason not to follow.

use std::path::Path;

use serde::{Deserialize, Deserializer};

use crate::record::UnixNanos;
use crate::source::docker::api::{CallError, Endpoint};
use crate::source::docker::stamp;

/// One container.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Inspected {
    #[serde(deserialize_with = "or_default")]
    state: State,
    #[serde(deserialize_with = "or_default")]
    config: Config,
    #[serde(deserialize_with = "or_default")]
    host_config: HostConfig,
    #[serde(deserialize_with = "or_default")]
    log_path: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct State {
    #[serde(deserialize_with = "or_default")]
    running: bool,
    #[serde(deserialize_with = "or_default")]
    finished_at: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Config {
    #[serde(deserialize_with = "or_default")]
    tty: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig {
    #[serde(deserialize_with = "or_default")]
    auto_remove: bool,
    #[serde(deserialize_with = "or_default")]
    log_config: LogConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct LogConfig {
    #[serde(rename = "Type", deserialize_with = "or_default")]
    driver: String,
}

/// Go writes `null` for what is empty.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    value: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or_default())
}

impl Inspected {
    pub(crate) async fn of(endpoint: &Endpoint, version: &str, id: &str) -> Result<Inspected, CallError> {
        endpoint.get(&format!("/v{version}/containers/{id}/json")).await
    }

    pub(crate) fn is_running(&self) -> bool {
        self.state.running
    }

    /// Its log is bytes of a terminal, without frames.
    pub(crate) fn has_tty(&self) -> bool {
        self.config.tty
    }

    /// It is removed as it ends (`docker run --rm`), and its log with it.
    pub(crate) fn vanishes(&self) -> bool {
        self.host_config.auto_remove
    }

    /// The file that the json-file driver writes the log to, once the container was started. Podman gives that name to
    /// another format, in files of other names.
    pub(crate) fn log_file(&self) -> Option<&Path> {
        let is_json =
            self.host_config.log_config.driver == "json-file" && self.log_path.ends_with("-json.log");
        is_json.then_some(Path::new(&self.log_path))
    }

    /// As it will be once it is started, when its log goes to a file below `containers`. `None` for other drivers.
    pub(crate) fn once_started(mut self, containers: &Path, id: &str) -> Option<Inspected> {
        self.state.running = true;
        self.log_path = containers.join(id).join(format!("{id}-json.log")).to_str()?.to_owned();
        self.log_file().is_some().then_some(self)
    }

    /// Its log goes nowhere.
    pub(crate) fn logs_nothing(&self) -> bool {
        self.host_config.log_config.driver == "none"
    }

    /// When it last ended; long ago where it never did.
    pub(crate) fn finished(&self) -> Option<UnixNanos> {
        stamp::parse(&self.state.finished_at)
    }
}

/// What is said of one container, or the beginning of a message.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz(input: &[u8]) {
    if let Ok(inspected) = serde_json::from_slice::<Inspected>(input) {
        let _finished = inspected.finished();
    }
    let _times = [false, true].map(|tty| crate::source::docker::stall::last_time(input, tty));
    let by_hand = input.get(..stamp::LENGTH).and_then(stamp::fixed);
    let by_library =
        std::str::from_utf8(&input[..input.len().min(stamp::LENGTH)]).ok().and_then(stamp::parse);
    if let (Some(by_hand), Some(by_library)) = (by_hand, by_library) {
        assert_eq!(by_hand, by_library);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_nobody_looks_at_may_be_anything() {
        let text = r#"{"State":{"Running":true,"Status":"unheard","Health":{"Status":7},"FinishedAt":"0001-01-01T00:00:00Z"},
            "Config":{"Tty":true,"Healthcheck":[]},"HostConfig":null,"Mounts":{"Type":"?"}}"#;
        let inspected: Inspected = serde_json::from_str(text).unwrap();
        assert!(inspected.is_running() && inspected.has_tty() && !inspected.vanishes());
        let ended: Inspected =
            serde_json::from_str(r#"{"State":{"FinishedAt":"2025-11-18T11:30:00.1+01:00"}}"#).unwrap();
        assert_eq!(
            ended.finished(),
            Some(UnixNanos(1_763_461_800_100_000_000)),
            "Podman's are of the host's zone"
        );
    }
}
