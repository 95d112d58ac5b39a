//! From the YAML tree to settings: every rule of every block, in one place.
//! In: the root node.  Out: [`Settings`].  Owns: nothing.

mod http_client;

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use crate::agent::settings::http_client::{http_client, pusher_headers, web_address};
use crate::config::{Invalid, NOTHING, Node};
use crate::discovery::relabel::{self, LabelMap, Rule};
use crate::discovery::{docker, files};
use crate::flow::BackoffSettings;
use crate::http::split_url_auth;
use crate::metrics::{Own, Registry};
use crate::pipeline::Pipeline;
use crate::record::Labels;
use crate::source::docker::Endpoint;
use crate::{batch, custody, delivery, server};

/// A whole configuration, ready to run.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) server: Option<server::Settings>,
    pub(crate) log_level: LevelFilter,
    pub(crate) positions: custody::Settings,
    /// Empty: print instead of pushing.
    pub(crate) clients: Vec<delivery::Settings>,
    pub(crate) jobs: Vec<Job>,
    /// How often globs are looked at.
    pub(crate) sync_period: Duration,
}

/// One entry of `scrape_configs`.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) rules: Arc<Vec<Rule>>,
    pub(crate) docker: Vec<docker::Settings>,
    pub(crate) files: Vec<files::Group>,
}

const DEFAULT_POSITIONS: &str = "/var/log/positions.yaml";

/// Promtail listens on port 80 unless told otherwise; its packages, and everyone's configurations, say 9080.
const DEFAULT_PORT: u64 = 9080;

const OTHER_TARGETS: [&str; 26] = [
    "azure_event_hubs",
    "azure_sd_configs",
    "cloudflare",
    "consul_sd_configs",
    "consulagent_sd_configs",
    "decompression",
    "digitalocean_sd_configs",
    "dns_sd_configs",
    "dockerswarm_sd_configs",
    "ec2_sd_configs",
    "encoding",
    "file_sd_configs",
    "gce_sd_configs",
    "gcplog",
    "gelf",
    "heroku_drain",
    "journal",
    "kafka",
    "kubernetes_sd_configs",
    "loki_push_api",
    "marathon_sd_configs",
    "nerve_sd_configs",
    "openstack_sd_configs",
    "serverset_sd_configs",
    "syslog",
    "windows_events",
];

impl Settings {
    /// Reads the root of a configuration.
    pub(crate) fn decode(root: &Node, registry: &Registry, own: &Own) -> Result<Settings, Invalid> {
        let block = root.block()?;
        block.not_yet(&["global", "limits_config", "options", "tracing", "wal"])?;
        let (server, log_level) = server_block(block.get("server").unwrap_or(&NOTHING))?;
        let positions = positions(block.get("positions").unwrap_or(&NOTHING))?;
        let mut clients = Clients::default();
        for node in block.optional("clients", Node::list)?.unwrap_or_default() {
            clients.add(node)?;
        }
        if let Some(node) = block.get("client") {
            clients.add_single(node)?;
        }
        let jobs = block.optional("scrape_configs", |list| jobs(list, registry, own))?.unwrap_or_default();
        let sync_period = block.optional("target_config", sync_period)?.unwrap_or(Duration::from_secs(10));
        block.finish()?;
        Ok(Settings { server, log_level, positions, clients: clients.named_apart(), jobs, sync_period })
    }
}

impl Settings {
    /// Adds labels to every client that does not have them.
    pub(crate) fn add_external_labels(&mut self, labels: &[(String, String)]) {
        let labels: Labels = labels.iter().map(|(name, value)| (name, value.as_str())).collect();
        merge_external_labels(&mut self.clients, &labels);
    }
}

fn merge_external_labels(clients: &mut [delivery::Settings], labels: &Labels) {
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
        let named = node.block()?.get("name").filter(|name| name.scalar() != Some(""));
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
        let block = node.block()?;
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

fn server_block(node: &Node) -> Result<(Option<server::Settings>, LevelFilter), Invalid> {
    let block = node.block()?;
    let address = block.optional("http_listen_address", |node| match node.text()? {
        "" => Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        text => text.parse().map_err(|_| node.invalid("expected an IP address")),
    })?;
    let port = block.optional("http_listen_port", Node::count)?.unwrap_or(DEFAULT_PORT);
    let port = u16::try_from(port).map_err(|_| node.invalid(format!("{port} is no port number")))?;
    let log_level = block.optional("log_level", |node| {
        let level = match node.text()? {
            "debug" => LevelFilter::DEBUG,
            "info" => LevelFilter::INFO,
            "warn" => LevelFilter::WARN,
            "error" => LevelFilter::ERROR,
            other => {
                let invalid = node.invalid(format!("unknown log level `{other}`"));
                return Err(invalid.help("one of debug, info, warn, error"));
            }
        };
        Ok(level)
    })?;
    block.optional("log_format", |node| match node.text()? {
        "logfmt" => Ok(()),
        other => Err(node.invalid(format!("the log format `{other}` is not supported by this version yet"))),
    })?;
    // There is no gRPC server here; nearly every configuration says so by port 0.
    for ignored in ["grpc_listen_port", "grpc_listen_address"] {
        block.raw(ignored);
    }
    let disabled = block.optional("disable", Node::boolean)?.unwrap_or(false);
    block.finish()?;
    let listen = SocketAddr::new(address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), port);
    Ok(((!disabled).then_some(server::Settings { listen }), log_level.unwrap_or(LevelFilter::INFO)))
}

fn above_zero(node: &Node) -> Result<Duration, Invalid> {
    match node.duration()? {
        Duration::ZERO => Err(node.invalid("this duration must be above 0")),
        duration => Ok(duration),
    }
}

fn positions(node: &Node) -> Result<custody::Settings, Invalid> {
    let block = node.block()?;
    let file = block.optional("filename", |node| Ok(PathBuf::from(node.text()?)))?;
    let sync_period = block.optional("sync_period", above_zero)?;
    // A damaged file never keeps the agent from starting, so there is nothing to switch.
    block.optional("ignore_invalid_yaml", Node::boolean)?;
    block.finish()?;
    Ok(custody::Settings {
        file: file.unwrap_or_else(|| DEFAULT_POSITIONS.into()),
        sync_period: sync_period.unwrap_or(Duration::from_secs(10)),
    })
}

fn sync_period(node: &Node) -> Result<Duration, Invalid> {
    let block = node.block()?;
    block.not_yet(&["stdin"])?;
    let period = block.optional("sync_period", Node::duration)?.filter(|period| !period.is_zero());
    block.finish()?;
    Ok(period.unwrap_or(Duration::from_secs(10)))
}

fn client(node: &Node) -> Result<delivery::Settings, Invalid> {
    let block = node.block()?;
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
        backoff: backoff(block.get("backoff_config").unwrap_or(&NOTHING))?,
        batch: batch::Settings {
            wait: block.optional("batchwait", Node::duration)?.unwrap_or(Duration::from_secs(1)),
            size: usize::try_from(block.optional("batchsize", Node::count)?.unwrap_or(1024 * 1024))
                .unwrap_or(usize::MAX),
            external_labels,
            tenant: tenant.map(Into::into),
        },
    };
    block.finish()?;
    Ok(settings)
}

fn backoff(node: &Node) -> Result<BackoffSettings, Invalid> {
    let block = node.block()?;
    let min = block.optional("min_period", Node::duration)?.unwrap_or(Duration::from_millis(500));
    let max = block.optional("max_period", Node::duration)?.unwrap_or(Duration::from_secs(300));
    // Promtail gives up and drops the lines after so many tries. Here they are kept for as long as it takes.
    block.optional("max_retries", Node::count)?;
    block.finish()?;
    Ok(BackoffSettings { min, max })
}

fn jobs(list: &Node, registry: &Registry, own: &Own) -> Result<Vec<Job>, Invalid> {
    let mut jobs: Vec<Job> = Vec::new();
    for node in list.list()? {
        let job = job(node, registry, own)?;
        if jobs.iter().any(|other| other.name == job.name) {
            return Err(node.invalid(format!("there are two jobs called `{}`", job.name)));
        }
        jobs.push(job);
    }
    Ok(jobs)
}

fn job(node: &Node, registry: &Registry, own: &Own) -> Result<Job, Invalid> {
    let block = node.block()?;
    block.not_yet(&OTHER_TARGETS)?;
    let name_node = block.required("job_name")?;
    let name = name_node.text()?.to_owned();
    if name.is_empty() {
        return Err(name_node.invalid("`job_name` is empty"));
    }
    let rules = block.optional("relabel_configs", |list| list.list_of(Rule::decode))?.unwrap_or_default();
    let pipeline = Pipeline::compile(block.get("pipeline_stages"), registry, own)?;
    let docker = block.optional("docker_sd_configs", |list| list.list_of(docker_sd))?;
    let groups =
        block.optional("static_configs", |list| list.list_of(|group| static_group(group, &rules)))?;
    if docker.is_none() && groups.is_none() {
        let invalid = node.invalid(format!("job `{name}` reads nothing"));
        return Err(invalid.help("give it `docker_sd_configs` or `static_configs`"));
    }
    block.finish()?;
    Ok(Job {
        name,
        pipeline: Arc::new(pipeline),
        rules: Arc::new(rules),
        docker: docker.unwrap_or_default(),
        files: groups.unwrap_or_default().into_iter().flatten().collect(),
    })
}

fn docker_sd(node: &Node) -> Result<docker::Settings, Invalid> {
    let block = node.block()?;
    let host = block.required("host")?;
    let endpoint = Endpoint::parse(host.text()?).map_err(|error| host.invalid(error.to_string()))?;
    let refresh_interval =
        block.optional("refresh_interval", |node| match node.prometheus_duration()? {
            Duration::ZERO => Err(node.invalid("`refresh_interval` must be above 0")),
            interval => Ok(interval),
        })?;
    let mut filters: HashMap<String, Vec<String>> = HashMap::new();
    for filter in block.optional("filters", Node::list)?.unwrap_or_default() {
        let entry = filter.block()?;
        let name = entry.required("name")?.text()?.to_owned();
        let values = entry.required("values")?.list_of(|value| Ok(value.text()?.to_owned()))?;
        entry.finish()?;
        filters.entry(name).or_default().extend(values);
    }
    // There is one target per container whatever its networks, so this option has nothing to decide.
    block.optional("match_first_network", Node::boolean)?;
    let settings = docker::Settings {
        host: host.text()?.to_owned(),
        endpoint,
        refresh_interval: refresh_interval.unwrap_or(Duration::from_secs(60)),
        filters,
        port: block.optional("port", Node::count)?.unwrap_or(80),
        host_networking_host: block
            .optional("host_networking_host", Node::text)?
            .unwrap_or("localhost")
            .to_owned(),
    };
    block.finish()?;
    Ok(settings)
}

/// One `static_configs` item: a group of files, or none where relabelling drops it.
fn static_group(node: &Node, rules: &[Rule]) -> Result<Option<files::Group>, Invalid> {
    let block = node.block()?;
    // Promtail makes a target of each name here, all with the same files; one is enough.
    let targets = block.optional("targets", |list| list.list_of(|name| Ok(name.text()?.to_owned())))?;
    let address =
        targets.and_then(|targets| targets.into_iter().next()).unwrap_or_else(|| "localhost".to_owned());
    let mut labels = LabelMap::from([("__address__".to_owned(), address)]);
    for (key, value) in block.optional("labels", Node::entries)?.unwrap_or_default() {
        labels.insert(key.text()?.to_owned(), value.text()?.to_owned());
    }
    block.finish()?;
    let Some(mut labels) = relabel::apply(rules, labels) else { return Ok(None) };
    let Some(path) = labels.remove("__path__") else {
        let invalid = node.invalid("this group has no `__path__` label, so it names no files");
        return Err(invalid.help("labels: {__path__: /var/log/*.log}"));
    };
    let compile = |pattern: &str| {
        files::glob(pattern)
            .map_err(|error| node.invalid(format!("`{pattern}` is no file pattern: {}", error.kind())))
    };
    let pattern = absolute(&path);
    let exclude =
        labels.remove("__path_exclude__").map(|pattern| compile(&absolute(&pattern))).transpose()?;
    let include = compile(&pattern)?;
    Ok(Some(files::Group { pattern, include, exclude, labels: relabel::visible(labels) }))
}

fn absolute(pattern: &str) -> String {
    match std::env::current_dir() {
        Ok(directory) if !Path::new(pattern).is_absolute() => directory.join(pattern).display().to_string(),
        _ => pattern.to_owned(),
    }
}

fn labels(node: &Node) -> Result<Labels, Invalid> {
    let mut labels = Labels::default();
    for (key, value) in node.entries()? {
        labels.set(key.text()?, value.text()?);
    }
    Ok(labels)
}
