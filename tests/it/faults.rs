//! Ways to break the agent: each shows in a series of its own, and on /ready where work is not done.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::agent::{Agent, PATIENCE, client, configuration, file_job, program};
use crate::support::docker_host::{Container, DockerHost, Manners, id};
use crate::support::fake_loki::{FakeLoki, Fault, Limits};
use crate::writer::Writer;

/// What `/ready` says of a fault.
enum Ready {
    /// 503, with this reason.
    No(&'static str),
    /// 200, and a warning.
    Warns(&'static str),
    /// 200, and nothing else.
    Yes,
}

/// A way to break it.
struct Case {
    name: &'static str,
    breaks: fn(&Scene) -> Option<Broken>,
    /// The sample that tells of it: its name and the labels that matter.
    series: (&'static str, &'static str),
    tells: fn(f64) -> bool,
    ready: Ready,
}

type Mend = Box<dyn FnOnce(&Scene) -> Option<DockerHost>>;

/// An agent in trouble.
struct Broken {
    agent: Agent,
    /// What makes it whole again; a daemon is kept while that is awaited.
    mend: Option<Mend>,
}

struct Scene {
    directory: tempfile::TempDir,
    loki: FakeLoki,
}

const CASES: [Case; 12] = [
    Case {
        name: "the Docker socket is gone",
        breaks: without_docker,
        series: ("tailwater_docker_errors_total", "operation=\"list\""),
        tells: |value| value >= 1.0,
        ready: Ready::No("no answer"),
    },
    Case {
        name: "no permission to list a directory",
        breaks: forbidden_directory,
        series: ("tailwater_file_errors_total", ""),
        tells: |value| value >= 1.0,
        ready: Ready::No("some of these files cannot be listed"),
    },
    Case {
        name: "a file that cannot be read",
        breaks: forbidden_file,
        series: ("tailwater_target_unreadable", "app.log"),
        tells: |value| value == 1.0,
        ready: Ready::No("it cannot be read: Permission denied"),
    },
    Case {
        name: "Loki answers 500",
        breaks: |scene| scene.answering(Fault::Status(500, "no".to_owned())),
        series: ("tailwater_push_retries_total", "reason=\"server_error\""),
        tells: |value| value >= 1.0,
        ready: Ready::No("nothing gets through: server_error"),
    },
    Case {
        name: "Loki hangs",
        breaks: |scene| scene.answering(Fault::Hang),
        series: ("tailwater_push_retries_total", "reason=\"timeout\""),
        tells: |value| value >= 1.0,
        ready: Ready::No("nothing gets through: timeout"),
    },
    Case {
        name: "the tenant is not allowed",
        breaks: |scene| scene.answering(Fault::Status(401, "no org id".to_owned())),
        series: ("tailwater_push_retries_total", "reason=\"unauthorized\""),
        tells: |value| value >= 1.0,
        ready: Ready::No("nothing gets through: unauthorized"),
    },
    Case {
        name: "the disk is full",
        breaks: full_disk,
        series: ("tailwater_spool_errors_total", ""),
        tells: |value| value >= 1.0,
        ready: Ready::No("it cannot be written"),
    },
    Case {
        name: "the spool is full",
        breaks: full_spool,
        series: ("tailwater_spool_bytes", ""),
        tells: |value| value > 800_000.0,
        ready: Ready::No("it is full"),
    },
    Case {
        name: "more labels than Loki takes",
        breaks: too_many_labels,
        series: ("tailwater_refused_entries_total", "reason=\"too_many_labels\""),
        tells: |value| value >= 1.0,
        ready: Ready::Yes,
    },
    Case {
        name: "the clock jumps",
        breaks: jumping_clock,
        series: ("tailwater_clock_jumps_total", "direction=\"forward\""),
        tells: |value| value == 1.0,
        ready: Ready::Yes,
    },
    Case {
        name: "a log stream stands still",
        breaks: silent_stream,
        series: ("tailwater_docker_streams_stalled_total", ""),
        tells: |value| value >= 1.0,
        ready: Ready::Yes,
    },
    Case {
        name: "a reload fails",
        breaks: wrong_configuration,
        series: ("tailwater_config_reloads_total", "result=\"failure\""),
        tells: |value| value == 1.0,
        ready: Ready::Warns("the one that was read last is not in force"),
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_changes_a_series_of_its_own_and_ready_where_work_is_not_done() {
    for case in CASES {
        let scene = Scene::new();
        eprintln!("case: {}", case.name);
        let Some(Broken { agent, mend }) = (case.breaks)(&scene) else { continue };
        let (name, labels) = case.series;
        let started = Instant::now();
        while !case.tells(value(&agent, name, labels)) {
            let page = agent.get("/metrics").1;
            assert!(started.elapsed() < PATIENCE, "{}: {name}{{{labels}}} does not tell:\n{page}", case.name);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        match case.ready {
            Ready::No(why) => agent.wait_for_page_within(PATIENCE, "/ready", |(status, body)| {
                *status == 503 && body.starts_with("in trouble\n") && body.contains(why)
            }),
            Ready::Warns(what) => agent.wait_for_page_within(PATIENCE, "/ready", |(status, body)| {
                *status == 200 && body.starts_with("ready\nwarning: ") && body.contains(what)
            }),
            Ready::Yes => assert_eq!(agent.get("/ready"), (200, "ready\n".to_owned()), "{}", case.name),
        }
        if let Some(mend) = mend {
            let _kept = mend(&scene);
            agent.wait_for_page_within(PATIENCE, "/ready", |page| *page == (200, "ready\n".to_owned()));
        }
        agent.terminate();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_gone_has_no_trouble_any_more() {
    let scene = Scene::new();
    let broken = forbidden_directory(&scene).unwrap();
    let unlisted = |page: &(u16, String)| page.0 == 503 && page.1.contains("cannot be listed");
    broken.agent.wait_for_page_within(PATIENCE, "/ready", unlisted);
    fs::write(scene.path("tailwater.yaml"), scene.files("")).unwrap();
    broken.agent.signal("HUP");
    broken.agent.wait_for_page_within(PATIENCE, "/ready", |page| *page == (200, "ready\n".to_owned()));
    broken.agent.terminate();
    (broken.mend.unwrap())(&scene);
}

impl Case {
    fn tells(&self, value: f64) -> bool {
        (self.tells)(value)
    }
}

/// The sum over the samples of that name whose line has these labels.
fn value(agent: &Agent, name: &str, labels: &str) -> f64 {
    let page = agent.get("/metrics").1;
    let samples = page.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
    samples
        .filter(|line| line.contains(labels))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}

impl Scene {
    fn new() -> Scene {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        Scene { directory, loki: FakeLoki::start(Limits::any_time()) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Reads `*.log`, and has little patience.
    fn files(&self, client_option: &str) -> String {
        let client =
            client(&self.loki.url()).replace("{url:", &format!("{{timeout: 300ms, {client_option} url:"));
        self.impatient(&client, &file_job(&format!("{}/*.log", self.directory.path().display())))
    }

    fn impatient(&self, clients: &str, jobs: &str) -> String {
        let text = configuration(self.directory.path(), clients, jobs);
        text.replace("http_listen_port: 0", "http_listen_port: 0, stalled_after: 400ms")
    }

    fn start(&self, text: &str) -> Broken {
        Broken { agent: Agent::start(self.directory.path(), text), mend: None }
    }

    /// Starts it as somebody who may not do everything.
    fn start_as_nobody(&self, text: &str) -> Agent {
        let file = self.path("tailwater.yaml");
        fs::write(&file, text).unwrap();
        let mut command = program();
        if rustix::process::geteuid().is_root() {
            // The program may be where only root can go.
            let copy = self.path("program");
            fs::copy(command.get_program(), &copy).unwrap();
            command = Command::new(copy);
            command.uid(65534).gid(65534);
        }
        command.arg(format!("-config.file={}", file.display()));
        let agent = Agent::of(command);
        agent.wait_for_log("msg=ready");
        agent
    }

    fn write(&self, lines: u64) {
        Writer::new(&self.path("app.log"), "app").noisy_lines(lines);
    }

    fn answering(&self, fault: Fault) -> Option<Broken> {
        self.write(10);
        self.loki.answer_all(fault);
        Some(self.start(&self.files("")).mended_by(|scene| scene.loki.heal()))
    }
}

impl Broken {
    fn mended_by(self, mend: impl FnOnce(&Scene) + 'static) -> Broken {
        let mend = |scene: &Scene| {
            mend(scene);
            None
        };
        Broken { mend: Some(Box::new(mend)), ..self }
    }
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn docker_job(directory: &Path) -> String {
    format!(
        "- {{job_name: d, docker_sd_configs: [{{host: 'unix://{}/docker.sock', refresh_interval: 100ms}}]}}",
        directory.display()
    )
}

fn without_docker(scene: &Scene) -> Option<Broken> {
    let directory = scene.directory.path().to_owned();
    let text = scene.impatient(&client(&scene.loki.url()), &docker_job(&directory));
    let mend = move |_: &Scene| Some(DockerHost::start(&directory, Manners::default()));
    Some(Broken { mend: Some(Box::new(mend)), ..scene.start(&text) })
}

fn forbidden_directory(scene: &Scene) -> Option<Broken> {
    let hidden = scene.path("hidden");
    fs::create_dir(&hidden).unwrap();
    allow(&hidden, 0o000);
    let job = file_job(&format!("{}/*/*.log", scene.directory.path().display()));
    let agent = scene.start_as_nobody(&scene.impatient(&client(&scene.loki.url()), &job));
    let broken = Broken { agent, mend: None };
    Some(broken.mended_by(move |_| allow(&hidden, 0o755)))
}

fn forbidden_file(scene: &Scene) -> Option<Broken> {
    scene.write(10);
    let file = scene.path("app.log");
    allow(&file, 0o000);
    let broken = Broken { agent: scene.start_as_nobody(&scene.files("")), mend: None };
    Some(broken.mended_by(move |_| allow(&file, 0o644)))
}

/// A file system that goes with the test, also one that fails.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: the agent has files open there.
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

/// The spool is on a file system of 256 KiB.
fn full_disk(scene: &Scene) -> Option<Broken> {
    let disk = scene.path("disk");
    fs::create_dir(&disk).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "none"]).arg(&disk).status();
    if !mounted.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("TAILWATER_REQUIRE_MOUNT").is_none(), "nothing can be mounted here");
        eprintln!("SKIPPED: the disk is full, as nothing can be mounted here");
        return None;
    }
    let mounted = Mounted(disk.clone());
    scene.write(20_000);
    scene.loki.answer_all(Fault::Status(500, "no".to_owned()));
    let options = format!("batchsize: 100000, spool: {{directory: '{}/spool'}},", disk.display());
    let broken = scene.start(&scene.files(&options));
    Some(broken.mended_by(move |scene| {
        scene.loki.heal();
        drop(mounted);
    }))
}

fn full_spool(scene: &Scene) -> Option<Broken> {
    scene.write(20_000);
    scene.loki.answer_all(Fault::Status(500, "no".to_owned()));
    let broken = scene.start(&scene.files("batchsize: 100000, spool: {max_size: 1MB},"));
    Some(broken.mended_by(|scene| scene.loki.heal()))
}

fn too_many_labels(scene: &Scene) -> Option<Broken> {
    scene.write(10);
    let labels: String = (0..20).map(|number| format!("l{number}: x, ")).collect();
    Some(scene.start(&scene.files("").replace("{labels: {", &format!("{{labels: {{{labels}"))))
}

fn jumping_clock(scene: &Scene) -> Option<Broken> {
    let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
    if !Path::new(library).exists() {
        assert!(std::env::var_os("TAILWATER_REQUIRE_FAKETIME").is_none(), "{library} is not there");
        eprintln!("SKIPPED: the clock jumps, as faketime is not installed");
        return None;
    }
    let (file, clock) = (scene.path("tailwater.yaml"), scene.path("clock"));
    fs::write(&file, scene.files("")).unwrap();
    fs::write(&clock, "+0").unwrap();
    let mut command = program();
    command.arg(format!("-config.file={}", file.display()));
    command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &clock);
    command
        .env("FAKETIME_NO_CACHE", "1")
        .env("DONT_FAKE_MONOTONIC", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let agent = Agent::of(command);
    agent.wait_for_log("msg=ready");
    fs::write(&clock, "+3600").unwrap();
    Some(Broken { agent, mend: None })
}

fn silent_stream(scene: &Scene) -> Option<Broken> {
    let directory = scene.directory.path();
    let docker = DockerHost::start(directory, Manners { falls_silent: true, ..Manners::default() });
    docker.add(&id(1), Container { name: "silent".to_owned(), ..Container::default() });
    docker.print(&id(1), 1, "one");
    let broken = scene.start(&scene.impatient(&client(&scene.loki.url()), &docker_job(directory)));
    broken.agent.wait_for_metric("tailwater_sent_entries_total", |entries| entries == 1.0);
    docker.behave(Manners::default());
    docker.print(&id(1), 1, "two");
    Some(Broken { mend: Some(Box::new(move |_| Some(docker))), ..broken })
}

fn wrong_configuration(scene: &Scene) -> Option<Broken> {
    let (text, file) = (scene.files(""), scene.path("tailwater.yaml"));
    let broken = scene.start(&text);
    fs::write(&file, text.replace("scrape_configs", "scrap_configs")).unwrap();
    broken.agent.signal("HUP");
    broken.agent.wait_for_log("the configuration cannot be taken over");
    Some(broken)
}
