//! A connection to a server of our own to speak over, where the server's answers may go on for days.
//! In: an address, TLS and proxy settings.  Out: a byte stream.  Owns: the TLS configuration.
//!
//! reqwest gives no raw response, and counts all of one against a timeout. So Docker, whose answers are streams, is
//! reached this way.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use hyper_util::rt::TokioIo;
use reqwest::Url;
use reqwest::header::{HOST, HeaderMap, HeaderValue, PROXY_AUTHORIZATION};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::http::ConnectionSettings;
use crate::http::auth::{AuthError, split_url_auth};
use crate::http::proxy::Proxy;
use crate::http::renewal::Renewed;
use crate::http::tls::TlsError;

/// A peer that is gone without a word is noticed after about two minutes: the system asks nine times.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);

/// What can be written to and read from.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Connects to one server.
#[derive(Debug)]
pub(crate) struct Dialer {
    url: Url,
    settings: ConnectionSettings,
    /// `None` for plain HTTP.
    tls: Option<Renewed<Arc<ClientConfig>>>,
}

/// A connection, and what its requests need.
pub(crate) struct Dialed {
    pub(crate) wire: Box<dyn Wire>,
    /// Requests name the whole URL: a proxy reads them.
    pub(crate) absolute: bool,
    /// For the proxy.
    pub(crate) headers: HeaderMap,
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialerError {
    #[error("this server can be reached through http:// proxies only")]
    Proxy,
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// There is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("cannot connect to {0}")]
    Connect(String, #[source] io::Error),
    #[error("no TLS with {0}")]
    Tls(String, #[source] io::Error),
    #[error("the proxy")]
    Proxy(#[from] hyper::Error),
    #[error("the proxy refuses with status {0}")]
    Refused(u16),
    #[error("the proxy")]
    Request(#[from] hyper::http::Error),
    #[error("credentials of the proxy")]
    Credentials(#[from] AuthError),
}

impl Dialer {
    /// For an `http://` or `https://` URL. Reads certificates; connects nowhere.
    pub(crate) fn new(url: Url, settings: ConnectionSettings) -> Result<Dialer, DialerError> {
        if settings.proxy.towards(&url).is_some_and(|proxy| proxy.scheme() != "http") {
            return Err(DialerError::Proxy);
        }
        let tls = match url.scheme() {
            "https" => Some(Renewed::new(&settings.tls, || settings.tls.build().map(Arc::new))?),
            _ => None,
        };
        Ok(Dialer { url, settings, tls })
    }

    /// Where it leads.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Connects.
    pub(crate) async fn dial(&self) -> Result<Dialed, DialError> {
        let mut headers = HeaderMap::new();
        let proxy = self.settings.proxy.towards(&self.url);
        let absolute = proxy.is_some() && self.tls.is_none();
        let wire: Box<dyn Wire> = match proxy {
            None => Box::new(connect(&self.url).await?),
            Some(mut proxy) => {
                if let Some(auth) = split_url_auth(&mut proxy).ok().flatten()
                    && let Some(value) = auth.header()?
                {
                    headers.insert(PROXY_AUTHORIZATION, value);
                }
                let socket = connect(&proxy).await?;
                if absolute {
                    Box::new(socket)
                } else {
                    self.tunnel(socket, std::mem::take(&mut headers)).await?
                }
            }
        };
        let Some(tls) = &self.tls else { return Ok(Dialed { wire, absolute, headers }) };
        let config = tls.current(&self.settings.tls, || self.settings.tls.build().map(Arc::new));
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let no_tls = |error| DialError::Tls(host.clone(), error);
        let name = ServerName::try_from(host.clone()).map_err(|error| no_tls(io::Error::other(error)))?;
        let wire = TlsConnector::from(config).connect(name, wire).await.map_err(no_tls)?;
        Ok(Dialed { wire: Box::new(wire), absolute, headers })
    }

    /// Asks a proxy to connect.
    async fn tunnel(&self, socket: TcpStream, mut headers: HeaderMap) -> Result<Box<dyn Wire>, DialError> {
        if let Proxy::Through { connect_headers, .. } = &self.settings.proxy {
            connect_headers.add_to(&mut headers)?;
        }
        let target = authority(&self.url);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
        let connection = tokio::spawn(connection.with_upgrades());
        let mut request = Request::connect(&target).body(Empty::<Bytes>::new())?;
        if let Ok(host) = HeaderValue::from_str(&target) {
            headers.insert(HOST, host);
        }
        *request.headers_mut() = headers;
        let response = sender.send_request(request).await?;
        if !response.status().is_success() {
            connection.abort();
            return Err(DialError::Refused(response.status().as_u16()));
        }
        Ok(Box::new(TokioIo::new(hyper::upgrade::on(response).await?)))
    }
}

async fn connect(url: &Url) -> Result<TcpStream, DialError> {
    let address = authority(url);
    let connected = TcpStream::connect(&address).await;
    let socket = connected.map_err(|error| DialError::Connect(address.clone(), error))?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
    let kept = SockRef::from(&socket).set_tcp_keepalive(&keepalive);
    kept.map_err(|error| DialError::Connect(address, error))?;
    Ok(socket)
}

/// `host:port`.
fn authority(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default())
}
