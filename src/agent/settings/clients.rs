//! The `clients` list and the old `client` block.
//! In: the blocks.  Out: settings of each client.  Owns: their table.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::agent::settings::http_client::{
    AUTHORIZATION, BASIC_AUTH, HTTP_HEADER, OAUTH2, TLS, http_client, pusher_headers, web_address,
};
use crate::agent::settings::{above_zero, labels};
use crate::config::{Block, Invalid, Kind, Node, Table, row};
use crate::custody::{SpoolSettings, WhenFull};
use crate::flow::BackoffSettings;
use crate::http::split_url_auth;
use crate::record::{ByteCount, Labels};
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
    row(
        "batchsize",
        Kind::Count,
        "1048576",
        "Bytes of lines in a batch; one made of 4 MiB of lines as they were read goes in any case",
    ),
    row(
        "concurrency",
        Kind::Count,
        "8",
        "Pushes under way at once, above 0, at most 64. Lines of one stream are never in two of them; while pushes fail, Loki \
         is slow or asks for less, there is one at a time",
    ),
    row("timeout", Kind::Duration, "10s", "Of one attempt; above 0"),
    row("backoff_config", Kind::Block(&BACKOFF), "", "Pauses between attempts"),
    row("spool", Kind::Block(&SPOOL), "", "Where lines wait while Loki does not take them"),
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
    row("max_period", Kind::Duration, "30s", "Longest pause; Promtail, which gives up at some time, has 5m"),
    row(
        "max_retries",
        Kind::Count,
        "10",
        "Attempts before a push is given up, where `on_giveup` is `drop`; 0 is no end",
    ),
    row(
        "on_giveup",
        Kind::Text,
        "keep",
        "`keep`: lines are kept until Loki takes or refuses them, however often that is; `drop`: they are dropped and counted \
         after `max_retries` attempts, as Promtail does",
    ),
]);

static SPOOL: Table = Table(&[
    row(
        "enabled",
        Kind::Boolean,
        "true",
        "Lines that Loki does not take wait on disk; if false, at their sources",
    ),
    row(
        "directory",
        Kind::Text,
        "",
        "Default: a directory with the client's name in `positions.spool` beside the positions file; for one client of one agent alone",
    ),
    row("max_size", Kind::Bytes, "1GB", "Bytes on disk, compressed as they are pushed; at least 1 MiB"),
    row(
        "max_age",
        Kind::PrometheusDuration,
        "1w",
        "Older lines are dropped and counted: Loki refuses them; 0 is no limit",
    ),
    row(
        "when_full",
        Kind::Text,
        "block",
        "`block`: lines wait at their sources; `drop_oldest`: the oldest lines on disk are dropped and counted",
    ),
]);

/// More would not be under way: no push has less than a share of what may be in flight.
const MOST_CONCURRENT: u64 = 64;

/// Below this a spool holds hardly more than one push.
const SMALLEST_SPOOL: u64 = 1024 * 1024;

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
        give_up_after: give_up_after(&block.block("backoff_config")?)?,
        spool: spool(&block.block("spool")?)?,
        batch: batch::Settings {
            wait: block.optional("batchwait", Node::duration)?.unwrap_or(Duration::from_secs(1)),
            size: usize::try_from(block.optional("batchsize", Node::count)?.unwrap_or(1024 * 1024))
                .unwrap_or(usize::MAX),
            max_streams: None,
            concurrency: block.optional("concurrency", concurrency)?.unwrap_or(8),
            external_labels,
            tenant: tenant.map(Into::into),
        },
    };
    Ok(settings)
}

fn concurrency(node: &Node) -> Result<usize, Invalid> {
    match node.count()? {
        count @ 1..=MOST_CONCURRENT => Ok(count as usize),
        _ => Err(node.invalid(format!("`concurrency` is from 1 to {MOST_CONCURRENT}"))),
    }
}

fn backoff(block: &Block<'_>) -> Result<BackoffSettings, Invalid> {
    let min = block.optional("min_period", Node::duration)?.unwrap_or(Duration::from_millis(500));
    let max = block.optional("max_period", Node::duration)?.unwrap_or(Duration::from_secs(30));
    Ok(BackoffSettings { min, max })
}

fn give_up_after(block: &Block<'_>) -> Result<Option<u64>, Invalid> {
    let most = block.optional("max_retries", Node::count)?.unwrap_or(10);
    let drops = block.optional("on_giveup", |node| one_of(node, "drop", "keep"))?.unwrap_or(false);
    Ok(Some(most).filter(|most| drops && *most > 0))
}

/// The directory is empty where it is not given: it depends on names and places that are known later.
fn spool(block: &Block<'_>) -> Result<Option<SpoolSettings>, Invalid> {
    let enabled = block.optional("enabled", Node::boolean)?.unwrap_or(true);
    let directory = block.optional("directory", |node| Ok(PathBuf::from(node.text()?)))?;
    let max_size = block.optional("max_size", |node| match node.bytes()? {
        size if size < SMALLEST_SPOOL => Err(node.invalid("a spool has at least 1 MiB")),
        size => Ok(ByteCount(size)),
    })?;
    let max_age =
        block.optional("max_age", Node::prometheus_duration)?.unwrap_or(Duration::from_secs(7 * 24 * 3600));
    let drops = block.optional("when_full", |node| one_of(node, "drop_oldest", "block"))?.unwrap_or(false);
    let settings = SpoolSettings {
        directory: directory.unwrap_or_default(),
        max_size: max_size.unwrap_or(ByteCount::mib(1024)),
        max_age: Some(max_age).filter(|age| !age.is_zero()),
        when_full: if drops { WhenFull::DropOldest } else { WhenFull::Block },
    };
    Ok(Some(settings).filter(|_| enabled))
}

/// Whether the text is the first of two words; another is no answer.
fn one_of(node: &Node, yes: &str, no: &str) -> Result<bool, Invalid> {
    match node.text()? {
        text if text == yes => Ok(true),
        text if text == no => Ok(false),
        text => Err(node.invalid(format!("`{text}` is neither `{yes}` nor `{no}`"))),
    }
}

/// Gives each spool a directory of its own beside the positions file, unless it has one.
pub(super) fn place_spools(clients: &mut [delivery::Settings], positions: &Path) {
    for client in clients {
        let directory = positions.with_extension("spool").join(directory_name(&client.name));
        if let Some(spool) = client.spool.as_mut().filter(|spool| spool.directory == Path::new("")) {
            spool.directory = directory;
        }
    }
}

/// A client's name as one component of a path; two names never give the same.
fn directory_name(client: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if client.chars().all(plain) && !client.starts_with('.') && client.len() <= 100 {
        return client.to_owned();
    }
    let kept: String = client.chars().filter(|c| c.is_ascii_alphanumeric()).take(40).collect();
    format!("{kept}-{:08x}", crc32fast::hash(client.as_bytes()))
}
