//! Speaking to an HTTP server the way Prometheus' `HTTPClientConfig` describes: who we are, whom we trust, which way.
//! In: settings, requests.  Out: responses.  Owns: connections, the current token.
//!
//! Files named in settings may change while the agent runs: credentials are read for each request, certificates when
//! they look different from last time.

mod auth;
mod client;
mod connection;
mod credential;
mod dial;
mod headers;
mod identity;
mod oauth2;
mod proxy;
mod renewal;
mod server_tls;
mod serving;
mod tls;

use std::time::Duration;

pub(crate) use auth::{Auth, split_url_auth};
pub(crate) use client::{Client, SendError};
pub(crate) use connection::{BuildError, ConnectionSettings};
pub(crate) use credential::{Credential, Look};
pub(crate) use dial::{DialError, Dialer, DialerError, Wire};
pub(crate) use headers::{Header, Headers};
pub(crate) use identity::{Identity, IdentityError};
pub(crate) use oauth2::Settings as OAuth2;
pub(crate) use proxy::{NoProxy, Proxy, address as proxy_address};
pub(crate) use server_tls::{ClientAuth, Tls as ServerTls, TlsSettings as ServerTlsSettings};
pub(crate) use serving::{Limits, serve};
pub(crate) use tls::{Settings as Tls, Versions};

/// Everything about one server but its address.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) auth: Auth,
    pub(crate) headers: Headers,
    pub(crate) connection: ConnectionSettings,
    /// Of one request, from connecting to the last byte of the answer.
    pub(crate) timeout: Duration,
}

impl Settings {
    /// Nothing special.
    pub(crate) fn plain(timeout: Duration) -> Settings {
        let connection =
            ConnectionSettings { tls: Tls::default(), proxy: Proxy::Direct, follow_redirects: true };
        Settings { auth: Auth::None, headers: Headers::default(), connection, timeout }
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
