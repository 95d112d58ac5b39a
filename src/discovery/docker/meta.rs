//! A container's `__meta_docker_*` labels.
//! In: an entry of Docker's container list.  Out: labels for relabelling.  Owns: nothing.

use bollard::models::{ContainerSummary, EndpointSettings, PortSummary, PortSummaryTypeEnum};

use crate::discovery::docker::Settings;
use crate::pipeline::relabel::LabelMap;
use crate::record::Labels;

const COMPOSE_PROJECT: &str = "com.docker.compose.project";
const COMPOSE_SERVICE: &str = "com.docker.compose.service";

/// What people call the container.
pub(super) fn name(container: &ContainerSummary) -> String {
    let name = container.names.iter().flatten().next().or(container.id.as_ref());
    name.map(|name| name.trim_start_matches('/').to_owned()).unwrap_or_default()
}

/// Labels for lines of `stream`, before relabelling.
pub(super) fn labels(container: &ContainerSummary, stream: &str, settings: &Settings) -> LabelMap {
    let mut labels = LabelMap::new();
    let mut set = |name: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            labels.insert(format!("__meta_docker_{name}"), value.to_owned());
        }
    };
    set("container_id", container.id.as_deref());
    set("container_name", container.names.iter().flatten().next().map(String::as_str));
    set("container_image", container.image.as_deref());
    set("container_state", container.state.map(|state| state.to_string()).as_deref());
    set("container_log_stream", Some(stream));
    let mode = container.host_config.as_ref().and_then(|config| config.network_mode.as_deref());
    set("container_network_mode", mode);
    for (name, value) in container.labels.iter().flatten() {
        set(&format!("container_label_{}", sanitized(name)), Some(value));
    }
    let network = network(container);
    if let Some((name, endpoint)) = &network {
        set("network_name", Some(name));
        set("network_id", endpoint.network_id.as_deref());
        set("network_ip", endpoint.ip_address.as_deref());
    }
    let port = tcp_port(container);
    if let Some(port) = port {
        set("port_private", Some(&port.private_port.to_string()));
        if let Some(public) = port.public_port {
            set("port_public", Some(&public.to_string()));
            set("port_public_ip", port.ip.as_deref());
        }
    }
    let host = match mode {
        Some("host") => settings.host_networking_host.as_str(),
        _ => network.and_then(|(_, endpoint)| endpoint.ip_address.as_deref()).unwrap_or_default(),
    };
    let number = port.map_or(settings.port, |port| u64::from(port.private_port));
    let address = if mode == Some("host") { host.to_owned() } else { format!("{host}:{number}") };
    labels.insert("__address__".to_owned(), address);
    labels
}

/// What a container's lines are labelled with where no relabelling is configured.
pub(super) fn default_labels(container: &ContainerSummary, stream: &str) -> Labels {
    let mut labels = Labels::default();
    labels.set("container", name(container));
    labels.set("stream", stream);
    let given = |name: &str| container.labels.as_ref().and_then(|labels| labels.get(name));
    for (name, label) in [("compose_project", COMPOSE_PROJECT), ("compose_service", COMPOSE_SERVICE)] {
        if let Some(value) = given(label) {
            labels.set(name, value.as_str());
        }
    }
    labels
}

/// Alphabetically the first network, as Promtail's `match_first_network` picks it.
fn network(container: &ContainerSummary) -> Option<(&str, &EndpointSettings)> {
    let networks = container.network_settings.as_ref()?.networks.as_ref()?;
    networks.iter().min_by_key(|(name, _)| *name).map(|(name, endpoint)| (name.as_str(), endpoint))
}

fn tcp_port(container: &ContainerSummary) -> Option<&PortSummary> {
    let ports = container.ports.iter().flatten().filter(|port| port.typ == Some(PortSummaryTypeEnum::TCP));
    ports.min_by_key(|port| (port.private_port, port.public_port.is_none()))
}

fn sanitized(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use bollard::models::ContainerSummaryNetworkSettings;

    use super::*;
    use crate::source::docker::Endpoint;

    fn settings() -> Settings {
        Settings {
            host: "unix:///x".to_owned(),
            endpoint: Endpoint::Unix("/x".to_owned()),
            refresh_interval: Duration::from_secs(5),
            filters: HashMap::new(),
            port: 80,
            host_networking_host: "localhost".to_owned(),
        }
    }

    fn container() -> ContainerSummary {
        let endpoint =
            |ip: &str| EndpointSettings { ip_address: Some(ip.to_owned()), ..EndpointSettings::default() };
        let networks =
            HashMap::from([("b".to_owned(), endpoint("10.0.0.2")), ("a".to_owned(), endpoint("10.0.0.1"))]);
        let labels =
            [(COMPOSE_SERVICE, "api"), ("a-b", "1")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        ContainerSummary {
            id: Some("4f1c".to_owned()),
            names: Some(vec!["/bot-api-1".to_owned()]),
            labels: Some(labels.into()),
            network_settings: Some(ContainerSummaryNetworkSettings { networks: Some(networks) }),
            ports: Some(vec![PortSummary {
                private_port: 8080,
                public_port: Some(80),
                ip: Some("0.0.0.0".to_owned()),
                typ: Some(PortSummaryTypeEnum::TCP),
            }]),
            ..ContainerSummary::default()
        }
    }

    #[test]
    fn a_container_on_two_networks_has_one_set_of_labels() {
        let labels = labels(&container(), "stderr", &settings());
        let shown: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            shown,
            [
                "__address__=10.0.0.1:8080",
                "__meta_docker_container_id=4f1c",
                "__meta_docker_container_label_a_b=1",
                "__meta_docker_container_label_com_docker_compose_service=api",
                "__meta_docker_container_log_stream=stderr",
                "__meta_docker_container_name=/bot-api-1",
                "__meta_docker_network_ip=10.0.0.1",
                "__meta_docker_network_name=a",
                "__meta_docker_port_private=8080",
                "__meta_docker_port_public=80",
                "__meta_docker_port_public_ip=0.0.0.0",
            ]
        );
    }

    #[test]
    fn without_relabelling_lines_still_say_where_they_are_from() {
        assert_eq!(
            default_labels(&container(), "stdout").render(),
            r#"{compose_service="api", container="bot-api-1", stream="stdout"}"#
        );
        assert_eq!(
            name(&ContainerSummary { id: Some("4f1c".to_owned()), ..ContainerSummary::default() }),
            "4f1c"
        );
    }
}
