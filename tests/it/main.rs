//! The agent as users run it: the real program, real files, a Loki that can misbehave, a real Docker engine.
//! In: scenarios.  Out: what arrived, compared with what was written.  Owns: processes, ports, directories.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "tests measure the program from outside, by the real clock")]
#![allow(unreachable_pub, missing_docs, reason = "one binary: `pub` means for the other scenarios")]

#[path = "../support/support.rs"]
mod support;

mod agent;
mod archive;
mod buckets;
mod cardinality;
mod client_http;
mod concurrency;
mod config;
mod counters;
mod custody;
mod delivery;
mod docker;
mod docker_api;
mod docker_churn;
mod docker_files;
mod docker_restart;
mod doubles;
mod faults;
mod file_kinds;
mod files;
mod gelf;
mod https;
mod journal;
mod kills;
mod layout;
mod lifecycle;
mod metrics;
mod moving;
mod own_log;
mod pages;
mod pipeline_page;
mod prometheus;
mod push;
mod reload;
mod replay;
mod restart;
mod rotation;
mod senders;
mod service;
mod stages;
mod stdin;
mod syslog;
mod syslog_tls;
mod visitors;
mod writer;
