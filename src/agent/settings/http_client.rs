//! The options of an HTTP client: Prometheus' `HTTPClientConfig`, which Promtail has in several places.
//! In: a block that may hold more than these keys.  Out: [`http::Settings`].  Owns: nothing.

mod headers;
mod transport;

use std::path::PathBuf;
use std::time::Duration;

use tracing::warn;

use crate::config::{Block, Invalid, Kind, Node, Row, Table, row};
use crate::http::{self, Auth, ConnectionSettings, Credential, OAuth2};
use crate::record::Secret;

use headers::http_headers;
pub(super) use headers::{HTTP_HEADER, pusher_headers};
pub(super) use transport::TLS;
use transport::{proxy, tls};

/// Ways to prove who one is, of which a client has one at most.
const AUTH_KEYS: [&str; 5] = ["basic_auth", "authorization", "oauth2", "bearer_token", "bearer_token_file"];

pub(super) static BASIC_AUTH: Table = Table(&[
    row("username", Kind::Text, "", ""),
    row("username_file", Kind::Text, "", "Read for each push"),
    row("password", Kind::Secret, "", ""),
    row("password_file", Kind::Text, "", "Read for each push"),
]);

pub(super) static AUTHORIZATION: Table = Table(&[
    row("type", Kind::Text, "Bearer", "Not `basic`, which has a block of its own"),
    row("credentials", Kind::Secret, "", ""),
    row("credentials_file", Kind::Text, "", "Read for each push"),
]);

/// An option of the grant `jwt-bearer`.
const fn jwt_bearer(key: &'static str, kind: Kind) -> Row {
    row(key, kind, "", "").not_yet()
}

pub(super) static OAUTH2: Table = Table(&[
    row("client_id", Kind::Text, "", "Required"),
    row("client_secret", Kind::Secret, "", ""),
    row("client_secret_file", Kind::Text, "", ""),
    row("token_url", Kind::Url, "", "Required"),
    row("scopes", Kind::Texts, "", ""),
    row("endpoint_params", Kind::Secrets, "", "Further parameters of the token request"),
    row("grant_type", Kind::Text, "client_credentials", "The only one there is"),
    row("tls_config", Kind::Block(&TLS), "", "Of the token endpoint, as its proxy"),
    row("proxy_url", Kind::Url, "", ""),
    row("no_proxy", Kind::Text, "", ""),
    row("proxy_from_environment", Kind::Boolean, "false", ""),
    row("proxy_connect_header", Kind::Secrets, "", ""),
    jwt_bearer("audience", Kind::Text),
    jwt_bearer("claims", Kind::Any),
    jwt_bearer("client_certificate_key", Kind::Secret),
    jwt_bearer("client_certificate_key_file", Kind::Text),
    jwt_bearer("client_certificate_key_id", Kind::Text),
    jwt_bearer("client_certificate_key_ref", Kind::Text),
    jwt_bearer("iss", Kind::Text),
    jwt_bearer("signature_algorithm", Kind::Text),
]);

/// Reads the options from `block`, which is the mapping `node`. `from_url` is who the address itself says we are.
pub(super) fn http_client(
    node: &Node,
    block: &Block<'_>,
    from_url: Option<Auth>,
    timeout: Duration,
) -> Result<http::Settings, Invalid> {
    let auth = match (auth(node, block)?, from_url) {
        // As in Go: a user in the address comes before the blocks, a token comes before both.
        (Auth::None, Some(from_url)) => from_url,
        (auth @ Auth::OAuth2(_), Some(_)) => {
            warn!(line = node.at.line, "the user in this client's address is not used, its oauth2 is");
            auth
        }
        (_, Some(from_url)) => {
            warn!(
                line = node.at.line,
                "the user in this client's address is used, its other credentials are not"
            );
            from_url
        }
        (auth, None) => auth,
    };
    let follow_redirects = block.optional("follow_redirects", Node::boolean)?.unwrap_or(true);
    let connection = connection(node, block, follow_redirects)?;
    let headers = block.optional("http_headers", http_headers)?.unwrap_or_default();
    Ok(http::Settings { auth, headers, connection, timeout })
}

/// Reads how a server is reached.
pub(super) fn connection(
    node: &Node,
    block: &Block<'_>,
    follow_redirects: bool,
) -> Result<ConnectionSettings, Invalid> {
    Ok(ConnectionSettings {
        tls: block.optional("tls_config", tls)?.unwrap_or_default(),
        proxy: proxy(node, block)?,
        follow_redirects,
    })
}

fn auth(node: &Node, block: &Block<'_>) -> Result<Auth, Invalid> {
    let given: Vec<&str> = AUTH_KEYS.into_iter().filter(|key| is_given(block, key)).collect();
    let in_order =
        node.entries()?.iter().filter_map(|(key, _)| key.scalar()).filter(|key| given.contains(key));
    if let [first, second, ..] = in_order.collect::<Vec<_>>()[..] {
        let message = format!("`{second}` stands beside `{first}`: a client proves who it is in one way");
        return Err(key(node, second).invalid(message).help(format!("keep one of {}", AUTH_KEYS.join(", "))));
    }
    if let Some(token) = credential(node, block, "bearer_token", "bearer_token_file")? {
        return Ok(Auth::Scheme { name: "Bearer".to_owned(), credentials: Some(token) });
    }
    let auth = match given.first() {
        Some(&"basic_auth") => block.optional("basic_auth", basic_auth)?,
        Some(&"authorization") => block.optional("authorization", authorization)?,
        Some(&"oauth2") => block.optional("oauth2", oauth2)?,
        _ => None,
    };
    Ok(auth.unwrap_or(Auth::None))
}

fn basic_auth(node: &Node) -> Result<Auth, Invalid> {
    let block = node.block(&BASIC_AUTH)?;
    let username = credential(node, &block, "username", "username_file")?;
    let password = credential(node, &block, "password", "password_file")?;
    Ok(Auth::Basic { username, password })
}

fn authorization(node: &Node) -> Result<Auth, Invalid> {
    let block = node.block(&AUTHORIZATION)?;
    let name = block.optional("type", |kind| match kind.text()?.trim() {
        "" => Ok("Bearer".to_owned()),
        basic if basic.eq_ignore_ascii_case("basic") => {
            Err(kind.invalid("the type `basic` has a block of its own").help("use `basic_auth`"))
        }
        name if name.chars().all(|c| c.is_ascii_graphic()) => Ok(name.to_owned()),
        _ => Err(kind.invalid("this type cannot stand in a header")),
    })?;
    let credentials = credential(node, &block, "credentials", "credentials_file")?;
    Ok(Auth::Scheme { name: name.unwrap_or_else(|| "Bearer".to_owned()), credentials })
}

fn oauth2(node: &Node) -> Result<Auth, Invalid> {
    let block = node.block(&OAUTH2)?;
    block.optional("grant_type", |grant| match grant.text()? {
        "" | "client_credentials" => Ok(()),
        _ => Err(grant.invalid("this version knows the grant `client_credentials` only")),
    })?;
    let token_node = required_text(node, &block, "token_url")?;
    let token_url = web_address(token_node, "token_url")?;
    if !token_url.username().is_empty() || token_url.password().is_some() {
        let invalid = token_node.invalid("`token_url` holds a user");
        return Err(invalid.help("use `client_id` and `client_secret`"));
    }
    let mut scopes = Vec::new();
    for scope in block.optional("scopes", Node::list)?.unwrap_or_default() {
        scopes.push(scope.text()?.to_owned());
    }
    let mut endpoint_params = Vec::new();
    for (name, value) in block.optional("endpoint_params", Node::entries)?.unwrap_or_default() {
        if name.text()? == "scope" && !scopes.is_empty() {
            return Err(name.invalid("`scope` is already said by `scopes`"));
        }
        endpoint_params.push((name.text()?.to_owned(), hidden(name, value)?));
    }
    let settings = OAuth2 {
        client_id: required_text(node, &block, "client_id")?.text()?.to_owned(),
        client_secret: credential(node, &block, "client_secret", "client_secret_file")?,
        token_url,
        scopes,
        endpoint_params,
        connection: connection(node, &block, true)?,
    };
    Ok(Auth::OAuth2(Box::new(settings)))
}

/// An `http://` or `https://` address with a host.
pub(super) fn web_address(node: &Node, key: &str) -> Result<reqwest::Url, Invalid> {
    let url = reqwest::Url::parse(node.text()?).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| node.invalid(format!("`{key}` is no http:// or https:// address")))
}

fn required_text<'n>(node: &Node, block: &Block<'n>, name: &'static str) -> Result<&'n Node, Invalid> {
    let value = block.required(name)?;
    if value.text()?.is_empty() {
        Err(key(node, name).invalid(format!("`{name}` is empty")))
    } else {
        Ok(value)
    }
}

/// True where a key says something; an empty text is the same as none.
pub(super) fn is_given(block: &Block<'_>, key: &'static str) -> bool {
    block.get(key).is_some_and(|value| value.scalar() != Some(""))
}

/// Two keys for one thing: its text, or a file that holds it.
pub(super) fn credential(
    node: &Node,
    block: &Block<'_>,
    inline: &'static str,
    file: &'static str,
) -> Result<Option<Credential>, Invalid> {
    let (has_inline, has_file) = (is_given(block, inline), is_given(block, file));
    if has_inline && has_file {
        let message = format!("`{inline}` and `{file}` say the same: only one of them can be given");
        return Err(key(node, file).invalid(message));
    }
    if let Some(value) = block.get(inline).filter(|_| has_inline) {
        return Ok(Some(Credential::Inline(hidden(key(node, inline), value)?)));
    }
    let path = block.get(file).filter(|_| has_file).map(Node::text).transpose()?;
    Ok(path.map(|path| Credential::File(PathBuf::from(path))))
}

/// A secret text. What is wrong with it is said at its key: the line of the value may be the secret.
fn hidden(key: &Node, value: &Node) -> Result<Secret, Invalid> {
    value.text().map(Secret::new).map_err(|_| key.invalid("expected a text here"))
}

/// The key called `name` of a mapping; the mapping itself where it has none.
pub(super) fn key<'n>(node: &'n Node, name: &str) -> &'n Node {
    let entries = node.entries().unwrap_or_default();
    entries.iter().map(|(key, _)| key).find(|key| key.scalar() == Some(name)).unwrap_or(node)
}

#[cfg(test)]
mod tests;
