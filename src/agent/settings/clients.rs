//! The `clients` list and the old `client` block.
//! In: the blocks.  Out: settings of each client.  Owns: their table.

use std::collections::HashMap;
use std::time::Duration;

use crate::agent::settings::{above_zero, labels};
use crate::config::{Block, Invalid, Kind, Node, Table, row};
use crate::flow::BackoffSettings;
use crate::record::Labels;
use crate::{batch, delivery};

pub(super) static CLIENT: Table = Table(&[
    row("url", Kind::Url, "", "Required: the whole push URL; a user and password in it become basic authentication"),
    row("name", Kind::Text, "host:port", "The `client` label in metrics and logs"),
    row("tenant_id", Kind::Text, "", "`X-Scope-OrgID`, unless a line has a `__tenant_id__` label"),
    row("external_labels", Kind::Labels, "", "Labels added to lines that do not have them"),
    row("batchwait", Kind::Duration, "1s", "Age at which a batch is sent"),
    row("batchsize", Kind::Count, "1048576", "Bytes of lines in a batch"),
    row("timeout", Kind::Duration, "10s", "Of one attempt; above 0"),
    row("backoff_config", Kind::Block(&BACKOFF), "", "Pauses between attempts"),
    row("authorization", Kind::Any, "", "").not_yet(),
    row("basic_auth", Kind::Any, "", "").not_yet(),
    row("bearer_token", Kind::Secret, "", "").not_yet(),
    row("bearer_token_file", Kind::Text, "", "").not_yet(),
    row("drop_rate_limited_batches", Kind::Boolean, "false", "").not_yet(),
    row("enable_http2", Kind::Boolean, "true", "").without_effect(),
    row("follow_redirects", Kind::Boolean, "true", "").not_yet(),
    row("headers", Kind::Secrets, "", "").not_yet(),
    row("http_headers", Kind::Any, "", "").not_yet(),
    row("no_proxy", Kind::Text, "", "").not_yet(),
    row("oauth2", Kind::Any, "", "").not_yet(),
    row("proxy_connect_header", Kind::Any, "", "").not_yet(),
    row("proxy_from_environment", Kind::Boolean, "false", "").not_yet(),
    row("proxy_url", Kind::Url, "", "").not_yet(),
    row("tls_config", Kind::Any, "", "").not_yet(),
]);

static BACKOFF: Table = Table(&[
    row("min_period", Kind::Duration, "500ms", "First pause"),
    row("max_period", Kind::Duration, "5m", "Longest pause"),
    row("max_retries", Kind::Count, "10", "Lines are kept until Loki takes or refuses them, however often that is").without_effect(),
]);

/// All clients: those of the list, and the one of the old block.
pub(super) fn decode(root: &Block<'_>) -> Result<Vec<delivery::Settings>, Invalid> {
    let mut clients = root.optional("clients", |list| list.list_of(client))?.unwrap_or_default();
    if let Some(node) = root.get("client") {
        let block = node.block(&CLIENT)?;
        if let Some(node) = block.get("external_labels") {
            merge_external_labels(&mut clients, &labels(node)?);
        }
        if block.get("url").is_some() {
            clients.push(client(node)?);
        }
    }
    Ok(named_apart(clients))
}

/// Adds labels to the clients that do not have them.
pub(super) fn merge_external_labels(clients: &mut [delivery::Settings], labels: &Labels) {
    for client in clients {
        client.batch.external_labels = client.batch.external_labels.clone().with_defaults(labels);
    }
}

fn client(node: &Node) -> Result<delivery::Settings, Invalid> {
    let block = node.block(&CLIENT)?;
    let url_node = block.required("url")?;
    let url = reqwest::Url::parse(url_node.text()?)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| {
            url_node
                .invalid("`url` is no http:// or https:// address")
                .help("such as http://loki:3100/loki/api/v1/push")
        })?;
    let host =
        format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
    let name = block.optional("name", Node::text)?.filter(|name| !name.is_empty());
    let external_labels = block.optional("external_labels", labels)?.unwrap_or_default();
    let settings = delivery::Settings {
        name: name.map_or(host, str::to_owned),
        url,
        timeout: block.optional("timeout", above_zero)?.unwrap_or(Duration::from_secs(10)),
        backoff: backoff(&block.block("backoff_config")?)?,
        batch: batch::Settings {
            wait: block.optional("batchwait", Node::duration)?.unwrap_or(Duration::from_secs(1)),
            size: usize::try_from(block.optional("batchsize", Node::count)?.unwrap_or(1024 * 1024))
                .unwrap_or(usize::MAX),
            external_labels,
            max_streams: None,
            tenant: block
                .optional("tenant_id", Node::text)?
                .filter(|tenant| !tenant.is_empty())
                .map(Into::into),
        },
    };
    Ok(settings)
}

fn backoff(block: &Block<'_>) -> Result<BackoffSettings, Invalid> {
    let min = block.optional("min_period", Node::duration)?.unwrap_or(Duration::from_millis(500));
    let max = block.optional("max_period", Node::duration)?.unwrap_or(Duration::from_secs(300));
    Ok(BackoffSettings { min, max })
}

/// Two clients of one host are told apart by a number.
fn named_apart(mut clients: Vec<delivery::Settings>) -> Vec<delivery::Settings> {
    let mut seen: HashMap<String, u32> = HashMap::new();
    for client in &mut clients {
        let count = seen.entry(client.name.clone()).or_default();
        *count += 1;
        if *count > 1 {
            client.name = format!("{}-{count}", client.name);
        }
    }
    clients
}
