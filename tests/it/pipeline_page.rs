//! What the agent shows of its pipelines while they run.

use std::fs;

use serde_json::{Value, json};

use crate::agent::{Agent, PATIENCE, client, configuration, send};
use crate::support::fake_loki::{FakeLoki, Limits};

const STAGES: &str = "
  - json: {expressions: {level, user, time, noise}}
  - drop: {source: level, value: debug, drop_counter_reason: too_much}
  - labels: {level}
  - match:
      selector: '{level=\"error\"} |= \"level\"'
      stages:
      - timestamp: {source: time, format: RFC3339}
      - drop: {source: noise, value: '<b>', drop_counter_reason: '<i>noise'}
  - multiline: {firstline: '^#', max_wait_time: 1h}
";

const LINES: &str = r##"{"level":"info","user":"ann"}
{"level":"debug","user":"bob"}
{"level":"error","user":"eve","secret":"hunter2"}
{"level":"error","time":"2024-01-01T00:00:00Z","noise":"<b>"}
login=Tr0ub4dor&3 <script>alert(1)</script> {"user": "mallory"
# first
  of three
  lines
# second
  not complete
"##;

fn job(name: &str, file: &std::path::Path, stages: &str) -> String {
    let stages = stages.trim_end();
    format!(
        "- job_name: {name}\n  static_configs: [{{labels: {{job: j, __path__: '{}'}}}}]\n  pipeline_stages:{stages}\n",
        file.display()
    )
}

/// What the page says of a job, as JSON.
fn shown(agent: &Agent, job: &str) -> Value {
    let (status, page) = agent.get("/debug/pipeline?format=json");
    assert_eq!(status, 200);
    let page: Value = serde_json::from_str(&page).unwrap();
    page["jobs"].as_array().unwrap().iter().find(|shown| shown["job"] == job).cloned().unwrap_or_default()
}

fn wait_for_lines(agent: &Agent, count: u64) {
    let lines = |page: &str| -> u64 {
        let page: Value = serde_json::from_str(page).unwrap();
        page["jobs"].as_array().unwrap().iter().map(|job| job["lines"].as_u64().unwrap()).sum()
    };
    let path = "/debug/pipeline?format=json";
    agent.wait_for_page_within(PATIENCE, path, |(_, page)| lines(page) == count);
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_relabelling_drops_are_no_riddle() {
    let (directory, loki) = (tempfile::tempdir().unwrap(), FakeLoki::start(Limits::any_time()));
    let job = "- job_name: gate\n  loki_push_api: {server: {http_listen_address: 127.0.0.1, http_listen_port: 0}}\n  \
               relabel_configs: [{action: drop, source_labels: [app], regex: noise}]\n  \
               pipeline_stages: [{regex: {expression: '(?P<word>\\w+)'}}]";
    let text = configuration(directory.path(), &client(&loki.url()), job);
    let agent = Agent::start(directory.path(), &text);
    let stream =
        |app: &str| format!(r#"{{"stream": {{"app": "{app}"}}, "values": [["1", "a"], ["2", "b"]]}}"#);
    let body = format!(r#"{{"streams": [{}, {}]}}"#, stream("noise"), stream("shop"));
    let pushed = send(
        agent.listening("gate"),
        "POST",
        "/loki/api/v1/push",
        "Content-Type: application/json\r\n",
        body.as_bytes(),
    );
    assert_eq!(pushed.unwrap().0, 204);
    let gate = shown(&agent, "gate");
    assert_eq!(
        [&gate["lines"], &gate["relabelled_away"], &gate["entries"]],
        [&json!(2), &json!(2), &json!(2)]
    );
    assert_eq!(row(&gate["stages"][0]), json!(["1", "regex", 2, 2, 0, {}, 0, 0, 0]));
    let read = "4 lines read = 2 entries made + 2 dropped by relabelling + 0 dropped by stages";
    assert!(agent.get("/debug/pipeline").1.contains(read));
    agent.terminate();
}

/// Place, name, in, out, not picked, dropped, held back, merged, failed.
fn row(stage: &Value) -> Value {
    let keys = ["place", "name", "in", "out", "not_picked", "dropped", "held", "merged", "failed"];
    keys.map(|key| stage[key].clone()).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_stage_says_what_became_of_the_lines_that_came_in() {
    let directory = tempfile::tempdir().unwrap();
    let (log, other) = (directory.path().join("app.log"), directory.path().join("other.log"));
    fs::write(&log, LINES).unwrap();
    fs::write(&other, "1\n2\n").unwrap();
    let loki = FakeLoki::start(Limits::any_time());
    let text = |stages: &str| {
        let jobs = job("<main>", &log, stages) + &job("other", &other, " []");
        configuration(directory.path(), &client(&loki.url()), &jobs)
    };
    let agent = Agent::start(directory.path(), &text(STAGES));
    wait_for_lines(&agent, 12);

    let main = shown(&agent, "<main>");
    assert_eq!((&main["lines"], &main["entries"]), (&json!(10), &json!(4)), "{main:#}");
    let rows: Vec<Value> = main["stages"].as_array().unwrap().iter().map(row).collect();
    assert_eq!(
        Value::from(rows),
        json!([
            ["1", "json", 10, 10, 0, {}, 0, 0, 6],
            ["2", "drop", 10, 9, 0, {"too_much": 1}, 0, 0, 0],
            ["3", "labels", 9, 9, 0, {}, 0, 0, 0],
            ["4", "match", 9, 9, 7, {}, 0, 0, 0],
            ["4.1", "timestamp", 2, 2, 0, {}, 0, 0, 1],
            ["4.2", "drop", 2, 1, 0, {"<i>noise": 1}, 0, 0, 0],
            ["5", "multiline", 8, 4, 0, {}, 2, 2, 0],
        ])
    );
    let stage = |index: usize| &main["stages"][index];
    assert_eq!(stage(3)["options"], json!("{level=\"error\"} |= \"level\""));
    assert_eq!(
        (&stage(4)["depth"], &stage(4)["options"]),
        (&json!(1), &json!("source: time, format: RFC3339"))
    );
    let configured = text(STAGES);
    let line = configured.lines().position(|line| line.contains("timestamp:")).unwrap() + 1;
    assert_eq!(stage(4)["config_line"], json!(line));
    // What fails is shown without what it says.
    assert_eq!(stage(0)["sample"]["failure"], json!("no JSON object"));
    assert_eq!(
        stage(0)["sample"]["line"],
        json!("xxxxx=Xx0xx0xxx&0 <xxxxxx>xxxxx(0)</xxxxxx> {\"user\": \"xxxxxxx\"")
    );
    assert_eq!(
        stage(4)["sample"]["line"],
        json!("{\"level\":\"xxxxx\",\"user\":\"xxx\",\"xxxxxx\":\"xxxxxx0\"}")
    );
    assert!(stage(1)["sample"].is_null());

    // The same for people.
    let (status, page) = agent.get("/debug/pipeline");
    assert_eq!(status, 200);
    for part in [
        "<h2>&lt;main&gt;</h2>",
        "10 lines read = 4 entries made + 0 dropped by relabelling + 2 dropped by stages + 2 held back + 2 merged",
        "4.1 <b>timestamp</b>",
        "<td>1 &lt;i&gt;noise</td>",
        "no JSON object<br><code>xxxxx=Xx0xx0xxx&amp;0 &lt;xxxxxx&gt;",
        "<h2>other</h2>",
        "2 lines read = 2 entries made",
    ] {
        assert!(page.contains(part), "{part:?} is missing in\n{page}");
    }
    for secret in ["hunter2", "Tr0ub", "script", "mallory"] {
        assert!(!page.contains(secret), "{secret} is on the page:\n{page}");
        assert!(!agent.log().contains(secret), "{secret} is in the log");
    }
    let (_, accepted) =
        send(agent.address(), "GET", "/debug/pipeline", "Accept: application/json\r\n", b"").unwrap();
    assert_eq!(serde_json::from_str::<Value>(&accepted).unwrap()["jobs"][0]["job"], json!("<main>"));

    let failures =
        |stage: &str| format!("tailwater_stage_failures_total{{job=\"<main>\",stage=\"{stage}\"}}");
    assert_eq!((agent.metric(&failures("1:json")), agent.metric(&failures("4.1:timestamp"))), (6.0, 1.0));

    // A job that changes begins anew, one that stays goes on counting.
    fs::write(directory.path().join("tailwater.yaml"), text("\n  - decolorize:")).unwrap();
    agent.signal("HUP");
    agent.wait_for_log("the configuration is in force");
    let main = shown(&agent, "<main>");
    assert_eq!((&main["stages"][0]["name"], &main["lines"]), (&json!("decolorize"), &json!(0)), "{main:#}");
    assert_eq!(shown(&agent, "other")["lines"], json!(2));
    let page = agent.get("/metrics").1;
    assert!(page.contains(&failures("1:decolorize")) && !page.contains(&failures("1:json")), "{page}");
    agent.terminate();
}
