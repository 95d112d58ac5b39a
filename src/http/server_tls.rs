//! HTTPS for the pages: what we show, and what we want to see of clients.
//! In: certificates, a key, authorities.  Out: a rustls configuration.  Owns: the one in use, renewed with its files.

mod anyone;

use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use tracing::{info, warn};

use crate::http::server_tls::anyone::Anyone;
use crate::http::{Credential, Look, chain};
use crate::record::Secret;

/// An `http_tls_config`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TlsSettings {
    pub(crate) cert: Credential,
    pub(crate) key: Credential,
    pub(crate) clients: ClientAuth,
    /// Otherwise TLS 1.2 is spoken too.
    pub(crate) only_13: bool,
}

/// Which certificate a client has to show.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ClientAuth {
    None,
    /// Any or none.
    Request,
    /// Any.
    RequireAny,
    /// One of these authorities; where it is not required, none will do.
    Verify {
        authorities: Credential,
        required: bool,
    },
}

/// The settings are right, what they name is not.
#[derive(Debug, thiserror::Error)]
#[error("`{key}`{place} {what}")]
pub(crate) struct TlsError {
    /// The key of the configuration to blame.
    pub(crate) key: &'static str,
    place: String,
    what: String,
}

/// What connections are accepted with.
#[derive(Debug)]
pub(crate) struct Tls {
    settings: TlsSettings,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    /// How the files looked when they were read.
    seen: Vec<Look>,
    /// How they looked when they could not be used, so that it is said once.
    unusable: Option<Vec<Look>>,
}

impl PartialEq for Tls {
    /// Where both were to use the same, whatever the files hold.
    fn eq(&self, other: &Tls) -> bool {
        self.settings == other.settings
    }
}

impl Tls {
    /// Reads all files.
    pub(crate) fn new(settings: TlsSettings) -> Result<Tls, TlsError> {
        let seen = settings.look();
        let config = Arc::new(settings.build()?);
        Ok(Tls { settings, current: Mutex::new(Current { config, seen, unusable: None }) })
    }

    /// What the next connection is accepted with. Certificates that cannot be used leave those before in place: a
    /// renewal is seldom one step, and the next connection looks again.
    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked at before they are read: a change in between is seen the next time.
        let now = self.settings.look();
        if now != current.seen {
            match self.settings.build() {
                Ok(config) => {
                    info!("the server's certificates have changed on disk and are in use now");
                    *current = Current { config: Arc::new(config), seen: now, unusable: None };
                }
                Err(error) if current.unusable.as_ref() != Some(&now) => {
                    warn!(%error, "the server's certificates have changed on disk and cannot be used, going on with those before");
                    current.unusable = Some(now);
                }
                Err(_) => {}
            }
        }
        current.config.clone()
    }
}

impl TlsSettings {
    fn look(&self) -> Vec<Look> {
        let authorities = match &self.clients {
            ClientAuth::Verify { authorities, .. } => Some(authorities),
            _ => None,
        };
        let files = [&self.cert, &self.key].into_iter().chain(authorities).filter_map(Credential::file);
        files.map(|file| Look::of(file)).collect()
    }

    fn build(&self) -> Result<ServerConfig, TlsError> {
        let chain = certificates("cert", &self.cert)?;
        let text = read("key", &self.key)?;
        // The parser's own words could quote the key.
        let private = PrivateKeyDer::from_pem_slice(text.reveal().as_bytes())
            .map_err(|_| TlsError::of("key", &self.key, "holds no private key in PEM form"))?;
        let mismatch = |error| TlsError::of("cert", &self.cert, format!("does not go with its key: {error}"));
        let provider = Arc::new(ring::default_provider());
        let versions = if self.only_13 { &[&TLS13][..] } else { &[&TLS13, &TLS12] };
        let builder = ServerConfig::builder_with_provider(provider);
        let builder = builder.with_protocol_versions(versions).map_err(mismatch)?;
        let builder = match self.verifier()? {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(verifier),
        };
        let mut config = builder.with_single_cert(chain, private).map_err(mismatch)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    fn verifier(&self) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let (authorities, required) = match &self.clients {
            ClientAuth::None => return Ok(None),
            ClientAuth::Request => return Ok(Some(Arc::new(Anyone::new(&provider, false)))),
            ClientAuth::RequireAny => return Ok(Some(Arc::new(Anyone::new(&provider, true)))),
            ClientAuth::Verify { authorities, required } => (authorities, *required),
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates("client_ca", authorities)?);
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = if required { verifier } else { verifier.allow_unauthenticated() };
        let unusable =
            |error| TlsError::of("client_ca", authorities, format!("holds no usable authority: {error}"));
        Ok(Some(verifier.build().map_err(unusable)?))
    }
}

impl TlsError {
    fn of(key: &'static str, credential: &Credential, what: impl Into<String>) -> TlsError {
        let key = match (key, credential) {
            (_, Credential::Inline(_)) => key,
            ("client_ca", _) => "client_ca_file",
            ("cert", _) => "cert_file",
            _ => "key_file",
        };
        let file = credential.file();
        let place = file.map_or_else(String::new, |file| format!(" ({})", file.display()));
        TlsError { key, place, what: what.into() }
    }
}

fn certificates(
    key: &'static str,
    credential: &Credential,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(key, credential)?;
    let parsed = CertificateDer::pem_slice_iter(text.reveal().as_bytes()).collect::<Result<Vec<_>, _>>();
    let parsed = parsed.ok().filter(|certificates| !certificates.is_empty());
    parsed.ok_or_else(|| TlsError::of(key, credential, "holds no certificate in PEM form"))
}

fn read(key: &'static str, credential: &Credential) -> Result<Secret, TlsError> {
    credential.read().map_err(|error| TlsError::of(key, credential, chain(&error)))
}
