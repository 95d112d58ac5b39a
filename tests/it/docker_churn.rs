//! Containers by the thousand that come, print and go: nothing of them stays.

use crate::agent::{Agent, client};
use crate::support::docker_host::{Container, DockerHost, Manners, id};
use crate::support::fake_loki::{FakeLoki, Limits};

use std::time::Duration;

/// How many come and go; 100,000 take some minutes.
fn containers() -> usize {
    let given = std::env::var("TAILWATER_CHURN_CONTAINERS").ok();
    given.map_or(5_000, |count| count.parse().unwrap())
}

/// That run at a time.
const CROWD: usize = 100;

/// What should not grow.
#[derive(Debug)]
struct Footprint {
    resident_kib: u64,
    descriptors: usize,
    series: usize,
}

impl Footprint {
    /// At a moment when all containers are gone.
    fn of(agent: &Agent) -> Footprint {
        agent.wait_for_metric("tailwater_targets_active", |active| active == 0.0);
        agent.wait_for_metric("tailwater_positions_tracked", |tracked| tracked == 0.0);
        let (_, page) = agent.get("/metrics");
        // Those of targets are there for two minutes more; at most of 1,000 each, and the others together.
        let (of_targets, others): (Vec<&str>, Vec<&str>) = page
            .lines()
            .filter(|line| !line.starts_with('#'))
            .partition(|line| line.starts_with("tailwater_target_") && line.contains("target="));
        assert!(of_targets.len() <= 6 * 1000, "{} series of targets", of_targets.len());
        let series = others.iter().filter(|line| !line.contains("overflow=")).count();
        Footprint { resident_kib: agent.resident_kib(), descriptors: agent.descriptors(), series }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_containers_that_come_and_go_leave_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let total = containers();
    let limits = Limits { max_streams: 2 * total + 10, ..Limits::any_time() };
    let loki = FakeLoki::start(limits);
    let docker = DockerHost::start(directory.path(), Manners::default());
    let text = format!(
        "server: {{http_listen_address: 127.0.0.1, http_listen_port: 0}}\n\
         positions: {{filename: '{0}/positions.yaml', sync_period: 100ms}}\n\
         clients:\n{1}\n\
         scrape_configs:\n- {{job_name: d, docker_sd_configs: [{{host: '{2}', refresh_interval: 1s}}]}}\n",
        directory.path().display(),
        client(&loki.url()),
        docker.host()
    );
    let agent = Agent::start(directory.path(), &text);
    let mut before = None;
    for round in 0..total / CROWD {
        let ids: Vec<String> = (round * CROWD..(round + 1) * CROWD).map(id).collect();
        for (number, id) in ids.iter().enumerate() {
            let name = format!("job-{round}-{number}");
            docker.add(id, Container { name, ..Container::default() });
            docker.print(id, 1, "begins");
            docker.print(id, 2, "ends");
        }
        let lines = (round + 1) * CROWD * 2;
        let patience = Duration::from_secs(60);
        loki.wait_for(|store| store.entries.len() >= lines, patience).await.unwrap();
        for id in &ids {
            docker.stop(id);
            docker.remove(id);
        }
        // Caches with a bound of their own are full by then.
        if round + 1 == total / CROWD / 2 {
            before = Some(Footprint::of(&agent));
        }
    }
    let (before, after) = (before.unwrap(), Footprint::of(&agent));
    println!("{total} containers: {before:?} {after:?}");
    assert_eq!(loki.entries().len(), total * 2);
    assert!(loki.duplicates().is_empty());
    assert!(after.descriptors <= before.descriptors + 5, "{before:?} {after:?}");
    assert_eq!(after.series, before.series, "{before:?} {after:?}");
    // Allocators keep some of what they were given.
    assert!(after.resident_kib < before.resident_kib * 5 / 4 + 4096, "{before:?} {after:?}");
    agent.assert_nothing_is_missing();
    agent.terminate();
}
