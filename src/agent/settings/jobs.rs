//! The `scrape_configs` list.
//! In: the list.  Out: jobs.  Owns: its tables.

mod docker_sd;
mod gelf;
mod push;
mod syslog;

use std::path::Path;
use std::sync::Arc;

use crate::agent::settings::Reader;
use crate::config::{Invalid, Kind, Node, Table, row};
use crate::discovery::{docker, files};
use crate::pipeline::Pipeline;
use crate::pipeline::relabel::{self, LabelMap, RULE, Rule};
use crate::record::Labels;
use crate::source;
use crate::source::listen::Take;
use crate::source::reception::Reception;

/// One entry of `scrape_configs`.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) rules: Arc<Vec<Rule>>,
    pub(crate) docker: Vec<docker::Settings>,
    pub(crate) files: Vec<files::Group>,
    pub(crate) push: Option<source::push::Settings>,
    pub(crate) syslog: Option<source::syslog::Settings>,
    pub(crate) gelf: Option<source::gelf::Settings>,
    /// Labels of all `static_configs`, as standard input gets them.
    pub(crate) static_labels: Labels,
}

impl Job {
    /// Ports that it listens on.
    pub(crate) fn ports(&self) -> impl Iterator<Item = &dyn Take> {
        let push = self.push.iter().map(|push| &*push.port as &dyn Take);
        push.chain(self.receptions().map(|reception| reception.port()))
    }

    /// What it receives with, where that can be handed to another job.
    pub(crate) fn receptions(&self) -> impl Iterator<Item = &Arc<Reception>> {
        let gelf = self.gelf.iter().map(|gelf| &gelf.reception);
        self.syslog.iter().map(|syslog| &syslog.reception).chain(gelf)
    }
}

pub(super) static JOB: Table = Table(&[
    row("job_name", Kind::Text, "", "Required, unique"),
    row("docker_sd_configs", Kind::List(&docker_sd::DOCKER), "", "Containers of a Docker daemon"),
    row("static_configs", Kind::List(&STATIC), "", "Files"),
    row("loki_push_api", Kind::Block(&push::PUSH), "", "What others push, Promtail or Loki's clients"),
    row("syslog", Kind::Block(&syslog::SYSLOG), "", "What others send in one of the formats of syslog"),
    row(
        "gelf",
        Kind::Block(&gelf::GELF),
        "",
        "What Docker's log driver and Graylog's libraries send over UDP",
    ),
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
    row("heroku_drain", Kind::Any, "", "").not_yet(),
    row("journal", Kind::Any, "", "").not_yet(),
    row("kafka", Kind::Any, "", "").not_yet(),
    row("kubernetes_sd_configs", Kind::Any, "", "").not_yet(),
    row("marathon_sd_configs", Kind::Any, "", "").not_yet(),
    row("nerve_sd_configs", Kind::Any, "", "").not_yet(),
    row("openstack_sd_configs", Kind::Any, "", "").not_yet(),
    row("serverset_sd_configs", Kind::Any, "", "").not_yet(),
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
    let docker =
        block.optional("docker_sd_configs", |list| list.list_of(|node| docker_sd::decode(node, reader)))?;
    let mut static_labels = Labels::default();
    let groups = block.optional("static_configs", |list| {
        list.list_of(|group| static_group(group, &rules, &mut static_labels, reader))
    })?;
    let push = block.optional("loki_push_api", push::decode)?;
    let syslog = block.optional("syslog", |node| syslog::decode(node, &name, &rules))?;
    let gelf = block.optional("gelf", |node| gelf::decode(node, &name, &rules))?;
    if docker.is_none() && groups.is_none() && push.is_none() && syslog.is_none() && gelf.is_none() {
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
        syslog,
        gelf,
        static_labels,
    })
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
