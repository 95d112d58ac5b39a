//! The `scrape_configs` list.
//! In: the list.  Out: jobs.  Owns: its tables.

mod docker_sd;
mod files;
mod gelf;
mod journal;
mod push;
mod syslog;

use std::sync::Arc;

use crate::agent::settings::Reader;
use crate::config::{Invalid, Kind, Node, Table, row};
use crate::discovery::docker;
use crate::pipeline::Pipeline;
use crate::pipeline::relabel::{RULE, Rule};
use crate::record::Labels;
use crate::source;
use crate::source::listen::Take;
use crate::source::reception::Reception;

pub(crate) use files::Files;

/// One entry of `scrape_configs`.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) rules: Arc<Vec<Rule>>,
    pub(crate) docker: Vec<docker::Settings>,
    pub(crate) files: Files,
    pub(crate) push: Option<source::push::Settings>,
    pub(crate) journal: Option<source::journal::Settings>,
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
    row("static_configs", Kind::List(&files::STATIC), "", "Files"),
    row("file_sd_configs", Kind::List(&files::LISTED), "", "Files, as other files list them"),
    row("loki_push_api", Kind::Block(&push::PUSH), "", "What others push, Promtail or Loki's clients"),
    row("journal", Kind::Block(&journal::JOURNAL), "", "The systemd journal"),
    row("syslog", Kind::Block(&syslog::SYSLOG), "", "What others send in one of the formats of syslog"),
    row(
        "gelf",
        Kind::Block(&gelf::GELF),
        "",
        "What Docker's log driver and Graylog's libraries send over UDP",
    ),
    row("relabel_configs", Kind::List(&RULE), "", "Rules that change a target's labels, or drop it"),
    row("pipeline_stages", Kind::Stages, "", "What happens to each line"),
    row(
        "encoding",
        Kind::Text,
        "",
        "What files are written in, by its name on the Web: `utf-16`, `windows-1252`, `shift_jis`, …; without it, bytes are sent as they are",
    ),
    row("decompression", Kind::Block(&files::DECOMPRESSION), "", "Read files as compressed ones, each once"),
    row("azure_event_hubs", Kind::Any, "", "").not_yet(),
    row("azure_sd_configs", Kind::Any, "", "").not_yet(),
    row("cloudflare", Kind::Any, "", "").not_yet(),
    row("consul_sd_configs", Kind::Any, "", "").not_yet(),
    row("consulagent_sd_configs", Kind::Any, "", "").not_yet(),
    row("digitalocean_sd_configs", Kind::Any, "", "").not_yet(),
    row("dns_sd_configs", Kind::Any, "", "").not_yet(),
    row("dockerswarm_sd_configs", Kind::Any, "", "").not_yet(),
    row("ec2_sd_configs", Kind::Any, "", "").not_yet(),
    row("gce_sd_configs", Kind::Any, "", "").not_yet(),
    row("gcplog", Kind::Any, "", "").not_yet(),
    row("heroku_drain", Kind::Any, "", "").not_yet(),
    row("kafka", Kind::Any, "", "").not_yet(),
    row("kubernetes_sd_configs", Kind::Any, "", "").not_yet(),
    row("marathon_sd_configs", Kind::Any, "", "").not_yet(),
    row("nerve_sd_configs", Kind::Any, "", "").not_yet(),
    row("openstack_sd_configs", Kind::Any, "", "").not_yet(),
    row("serverset_sd_configs", Kind::Any, "", "").not_yet(),
    row("triton_sd_configs", Kind::Any, "", "").not_yet(),
    row("windows_events", Kind::Any, "", "").not_yet(),
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
    let rules = Arc::new(rules);
    let files = files::decode(&block, &rules, &mut static_labels, reader)?;
    let push = block.optional("loki_push_api", push::decode)?;
    let journal = block.optional("journal", |node| journal::decode(node, &rules, reader))?;
    let syslog = block.optional("syslog", |node| syslog::decode(node, &name, &rules))?;
    let gelf = block.optional("gelf", |node| gelf::decode(node, &name, &rules))?;
    let receives = push.is_some() || syslog.is_some() || gelf.is_some();
    if docker.is_none() && files.is_none() && journal.is_none() && !receives {
        let invalid = node.invalid(format!("job `{name}` reads nothing"));
        return Err(invalid.help("give it a source, such as `docker_sd_configs` or `static_configs`"));
    }
    Ok(Job {
        pipeline: Arc::new(pipeline.of_job(&name)),
        name,
        rules,
        docker: docker.unwrap_or_default(),
        files: files.unwrap_or_default(),
        push,
        journal,
        syslog,
        gelf,
        static_labels,
    })
}
