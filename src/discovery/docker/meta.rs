//! A container's `__meta_docker_*` labels.
//! In: an entry of the list of containers, networks.  Out: labels for relabelling.  Owns: nothing.

use crate::discovery::docker::Settings;
use crate::discovery::docker::listed::{Container, Port};
use crate::discovery::docker::networks::Networks;
use crate::pipeline::relabel::LabelMap;
use crate::record::Labels;

const COMPOSE_PROJECT: &str = "com.docker.compose.project";
const COMPOSE_SERVICE: &str = "com.docker.compose.service";

/// What people call the container.
pub(super) fn name(container: &Container) -> String {
    let name = container.names.first().unwrap_or(&container.id);
    name.trim_start_matches('/').to_owned()
}

/// Labels for lines of `stream`, before relabelling.
pub(super) fn labels(
    container: &Container,
    networks: &Networks,
    stream: &str,
    settings: &Settings,
) -> LabelMap {
    let mut labels = LabelMap::new();
    let mut set = |name: &str, value: &str| {
        if !value.is_empty() {
            labels.insert(format!("__meta_docker_{name}"), value.to_owned());
        }
    };
    let mode = container.host_config.network_mode.as_str();
    set("container_id", &container.id);
    set("container_name", container.names.first().map_or("", String::as_str));
    set("container_image", &container.image);
    set("container_state", &container.state);
    set("container_log_stream", stream);
    set("container_network_mode", mode);
    for (name, value) in &container.labels {
        set(&format!("container_label_{}", sanitized(name)), value);
    }
    let attached = container.network();
    if let Some((name, attached)) = attached {
        set("network_name", name);
        set("network_id", &attached.network_id);
        set("network_ip", &attached.ip_address);
        if let Some(network) = networks.get(&attached.network_id) {
            set("network_name", &network.name);
            set("network_scope", &network.scope);
            set("network_internal", &network.internal.to_string());
            set("network_ingress", &network.ingress.to_string());
            for (name, value) in &network.labels {
                set(&format!("network_label_{}", sanitized(name)), value);
            }
        }
    }
    let port = tcp_port(container);
    if let Some(port) = port {
        set("port_private", &port.private_port.to_string());
        if port.public_port != 0 {
            set("port_public", &port.public_port.to_string());
            set("port_public_ip", &port.ip);
        }
    }
    let ip = attached.map_or("", |(_, attached)| attached.ip_address.as_str());
    let address = match port {
        None if mode == "host" => settings.host_networking_host.clone(),
        None => address(ip, settings.port),
        Some(port) => address(ip, u64::from(port.private_port)),
    };
    labels.insert("__address__".to_owned(), address);
    labels
}

/// What a container's lines are labelled with where no relabelling is configured.
pub(super) fn default_labels(container: &Container, stream: &str) -> Labels {
    let mut labels = Labels::default();
    labels.set("container", name(container));
    labels.set("stream", stream);
    for (name, label) in [("compose_project", COMPOSE_PROJECT), ("compose_service", COMPOSE_SERVICE)] {
        if let Some(value) = container.labels.get(label) {
            labels.set(name, value.as_str());
        }
    }
    labels
}

fn tcp_port(container: &Container) -> Option<&Port> {
    let ports = container.ports.iter().filter(|port| port.protocol == "tcp");
    ports.min_by_key(|port| (port.private_port, port.public_port == 0))
}

/// Addresses of version 6 stand in brackets.
fn address(ip: &str, port: u64) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

fn sanitized(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use super::*;
    use crate::discovery::docker::Hints;
    use crate::http;
    use crate::source::docker::{Endpoint, Host, WantedLogs};

    fn settings() -> Settings {
        let host = Host::parse("unix:///x").unwrap();
        Settings {
            endpoint: Endpoint::new(&host, &http::Settings::plain(Duration::from_secs(1))).unwrap(),
            host: host.text(),
            refresh_interval: Duration::from_secs(5),
            filters: HashMap::new(),
            port: 80,
            host_networking_host: "localhost".to_owned(),
            hints: Hints::Ignored,
            own_container: false,
            logs: WantedLogs::Auto,
        }
    }

    fn shown(list: &str) -> Vec<String> {
        let container: Container = serde_json::from_str(list).unwrap();
        let labels = labels(&container, &Networks::default(), "stderr", &settings());
        labels.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    fn address_of(list: &str) -> String {
        shown(list)
            .into_iter()
            .find_map(|label| Some(label.strip_prefix("__address__=")?.to_owned()))
            .unwrap()
    }

    const CONTAINER: &str = r#"{"Id":"4f1c","Names":["/bot-api-1","/other/alias"],"Image":"bot:1","State":"running",
        "Labels":{"com.docker.compose.service":"api","a-b":"1"},"HostConfig":{"NetworkMode":"a"},
        "NetworkSettings":{"Networks":{"b":{"IPAddress":"10.0.0.2"},"a":{"NetworkID":"n1","IPAddress":"10.0.0.1"}}},
        "Ports":[{"PrivatePort":9,"Type":"udp"},{"PrivatePort":8443,"Type":"tcp"},
            {"PrivatePort":8080,"PublicPort":80,"IP":"0.0.0.0","Type":"tcp"}]}"#;

    #[test]
    fn a_container_on_two_networks_with_two_ports_has_one_set_of_labels() {
        assert_eq!(
            shown(CONTAINER),
            [
                "__address__=10.0.0.1:8080",
                "__meta_docker_container_id=4f1c",
                "__meta_docker_container_image=bot:1",
                "__meta_docker_container_label_a_b=1",
                "__meta_docker_container_label_com_docker_compose_service=api",
                "__meta_docker_container_log_stream=stderr",
                "__meta_docker_container_name=/bot-api-1",
                "__meta_docker_container_network_mode=a",
                "__meta_docker_container_state=running",
                "__meta_docker_network_id=n1",
                "__meta_docker_network_ip=10.0.0.1",
                "__meta_docker_network_name=a",
                "__meta_docker_port_private=8080",
                "__meta_docker_port_public=80",
                "__meta_docker_port_public_ip=0.0.0.0",
            ]
        );
    }

    #[test]
    fn an_address_is_made_of_what_there_is() {
        let table = [
            (r#"{"HostConfig":{"NetworkMode":"host"}}"#, "localhost"),
            (r#"{"HostConfig":{"NetworkMode":"none"}}"#, ":80"),
            (r#"{"NetworkSettings":{"Networks":{"a":{"IPAddress":"10.0.0.1"}}}}"#, "10.0.0.1:80"),
            (r#"{"NetworkSettings":{"Networks":{"a":{"IPAddress":"fd00::1"}}}}"#, "[fd00::1]:80"),
        ];
        for (list, address) in table {
            assert_eq!(address_of(list), address, "{list}");
        }
    }

    #[test]
    fn without_relabelling_lines_still_say_where_they_are_from() {
        let container: Container = serde_json::from_str(CONTAINER).unwrap();
        assert_eq!(
            default_labels(&container, "stdout").render(),
            r#"{compose_service="api", container="bot-api-1", stream="stdout"}"#
        );
        assert_eq!(name(&Container { id: "4f1c".to_owned(), ..Container::default() }), "4f1c");
    }
}
