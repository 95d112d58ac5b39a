//! What the agent shows and is told on its own pages.

use std::fs;

use crate::agent::{Agent, PATIENCE, client, configuration, send};
use crate::support::fake_loki::{FakeLoki, Fault, Limits};

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

fn json(agent: &Agent, path: &str) -> serde_json::Value {
    let (status, body) = send(agent.address(), "GET", path, "Accept: application/json\r\n", b"").unwrap();
    assert_eq!(status, 200);
    serde_json::from_str(&body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_are_shown_with_what_was_read_and_how_far_that_is_behind() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    loki.answer_all(Fault::Status(500, "no".to_owned()));
    let file = directory.path().join("<b>.log");
    fs::write(&file, "keep\ndrop me\nkeep\n").unwrap();
    let job = format!(
        "- job_name: files\n  static_configs: [{{labels: {{team: 'a&b', __path__: '{0}/*.log'}}}}, \
         {{labels: {{team: none, __path__: '{0}/*.log'}}}}]\n  \
         relabel_configs: [{{action: drop, source_labels: [team], regex: none}}]\n  \
         pipeline_stages: [{{drop: {{expression: drop, drop_counter_reason: unwanted}}}}]",
        directory.path().display()
    );
    let client = client(&loki.url()).replace("{url:", "{spool: {enabled: false}, url:");
    let agent = Agent::start(directory.path(), &configuration(directory.path(), &client, &job));
    agent.wait_for_metric("tailwater_push_retries_total", |retries| retries > 0.0);

    let targets = json(&agent, "/targets");
    let target = &targets["targets"][0];
    assert_eq!(target["target"], file.display().to_string());
    assert_eq!((&target["job"], &target["kind"]), (&"files".into(), &"file".into()));
    assert_eq!((&target["lines_read"], &target["bytes_read"]), (&3.into(), &15.into()));
    assert_eq!(target["lines_dropped"], serde_json::json!({"unwanted": 1}));
    assert_eq!(target["bytes_unread"], 0);
    assert!(target["bytes_unsettled"].as_u64().unwrap() > 0, "{target}");
    let instance = &target["instances"][0];
    assert_eq!(instance["state"], "reading");
    assert_eq!(instance["file"], serde_json::json!({"offset": 18, "length": 18}));
    assert_eq!(instance["labels"]["team"], "a&b");
    assert_eq!(instance["discovered_labels"]["__address__"], "localhost");

    let (status, page) = agent.get("/targets");
    assert!(status == 200 && page.contains("&lt;b&gt;.log") && !page.contains("<b>.log"), "{page}");
    assert!(page.contains("team=&quot;a&amp;b&quot;") || page.contains("team=\"a&amp;b\""), "{page}");

    let found = json(&agent, "/service-discovery");
    let found = &found["jobs"]["files"];
    assert_eq!((&found["left_out_count"], found["read"].as_array().unwrap().len()), (&1.into(), 1));
    assert_eq!(found["left_out"][0]["reason"], "relabelling drops it");
    assert_eq!(found["left_out"][0]["discovered_labels"]["team"], "none");
    let (status, page) = agent.get("/service-discovery");
    assert!(status == 200 && page.contains("files (1 of 2 are read)"), "{page}");

    loki.heal();
    loki.wait_for(|store| store.entries.len() == 2, PATIENCE).await.unwrap();
    agent.wait_for_metric("tailwater_open_chunks", |chunks| chunks == 0.0);
    let targets = json(&agent, "/targets");
    assert_eq!(targets["targets"][0]["bytes_unsettled"], 0);
    assert_eq!(targets["targets"][0]["seconds_behind"], 0.0);
    fs::remove_file(&file).unwrap();
    agent.wait_for_metric("tailwater_targets_active", |active| active == 0.0);
    assert_eq!(json(&agent, "/targets")["targets"][0]["instances"], serde_json::json!([]), "it is gone");
    agent.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_wait_behind_a_rate_limit_are_behind_and_make_the_agent_not_ready() {
    let directory = tempfile::tempdir().unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    fs::write(directory.path().join("app.log"), "one\ntwo\nthree\n").unwrap();
    let job = format!(
        "- {{job_name: files, static_configs: [{{labels: {{__path__: '{}/*.log'}}}}], \
         pipeline_stages: [{{limit: {{rate: 0.001, burst: 1}}}}]}}",
        directory.path().display()
    );
    let text = configuration(directory.path(), &client(&loki.url()), &job);
    let text = text.replace("http_listen_port: 0", "http_listen_port: 0, stalled_after: 300ms");
    let agent = Agent::start(directory.path(), &text);
    agent.wait_for_page_within(PATIENCE, "/ready", |(status, body)| {
        *status == 503 && body.contains("bytes are behind") && body.contains("nothing was settled for")
    });
    agent.terminate();
}
