//! The `clients` list and the old `client` block.
//! In: the blocks.  Out: settings of each client.  Owns: their table.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::agent::settings::http_client::{
    AUTHORIZATION, BASIC_AUTH, HTTP_HEADER, OAUTH2, TLS, http_client, pusher_headers, web_address,
};
use crate::agent::settings::{above_zero, labels};
use crate::config::{Block, Invalid, Kind, Node, Table, row};
use crate::flow::BackoffSettings;
use crate::http::split_url_auth;
use crate::record::Labels;
use crate::{batch, delivery};

pub(in crate::agent) static CLIENT: Table = Table(&[
    row(
        "url",
        Kind::Url,
        "",
        "Required: the whole push URL; a user and password in it become basic authentication",
    ),
    row("name", Kind::Text, "host:port", "The `client` label in metrics and logs"),
    row("tenant_id", Kind::Text, "", "`X-Scope-OrgID`, unless a line has a `__tenant_id__` label"),
    row("external_labels", Kind::Labels, "", "Labels added to lines that do not have them"),
    row("batchwait", Kind::Duration, "1s", "Age at which a batch is sent"),
    row("batchsize", Kind::Count, "1048576", "Bytes of lines in a batch"),
    row("timeout", Kind::Duration, "10s", "Of one attempt; above 0"),
    row("backoff_config", Kind::Block(&BACKOFF), "", "Pauses between attempts"),
    row(
        "drop_rate_limited_batches",
        Kind::Boolean,
        "false",
        "Drop and count what Loki answers with 429, instead of trying again",
    ),
    row("headers", Kind::Secrets, "", "Further headers; those a push has by itself stay as they are"),
    row(
        "http_headers",
        Kind::Each(&HTTP_HEADER),
        "",
        "Further headers, by name, some with values from files",
    ),
    row(
        "basic_auth",
        Kind::Block(&BASIC_AUTH),
        "",
        "User and password; a user in `url` does the same and comes before it",
    ),
    row("authorization", Kind::Block(&AUTHORIZATION), "", "An `Authorization` header"),
    row("bearer_token", Kind::Secret, "", "Short for `authorization`"),
    row("bearer_token_file", Kind::Text, "", "The same, from a file"),
    row(
        "oauth2",
        Kind::Block(&OAUTH2),
        "",
        "OAuth 2, client credentials; of these five a client has one at most",
    ),
    row("tls_config", Kind::Block(&TLS), "", "Certificates"),
    row("proxy_url", Kind::Url, "", "`http://`, `https://` or `socks5://`"),
    row("no_proxy", Kind::Text, "", "What is reached without the proxy, comma-separated; needs `proxy_url`"),
    row("proxy_from_environment", Kind::Boolean, "false", "Take both from the environment"),
    row("proxy_connect_header", Kind::Secrets, "", "Headers of the proxy's CONNECT: a list of values each"),
    row("follow_redirects", Kind::Boolean, "true", "Follow 307 and 308, which repeat the push"),
    row("enable_http2", Kind::Boolean, "true", "Pushes go by HTTP/1.1, as Promtail's").without_effect(),
]);

static BACKOFF: Table = Table(&[
    row("min_period", Kind::Duration, "500ms", "First pause"),
    row("max_period", Kind::Duration, "5m", "Longest pause"),
    row(
        "max_retries",
        Kind::Count,
        "10",
        "Lines are kept until Loki takes or refuses them, however often that is",
    )
    .without_effect(),
]);

/// All clients: those of the list, and the one of the old block.
pub(super) fn decode(root: &Block<'_>) -> Result<Vec<delivery::Settings>, Invalid> {
    let mut clients = Clients::default();
    for node in root.optional("clients", Node::list)?.unwrap_or_default() {
        clients.add(node)?;
    }
    if let Some(node) = root.get("client") {
        clients.add_single(node)?;
    }
    Ok(clients.named_apart())
}

/// The blocks of all clients.
pub(in crate::agent) fn nodes(root: &Node) -> Vec<&Node> {
    let entries = root.entries().unwrap_or_default();
    let of = |key: &str| entries.iter().find(|(name, _)| name.scalar() == Some(key)).map(|(_, node)| node);
    let listed = of("clients").and_then(|list| list.list().ok()).unwrap_or_default();
    let old =
        of("client").filter(|client| client.block(&CLIENT).is_ok_and(|block| block.get("url").is_some()));
    listed.iter().chain(old).collect()
}

/// Adds labels to the clients that do not have them.
pub(super) fn merge_external_labels(clients: &mut [delivery::Settings], labels: &Labels) {
    for client in clients {
        client.batch.external_labels = client.batch.external_labels.clone().with_defaults(labels);
    }
}

/// Clients read so far, no two of them the same.
#[derive(Default)]
struct Clients {
    settings: Vec<delivery::Settings>,
    /// Names that were given, not made of an address.
    given: HashSet<String>,
}

impl Clients {
    fn add(&mut self, node: &Node) -> Result<(), Invalid> {
        let client = client(node)?;
        let named = node.block(&CLIENT)?.get("name").filter(|name| name.scalar() != Some(""));
        // Twice the same would be every line twice, and two that share their metrics.
        if let Some(name) = named.filter(|_| !self.given.insert(client.name.clone())) {
            return Err(name.invalid(format!("there are two clients called `{}`", client.name)));
        }
        if named.is_none() && self.settings.contains(&client) {
            let invalid = node.invalid("this client is the same as one before it");
            return Err(invalid.help("remove it, or give both a `name` if every line is to be pushed twice"));
        }
        self.settings.push(client);
        Ok(())
    }

    /// The block from before there were several clients: one more client where it has a `url`, and labels for all.
    fn add_single(&mut self, node: &Node) -> Result<(), Invalid> {
        let block = node.block(&CLIENT)?;
        if let Some(node) = block.get("external_labels") {
            merge_external_labels(&mut self.settings, &labels(node)?);
        }
        if block.get("url").is_some() { self.add(node) } else { Ok(()) }
    }

    /// Two clients of one host are told apart by a number.
    fn named_apart(mut self) -> Vec<delivery::Settings> {
        let mut seen: HashMap<String, u32> = HashMap::new();
        for client in &mut self.settings {
            let count = seen.entry(client.name.clone()).or_default();
            *count += 1;
            if *count > 1 {
                client.name = format!("{}-{count}", client.name);
            }
        }
        self.settings
    }
}

fn client(node: &Node) -> Result<delivery::Settings, Invalid> {
    let block = node.block(&CLIENT)?;
    let url_node = block.required("url")?;
    let mut url = web_address(url_node, "url")
        .map_err(|error| error.help("such as http://loki:3100/loki/api/v1/push"))?;
    let from_url = split_url_auth(&mut url).map_err(|error| url_node.invalid(error.to_string()))?;
    let host =
        format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
    let name = block.optional("name", Node::text)?.filter(|name| !name.is_empty());
    let external_labels = block.optional("external_labels", labels)?.unwrap_or_default();
    let tenant = block.optional("tenant_id", Node::text)?.filter(|tenant| !tenant.is_empty());
    let timeout = block.optional("timeout", above_zero)?.unwrap_or(Duration::from_secs(10));
    let mut http = http_client(node, &block, from_url, timeout)?;
    if let Some(headers) = block.get("headers") {
        http.headers.0.splice(0..0, pusher_headers(headers, tenant.is_some())?.0);
    }
    let settings = delivery::Settings {
        name: name.map_or(host, str::to_owned),
        url,
        http,
        drop_rate_limited: block.optional("drop_rate_limited_batches", Node::boolean)?.unwrap_or(false),
        backoff: backoff(&block.block("backoff_config")?)?,
        batch: batch::Settings {
            wait: block.optional("batchwait", Node::duration)?.unwrap_or(Duration::from_secs(1)),
            size: usize::try_from(block.optional("batchsize", Node::count)?.unwrap_or(1024 * 1024))
                .unwrap_or(usize::MAX),
            max_streams: None,
            external_labels,
            tenant: tenant.map(Into::into),
        },
    };
    Ok(settings)
}

fn backoff(block: &Block<'_>) -> Result<BackoffSettings, Invalid> {
    let min = block.optional("min_period", Node::duration)?.unwrap_or(Duration::from_millis(500));
    let max = block.optional("max_period", Node::duration)?.unwrap_or(Duration::from_secs(300));
    Ok(BackoffSettings { min, max })
}
