//! A container as the daemon's list has it.
//! In: JSON of `/containers/json`.  Out: what labels are made of.  Owns: nothing.
//!
//! Read leniently: Podman has states and holes of its own, new daemons have new words, and one container that is not
//! understood must not hide the others.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::source::docker::or_default;

/// Containers whose network is that of another, which has it from a third: longer chains are a loop.
const LONGEST_CHAIN: usize = 8;

/// One entry of the list.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Container {
    #[serde(deserialize_with = "or_default")]
    pub(super) id: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) names: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) image: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) state: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) ports: Vec<Port>,
    #[serde(deserialize_with = "or_default")]
    pub(super) host_config: HostConfig,
    #[serde(deserialize_with = "or_default")]
    pub(super) network_settings: NetworkSettings,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Port {
    #[serde(rename = "IP", deserialize_with = "or_default")]
    pub(super) ip: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) private_port: u16,
    /// 0 where it is not published.
    #[serde(deserialize_with = "or_default")]
    pub(super) public_port: u16,
    #[serde(rename = "Type", deserialize_with = "or_default")]
    pub(super) protocol: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct HostConfig {
    #[serde(deserialize_with = "or_default")]
    pub(super) network_mode: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct NetworkSettings {
    #[serde(deserialize_with = "or_default")]
    networks: BTreeMap<String, Option<Attached>>,
}

/// A container's place in a network.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Attached {
    #[serde(rename = "NetworkID", deserialize_with = "or_default")]
    pub(super) network_id: String,
    #[serde(rename = "IPAddress", deserialize_with = "or_default")]
    pub(super) ip_address: String,
}

impl Container {
    /// True while something may be printed. Podman's containers go on printing while they stop.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.state.as_str(), "running" | "paused" | "restarting" | "stopping")
    }

    /// True while it has all it runs with; a container that is not up has neither addresses nor ports.
    pub(super) fn is_up(&self) -> bool {
        self.state == "running"
    }

    /// Alphabetically the first network, as Promtail's `match_first_network` picks it.
    pub(super) fn network(&self) -> Option<(&str, &Attached)> {
        let networks = &self.network_settings.networks;
        networks.iter().find_map(|(name, attached)| Some((name.as_str(), attached.as_ref()?)))
    }

    /// Ids of all its networks.
    pub(super) fn network_ids(&self) -> impl Iterator<Item = &str> {
        let attached = self.network_settings.networks.values().flatten();
        attached.map(|attached| attached.network_id.as_str()).filter(|id| !id.is_empty())
    }

    fn lender(&self) -> Option<&str> {
        self.host_config.network_mode.strip_prefix("container:")
    }
}

/// Gives containers that run in the network of another (`network_mode: container:<id>`) that one's networks, as far as it
/// is listed.
pub(super) fn lend_networks(containers: &mut [Container]) {
    let lent = |container: &Container| {
        let mut lender = container;
        for _ in 0..LONGEST_CHAIN {
            let id = lender.lender()?;
            lender = containers.iter().find(|other| other.id == id)?;
            if !lender.network_settings.networks.is_empty() {
                return Some(lender.network_settings.clone());
            }
        }
        None
    };
    let borrowers = containers.iter().enumerate();
    let borrowers = borrowers.filter(|(_, container)| container.network_settings.networks.is_empty());
    let borrowed: Vec<_> =
        borrowers.filter_map(|(index, container)| Some((index, lent(container)?))).collect();
    for (index, networks) in borrowed {
        containers[index].network_settings = networks;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_and_unknown_words_do_not_hide_a_container() {
        let podman = r#"[{"Id":"a","Names":["/x"],"Image":"i","State":"stopped","Ports":null,"Labels":null,
            "HostConfig":{},"NetworkSettings":{"Networks":null},"Mounts":[{"Type":"unheard"}],"Health":7},
            {"Id":"b","NetworkSettings":{"Networks":{"a":null,"b":{"NetworkID":"n","IPAddress":"10.0.0.1"}}}},
            {"Id":"c","NetworkSettings":null,"HostConfig":null,"State":"stopping"}]"#;
        let listed: Vec<Container> = serde_json::from_str(podman).unwrap();
        let running: Vec<bool> = listed.iter().map(Container::is_running).collect();
        assert_eq!(running, [false, false, true]);
        assert_eq!(listed[1].network().unwrap().0, "b", "a network that says nothing is none");
    }

    #[test]
    fn a_container_in_the_network_of_another_has_its_networks() {
        let list = r#"[{"Id":"one","HostConfig":{"NetworkMode":"container:two"}},
            {"Id":"two","HostConfig":{"NetworkMode":"container:three"},"NetworkSettings":{"Networks":{}}},
            {"Id":"three","NetworkSettings":{"Networks":{"web":{"IPAddress":"10.0.0.3"}}}},
            {"Id":"loop","HostConfig":{"NetworkMode":"container:loop"}},
            {"Id":"lost","HostConfig":{"NetworkMode":"container:gone"}}]"#;
        let mut listed: Vec<Container> = serde_json::from_str(list).unwrap();
        lend_networks(&mut listed);
        let address = |container: &Container| Some(container.network()?.1.ip_address.clone());
        assert_eq!(address(&listed[0]).as_deref(), Some("10.0.0.3"));
        assert_eq!(address(&listed[1]).as_deref(), Some("10.0.0.3"));
        assert_eq!((address(&listed[3]), address(&listed[4])), (None, None));
    }
}
