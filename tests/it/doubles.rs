//! What may stand between the agent and Loki: TLS, a proxy, a token endpoint.
//! In: connections.  Out: their bytes to the fake Loki, and what was seen on the way.  Owns: ports, certificates.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::agent::PATIENCE;

/// A certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM form.
pub struct Identity {
    pub cert: String,
    pub key: String,
    chain: Vec<CertificateDer<'static>>,
    private: PrivateKeyDer<'static>,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for a server of this name or address, or for a client.
    pub fn issue(&self, name: &str) -> Identity {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        Identity {
            cert: cert.pem(),
            key: key.serialize_pem(),
            chain: vec![cert.der().clone()],
            private: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        }
    }
}

/// A client that trusts `authority`, and shows `identity`.
pub fn client_config(
    authority: &Authority,
    identity: Option<&Identity>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(versions).unwrap().with_root_certificates(roots);
    match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(identity.chain.clone(), key).unwrap()
        }
    }
}

/// Terminates TLS before a Loki.
pub struct TlsFront {
    address: SocketAddr,
    config: Arc<Mutex<Arc<ServerConfig>>>,
    /// Handshakes that failed.
    refused: watch::Receiver<usize>,
}

impl TlsFront {
    /// Shows `identity`; asks for a client certificate of `clients` where that is given.
    pub async fn start(loki: SocketAddr, identity: &Identity, clients: Option<&Authority>) -> TlsFront {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = Arc::new(Mutex::new(server_config(identity, clients)));
        let current = config.clone();
        let (count, refused) = watch::channel(0);
        let count = Arc::new(count);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let acceptor = TlsAcceptor::from(current.lock().unwrap().clone());
                let count = count.clone();
                tokio::spawn(async move {
                    let Ok(mut socket) = acceptor.accept(socket).await else {
                        count.send_modify(|count| *count += 1);
                        return;
                    };
                    let mut upstream = TcpStream::connect(loki).await.unwrap();
                    // Ends with an error where either side leaves without a word.
                    drop(copy_bidirectional(&mut socket, &mut upstream).await);
                });
            }
        });
        TlsFront { address, config, refused }
    }

    pub fn url(&self) -> String {
        format!("https://{}/loki/api/v1/push", self.address)
    }

    /// Changes what the next connection meets.
    pub fn change(&self, identity: &Identity, clients: Option<&Authority>) {
        *self.config.lock().unwrap() = server_config(identity, clients);
    }

    /// Waits until so many handshakes in all have failed.
    pub async fn wait_for_refusals(&mut self, count: usize) {
        let enough = self.refused.wait_for(|refused| *refused >= count);
        tokio::time::timeout(PATIENCE, enough).await.expect("handshakes fail").unwrap();
    }
}

fn server_config(identity: &Identity, clients: Option<&Authority>) -> Arc<ServerConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = match clients {
        None => builder.unwrap().with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.0.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.unwrap().with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    Arc::new(builder.with_single_cert(identity.chain.clone(), identity.private.clone_key()).unwrap())
}

/// A proxy, HTTP or SOCKS 5, that takes every request, whatever its target, to one place.
pub struct Proxy {
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub async fn start(target: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = heads.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(relay(socket, target, seen.clone()));
            }
        });
        Proxy { address, heads }
    }

    /// The first head of each connection; of SOCKS the target's name and port.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn relay(mut socket: TcpStream, target: SocketAddr, seen: Arc<Mutex<Vec<String>>>) {
    let mut read = Vec::new();
    let head = loop {
        let mut piece = [0; 4096];
        let count = socket.read(&mut piece).await.unwrap_or(0);
        if count == 0 {
            return;
        }
        read.extend_from_slice(&piece[..count]);
        if read[0] == 5 {
            return relay_socks(socket, target, seen).await;
        }
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break String::from_utf8_lossy(&read[..end]).into_owned();
        }
    };
    let is_tunnel = head.starts_with("CONNECT ");
    seen.lock().unwrap().push(head);
    let mut upstream = TcpStream::connect(target).await.unwrap();
    if is_tunnel {
        socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    } else {
        upstream.write_all(&read).await.unwrap();
    }
    drop(copy_bidirectional(&mut socket, &mut upstream).await);
}

/// RFC 1928 without authentication, for targets that are names; the greeting is read already.
async fn relay_socks(mut socket: TcpStream, target: SocketAddr, seen: Arc<Mutex<Vec<String>>>) {
    socket.write_all(&[5, 0]).await.unwrap();
    let mut request = [0; 5];
    socket.read_exact(&mut request).await.unwrap();
    assert_eq!(request[..4], [5, 1, 0, 3], "a connection to a name");
    let mut name = vec![0; request[4].into()];
    socket.read_exact(&mut name).await.unwrap();
    let port = socket.read_u16().await.unwrap();
    seen.lock().unwrap().push(format!("{}:{port}", String::from_utf8(name).unwrap()));
    socket.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
    let mut upstream = TcpStream::connect(target).await.unwrap();
    drop(copy_bidirectional(&mut socket, &mut upstream).await);
}

/// Gives out tokens `token-1`, `token-2` …, or what the test says.
#[derive(Clone)]
pub struct TokenEndpoint {
    address: SocketAddr,
    shared: Arc<Mutex<Endpoint>>,
    asked: watch::Sender<usize>,
}

struct Endpoint {
    requests: Vec<TokenRequest>,
    lasts: Duration,
    only_form: bool,
    failure: Option<(u16, String)>,
    given: usize,
}

/// One request for a token.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    pub authorization: String,
    pub body: String,
}

impl TokenEndpoint {
    /// Tokens say that they last so long.
    pub async fn start(lasts: Duration) -> TokenEndpoint {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint { requests: Vec::new(), lasts, only_form: false, failure: None, given: 0 };
        let endpoint = TokenEndpoint {
            address: listener.local_addr().unwrap(),
            shared: Arc::new(Mutex::new(endpoint)),
            asked: watch::Sender::new(0),
        };
        let router =
            axum::Router::new().route("/token", axum::routing::post(answer)).with_state(endpoint.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        endpoint
    }

    pub fn url(&self) -> String {
        format!("http://{}/token", self.address)
    }

    /// Takes id and secret in the form only.
    pub fn only_form(&self) {
        self.shared.lock().unwrap().only_form = true;
    }

    /// Answers like this from now on; `None` heals.
    pub fn fail(&self, failure: Option<(u16, &str)>) {
        self.shared.lock().unwrap().failure = failure.map(|(status, body)| (status, body.to_owned()));
    }

    pub fn requests(&self) -> Vec<TokenRequest> {
        self.shared.lock().unwrap().requests.clone()
    }

    /// Waits until so many requests in all have come.
    pub async fn wait_for(&self, count: usize) {
        let mut asked = self.asked.subscribe();
        let enough = asked.wait_for(|asked| *asked >= count);
        drop(tokio::time::timeout(PATIENCE, enough).await.expect("tokens are asked for"));
    }
}

async fn answer(
    State(endpoint): State<TokenEndpoint>,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, String) {
    let mut shared = endpoint.shared.lock().unwrap();
    let authorization = headers.get("authorization").map_or("", |value| value.to_str().unwrap()).to_owned();
    let refused = shared.only_form && !authorization.is_empty();
    shared.requests.push(TokenRequest { authorization, body });
    endpoint.asked.send_modify(|asked| *asked += 1);
    if let Some((status, body)) = &shared.failure {
        return (StatusCode::from_u16(*status).unwrap(), body.clone());
    }
    if refused {
        return (StatusCode::UNAUTHORIZED, r#"{"error":"invalid_client"}"#.to_owned());
    }
    shared.given += 1;
    let (number, lasts) = (shared.given, shared.lasts.as_secs());
    (
        StatusCode::OK,
        format!(r#"{{"access_token":"token-{number}","token_type":"bearer","expires_in":{lasts}}}"#),
    )
}
