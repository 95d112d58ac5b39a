//! Checks of the server's certificate that differ from rustls' own.
//! In: the certificate a server shows.  Out: whether we go on.  Owns: nothing.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};

/// rustls' check, against another name where one is configured.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) inner: Arc<WebPkiServerVerifier>,
    pub(super) name: Option<ServerName<'static>>,
    /// Certificates named as `ca`.
    pub(super) pinned: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let name = self.name.as_ref().unwrap_or(server_name);
        match self.inner.verify_server_cert(end_entity, intermediates, name, ocsp_response, now) {
            // `openssl req -x509` makes certificates that are both authority and server. Go takes one that is named
            // as `ca`. Its validity was checked before its role; its name was not.
            Err(error) if is_authority(&error) && self.pinned.contains(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

fn is_authority(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(OtherError(error))) = error else { return false };
    matches!(error.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// `insecure_skip_verify`: any certificate will do. Its holder must still have the key, as in Go.
#[derive(Debug)]
pub(super) struct Trusting(WebPkiSupportedAlgorithms);

impl Trusting {
    pub(super) fn new(provider: &CryptoProvider) -> Trusting {
        Trusting(provider.signature_verification_algorithms)
    }
}

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use rustls::RootCertStore;
    use rustls::crypto::ring;

    use super::*;

    /// What `openssl req -x509` makes for the name `loki`.
    fn authority_and_server() -> CertificateDer<'static> {
        let mut params = CertificateParams::new(["loki".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn verify(verifier: &Verifier, cert: &CertificateDer<'_>, name: &str, now: u64) -> Result<(), Error> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        verifier.verify_server_cert(cert, &[], &name, &[], now).map(|_| ())
    }

    #[test]
    fn a_self_signed_certificate_named_as_ca_is_taken_for_its_name_and_time_only() {
        let cert = authority_and_server();
        let verifier = |pinned: Vec<CertificateDer<'static>>, name: Option<&str>| {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates([cert.clone()]);
            let provider = Arc::new(ring::default_provider());
            let inner =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            let name = name.map(|name| ServerName::try_from(name.to_owned()).unwrap());
            Verifier { inner, name, pinned }
        };
        let (now, long_ago) = (1_800_000_000, 1);
        let pinned = verifier(vec![cert.clone()], None);
        assert_eq!(verify(&pinned, &cert, "loki", now), Ok(()));
        assert!(verify(&pinned, &cert, "other", now).is_err());
        assert!(verify(&pinned, &cert, "loki", long_ago).is_err());
        assert!(verify(&pinned, &authority_and_server(), "loki", now).is_err());
        assert!(verify(&verifier(Vec::new(), None), &cert, "loki", now).is_err());
        assert_eq!(verify(&verifier(vec![cert.clone()], Some("loki")), &cert, "other", now), Ok(()));
        assert!(verify(&verifier(vec![cert.clone()], Some("other")), &cert, "loki", now).is_err());
    }
}
