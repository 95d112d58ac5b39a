//! Headers a configuration may add.
//! In: `headers` and `http_headers` blocks.  Out: [`Headers`].  Owns: which names are taken.

use std::path::PathBuf;

use reqwest::header::HeaderName;
use tracing::warn;

use crate::agent::settings::http_client::hidden;
use crate::config::{Invalid, Kind, Node, Table, row};
use crate::http::{Credential, Header, Headers};

pub(in crate::agent::settings) static HTTP_HEADER: Table = Table(&[
    row("values", Kind::Texts, "", ""),
    row("secrets", Kind::Secret, "", "More values, never shown"),
    row("files", Kind::Texts, "", "More values, read for each push"),
]);

/// Names Prometheus refuses in `http_headers`.
const RESERVED: [&str; 18] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "user-agent",
    "www-authenticate",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
    "x-prometheus-remote-read-version",
    "x-prometheus-remote-write-version",
    "x-prometheus-scrape-timeout-seconds",
];

/// What a push says by itself, and what frames it. Go passes over the latter in silence.
const OF_THE_PUSH: [&str; 6] =
    ["content-length", "content-type", "host", "trailer", "transfer-encoding", "user-agent"];

/// Promtail's own `headers`: one value each. Those the pusher sets itself stay, with one warning now where Promtail
/// warns at each push.
pub(in crate::agent::settings) fn pusher_headers(node: &Node, has_tenant: bool) -> Result<Headers, Invalid> {
    let mut headers: Vec<Header> = Vec::new();
    for (name_node, value) in node.entries()? {
        let name = name(name_node)?;
        let is_taken = OF_THE_PUSH.contains(&name.as_str())
            || (has_tenant && name == "x-scope-orgid")
            || headers.iter().any(|header| header.name == name);
        if is_taken {
            warn!(header = %name, line = name_node.at.line, "header is not sent, as pushes have it already");
            continue;
        }
        headers.push(Header { name, values: vec![inline(name_node, value)?] });
    }
    Ok(Headers(headers))
}

/// Prometheus' `http_headers`: several values each, some from files.
pub(super) fn http_headers(node: &Node) -> Result<Headers, Invalid> {
    let mut headers = Vec::new();
    for (name_node, node) in node.entries()? {
        let name = name(name_node)?;
        if RESERVED.contains(&name.as_str()) {
            return Err(name_node.invalid(format!("the header `{name}` cannot be set here")));
        }
        let block = node.block(&HTTP_HEADER)?;
        let mut values = Vec::new();
        for key in ["values", "secrets"] {
            for value in block.optional(key, Node::list)?.unwrap_or_default() {
                values.push(inline(name_node, value)?);
            }
        }
        for file in block.optional("files", Node::list)?.unwrap_or_default() {
            values.push(Credential::File(PathBuf::from(file.text()?)));
        }
        headers.push(Header { name, values });
    }
    Ok(Headers(headers))
}

/// `proxy_connect_header`: a list of values each.
pub(super) fn connect_headers(node: &Node) -> Result<Headers, Invalid> {
    let header = |(name_node, values): &(Node, Node)| {
        let values = values.list_of(|value| inline(name_node, value))?;
        Ok(Header { name: name(name_node)?, values })
    };
    Ok(Headers(node.entries()?.iter().map(header).collect::<Result<_, _>>()?))
}

fn name(node: &Node) -> Result<HeaderName, Invalid> {
    HeaderName::from_bytes(node.text()?.as_bytes()).map_err(|_| node.invalid("this is no name of a header"))
}

fn inline(name: &Node, value: &Node) -> Result<Credential, Invalid> {
    let text = hidden(name, value)?;
    if text.reveal().chars().any(|c| c.is_control() && c != '\t') {
        return Err(name.invalid("the value of this header holds what a header cannot, such as a line break"));
    }
    Ok(Credential::Inline(text))
}
