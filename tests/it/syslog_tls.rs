//! Syslog over TLS: who is let in, and what is not a handshake.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::agent::{Agent, PATIENCE, client, configuration};
use crate::doubles::{Authority, Identity, client_config};
use crate::support::fake_loki::{FakeLoki, Limits};
use crate::syslog::listener;

/// A listener whose certificate `home` has issued, and which asks for one of `clients` where that is given.
pub fn start(
    directory: &std::path::Path,
    loki: &FakeLoki,
    home: &Authority,
    clients: Option<&Authority>,
) -> (Agent, SocketAddr) {
    let identity = home.issue("127.0.0.1");
    let path = |name: &str| directory.join(name).display().to_string();
    fs::write(path("cert.pem"), &identity.cert).unwrap();
    fs::write(path("key.pem"), &identity.key).unwrap();
    let mut tls = format!("cert_file: '{}', key_file: '{}'", path("cert.pem"), path("key.pem"));
    if let Some(clients) = clients {
        fs::write(path("ca.pem"), clients.pem()).unwrap();
        tls += &format!(", ca_file: '{}'", path("ca.pem"));
    }
    let block = format!("    tls_config: {{{tls}}}\n");
    let text = configuration(directory, &client(&loki.url()), &listener(0, &block, ""));
    let agent = Agent::start(directory, &text);
    let address = agent.listening("net");
    (agent, address)
}

/// Says something as a client that trusts `home` and shows `identity`, until the other side has closed.
async fn say(
    address: SocketAddr,
    home: &Authority,
    identity: Option<&Identity>,
    text: &str,
) -> std::io::Result<()> {
    let config = client_config(home, identity, &[&TLS13, &TLS12]);
    let exchange = async {
        let socket = TcpStream::connect(address).await?;
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(ServerName::from(address.ip()), socket).await?;
        stream.write_all(text.as_bytes()).await?;
        stream.shutdown().await?;
        // Who is not let in learns it here, in TLS 1.3.
        stream.read_to_end(&mut Vec::new()).await.map(drop)
    };
    timeout(PATIENCE, exchange).await.expect("an end")
}

const ONE: &str = "<165>1 - - - - - - one\n";

#[tokio::test(flavor = "multi_thread")]
async fn b_sys_3_messages_come_over_tls() {
    let (directory, loki, home) =
        (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()), Authority::new("home"));
    let (agent, address) = start(directory.path(), &loki, &home, None);
    // These have 10 s for their handshake, and hold nobody up.
    let _silent = TcpStream::connect(address).await.unwrap();
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(ONE.as_bytes()).await.unwrap();
    say(address, &home, None, ONE).await.unwrap();
    loki.wait_for(|store| store.entries.len() == 1, PATIENCE).await.unwrap();
    let ended = "tailwater_connections_ended_total{reason=\"tls\",source=\"syslog\"}";
    drop(timeout(PATIENCE, plain.read_to_end(&mut Vec::new())).await.expect("it is closed"));
    assert_eq!(agent.metric(ended), 1.0);
    agent.assert_nothing_is_missing();
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn b_sys_3_only_who_shows_a_good_certificate_is_let_in() {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    let (home, clients) = (Authority::new("home"), Authority::new("clients"));
    let (agent, address) = start(directory.path(), &loki, &home, Some(&clients));
    assert!(say(address, &home, None, ONE).await.is_err(), "without a certificate");
    assert!(say(address, &home, Some(&home.issue("sender")), ONE).await.is_err(), "of another authority");
    say(address, &home, Some(&clients.issue("sender")), ONE).await.unwrap();
    loki.wait_for(|store| store.entries.len() == 1, PATIENCE).await.unwrap();
    assert_eq!(agent.metric("tailwater_connections_ended_total{reason=\"tls\",source=\"syslog\"}"), 2.0);
    agent.assert_nothing_is_missing();
    assert_eq!(loki.entries().len(), 1);
    agent.terminate();
}
