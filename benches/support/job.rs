//! The job of the benchmarks: an agent that carries Docker json-file logs as bot-core writes them.
//! In: logs, where to push.  Out: a running agent.  Owns: nothing.

use std::path::Path;

use crate::agent::{Agent, Cores};

pub const FILES: u64 = 6;

/// Behind `docker`, where lines come with their envelope.
pub const STAGES: &str = "  - json: {expressions: {timestamp: , level: , service: , duration_ms: }}
  - labels: {level: , service: }
  - timestamp: {source: timestamp, format: RFC3339Nano}
  - metrics: {lines_total: {type: Counter, config: {match_all: true, action: inc}}}
";

/// A job that reads the logs of a directory through these stages, in the words of the configuration.
pub fn files(directory: &Path, stages: &str) -> String {
    format!(
        "scrape_configs:\n- job_name: bench\n  static_configs: [{{labels: {{job: bench, __path__: '{}/c*.log'}}}}]\n  \
         pipeline_stages:\n  - docker: {{}}\n{stages}",
        directory.display()
    )
}

/// An agent that carries the logs of a directory to `sink`, if there is one; `more` is added to its configuration.
pub fn start(directory: &Path, sink: Option<u16>, more: &str, cores: Cores) -> Agent {
    Agent::start(directory, sink, &(more.to_owned() + &files(directory, STAGES)), cores)
}

/// A job that follows all containers of a daemon through its API.
pub fn containers(socket: &Path, stages: &str) -> String {
    format!(
        "scrape_configs:\n- job_name: bench\n  docker_sd_configs: [{{host: 'unix://{}', refresh_interval: 5s, logs: api}}]\n  \
         relabel_configs:\n  - {{source_labels: [__meta_docker_container_name], target_label: container}}\n  \
         pipeline_stages:\n{stages}",
        socket.display()
    )
}
