//! What the options of an HTTP client are read as, and what is refused where.

use std::time::Duration;

use super::http_client;
use crate::agent::settings::clients::CLIENT;
use crate::agent::settings::http_client::pusher_headers;
use crate::config::parse_yaml;
use crate::http::{Auth, Credential, Proxy, Settings, Versions};

fn decode(text: &str) -> Result<Settings, String> {
    let node = parse_yaml(text).unwrap();
    let block = node.block(&CLIENT);
    let settings = block.and_then(|block| http_client(&node, &block, None, Duration::from_secs(10)));
    settings.map_err(|error| error.render("f", text))
}

/// The first line of what is said.
fn refusal(text: &str) -> String {
    decode(text).expect_err(text).lines().next().unwrap().to_owned()
}

#[test]
fn nothing_given_is_the_default() {
    let settings = decode("enable_http2: false").unwrap();
    assert_eq!(settings.auth, Auth::None);
    assert_eq!(settings.connection.proxy, Proxy::Direct);
    assert!(settings.connection.follow_redirects && !settings.connection.tls.insecure_skip_verify);
}

#[test]
fn a_client_proves_who_it_is_in_one_way() {
    let ways = [
        ("basic_auth", "basic_auth: {username: u}"),
        ("authorization", "authorization: {credentials: c}"),
        ("oauth2", "oauth2: {client_id: i, token_url: 'http://t/'}"),
        ("bearer_token", "bearer_token: t"),
        ("bearer_token_file", "bearer_token_file: /t"),
    ];
    for (name, text) in ways {
        assert_ne!(decode(text).unwrap().auth, Auth::None);
        for (other, other_text) in ways.iter().filter(|(other, _)| *other != name) {
            assert_eq!(
                refusal(&format!("{text}\n{other_text}\n")),
                format!("f:2:1: `{other}` stands beside `{name}`: a client proves who it is in one way")
            );
        }
    }
}

#[test]
fn empty_texts_are_the_same_as_none() {
    let settings =
        decode("bearer_token: ''\nbasic_auth: {username: u, username_file: '', password: ''}\n").unwrap();
    let Auth::Basic { username: Some(Credential::Inline(username)), password: None } = &settings.auth else {
        panic!("{settings:?}")
    };
    assert_eq!(username.reveal(), "u");
    assert_eq!(decode("proxy_url: ''\nno_proxy: ''").unwrap().connection.proxy, Proxy::Direct);
}

#[test]
fn what_prometheus_refuses_is_refused_where_it_stands() {
    let table = [
        (
            "basic_auth:\n  password: a\n  password_file: b",
            "f:3:3: `password` and `password_file` say the same: only one of them can be given",
        ),
        (
            "basic_auth:\n  username: a\n  username_file: b",
            "f:3:3: `username` and `username_file` say the same: only one of them can be given",
        ),
        ("basic_auth:\n  user: a", "f:2:3: unknown key `user`"),
        ("authorization: {type: bAsic}", "f:1:23: the type `basic` has a block of its own"),
        (
            "authorization: {credentials: a, credentials_file: b}",
            "f:1:33: `credentials` and `credentials_file` say the same: only one of them can be given",
        ),
        ("oauth2: {token_url: 'http://t/'}", "f:1:9: `client_id` is required here"),
        ("oauth2: {client_id: a}", "f:1:9: `token_url` is required here"),
        ("oauth2: {client_id: a, token_url: ''}", "f:1:24: `token_url` is empty"),
        ("oauth2: {client_id: a, token_url: 't'}", "f:1:35: `token_url` is no http:// or https:// address"),
        ("oauth2: {client_id: a, token_url: 'http://me:pw@t'}", "f:1:35: `token_url` holds a user"),
        (
            "oauth2: {client_id: a, token_url: 'http://t', iss: x}",
            "f:1:47: `iss` is an option of Promtail that this version does not support yet",
        ),
        (
            "oauth2: {client_id: a, token_url: 'http://t', scopes: [x], endpoint_params: {scope: y}}",
            "f:1:78: `scope` is already said by `scopes`",
        ),
        (
            "tls_config: {ca: a, ca_file: b}",
            "f:1:21: `ca` and `ca_file` say the same: only one of them can be given",
        ),
        ("tls_config: {cert_file: a}", "f:1:14: `cert_file` needs the key of this certificate"),
        ("tls_config: {key: a}", "f:1:14: `key` needs the certificate of this key"),
        ("tls_config: {min_version: TLS9}", "f:1:27: unknown TLS version"),
        (
            "tls_config: {max_version: TLS11}",
            "f:1:27: TLS 1.2 and 1.3 are the versions spoken here, the older ones are broken",
        ),
        (
            "tls_config: {min_version: TLS13, max_version: TLS12}",
            "f:1:47: `max_version` is below `min_version`",
        ),
        ("tls_config: {server_name: 'a b'}", "f:1:27: this is no name a certificate could have"),
        ("proxy_url: 'ftp://p'", "f:1:1: `proxy_url` is no address of a proxy"),
        (
            "proxy_from_environment: true\nproxy_url: 'http://p'",
            "f:2:1: `proxy_url` cannot stand beside `proxy_from_environment`",
        ),
        (
            "proxy_from_environment: true\nno_proxy: a",
            "f:2:1: `no_proxy` cannot stand beside `proxy_from_environment`, which has its own",
        ),
        ("no_proxy: a", "f:1:1: `no_proxy` needs a `proxy_url`"),
        (
            "proxy_connect_header: {a: [b]}",
            "f:1:1: `proxy_connect_header` needs a `proxy_url` or `proxy_from_environment`",
        ),
        (
            "http_headers: {Authorization: {values: [a]}}",
            "f:1:16: the header `authorization` cannot be set here",
        ),
        ("http_headers: {X-A: {value: [a]}}", "f:1:22: unknown key `value`"),
        ("http_headers: {'X A': {values: [a]}}", "f:1:16: this is no name of a header"),
    ];
    for (text, expected) in table {
        assert_eq!(refusal(text), expected, "{text}");
    }
}

#[test]
fn no_refusal_shows_a_secret() {
    let texts = [
        "basic_auth: {password: [hunter2]}",
        "basic_auth: {password: hunter2, oops: 1}",
        "{proxy_url: 'http://me:hunter2@p', proxy_from_environment: true}",
        "proxy_url: 'ftp://me:hunter2@p'",
        "bearer_token: hunter2\nauthorization: {credentials: hunter2}",
        "bearer_token:\n  - hunter2",
        "http_headers:\n  X-A:\n    secrets:\n      - \"hunter2\\n\"",
        "oauth2:\n  client_id: a\n  token_url: 'http://t'\n  endpoint_params:\n    assertion:\n      - hunter2",
        "tls_config: {cert: a, key: '-----BEGIN hunter2', key_file: b}",
    ];
    for text in texts {
        let message = decode(text).expect_err(text);
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn settings_print_no_secret() {
    let text = "oauth2: {client_id: a, client_secret: hunter2, token_url: 'http://t', endpoint_params: {p: hunter2}}\n\
                http_headers: {x: {values: [hunter2], secrets: [hunter2]}}\n\
                proxy_url: 'http://me:hunter2@p'\n\
                proxy_connect_header: {x: [hunter2]}\n\
                tls_config: {cert: hunter2, key: hunter2}\n";
    let shown = format!("{:?}", decode(text).unwrap());
    assert!(shown.contains("client_id") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn versions_of_tls_are_those_there_still_are() {
    let table = [
        ("{}", Versions::Both),
        ("{min_version: TLS10}", Versions::Both),
        ("{min_version: TLS12, max_version: TLS13}", Versions::Both),
        ("{min_version: TLS13}", Versions::Only13),
        ("{min_version: TLS11, max_version: TLS12}", Versions::Only12),
        ("{max_version: TLS12}", Versions::Only12),
    ];
    for (text, expected) in table {
        assert_eq!(
            decode(&format!("tls_config: {text}")).unwrap().connection.tls.versions,
            expected,
            "{text}"
        );
    }
}

#[test]
fn headers_of_the_push_itself_are_left_out() {
    let node = parse_yaml("{content-TYPE: a, X-Scope-OrgID: b, X-A: c, x-a: d, Host: e}").unwrap();
    let names = |has_tenant| {
        let headers = pusher_headers(&node, has_tenant).unwrap().0;
        headers.iter().map(|header| header.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(true), ["x-a"]);
    assert_eq!(names(false), ["x-scope-orgid", "x-a"]);
}
