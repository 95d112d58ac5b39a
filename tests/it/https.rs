//! The agent's pages over HTTPS, and its log in both formats.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::agent::{Agent, PATIENCE};
use crate::doubles::{Authority, Identity, client_config};

static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

/// A directory with the server's certificate in it.
struct Scene {
    directory: tempfile::TempDir,
    authority: Authority,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene { directory: tempfile::tempdir().unwrap(), authority: Authority::new("home") };
        scene.put("ca.pem", &scene.authority.pem());
        scene.show(&scene.authority.issue("127.0.0.1"));
        scene
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.directory.path().join(name), text).unwrap();
    }

    /// Puts the certificate in place that the server is to show.
    fn show(&self, identity: &Identity) {
        self.put("key.pem", &identity.key);
        self.put("cert.pem", &identity.cert);
    }

    fn text(&self, server: &str, tls: &str) -> String {
        let path = self.directory.path().display();
        format!(
            "server: {{http_listen_address: 127.0.0.1, http_listen_port: 0, {server}}}\n\
             positions: {{filename: '{path}/positions.yaml'}}\n"
        )
        .replace("$TLS", &format!("{{cert_file: '{path}/cert.pem', key_file: '{path}/key.pem', {tls}}}"))
        .replace("DIR", &path.to_string())
    }

    fn start(&self, server: &str, tls: &str) -> Agent {
        Agent::start(self.directory.path(), &self.text(server, tls))
    }
}

/// Asks for `/ready` as a client that trusts `authority`, and shows `identity`.
async fn ready(
    address: SocketAddr,
    authority: &Authority,
    identity: Option<&Identity>,
    versions: &[&'static SupportedProtocolVersion],
) -> std::io::Result<String> {
    let config = client_config(authority, identity, versions);
    let name = ServerName::from(address.ip());
    let exchange = async {
        let socket = TcpStream::connect(address).await?;
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await?;
        stream.write_all(b"GET /ready HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    timeout(PATIENCE, exchange).await.expect("an answer, or a closed connection")
}

fn refusal(directory: &Path, text: &str, arguments: &[&str]) -> String {
    let file = directory.join("refused.yaml");
    fs::write(&file, text).unwrap();
    let file = format!("-config.file={}", file.display());
    let (status, log) = Agent::spawn(&[&[file.as_str()], arguments].concat()).wait();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(!log.contains("PRIVATE"), "{log}");
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_served_over_https_and_who_does_not_speak_it_is_not_kept() {
    let scene = Scene::new();
    let agent = scene.start("http_server_read_timeout: 5s, http_tls_config: $TLS", "");
    let address = agent.address();
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET /ready HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
    let answer = ready(address, &scene.authority, None, &BOTH).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ready\n"), "{answer}");
    let mut rest = Vec::new();
    // Closed, with a word about TLS or without.
    drop(timeout(PATIENCE, plain.read_to_end(&mut rest)).await.expect("the connection is closed"));
    assert!(!rest.starts_with(b"HTTP"));
    // A handshake has the time of a request's head.
    let read = timeout(PATIENCE, silent[0].read_to_end(&mut rest)).await;
    drop(read.expect("a silent connection is closed"));
    assert!(agent.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_show_what_the_policy_wants_to_see() {
    let scene = Scene::new();
    let strange = Authority::new("strange");
    let (ours, theirs) = (scene.authority.issue("client"), strange.issue("client"));
    let ca = "client_ca_file: 'DIR/ca.pem'";
    // Who gets an answer: a client with nothing, one of a strange authority, one of ours.
    let cases = [
        ("NoClientCert", "", [true, true, true]),
        ("RequestClientCert", "", [true, true, true]),
        ("RequireAnyClientCert", "", [false, true, true]),
        ("VerifyClientCertIfGiven", ca, [true, false, true]),
        ("RequireAndVerifyClientCert", ca, [false, false, true]),
    ];
    for (policy, ca, wanted) in cases {
        let agent = scene.start("http_tls_config: $TLS", &format!("client_auth_type: {policy}, {ca}"));
        let mut answered = Vec::new();
        for identity in [None, Some(&theirs), Some(&ours)] {
            for version in BOTH {
                let answer = ready(agent.address(), &scene.authority, identity, &[version]).await;
                answered.push(answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")));
            }
        }
        let wanted: Vec<bool> = wanted.into_iter().flat_map(|wanted| [wanted; 2]).collect();
        assert_eq!(answered, wanted, "{policy}");
        assert!(agent.terminate().0.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_versions_that_are_wanted_are_spoken() {
    let scene = Scene::new();
    for (version, old_is_spoken) in [("VersionTLS13", false), ("VersionTLS12", true), ("VersionTLS10", true)]
    {
        let agent = scene.start(&format!("tls_min_version: {version}, http_tls_config: $TLS"), "");
        let spoken = |answer: std::io::Result<String>| answer.is_ok();
        assert_eq!(
            spoken(ready(agent.address(), &scene.authority, None, &[&TLS12]).await),
            old_is_spoken,
            "{version}"
        );
        assert!(spoken(ready(agent.address(), &scene.authority, None, &[&TLS13]).await), "{version}");
        let log = agent.terminate().1;
        assert_eq!(log.contains("versions of TLS before 1.2"), version == "VersionTLS10", "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_shown_and_a_broken_one_is_not() {
    let scene = Scene::new();
    let agent = scene.start("http_tls_config: $TLS", "");
    ready(agent.address(), &scene.authority, None, &BOTH).await.unwrap();
    scene.put("cert.pem", "half of a certif");
    ready(agent.address(), &scene.authority, None, &BOTH).await.unwrap();
    agent.wait_for_log("cannot be used, going on with those before");
    let renewed = Authority::new("renewed");
    scene.show(&renewed.issue("127.0.0.1"));
    ready(agent.address(), &renewed, None, &BOTH).await.unwrap();
    agent.wait_for_log("have changed on disk and are in use now");
    assert!(agent.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_and_inline_texts_say_the_same_as_files() {
    let scene = Scene::new();
    let path = scene.directory.path().display().to_string();
    let file = scene.directory.path().join("plain.yaml");
    fs::write(&file, scene.text("", "")).unwrap();
    let agent = Agent::spawn(&[
        &format!("-config.file={}", file.display()),
        &format!("-server.http-tls-cert-path={path}/cert.pem"),
        &format!("-server.http-tls-key-path={path}/key.pem"),
        &format!("-server.http-tls-ca-path={path}/ca.pem"),
        "-server.http-tls-client-auth=RequireAndVerifyClientCert",
        "-server.tls-min-version=VersionTLS13",
        "-server.tls-cipher-suites=TLS_AES_128_GCM_SHA256",
    ]);
    agent.wait_for_log("msg=ready");
    let client = scene.authority.issue("client");
    ready(agent.address(), &scene.authority, Some(&client), &BOTH).await.unwrap();
    assert!(ready(agent.address(), &scene.authority, None, &BOTH).await.is_err());
    assert!(agent.terminate().0.success());
    let identity = scene.authority.issue("127.0.0.1");
    let indented = |pem: &str| pem.replace('\n', "\n      ");
    let text = format!(
        "server:\n  http_listen_address: 127.0.0.1\n  http_listen_port: 0\n  http_tls_config:\n    cert: |\n      {}\n    key: |\n      {}\n\
         positions: {{filename: '{path}/positions.yaml'}}\n",
        indented(&identity.cert),
        indented(&identity.key)
    );
    let agent = Agent::start(scene.directory.path(), &text);
    ready(agent.address(), &scene.authority, None, &BOTH).await.unwrap();
    assert!(agent.terminate().0.success());
}

#[test]
fn what_cannot_be_used_is_said_at_start_with_key_and_file() {
    let scene = Scene::new();
    scene.put("other.pem", &scene.authority.issue("other").key);
    scene.put("broken.pem", "-----BEGIN PRIVATE KEY-----\n");
    let cases = [
        (
            "{cert_file: 'DIR/none.pem', key_file: 'DIR/key.pem'}",
            "`cert_file` (DIR/none.pem) cannot read DIR/none.pem: No such file",
        ),
        (
            "{cert_file: 'DIR/cert.pem', key_file: 'DIR/none.pem'}",
            "`key_file` (DIR/none.pem) cannot read DIR/none.pem: No such file",
        ),
        (
            "{cert_file: 'DIR/broken.pem', key_file: 'DIR/key.pem'}",
            "`cert_file` (DIR/broken.pem) holds no certificate in PEM form",
        ),
        (
            "{cert_file: 'DIR/cert.pem', key_file: 'DIR/broken.pem'}",
            "`key_file` (DIR/broken.pem) holds no private key in PEM form",
        ),
        (
            "{cert_file: 'DIR/cert.pem', key_file: 'DIR/other.pem'}",
            "`cert_file` (DIR/cert.pem) does not go with its key",
        ),
        ("{cert_file: 'DIR/cert.pem'}", "`cert_file` needs the key of this certificate"),
        ("{key_file: 'DIR/key.pem'}", "`key_file` needs the certificate of this key"),
        ("{client_auth_type: RequestClientCert}", "by a server without one"),
        ("{cert: x, cert_file: 'DIR/cert.pem'}", "`cert` and `cert_file` say the same"),
    ];
    for (block, message) in cases {
        let text = scene.text(&format!("http_tls_config: {block}"), "");
        let log = refusal(scene.directory.path(), &text, &[]);
        let message = message.replace("DIR", &scene.directory.path().display().to_string());
        assert!(log.contains("refused.yaml:1:") && log.contains(&message), "{log}\nwanted {message}");
    }
    let cases = [
        ("client_ca_file: 'DIR/ca.pem'", "`client_ca_file` is of no use"),
        ("client_auth_type: VerifyClientCertIfGiven", "`VerifyClientCertIfGiven` needs authorities"),
        ("client_auth_type: Maybe", "unknown policy `Maybe`"),
        (
            "client_auth_type: RequireAndVerifyClientCert, client_ca_file: 'DIR/key.pem'",
            "/key.pem) holds no certificate",
        ),
    ];
    for (options, message) in cases {
        let log = refusal(scene.directory.path(), &scene.text("http_tls_config: $TLS", options), &[]);
        assert!(log.contains("refused.yaml:1:") && log.contains(message), "{log}\nwanted {message}");
    }
    let log = refusal(scene.directory.path(), "", &["-server.http-tls-cert-path=/none.pem"]);
    assert!(log.contains("on the command line: `cert_file` needs the key"), "{log}");
}

#[test]
fn the_log_is_written_in_the_format_that_is_wanted() {
    let scene = Scene::new();
    let agent = Agent::start(scene.directory.path(), &scene.text("", ""));
    let log = agent.terminate().1;
    for line in log.lines() {
        let (time, rest) = line.split_once(" level=").unwrap();
        assert!(
            time.starts_with("ts=2")
                && time.ends_with('Z')
                && time.len() == "ts=2026-11-23T14:44:03.893Z".len()
        );
        assert!(
            rest.split_once(" msg=").is_some_and(|(level, _)| matches!(level, "info" | "warn")),
            "{line}"
        );
    }
    let file = scene.directory.path().join("json.yaml");
    for (text, arguments) in
        [(scene.text("log_format: json", ""), &[][..]), (scene.text("", ""), &["-log.format=json"])]
    {
        fs::write(&file, text).unwrap();
        let file = format!("-config.file={}", file.display());
        let agent = Agent::spawn(&[&[file.as_str()], arguments].concat());
        agent.wait_for_log("\"msg\":\"ready\"");
        let log = agent.terminate().1;
        for line in log.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(line["ts"].is_string() && line["level"].is_string() && line["msg"].is_string(), "{line}");
        }
    }
}
