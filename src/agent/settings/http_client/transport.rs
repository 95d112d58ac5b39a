//! How a server is reached: TLS and proxies.
//! In: a `tls_config`, proxy keys.  Out: [`Tls`] and [`Proxy`].  Owns: nothing.

use rustls::pki_types::ServerName;
use tracing::warn;

use crate::agent::settings::http_client::headers::connect_headers;
use crate::agent::settings::http_client::{credential, is_given, key};
use crate::config::{Block, Invalid, Kind, Node, Table, row};
use crate::http::{NoProxy, Proxy, Tls, Versions, proxy_address};

pub(in crate::agent::settings) static TLS: Table = Table(&[
    row("ca", Kind::Text, "", "Authorities in PEM, instead of the system's"),
    row("ca_file", Kind::Text, "", "The same, from a file; files that change are picked up"),
    row("cert", Kind::Text, "", "Client certificate in PEM; needs its key"),
    row("cert_file", Kind::Text, "", ""),
    row("key", Kind::Secret, "", ""),
    row("key_file", Kind::Text, "", ""),
    row("server_name", Kind::Text, "host of the URL", "Name the server's certificate is verified against"),
    row("insecure_skip_verify", Kind::Boolean, "false", ""),
    row("min_version", Kind::Text, "TLS12", "`TLS10` and `TLS11` mean `TLS12`"),
    row("max_version", Kind::Text, "TLS13", "`TLS12` or `TLS13`"),
]);

/// Reads a `tls_config`.
pub(super) fn tls(node: &Node) -> Result<Tls, Invalid> {
    let block = node.block(&TLS)?;
    let ca = credential(node, &block, "ca", "ca_file")?;
    let cert = credential(node, &block, "cert", "cert_file")?;
    let private = credential(node, &block, "key", "key_file")?;
    let identity = match (cert, private) {
        (Some(cert), Some(private)) => Some((cert, private)),
        (None, None) => None,
        (Some(_), None) => {
            let given = if is_given(&block, "cert") { "cert" } else { "cert_file" };
            let invalid = key(node, given).invalid(format!("`{given}` needs the key of this certificate"));
            return Err(invalid.help("give it as `key` or `key_file`"));
        }
        (None, Some(_)) => {
            let given = if is_given(&block, "key") { "key" } else { "key_file" };
            let invalid = key(node, given).invalid(format!("`{given}` needs the certificate of this key"));
            return Err(invalid.help("give it as `cert` or `cert_file`"));
        }
    };
    let server_name = block.optional("server_name", |node| match node.text()? {
        "" => Ok(None),
        name => match ServerName::try_from(name.to_owned()) {
            Ok(name) => Ok(Some(name)),
            Err(_) => Err(node.invalid("this is no name a certificate could have")),
        },
    })?;
    let settings = Tls {
        ca,
        identity,
        server_name: server_name.flatten(),
        insecure_skip_verify: block.optional("insecure_skip_verify", Node::boolean)?.unwrap_or(false),
        versions: versions(&block)?,
    };
    Ok(settings)
}

/// The `11` of `TLS11`.
fn version(node: &Node) -> Result<u8, Invalid> {
    match node.text()? {
        "TLS10" => Ok(10),
        "TLS11" => Ok(11),
        "TLS12" => Ok(12),
        "TLS13" => Ok(13),
        _ => Err(node.invalid("unknown TLS version").help("one of TLS10, TLS11, TLS12, TLS13")),
    }
}

fn versions(block: &Block<'_>) -> Result<Versions, Invalid> {
    let node = block.get("max_version");
    let (min, max) = (block.optional("min_version", version)?, block.optional("max_version", version)?);
    if let (Some(node), Some(max)) = (node, max) {
        if max < 12 {
            return Err(
                node.invalid("TLS 1.2 and 1.3 are the versions spoken here, the older ones are broken")
            );
        }
        if min.is_some_and(|min| min > max) {
            return Err(node.invalid("`max_version` is below `min_version`"));
        }
    }
    if let Some(old) = min.filter(|min| *min < 12) {
        warn!(
            min_version = format!("TLS{old}"),
            "versions of TLS before 1.2 are not spoken, the oldest is TLS12"
        );
    }
    Ok(match (min, max) {
        (Some(13), _) => Versions::Only13,
        (_, Some(12)) => Versions::Only12,
        _ => Versions::Both,
    })
}

/// Reads the proxy keys of a block.
pub(super) fn proxy(node: &Node, block: &Block<'_>) -> Result<Proxy, Invalid> {
    let url = block.get("proxy_url").filter(|_| is_given(block, "proxy_url"));
    let exceptions = block.get("no_proxy").filter(|_| is_given(block, "no_proxy"));
    let from_environment = block.optional("proxy_from_environment", Node::boolean)?.unwrap_or(false);
    let headers = block.optional("proxy_connect_header", connect_headers)?.unwrap_or_default();
    let refuse = |name: &str, message: &str| Err(key(node, name).invalid(format!("`{name}` {message}")));
    if from_environment && url.is_some() {
        return refuse("proxy_url", "cannot stand beside `proxy_from_environment`");
    }
    if from_environment && exceptions.is_some() {
        return refuse("no_proxy", "cannot stand beside `proxy_from_environment`, which has its own");
    }
    if exceptions.is_some() && url.is_none() {
        return refuse("no_proxy", "needs a `proxy_url`");
    }
    if !headers.0.is_empty() && url.is_none() && !from_environment {
        return refuse("proxy_connect_header", "needs a `proxy_url` or `proxy_from_environment`");
    }
    if from_environment {
        let variable = |name: &str| std::env::var(name).ok();
        return Proxy::of_environment(&variable, headers)
            .map_err(|message| key(node, "proxy_from_environment").invalid(message));
    }
    let Some(url) = url else { return Ok(Proxy::Direct) };
    let Some(address) = proxy_address(url.text()?) else {
        let invalid = key(node, "proxy_url").invalid("`proxy_url` is no address of a proxy");
        return Err(invalid.help("such as http://proxy:3128; https:// and socks5:// are known too"));
    };
    let except = exceptions.map(Node::text).transpose()?.map_or_else(NoProxy::nothing, NoProxy::parse);
    Ok(Proxy::Through { http: Some(address.clone()), https: Some(address), except, connect_headers: headers })
}
