//! The `docker_sd_configs` items of a job.
//! In: an item.  Out: how containers of one daemon are found and followed.  Owns: its tables.

use std::collections::HashMap;
use std::time::Duration;

use crate::agent::settings::Reader;
use crate::agent::settings::http_client::{
    AUTHORIZATION, BASIC_AUTH, HTTP_HEADER, OAUTH2, TLS, http_client, key,
};
use crate::config::{Block, Invalid, Kind, Node, Row, Table, row};
use crate::discovery::docker::{self, Hints};
use crate::http::{self, chain, split_url_auth};
use crate::source::docker::{ANSWER_TIMEOUT, Endpoint, Found, Host, WantedLogs};

pub(super) static DOCKER: Table = Table(&[
    row(
        "host",
        Kind::Url,
        "",
        "`unix://…`, `tcp://…`, `http://…` or `https://…`; else `DOCKER_HOST`, else the first socket there is",
    ),
    row(
        "refresh_interval",
        Kind::PrometheusDuration,
        "60s",
        "How often containers are listed; events are acted on at once",
    ),
    row("filters", Kind::List(&FILTER), "", "Which containers, as Docker's API takes them"),
    row("port", Kind::Count, "80", "Of `__address__` where a container exposes none"),
    row("host_networking_host", Kind::Text, "localhost", "`__address__` of containers in the host's network"),
    row("match_first_network", Kind::Boolean, "true", "A container is one target whatever its networks")
        .without_effect(),
    row(
        "container_labels",
        Kind::Text,
        "ignore",
        "What labels of a container may say: `opt_out` obeys `tailwater.enable=false`, `opt_in` reads only what has `tailwater.enable=true`; both obey `tailwater.job`",
    ),
    row(
        "logs",
        Kind::Text,
        "auto",
        "`auto`: from the files of the json-file driver where the agent can read them, else through the API; `file`: where there are such files, only from them; `api`: never from files",
    ),
    row("own_container", Kind::Boolean, "false", "Read the container that the agent itself runs in, too"),
    of_the_web("basic_auth", Kind::Block(&BASIC_AUTH), ""),
    of_the_web("authorization", Kind::Block(&AUTHORIZATION), ""),
    of_the_web("bearer_token", Kind::Secret, ""),
    of_the_web("bearer_token_file", Kind::Text, ""),
    of_the_web("oauth2", Kind::Block(&OAUTH2), ""),
    of_the_web("tls_config", Kind::Block(&TLS), ""),
    row("proxy_url", Kind::Url, "", "Of `http://` and `https://` hosts; an `http://` proxy"),
    of_the_web("no_proxy", Kind::Text, ""),
    of_the_web("proxy_from_environment", Kind::Boolean, "false"),
    of_the_web("proxy_connect_header", Kind::Secrets, ""),
    of_the_web("http_headers", Kind::Each(&HTTP_HEADER), ""),
    row("follow_redirects", Kind::Boolean, "true", "A daemon sends none").without_effect(),
    row("enable_http2", Kind::Boolean, "true", "Docker speaks HTTP/1.1").without_effect(),
]);

static FILTER: Table = Table(&[
    row("name", Kind::Text, "", "Required: such as `label`, `name`, `network`"),
    row("values", Kind::Texts, "", "Required"),
]);

const fn of_the_web(key: &'static str, kind: Kind, default: &'static str) -> Row {
    row(key, kind, default, "Of `http://` and `https://` hosts, as in `clients`")
}

/// What only has a meaning for hosts that are reached by HTTP proper, as with Promtail.
const OF_THE_WEB: [&str; 11] = [
    "basic_auth",
    "authorization",
    "bearer_token",
    "bearer_token_file",
    "oauth2",
    "tls_config",
    "proxy_url",
    "no_proxy",
    "proxy_from_environment",
    "proxy_connect_header",
    "http_headers",
];

/// One item.
pub(super) fn decode(node: &Node, reader: &mut Reader<'_>) -> Result<docker::Settings, Invalid> {
    let block = node.block(&DOCKER)?;
    let (host, endpoint) = daemon(node, &block, reader)?;
    let refresh_interval =
        block.optional("refresh_interval", |node| match node.prometheus_duration()? {
            Duration::ZERO => Err(node.invalid("`refresh_interval` must be above 0")),
            interval => Ok(interval),
        })?;
    let mut filters: HashMap<String, Vec<String>> = HashMap::new();
    for filter in block.optional("filters", Node::list)?.unwrap_or_default() {
        let entry = filter.block(&FILTER)?;
        let name = entry.required("name")?.text()?.to_owned();
        let values = entry.required("values")?.list_of(|value| Ok(value.text()?.to_owned()))?;
        filters.entry(name).or_default().extend(values);
    }
    Ok(docker::Settings {
        host,
        endpoint,
        refresh_interval: refresh_interval.unwrap_or(Duration::from_secs(60)),
        filters,
        port: block.optional("port", Node::count)?.unwrap_or(80),
        host_networking_host: block
            .optional("host_networking_host", Node::text)?
            .unwrap_or("localhost")
            .to_owned(),
        hints: block.optional("container_labels", hints)?.unwrap_or_default(),
        own_container: block.optional("own_container", Node::boolean)?.unwrap_or(false),
        logs: block.optional("logs", logs)?.unwrap_or_default(),
    })
}

fn logs(node: &Node) -> Result<WantedLogs, Invalid> {
    match node.text()? {
        "auto" => Ok(WantedLogs::Auto),
        "file" => Ok(WantedLogs::File),
        "api" => Ok(WantedLogs::Api),
        other => {
            let invalid = node.invalid(format!("`{other}` is no way to read logs"));
            Err(invalid.help("one of `auto`, `file` and `api`"))
        }
    }
}

fn hints(node: &Node) -> Result<Hints, Invalid> {
    match node.text()? {
        "ignore" => Ok(Hints::Ignored),
        "opt_out" => Ok(Hints::OptOut),
        "opt_in" => Ok(Hints::OptIn),
        _ => Err(node
            .invalid("labels of containers are nothing of that sort")
            .help("ignore, opt_out or opt_in")),
    }
}

/// Where the daemon listens, and how it is spoken to.
fn daemon(node: &Node, block: &Block<'_>, reader: &mut Reader<'_>) -> Result<(String, Endpoint), Invalid> {
    let at = block.get("host").unwrap_or(node);
    let text = block.optional("host", Node::text)?;
    let found = match text {
        Some(text) => Host::parse(text).map(|host| Found { host, tls: Default::default() }),
        None => Host::find(&|name| std::env::var(name).ok(), &|path| path.exists()),
    };
    let Found { mut host, tls } = found.map_err(|error| match text {
        Some(_) => at.invalid(error.to_string()).help("unix://…, tcp://…, http://… or https://…"),
        None => at.invalid(format!("DOCKER_HOST: {error}")).help("or say here which `host` it is"),
    })?;
    let from_url = match &mut host {
        Host::Web(url) => split_url_auth(url).map_err(|error| at.invalid(error.to_string()))?,
        Host::Unix(_) => None,
    };
    let mut http = http_client(node, block, from_url, ANSWER_TIMEOUT)?;
    let is_of_the_web = text.is_none_or(|text| text.starts_with("http"));
    if !is_of_the_web {
        for name in OF_THE_WEB.into_iter().filter(|name| block.get(name).is_some()) {
            let message = format!("`{name}` has no effect: this host is not reached by http:// or https://");
            reader.warnings.push(key(node, name).invalid(message).help("for TLS, write https:// for tcp://"));
        }
        http = http::Settings::plain(ANSWER_TIMEOUT);
    }
    if block.get("tls_config").is_none() {
        http.connection.tls = tls;
    }
    let endpoint = Endpoint::new(&host, &http).map_err(|error| at.invalid(chain(&error)))?;
    Ok((host.text(), endpoint))
}
