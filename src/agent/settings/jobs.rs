//! The `scrape_configs` list.
//! In: the list.  Out: jobs.  Owns: its tables.

mod journal;
mod push;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::agent::settings::Reader;
use crate::agent::settings::http_client::{AUTHORIZATION, BASIC_AUTH, HTTP_HEADER, OAUTH2, TLS};
use crate::config::{Invalid, Kind, Node, Row, Table, row};
use crate::discovery::{docker, files};
use crate::pipeline::Pipeline;
use crate::pipeline::relabel::{self, LabelMap, RULE, Rule};
use crate::record::Labels;
use crate::source;
use crate::source::docker::Endpoint;
use crate::source::listen::Take;

/// One entry of `scrape_configs`.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) rules: Arc<Vec<Rule>>,
    pub(crate) docker: Vec<docker::Settings>,
    pub(crate) files: Vec<files::Group>,
    pub(crate) push: Option<source::push::Settings>,
    pub(crate) journal: Option<source::journal::Settings>,
    /// Labels of all `static_configs`, as standard input gets them.
    pub(crate) static_labels: Labels,
}

impl Job {
    /// Ports that it listens on.
    pub(crate) fn ports(&self) -> impl Iterator<Item = &dyn Take> {
        self.push.iter().map(|push| &*push.port as &dyn Take)
    }
}

pub(super) static JOB: Table = Table(&[
    row("job_name", Kind::Text, "", "Required, unique"),
    row("docker_sd_configs", Kind::List(&DOCKER), "", "Containers of a Docker daemon"),
    row("static_configs", Kind::List(&STATIC), "", "Files"),
    row("loki_push_api", Kind::Block(&push::PUSH), "", "What others push, Promtail or Loki's clients"),
    row("journal", Kind::Block(&journal::JOURNAL), "", "The systemd journal"),
    row("relabel_configs", Kind::List(&RULE), "", "Rules that change a target's labels, or drop it"),
    row("pipeline_stages", Kind::Stages, "", "What happens to each line"),
    row("encoding", Kind::Text, "", "").not_yet(),
    row("decompression", Kind::Any, "", "").not_yet(),
    row("azure_event_hubs", Kind::Any, "", "").not_yet(),
    row("azure_sd_configs", Kind::Any, "", "").not_yet(),
    row("cloudflare", Kind::Any, "", "").not_yet(),
    row("consul_sd_configs", Kind::Any, "", "").not_yet(),
    row("consulagent_sd_configs", Kind::Any, "", "").not_yet(),
    row("digitalocean_sd_configs", Kind::Any, "", "").not_yet(),
    row("dns_sd_configs", Kind::Any, "", "").not_yet(),
    row("dockerswarm_sd_configs", Kind::Any, "", "").not_yet(),
    row("ec2_sd_configs", Kind::Any, "", "").not_yet(),
    row("file_sd_configs", Kind::Any, "", "").not_yet(),
    row("gce_sd_configs", Kind::Any, "", "").not_yet(),
    row("gcplog", Kind::Any, "", "").not_yet(),
    row("gelf", Kind::Any, "", "").not_yet(),
    row("heroku_drain", Kind::Any, "", "").not_yet(),
    row("kafka", Kind::Any, "", "").not_yet(),
    row("kubernetes_sd_configs", Kind::Any, "", "").not_yet(),
    row("marathon_sd_configs", Kind::Any, "", "").not_yet(),
    row("nerve_sd_configs", Kind::Any, "", "").not_yet(),
    row("openstack_sd_configs", Kind::Any, "", "").not_yet(),
    row("serverset_sd_configs", Kind::Any, "", "").not_yet(),
    row("syslog", Kind::Any, "", "").not_yet(),
    row("triton_sd_configs", Kind::Any, "", "").not_yet(),
    row("windows_events", Kind::Any, "", "").not_yet(),
]);

static STATIC: Table = Table(&[
    row(
        "labels",
        Kind::Labels,
        "",
        "`__path__` names the files: `*`, `?`, `[a-z]`, `{a,b}`, `**` over directories; `__path_exclude__` leaves out some of them; `filename` is added",
    ),
    row("targets", Kind::Texts, "[localhost]", "The first entry becomes `__address__`"),
]);

/// An option of the HTTP client that only has a meaning for `http://` and `https://` hosts.
const fn http_only(key: &'static str, kind: Kind) -> Row {
    row(key, kind, "", "").without_effect()
}

static DOCKER: Table = Table(&[
    row("host", Kind::Text, "", "Required: `unix://…`, `tcp://…` or `http://…`"),
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
    http_only("basic_auth", Kind::Block(&BASIC_AUTH)),
    http_only("authorization", Kind::Block(&AUTHORIZATION)),
    http_only("bearer_token", Kind::Secret),
    http_only("bearer_token_file", Kind::Text),
    http_only("oauth2", Kind::Block(&OAUTH2)),
    http_only("tls_config", Kind::Block(&TLS)),
    http_only("proxy_url", Kind::Url),
    http_only("no_proxy", Kind::Text),
    http_only("proxy_from_environment", Kind::Boolean),
    http_only("proxy_connect_header", Kind::Secrets),
    http_only("http_headers", Kind::Each(&HTTP_HEADER)),
    http_only("follow_redirects", Kind::Boolean),
    http_only("enable_http2", Kind::Boolean),
]);

/// Without these a request goes out that the user believes to be authenticated, or not to be direct.
const NEEDED_FOR_HTTP: [&str; 7] =
    ["basic_auth", "authorization", "bearer_token", "bearer_token_file", "oauth2", "tls_config", "proxy_url"];

static FILTER: Table = Table(&[
    row("name", Kind::Text, "", "Required: such as `label`, `name`, `network`"),
    row("values", Kind::Texts, "", "Required"),
]);

pub(super) fn decode(list: &Node, reader: &mut Reader<'_>) -> Result<Vec<Job>, Invalid> {
    let mut jobs: Vec<Job> = Vec::new();
    for node in list.list()? {
        let job = job(node, reader)?;
        if jobs.iter().any(|other| other.name == job.name) {
            return Err(node.invalid(format!("there are two jobs called `{}`", job.name)));
        }
        jobs.push(job);
    }
    Ok(jobs)
}

fn job(node: &Node, reader: &mut Reader<'_>) -> Result<Job, Invalid> {
    let block = node.block(&JOB)?;
    let name_node = block.required("job_name")?;
    let name = name_node.text()?.to_owned();
    if name.is_empty() {
        return Err(name_node.invalid("`job_name` is empty"));
    }
    let rules = block.optional("relabel_configs", |list| list.list_of(Rule::decode))?.unwrap_or_default();
    let stages = block.get("pipeline_stages");
    let pipeline = Pipeline::compile(stages, &reader.limits.pipeline, reader.registry, reader.own)?;
    let docker = block.optional("docker_sd_configs", |list| list.list_of(docker_sd))?;
    let mut static_labels = Labels::default();
    let groups = block.optional("static_configs", |list| {
        list.list_of(|group| static_group(group, &rules, &mut static_labels, reader))
    })?;
    let push = block.optional("loki_push_api", push::decode)?;
    let journal = block.optional("journal", |node| journal::decode(node, &rules, reader))?;
    if docker.is_none() && groups.is_none() && push.is_none() && journal.is_none() {
        let invalid = node.invalid(format!("job `{name}` reads nothing"));
        return Err(invalid.help("give it a source, such as `docker_sd_configs` or `static_configs`"));
    }
    Ok(Job {
        name,
        pipeline: Arc::new(pipeline),
        rules: Arc::new(rules),
        docker: docker.unwrap_or_default(),
        files: groups.unwrap_or_default().into_iter().flatten().collect(),
        push,
        journal,
        static_labels,
    })
}

fn docker_sd(node: &Node) -> Result<docker::Settings, Invalid> {
    let block = node.block(&DOCKER)?;
    let host = block.required("host")?;
    let endpoint = Endpoint::parse(host.text()?).map_err(|error| host.invalid(error.to_string()))?;
    let needed = NEEDED_FOR_HTTP.into_iter().find(|key| block.get(key).is_some());
    if let (Some(key), true) = (needed, host.text()?.starts_with("http")) {
        let message = format!("`{key}` for a Docker host is not supported by this version yet");
        return Err(host.invalid(message).help("use unix://, or a socket proxy on this host"));
    }
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
    Ok(settings)
}

/// One `static_configs` item: a group of files, or none where relabelling drops it.
fn static_group(
    node: &Node,
    rules: &[Rule],
    all_labels: &mut Labels,
    reader: &mut Reader<'_>,
) -> Result<Option<files::Group>, Invalid> {
    let block = node.block(&STATIC)?;
    // Promtail makes a target of each name here, all with the same files; one is enough.
    let targets = block.optional("targets", |list| list.list_of(|name| Ok(name.text()?.to_owned())))?;
    let address =
        targets.and_then(|targets| targets.into_iter().next()).unwrap_or_else(|| "localhost".to_owned());
    let mut labels = LabelMap::from([("__address__".to_owned(), address)]);
    for (key, value) in block.optional("labels", Node::entries)?.unwrap_or_default() {
        labels.insert(key.text()?.to_owned(), value.text()?.to_owned());
        if !key.text()?.starts_with("__") {
            all_labels.set(key.text()?, value.text()?);
        }
    }
    let Some(mut labels) = relabel::apply(rules, labels) else { return Ok(None) };
    if let Some(host) = labels.remove("__host__").filter(|host| *host != hostname()) {
        let warning = node.invalid(format!("this group is for the host `{host}`, and this one is another"));
        reader.warnings.push(warning);
        return Ok(None);
    }
    let Some(path) = labels.remove("__path__") else {
        // Promtail counts it as a failed target and goes on with the others.
        let warning = node.invalid("this group has no `__path__` label, so it names no files");
        reader.warnings.push(warning.help("labels: {__path__: /var/log/*.log}"));
        return Ok(None);
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

/// This host's name, as Promtail asks for it.
fn hostname() -> String {
    let given = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    let kernel =
        || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    given.unwrap_or_else(kernel)
}

fn absolute(pattern: &str) -> String {
    match std::env::current_dir() {
        Ok(directory) if !Path::new(pattern).is_absolute() => directory.join(pattern).display().to_string(),
        _ => pattern.to_owned(),
    }
}
