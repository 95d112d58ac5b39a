//! Where a Docker daemon listens.
//! In: `host` of the configuration, or the environment and the sockets there are.  Out: a place to connect to.
//! Owns: nothing.

use std::path::{Path, PathBuf};

use reqwest::Url;

use crate::http::{Credential, Tls};

/// Where `docker` listens, and nobody says otherwise.
const USUAL: &str = "/var/run/docker.sock";

/// A daemon's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// A socket's path.
    Unix(PathBuf),
    /// `http://` or `https://`, with what stands before the paths of Docker's API.
    Web(Url),
}

/// A host, and the certificates that the environment says go with it.
#[derive(Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) host: Host,
    pub(crate) tls: Tls,
}

/// `host` names no place that can be connected to.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum HostError {
    #[error("a Docker host starts with unix://, tcp://, http:// or https://")]
    UnknownScheme,
    #[error("{0} hosts are not supported: {1}")]
    Unsupported(&'static str, &'static str),
    #[error("the address after the scheme is empty")]
    Empty,
    #[error("this is no address: {0}")]
    NoAddress(String),
}

impl Host {
    /// Reads `unix:///var/run/docker.sock`, `tcp://host:2375`, `http://host:2375`, `https://host:2376`.
    pub(crate) fn parse(host: &str) -> Result<Host, HostError> {
        let (scheme, address) = host.split_once("://").ok_or(HostError::UnknownScheme)?;
        if address.trim_matches('/').is_empty() {
            return Err(HostError::Empty);
        }
        match scheme {
            "unix" => Ok(Host::Unix(PathBuf::from(address))),
            "tcp" => web("http", address, Some(2375)),
            "http" | "https" => web(scheme, address, None),
            "npipe" => Err(HostError::Unsupported("npipe://", "named pipes are Windows'")),
            "ssh" => Err(HostError::Unsupported("ssh://", "let ssh forward the socket and name that")),
            "fd" => Err(HostError::Unsupported("fd://", "name the socket the daemon was given")),
            _ => Err(HostError::UnknownScheme),
        }
    }

    /// What the docker command would speak to: `DOCKER_HOST`, or else the first socket there is of Docker, rootless
    /// Docker, Podman and rootless Podman.
    pub(crate) fn find(
        variable: &dyn Fn(&str) -> Option<String>,
        exists: &dyn Fn(&Path) -> bool,
    ) -> Result<Found, HostError> {
        let given = |name: &str| variable(name).filter(|text| !text.is_empty());
        if let Some(host) = given("DOCKER_HOST") {
            return of_environment(&host, &given);
        }
        let of_user = given("XDG_RUNTIME_DIR").map(PathBuf::from);
        let in_user = |name: &str| of_user.as_ref().map(|directory| directory.join(name));
        let candidates = [
            Some(PathBuf::from(USUAL)),
            in_user("docker.sock"),
            Some(PathBuf::from("/run/podman/podman.sock")),
            in_user("podman/podman.sock"),
        ];
        let found = candidates.into_iter().flatten().find(|path| exists(path));
        Ok(Found { host: Host::Unix(found.unwrap_or_else(|| PathBuf::from(USUAL))), tls: Tls::default() })
    }

    /// As one would write it.
    pub(crate) fn text(&self) -> String {
        match self {
            Host::Unix(path) => format!("unix://{}", path.display()),
            Host::Web(url) => url.as_str().trim_end_matches('/').to_owned(),
        }
    }
}

/// As the docker command reads its variables: certificates make it TLS, and are verified where `DOCKER_TLS_VERIFY` says so.
fn of_environment(host: &str, given: &dyn Fn(&str) -> Option<String>) -> Result<Found, HostError> {
    let (verify, directory) = (given("DOCKER_TLS_VERIFY").is_some(), given("DOCKER_CERT_PATH"));
    let address = host.strip_prefix("tcp://").filter(|_| verify || directory.is_some());
    let Some(address) = address else { return Ok(Found { host: Host::parse(host)?, tls: Tls::default() }) };
    let home = || given("HOME").map(|home| format!("{home}/.docker"));
    let directory = PathBuf::from(directory.or_else(home).unwrap_or_default());
    let file = |name: &str| Credential::File(directory.join(name));
    let tls = Tls {
        ca: Some(file("ca.pem")),
        identity: Some((file("cert.pem"), file("key.pem"))),
        insecure_skip_verify: !verify,
        ..Tls::default()
    };
    Ok(Found { host: web("https", address, Some(2376))?, tls })
}

/// `tcp://` has ports of its own, which the URL's scheme would not give.
fn web(scheme: &str, address: &str, port: Option<u16>) -> Result<Host, HostError> {
    let no_address = |error: &dyn ToString| HostError::NoAddress(error.to_string());
    let mut url = Url::parse(&format!("{scheme}://{address}")).map_err(|error| no_address(&error))?;
    let authority = address.split('/').next().unwrap_or_default();
    let after_host = authority.rsplit_once(']').map_or(authority, |(_, after)| after);
    if let Some(port) = port.filter(|_| !after_host.contains(':')) {
        url.set_port(Some(port)).map_err(|()| no_address(&"it takes no port"))?;
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(no_address(&"nothing can stand behind the path"));
    }
    Ok(Host::Web(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_as_docker_writes_them() {
        let table = [
            ("unix:///run/docker.sock", "unix:///run/docker.sock"),
            ("tcp://10.0.0.1", "http://10.0.0.1:2375"),
            ("tcp://[::1]", "http://[::1]:2375"),
            ("tcp://[::1]:80", "http://[::1]"),
            ("http://proxy:2376/", "http://proxy:2376"),
            ("https://gate/docker/", "https://gate/docker"),
        ];
        for (host, text) in table {
            assert_eq!(Host::parse(host).unwrap().text(), text, "{host}");
        }
        for bad in ["", "/var/run/docker.sock", "unix://", "tcp://", "https:///", "ftp://x", "http://a b"] {
            assert!(Host::parse(bad).is_err(), "{bad}");
        }
        let npipe = Host::parse("npipe:////./pipe/docker_engine").unwrap_err().to_string();
        assert_eq!(npipe, "npipe:// hosts are not supported: named pipes are Windows'");
    }

    #[test]
    fn without_a_host_the_environment_says_then_the_first_socket_there_is() {
        let find = |variables: &[(&str, &str)], sockets: &[&str]| {
            let variable = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            Host::find(&variable, &|path| sockets.iter().any(|socket| path == Path::new(socket))).unwrap()
        };
        let user = [("XDG_RUNTIME_DIR", "/run/user/1000")];
        let rootless = "/run/user/1000/docker.sock";
        let podman = "/run/user/1000/podman/podman.sock";
        assert_eq!(find(&user, &[podman, rootless]).host.text(), format!("unix://{rootless}"));
        assert_eq!(find(&user, &[podman]).host.text(), format!("unix://{podman}"));
        assert_eq!(find(&[], &["/run/podman/podman.sock"]).host.text(), "unix:///run/podman/podman.sock");
        assert_eq!(find(&[], &[rootless]).host.text(), "unix:///var/run/docker.sock");
        assert_eq!(find(&[("DOCKER_HOST", "tcp://d")], &[rootless]).host.text(), "http://d:2375");
        let secured =
            [("DOCKER_HOST", "tcp://d"), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", "/certs")];
        let found = find(&secured, &[]);
        assert_eq!(found.host.text(), "https://d:2376");
        assert_eq!(found.tls.ca, Some(Credential::File(PathBuf::from("/certs/ca.pem"))));
        assert!(!found.tls.insecure_skip_verify && found.tls.identity.is_some());
        let unverified = [("DOCKER_HOST", "tcp://d:1"), ("DOCKER_CERT_PATH", "/certs")];
        let found = find(&unverified, &[]);
        assert!(found.tls.insecure_skip_verify && found.host.text() == "https://d:1");
    }
}
