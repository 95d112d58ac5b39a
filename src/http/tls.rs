//! TLS as the configuration wants it: whom we trust, what we show, which versions.
//! In: settings, certificate files.  Out: a rustls configuration.  Owns: nothing.

mod verifier;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tracing::debug;

use crate::http::credential::{Credential, Unreadable};
use crate::http::tls::verifier::{Trusting, Verifier};
use crate::record::Secret;

/// A `tls_config`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Settings {
    /// In place of the system's.
    pub(crate) ca: Option<Credential>,
    /// Certificate and key we show.
    pub(crate) identity: Option<(Credential, Credential)>,
    /// The name the server's certificate must have, where it is not that of the URL.
    pub(crate) server_name: Option<ServerName<'static>>,
    pub(crate) insecure_skip_verify: bool,
    pub(crate) versions: Versions,
}

/// Which versions are spoken, of those there still are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Versions {
    #[default]
    Both,
    Only12,
    Only13,
}

/// The settings are right, what they name is not. Names the key of the configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("`{key}` of tls_config")]
    Unreadable { key: &'static str, source: Unreadable },
    #[error("`{key}` of tls_config{place} holds no {what} in PEM form")]
    NotPem { key: &'static str, place: String, what: &'static str },
    #[error("certificate and key of tls_config{place} do not go together")]
    Mismatch { place: String, source: rustls::Error },
    #[error("no certificate of the authorities{place} can be used")]
    NoRoots { place: String, source: rustls::client::VerifierBuilderError },
    #[error("TLS cannot be set up")]
    Setup(#[from] rustls::Error),
}

impl Settings {
    /// The files it depends on.
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let identity = self.identity.iter().flat_map(|(cert, key)| [cert, key]);
        self.ca.iter().chain(identity).filter_map(Credential::file)
    }

    /// Reads all files.
    pub(super) fn build(&self) -> Result<ClientConfig, TlsError> {
        // Named, not taken from the process: so that it works before one is installed.
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(self.versions.supported())?;
        let builder = builder.dangerous();
        let builder = if self.insecure_skip_verify {
            builder.with_custom_certificate_verifier(Arc::new(Trusting::new(&provider)))
        } else {
            let (roots, pinned) = self.roots()?;
            let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
            let no_roots = |source| TlsError::NoRoots { place: place(self.ca.as_ref()), source };
            let inner = inner.map_err(no_roots)?;
            builder.with_custom_certificate_verifier(Arc::new(Verifier {
                inner,
                name: self.server_name.clone(),
                pinned,
            }))
        };
        match &self.identity {
            None => Ok(builder.with_no_client_auth()),
            Some((cert, key)) => {
                let chain = certificates("cert", cert)?;
                let text = read("key", key)?;
                let private = PrivateKeyDer::from_pem_slice(text.reveal().as_bytes()).map_err(|_| {
                    // The parser's own words could quote the key.
                    TlsError::NotPem {
                        key: in_file("key", key),
                        place: place(Some(key)),
                        what: "private key",
                    }
                })?;
                let together = builder.with_client_auth_cert(chain, private);
                together.map_err(|source| TlsError::Mismatch { place: place(Some(cert)), source })
            }
        }
    }

    /// Whom we trust, and the certificates that were named for it.
    fn roots(&self) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), TlsError> {
        let mut roots = RootCertStore::empty();
        if let Some(ca) = &self.ca {
            let named = certificates("ca", ca)?;
            roots.add_parsable_certificates(named.iter().cloned());
            return Ok((roots, named));
        }
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            debug!(%error, "part of the system's certificates cannot be read");
        }
        roots.add_parsable_certificates(system.certs);
        // In a container FROM scratch there is no CA store, and without one even http:// URLs would be refused.
        if roots.is_empty() {
            roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
        }
        Ok((roots, Vec::new()))
    }
}

impl Versions {
    fn supported(self) -> &'static [&'static SupportedProtocolVersion] {
        static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        match self {
            Versions::Both => &BOTH,
            Versions::Only13 => &BOTH[..1],
            Versions::Only12 => &BOTH[1..],
        }
    }
}

fn certificates(
    key: &'static str,
    credential: &Credential,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(key, credential)?;
    let parsed = CertificateDer::pem_slice_iter(text.reveal().as_bytes()).collect::<Result<Vec<_>, _>>();
    let parsed = parsed.ok().filter(|certificates| !certificates.is_empty());
    let (key, place) = (in_file(key, credential), place(Some(credential)));
    parsed.ok_or(TlsError::NotPem { key, place, what: "certificate" })
}

fn read(key: &'static str, credential: &Credential) -> Result<Secret, TlsError> {
    credential.read().map_err(|source| TlsError::Unreadable { key: in_file(key, credential), source })
}

/// The key as it stands in the configuration.
fn in_file(key: &'static str, credential: &Credential) -> &'static str {
    match (key, credential) {
        (_, Credential::Inline(_)) => key,
        ("ca", _) => "ca_file",
        ("cert", _) => "cert_file",
        _ => "key_file",
    }
}

fn place(credential: Option<&Credential>) -> String {
    let file = credential.and_then(Credential::file);
    file.map_or_else(String::new, |file| format!(" ({})", file.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn chain(error: &dyn std::error::Error) -> String {
        error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
    }

    #[test]
    fn only_the_versions_that_are_wanted_are_spoken() {
        let spoken =
            |versions: Versions| versions.supported().iter().map(|one| one.version).collect::<Vec<_>>();
        assert_eq!(spoken(Versions::Only12), [rustls::ProtocolVersion::TLSv1_2]);
        assert_eq!(spoken(Versions::Only13), [rustls::ProtocolVersion::TLSv1_3]);
        assert_eq!(spoken(Versions::Both).len(), 2);
    }

    #[test]
    fn the_system_or_the_bundle_is_trusted_where_nothing_is_said() {
        Settings::default().build().unwrap();
    }

    #[test]
    fn what_cannot_be_used_is_said_with_key_and_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("x.pem");
        let ca = Settings { ca: Some(Credential::File(file.clone())), ..Settings::default() };
        let message = chain(&ca.build().unwrap_err());
        assert!(
            message.starts_with(&format!("`ca_file` of tls_config: cannot read {}", file.display())),
            "{message}"
        );
        fs::write(&file, "nothing").unwrap();
        let message = chain(&ca.build().unwrap_err());
        assert!(message.contains(&format!("({}) holds no certificate", file.display())), "{message}");
        let signed = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        let cert = Credential::Inline(Secret::new(signed.cert.pem()));
        let with_key = |key: &str| Settings {
            identity: Some((cert.clone(), Credential::Inline(Secret::new(key)))),
            ..Settings::default()
        };
        let message = chain(&with_key("-----BEGIN hunter2").build().unwrap_err());
        assert_eq!(message, "`key` of tls_config holds no private key in PEM form");
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let message = chain(&with_key(&other).build().unwrap_err());
        assert!(message.starts_with("certificate and key of tls_config do not go together"), "{message}");
        with_key(&signed.signing_key.serialize_pem()).build().unwrap();
    }
}
