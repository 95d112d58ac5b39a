//! Buckets as places of tiers: the block `retention.s3`, and what `s3://` names.
//! In: the block, a store's text.  Out: settings of a bucket.  Owns: its table.

use std::sync::Arc;
use std::time::Duration;

use crate::agent::settings::above_zero;
use crate::agent::settings::http_client::{TLS, connection, credential, is_given, key, web_address};
use crate::config::{Block, Invalid, Kind, Node, Table, row};
use crate::http::{self, Auth, ConnectionSettings, Credential, Headers};
use crate::retention::{self, Bucket};

pub(super) static S3: Table = Table(&[
    row(
        "endpoint",
        Kind::Url,
        "",
        "The server, such as http://minio:9000. Default: `AWS_ENDPOINT_URL`, or Amazon's in the region",
    ),
    row("region", Kind::Text, "", "Default: `AWS_REGION`, or us-east-1"),
    row(
        "access_key_id",
        Kind::Text,
        "",
        "Without keys those of the environment count, or what the machine gives: see docs/archive.md",
    ),
    row("access_key_id_file", Kind::Text, "", "Read for each request"),
    row("secret_access_key", Kind::Secret, "", ""),
    row("secret_access_key_file", Kind::Text, "", "Read for each request"),
    row(
        "path_style",
        Kind::Boolean,
        "true",
        "The bucket stands in the path of URLs; otherwise before the server's name",
    ),
    row("timeout", Kind::Duration, "30s", "Of one attempt; above 0"),
    row("tls_config", Kind::Block(&TLS), "", ""),
    row("proxy_url", Kind::Url, "", ""),
    row("no_proxy", Kind::Text, "", "Needs `proxy_url`"),
    row("proxy_from_environment", Kind::Boolean, "false", ""),
    row("proxy_connect_header", Kind::Secrets, "", ""),
]);

const TIMEOUT: Duration = Duration::from_secs(30);

/// Reads the block, which may be missing.
pub(super) fn decode(node: Option<&Node>) -> Result<retention::S3, Invalid> {
    let Some(node) = node else {
        let http = http::Settings::plain(TIMEOUT);
        let connection = ConnectionSettings { follow_redirects: false, ..http.connection };
        let http = http::Settings { connection, ..http };
        return Ok(retention::S3 { endpoint: None, region: None, keys: None, path_style: true, http });
    };
    let block = node.block(&S3)?;
    let path_style = block.optional("path_style", Node::boolean)?.unwrap_or(true);
    let endpoint = block.get("endpoint").filter(|_| is_given(&block, "endpoint"));
    let endpoint = endpoint.map(|node| {
        let url = web_address(node, "endpoint")?;
        if !url.username().is_empty() || url.password().is_some() {
            let invalid = key(node, "endpoint").invalid("`endpoint` holds a user");
            return Err(invalid.help("use `access_key_id` and `secret_access_key`"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(node.invalid("`endpoint` ends before a `?` or `#`"));
        }
        if !path_style && url.domain().is_none() {
            let invalid = node.invalid("a bucket cannot stand before an address of numbers");
            return Err(invalid.help("remove `path_style: false`"));
        }
        Ok(url)
    });
    let http = http::Settings {
        auth: Auth::None,
        headers: Headers::default(),
        // What is signed for one server is of no use to another.
        connection: connection(node, &block, false)?,
        timeout: block.optional("timeout", above_zero)?.unwrap_or(TIMEOUT),
    };
    let region = block.optional("region", Node::text)?.filter(|region| !region.is_empty());
    Ok(retention::S3 {
        endpoint: endpoint.transpose()?,
        region: region.map(str::to_owned),
        keys: keys(node, &block)?,
        path_style,
        http,
    })
}

fn keys(node: &Node, block: &Block<'_>) -> Result<Option<(Credential, Credential)>, Invalid> {
    let id = credential(node, block, "access_key_id", "access_key_id_file")?;
    let secret = credential(node, block, "secret_access_key", "secret_access_key_file")?;
    match (id, secret) {
        (Some(id), Some(secret)) => Ok(Some((id, secret))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(node.invalid("`access_key_id` needs `secret_access_key`, or its file")),
        (None, Some(_)) => Err(node.invalid("`secret_access_key` needs `access_key_id`, or its file")),
    }
}

/// What stands after `s3://`.
pub(super) fn bucket(node: &Node, path: &str, server: &Arc<retention::S3>) -> Result<Bucket, Invalid> {
    let (name, prefix) = path.split_once('/').unwrap_or((path, ""));
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if name.is_empty() || !name.chars().all(is_plain) {
        let invalid = node.invalid("no bucket has such a name");
        return Err(invalid.help("name one of letters, digits, dots and hyphens, such as s3://logs/cold"));
    }
    let prefix = prefix.trim_end_matches('/');
    let is_odd = |part: &str| matches!(part, "" | "." | "..") || part.contains(char::is_control);
    if !prefix.is_empty() && prefix.split('/').any(is_odd) {
        return Err(node.invalid("the parts of a prefix have names, and are no `.` or `..`"));
    }
    Ok(Bucket { name: name.to_owned(), prefix: prefix.to_owned(), server: server.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_yaml;

    fn decoded(text: &str) -> Result<retention::S3, String> {
        let root = parse_yaml(text).unwrap();
        decode(Some(&root)).map_err(|error| error.render("f", text).lines().next().unwrap().to_owned())
    }

    fn named(text: &str) -> Result<String, String> {
        let (yaml, server) = (format!("'{text}'"), Arc::new(decode(None).unwrap()));
        let root = parse_yaml(&yaml).unwrap();
        let named = bucket(&root, text.strip_prefix("s3://").unwrap(), &server);
        named
            .map(|bucket| bucket.to_string())
            .map_err(|error| error.render("f", &yaml).lines().next().unwrap().to_owned())
    }

    #[test]
    fn a_bucket_and_its_server_are_read() {
        let server = decoded(
            "endpoint: http://minio:9000\nregion: eu-1\naccess_key_id: me\nsecret_access_key_file: /run/key\n\
             path_style: false\ntimeout: 5s\nproxy_url: http://proxy:3128\n",
        )
        .unwrap();
        assert_eq!(server.endpoint.unwrap().as_str(), "http://minio:9000/");
        assert_eq!((server.region.as_deref(), server.path_style), (Some("eu-1"), false));
        assert_eq!(server.http.timeout, Duration::from_secs(5));
        assert_ne!(server.http.connection.proxy, http::Proxy::Direct);
        let (_, secret) = server.keys.unwrap();
        assert_eq!(secret.file().unwrap().to_str(), Some("/run/key"));
        assert_eq!(named("s3://logs"), Ok("s3://logs".to_owned()));
        assert_eq!(named("s3://logs/cold/a b/"), Ok("s3://logs/cold/a b".to_owned()));
    }

    #[test]
    fn what_no_server_could_take_is_refused() {
        for (text, wanted) in [
            ("endpoint: minio:9000", "f:1:11: `endpoint` is no http:// or https:// address"),
            ("endpoint: 'http://a:b@minio'", "f:1:11: `endpoint` holds a user"),
            ("endpoint: 'http://minio/?x'", "f:1:11: `endpoint` ends before a `?` or `#`"),
            (
                "{path_style: false, endpoint: 'http://127.0.0.1:1'}",
                "f:1:31: a bucket cannot stand before an address of numbers",
            ),
            ("access_key_id: a", "f:1:1: `access_key_id` needs `secret_access_key`, or its file"),
            ("secret_access_key: a", "f:1:1: `secret_access_key` needs `access_key_id`, or its file"),
            ("timeout: 0s", "f:1:10: this duration must be above 0"),
        ] {
            assert_eq!(decoded(text).unwrap_err(), wanted, "{text}");
        }
        for text in ["s3://", "s3:///x", "s3://a b/c"] {
            assert_eq!(named(text).unwrap_err(), "f:1:1: no bucket has such a name", "{text}");
        }
        for text in ["s3://a//b", "s3://a/../b", "s3://a/."] {
            let wanted = "f:1:1: the parts of a prefix have names, and are no `.` or `..`";
            assert_eq!(named(text).unwrap_err(), wanted, "{text}");
        }
    }
}
