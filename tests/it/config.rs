//! What the program says about configurations.

use std::fs;

use crate::agent::{Agent, program};

/// Starts the program on a configuration that must be refused: exit code 1, one message.
fn refusal(configuration: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bad.yaml");
    fs::write(&file, configuration).unwrap();
    let output = program().arg("--config.file").arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{configuration}");
    let message = String::from_utf8(output.stderr).unwrap();
    message.replace(&format!("{}/", directory.path().display()), "")
}

/// A job around a pipeline given in flow style.
fn pipeline(stages: &str) -> String {
    format!(
        "scrape_configs:\n- job_name: j\n  static_configs: [{{labels: {{__path__: /x}}}}]\n  pipeline_stages: {stages}\n"
    )
}

#[test]
fn a_bad_configuration_is_refused_with_its_place_and_the_fix() {
    let table = [
        ("clients:\n- name: x\n".to_owned(), "bad.yaml:2:3: `url` is required here", ""),
        (
            "clients:\n- urll: http://x\n".to_owned(),
            "bad.yaml:2:3: unknown key `urll`",
            "did you mean `url`?",
        ),
        (
            "clients:\n- {url: 'http://x/push', batchwiat: 1s}\n".to_owned(),
            "bad.yaml:2:26: unknown key `batchwiat`",
            "did you mean `batchwait`?",
        ),
        (
            "clients:\n- {url: 'http://x/push', batchwait: soon}\n".to_owned(),
            "bad.yaml:2:37: expected a duration",
            "",
        ),
        ("clients: {url: x}\n".to_owned(), "bad.yaml:1:10: expected a list, found a mapping", ""),
        (
            "clients:\n- {url: loki}\n".to_owned(),
            "bad.yaml:2:9: `url` is no http:// or https:// address",
            "such as http://loki:3100",
        ),
        ("server: {http_listen_port: 99999}\n".to_owned(), "99999 is no port number", ""),
        ("clients: [\n".to_owned(), "not YAML", ""),
        (
            "clients: []\nclients: []\n".to_owned(),
            "bad.yaml:2:1: the key `clients` stands here a second time",
            "",
        ),
        ("scrape_configs:\n- job_name: j\n".to_owned(), "job `j` reads nothing", "docker_sd_configs"),
        (
            pipeline("[{regexp: {expression: x}}]"),
            "bad.yaml:4:22: unknown stage `regexp`",
            "did you mean `regex`?",
        ),
        (pipeline("[{multiline: {firstline: '('}}]"), "bad.yaml:4:45: not a regular expression", ""),
        (pipeline("[{regex: {expression: '(a'}}]"), "bad.yaml:4:42: not a regular expression", ""),
        (
            pipeline("[{labels: {y: }}]"),
            "bad.yaml:4:31: expected a text, found the boolean y",
            "write it in quotes",
        ),
        (pipeline("[{json: {}}]"), "`expressions` is required here", ""),
        (pipeline("[{json: {expressions: {a: 'b['}}}]"), "not a JMESPath expression", ""),
        (pipeline("[{match: {selector: '{a=b}', stages: [{docker: }]}}]"), "not a selector", "such as"),
        (
            pipeline("[{timestamp: {source: n, format: RFC3339}}]"),
            "expected a text, found the boolean n",
            "write it in quotes",
        ),
        (
            "scrape_configs:\n- {job_name: j, kafka: {}}\n".to_owned(),
            "bad.yaml:2:17: `kafka` is an option of Promtail",
            "keep this job on Promtail",
        ),
        (
            "scrape_configs:\n- {job_name: j, docker_sd_configs: [{host: 'ssh://x'}]}\n".to_owned(),
            "ssh:// hosts are not supported",
            "let ssh forward the socket",
        ),
        (
            "scrape_configs:\n- {job_name: j, relabel_configs: [{action: rename}], static_configs: []}\n"
                .to_owned(),
            "unknown action `rename`",
            "actions: replace",
        ),
    ];
    let mut wrong = Vec::new();
    for (configuration, what, fix) in table {
        let message = refusal(&configuration);
        let one = message.matches("bad.yaml").count() == 1 && message.contains('^');
        if !(message.contains(what) && message.contains(fix) && one) {
            wrong.push(format!("wanted `{what}` and `{fix}`\n{configuration}\n{message}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n---\n"));
}

#[test]
fn a_password_in_a_bad_line_is_not_printed() {
    let message = refusal("clients:\n- {url: 'http://me:hunter2@loki/push', batchwait: soon}\n");
    assert!(message.contains("expected a duration") && !message.contains("hunter2"), "{message}");
}

#[test]
fn a_missing_file_is_named() {
    let output = program().arg("-config.file=/none/a.yaml,/none/b.yaml").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("there is no configuration file /none/a.yaml,/none/b.yaml"), "{message}");
}

#[test]
fn the_first_file_of_a_list_that_exists_is_used() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("b.yaml");
    fs::write(&file, "server: {disable: true}\n").unwrap();
    let agent = Agent::spawn(&["-config.file", &format!("/none/a.yaml,{}", file.display())]);
    agent.wait_for_log("msg=ready");
    assert!(agent.terminate().0.success());
}

#[test]
fn an_unknown_flag_is_refused_and_help_is_given() {
    let output = program().arg("-config.fiel=x").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("did you mean -config.file?"));
    let help = program().arg("-help").output().unwrap();
    assert!(help.status.success() && String::from_utf8(help.stdout).unwrap().contains("-config.file FILE"));
}

#[test]
fn check_says_what_a_start_would_refuse_and_starts_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.yaml");
    let check = |text: &str, arguments: &[&str]| {
        fs::write(&file, text).unwrap();
        let output =
            program().args(arguments).arg(format!("-config.file={}", file.display())).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let good = "clients: [{url: 'http://x/push'}]\npositions: {filename: /none/p.yaml}\n";
    let (code, said) = check(good, &["check"]);
    assert!(code == Some(0) && said.contains("nothing is wrong"), "{said}");
    assert_eq!(check(good, &["-check-syntax"]).0, Some(0));
    assert_eq!(check("clients: [{}]\n", &["check"]).0, Some(1));
    let (code, said) =
        check("clients: [{url: '${TAILWATER_NONE:-http://x/push}'}]\n", &["check", "-config.expand-env"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = check("a: 1\nclients: [{url: '${X'}]\n", &["check", "-config.expand-env"]);
    assert!(code == Some(1) && said.contains("a.yaml:2:"), "{said}");
    let (code, said) = check(good, &["check", "-server.http-listen-port=99999"]);
    assert!(code == Some(1) && said.contains("99999 is no port number"), "{said}");
    let missing = "clients: [{url: 'https://x/push', tls_config: {ca_file: /none/ca.pem}}]\n";
    let (code, said) = check(missing, &["check"]);
    assert!(code == Some(1) && said.contains("/none/ca.pem"), "{said}");
    let suspicious = "clients: [{url: 'http://x/push'}]\nscrape_configs: [{job_name: j, static_configs: [{labels: {__path__: /x}}],\n  \
                      relabel_configs: [{target_label: a, replacement: '${1}'}], pipeline_stages: [{labels: {trace_id: }}, {output: {source: a, x: 1}}]}]\n";
    let (code, said) = check(suspicious, &["check", "-config.expand-env"]);
    assert!(code == Some(0) && said.contains("valid, with 3 warnings"), "{said}");
    assert!(said.contains("a.yaml:3:53: warning: -config.expand-env makes nothing of ${1}"), "{said}");
}

#[test]
fn flags_win_over_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.yaml");
    fs::write(&file, "server: {http_listen_port: 1, log_level: error}\n").unwrap();
    let agent = Agent::spawn(&[
        "-server.http-listen-address=127.0.0.1",
        "-server.http-listen-port=0",
        "-log.level",
        "debug",
        "-client.url=http://127.0.0.1:9/push",
        &format!("-positions.file={}/p.yaml", directory.path().display()),
        "-tracing.enabled=false",
        "-dry-run",
        &format!("--config.file={}", file.display()),
    ]);
    let log = agent.wait_for_log("msg=ready");
    assert!(log.contains("printing what would be pushed"), "{log}");
    assert!(
        log.contains("flags of Promtail that change nothing here") && log.contains("tracing.enabled"),
        "{log}"
    );
    assert!(agent.terminate().0.success());
    assert!(!directory.path().join("p.state").exists());
}

#[test]
fn every_configuration_that_is_shipped_starts() {
    let root = env!("CARGO_MANIFEST_DIR");
    let examples =
        fs::read_dir(format!("{root}/config/examples")).unwrap().map(|entry| entry.unwrap().path());
    let mut count = 0;
    for file in examples.chain([format!("{root}/config/tailwater.yaml").into()]) {
        if file.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        // Not the port, which may be in use, nor the state, which these tests must not write to.
        let directory = tempfile::tempdir().unwrap();
        let agent = Agent::spawn(&[
            &format!("-config.file={}", file.display()),
            "-server.http-listen-address=127.0.0.1",
            "-server.http-listen-port=0",
            &format!("-positions.file={}/positions.yaml", directory.path().display()),
        ]);
        agent.wait_for_log("msg=ready");
        assert!(agent.terminate().0.success(), "{}", file.display());
        count += 1;
    }
    assert!(count >= 2, "the examples are gone");
}

#[test]
fn files_are_read_as_windows_writes_them() {
    let directory = tempfile::tempdir().unwrap();
    let text = "clients:\r\n- url:\thttp://x/push\r\n".to_owned()
        + &pipeline("[]").replace('\n', "\r\n")
        + "---\r\n";
    let wide = |unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
        std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(unit).collect()
    };
    let files = [wide(u16::to_le_bytes), wide(u16::to_be_bytes), format!("\u{feff}{text}").into_bytes()];
    for (number, bytes) in files.into_iter().enumerate() {
        let file = directory.path().join("windows.yaml");
        fs::write(&file, bytes).unwrap();
        let output = program().arg("check").arg("-config.file").arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{number}: {said}");
    }
}
