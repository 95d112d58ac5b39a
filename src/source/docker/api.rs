//! Where a Docker daemon listens, and opening a log stream there.
//! In: `host` of the configuration, a container id.  Out: response bytes as they arrive.  Owns: one connection.

use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long a daemon may take to answer a request (not: to send the next line).
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A daemon's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// A socket's path.
    Unix(String),
    /// `host:port`, plain HTTP.
    Tcp(String),
}

/// `host` names no place that can be connected to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    #[error("a Docker host starts with unix://, tcp:// or http://")]
    UnknownScheme,
    #[error("Docker over TLS is not supported by this version yet")]
    Tls,
    #[error("the address after the scheme is empty")]
    Empty,
}

/// A log stream could not be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("cannot connect to the Docker daemon")]
    Connect(#[source] std::io::Error),
    #[error("no answer from the Docker daemon")]
    Http(#[from] hyper::Error),
    #[error("no answer from the Docker daemon within {} s", ANSWER_TIMEOUT.as_secs())]
    Timeout,
    #[error("the Docker daemon answered {status}: {body}")]
    Refused { status: StatusCode, body: String },
    #[error("the container id does not make a URL")]
    Request(#[from] hyper::http::Error),
}

impl Endpoint {
    /// Reads `unix:///var/run/docker.sock`, `tcp://host:2375`, `http://host:2375`.
    pub(crate) fn parse(host: &str) -> Result<Endpoint, EndpointError> {
        let endpoint = match host.split_once("://") {
            Some(("unix", path)) => Endpoint::Unix(path.to_owned()),
            Some(("tcp" | "http", address)) => {
                let address = address.trim_end_matches('/');
                let port = if address.contains(':') || address.is_empty() { "" } else { ":2375" };
                Endpoint::Tcp(format!("{address}{port}"))
            }
            Some(("https", _)) => return Err(EndpointError::Tls),
            _ => return Err(EndpointError::UnknownScheme),
        };
        match &endpoint {
            Endpoint::Unix(text) | Endpoint::Tcp(text) if text.is_empty() => Err(EndpointError::Empty),
            _ => Ok(endpoint),
        }
    }

    /// bollard's client for everything but logs. Connects on first use.
    pub(crate) fn docker(&self) -> Result<Docker, bollard::errors::Error> {
        let seconds = ANSWER_TIMEOUT.as_secs();
        match self {
            Endpoint::Unix(path) => Docker::connect_with_unix(path, seconds, API_DEFAULT_VERSION),
            Endpoint::Tcp(address) => {
                Docker::connect_with_http(&format!("tcp://{address}"), seconds, API_DEFAULT_VERSION)
            }
        }
    }
}

/// An open log stream. Dropping it closes the connection.
#[derive(Debug)]
pub(super) struct LogStream {
    body: Incoming,
    connection: JoinHandle<()>,
}

impl LogStream {
    /// Opens the log of `id` from `since` on and follows it. `version` is the negotiated API version.
    pub(super) async fn open(
        endpoint: &Endpoint,
        version: &str,
        id: &str,
        since: &str,
    ) -> Result<LogStream, OpenError> {
        let path = format!(
            "/v{version}/containers/{id}/logs?follow=1&stdout=1&stderr=1&timestamps=1&since={since}&tail=all"
        );
        let open = async {
            match endpoint {
                Endpoint::Unix(socket) => {
                    request(UnixStream::connect(socket).await.map_err(OpenError::Connect)?, &path).await
                }
                Endpoint::Tcp(address) => {
                    request(TcpStream::connect(address).await.map_err(OpenError::Connect)?, &path).await
                }
            }
        };
        timeout(ANSWER_TIMEOUT, open).await.map_err(|_| OpenError::Timeout)?
    }

    /// The next bytes; `None` at the end. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        loop {
            match self.body.frame().await? {
                Ok(frame) => match frame.into_data() {
                    Ok(bytes) => return Some(Ok(bytes)),
                    Err(_trailers) => {}
                },
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Drop for LogStream {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

async fn request<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    socket: S,
    path: &str,
) -> Result<LogStream, OpenError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
    // Errors of the connection surface in the body.
    let connection = tokio::spawn(async move { drop(connection.await) });
    let request = Request::get(path).header("Host", "docker").body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let (head, body) = response.into_parts();
    if head.status != StatusCode::OK {
        let body = http_body_util::Limited::new(body, 4096)
            .collect()
            .await
            .map(|body| body.to_bytes())
            .unwrap_or_default();
        connection.abort();
        let body = String::from_utf8_lossy(&body).trim_end().to_owned();
        return Err(OpenError::Refused { status: head.status, body });
    }
    Ok(LogStream { body, connection })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_as_docker_writes_them() {
        let tcp = |address: &str| Endpoint::Tcp(address.to_owned());
        assert_eq!(
            Endpoint::parse("unix:///run/docker.sock").unwrap(),
            Endpoint::Unix("/run/docker.sock".to_owned())
        );
        assert_eq!(Endpoint::parse("tcp://10.0.0.1").unwrap(), tcp("10.0.0.1:2375"));
        assert_eq!(Endpoint::parse("http://proxy:2376/").unwrap(), tcp("proxy:2376"));
        for bad in ["", "/var/run/docker.sock", "npipe:////./pipe/docker", "https://x", "unix://", "tcp://"] {
            assert!(Endpoint::parse(bad).is_err(), "{bad}");
        }
    }
}
