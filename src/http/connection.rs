//! The HTTP client under a [`Client`](super::Client), and a new one when certificates have changed on disk.
//! In: settings, certificate files.  Out: a reqwest client.  Owns: the connections.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::redirect::Policy;
use tracing::{info, warn};

use crate::http::auth::AuthError;
use crate::http::chain;
use crate::http::credential::Look;
use crate::http::proxy::Proxy;
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
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    http: reqwest::Client,
    /// How the files looked when they were read.
    seen: Vec<Look>,
    /// How they looked when they could not be used, so that it is said once.
    unusable: Option<Vec<Look>>,
}

impl Connection {
    /// Reads the certificates; connects nowhere.
    pub(super) fn new(settings: ConnectionSettings, timeout: Duration) -> Result<Connection, BuildError> {
        let seen = look(&settings.tls);
        let http = build(&settings, timeout)?;
        let current = Mutex::new(Current { http, seen, unusable: None });
        Ok(Connection { settings, timeout, current })
    }

    /// The client to use now. Certificates that cannot be used leave the one before in place: a renewal is seldom
    /// one step, and the next request looks again.
    pub(super) fn client(&self) -> reqwest::Client {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked at before they are read: a change in between is seen the next time.
        let now = look(&self.settings.tls);
        if now != current.seen {
            match build(&self.settings, self.timeout) {
                Ok(http) => {
                    info!("certificates have changed on disk and are in use now");
                    *current = Current { http, seen: now, unusable: None };
                }
                Err(error) if current.unusable.as_ref() != Some(&now) => {
                    warn!(error = %chain(&error), "certificates have changed on disk and cannot be used, going on with those before");
                    current.unusable = Some(now);
                }
                Err(_) => {}
            }
        }
        current.http.clone()
    }
}

fn look(tls: &tls::Settings) -> Vec<Look> {
    tls.files().map(|file| Look::of(file)).collect()
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
