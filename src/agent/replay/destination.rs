//! To whom a replay goes: a client of the configuration, without what belongs to the agent.
//! In: settings, a name.  Out: the client's settings for a replay.  Owns: nothing.

use std::time::Duration;

use crate::agent::replay::ReplayError;
use crate::agent::replay::limits::{self, Limits};
use crate::agent::settings::Settings;
use crate::config::nearest;
use crate::delivery::DeadLetterSettings;
use crate::{batch, delivery};

/// Bytes of lines in a push at most, and how long it waits for more: a replay holds few bytes, and must not wait for itself.
const LARGEST_BATCH: usize = 1024 * 1024;
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// To whom it goes.
pub(crate) struct Destination {
    pub(super) client: delivery::Settings,
    pub(super) dead_letters: Option<DeadLetterSettings>,
}

impl Destination {
    /// The client with this name, or the only one.
    pub(crate) fn of(settings: &Settings, name: Option<&str>) -> Result<Destination, ReplayError> {
        let names = || settings.clients.iter().map(|client| client.name.as_str());
        let fitting: Vec<_> =
            settings.clients.iter().filter(|client| name.is_none_or(|name| client.name == name)).collect();
        let client = match (fitting.as_slice(), name) {
            ([client], _) => (*client).clone(),
            ([], Some(name)) => {
                let near = nearest(name, names()).map(|near| format!("did you mean `{near}`?"));
                let help =
                    near.unwrap_or_else(|| format!("clients: {}", names().collect::<Vec<_>>().join(", ")));
                return Err(ReplayError::NoClient(name.to_owned(), format!("\n  = help: {help}")));
            }
            ([], None) => return Err(ReplayError::NoClients),
            _ => return Err(ReplayError::WhichClient(names().collect::<Vec<_>>().join(", "))),
        };
        let own = |mut letters: DeadLetterSettings| {
            // The agent turns its file over by itself.
            letters.file.as_mut_os_string().push(".replay");
            letters
        };
        Ok(Destination {
            client: client_of_replay(client),
            dead_letters: settings.dead_letters.clone().map(own),
        })
    }

    /// What logs call the client.
    pub(crate) fn name(&self) -> &str {
        &self.client.name
    }

    /// What the Loki takes.
    pub(crate) async fn limits(&self) -> Limits {
        limits::ask(&self.client.url, self.client.http.clone()).await
    }
}

/// The same client, without what belongs to the agent, and without giving up: nothing waits behind a replay.
fn client_of_replay(client: delivery::Settings) -> delivery::Settings {
    let batch = batch::Settings {
        size: client.batch.size.min(LARGEST_BATCH),
        wait: client.batch.wait.min(LONGEST_WAIT),
        ..client.batch
    };
    delivery::Settings { batch, spool: None, give_up_after: None, drop_rate_limited: false, ..client }
}
