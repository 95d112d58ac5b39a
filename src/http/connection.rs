//! The HTTP client under a [`Client`](super::Client), and a new one when certificates have changed on disk.
//! In: settings, certificate files.  Out: a reqwest client.  Owns: the connections.

use std::time::Duration;

use reqwest::redirect::Policy;

use crate::http::auth::AuthError;
use crate::http::proxy::Proxy;
use crate::http::renewal::Renewed;
use crate::http::tls;

/// How a server is reached.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ConnectionSettings {
    pub(crate) tls: tls::Settings,
    pub(crate) proxy: Proxy,
    /// Follow redirects, as far as they repeat the request.
    pub(crate) follow_redirects: bool,
}

/// The HTTP client cannot be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    #[error("`proxy_connect_header`")]
    Proxy(#[from] AuthError),
    #[error("the HTTP client cannot be built")]
    Http(#[from] reqwest::Error),
}

/// A client that follows its certificates.
#[derive(Debug)]
pub(super) struct Connection {
    settings: ConnectionSettings,
    timeout: Duration,
    http: Renewed<reqwest::Client>,
}

impl Connection {
    /// Reads the certificates; connects nowhere.
    pub(super) fn new(settings: ConnectionSettings, timeout: Duration) -> Result<Connection, BuildError> {
        let http = Renewed::new(&settings.tls, || build(&settings, timeout))?;
        Ok(Connection { settings, timeout, http })
    }

    /// The client to use now.
    pub(super) fn client(&self) -> reqwest::Client {
        self.http.current(&self.settings.tls, || build(&self.settings, self.timeout))
    }
}

fn build(settings: &ConnectionSettings, timeout: Duration) -> Result<reqwest::Client, BuildError> {
    let redirects = if settings.follow_redirects {
        Policy::custom(|attempt| {
            // The other redirects turn a push into a GET, and the page that answers it is not Loki's.
            let repeats_the_push = matches!(attempt.status().as_u16(), 307 | 308);
            if repeats_the_push && attempt.previous().len() < 10 { attempt.follow() } else { attempt.stop() }
        })
    } else {
        Policy::none()
    };
    let builder = reqwest::Client::builder()
        .http1_only()
        .timeout(timeout)
        .redirect(redirects)
        .tls_backend_preconfigured(settings.tls.build()?)
        .user_agent(concat!("tailwater/", env!("CARGO_PKG_VERSION")));
    Ok(settings.proxy.apply(builder)?.build()?)
}
