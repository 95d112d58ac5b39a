//! Calls of Docker's API, over a connection each.
//! In: a daemon's address, requests.  Out: answers, log streams as they arrive.  Owns: the connections.
//!
//! A connection is not used twice: none can be stale after the daemon was restarted, and a call costs less than what the
//! daemon does for it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{HOST, HeaderValue, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use reqwest::Url;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::http::{self, BuildError, DialError, Dialer, DialerError, Identity, IdentityError, Wire};
use crate::source::docker::host::Host;

/// How long a daemon may take to answer a request (not: to send the next line).
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A list of ten thousand containers with many labels has about 30 MB.
const LONGEST_ANSWER: usize = 128 * 1024 * 1024;

/// How much of what a daemon complains about is repeated.
const LONGEST_COMPLAINT: usize = 4096;

/// A daemon to call. Clones share its settings and tokens.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    way: Way,
    /// What stands before the paths of the API.
    base: String,
    host: HeaderValue,
    identity: Option<Identity>,
}

#[derive(Debug)]
enum Way {
    Unix(PathBuf),
    Web(Box<Dialer>),
}

/// The settings of an endpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    #[error(transparent)]
    Way(#[from] DialerError),
    #[error(transparent)]
    Identity(#[from] BuildError),
    #[error("this host cannot stand in a header")]
    Host(#[from] hyper::header::InvalidHeaderValue),
}

/// There is no answer, or not the one that was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("cannot connect to the Docker daemon")]
    Connect(#[source] std::io::Error),
    #[error("cannot reach the Docker daemon")]
    Dial(#[from] DialError),
    #[error("nothing to identify with to the Docker daemon")]
    Identity(#[from] IdentityError),
    #[error("no answer from the Docker daemon")]
    Http(#[from] hyper::Error),
    #[error("no answer from the Docker daemon within {} s", ANSWER_TIMEOUT.as_secs())]
    Timeout,
    #[error("the Docker daemon answered {status}: {body}")]
    Refused { status: StatusCode, body: String },
    #[error("the request makes no URL")]
    Request(#[from] hyper::http::Error),
    #[error("the answer of the Docker daemon cannot be read: {0}")]
    Answer(String),
}

impl CallError {
    /// The log driver of the container (`none`, and others of old daemons) does not let its log be read.
    pub(super) fn is_unsupported(&self) -> bool {
        matches!(self, CallError::Refused { status, .. } if *status == StatusCode::NOT_IMPLEMENTED)
    }

    /// There is no such container, or not any more.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, CallError::Refused { status, .. } if *status == StatusCode::NOT_FOUND)
    }
}

impl Endpoint {
    /// Reads certificates; connects nowhere. `http` is how a host of the web is spoken to.
    pub(crate) fn new(host: &Host, http: &http::Settings) -> Result<Endpoint, EndpointError> {
        let inner = match host {
            Host::Unix(path) => Inner {
                way: Way::Unix(path.clone()),
                base: String::new(),
                host: HeaderValue::from_static("docker"),
                identity: None,
            },
            Host::Web(url) => Inner {
                way: Way::Web(Box::new(Dialer::new(url.clone(), http.connection.clone())?)),
                base: url.path().trim_end_matches('/').to_owned(),
                host: HeaderValue::from_str(&authority(url))?,
                identity: Some(Identity::new(http)?),
            },
        };
        Ok(Endpoint(Arc::new(inner)))
    }

    /// bollard's client, which speaks through this endpoint. Connects on first use.
    pub(crate) fn docker(&self) -> Result<Docker, bollard::errors::Error> {
        let endpoint = self.clone();
        let transport = move |request: BollardRequest| {
            let endpoint = endpoint.clone();
            async move {
                // bollard knows its own ways only; as an I/O error it keeps what it is about.
                let (response, connection) = endpoint.send(request).await.map_err(std::io::Error::other)?;
                // It ends with the answer.
                drop(connection.detach());
                Ok(response)
            }
        };
        let seconds = ANSWER_TIMEOUT.as_secs();
        Docker::connect_with_custom_transport(transport, Some("http://docker"), seconds, API_DEFAULT_VERSION)
    }

    /// All containers that pass the filters, running or not: one may have run and stopped between two lists.
    pub(crate) async fn containers<T: DeserializeOwned>(
        &self,
        version: &str,
        filters: &HashMap<String, Vec<String>>,
    ) -> Result<T, CallError> {
        let mut query = Url::parse("query:/").unwrap_or_else(|_| unreachable!("this text is a URL"));
        query.query_pairs_mut().append_pair("all", "1");
        if !filters.is_empty() {
            query.query_pairs_mut().append_pair("filters", &serde_json::json!(filters).to_string());
        }
        self.get(&format!("/v{version}/containers/json?{}", query.query().unwrap_or_default())).await
    }

    /// Gets what there is at `path`.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        let call = async {
            let (body, _connection) = self.open(path).await?;
            let body = Limited::new(body, LONGEST_ANSWER).collect().await;
            let body = body.map_err(|error| CallError::Answer(error.to_string()))?.to_bytes();
            serde_json::from_slice(&body).map_err(|error| CallError::Answer(error.to_string()))
        };
        timeout(ANSWER_TIMEOUT, call).await.map_err(|_| CallError::Timeout)?
    }

    /// The body of a good answer, as it arrives.
    async fn open(&self, path: &str) -> Result<(Incoming, AbortOnDropHandle<()>), CallError> {
        let request = Request::get(path).body(Empty::<Bytes>::new())?;
        let (response, connection) = self.send(request).await?;
        let (head, body) = response.into_parts();
        if head.status == StatusCode::OK {
            return Ok((body, connection));
        }
        let body = Limited::new(body, LONGEST_COMPLAINT).collect().await;
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        let body = String::from_utf8_lossy(&body).trim_end().to_owned();
        Err(CallError::Refused { status: head.status, body })
    }

    async fn send<B>(
        &self,
        mut request: Request<B>,
    ) -> Result<(Response<Incoming>, AbortOnDropHandle<()>), CallError>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Inner { way, base, host, identity } = &*self.0;
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let mut target = format!("{base}{path}");
        let wire: Box<dyn Wire> = match way {
            Way::Unix(path) => Box::new(UnixStream::connect(path).await.map_err(CallError::Connect)?),
            Way::Web(dialer) => {
                let dialed = dialer.dial().await?;
                if dialed.absolute {
                    let host = host.to_str().unwrap_or_default();
                    target = format!("{}://{host}{target}", dialer.url().scheme());
                }
                request.headers_mut().extend(dialed.headers);
                dialed.wire
            }
        };
        *request.uri_mut() = target.parse::<Uri>().map_err(hyper::http::Error::from)?;
        if let Some(identity) = identity {
            identity.add_to(request.headers_mut()).await?;
        }
        request.headers_mut().insert(HOST, host.clone());
        let agent = HeaderValue::from_static(concat!("tailwater/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(USER_AGENT, agent);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(wire)).await?;
        // Errors of the connection surface in the body.
        let connection = AbortOnDropHandle::new(tokio::spawn(async move { drop(connection.await) }));
        let response = sender.send_request(request).await?;
        if let Some(identity) = identity {
            identity.note(response.status()).await;
        }
        Ok((response, connection))
    }
}

/// An open log. Dropping it closes the connection.
#[derive(Debug)]
pub(super) struct LogStream {
    body: Incoming,
    _connection: AbortOnDropHandle<()>,
}

impl LogStream {
    /// Opens the log of `id` from `since` on and follows it. `version` is the negotiated API version.
    pub(super) async fn open(
        endpoint: &Endpoint,
        version: &str,
        id: &str,
        since: &str,
    ) -> Result<LogStream, CallError> {
        let path = format!(
            "/v{version}/containers/{id}/logs?follow=1&stdout=1&stderr=1&timestamps=1&since={since}&tail=all"
        );
        LogStream::get(endpoint, &path).await
    }

    /// What the log of `id` has from `since` on, of its last message only.
    pub(super) async fn last(
        endpoint: &Endpoint,
        version: &str,
        id: &str,
        since: &str,
    ) -> Result<LogStream, CallError> {
        let path = format!(
            "/v{version}/containers/{id}/logs?follow=0&stdout=1&stderr=1&timestamps=1&since={since}&tail=1"
        );
        LogStream::get(endpoint, &path).await
    }

    async fn get(endpoint: &Endpoint, path: &str) -> Result<LogStream, CallError> {
        let opened = timeout(ANSWER_TIMEOUT, endpoint.open(path)).await;
        let (body, connection) = opened.map_err(|_| CallError::Timeout)??;
        Ok(LogStream { body, _connection: connection })
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

/// `host:port`, where the port is not that of the scheme.
fn authority(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{port}", url.host_str().unwrap_or_default())
}
