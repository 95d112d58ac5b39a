//! The networks of a daemon, as far as labels speak of them.
//! In: `/networks`.  Out: networks by id.  Owns: the last list of them.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;

use crate::discovery::docker::listed::Container;
use crate::pipeline::relabel::Rule;
use crate::source::docker::{CallError, Endpoint, or_default};

/// Labels that only the list of networks can give.
const LABELS: [&str; 4] = [
    "__meta_docker_network_scope",
    "__meta_docker_network_internal",
    "__meta_docker_network_ingress",
    "__meta_docker_network_label_",
];

/// One network.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Network {
    #[serde(deserialize_with = "or_default")]
    id: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) name: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) scope: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) internal: bool,
    #[serde(deserialize_with = "or_default")]
    pub(super) ingress: bool,
    #[serde(deserialize_with = "or_default")]
    pub(super) labels: BTreeMap<String, String>,
}

/// What is known of networks.
#[derive(Debug, Default)]
pub(super) struct Networks {
    known: HashMap<String, Network>,
    /// Ids that containers have and no list did.
    unlisted: HashSet<String>,
    /// Counts up with each list that says something else.
    generation: u64,
    /// No rule asks, so nobody needs to.
    idle: bool,
    /// Something has changed since the last list.
    stale: bool,
    /// The daemon, or who stands before it, does not tell.
    refused: bool,
}

/// What came of bringing it up to date.
pub(super) enum Refreshed {
    Done,
    /// Refused for the first time: labels go without.
    Refused(CallError),
}

impl Networks {
    /// Nothing yet. Networks are not asked for where no rule can see what they are like.
    pub(super) fn new(rules: &[Rule]) -> Networks {
        let visible = |rule: &Rule| rule.may_read(|name| LABELS.iter().any(|label| name.starts_with(label)));
        Networks { idle: !rules.iter().any(visible), stale: true, ..Networks::default() }
    }

    pub(super) fn get(&self, id: &str) -> Option<&Network> {
        self.known.get(id)
    }

    /// Changes when what is known does.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// A network has changed.
    pub(super) fn touch(&mut self) {
        self.stale = true;
    }

    /// The daemon is another: it may tell what the one before did not.
    pub(super) fn reset(&mut self) {
        (self.stale, self.refused) = (true, false);
    }

    /// Lists networks if that may bring something new.
    pub(super) async fn refresh(
        &mut self,
        containers: &[Container],
        endpoint: &Endpoint,
        version: &str,
    ) -> Result<Refreshed, CallError> {
        let ids = || containers.iter().flat_map(Container::network_ids);
        let is_new = |id: &str| !self.known.contains_key(id) && !self.unlisted.contains(id);
        if self.idle || self.refused || !(self.stale || ids().any(is_new)) {
            return Ok(Refreshed::Done);
        }
        let listed: Result<Vec<Network>, CallError> = endpoint.get(&format!("/v{version}/networks")).await;
        match listed {
            Ok(listed) => {
                let listed = listed.into_iter().map(|network| (network.id.clone(), network)).collect();
                self.generation += u64::from(self.known != listed);
                self.known = listed;
                self.unlisted = ids().filter(|id| !self.known.contains_key(*id)).map(str::to_owned).collect();
                self.stale = false;
                Ok(Refreshed::Done)
            }
            Err(error @ CallError::Refused { status, .. }) if status.is_client_error() => {
                self.refused = true;
                Ok(Refreshed::Refused(error))
            }
            Err(error) => Err(error),
        }
    }
}
