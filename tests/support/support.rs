//! What the integration tests stand on: a Loki that can misbehave on purpose, a ledger of what was written, a generator
//! of log lines, and a Docker engine of our own.
//! In: what a test sets up.  Out: what really arrived, and a verdict that names the lines.  Owns: ports, containers.
//!
//! Nothing here may share code with the agent: a double that encodes with the agent's own code agrees with its bugs.
#![allow(dead_code, reason = "one binary, many scenarios: a helper may wait for the test that needs it")]
#![allow(unreachable_pub, reason = "`pub` here means: for tests to use")]
#![allow(
    missing_docs,
    reason = "names in test support are read at the place of use; docs are given where they add"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a broken test support must stop the test at once"
)]

pub mod docker;
pub mod docker_host;
pub mod fake_docker;
pub mod fake_loki;
pub mod journal;
pub mod ledger;
pub mod moto;
