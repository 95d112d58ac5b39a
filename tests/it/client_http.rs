//! The HTTP options of a client: who the agent says it is, whom it trusts, which way it goes.

use std::fs;
use std::path::Path;
use std::time::Duration;

use data_encoding::BASE64;

use crate::agent::{Agent, PATIENCE, configuration, file_job};
use crate::doubles::{Authority, Proxy, TlsFront, TokenEndpoint};
use crate::support::fake_loki::{FakeLoki, Fault, Limits};
use crate::writer::Writer;

/// Stands in for every password, token and key; whoever logs it fails its test.
const SECRET: &str = "hunter2";

/// A file being read, and the Loki its lines should reach.
struct Scene {
    directory: tempfile::TempDir,
    loki: FakeLoki,
    writer: Writer,
    written: usize,
}

impl Scene {
    fn new() -> Scene {
        let directory = tempfile::tempdir().unwrap();
        let writer = Writer::new(&directory.path().join("app.log"), "app");
        Scene { directory, loki: FakeLoki::start(Limits::any_time()), writer, written: 0 }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// Writes a file beside the log; gives its path.
    fn put(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    fn text(&self, url: &str, options: &str) -> String {
        configuration(self.directory.path(), &client(url, options), &file_job(&self.path("app.log")))
    }

    /// Starts an agent with one client that has these options, in flow style.
    fn start(&self, url: &str, options: &str) -> Agent {
        Agent::start(self.directory.path(), &self.text(url, options))
    }

    fn write(&mut self) {
        self.writer.lines(1);
        self.written += 1;
    }

    /// Waits until all that was written has arrived; gives the headers of the push that brought the last.
    async fn arrived(&self) -> axum::http::HeaderMap {
        self.loki.wait_for(|store| store.entries.len() == self.written, PATIENCE).await.unwrap();
        self.loki.requests().last().unwrap().headers.clone()
    }
}

fn client(url: &str, options: &str) -> String {
    format!(
        "- {{url: '{url}', batchwait: 50ms, backoff_config: {{min_period: 20ms, max_period: 200ms}}, {options}}}"
    )
}

/// Ends the agent; its whole log must be free of secrets.
fn end(agent: Agent) -> String {
    let (status, log) = agent.terminate();
    assert!(status.success(), "{log}");
    assert!(!log.contains(SECRET), "a secret is in the log:\n{log}");
    log
}

/// Runs an agent that cannot start; what it says, which must be free of secrets.
fn refusal(directory: &Path, text: &str) -> String {
    let file = directory.join("refused.yaml");
    fs::write(&file, text).unwrap();
    let (status, log) = Agent::spawn(&[&format!("-config.file={}", file.display())]).wait();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(!log.contains(SECRET), "a secret is in the log:\n{log}");
    log
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{user}:{password}").as_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_file_is_read_for_each_push() {
    let mut scene = Scene::new();
    let file = scene.put("password", "hunter2-one\n");
    let options = format!("basic_auth: {{username: me, password_file: '{file}'}}");
    let agent = scene.start(&scene.loki.url(), &options);
    scene.write();
    assert_eq!(scene.arrived().await["authorization"], basic("me", "hunter2-one"));
    scene.put("password", "hunter2-two");
    scene.write();
    assert_eq!(scene.arrived().await["authorization"], basic("me", "hunter2-two"));
    // Lines wait for a file that is away for a moment.
    fs::remove_file(&file).unwrap();
    scene.write();
    agent.wait_for_log("reason=credentials");
    scene.put("password", "hunter2-three");
    assert_eq!(scene.arrived().await["authorization"], basic("me", "hunter2-three"));
    let log = end(agent);
    assert!(log.contains(&format!("cannot read {file}")), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_say_who_one_is_reaches_loki() {
    let mut scene = Scene::new();
    let file = scene.put("token", "hunter2-file\n");
    let with_user = scene.loki.url().replace("http://", "http://me:hunter2%21@");
    let url = scene.loki.url();
    let table = [
        (&url, "bearer_token: hunter2".to_owned(), "Bearer hunter2".to_owned()),
        (&url, format!("bearer_token_file: '{file}'"), "Bearer hunter2-file".to_owned()),
        (&url, "authorization: {type: Token, credentials: hunter2}".to_owned(), "Token hunter2".to_owned()),
        (&url, format!("authorization: {{credentials_file: '{file}'}}"), "Bearer hunter2-file".to_owned()),
        (&with_user, String::new(), basic("me", "hunter2!")),
        (&with_user, "basic_auth: {username: other, password: hunter2}".to_owned(), basic("me", "hunter2!")),
        (&with_user, "headers: {Authorization: Own hunter2}".to_owned(), "Own hunter2".to_owned()),
    ];
    for (url, options, expected) in table {
        let agent = scene.start(url, &options);
        scene.write();
        assert_eq!(scene.arrived().await["authorization"], expected, "{options}");
        end(agent);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_added_and_those_of_the_push_itself_stay() {
    let mut scene = Scene::new();
    let file = scene.put("key", "hunter2-file\n");
    let options = format!(
        "tenant_id: team, headers: {{X-Api-Key: hunter2, content-type: text/plain, USER-AGENT: me, x-scope-orgid: no}}, \
         http_headers: {{X-More: {{values: [a, b], secrets: [hunter2], files: ['{file}']}}}}"
    );
    let agent = scene.start(&scene.loki.url(), &options);
    scene.write();
    let headers = scene.arrived().await;
    scene.write();
    scene.arrived().await;
    assert_eq!(headers["x-api-key"], SECRET);
    let more: Vec<_> = headers.get_all("x-more").iter().collect();
    assert_eq!(more, ["a", "b", SECRET, "hunter2-file"]);
    assert_eq!(headers["content-type"], "application/x-protobuf");
    assert_eq!(headers.get_all("x-scope-orgid").iter().collect::<Vec<_>>(), ["team"]);
    assert!(headers["user-agent"].to_str().unwrap().starts_with("tailwater/"));
    scene.loki.assert_no_violations();
    let log = end(agent);
    assert_eq!(log.matches("header is not sent").count(), 3, "once for each, at start:\n{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_used_while_it_lasts_and_until_loki_refuses_it() {
    let mut scene = Scene::new();
    let endpoint = TokenEndpoint::start(Duration::from_secs(3600)).await;
    let options = format!(
        "oauth2: {{client_id: 'my id', client_secret: hunter2, token_url: '{}', scopes: [push, read], \
         endpoint_params: {{audience: 'a&b'}}}}",
        endpoint.url()
    );
    let agent = scene.start(&scene.loki.url(), &options);
    for _ in 0..2 {
        scene.write();
        assert_eq!(scene.arrived().await["authorization"], "Bearer token-1");
    }
    scene.loki.answer_next(1, Fault::Status(401, String::new()));
    scene.write();
    assert_eq!(scene.arrived().await["authorization"], "Bearer token-2");
    end(agent);
    let requests = endpoint.requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
    assert_eq!(requests[0].authorization, basic("my+id", SECRET));
    assert_eq!(requests[0].body, "audience=a%26b&grant_type=client_credentials&scope=push+read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_about_to_expire_is_renewed() {
    let mut scene = Scene::new();
    // Less than the margin: expired as soon as it is there.
    let endpoint = TokenEndpoint::start(Duration::from_secs(5)).await;
    let options =
        format!("oauth2: {{client_id: me, client_secret: hunter2, token_url: '{}'}}", endpoint.url());
    let agent = scene.start(&scene.loki.url(), &options);
    for number in 1..=3 {
        scene.write();
        assert_eq!(scene.arrived().await["authorization"], format!("Bearer token-{number}"));
    }
    end(agent);
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_wait_for_a_token_endpoint_that_fails() {
    let mut scene = Scene::new();
    let endpoint = TokenEndpoint::start(Duration::from_secs(3600)).await;
    endpoint.fail(Some((500, r#"{"error":"server_error","error_description":"what is hunter2?"}"#)));
    let file = scene.put("secret", SECRET);
    let options =
        format!("oauth2: {{client_id: me, client_secret_file: '{file}', token_url: '{}'}}", endpoint.url());
    let agent = scene.start(&scene.loki.url(), &options);
    scene.write();
    agent.wait_for_log("reason=token");
    endpoint.wait_for(3).await;
    assert_eq!(scene.loki.requests().len(), 0, "nothing is pushed without a token");
    endpoint.fail(None);
    assert_eq!(scene.arrived().await["authorization"], "Bearer token-1");
    let log = end(agent);
    assert!(log.contains("status 500: server_error, what is ***?"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_wants_the_secret_in_the_form_gets_it_there() {
    let mut scene = Scene::new();
    let endpoint = TokenEndpoint::start(Duration::from_secs(5)).await;
    endpoint.only_form();
    let options =
        format!("oauth2: {{client_id: me, client_secret: hunter2, token_url: '{}'}}", endpoint.url());
    let agent = scene.start(&scene.loki.url(), &options);
    for _ in 0..2 {
        scene.write();
        scene.arrived().await;
    }
    end(agent);
    let requests = endpoint.requests();
    let by_header: Vec<bool> = requests.iter().map(|request| !request.authorization.is_empty()).collect();
    assert_eq!(by_header, [true, false, false], "what worked is remembered");
    assert_eq!(requests[1].body, "grant_type=client_credentials&client_id=me&client_secret=hunter2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_and_a_client_of_the_same_authority_trust_each_other() {
    let mut scene = Scene::new();
    let authority = Authority::new("ours");
    let front = TlsFront::start(scene.loki.address(), &authority.issue("127.0.0.1"), Some(&authority)).await;
    let me = authority.issue("agent");
    let (ca, cert, key) = (
        scene.put("ca.pem", &authority.pem()),
        scene.put("cert.pem", &me.cert),
        scene.put("key.pem", &me.key),
    );
    let options = format!("tls_config: {{ca_file: '{ca}', cert_file: '{cert}', key_file: '{key}'}}");
    let agent = scene.start(&front.url(), &options);
    scene.write();
    scene.arrived().await;
    end(agent);
    // The same, written out.
    let inline = |pem: &str| serde_json::to_string(pem).unwrap();
    let options = format!(
        "tls_config: {{ca: {}, cert: {}, key: {}, min_version: TLS13}}",
        inline(&authority.pem()),
        inline(&me.cert),
        inline(&me.key)
    );
    let agent = scene.start(&front.url(), &options);
    scene.write();
    scene.arrived().await;
    let log = end(agent);
    assert!(!log.contains("PRIVATE KEY"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_a_strange_authority_gets_nothing_until_its_authority_is_named() {
    let mut scene = Scene::new();
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let mut front = TlsFront::start(scene.loki.address(), &theirs.issue("127.0.0.1"), None).await;
    let ca = scene.put("ca.pem", &ours.pem());
    let agent = scene.start(&front.url(), &format!("tls_config: {{ca_file: '{ca}'}}"));
    scene.write();
    agent.wait_for_log("reason=connection");
    agent.wait_for_log("invalid peer certificate");
    front.wait_for_refusals(3).await;
    assert_eq!(scene.loki.requests().len(), 0);
    // A renewal is seldom one step: half a file changes nothing.
    scene.put("ca.pem", "-----BEGIN CERTIFICATE-----\n");
    agent.wait_for_log("cannot be used, going on with those before");
    scene.put("ca.pem", &theirs.pem());
    scene.arrived().await;
    let log = end(agent);
    assert_eq!(log.matches("certificates have changed on disk and are in use now").count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_client_certificate_is_picked_up() {
    let mut scene = Scene::new();
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let server = old.issue("127.0.0.1");
    let mut front = TlsFront::start(scene.loki.address(), &server, Some(&old)).await;
    let (ca, me) = (scene.put("ca.pem", &old.pem()), old.issue("agent"));
    let (cert, key) = (scene.put("cert.pem", &me.cert), scene.put("key.pem", &me.key));
    let options = format!("tls_config: {{ca_file: '{ca}', cert_file: '{cert}', key_file: '{key}'}}");
    let agent = scene.start(&front.url(), &options);
    scene.write();
    scene.arrived().await;
    // From here on the server takes clients of the new authority only; the open connection is cut.
    front.change(&server, Some(&new));
    scene.loki.stop().await;
    scene.loki.restart_on_same_port().await;
    scene.write();
    front.wait_for_refusals(2).await;
    let me = new.issue("agent");
    scene.put("cert.pem", &me.cert);
    scene.put("key.pem", &me.key);
    scene.arrived().await;
    end(agent);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_must_have_the_name_that_is_configured() {
    let mut scene = Scene::new();
    let authority = Authority::new("ours");
    let mut front = TlsFront::start(scene.loki.address(), &authority.issue("loki.internal"), None).await;
    let ca = scene.put("ca.pem", &authority.pem());
    scene.write();
    for wrong in ["", ", server_name: other.internal"] {
        let agent = scene.start(&front.url(), &format!("tls_config: {{ca_file: '{ca}'{wrong}}}"));
        agent.wait_for_log("not valid for name");
        agent.kill();
    }
    front.wait_for_refusals(2).await;
    assert_eq!(scene.loki.requests().len(), 0);
    for right in
        [format!("ca_file: '{ca}', server_name: loki.internal"), "insecure_skip_verify: true".to_owned()]
    {
        let agent = scene.start(&front.url(), &format!("tls_config: {{{right}}}"));
        scene.arrived().await;
        end(agent);
        scene.write();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_are_not_there_are_said_at_start() {
    let scene = Scene::new();
    let url = "https://127.0.0.1:1/push";
    let missing = scene.path("none.pem");
    let log =
        refusal(scene.directory.path(), &scene.text(url, &format!("tls_config: {{ca_file: '{missing}'}}")));
    assert!(log.contains("`ca_file`") && log.contains(&missing), "{log}");
    let (cert, key) = (scene.put("cert.pem", "hunter2"), scene.put("key.pem", "hunter2"));
    let options = format!("tls_config: {{cert_file: '{cert}', key_file: '{key}'}}");
    let log = refusal(scene.directory.path(), &scene.text(url, &options));
    assert!(log.contains("`cert_file`") && log.contains(&cert), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_go_by_way_of_the_proxy() {
    let mut scene = Scene::new();
    let proxy = Proxy::start(scene.loki.address()).await;
    let options = format!(
        "proxy_url: 'http://me:hunter2@{}', proxy_connect_header: {{X-Proxy: [hunter2]}}",
        proxy.address
    );
    // Nobody but the proxy knows this name.
    let agent = scene.start("http://loki.invalid:3100/loki/api/v1/push", &options);
    scene.write();
    let headers = scene.arrived().await;
    end(agent);
    let head = proxy.heads().remove(0);
    assert!(head.starts_with("POST http://loki.invalid:3100/loki/api/v1/push HTTP/1.1"), "{head}");
    assert!(head.contains(&basic("me", SECRET)), "{head}");
    assert!(!headers.contains_key("x-proxy"), "headers for the proxy are not for Loki");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_down_is_waited_for_and_its_password_is_not_said() {
    let mut scene = Scene::new();
    let agent = scene.start(&scene.loki.url(), "proxy_url: 'http://me:hunter2@127.0.0.1:1'");
    scene.write();
    agent.wait_for_log("reason=connection");
    assert_eq!(scene.loki.requests().len(), 0, "there is no way around the proxy");
    end(agent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socks_proxy_is_told_the_name() {
    let mut scene = Scene::new();
    let proxy = Proxy::start(scene.loki.address()).await;
    let options = format!("proxy_url: 'socks5://{}'", proxy.address);
    let agent = scene.start("http://loki.invalid:3100/loki/api/v1/push", &options);
    scene.write();
    scene.arrived().await;
    end(agent);
    assert_eq!(proxy.heads(), ["loki.invalid:3100"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_goes_through_the_proxy_in_a_tunnel() {
    let mut scene = Scene::new();
    let authority = Authority::new("ours");
    let front = TlsFront::start(scene.loki.address(), &authority.issue("loki.invalid"), None).await;
    let address = front.url()["https://".len()..].split('/').next().unwrap().parse().unwrap();
    let proxy = Proxy::start(address).await;
    let ca = scene.put("ca.pem", &authority.pem());
    let options = format!(
        "proxy_url: 'http://{}', proxy_connect_header: {{X-Proxy: [hunter2]}}, tls_config: {{ca_file: '{ca}'}}",
        proxy.address
    );
    let agent = scene.start("https://loki.invalid/loki/api/v1/push", &options);
    scene.write();
    let headers = scene.arrived().await;
    end(agent);
    let head = proxy.heads().remove(0).to_ascii_lowercase();
    assert!(head.starts_with("connect loki.invalid:443 ") && head.contains("x-proxy: hunter2"), "{head}");
    assert!(!headers.contains_key("x-proxy"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_proxy_names_is_reached_directly() {
    let mut scene = Scene::new();
    let proxy = Proxy::start(scene.loki.address()).await;
    let options = format!("proxy_url: 'http://{}', no_proxy: '10.0.0.0/8,127.0.0.1'", proxy.address);
    let agent = scene.start(&scene.loki.url(), &options);
    scene.write();
    scene.arrived().await;
    end(agent);
    assert_eq!(proxy.heads().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_names_a_proxy_only_where_the_configuration_asks_it() {
    let mut scene = Scene::new();
    let proxy = Proxy::start(scene.loki.address()).await;
    let address = proxy.address.to_string();
    let variables = [("HTTP_PROXY", address.as_str()), ("NO_PROXY", "elsewhere")];
    let file = scene
        .put("c.yaml", &scene.text("http://loki.invalid/loki/api/v1/push", "proxy_from_environment: true"));
    let agent = Agent::spawn_with(&[&format!("-config.file={file}")], &variables);
    scene.write();
    scene.arrived().await;
    assert_eq!(proxy.heads().len(), 1);
    end(agent);
    let file = scene.put("c.yaml", &scene.text("http://loki.invalid/loki/api/v1/push", ""));
    let agent = Agent::spawn_with(&[&format!("-config.file={file}")], &variables);
    scene.write();
    agent.wait_for_log("reason=connection");
    assert_eq!(proxy.heads().len(), 1);
    agent.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_that_repeat_the_push_are_followed_unless_switched_off() {
    let mut scene = Scene::new();
    let target = scene.loki.url();
    let router = axum::Router::new().route(
        "/push",
        axum::routing::post(move || async move { axum::response::Redirect::temporary(&target) }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/push", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let agent = scene.start(&url, "follow_redirects: false");
    scene.write();
    agent.wait_for_log("unexpected_status");
    assert_eq!(scene.loki.requests().len(), 0);
    end(agent);
    let agent = scene.start(&url, "enable_http2: true");
    scene.arrived().await;
    end(agent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_above_the_rate_is_dropped_where_that_is_wanted() {
    let mut scene = Scene::new();
    scene.loki.answer_next(1, Fault::RateLimit429 { retry_after: None });
    let agent = scene.start(&scene.loki.url(), "drop_rate_limited_batches: true");
    scene.writer.lines(1);
    agent.wait_for_log("Loki refused entries for good");
    scene.write();
    scene.arrived().await;
    let refused = format!(
        "tailwater_refused_entries_total{{client=\"{}\",reason=\"rate_limited\"}}",
        scene.loki.address()
    );
    assert_eq!(agent.metric(&refused), 1.0);
    assert_eq!(agent.metric_sum("tailwater_push_retries_total"), 0.0);
    end(agent);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_flag_for_dropping_is_for_the_client_of_the_flags() {
    let mut scene = Scene::new();
    scene.loki.answer_next(1, Fault::RateLimit429 { retry_after: None });
    let text = configuration(scene.directory.path(), " []", &file_job(&scene.path("app.log")));
    let file = scene.put("c.yaml", &text.replace("clients:\n", "clients:"));
    scene.writer.lines(1);
    let agent = Agent::spawn(&[
        &format!("-config.file={file}"),
        &format!("-client.url={}", scene.loki.url()),
        "-client.drop-rate-limited-batches",
    ]);
    agent.wait_for_log("Loki refused entries for good");
    end(agent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_there_twice_is_refused_at_its_place() {
    let scene = Scene::new();
    let clients = |first: &str, second: &str| {
        let job = file_job(&scene.path("app.log"));
        configuration(scene.directory.path(), &format!("- {first}\n- {second}"), &job)
    };
    let (plain, same) = ("{url: 'http://a/push'}", "{url: 'http://a:80/push', batchwait: 1s}");
    let log = refusal(scene.directory.path(), &clients(plain, same));
    assert!(log.contains("refused.yaml:6:3: this client is the same as one before it"), "{log}");
    let (one, two) = ("{name: x, url: 'http://a/push'}", "{name: x, url: 'http://b/push'}");
    let log = refusal(scene.directory.path(), &clients(one, two));
    assert!(log.contains("refused.yaml:6:10: there are two clients called `x`"), "{log}");
    // Two that differ are told apart, two that are named may be the same.
    let (other, another) = ("{url: 'http://127.0.0.1:1/a'}", "{url: 'http://127.0.0.1:1/b'}");
    Agent::start(scene.directory.path(), &clients(other, another)).kill();
    let (one, two) = ("{name: x, url: 'http://127.0.0.1:1/a'}", "{name: y, url: 'http://127.0.0.1:1/a'}");
    Agent::start(scene.directory.path(), &clients(one, two)).kill();
}

#[test]
fn clashing_options_are_refused_at_their_place() {
    let directory = tempfile::tempdir().unwrap();
    let text = "clients:\n- url: http://loki/push\n  basic_auth: {username: me, password: hunter2}\n  bearer_token: hunter2\n";
    let log = refusal(directory.path(), text);
    assert!(log.contains("refused.yaml:4:3: `bearer_token` stands beside `basic_auth`"), "{log}");
    let text = "clients:\n- {url: 'http://loki/push', bearer_token: hunter2, proxy_from_environment: true, no_proxy: a}\n";
    let log = refusal(directory.path(), text);
    assert!(log.contains("refused.yaml:2:82: `no_proxy` cannot stand beside"), "{log}");
}
