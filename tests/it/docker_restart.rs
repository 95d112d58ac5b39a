//! Containers that are restarted, stopped and started at random, and a daemon that is restarted in the middle of it.
//!
//! `TAILWATER_CROWD` says how many containers, `TAILWATER_CROWD_ACTIONS` how many actions.

use std::time::Duration;

use crate::agent::Agent;
use crate::docker::{Crowd, Random, arrived, check, configuration};
use crate::support::docker::OwnEngine;
use crate::support::fake_loki::{FakeLoki, Limits};

/// A large crowd prints more than a debug build carries while it runs.
const CATCH_UP: Duration = Duration::from_secs(300);

fn from_environment(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_arrives_once_over_restarts_of_containers_and_of_the_daemon() {
    let Some(own) = OwnEngine::start_or_skip() else { return };
    let (containers, actions) =
        (from_environment("TAILWATER_CROWD", 10), from_environment("TAILWATER_CROWD_ACTIONS", 40));
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits { max_streams: 100_000, ..Limits::default() });
    let mut random = Random::seeded();
    let crowd = Crowd::create(&own.engine, containers);
    let agent = Agent::start(directory.path(), &configuration(&own.engine, directory.path(), &loki));
    for action in 0..actions {
        if action == actions / 2 {
            own.restart();
        }
        crowd.act(&mut random);
    }
    let expected = crowd.finish();
    let seen = loki.wait_for(arrived(&expected), CATCH_UP).await;
    println!("{} lines\n{}", expected.len(), agent.terminate().1);
    check(&loki, &expected);
    seen.unwrap();
}
