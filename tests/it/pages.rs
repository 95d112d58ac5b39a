//! What the agent shows and is told on its own pages.

use std::fs;

use crate::agent::{Agent, configuration, send};

#[test]
fn the_configuration_in_force_is_shown_without_its_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let text = |job: &str| {
        let client = "- {url: 'http://me:hunter2@127.0.0.1:1/', tenant_id: t1}";
        let job = format!("- {{job_name: {job}, static_configs: [{{labels: {{__path__: '/none/*.log'}}}}]}}");
        configuration(directory.path(), client, &job)
    };
    let agent = Agent::start(directory.path(), &text("first"));
    let (status, page) = agent.get("/config");
    assert_eq!(status, 200);
    assert!(page.contains("job_name: first") && page.contains("tenant_id: t1"), "{page}");
    assert!(page.contains("batchwait: 1s"), "defaults are filled in: {page}");
    assert!(!page.contains("hunter2"), "{page}");

    fs::write(directory.path().join("tailwater.yaml"), text("second")).unwrap();
    agent.signal("HUP");
    agent.wait_for_log("the configuration is in force");
    assert!(agent.get("/config").1.contains("job_name: second"));
    agent.terminate();
}

#[test]
fn the_level_of_the_log_is_changed_while_it_runs() {
    let directory = tempfile::tempdir().unwrap();
    let agent = Agent::start(directory.path(), &configuration(directory.path(), "", ""));
    assert_eq!(agent.get("/log_level"), (200, r#"{"message":"Current log level is info"}"#.to_owned()));
    let set = |path: &str, form: &str| send(agent.address(), "POST", path, "", form.as_bytes()).unwrap();
    assert_eq!(
        set("/log_level", "log_level=warn"),
        (200, r#"{"message":"Log level set to warn","status":"success"}"#.to_owned())
    );
    assert_eq!(agent.get("/log_level").1, r#"{"message":"Current log level is warn"}"#);
    assert_eq!(set("/log_level?log_level=debug", "").0, 200);
    let (status, said) = set("/log_level", "log_level=loud");
    assert_eq!(status, 400);
    assert!(said.contains("one of debug, info, warn, error"), "{said}");
    assert_eq!(agent.get("/log_level").1, r#"{"message":"Current log level is debug"}"#);
    agent.terminate();
}
